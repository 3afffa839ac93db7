/**
 * @databases/mysql, loaded without its search for a configuration: it looks from the working folder
 * upwards, and would run a `mysql.config.js` that somebody put where a DBA happens to stand. It
 * also knows no way to log in but its driver's: the door for ours (driver-login.ts) is here.
 *
 * Invariant: the only file that loads the library. The search begins and ends at the package.json
 * of this package, which has an empty configuration under "mysql".
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Connection, ConnectionOptions } from 'mysql2/promise';

type Databases = typeof import('@databases/mysql');
type Options = Omit<Parameters<Databases['default']>[0] & object, 'connectionString'>;

/** Opens one connection; `options` are those that the library needs. */
export type Open = (options: ConnectionOptions) => Promise<Connection>;

const PACKAGE = fileURLToPath(new URL('../../..', import.meta.url));

const { default: createPool, sql } = load();

export { sql };

/** Each by the address that stands for it in the library, which takes nothing but an address. */
const opens = new Map<string, WeakRef<Open>>();
let ways = 0;

/**
 * A way to open connections, for pools; `forget` when the last of them is gone. Whoever has the way
 * keeps `open`: nobody is kept by it.
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
  // No chdir(): there may be no way back into a folder that another account may not enter.
  process.cwd = () => PACKAGE;
  try {
    letUsOpen(createRequire(import.meta.url)('mysql2/promise') as Driver);
    return createRequire(import.meta.url)('@databases/mysql') as Databases;
  } finally {
    process.cwd = cwd;
  }
}

type Driver = { createConnection: (options: ConnectionOptions) => Promise<Connection> };

/** The library opens connections by this function of the driver's; all others have it as it is. */
function letUsOpen(driver: Driver): void {
  const { createConnection } = driver;
  driver.createConnection = ({ uri = '', ...options }) => {
    const open = opens.get(uri)?.deref();
    return open === undefined ? createConnection({ uri, ...options }) : open(options);
  };
}
