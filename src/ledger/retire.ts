/**
 * Puts the ledger out of reach, before undrop's own schemas are dropped: it has another name, and a
 * version that no proxy knows, so that none creates it anew. May be undone.
 *
 * Invariant: from `closeLedger` to `reopenLedger` no intent is written: an INSERT is in the ledger
 * before its RENAME, or fails.
 */
import { RECYCLE_SCHEMA } from '../names/names.js';
import { unlessRefused } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import * as col from '../service/columns.js';
import { ident, note, sql } from '../service/sql.js';
import * as ER from '../wire/server-errors.js';
import { LEDGER, LIVE, VERSION_TABLE } from './tables.js';

const RETIRED = ident(RECYCLE_SCHEMA, 'ledger_retired');
/** Above any version. */
const NO_VERSION = 1_000_000;

export async function closeLedger(pool: ServicePool): Promise<void> {
  const close = pool.run([
    sql`INSERT ${note('retire')} IGNORE INTO ${VERSION_TABLE} (version, made_at)
      VALUES (${NO_VERSION}, UTC_TIMESTAMP())`,
    sql`RENAME ${note('retire')} TABLE ${LEDGER} TO ${RETIRED}`,
  ]);
  await unlessRefused(close, [], ...ER.ABSENT_TABLE);
}

/** Also of a command that was killed; if it isn't closed, this does nothing. */
export async function reopenLedger(pool: ServicePool): Promise<void> {
  const back = pool.run(sql`RENAME ${note('retire')} TABLE ${RETIRED} TO ${LEDGER}`);
  await unlessRefused(back, [], ...ER.ABSENT_TABLE, ER.TABLE_EXISTS_ERROR);
  const open = pool.run(sql`DELETE ${note('retire')} FROM ${VERSION_TABLE}
    WHERE version = ${NO_VERSION}`);
  await unlessRefused(open, [], ...ER.ABSENT_TABLE);
}

/** Whether the closed ledger has no table, and no schema, that is held or on its way. */
export async function isLedgerIdle(pool: ServicePool): Promise<boolean> {
  const look = pool.run(sql`SELECT ${note('retire')} COUNT(*) AS found FROM ${RETIRED}
    WHERE ${LIVE} OR state IN ('emptying', 'emptied')`);
  const [[row] = []] = await unlessRefused(look, [], ...ER.ABSENT_TABLE);
  return row === undefined || col.number(row, 'found') === 0;
}
