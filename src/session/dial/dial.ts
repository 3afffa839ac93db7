/**
 * Dials the server for one client: each configured upstream in its order, its name resolved again
 * at every dial (to follow a failover) and each of its addresses tried. A server counts as reached
 * when it has greeted; until then the client has seen no byte, and the next may be tried. The start
 * refuses an upstream that is this very proxy, because it would dial itself for ever.
 *
 * Invariant: every wait is bounded. A server that accepted the connection is never just left, not
 * even a slow one: it would count that against the proxy's address (abandon-login.ts).
 */

import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import net from 'node:net';
import { withinMs } from '../../clock.js';
import { describeAddress, leadsTo, type ServerAddress } from '../../connections/server-address.js';
import { UndropError } from '../../errors.js';
import { type ByteStream, KEEP_ALIVE } from '../../relay/byte-stream.js';
import { openByteStream } from '../../relay/raw-handle.js';
import * as v10 from '../../wire/connection/handshake-v10.js';
import type { Endpoint } from '../../wire/connection/proxy-header.js';
import { GrowingBuffer, HEADER_BYTES } from '../../wire/framing.js';
import { AUTH_BYTES_MAX } from '../login/auth-exchange.js';
import { abandonUnanswered } from './abandon-login.js';

/** No more files for this process, for the whole system. */
const OUT_OF_FILES = ['EMFILE', 'ENFILE'];

export interface Dialled {
  readonly socket: net.Socket;
  /** The stream after `greeting`, paused. */
  readonly stream: ByteStream;
  /** The server's first packet, its greeting or an error, and the bytes after it. */
  readonly greeting: Buffer;
  /** The address that was reached; the service connections of this session go there, too. */
  readonly address: ServerAddress;
  /** The local port as the server sees it; null over a unix socket. */
  readonly localPort: number | null;
}

/** For a connection, and then for a greeting. */
const TIMEOUT_MS = 10_000;

export interface DialOptions {
  /**
   * Milliseconds for connecting to one upstream, however many addresses its name has; default: 10
   * seconds.
   */
  readonly connectTimeoutMs?: number;
  /** Milliseconds that a server may take for its greeting; default: 10 seconds. */
  readonly greetingTimeoutMs?: number;
  /** Sent before everything else, to announce the client to the server. */
  readonly announcement?: { readonly header: Buffer; readonly client: Endpoint | null };
  /**
   * Called if an accepted connection ended without a response nevertheless
   * (session/dial/reset-host-errors.ts).
   */
  readonly onBrokenLogin?: (address: ServerAddress) => void;
  /** All addresses of a name; the system's resolver by default. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

/** Set while it is dialled: no further address is tried. */
export interface DialStop {
  isStopped: boolean;
}

/**
 * Dials in order until a server greets, or it is stopped; UNDROP_UPSTREAM_UNREACHABLE names every
 * failed address with its cause.
 */
export async function dialUpstream(
  upstreams: readonly ServerAddress[],
  options: DialOptions = {},
  stop: Readonly<DialStop> = { isStopped: false },
): Promise<Dialled> {
  const { connectTimeoutMs = TIMEOUT_MS } = options;
  const failures: Failure[] = [];
  for (const upstream of upstreams) {
    const deadlineMs = performance.now() + connectTimeoutMs;
    const targets = await addressesOf(upstream, options, failures);
    for (const [index, target] of targets.entries()) {
      if (stop.isStopped) break;
      const leftMs = Math.max(1, deadlineMs - performance.now()) / (targets.length - index);
      try {
        return await dial(target, options, Math.ceil(leftMs));
      } catch (error) {
        const cause = causeOf(error);
        // Another address would fail likewise.
        if (OUT_OF_FILES.includes(cause))
          throw new UndropError('UNDROP_OPEN_FILES', { cause }, error);
        failures.push({ where: describeAddress(target), cause });
      }
    }
  }
  throw unreachable(upstreams, failures);
}

/**
 * Whether one of `upstreams` greets. Dials as for a client that leaves at once, because that needs
 * no account.
 */
export async function greets(
  upstreams: readonly ServerAddress[],
  options: DialOptions,
): Promise<boolean> {
  try {
    await greetingOf(upstreams, options);
    return true;
  } catch (error) {
    if (error instanceof UndropError) return false;
    throw error;
  }
}

/**
 * UNDROP_CONFIG if one of them is this proxy itself, which listens on `bound`. A name that can't be
 * resolved yet is skipped.
 */
export async function assertNotOwn(
  upstreams: readonly ServerAddress[],
  bound: readonly ServerAddress[],
  options: Pick<DialOptions, 'resolve'> = {},
): Promise<void> {
  for (const upstream of upstreams) {
    const targets = await addressesOf(upstream, options, []);
    if (!targets.some((target) => bound.some((own) => leadsTo(target, own)))) continue;
    const problems = `UNDROP_UPSTREAM ${describeAddress(upstream)} is where undrop itself listens (UNDROP_LISTEN): expected the address of the server.`;
    throw new UndropError('UNDROP_CONFIG', { problems });
  }
}

interface Failure {
  readonly where: string;
  readonly cause: string;
}

/** Names each address with its cause; a single address only once. */
function unreachable(
  upstreams: readonly ServerAddress[],
  failures: readonly Failure[],
): UndropError {
  const upstream = upstreams.map(describeAddress).join(', ');
  const causes = failures.map(({ where, cause }) =>
    where === upstream ? cause : `${where} ${cause}`,
  );
  const cause = causes.length === 0 ? 'the client disconnected' : causes.join('; ');
  return new UndropError('UNDROP_UPSTREAM_UNREACHABLE', { upstream, cause });
}

/**
 * The present addresses of `upstream`; UNDROP_UPSTREAM_UNREACHABLE if its name can't be resolved.
 */
export async function resolveUpstream(upstream: ServerAddress): Promise<readonly ServerAddress[]> {
  const failures: Failure[] = [];
  const targets = await addressesOf(upstream, {}, failures);
  if (targets.length === 0) throw unreachable([upstream], failures);
  return targets;
}

/** The addresses of `upstream`; none if its name can't be resolved in time. */
async function addressesOf(
  upstream: ServerAddress,
  options: Pick<DialOptions, 'connectTimeoutMs' | 'resolve'>,
  failures: Failure[],
): Promise<readonly ServerAddress[]> {
  if ('socketPath' in upstream || net.isIP(upstream.host) !== 0) return [upstream];
  const { host, port } = upstream;
  try {
    const { connectTimeoutMs = TIMEOUT_MS, resolve = resolveAll } = options;
    const hosts = await withinMs(connectTimeoutMs, resolve(host));
    if (hosts === null) throw new Error(`no answer within ${connectTimeoutMs} ms`);
    if (hosts.length === 0) failures.push({ where: host, cause: 'its name has no address' });
    return hosts.map((address) => ({ host: address, port, name: host }));
  } catch (error) {
    failures.push({ where: host, cause: causeOf(error) });
    return [];
  }
}

async function resolveAll(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true, verbatim: true });
  return found.map(({ address }) => address);
}

