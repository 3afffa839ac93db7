/**
 * Sessions on real sockets: a fake client, the real listener and sessions, a fake server.
 * Everything that either fake does is the test's; waiting has a deadline and no pauses.
 */
import { once } from 'node:events';
import net from 'node:net';
import { systemClock } from '../../src/clock.js';
import type { ServerAddress } from '../../src/connections/server-address.js';
import type { ServicePool } from '../../src/connections/sql.js';
import { UndropError } from '../../src/errors.js';
import { silentLog, withAudit } from '../../src/log.js';
import { countAudit, newCounters } from '../../src/metrics.js';
import { chooseRelay } from '../../src/relay/raw-handle.js';
import { BoundSockets } from '../../src/session/bound-sockets.js';
import { drain, Listener, type ListenerOptions } from '../../src/session/listener.js';
import { openProxyTls, type TlsSettings } from '../../src/session/login/tls.js';
import { decodeHandshakeResponse41 } from '../../src/wire/connection/handshake-response41.js';
import { encodePacket, HEADER_BYTES } from '../../src/wire/framing.js';
import { decodeErr, encodeErr } from '../../src/wire/response.js';
import { breakOff } from './break-off.js';
import { exchange, payload } from './conversation.js';

/** A busy machine is slow, not wrong. */
const DEADLINE_MS = 60_000;

