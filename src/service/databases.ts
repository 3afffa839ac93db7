/**
 * @databases/mysql, loaded without its search for a configuration: it looks from the working folder
 * upwards, and would run a `mysql.config.js` that somebody put where a DBA happens to stand.
 *
 * Invariant: the only file that loads the library. The search begins and ends at the package.json
 * of this package, which has an empty configuration under "mysql".
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

type Databases = typeof import('@databases/mysql');

const PACKAGE = fileURLToPath(new URL('../../..', import.meta.url));

const { default: createPool, sql } = load();

export { createPool, sql };

function load(): Databases {
  const { cwd } = process;
  // No chdir(): there may be no way back into a folder that another account may not enter.
  process.cwd = () => PACKAGE;
  try {
    return createRequire(import.meta.url)('@databases/mysql') as Databases;
  } finally {
    process.cwd = cwd;
  }
}
