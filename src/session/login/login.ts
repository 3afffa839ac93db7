/**
 * The connection phase of one session: the server's greeting and the client's response go on with
 * their capabilities cut, each connection in TLS as configured, then the authentication goes to and
 * fro until the server sends OK or ERR (session/login/auth-exchange.ts).
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
 *
 * Invariants: the authentication is the server's; no payload of it is kept or logged. After an
 * SSLRequest nothing is read as a packet that didn't come through TLS. TLS ends here: it never
 * passes through unread.
 */
import { assert, UndropError } from '../../errors.js';
import { isRecycleName } from '../../sql/trigger-scan.js';
import * as caps from '../../wire/capabilities.js';
import * as com from '../../wire/commands.js';
import * as handshake from '../../wire/connection/handshake-response41.js';
import * as v10 from '../../wire/connection/handshake-v10.js';
import { encodePacket, type Packet, PacketAssembler } from '../../wire/framing.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import { isUncounted } from '../dial/reset-host-errors.js';
import { AuthBridge } from './auth-bridge.js';
import * as auth from './auth-exchange.js';
import * as loginCheck from './login-check.js';

/** The results of the connection phase. */
export interface Login
  extends Pick<handshake.HandshakeResponse41, 'user' | 'attributes' | 'schema'> {
  readonly server: v10.ServerVersion;
  readonly threadId: number;
  /** The capabilities of both sides. */
  readonly capabilities: caps.Capabilities;
  /** The bridge for later changes of user; null if they can pass unread. */
  readonly bridge: AuthBridge | null;
  /** Properties of this process by which the client must not log in. */
  readonly checks: loginCheck.LoginChecks | null;
}

export interface LoginOwner {
  readonly security: loginCheck.LoginSecurity;
  readonly connections: auth.BothEnds;
  /**
   * The client begins TLS; `clientHello` has arrived already. Nothing more is fed before
   * `clientIsSecure` was called, and nothing is sent to it.
   */
  secureClient(clientHello: Buffer): void;
  /** The same with the server, where undrop begins TLS. */
  secureServer(): void;
  /** The server sent OK. */
  onDone(login: Login, rests: auth.Rests): void;
}

/** The greeting, and the SSLRequest of a client with TLS. */
interface Greeted {
  readonly greeting: v10.HandshakeV10;
  readonly request: Buffer | null;
  /** The next sequence id on the client's connection. */
  readonly nextToClient: number;
}

/** The client's response before it goes on. */
interface Answered {
  readonly login: Login;
  /** The response for the server, framed. */
  readonly response: Buffer;
  readonly tls: boolean;
  /** The next sequence id on the client's connection. */
  readonly nextToClient: number;
}

type State =
  | { readonly name: 'greeting' }
  | { readonly name: 'response'; readonly greeted: Greeted }
  | { readonly name: 'client-tls'; readonly greeted: Greeted }
  | { readonly name: 'server-tls'; readonly answered: Answered }
  | { readonly name: 'authentication'; readonly login: Login; readonly exchange: auth.AuthExchange }
  | { readonly name: 'leaving'; readonly onLeft: () => void }
  | { readonly name: 'done' };

/** Sequence id of the first packet for the server. */
const FIRST_TO_SERVER = 1;

export class LoginRelay implements auth.BothEnds {
  readonly #owner: LoginOwner;
  readonly #fromServer = new PacketAssembler(auth.AUTH_BYTES_MAX);
  readonly #fromClient = new PacketAssembler(auth.AUTH_BYTES_MAX);
  #state: State = { name: 'greeting' };
  #isReadingServer = false;
  /** For the client, when all packets of a chunk are read. */
  readonly #packets: Buffer[] = [];
  /**
   * The server accepted the login, or refused it in a way that it doesn't count
   * (reset-host-errors.ts).
   */
  isSettled = false;

  constructor(owner: LoginOwner) {
    this.#owner = owner;
  }

  /** greeting: waits for the server; response: for the client; authentication: for an OK. */
  get state(): State['name'] {
    return this.#state.name;
  }

  /** The server has sent a request, and the client hasn't responded yet. */
  get waitsForClient(): boolean {
    const state = this.#state;
    if (state.name === 'authentication') return state.exchange.waitsForClient;
    return state.name === 'response' || state.name === 'client-tls';
  }

  /** Sequence id of an error of undrop; null while the client waits for TLS. */
  get nextToClient(): number | null {
    const state = this.#state;
    switch (state.name) {
      case 'response':
        return state.greeted.nextToClient;
      case 'server-tls':
        return state.answered.nextToClient;
      case 'authentication':
        return state.exchange.nextToClient;
      case 'client-tls':
        return null;
      default:
        return 0;
    }
  }

