/**
 * @databases/mysql, which supports only its driver's logins: this file opens connections by
 * undrop's own (driver-login.ts). The library also searches for a `mysql.config.js` from the
 * working folder upwards, and would run it: scripts/bundle.mjs takes that out.
 *
 * Invariant: the only file that loads the library.
 */
import databases from '@databases/mysql';
import driver, { type Connection, type ConnectionOptions } from 'mysql2/promise';

type CreatePool = typeof databases.default;
type Options = Omit<Parameters<CreatePool>[0] & object, 'connectionString'>;

/** Opens one connection; `options` are those that the library sets. */
export type Open = (options: ConnectionOptions) => Promise<Connection>;

letUsOpen(driver);

export const databasesSql = databases.sql;

/** Keyed by a fake address, because the library passes nothing but an address. */
const opens = new Map<string, WeakRef<Open>>();
let ways = 0;

/**
 * A way to open connections, for pools; call `forget` when the last of them is gone. The caller
 * must keep `open`: the map refers to it weakly.
 */
export function newWay(open: Open) {
  const connectionString = `mysql://${++ways}.invalid/`;
  opens.set(connectionString, new WeakRef(open));
  return {
    pool: (options: Options) => databases.default({ ...options, connectionString }),
    forget: () => opens.delete(connectionString),
    open,
  };
}

type Driver = { createConnection: (options: ConnectionOptions) => Promise<Connection> };

/**
 * Replaces the driver's function by which the library opens connections; other callers get the
 * original.
 */
function letUsOpen(promises: Driver): void {
  const { createConnection } = promises;
  promises.createConnection = ({ uri = '', ...options }) => {
    const open = opens.get(uri)?.deref();
    return open === undefined ? createConnection({ uri, ...options }) : open(options);
  };
}
