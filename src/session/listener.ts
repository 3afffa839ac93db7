/**
 * Listens for clients on TCP and unix sockets and keeps the open sessions.
 *
 * Invariant: a failure of one session affects no other; a listener runs until it is closed.
 */
import net from 'node:net';
import type { Clock } from '../clock.js';
import { describeAddress, type ServerAddress } from '../connections/server-address.js';
import { faultOf, LOG_LEVELS, UndropError } from '../errors.js';
import { type Log, withSeldom } from '../log.js';
import { type ByteStream, catching, endSoon, KEEP_ALIVE } from '../relay/byte-stream.js';
import { openByteStream } from '../relay/raw-handle.js';
import { type Endpoint, encodeProxyHeader } from '../wire/connection/proxy-header.js';
import { type BoundSocket, listenOn } from './bound-sockets.js';
import { type DialOptions, dialUpstream } from './dial/dial.js';
import { readProxyHeader } from './dial/proxy-protocol.js';
import { type DrainStage, Session, type SessionSurroundings } from './session.js';
import { finalError } from './session-report.js';

export interface ListenerOptions
  extends SessionSurroundings,
    Pick<DialOptions, 'connectTimeoutMs' | 'greetingTimeoutMs'> {
  readonly upstreams: readonly ServerAddress[];
  /** The maximum of sessions at a time; a client above it gets the server's own error (1040). */
  readonly connectionsMax: number;
  /** Whether a connection begins with a header of the PROXY protocol. */
  isAnnounced(client: net.Socket): boolean;
  /** Milliseconds until that header is there. */
  readonly headerTimeoutMs: number;
  /** Whether undrop sends one to the server. */
  readonly announceUpstream: boolean;
  /** Whether a new client was passed on to another process; default: none is. */
  divert?(client: net.Socket): boolean;
  /** A session has begun or ended. */
  onChange?(): void;
}

