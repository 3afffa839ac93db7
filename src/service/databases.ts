/**
 * @databases/mysql, loaded without its search for a configuration: it looks from the working folder
 * upwards, and would run any `mysql.config.js` there. It also supports only its driver's logins:
 * this file opens connections by undrop's own (driver-login.ts).
 *
 * Invariant: the only file that loads the library. The search begins and ends at the package.json
 * of this package, which has an empty configuration under "mysql".
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Connection, ConnectionOptions } from 'mysql2/promise';

type Databases = typeof import('@databases/mysql');
type Options = Omit<Parameters<Databases['default']>[0] & object, 'connectionString'>;

/** Opens one connection; `options` are those that the library sets. */
export type Open = (options: ConnectionOptions) => Promise<Connection>;

const PACKAGE = fileURLToPath(new URL('../../..', import.meta.url));

const { default: createPool, sql } = load();

export const databasesSql = sql;

/** Keyed by a fake address, because the library passes nothing but an address. */
const opens = new Map<string, WeakRef<Open>>();
let ways = 0;

/**
 * A way to open connections, for pools; call `forget` when the last of them is gone. The caller
 * must keep `open`: the map refers to it weakly.
 */
export function newWay(open: Open): {
  pool(options: Options): ReturnType<Databases['default']>;
  forget(): void;
  readonly open: Open;
} {
  const connectionString = `mysql://${++ways}.invalid/`;
  opens.set(connectionString, new WeakRef(open));
  return {
    pool: (options) => createPool({ ...options, connectionString }),
    forget: () => opens.delete(connectionString),
    open,
  };
}

function load(): Databases {
  const { cwd } = process;
  // Not by chdir(), because another account's folder may not be entered again.
  process.cwd = () => PACKAGE;
  try {
    letUsOpen(createRequire(import.meta.url)('mysql2/promise') as Driver);
    return createRequire(import.meta.url)('@databases/mysql') as Databases;
  } finally {
    process.cwd = cwd;
  }
}

type Driver = { createConnection: (options: ConnectionOptions) => Promise<Connection> };

/**
 * Replaces the driver's function by which the library opens connections; other callers get the
 * original.
 */
function letUsOpen(driver: Driver): void {
  const { createConnection } = driver;
  driver.createConnection = ({ uri = '', ...options }) => {
    const open = opens.get(uri)?.deref();
    return open === undefined ? createConnection({ uri, ...options }) : open(options);
  };
}