  /**
   * The client has gone: the server gets empty responses until it refuses, and then `onLeft` is
   * called. Nothing goes to the client after that. If TLS with the server was begun, it is
   * complete.
   */
  leave(onLeft: () => void): void {
    const state = this.#state;
    this.#state = { name: 'leaving', onLeft };
    switch (state.name) {
      case 'response':
      case 'client-tls':
        return this.#answerWithNothing(FIRST_TO_SERVER);
      case 'authentication':
        return state.exchange.leave();
      case 'server-tls':
        return this.#answerWithNothing(FIRST_TO_SERVER + 1);
      default:
    }
  }

  feedServer(chunk: Buffer): void {
    this.#fromServer.push(chunk);
    this.#readServer();
  }

  feedClient(chunk: Buffer): void {
    const { name } = this.#state;
    if (name === 'greeting') {
      throw new MalformedPacketError('the client sent bytes before the greeting of the server');
    }
    assert(name !== 'client-tls', 'nothing is fed before TLS is there');
    if (name === 'leaving') return;
    this.#fromClient.push(chunk);
    this.#readClient();
  }

  /** From now on the client's connection uses TLS. */
  clientIsSecure(): void {
    const state = this.#state;
    if (state.name !== 'client-tls') return;
    this.#state = { name: 'response', greeted: state.greeted };
    this.#readServer();
  }

  /** The same on the server's connection. */
  serverIsSecure(): void {
    const state = this.#state;
    if (state.name !== 'server-tls') return;
    this.#authenticate(state.answered, FIRST_TO_SERVER + 1);
    this.#readClient();
  }

  /** Several packets that came together go on together, as the server sends its OK. */
  toClient(packet: Buffer): void {
    if (this.#isReadingServer) this.#packets.push(packet);
    else this.#owner.connections.toClient(packet);
  }

  toServer(bytes: Buffer): void {
    this.#owner.connections.toServer(bytes);
  }

  #flush(): void {
    const packets = this.#packets.splice(0);
    if (packets.length > 0) this.#owner.connections.toClient(Buffer.concat(packets));
  }

