/**
 * The pool of service connections, by @databases/mysql over mysql2.
 *
 * Invariants: every text runs under undrop's own session settings (above all sql_mode '', for which
 * values are escaped on this side), in one round trip, and ends by its deadline: the driver has
 * none. There are never more than `connectionsMax` connections and the one for KILL QUERY: the
 * library counts each until it is closed.
 */
import { readFileSync } from 'node:fs';
import type { Connection, ConnectionPool } from '@databases/mysql';
import { withinMs } from '../../clock.js';
import { assert } from '../../errors.js';
import type { Log } from '../../log.js';
import * as ER from '../../wire/server-errors.js';
import { newWay, type Open } from '../databases.js';
import { connectError, deadlineError, isServerError, withNewPrivileges } from '../errors.js';
import { logIn, loginTls, type ServiceLogin, type ServiceTls } from '../login/driver-login.js';
import { describeAddress, isOnThisMachine, type ServerAddress } from '../server-address.js';
import type {
  Rows,
  RunOptions,
  ServiceConnection,
  ServicePool,
  SQLQuery,
  TaskOptions,
} from '../sql.js';
import { note, sql, WAITS_FOR_LOCK } from '../sql.js';
import { driverClientOf, Lease } from './lease.js';

/** How the password of a service connection is protected. */
export interface ServiceSecurity {
  /** Null: none. */
  readonly tls: ServiceTls | null;
  readonly serverKey: ServiceLogin['serverKey'];
}

/** The pool with the methods of its owner. */
export interface OwnedPool extends ServicePool {
  /** The error of the last login; null: it succeeded, or none was tried yet. */
  readonly loginError: Error | null;
  /** Later work uses new connections only. */
  renew(): void;
  /** Gives `fn` a new connection in place of the one for KILL QUERY, which waits meanwhile. */
  onNewConnection<T>(fn: (connection: ServiceConnection) => Promise<T>): Promise<T>;
}

/** Default: no TLS, and the server's key by `auto`. */
export interface ServicePoolOptions extends Partial<ServiceSecurity> {
  readonly address: ServerAddress;
  readonly user: string;
  readonly password: string;
  /** Read for each connection instead of `password`; empty for none. */
  readonly passwordFile?: string;
  /** At least 2; KILL QUERY has one more. */
  readonly connectionsMax: number;
  readonly log: Log;
}

/** Opens the pool; connects when first used. */
export function openServicePool(options: ServicePoolOptions): OwnedPool {
  return new Pool(options);
}

const CONNECT_TIMEOUT_MS = 5_000;
const QUEUE_TIMEOUT_MS = 10_000;
const ACQUIRE_WITHIN_MS = CONNECT_TIMEOUT_MS + QUEUE_TIMEOUT_MS;
const KILL_DEADLINE_MS = 2_000;
const DISPOSE_WITHIN_MS = 2_000;

/** Thrown from a task of the library to make it destroy the connection. */
const DISCARD = new Error('This service connection must not be used again.');

type PoolName = 'main' | 'side';

/** Runs on the other pool, because it can't wait. */
const AT_ONCE = { pool: 'side', deadlineMs: KILL_DEADLINE_MS } as const;

interface AcquireOptions extends TaskOptions {
  readonly pool?: PoolName;
  readonly acquireWithinMs?: number;
}

