/**
 * Partitioned tables that a RENAME has left torn. MariaDB, and MySQL before 8, rename partitions
 * one by one; if the server is killed meanwhile, some have the hold name and the others their own,
 * and nothing can open the table. Its rows are all there, so its intent is kept, with a note, until
 * an operator has repaired it (docs/what-if.md). Changes the ledger only.
 */

import { locateHoldTable } from '../held/locate.js';
import { renamesInPieces } from '../held/relocate/blockers.js';
import { type LedgerRow, TORN } from '../ledger/entry.js';
import { fileNameOf } from '../ledger/intents/intent-text.js';
import { recordState } from '../ledger/write.js';
import type { Log } from '../log.js';
import { isServerError } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { ident, note, numberOf, sql } from '../service/sql.js';
import {
  CANT_BE_OPENED,
  ER_FAILED_READ_FROM_PAR_FILE,
  ER_GET_ERRNO,
  ER_NO_SUCH_TABLE,
} from '../wire/server-errors.js';

/**
 * For an intent whose owner is gone and whose table is not held. Rejects if the account may not
 * read that (PROCESS).
 */
export async function isTorn(pool: ServicePool, row: LedgerRow): Promise<boolean> {
  const { id, schema, table, engine, droppedAt } = row;
  const server = await readServerFacts(pool);
  if (!renamesInPieces(server)) return false;
  const [rows = []] = await pool.run(
    sql`SELECT ${note('torn', id)} COALESCE(SUM(NAME LIKE ${`%/\\_vt\\_%\\_${id}\\_%`}), 0) AS moved,
          COALESCE(SUM(CAST(LEFT(NAME, LOCATE('#p#', NAME) - 1) AS BINARY) =
            CONCAT(${fileNameOf(schema)}, '/', ${fileNameOf(table)})), 0) AS own
        FROM information_schema.INNODB_SYS_TABLES WHERE NAME LIKE '%#p#%'`,
  );
  const [found = {}] = rows;
  if (numberOf(found, 'moved') > 0) return true;
  // The file of the first may have moved alone (MySQL 5.6); files of other engines aren't listed
  // here.
  const mayBeMissed = numberOf(found, 'own') > 0 || (engine !== null && engine !== 'InnoDB');
  return mayBeMissed && droppedAt <= server.startedAt && (await isBroken(pool, row));
}

/** Records it in its row, and logs it the first time. */
export async function keepTorn(pool: ServicePool, row: LedgerRow, log: Log): Promise<void> {
  const { id, schema, table, failure, rowLogged } = row;
  if (failure?.todo === 'torn' || failure?.todo === 'restoring') return;
  log.warn({ event: 'torn', id, table: `${schema}.${table}`, failure: TORN.text }, SAID);
  await recordState(pool, { id, state: 'intent', onlyFrom: 'intent', failure: TORN, rowLogged });
}

const SAID =
  'a partitioned table is torn, because the server was killed during its RENAME; it has all its ' +
  'rows, and docs/what-if.md describes how to repair it';

/** A part of it is missing; the server lists it. */
const BROKEN = [...CANT_BE_OPENED, ER_GET_ERRNO, ER_NO_SUCH_TABLE, ER_FAILED_READ_FROM_PAR_FILE];

/** The server has a table of that name, and can't open it. */
async function isBroken(pool: ServicePool, { id, schema, table }: LedgerRow): Promise<boolean> {
  if ((await locateHoldTable(pool, [schema], table)).length === 0) return false;
  try {
    await pool.run(sql`SHOW CREATE TABLE ${note('torn', id)} ${ident(schema, table)}`);
    return false;
  } catch (error) {
    if (!isServerError(error, ...BROKEN)) throw error;
    return true;
  }
}
