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
import { COM_QUIT } from '../wire/commands.js';
import {
  anonymousResponse,
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
  | { readonly name: 'leaving'; readonly onLeft: () => void }
  | { readonly name: 'done' };

export class LoginRelay {
  readonly #owner: LoginOwner;
  readonly #fromServer = new PacketAssembler(LOGIN_BYTES_MAX);
  readonly #fromClient = new PacketAssembler(LOGIN_BYTES_MAX);
  #state: State = { name: 'greeting' };
  #parkedBytes = 0;
  /** Sequence id of the packet that the server waits for; null where it is the server's turn. */
  #awaited: number | null = null;
  #isGreeted = false;
  /** Sequence id of the next packet for the client. */
  #nextToClient = 0;

  constructor(owner: LoginOwner) {
    this.#owner = owner;
  }

  /** greeting: waits for the server; response: for the client; authentication: for an OK. */
  get state(): State['name'] {
    return this.#state.name;
  }

  /** The server has asked, and the client not yet answered. */
  get waitsForClient(): boolean {
    return this.#awaited !== null;
  }

  /** Sequence id of an error of ours in the place of what would come next. */
  get nextToClient(): number {
    return this.#nextToClient;
  }

  /**
   * The client has gone: the server is answered with nothing until it refuses, and then `onLeft` is
   * called. Nothing is for the client any more.
   */
  leave(onLeft: () => void): void {
    const state = this.#state;
    this.#state = { name: 'leaving', onLeft };
    if (this.#awaited === null) return;
    this.#answerWithNothing(this.#awaited, state.name === 'response');
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
    this.#nextToClient = (packet.sequenceId + 1) & 0xff;
    const isErr = packet.payload[0] === 0xff;
    this.#awaited = isErr || isFastAuthOk(packet) ? null : this.#nextToClient;
    if (this.#state.name === 'leaving') return this.#excuse(packet, this.#state.onLeft);
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

  /** One more step towards the server's refusal. */
  #excuse(packet: Packet, onLeft: () => void): void {
    const isFirst = !this.#isGreeted;
    this.#isGreeted = true;
    if (packet.payload[0] === 0x00) this.#owner.toServer(encodePacket(Buffer.of(COM_QUIT), 0));
    if (packet.payload[0] === 0x00 || packet.payload[0] === 0xff) return onLeft();
    if (this.#awaited !== null) this.#answerWithNothing(this.#awaited, isFirst);
  }

  #answerWithNothing(sequenceId: number, isResponse: boolean): void {
    const payload = isResponse ? anonymousResponse() : Buffer.alloc(0);
    this.#owner.toServer(encodePacket(payload, sequenceId));
    this.#awaited = null;
  }

  #onGreeting(packet: Packet): void {
    this.#isGreeted = true;
    const greeting = decodeHandshakeV10(packet.payload);
    this.#state = { name: 'response', greeting };
    this.#owner.onGreeting(greeting);
    this.#owner.toClient(encodePacket(relayGreeting(packet.payload, greeting), packet.sequenceId));
  }

  #onClientPacket(packet: Packet): void {
    const state = this.#state;
    if (state.name === 'leaving') return;
    if (packet.sequenceId !== 0 || state.name === 'response') this.#checkOrder(packet);
    if (state.name === 'response') return this.#onResponse(packet, state.greeting);
    const framed = encodePacket(packet.payload, packet.sequenceId);
    if (state.name !== 'authentication' || packet.sequenceId !== 0) {
      this.#awaited = null;
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

  /** What the server would refuse as a broken handshake (farewell.ts) doesn't get to it. */
  #checkOrder({ sequenceId }: Packet): void {
    const expected = this.#nextToClient;
    this.#nextToClient = (sequenceId + 1) & 0xff;
    if (this.#awaited !== null && sequenceId !== expected) {
      const problem = `expected sequence id ${expected} in the login, got ${sequenceId}`;
      throw new UndropError('UNDROP_MALFORMED_PACKET', { problem });
    }
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
    this.#awaited = null;
    this.#owner.toServer(encodePacket(relayResponse(packet.payload, response), packet.sequenceId));
  }
}

/** caching_sha2_password: the hash was right, and the OK follows without an answer. */
function isFastAuthOk({ payload }: Packet): boolean {
  return payload.length === 2 && payload[0] === 0x01 && payload[1] === 0x03;
}
