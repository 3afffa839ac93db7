/**
 * Tables with partitions that a RENAME has left in pieces. MariaDB, and MySQL before 8, rename them
 * one by one; if the server is killed amid that, some have the hold name and the others their
 * own, and nothing can open the table. Its rows are all there, so its intent is kept, and says so,
 * until people have brought it together (docs/what-if.md). Changes the ledger only.
 */

import { locateHoldTable } from '../held/locate.js';
import { renamesInPieces } from '../held/relocate/blockers.js';
import { type LedgerRow, TORN } from '../ledger/entry.js';
import { fileNameOf } from '../ledger/intents/intent-text.js';
import { recordState } from '../ledger/write.js';
import type { Log } from '../log.js';
import { isServerError, type ServicePool } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { ident, note, numberOf, sql } from '../service/sql.js';
import {
  CANT_BE_OPENED,
  ER_FAILED_READ_FROM_PAR_FILE,
  ER_GET_ERRNO,
  ER_NO_SUCH_TABLE,
} from '../wire/server-errors.js';

/**
 * Asked for an intent whose owner is gone and whose table is not held. Rejects if the account may
 * not look (PROCESS).
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
  // The file of the first may have moved alone (MySQL 5.6); those of other engines aren't here.
  const mayBeMissed = numberOf(found, 'own') > 0 || (engine !== null && engine !== 'InnoDB');
  return mayBeMissed && droppedAt <= server.startedAt && (await isBroken(pool, row));
}

/** Says so in its row, and the first time in the log. */
export async function keepTorn(pool: ServicePool, row: LedgerRow, log: Log): Promise<void> {
  const { id, schema, table, failure, rowLogged } = row;
  if (failure?.todo === 'torn' || failure?.todo === 'restoring') return;
  log.warn({ event: 'torn', id, table: `${schema}.${table}`, failure: TORN.text }, SAID);
  await recordState(pool, { id, state: 'intent', onlyFrom: 'intent', failure: TORN, rowLogged });
}

const SAID =
  'a table with partitions is in pieces, as the server was killed amid its RENAME: its rows are ' +
  'all there; how to bring it together stands in docs/what-if.md';

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
