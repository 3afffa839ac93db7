/**
 * One service pool for each address that sessions were dialled to: what is done for a session is
 * done on the very server that it is on.
 */
import { assert } from '../assert.js';
import { type ErrorCode, UndropError } from '../errors.js';
import type { Log } from '../log.js';
import { describeAddress } from './address.js';
import {
  isServerError,
  type OwnedPool,
  openServicePool,
  type ServerAddress,
  type ServicePool,
  type ServiceSecurity,
} from './pools.js';
import { note, sql } from './sql.js';

export interface PoolSetOptions extends Partial<ServiceSecurity> {
  /** At least one, in the order in which they are tried. */
  readonly upstream: readonly ServerAddress[];
  readonly user: string;
  readonly password: string;
  readonly passwordFile?: string;
  /** Of each pool. */
  readonly connectionsMax: number;
  readonly log: Log;
}

export class PoolSet {
  readonly #options: PoolSetOptions;
  #security: ServiceSecurity;
  readonly #pools = new Map<string, OwnedPool>();

  constructor(options: PoolSetOptions) {
    this.#options = options;
    const { tls = null, serverKey = 'auto' } = options;
    this.#security = { tls, serverKey };
  }

  /** The pool for that address, opened where it is the first call. */
  at(address: ServerAddress): ServicePool {
    const key = describeAddress(address);
    const open = this.#pools.get(key);
    if (open !== undefined) return open;
    const pool = openServicePool({ ...this.#options, ...this.#security, address });
    this.#pools.set(key, pool);
    return pool;
  }

  /**
   * The pool of the first upstream that takes the service account: there the collector works.
   * Where none answers it is the first, which may come up later. Rejects with UNDROP_ACCOUNT where
   * a server answers and refuses the account, and with UNDROP_SERVER_KEY where the password may not
   * go there.
   */
  async home(): Promise<ServicePool> {
    const [first] = this.#options.upstream;
    assert(first !== undefined, 'at least one upstream is configured');
    for (const address of this.#options.upstream) {
      const pool = this.at(address);
      try {
        await greet(pool, address);
        return pool;
      } catch (error) {
        if (error instanceof UndropError && FOR_GOOD.includes(error.code)) throw error;
        const server = describeAddress(address);
        this.#options.log.warn({ server, err: error }, 'the server does not answer');
      }
    }
    return this.at(first);
  }

  /** Whether one of the upstreams answers, be it that it refuses the account. Does not reject. */
  async answers(): Promise<boolean> {
    for (const address of this.#options.upstream) {
      try {
        await greet(this.at(address), address);
        return true;
      } catch (error) {
        const cause = error instanceof UndropError ? error.cause : error;
        if (
          isServerError(cause) ||
          (error instanceof UndropError && error.code === 'UNDROP_ACCOUNT')
        )
          return true;
      }
    }
    return false;
  }

  /** Logs in at that address on a connection of its own, and leaves. */
  async visit(address: ServerAddress): Promise<void> {
    const options = { ...this.#options, ...this.#security, address, connectionsMax: 2 };
    const pool = openServicePool(options);
    try {
      await pool.run(sql`DO ${note('hello')} 1`);
    } finally {
      await pool.dispose();
    }
  }

  /** For connections that are opened from now on; the open ones are replaced. */
  useTls(security: ServiceSecurity): void {
    this.#security = security;
    for (const pool of this.#pools.values()) pool.useTls(security);
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.dispose()));
  }
}

/** Waiting wouldn't help. */
const FOR_GOOD: readonly ErrorCode[] = ['UNDROP_ACCOUNT', 'UNDROP_SERVER_KEY'];

/** Access denied, with or without a password; by host; an authentication that we can't do. */
const ACCOUNT_REFUSED = [1044, 1045, 1130, 1251, 1698, 1862];

/**
 * Connects; UNDROP_ACCOUNT where the server refuses the account (or what an account that isn't the
 * service's is told by), UNDROP_SERVER_KEY where its password was not sent, the pool's own error
 * otherwise.
 */
export async function greet(
  pool: ServicePool,
  address: ServerAddress,
  refusedAs: 'UNDROP_ACCOUNT' | 'UNDROP_ADMIN_ACCOUNT' = 'UNDROP_ACCOUNT',
): Promise<void> {
  try {
    await pool.run(sql`SELECT ${note('hello')} 1 AS one`);
  } catch (error) {
    // A login that is refused comes as the cause of a connection that could not be had.
    const cause = error instanceof UndropError ? error.cause : error;
    if (cause instanceof UndropError && cause.code === 'UNDROP_SERVER_KEY') throw cause;
    if (!isServerError(cause, ...ACCOUNT_REFUSED)) throw error;
    const server = describeAddress(address);
    throw new UndropError(refusedAs, { server, cause: cause.message }, error);
  }
}