const REFUSALS_LOGGED_EVERY_MS = 10_000;
const AWAY_LOGGED_EVERY_MS = 1_000;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #servers: net.Server[] = [];
  readonly #sessions = new Set<Session>();
  #ending: DrainStage | null = null;
  #onEmpty: (() => void) | null = null;
  /** Connections that still have to send their header, and are no session yet. */
  #readingHeaders = 0;
  /**
   * `performance.now()` of the next log line on a refusal, so that a flood of clients doesn't flood
   * the log.
   */
  #nextLineMs = 0;

  constructor(options: ListenerOptions) {
    const onThrown = (error: unknown) =>
      options.log.error({ err: error }, 'cannot complete a login; closing the connection');
    const onBrokenLogin = catching(options.onBrokenLogin, onThrown);
    this.#options = { ...options, onBrokenLogin, log: withFewAway(options.log) };
  }

  get openSessions(): number {
    return this.#sessions.size;
  }

  /** Accepts clients on bound sockets; if it can't on one, on none. */
  async open(sockets: readonly BoundSocket[]): Promise<void> {
    try {
      for (const bound of sockets) await this.#listen(bound);
    } catch (error) {
      this.stopAccepting();
      throw error;
    }
  }

  /** Stops accepting; open sessions go on. */
  stopAccepting(): void {
    for (const server of this.#servers) server.close();
    this.#servers.length = 0;
  }

  /**
   * Each session ends after an answer (`stage`); `onEmpty` is called when none is left. It may be
   * called again.
   */
  endWhenIdle(stage: DrainStage, onEmpty: () => void): void {
    this.#ending = stage;
    this.#onEmpty = onEmpty;
    for (const session of [...this.#sessions]) session.drain(stage);
    if (this.#isEmpty) onEmpty();
  }

  /** Resolves when no session is open or about to begin, or `over` is aborted. */
  whenEmpty(over: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isEmpty || over.aborted) return resolve();
      this.#onEmpty = resolve;
      over.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /** All sessions end now. */
  cut(): void {
    for (const session of [...this.#sessions]) session.destroy();
  }

  get #isEmpty(): boolean {
    return this.#sessions.size + this.#readingHeaders === 0;
  }

  async #listen(bound: BoundSocket): Promise<void> {
    const server = net.createServer(
      { pauseOnConnect: true, allowHalfOpen: true, ...KEEP_ALIVE },
      (client) => {
        if (this.#options.divert?.(client) !== true) this.accept(client);
      },
    );
    this.#servers.push(server);
    await listenOn(server, bound);
    server.on('error', (error) => {
      this.#options.log.error({ err: error }, 'cannot accept a client');
    });
  }

  /** A client that this process has accepted, or another one. */
  accept(socket: net.Socket): void {
    // No other listener is attached while its header is read.
    socket.on('error', () => undefined);
    try {
      const arrived = { socket, stream: openByteStream(socket), client: endpointOf(socket) };
      if (this.#options.isAnnounced(socket)) this.#readHeader(arrived);
      else this.#letIn(arrived);
    } catch (error) {
      this.#cutOff(socket, error);
    }
  }

  /** A connection counts as a session once it has announced its client. */
  #readHeader(arrived: Arrived): void {
    const { socket, stream } = arrived;
    const { connectionsMax, headerTimeoutMs } = this.#options;
    if (this.#readingHeaders >= connectionsMax) return this.#refuse(arrived);
    this.#readingHeaders++;
    readProxyHeader(socket, stream, headerTimeoutMs)
      .then((header) => {
        if (header === null) endSoon(socket);
        else this.#letIn({ ...arrived, client: header.client ?? arrived.client });
      })
      .catch((error: unknown) => this.#turnAway(arrived, error))
      .finally(() => {
        this.#readingHeaders--;
        if (this.#isEmpty) this.#onEmpty?.();
      });
  }

  #letIn(arrived: Arrived): void {
    if (this.#sessions.size < this.#options.connectionsMax) this.#begin(arrived);
    else this.#refuse(arrived);
  }

  #begin({ socket, stream, client }: Arrived): void {
    const { counters, upstreams } = this.#options;
    const dialling = this.#dialOptionsFor(socket, client);
    counters.sessionsTotal++;
    counters.sessionsOpen++;
    const session = new Session(this.#options, {
      client: socket,
      clientStream: stream,
      clientAddress: nameOf(client),
      dial: (stop) => dialUpstream(upstreams, dialling, stop),
      onClose: () => {
        counters.sessionsOpen--;
        this.#sessions.delete(session);
        try {
          this.#options.onChange?.();
        } finally {
          if (this.#isEmpty) this.#onEmpty?.();
        }
      },
    });
    this.#sessions.add(session);
    this.#options.onChange?.();
    session.start().catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'cannot start a session; closing the connection');
    });
    // It was accepted before.
    if (this.#ending !== null) session.drain(this.#ending);
  }

  #dialOptionsFor(socket: net.Socket, client: Endpoint | null): DialOptions {
    if (!this.#options.announceUpstream) return this.#options;
    const { localAddress, localPort = 0 } = socket;
    const to = localAddress === undefined ? null : { host: localAddress, port: localPort };
    return { ...this.#options, announcement: { header: encodeProxyHeader(client, to), client } };
  }

  #refuse(arrived: Arrived): void {
    const { counters, connectionsMax } = this.#options;
    counters.sessionsRefused++;
    this.#turnAway(arrived, new UndropError('UNDROP_TOO_MANY_CONNECTIONS', { connectionsMax }));
  }

  #cutOff(socket: net.Socket, error: unknown): void {
    this.#options.log.error({ err: error }, 'cannot serve a client; closing the connection');
    socket.destroy();
  }

  /** The error has the form of one before the greeting: it has no SQLSTATE. */
  #turnAway({ socket, stream, client }: Arrived, error: unknown): void {
    const { log, counters } = this.#options;
    try {
      const { packet, reference } = finalError({ name: 'dialling' }, error);
      if (performance.now() >= this.#nextLineMs) {
        this.#nextLineMs = performance.now() + REFUSALS_LOGGED_EVERY_MS;
        const fields = { client: nameOf(client), refused: counters.sessionsRefused, reference };
        log[LOG_LEVELS[faultOf(error)]]({ ...fields, err: error }, 'refused a client');
      }
      socket.on('error', () => socket.destroy());
      if (packet !== null && socket.writable) socket.write(packet);
      endSoon(socket);
      stream.start(() => undefined);
    } catch (thrown) {
      this.#cutOff(socket, thrown);
    }
  }
}

/** While no server answers, each client would have a line. */
function withFewAway(log: Log): Log {
  const isAway = (fields: object) => {
    const { err } = fields as { readonly err?: unknown };
    return err instanceof UndropError && err.code === 'UNDROP_UPSTREAM_UNREACHABLE';
  };
  const nowMs = () => performance.now();
  return withSeldom(log, isAway, { everyMs: AWAY_LOGGED_EVERY_MS, nowMs });
}

/** An accepted connection. */
interface Arrived {
  readonly socket: net.Socket;
  readonly stream: ByteStream;
  /** The client's address, if it is known; null at a unix socket. */
  readonly client: Endpoint | null;
}

function endpointOf({ remoteAddress, remotePort = 0 }: net.Socket): Endpoint | null {
  return remoteAddress === undefined ? null : { host: remoteAddress, port: remotePort };
}

function nameOf(client: Endpoint | null): string {
  return client === null ? 'unix socket' : describeAddress(client);
}

// ── the shutdown ────────────────────────────────────────────────────────────────────────────────

export interface DrainOptions {
  /** Milliseconds during which clients are still accepted. */
  readonly waitMs: number;
  /** Milliseconds that sessions then have to end. */
  readonly timeoutMs: number;
  /** Aborted: everything ends at once. */
  readonly signal: AbortSignal;
}

/** The listener, as far as a drain uses it. */
export type Drainable = Pick<Listener, 'openSessions' | 'stopAccepting' | 'endWhenIdle' | 'cut'>;

/**
 * The shutdown of a listener, in two steps. First undrop still accepts clients for a while, because
 * a load balancer needs a moment to notice. Then it accepts no more. A session ends after its next
 * answer outside of a transaction, as soon as no statement is lost by it (last-answer.ts). The rest
 * is cut off when the time is over.
 *
 * Invariant: it ends in a bounded time, whatever clients and servers do.
 */
export async function drain(
  listener: Drainable,
  { waitMs, timeoutMs, signal }: DrainOptions,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<void> {
  const say = (step: string, message: string) => {
    log.info({ event: 'draining', step, sessions: listener.openSessions }, message);
  };
  if (waitMs > 0) {
    say('wait', 'will shut down; still accepting clients');
    await clock.sleep(waitMs, signal);
  }
  listener.stopAccepting();
  say('close', 'stopped accepting clients; sessions end after their next statements');
  const empty = new AbortController();
  const over = AbortSignal.any([signal, empty.signal]);
  const stages = [['idle-stay', 2] as const, ['used-stay', 4] as const, ['used-end', 4] as const];
  for (const [stage, part] of stages) {
    listener.endWhenIdle(stage, () => empty.abort());
    await clock.sleep(timeoutMs / part, over);
  }
  if (listener.openSessions > 0) say('cut', 'cutting off the sessions that are left');
  listener.cut();
}
