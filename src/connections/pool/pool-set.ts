/**
 * A service pool for each address that sessions were dialled to, so that undrop works for a
 * session on the very server of that session.
 */
import { type ErrorCode, UndropError } from '../../errors.js';
import { productName } from '../../wire/connection/handshake-v10.js';
import * as ER from '../../wire/server-errors.js';
import { isServerError } from '../errors.js';
import { describeAddress, type ServerAddress } from '../server-address.js';
import { col, note, readServerFacts, type ServicePool, serverIdentity, sql } from '../sql.js';
import { type OwnedPool, openServicePool, type ServicePoolOptions } from './open-pool.js';

/** The same for each pool, but for its address. */
export interface PoolSetOptions extends Omit<ServicePoolOptions, 'address'> {
  /** At least one, in the order in which they are tried. */
  readonly upstream: readonly ServerAddress[];
}

/** A server and its address. */
export type FoundServer = Readonly<Awaited<ReturnType<PoolSet['look']>>>;

export class PoolSet {
  readonly #options: PoolSetOptions;
  /**
   * By address, because a name may get new ones at any time. Sessions keep a pool, and so do its
   * connections, whose idle ones are closed after 30 s; without either it is forgotten.
   */
  readonly #pools = new Map<string, WeakRef<OwnedPool>>();
  readonly #forgotten = new FinalizationRegistry<string>((key) => {
    if (this.#pools.get(key)?.deref() === undefined) this.#pools.delete(key);
  });

  constructor(options: PoolSetOptions) {
    this.#options = options;
  }

  /** The number of remembered addresses. */
  get size(): number {
    return this.#pools.size;
  }

  /** The pool for that address, opened if it is the first call. */
  at(address: ServerAddress): OwnedPool {
    const key = describeAddress(address);
    const open = this.#pools.get(key)?.deref();
    if (open !== undefined) return open;
    const pool = openServicePool({ ...this.#options, address });
    this.#pools.set(key, new WeakRef(pool));
    this.#forgotten.register(pool, key);
    return pool;
  }

  /**
   * Queries the server at that address on a new connection, because another server may have the
   * address now. Rejects with UNDROP_ACCOUNT if it refuses the account, and with UNDROP_SERVER_KEY
   * if the password may not be sent there.
   */
  async look(address: ServerAddress) {
    try {
      return await this.at(address).onNewConnection(async (connection) => {
        const facts = await readServerFacts(connection);
        const [rows = []] = await connection.run(
          sql`SELECT ${note('hello')} ${serverIdentity(facts)} AS id,
            @@global.max_connections AS connectionsMax`,
        );
        const [row = {}] = rows;
        return {
          address,
          /** Stays the same for the same server. */
          identity: col.text(row, 'id'),
          readOnly: facts.readOnly,
          /** `MySQL 9.7.4` */
          product: `${productName(facts)} ${facts.version.replace(/-.*/, '')}`,
          /** Its max_connections. */
          connectionsMax: col.number(row, 'connectionsMax'),
        };
      });
    } catch (error) {
      throw finalError(error, address, 'UNDROP_ACCOUNT') ?? error;
    }
  }

  /** Whether one of the upstreams answers, even by refusing the account. Does not reject. */
  async answers(): Promise<boolean> {
    for (const address of this.#options.upstream) {
      try {
        await greet(this.at(address), address);
        return true;
      } catch (error) {
        const cause = error instanceof UndropError ? error.cause : error;
        if (isServerError(cause) || isForGood(error)) return true;
      }
    }
    return false;
  }

  /** Logs in at that address on a new connection. */
  async visit(address: ServerAddress): Promise<void> {
    await this.at(address).onNewConnection((connection) =>
      connection.run(sql`DO ${note('hello')} 1`),
    );
  }

  /** Another server has that address: connections to the old one aren't used again. */
  renew(address: ServerAddress): void {
    this.#pools.get(describeAddress(address))?.deref()?.renew();
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.deref()?.dispose()));
  }
}

/** Whether waiting can't help. */
export function isForGood(error: unknown): boolean {
  return error instanceof UndropError && FOR_GOOD.includes(error.code);
}

const FOR_GOOD: readonly ErrorCode[] = ['UNDROP_ACCOUNT', 'UNDROP_SERVER_KEY'];

/** Access denied, with or without a password; by host; an unsupported authentication. */
const ACCOUNT_REFUSED = [
  ...[ER.DBACCESS_DENIED_ERROR, ER.ACCESS_DENIED_ERROR, ER.HOST_NOT_PRIVILEGED],
  ...[ER.NOT_SUPPORTED_AUTH_MODE, ER.ACCESS_DENIED_NO_PASSWORD_ERROR],
  ER.MUST_CHANGE_PASSWORD_LOGIN,
];

type RefusedAs = 'UNDROP_ACCOUNT' | 'UNDROP_ADMIN_ACCOUNT';

/**
 * Connects. Rejects with UNDROP_ACCOUNT (or the code of another account) if the server refuses the
 * account, with UNDROP_SERVER_KEY if its password was not sent, and else with the pool's error.
 */
export async function greet(
  pool: ServicePool,
  address: ServerAddress,
  refusedAs: RefusedAs = 'UNDROP_ACCOUNT',
): Promise<void> {
  try {
    await pool.run(sql`SELECT ${note('hello')} 1 AS one`);
  } catch (error) {
    throw finalError(error, address, refusedAs) ?? error;
  }
}

/** Null if it is another error. */
function finalError(
  error: unknown,
  address: ServerAddress,
  refusedAs: RefusedAs,
): UndropError | null {
  // A refused login is the cause of a connection that failed.
  const cause = error instanceof UndropError ? error.cause : error;
  if (cause instanceof UndropError && cause.code === 'UNDROP_SERVER_KEY') return cause;
  if (!isServerError(cause, ...ACCOUNT_REFUSED)) return null;
  const server = describeAddress(address);
  return new UndropError(refusedAs, { server, cause: cause.message }, error);
}
