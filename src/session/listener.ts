/**
 * Listens for clients on TCP and unix sockets and keeps the open sessions.
 *
 * Invariant: one session's trouble is its own; a listener goes on until it is closed. A stale
 * socket file is removed only where nothing listens on it.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import net from 'node:net';
import { toClientError, UndropError } from '../errors.js';
import type { Log } from '../log.js';
import type { Counters } from '../metrics.js';
import { describeAddress } from '../service/address.js';
import type { ServerAddress } from '../service/pools.js';
import { encodePacket } from '../wire/framing.js';
import { encodeErr } from '../wire/response/err.js';
import { type Dialled, dialUpstream } from './connect.js';
import type { Drainable } from './drain.js';
import type { DropService } from './intercept.js';
import type { Permits } from './permits.js';
import { Session } from './session.js';
import { endSoon, KEEP_ALIVE } from './sockets.js';
import type { ProxyTls } from './tls.js';

/** What may change while sessions are open; each new one takes what holds then. */
export interface SessionSettings {
  /** Milliseconds for connecting to one upstream, and for its greeting. */
  readonly connectTimeoutMs: number;
  readonly greetingTimeoutMs: number;
  /** Milliseconds that a client may take for each answer of its login. */
  readonly loginTimeoutMs: number;
}

export interface ListenerOptions {
  readonly listen: readonly ServerAddress[];
  readonly upstreams: readonly ServerAddress[];
  readonly permits: Permits;
  readonly tls: ProxyTls;
  settings(): SessionSettings;
  readonly log: Log;
  readonly counters: Counters;
  serviceFor(dialled: Dialled): DropService;
  background(work: Promise<void>): void;
  onHeld(): void;
}

/** A flood of clients is no flood of lines. */
const REFUSALS_LOGGED_EVERY_MS = 10_000;

export class Listener implements Drainable {
  readonly #options: ListenerOptions;
  readonly #servers: net.Server[] = [];
  readonly #sessions = new Set<Session>();
  #isEnding = false;
  #onEmpty: (() => void) | null = null;
  #refusalLoggedMs = Number.NEGATIVE_INFINITY;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  get openSessions(): number {
    return this.#sessions.size;
  }

  /** Opens every address; where one fails, none stays open. Returns them as they are bound. */
  async open(): Promise<readonly ServerAddress[]> {
    const bound: ServerAddress[] = [];
    try {
      for (const address of this.#options.listen) bound.push(await this.#listen(address));
      return bound;
    } catch (error) {
      for (const server of this.#servers) server.close();
      throw error;
    }
  }

  /** Stops accepting; open sessions go on. */
  stopAccepting(): void {
    for (const server of this.#servers) server.close();
    this.#servers.length = 0;
  }

  endWhenIdle(onEmpty: () => void): void {
    this.#isEnding = true;
    this.#onEmpty = onEmpty;
    for (const session of [...this.#sessions]) session.drain();
    if (this.#sessions.size === 0) onEmpty();
  }

  cut(): void {
    for (const session of [...this.#sessions]) session.destroy();
  }

  async #listen(address: ServerAddress): Promise<ServerAddress> {
    if ('socketPath' in address) await removeStaleSocket(address.socketPath);
    const server = net.createServer(
      { pauseOnConnect: true, allowHalfOpen: true, ...KEEP_ALIVE },
      (client) => this.#accept(client),
    );
    await new Promise<void>((resolve, reject) => {
      const onError = (cause: NodeJS.ErrnoException) => {
        const name = describeAddress(address);
        reject(new UndropError('UNDROP_LISTEN', { address: name, cause: cause.message }, cause));
      };
      server.once('error', onError);
      const onListening = () => {
        server.off('error', onError);
        resolve();
      };
      if ('socketPath' in address) server.listen(address.socketPath, onListening);
      else server.listen(address.port, address.host, onListening);
    });
    server.on('error', (error) => {
      this.#options.log.error({ err: error }, 'a client could not be accepted');
    });
    this.#servers.push(server);
    if ('socketPath' in address) {
      // Who may reach the server's own socket may reach ours: the accounts decide.
      chmodSync(address.socketPath, 0o777);
      return address;
    }
    const bound = server.address();
    if (bound === null || typeof bound === 'string') return address;
    return { host: bound.address, port: bound.port };
  }

  #accept(client: net.Socket): void {
    const answer = this.#options.permits.take();
    if (typeof answer === 'boolean') return this.#admit(client, answer);
    answer
      .then((isAllowed) => this.#admit(client, isAllowed))
      .catch((error: unknown) => {
        this.#options.log.error({ err: error }, 'a client could not be let in');
        client.destroy();
      });
  }

  #admit(client: net.Socket, isAllowed: boolean): void {
    if (isAllowed) this.#begin(client);
    else this.#refuse(client);
  }

  #begin(client: net.Socket): void {
    const { counters, permits, upstreams } = this.#options;
    const settings = this.#options.settings();
    counters.sessionsTotal++;
    counters.sessionsOpen++;
    const session = new Session({
      ...this.#options,
      ...settings,
      client,
      clientAddress: describeClient(client),
      dial: (signal) => dialUpstream(upstreams, settings, signal),
      onClose: () => {
        counters.sessionsOpen--;
        permits.give();
        this.#sessions.delete(session);
        if (this.#sessions.size === 0) this.#onEmpty?.();
      },
    });
    this.#sessions.add(session);
    session.start().catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'a session could not start');
    });
    // It was on its way in.
    if (this.#isEnding) session.drain();
  }

  /** In the shape of an error before the greeting: without SQLSTATE. */
  #refuse(client: net.Socket): void {
    const { counters, permits, log } = this.#options;
    counters.sessionsRefused++;
    const error = new UndropError('UNDROP_TOO_MANY_CONNECTIONS', { connectionsMax: permits.max });
    const nowMs = performance.now();
    if (nowMs - this.#refusalLoggedMs > REFUSALS_LOGGED_EVERY_MS) {
      this.#refusalLoggedMs = nowMs;
      const fields = { client: describeClient(client), refused: counters.sessionsRefused };
      log.warn({ ...fields, code: error.code }, error.message);
    }
    const { errno, message } = toClientError(error, '');
    client.on('error', () => client.destroy());
    client.write(
      encodePacket(encodeErr({ errno, sqlState: null, message: Buffer.from(message) }), 0),
    );
    endSoon(client);
    client.resume();
  }
}

function describeClient(client: net.Socket): string {
  if (client.remoteAddress === undefined) return 'unix socket';
  return describeAddress({ host: client.remoteAddress, port: client.remotePort ?? 0 });
}

/** A socket file that nothing listens on is what a killed process left. */
async function removeStaleSocket(path: string): Promise<void> {
  try {
    if (!lstatSync(path).isSocket()) return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = net.connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (!isAlive) unlinkSync(path);
}