  /** While TLS is being set up on the client's connection, nothing can be passed on to it. */
  #readServer(): void {
    this.#isReadingServer = true;
    try {
      while (this.#state.name !== 'done' && this.#state.name !== 'client-tls') {
        const packet = this.#fromServer.next();
        if (packet === null) return;
        this.#onServerPacket(packet);
      }
    } finally {
      this.#isReadingServer = false;
      this.#flush();
    }
  }

  #readClient(): void {
    while (this.#state.name !== 'done' && this.#state.name !== 'server-tls') {
      const packet = this.#fromClient.next();
      if (packet === null) return;
      this.#onClientPacket(packet);
      if (this.#state.name !== 'client-tls') continue;
      const clientHello = this.#fromClient.take();
      if (!handshake.mayBeClientHello(clientHello))
        throw new UndropError('UNDROP_NO_TLS_BEHIND_REQUEST');
      return this.#owner.secureClient(clientHello);
    }
  }

  #onServerPacket(packet: Packet): void {
    const state = this.#state;
    this.isSettled = isUncounted(packet.payload, { isGreeted: state.name !== 'greeting' });
    if (state.name === 'leaving') return this.#excuse(packet, state.onLeft);
    const isErr = packet.payload[0] === 0xff;
    if (state.name === 'greeting' && !isErr) return this.#onGreeting(packet);
    // An ERR at any point ("Too many connections", 1130, 1045): its own text, and then the end.
    if (state.name !== 'authentication') {
      return this.toClient(encodePacket(packet.payload, packet.sequenceId));
    }
    const isOver = state.exchange.fromServer(packet);
    // The last response to a check may be an ERR; the OK that has waited ends the login.
    if (!isOver || state.exchange.last[0] === 0xff) return;
    this.#state = { name: 'done' };
    this.#flush();
    this.#owner.onDone(state.login, {
      fromServer: this.#fromServer.take(),
      fromClient: Buffer.concat([state.exchange.parked, this.#fromClient.take()]),
    });
  }

  /** A further step towards the server's refusal. */
  #excuse({ payload, sequenceId }: Packet, onLeft: () => void): void {
    if (payload[0] === 0x00) this.toServer(encodePacket(Buffer.of(com.COM_QUIT), 0));
    if (payload[0] === 0x00 || payload[0] === 0xff) return onLeft();
    if (!auth.isFastAuthOk(payload)) this.#answerWithNothing(sequenceId + 1);
  }

  #answerWithNothing(sequenceId: number): void {
    const isResponse = sequenceId <= FIRST_TO_SERVER + 1;
    const payload = isResponse ? handshake.anonymousResponse() : Buffer.alloc(0);
    this.toServer(encodePacket(payload, sequenceId));
  }

  #onGreeting(packet: Packet): void {
    const greeting = v10.decodeHandshakeV10(packet.payload);
    const greeted = { greeting, request: null, nextToClient: packet.sequenceId + 1 };
    this.#state = { name: 'response', greeted };
    const tls = this.#owner.security.offersTls;
    const relayed = v10.relayGreeting(packet.payload, greeting, { tls });
    this.toClient(encodePacket(relayed, packet.sequenceId));
  }

  #onClientPacket(packet: Packet): void {
    const state = this.#state;
    switch (state.name) {
      case 'response':
        return this.#onResponse(packet, state.greeted);
      case 'authentication':
        return state.exchange.fromClient(packet);
      default:
        assert(state.name === 'leaving', `no packet is read in state ${state.name}`);
    }
  }

  #onResponse(packet: Packet, before: Greeted): void {
    const greeted = { ...before, nextToClient: packet.sequenceId + 1 };
    this.#state = { name: 'response', greeted };
    auth.checkOrder(packet, before.nextToClient);
    const { greeting, request, nextToClient } = greeted;
    const { security } = this.#owner;
    if (request === null && handshake.isSslRequest(packet.payload)) {
      if (!security.offersTls) throw new UndropError('UNDROP_TLS_NOT_OFFERED');
      const sslRequest = Buffer.from(packet.payload);
      this.#state = { name: 'client-tls', greeted: { ...greeted, request: sslRequest } };
      return;
    }
    const payload =
      request === null ? packet.payload : handshake.withHeadOf(request, packet.payload);
    if (!handshake.isProtocol41(payload)) throw new UndropError('UNDROP_OLD_CLIENT');
    const response = handshake.decodeHandshakeResponse41(payload);
    if (isRecycleName(response.schema ?? '')) throw new UndropError('UNDROP_RECYCLE_SCHEMA_USE');
    const connections = this.#decideSecurity(greeted);
    if (connections.client === 'plain' && security.requiresTls) {
      throw new UndropError('UNDROP_TLS_REQUIRED');
    }
    const checks = loginCheck.checksOf(connections, security);
    const challenge = { plugin: response.plugin, nonce: greeting.challenge.nonce };
    const isRead = connections.client !== connections.upstream || checks !== null;
    const bridge = isRead ? new AuthBridge(connections, security.keys, challenge) : null;
    bridge?.fromClientFirst(response.authResponse);
    const login = {
      server: v10.parseServerVersion(greeting.serverVersion),
      user: response.user,
      attributes: response.attributes,
      // A copy, so that the session doesn't keep the rest of the packet.
      schema: response.schema === null ? null : Buffer.from(response.schema),
      threadId: greeting.threadId,
      capabilities: caps.agreedCapabilities(
        caps.relayedCapabilities(greeting.capabilities),
        caps.relayedCapabilities(response.capabilities),
      ),
      bridge,
      checks,
    };
    const tls = connections.upstream === 'tls';
    const relayed = handshake.relayResponse(payload, response, { tls });
    if (bridge !== null) payload.fill(0);
    this.#sendResponse({ login, response: relayed, tls, nextToClient });
  }

  #decideSecurity({ greeting, request }: Greeted): loginCheck.ConnectionPair {
    const { sockets, wantsTls } = this.#owner.security;
    const client = request === null ? sockets.client : 'tls';
    const isOffered = caps.hasFlag(greeting.capabilities, caps.CLIENT_SSL);
    return { client, upstream: wantsTls({ client, isOffered }) ? 'tls' : sockets.upstream };
  }

  #sendResponse(answered: Answered): void {
    if (!answered.tls) return this.#authenticate(answered, FIRST_TO_SERVER);
    // Bytes that came unrequested, and not through TLS, must not be read as if they had.
    if (this.#fromServer.length > 0) {
      throw new MalformedPacketError('the server sent bytes before TLS was requested');
    }
    this.#state = { name: 'server-tls', answered };
    this.toServer(encodePacket(handshake.sslRequestFor(answered.response), FIRST_TO_SERVER));
    this.#owner.secureServer();
  }

  #authenticate(answered: Answered, sequenceId: number): void {
    const { login, response, nextToClient } = answered;
    const exchange = new auth.AuthExchange({
      bridge: login.bridge,
      check: loginCheck.newLoginCheck(login),
      nextToClient,
      nextToServer: sequenceId + 1,
      connections: this,
    });
    this.#state = { name: 'authentication', login, exchange };
    this.toServer(encodePacket(response, sequenceId));
    if (login.bridge !== null) response.fill(0);
  }
}
