/**
 * The connection phase of one session: the server's greeting and the client's response go on with
 * their capabilities cut, then packets go to and fro until the server says OK or ERR. Whose turn it
 * is isn't modelled: any plugin with any number of rounds works.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
 *
 * Invariants: the authentication is the server's; no payload of it is kept or logged. A command
 * that the client sends ahead of the OK waits for it.
 */
import { UndropError } from '../errors.js';
import {
  agreedCapabilities,
  type Capabilities,
  relayedCapabilities,
} from '../wire/capabilities.js';
import {
  decodeHandshakeResponse41,
  isProtocol41,
  isSslRequest,
  relayResponse,
} from '../wire/connection/handshake-response41.js';
import {
  decodeHandshakeV10,
  type HandshakeV10,
  relayGreeting,
} from '../wire/connection/handshake-v10.js';
import { encodePacket, type Packet, PacketAssembler } from '../wire/framing.js';
import { parseServerVersion, type ServerVersion } from '../wire/server-version.js';

/** Bytes of one packet, and of commands sent ahead, before the login is done. */
const LOGIN_BYTES_MAX = 1024 * 1024;

/** What the connection phase settled. */
export interface Login {
  readonly server: ServerVersion;
  readonly threadId: number;
  readonly user: string;
  /** Default schema, in the client's charset. */
  readonly schema: Buffer | null;
  /** What both sides have. */
  readonly capabilities: Capabilities;
}

export interface LoginOwner {
  toClient(bytes: Buffer): void;
  toServer(bytes: Buffer): void;
  onGreeting(greeting: HandshakeV10): void;
  /** The server said OK. What either side sent beyond it is handed over. */
  onDone(login: Login, rest: { readonly fromServer: Buffer; readonly fromClient: Buffer }): void;
}

type State =
  | { readonly name: 'greeting' }
  | { readonly name: 'response'; readonly greeting: HandshakeV10 }
  | { readonly name: 'authentication'; readonly login: Login; readonly parked: Buffer[] }
  | { readonly name: 'done' };

export class LoginRelay {
  readonly #owner: LoginOwner;
  readonly #fromServer = new PacketAssembler(LOGIN_BYTES_MAX);
  readonly #fromClient = new PacketAssembler(LOGIN_BYTES_MAX);
  #state: State = { name: 'greeting' };
  #parkedBytes = 0;

  constructor(owner: LoginOwner) {
    this.#owner = owner;
  }

  /** greeting: waits for the server; response: for the client; authentication: for an OK. */
  get state(): State['name'] {
    return this.#state.name;
  }

  /** Known from the response on; for the log. */
  get user(): string {
    return this.#state.name === 'authentication' ? this.#state.login.user : '';
  }

  feedServer(chunk: Buffer): void {
    this.#fromServer.push(chunk);
    while (this.#state.name !== 'done') {
      const packet = this.#fromServer.next();
      if (packet === null) return;
      this.#onServerPacket(packet);
    }
  }

  feedClient(chunk: Buffer): void {
    if (this.#state.name === 'greeting') {
      const problem = 'the client sent bytes before the greeting of the server';
      throw new UndropError('UNDROP_MALFORMED_PACKET', { problem });
    }
    this.#fromClient.push(chunk);
    for (;;) {
      const packet = this.#fromClient.next();
      if (packet === null) return;
      this.#onClientPacket(packet);
    }
  }

  #onServerPacket(packet: Packet): void {
    const isErr = packet.payload[0] === 0xff;
    if (this.#state.name === 'greeting' && !isErr) return this.#onGreeting(packet);
    // An ERR at any point ("Too many connections", 1130, 1045): its own words, and then its end.
    this.#owner.toClient(encodePacket(packet.payload, packet.sequenceId));
    const state = this.#state;
    if (state.name !== 'authentication' || packet.payload[0] !== 0x00) return;
    this.#state = { name: 'done' };
    this.#owner.onDone(state.login, {
      fromServer: this.#fromServer.rest(),
      fromClient: Buffer.concat([...state.parked, this.#fromClient.rest()]),
    });
  }

  #onGreeting(packet: Packet): void {
    const greeting = decodeHandshakeV10(packet.payload);
    this.#state = { name: 'response', greeting };
    this.#owner.onGreeting(greeting);
    this.#owner.toClient(encodePacket(relayGreeting(packet.payload, greeting), packet.sequenceId));
  }

  #onClientPacket(packet: Packet): void {
    const state = this.#state;
    if (state.name === 'response') return this.#onResponse(packet, state.greeting);
    const framed = encodePacket(packet.payload, packet.sequenceId);
    if (state.name !== 'authentication' || packet.sequenceId !== 0) {
      return this.#owner.toServer(framed);
    }
    this.#parkedBytes += framed.length;
    if (this.#parkedBytes > LOGIN_BYTES_MAX) {
      throw new UndropError('UNDROP_PACKET_TOO_LARGE', {
        bytes: this.#parkedBytes,
        bytesMax: LOGIN_BYTES_MAX,
      });
    }
    state.parked.push(framed);
  }

  #onResponse(packet: Packet, greeting: HandshakeV10): void {
    if (isSslRequest(packet.payload)) throw new UndropError('UNDROP_TLS_NOT_OFFERED');
    if (!isProtocol41(packet.payload)) throw new UndropError('UNDROP_OLD_CLIENT');
    const response = decodeHandshakeResponse41(packet.payload);
    const login = {
      server: parseServerVersion(greeting.serverVersion),
      threadId: greeting.threadId,
      user: response.user,
      schema: response.schema,
      capabilities: agreedCapabilities(
        relayedCapabilities(greeting.capabilities),
        relayedCapabilities(response.capabilities),
      ),
    };
    this.#state = { name: 'authentication', login, parked: [] };
    this.#owner.toServer(encodePacket(relayResponse(packet.payload, response), packet.sequenceId));
  }
}
