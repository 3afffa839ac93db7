/**
 * The door to the server: the pool of service connections, by @databases/mysql over mysql2.
 * One pool for each (process, dialled address), shared by interceptor and collector.
 *
 * Invariant: every text runs under our own session settings (sql_mode '' above all, as values are
 * escaped on this side), in one round trip, and ends by its deadline: the driver has none.
 */

import { readFileSync } from 'node:fs';
import type { ConnectionPool } from '@databases/mysql';
import type { SslOptions } from 'mysql2/promise';
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { Log } from '../../log.js';
import { ER_NO_SUCH_THREAD } from '../../wire/server-errors.js';
import { newWay } from '../databases.js';
import { connectError, isServerError } from '../errors.js';
import { logIn, type ServiceLogin } from '../login/driver-login.js';
import { isOnThisMachine, type ServerKeySetting } from '../login/server-key.js';
import { note, type SQLQuery, sql } from '../sql.js';
import { BoundedPool } from './bounded-pool.js';
import { Lease } from './lease.js';
import { WAITS_FOR_LOCK } from './statement-timeout.js';

export { isServerError, ServerError, unlessRefused } from '../errors.js';

/** Where the server listens. */
export type ServerAddress =
  | {
      readonly host: string;
      readonly port: number;
      /** As it was configured, where `host` is what that resolved to; certificates have it. */
      readonly name?: string;
    }
  | { readonly socketPath: string };

/** TLS of service connections. */
export interface ServiceTls {
  /** Where the server offers none, go on without. */
  readonly isOptional: boolean;
  /** Whether its certificate is checked, and the name in it. */
  readonly verifies: boolean;
  readonly verifiesName: boolean;
  /** Authorities in PEM; null for those that Node knows. */
  readonly ca: string | null;
  /** What the server may know us by, in PEM; null for nothing. */
  readonly identity: { readonly cert: string; readonly key: string } | null;
}

/** How the password of a service connection is kept from others on the way. */
export interface ServiceSecurity {
  /** Null: none. */
  readonly tls: ServiceTls | null;
  readonly serverKey: ServerKeySetting;
}

/** BIGINT comes as bigint, DECIMAL as string, DATETIME as a Date in UTC, BLOB as Buffer. */
export type Value = string | number | bigint | Date | Buffer | null;
export type Row = Readonly<Record<string, Value>>;

/** The answer to one statement: its rows (none for an OK), and the OK's count. */
export type Rows = readonly Row[] & { readonly affectedRows: number };

export interface RunOptions {
  /** Milliseconds until the connection is given up and destroyed; default 10,000. */
  readonly deadlineMs?: number;
  /** False runs the text with sql_log_bin off; 1227 where the account may not. Default true. */
  readonly logged?: boolean;
  /**
   * One more statement at the end of the text, as bytes in the charset that the text has set before
   * it; its answer comes last. Nothing can be run behind it: the connection is destroyed.
   */
  readonly last?: Buffer;
}

export interface ServiceConnection {
  /**
   * Runs one text (an array is joined by `;`): one round trip, one `Rows` a statement. Stops at the
   * first error and rejects with the server's own (`isServerError`), or with UNDROP_DEADLINE, or
   * with UNDROP_SERVICE_FAILED where the connection broke (UNDROP_UPSTREAM_UNREACHABLE
   * or UNDROP_UPSTREAM_TLS where there was none). Outside a task an error costs the
   * connection, so nothing half open is ever given to the next one.
   */
  run(text: SQLQuery | readonly SQLQuery[], options?: RunOptions): Promise<readonly Rows[]>;
}

/** A connection for as long as a task lasts. */
export interface TaskConnection extends ServiceConnection {
  /** The server's id of this connection, for KILL QUERY. */
  readonly threadId: number;
  /** The connection is destroyed after the task. */
  discard(): void;
}

export interface ServicePool extends ServiceConnection {
  /**
   * Gives `fn` one connection for itself: GET_LOCK and session variables last through server errors
   * in it, not through a deadline. Where `fn` throws, the connection is destroyed. `apart`: on none
   * that the pool goes on with, where it has but one (the collector's).
   */
  task<T>(
    fn: (connection: TaskConnection) => Promise<T>,
    options?: { readonly apart?: boolean },
  ): Promise<T>;
  /** KILL QUERY, on a connection kept apart, so that a full pool can't delay it. */
  killQuery(threadId: number): Promise<void>;
  /** Whether a statement of ours waits for somebody's lock there; asked on the same connection. */
  isWaiting(threadId: number): Promise<boolean>;
  /** Closes what is idle, waits (bounded) for what is running. May be called twice. */
  dispose(): Promise<void>;
}