async function dial(
  target: ServerAddress,
  options: DialOptions,
  connectTimeoutMs: number,
): Promise<Dialled> {
  const socket = await connect(target, connectTimeoutMs);
  const stream = openByteStream(socket);
  const { announcement } = options;
  if (announcement !== undefined) stream.write(announcement.header);
  const localPort = announcement?.client?.port ?? socket.localPort ?? null;
  const greeting = await wholeGreeting(socket, stream, {
    timeoutMs: options.greetingTimeoutMs ?? TIMEOUT_MS,
    onBroken: () => options.onBrokenLogin?.(target),
  });
  return { socket, stream, greeting, address: target, localPort };
}

async function connect(target: ServerAddress, timeoutMs: number): Promise<net.Socket> {
  const where =
    'socketPath' in target
      ? { path: target.socketPath }
      : { host: target.host, port: target.port, ...KEEP_ALIVE };
  const socket = net.connect({ ...where, allowHalfOpen: true });
  // Reading begins when its stream is opened.
  socket.pause();
  const timer = setTimeout(() => {
    socket.destroy(new Error(`no connection within ${timeoutMs} ms`));
  }, timeoutMs);
  try {
    await once(socket, 'connect');
  } finally {
    clearTimeout(timer);
  }
  // It may also break between two owners.
  socket.on('error', () => undefined);
  return socket;
}

/**
 * Resolves with the server's first bytes, a whole packet and the bytes after it; the stream is
 * paused then. The login refuses a greeting that is too long.
 */
function wholeGreeting(
  socket: net.Socket,
  stream: ByteStream,
  { timeoutMs, onBroken }: { readonly timeoutMs: number; readonly onBroken: () => void },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const received = new GrowingBuffer();
    const settle = () => {
      clearTimeout(timer);
      socket.off('end', onEnd).off('close', onEnd).off('error', fail);
    };
    const fail = (error: Error) => {
      settle();
      reject(error);
    };
    const onEnd = () => {
      fail(new Error('it closed the connection before its greeting'));
      socket.destroy();
    };
    const timer = setTimeout(() => {
      fail(new Error(`no greeting within ${timeoutMs} ms`));
      abandonUnanswered({ socket, stream, received: received.take(), onBroken });
    }, timeoutMs);
    socket.on('end', onEnd).on('close', onEnd).on('error', fail);
    stream.start((chunk) => {
      received.push(chunk);
      if (received.length < HEADER_BYTES) return;
      const payloadBytes = received.bytes.readUIntLE(0, 3);
      const isComplete = received.length >= HEADER_BYTES + payloadBytes;
      if (!isComplete && payloadBytes <= AUTH_BYTES_MAX) return;
      settle();
      stream.pause();
      resolve(received.take());
    });
  });
}

function causeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

// ── a greeting alone ────────────────────────────────────────────────────────────────────────────

interface Greeting {
  readonly version: string;
  readonly server: v10.ServerVersion;
  /** The address of this host on that connection. */
  readonly seenFrom: string;
}

/**
 * Reads the version of a server from its greeting, without an account. The login that follows is
 * abandoned as that of a client that has gone. The first address that greets counts;
 * UNDROP_UPSTREAM_UNREACHABLE if none does.
 */
export async function readGreeting(addresses: readonly ServerAddress[]): Promise<Greeting> {
  const { greeting, socket } = await greetingOf(addresses);
  const { serverVersion } = v10.decodeHandshakeV10(greeting.subarray(HEADER_BYTES));
  const server = v10.parseServerVersion(serverVersion);
  const seenFrom = socket.localAddress ?? 'localhost';
  return { version: v10.bareVersion(serverVersion), server, seenFrom };
}

async function greetingOf(...dialling: Parameters<typeof dialUpstream>): Promise<Dialled> {
  const dialled = await dialUpstream(...dialling);
  abandonUnanswered({ ...dialled, received: dialled.greeting });
  return dialled;
}