/** One end of a connection, as a test holds it. */
export class Peer {
  readonly #socket: net.Socket;
  readonly #onData: (chunk: Buffer) => void;
  #chunks: Buffer[] = [];
  #count = 0;
  #isEnded = false;
  #wake: (() => void) | null = null;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#onData = (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#count += chunk.length;
      this.#wake?.();
    };
    socket.on('data', this.#onData);
    const over = () => {
      this.#isEnded = true;
      this.#wake?.();
    };
    socket.on('error', () => undefined);
    socket.on('end', over);
    socket.on('close', over);
  }

  /** What came and was not taken yet. */
  get received(): Buffer {
    const [first, ...more] = this.#chunks;
    if (first === undefined) return Buffer.alloc(0);
    if (more.length > 0) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? first;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  send(...bytes: readonly Buffer[]): void {
    this.#socket.write(Buffer.concat(bytes));
  }

  /** Resolves as soon as `condition` holds; `what` is for the message where it never does. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`never ${what}; received ${this.received.toString('latin1')}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 20));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** The next `count` bytes. */
  async take(count: number): Promise<Buffer> {
    await this.until(`${count} bytes`, () => this.#count >= count);
    const all = this.received;
    this.#chunks = all.length > count ? [all.subarray(count)] : [];
    this.#count -= count;
    return all.subarray(0, count);
  }

  /** The next packet, framed. */
  async packet(): Promise<Buffer> {
    await this.until('a packet', () => this.#count >= HEADER_BYTES);
    return this.take(HEADER_BYTES + this.received.readUIntLE(0, 3));
  }

  /** Resolves when the other side has said that it is over. */
  ended(): Promise<void> {
    return this.until('the end', () => this.#isEnded);
  }

  /** Leaves the socket to somebody else (TLS), with what came and was not taken. */
  handOver(): net.Socket {
    this.#socket.off('data', this.#onData);
    this.#socket.pause();
    if (this.#count > 0) this.#socket.unshift(this.received);
    return this.#socket;
  }

  /** Says that no more will come. */
  end(): void {
    this.#socket.end();
  }

  /** Is gone without a word. */
  destroy(): void {
    breakOff(this.#socket);
  }
}

export type Bench = Awaited<ReturnType<typeof openBench>>;

/** What differs from the listener's own; by default it is before the fake server. */
export interface BenchOptions extends Omit<Partial<ListenerOptions>, 'tls'> {
  /** By default neither leg has any. */
  readonly tls?: Partial<TlsSettings>;
  /** By default one free port. */
  readonly listen?: readonly ServerAddress[];
}

/** A login without TLS, to its OK. */
export const LOGIN = exchange('mysql-9.7/deprecate-eof', 'login').spoken;
export const [GREETING = Buffer.alloc(0), RESPONSE = Buffer.alloc(0)] = LOGIN.map(
  ({ packet }) => packet,
);
export const PING = encodePacket(Buffer.of(0x0e), 0);
export const OK = encodePacket(Buffer.from('00000002000000', 'hex'), 1);
export const queryPacket = (text: string) => encodePacket(Buffer.from(`\x03${text}`), 0);

/** By streams first: raw handles are tried for once, and used from then on. */
export const WAYS = ['streams', 'raw handles'];

export async function useWay(way: string): Promise<void> {
  if (way === 'raw handles') expect(await chooseRelay()).toBe('raw');
}

/** With none on either leg. */
export const NO_TLS: TlsSettings = {
  ...{ listen: [], upstream: [], tls: 'off', upstreamTls: 'disabled' },
  ...{ tlsCert: '', tlsKey: '' },
  ...{ upstreamCa: '', upstreamCert: '', upstreamKey: '', upstreamPublicKey: 'auto' },
};

/** Opens a listener before a fake server. */
export async function openBench(options: BenchOptions = {}) {
  const arrived: Peer[] = [];
  const waiting: ((peer: Peer) => void)[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    const peer = new Peer(socket);
    const next = waiting.shift();
    if (next === undefined) arrived.push(peer);
    else next(peer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const { tls, listen = [{ host: '127.0.0.1', port: 0 }], ...over } = options;
  const { counters = newCounters() } = over;
  const isOffered = tls?.tlsCert !== undefined;
  const listener = new Listener({
    tls: await openProxyTls({ ...NO_TLS, tls: isOffered ? 'offered' : 'off', ...tls }),
    upstreams: [{ host: '127.0.0.1', port }],
    connectionsMax: 100,
    connectTimeoutMs: DEADLINE_MS,
    greetingTimeoutMs: DEADLINE_MS,
    loginTimeoutMs: DEADLINE_MS,
    headerTimeoutMs: DEADLINE_MS,
    isAnnounced: () => false,
    announceUpstream: false,
    log: withAudit(silentLog, countAudit(counters)),
    counters,
    serviceFor: () => () => ({
      pool: noPool,
      proxyId: 'a proxy',
      holdMs: 1,
      protect: new Set(['drop-table', 'drop-database', 'create-or-replace']),
      activeIds: new Set(),
      onUnsettled: () => undefined,
      stopping: new AbortController().signal,
    }),
    background: () => undefined,
    onHeld: () => undefined,
    onBrokenLogin: () => undefined,
    ...over,
  });
  const bound = new BoundSockets();
  const wanted = listen.map((address) => ({ purpose: 'listen', address }) as const);
  let addresses: readonly ServerAddress[] = [];
  try {
    const listening = await bound.bind(wanted);
    addresses = listening.map(({ address }) => address);
    await listener.open(listening);
  } catch (error) {
    bound.keepOnly([]);
    server.close();
    throw error;
  }
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    await endListener(listener, { timeoutMs: 0 });
    bound.keepOnly([]);
    await once(server.close(), 'close');
  };
  return {
    counters,
    listener,
    addresses,
    /** A client, of the first address by default; the server's side of it comes by `accepted`. */
    client: async (address = addresses[0]) => {
      if (address === undefined) throw new Error('nothing listens');
      const target = 'socketPath' in address ? { path: address.socketPath } : address;
      const socket = net.connect({ ...target, noDelay: true, allowHalfOpen: true });
      sockets.add(socket);
      await once(socket, 'connect');
      return new Peer(socket);
    },
    /** The next connection that arrives at the fake server. */
    accepted: async () => arrived.shift() ?? new Promise<Peer>((resolve) => waiting.push(resolve)),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Drains it; at once where nothing else is said. */
export function endListener(
  listener: Listener,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<void> {
  const { timeoutMs, signal = new AbortController().signal } = options;
  const times = { waitMs: 0, timeoutMs, signal };
  return drain(listener, times, { clock: systemClock, log: silentLog });
}

/** Where no statement of ours gets as far as the service. */
const noPool: ServicePool = new Proxy({} as ServicePool, {
  get: () => {
    const facts = { step: 'run a statement', server: 'none', cause: 'this session has no service' };
    throw new UndropError('UNDROP_SERVICE_FAILED', facts);
  },
});

export type Connected = { readonly client: Peer; readonly server: Peer };

/** Plays the login of a captured conversation to its OK. */
export async function logIn(bench: Bench, name = 'mysql-9.7/deprecate-eof'): Promise<Connected> {
  const { spoken } = exchange(name, 'login');
  const client = await bench.client();
  const server = await bench.accepted();
  for (const { by, packet } of spoken) {
    const [from, to] = by === 'server' ? [server, client] : [client, server];
    await arrives(from, to, packet);
  }
  return { client, server };
}

/** What one end sends arrives at its length, as a greeting does that the proxy rewrites. */
export async function arrives(from: Peer, to: Peer, sent: Buffer): Promise<void> {
  from.send(sent);
  await to.take(sent.length);
}

/** What one end sends arrives at the other as it is. */
export async function passes(from: Peer, to: Peer, ...bytes: readonly Buffer[]): Promise<void> {
  const sent = Buffer.concat(bytes);
  from.send(sent);
  const arrived = await to.take(sent.length);
  if (!arrived.equals(sent)) expect(arrived.toString('hex')).toBe(sent.toString('hex'));
}

/** The next packet, which is an error. */
export async function errorTo(client: Peer) {
  const packet = await client.packet();
  const { errno, sqlState, message } = decodeErr(payload(packet));
  return { errno, sqlState, text: message.toString(), sequenceId: packet[3] };
}

/** The server gets a login of nobody, which it refuses, instead of a broken handshake. */
export async function serverIsExcused(server: Peer, sequenceId = 1): Promise<void> {
  const polite = await server.packet();
  expect(polite[3]).toBe(sequenceId);
  expect(decodeHandshakeResponse41(payload(polite)).user).toBe('');
  await serverRefuses(server, sequenceId + 1);
}

export async function serverRefuses(server: Peer, sequenceId: number): Promise<void> {
  const message = Buffer.from('Access denied');
  server.send(encodePacket(encodeErr({ errno: 1045, sqlState: '28000', message }), sequenceId));
  await server.ended();
  server.end();
}

/** Answers the marker that the proxy sends next, as a server does. */
export async function answerMarker(server: Peer): Promise<void> {
  const marker = await server.packet();
  const text = /undrop_[0-9a-f]{24}/.exec(payload(marker).toString('latin1'))?.[0];
  if (text === undefined) throw new Error(`no marker: ${marker.toString('latin1')}`);
  const message = Buffer.from(`You have an error in your SQL syntax; near '${text}' at line 1`);
  server.send(encodePacket(encodeErr({ errno: 1064, sqlState: '42000', message }), 1));
}
