/**
 * The rulings of rules and hints on each table of a drop. If a rule needs more than names, the
 * service reads the size and age of the table, and whether it has a row.
 *
 * Invariants: without rules nothing is read. A trait that can't be read at once, because of a lock
 * or a privilege, is unknown, and matches no rule. Nothing but a base table is ever read.
 */

import { named } from '../../ledger/intents/intent-text.js';
import { shapeOf } from '../../ledger/write.js';
import {
  decideTable,
  NO_TRAITS,
  type Ruling,
  type Traits,
  traitsAsked,
} from '../../policy/decide.js';
import type { Hint, Rule } from '../../policy/rules.js';
import { isServiceError } from '../../service/errors.js';
import type { Row, ServicePool } from '../../service/pool/pools.js';
import { runWithTimeout } from '../../service/pool/statement-timeout.js';
import { ident, note, numberOrNullOf, sql, textOf, textOrNullOf } from '../../service/sql.js';
import { readUse } from './idle.js';
import { type Use, useWithin } from './use.js';

export interface RuledName {
  readonly schema: string;
  readonly table: string;
}

export interface Ruled {
  readonly rules: readonly Rule[];
  readonly hint: Hint | null;
  /** UNDROP_HOLD, in milliseconds. */
  readonly holdMs: number;
  /** `name@host`, or the name alone. */
  readonly account: string;
  /** UNDROP_REQUIRE_IDLE, in milliseconds; null: a table may be in use. */
  readonly requireIdleMs: number | null;
}

/** A `Ruling` for each table, in order. Rejects if the service can't be used. */
export async function ruleTables(
  pool: ServicePool,
  tables: readonly RuledName[],
  ruled: Ruled,
): Promise<readonly Ruling[]> {
  const { rules, account, requireIdleMs } = ruled;
  const isAsking = rules.length > 0 || requireIdleMs !== null;
  const shape = isAsking ? await shapeOf(pool) : null;
  const comparing = { foldsCase: shape !== null && shape.lowerCaseTableNames !== 0 };
  const rulings: Ruling[] = [];
  for (const name of tables) {
    const subject = { ...name, account };
    const asked = traitsAsked(rules, subject, comparing);
    const isAsked = asked.facts || asked.empty;
    // Only MySQL 8 and later keep the creation time in a RENAME.
    const knowsAge = shape?.flavour === 'mysql' && shape.versionId >= 80_000;
    const how = { empty: asked.empty, knowsAge };
    const traits = isAsked ? await readTraits(pool, name, how) : NO_TRAITS;
    const ruling = decideTable(subject, traits, { ...ruled, ...comparing });
    // Tables that operators let pass aren't checked.
    if (requireIdleMs === null || ruling.isNative) rulings.push(ruling);
    else {
      const asksStatements = (use: Use) => useWithin(use, requireIdleMs) === null;
      const asking = { ...comparing, ignoresReads: asked.empty, asksStatements };
      const inUse = useWithin(await readUse(pool, name, asking), requireIdleMs);
      rulings.push({ ...ruling, inUse });
    }
  }
  return rulings;
}

/** The server's facts of a table without reading it, and whether it is empty. */
async function readTraits(
  pool: ServicePool,
  { schema, table }: RuledName,
  { empty, knowsAge }: { readonly empty: boolean; readonly knowsAge: boolean },
): Promise<Traits> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('rule')} TABLE_TYPE AS type, ENGINE AS engine,
        DATA_LENGTH + INDEX_LENGTH AS bytes,
        TIMESTAMPDIFF(SECOND, CREATE_TIME, UTC_TIMESTAMP()) AS ageS
      FROM information_schema.TABLES WHERE ${named(schema, table)}`,
  );
  const [row] = rows;
  if (row === undefined) return NO_TRAITS;
  const ageS = numberOrNullOf(row, 'ageS');
  return {
    bytes: numberOrNullOf(row, 'bytes'),
    ageMs: knowsAge && ageS !== null ? ageS * 1_000 : null,
    isEmpty: empty && isReadable(row) ? await isEmptyTable(pool, schema, table) : null,
  };
}

/** Its rows are on this server, and reading them has no other effect. */
function isReadable(row: Row): boolean {
  // A SELECT doesn't see the history of a SYSTEM VERSIONED one.
  return (
    textOf(row, 'type') === 'BASE TABLE' &&
    ['InnoDB', 'MyISAM', 'Aria'].includes(textOrNullOf(row, 'engine') ?? '')
  );
}

/** Many rows that were deleted and not purged yet take long to be skipped. */
const CHECK_DEADLINE_MS = 1_000;

/** Uncommitted rows of others count. Null: it can't be determined at once. */
export async function isEmptyTable(
  pool: ServicePool,
  schema: string,
  table: string,
): Promise<boolean | null> {
  try {
    const texts = [
      sql`SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED`,
      sql`SELECT ${note('rule')} 1 AS one FROM ${ident(schema, table)} LIMIT 1`,
    ];
    const [, rows = []] = await runWithTimeout(pool, texts, { deadlineMs: CHECK_DEADLINE_MS });
    return rows.length === 0;
  } catch (error) {
    if (isServiceError(error)) return null;
    throw error;
  }
}