class Pool implements OwnedPool {
  readonly #options: ServicePoolOptions;
  readonly #server: string;
  readonly #way = newWay((options) => this.#open(options));
  readonly #login: ServiceLogin;
  /** The last contents of the password file. */
  #password: string;
  /** The last connection was without TLS, and that was logged. */
  #isPlain = false;
  /** Pools of the library; `side` has one connection, for work that can't wait. */
  readonly #pools: Readonly<Record<PoolName, ConnectionPool>>;
  /** Connections in the order in which they were begun. */
  readonly #numbers = new WeakMap<object, number>();
  #begun = 0;
  /** The first usable connection: older ones are closed when they are taken next. */
  readonly #firstUsed: Record<PoolName, number> = { main: 0, side: 0 };
  #disposed: Promise<void> | null = null;
  readonly isLogged = true;
  /** Always the same one, because some of what undrop knows is kept by pool. */
  readonly #unlogged: ServicePool = {
    isLogged: false,
    run: (text, options) => this.run(text, options, false),
    task: (fn, options) => this.task((lease) => fn(lease.logging(false)), options),
    killQuery: (threadId) => this.killQuery(threadId),
    isWaiting: (threadId) => this.isWaiting(threadId),
    logging: (logged) => this.logging(logged),
    dispose: () => this.dispose(),
  };
  loginError: Error | null = null;

  constructor(options: ServicePoolOptions) {
    assert(options.connectionsMax >= 2, 'a service pool has two connections or more');
    this.#options = options;
    this.#server = describeAddress(options.address);
    this.#password = options.password;
    const { address, user, tls = null, serverKey = 'auto' } = options;
    this.#login = {
      ...{ address, user, serverKey, tls: loginTls(tls, address) },
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      password: () => this.#readPassword(),
      onOffer: (offersTls) => this.#onOffer(offersTls),
    };
    this.#pools = { main: this.#newPool(options.connectionsMax), side: this.#newPool(1) };
  }

  run(
    text: SQLQuery | readonly SQLQuery[],
    { pool = 'main', fresh, ...options }: RunOptions & { readonly pool?: PoolName } = {},
    logged = true,
  ): Promise<readonly Rows[]> {
    const { deadlineMs = QUEUE_TIMEOUT_MS } = options;
    const endMs = performance.now() + deadlineMs;
    const leftMs = () => Math.max(0, Math.ceil(endMs - performance.now()));
    const runOnce = (how: TaskOptions) =>
      this.task((lease) => lease.run(text, { ...options, deadlineMs: leftMs() }, logged), {
        ...{ ...how, pool, acquireWithinMs: leftMs() },
      });
    return fresh === undefined ? withNewPrivileges(runOnce) : runOnce({ fresh });
  }

  /**
   * Rejects as soon as `fn` does, while the library still closes the connection; resolves only when
   * the connection is back.
   */
  task<T>(
    fn: (lease: Lease) => Promise<T>,
    { pool = 'main', fresh = false, acquireWithinMs = ACQUIRE_WITHIN_MS }: AcquireOptions = {},
  ): Promise<T> {
    if (fresh) this.#renew(pool);
    return new Promise((resolve, reject) => {
      let isWaiting = true;
      const timer = setTimeout(() => {
        isWaiting = false;
        reject(deadlineError(this.#server, acquireWithinMs));
      }, acquireWithinMs);
      const acquire = () => {
        const given = this.#pools[pool].task(use);
        given.then(resolve as (value: T | null) => void, (error: unknown) => {
          if (error === DISCARD) return;
          clearTimeout(timer);
          reject(connectError(error, this.#server));
        });
      };
      const use = async (connection: Connection): Promise<T | null> => {
        const client = driverClientOf(connection);
        // The null is ignored, and the connection goes back.
        if (!isWaiting) return null;
        const number = this.#numbers.get(client);
        assert(number !== undefined, 'a service connection was opened by its pool');
        if (number < this.#firstUsed[pool]) {
          acquire();
          throw DISCARD;
        }
        clearTimeout(timer);
        isWaiting = false;
        const lease = new Lease(connection, client, {
          server: this.#server,
          onDeadline: (threadId) => this.#abandon(pool, threadId),
        });
        try {
          const value = await fn(lease);
          if (!lease.isSpoilt) return value;
          resolve(value);
        } catch (error) {
          lease.discard();
          reject(error);
        } finally {
          lease.close();
        }
        throw DISCARD;
      };
      acquire();
    });
  }

  logging(logged: boolean): ServicePool {
    return logged ? this : this.#unlogged;
  }

  killQuery(threadId: number): Promise<void> {
    return this.#kill(sql`KILL QUERY ${threadId}`);
  }

  async isWaiting(threadId: number): Promise<boolean> {
    const look = sql`SELECT ${note('waits')} 1 FROM information_schema.PROCESSLIST
      WHERE ID = ${threadId} AND ${WAITS_FOR_LOCK}`;
    const [rows = []] = await this.run(look, AT_ONCE);
    return rows.length > 0;
  }

  renew(): void {
    this.#renew('main');
    this.#renew('side');
  }

  onNewConnection<T>(fn: (connection: ServiceConnection) => Promise<T>): Promise<T> {
    return this.task(fn, { pool: 'side', fresh: true });
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  /** Read for each connection, so that a new password needs no restart. */
  #readPassword(): string {
    const { passwordFile = '', log } = this.#options;
    if (passwordFile === '') return this.#password;
    try {
      this.#password = readFileSync(passwordFile, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      log.warn({ err: error }, 'cannot read UNDROP_PASSWORD_FILE; using the previous password');
    }
    return this.#password;
  }

  /** A server without TLS is logged once, until a server with TLS was seen there. */
  #onOffer(offersTls: boolean): void {
    if (!offersTls && !this.#isPlain) {
      const fields = { event: 'upstream-plain', server: this.#server };
      // Traffic within this machine can't be intercepted.
      const level = isOnThisMachine(this.#options.address) ? 'debug' : 'warn';
      const said = 'the server does not offer TLS; the service account logs in without it';
      this.#options.log[level](fields, said);
    }
    this.#isPlain = !offersTls;
  }

  /** Open connections are closed when they are taken next, or after an idle time. */
  #renew(pool: PoolName): void {
    this.#firstUsed[pool] = this.#begun;
  }

  /** No response by the deadline: the network may be dead, and the statement may still run. */
  #abandon(pool: PoolName, threadId: number): void {
    if (pool === 'side' || this.#disposed !== null) return;
    // Idle connections over a dead network would cost a deadline each: all are replaced.
    this.#renew('main');
    this.#kill(sql`KILL ${threadId}`).catch((error: unknown) => {
      this.#options.log.debug({ err: error, threadId }, 'cannot kill an abandoned statement');
    });
  }

  async #kill(text: SQLQuery): Promise<void> {
    try {
      await this.run(text, AT_ONCE);
    } catch (error) {
      // It has ended already.
      if (!isServerError(error, ER.NO_SUCH_THREAD)) throw error;
    }
  }

  async #dispose(): Promise<void> {
    const { main, side } = this.#pools;
    await withinMs(DISPOSE_WITHIN_MS, Promise.all([main.dispose(), side.dispose()]));
    this.#way.forget();
  }

  async #open(options: Parameters<Open>[0]) {
    const number = this.#begun++;
    try {
      const connection = await logIn(options, this.#login);
      this.#numbers.set(connection, number);
      this.loginError = null;
      return connection;
    } catch (error) {
      this.loginError = connectError(error, this.#server);
      throw error;
    }
  }

  #newPool(poolSize: number): ConnectionPool {
    return this.#way.pool({
      poolSize,
      bigIntMode: 'bigint',
      timeZone: { client: 'utc' },
      // Undrop has its own deadlines.
      queueTimeoutMilliseconds: Infinity,
      // The library waits for it only when it closes a connection without a response.
      acquireLockTimeoutMilliseconds: 100,
      // A `this` here would keep a pool alive for as long as it has a connection.
      onError: (error) => {
        this.#options.log.debug({ err: error }, 'lost an idle service connection');
      },
    });
  }
}