/** A pool as its owner has it. */
export interface OwnedPool extends ServicePool {
  /** For connections that are opened from now on; where it is another, all are replaced. */
  useTls(security: ServiceSecurity): void;
  /** What is done from now on is done on connections that are opened from now on. */
  renew(): void;
  /**
   * Gives `fn` a connection that is opened for it, in the place of the one for KILL QUERY, which
   * waits meanwhile.
   */
  afresh<T>(fn: (connection: ServiceConnection) => Promise<T>): Promise<T>;
}

/** Default: no TLS, and the server's key by `auto`. */
export interface ServicePoolOptions extends Partial<ServiceSecurity> {
  readonly address: ServerAddress;
  readonly user: string;
  readonly password: string;
  /** Read for each connection, in the place of `password`; empty for none. */
  readonly passwordFile?: string;
  /** At least 2; there is one more for KILL QUERY. */
  readonly connectionsMax: number;
  readonly log: Log;
}

/** Opens the pool; connects when first used. */
export function openServicePool(options: ServicePoolOptions): OwnedPool {
  return new Pool(options);
}

const CONNECT_TIMEOUT_MS = 5_000;
const QUEUE_TIMEOUT_MS = 10_000;
const KILL_DEADLINE_MS = 2_000;
const DISPOSE_WITHIN_MS = 2_000;

/** Thrown out of a task of the library, so that it destroys the connection. */
const DISCARD = new Error('This service connection is not to be used again.');

class Pool implements OwnedPool {
  readonly #options: ServicePoolOptions;
  readonly #server: string;
  readonly #way = newWay((options) => logIn(options, this.#login));
  #security: ServiceSecurity;
  #login: ServiceLogin;
  /** What the password file said last. */
  #password: string;
  /** The last connection could have no TLS, and that was said. */
  #isPlain = false;
  readonly #main: BoundedPool;
  /** One connection, for what can't wait. */
  readonly #side: BoundedPool;
  #disposed: Promise<void> | null = null;

  constructor(options: ServicePoolOptions) {
    assert(options.connectionsMax >= 2, 'a service pool has two connections or more');
    this.#options = options;
    const { address } = options;
    this.#server = 'host' in address ? `${address.host}:${address.port}` : address.socketPath;
    this.#password = options.password;
    const { tls = null, serverKey = 'auto' } = options;
    this.#security = { tls, serverKey };
    this.#login = this.#newLogin();
    this.#main = this.#bounded(options.connectionsMax);
    this.#side = this.#bounded(1);
  }

  run(text: SQLQuery | readonly SQLQuery[], options: RunOptions = {}): Promise<readonly Rows[]> {
    return this.#run('main', text, options);
  }

  task<T>(fn: (connection: TaskConnection) => Promise<T>): Promise<T> {
    return this.#lease('main', fn);
  }

  async killQuery(threadId: number): Promise<void> {
    await this.#kill(sql`KILL QUERY ${threadId}`);
  }

  async isWaiting(threadId: number): Promise<boolean> {
    const look = sql`SELECT ${note('waits')} 1 FROM information_schema.PROCESSLIST
      WHERE ID = ${threadId} AND ${WAITS_FOR_LOCK}`;
    const [rows = []] = await this.#run('side', look, { deadlineMs: KILL_DEADLINE_MS });
    return rows.length > 0;
  }

  useTls(security: ServiceSecurity): void {
    if (JSON.stringify(security) === JSON.stringify(this.#security)) return;
    this.#security = { tls: security.tls, serverKey: security.serverKey };
    this.#login = this.#newLogin();
    this.#reopen();
  }

  renew(): void {
    this.#reopen();
  }

  afresh<T>(fn: (connection: ServiceConnection) => Promise<T>): Promise<T> {
    if (this.#disposed === null) this.#side.renew();
    return this.#lease('side', fn);
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #run(
    pool: 'main' | 'side',
    text: SQLQuery | readonly SQLQuery[],
    options: RunOptions,
  ): Promise<readonly Rows[]> {
    const { deadlineMs = QUEUE_TIMEOUT_MS } = options;
    const startMs = performance.now();
    const fn = (lease: TaskConnection) => {
      const leftMs = Math.ceil(deadlineMs - (performance.now() - startMs));
      return lease.run(text, { ...options, deadlineMs: leftMs });
    };
    return this.#lease(pool, fn, deadlineMs);
  }

  /**
   * Rejects as soon as `fn` does, while the library is still busy with getting rid of the
   * connection; resolves only when the connection is back.
   */
  #lease<T>(
    pool: 'main' | 'side',
    fn: (lease: Lease) => Promise<T>,
    acquireWithinMs = CONNECT_TIMEOUT_MS + QUEUE_TIMEOUT_MS,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      let state: 'waiting' | 'begun' | 'given-up' = 'waiting';
      const timer = setTimeout(() => {
        state = 'given-up';
        reject(this.#deadline(acquireWithinMs));
      }, acquireWithinMs);
      const from = pool === 'main' ? this.#main : this.#side;
      const isWanted = () => state === 'waiting';
      const pooled = from.task(isWanted, async (connection) => {
        if (state === 'given-up') throw DISCARD;
        clearTimeout(timer);
        state = 'begun';
        const lease = new Lease(connection, {
          server: this.#server,
          onDeadline: (threadId) => this.#abandon(pool, threadId),
        });
        try {
          const value = await fn(lease);
          if (!lease.spoilt) return value;
          resolve(value);
        } catch (error) {
          lease.discard();
          reject(error);
        } finally {
          lease.close();
        }
        throw DISCARD;
      });
      pooled.then(resolve, (error: unknown) => {
        clearTimeout(timer);
        reject(connectError(error, this.#server));
      });
    });
  }

  #newLogin(): ServiceLogin {
    const { address, user } = this.#options;
    const { tls, serverKey } = this.#security;
    const useful = usefulTls(tls, address);
    return {
      address,
      user,
      tls: useful === null ? null : { wanted: useful, ssl: driverTls(useful) },
      serverKey,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      password: () => this.#readPassword(),
      onOffer: (offersTls) => this.#onOffer(offersTls),
    };
  }

  /** Anew for each connection, so that a rotation takes no restart. */
  #readPassword(): string {
    const { passwordFile = '', log } = this.#options;
    if (passwordFile === '') return this.#password;
    try {
      this.#password = readFileSync(passwordFile, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      log.warn({ err: error }, 'UNDROP_PASSWORD_FILE can not be read; what it said last is taken');
    }
    return this.#password;
  }

  /** A server without TLS is said once, until one with it has been seen there. */
  #onOffer(offersTls: boolean): void {
    if (!offersTls && !this.#isPlain) {
      const fields = { event: 'upstream-plain', server: this.#server };
      // On this machine nobody stands in between.
      const level = isOnThisMachine(this.#options.address) ? 'debug' : 'warn';
      const said = 'the server offers no TLS: the service account logs in without';
      this.#options.log[level](fields, said);
    }
    this.#isPlain = !offersTls;
  }

  #reopen(): void {
    if (this.#disposed !== null) return;
    this.#main.renew();
    this.#side.renew();
  }

  /**
   * No answer by the deadline: the way to the server may be dead, and the statement may still run.
   */
  #abandon(pool: 'main' | 'side', threadId: number): void {
    if (pool === 'side' || this.#disposed !== null) return;
    // Idle connections over a dead way would cost a deadline each: all are replaced.
    this.#main.renew();
    this.#kill(sql`KILL ${threadId}`).catch((error: unknown) => {
      this.#options.log.debug({ err: error, threadId }, 'could not kill an abandoned statement');
    });
  }

  async #kill(text: SQLQuery): Promise<void> {
    try {
      await this.#run('side', text, { deadlineMs: KILL_DEADLINE_MS });
    } catch (error) {
      // It is gone already.
      if (!isServerError(error, ER_NO_SUCH_THREAD)) throw error;
    }
  }

  async #dispose(): Promise<void> {
    const closed = Promise.all([this.#main.dispose(), this.#side.dispose()]);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DISPOSE_WITHIN_MS);
    });
    await Promise.race([closed, late]);
    clearTimeout(timer);
    this.#way.forget();
  }

  #deadline(deadlineMs: number): UndropError {
    return new UndropError('UNDROP_DEADLINE', { server: this.#server, deadlineMs });
  }

  #bounded(connectionsMax: number): BoundedPool {
    return new BoundedPool({
      connectionsMax,
      open: ({ onConnectionOpened }) => this.#open(connectionsMax, onConnectionOpened),
      onError: (error) => {
        this.#options.log.debug({ err: error }, 'could not close retired service connections');
      },
    });
  }

  #open(poolSize: number, onConnectionOpened: () => void): ConnectionPool {
    const { log } = this.#options;
    return this.#way.pool({
      poolSize,
      bigIntMode: 'bigint',
      timeZone: { client: 'utc' },
      onConnectionOpened,
      queueTimeoutMilliseconds: QUEUE_TIMEOUT_MS,
      // Only ever waited for by the library's own closing of a connection that has no answer.
      acquireLockTimeoutMilliseconds: 100,
      onError: (error) => {
        log.debug({ err: error }, 'an idle service connection was closed');
      },
    });
  }
}

/** As with ssl-mode=PREFERRED: nobody listens on a unix socket. */
function usefulTls(tls: ServiceTls | null, address: ServerAddress): ServiceTls | null {
  return tls?.isOptional === true && 'socketPath' in address ? null : tls;
}

function driverTls({ verifies, verifiesName, ca, identity }: ServiceTls): SslOptions {
  return {
    rejectUnauthorized: verifies,
    verifyIdentity: verifiesName,
    ...(ca === null ? {} : { ca }),
    ...identity,
  };
}
