/**
 * The rulings of rules and hints on each table of a drop. If a rule needs more than names, the
 * service reads the size and age of the table, and whether it has a row.
 *
 * Invariants: without rules nothing is read. A trait that can't be read at once, because of a lock
 * or a privilege, is unknown, and matches no rule. Nothing but a base table is ever read.
 */

import { isServiceError, unlessRefused } from '../../../connections/errors.js';
import { runWithTimeout } from '../../../connections/pool/statement-timeout.js';
import type { Row, Rows, ServicePool, SQLQuery } from '../../../connections/sql.js';
import { col, ident, note, quoteIdentifier, sql } from '../../../connections/sql.js';
import { BYTES } from '../../../connections/true-sizes.js';
import { formatDuration, timeText } from '../../../duration.js';
import { named } from '../../../ledger/intents/intent-text.js';
import { shapeOf } from '../../../ledger/write.js';
import { foldName, type QualifiedTable } from '../../../names/names.js';
import type { Deciding, Ruling, Traits } from '../../../policy/decide.js';
import { decideTable, NO_TRAITS, traitsAsked } from '../../../policy/decide.js';
import type { Claims } from '../../../sql/comment-tags.js';
import { isMysql8 } from '../../../wire/connection/handshake-v10.js';

export interface Ruled extends Omit<Deciding, 'foldsCase'> {
  /** `name@host`, or the name alone. */
  readonly account: string;
  readonly claims: Claims;
  /** UNDROP_REQUIRE_IDLE, in milliseconds; null: a table may be in use. */
  readonly requireIdleMs: number | null;
}

/** A `Ruling` for each table, in order. Rejects if the service can't be used. */
export async function ruleTables(
  pool: ServicePool,
  tables: readonly QualifiedTable[],
  ruled: Ruled,
): Promise<readonly Ruling[]> {
  const { rules, account, claims, requireIdleMs } = ruled;
  const isAsking = rules.length > 0 || requireIdleMs !== null;
  const shape = isAsking ? await shapeOf(pool) : null;
  const comparing = { foldsCase: shape !== null && shape.lowerCaseTableNames !== 0 };
  const rulings: Ruling[] = [];
  for (const name of tables) {
    const subject = { ...name, account, claims };
    const asked = traitsAsked(rules, subject, comparing);
    const isAsked = asked.facts || asked.empty;
    // Only MySQL 8 and later keep the creation time in a RENAME.
    const knowsAge = shape !== null && isMysql8(shape);
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
  { schema, table }: QualifiedTable,
  { empty, knowsAge }: { readonly empty: boolean; readonly knowsAge: boolean },
): Promise<Traits> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('rule')} TABLE_TYPE AS type, ENGINE AS engine, ${BYTES} AS bytes,
        TIMESTAMPDIFF(SECOND, CREATE_TIME, UTC_TIMESTAMP()) AS ageS
      FROM information_schema.TABLES WHERE ${named(schema, table)}`,
  );
  const [row] = rows;
  if (row === undefined) return NO_TRAITS;
  const ageS = col.numberOrNull(row, 'ageS');
  return {
    bytes: col.numberOrNull(row, 'bytes'),
    ageMs: knowsAge && ageS !== null ? ageS * 1_000 : null,
    isEmpty: empty && isReadable(row) ? await isEmptyTable(pool, schema, table) : null,
  };
}

/** Its rows are on this server, and reading them has no other effect. */
function isReadable(row: Row): boolean {
  // A SELECT doesn't see the history of a SYSTEM VERSIONED one.
  return (
    col.text(row, 'type') === 'BASE TABLE' &&
    ['InnoDB', 'MyISAM', 'Aria'].includes(col.textOrNull(row, 'engine') ?? '')
  );
}

/** Many rows that were deleted and not purged yet take long to be skipped. */
const CHECK_DEADLINE_MS = 1_000;

/**
 * Uncommitted rows of others count, and those that others have deleted and not committed. Null: it
 * can't be determined at once.
 */
export async function isEmptyTable(
  pool: ServicePool,
  schema: string,
  table: string,
): Promise<boolean | null> {
  try {
    const look = sql`SELECT ${note('rule')} 1 AS one FROM ${ident(schema, table)} LIMIT 1`;
    const texts = [
      sql`SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED`,
      look,
      sql`SET TRANSACTION ISOLATION LEVEL READ COMMITTED`,
      look,
    ];
    const answers = await runWithTimeout(pool, texts, { deadlineMs: CHECK_DEADLINE_MS });
    return [answers[1], answers[3]].every((rows) => rows?.length === 0);
  } catch (error) {
    if (isServiceError(error)) return null;
    throw error;
  }
}

// ── the last use, read ───────────────────────────────────────────────────────────────────────────
// Reads when a table was last used, as far as the server reports it: its last write
// (information_schema), the last statement that names it, and how often it was read and written
// since the server's start (performance_schema). For UNDROP_REQUIRE_IDLE and EXPLAIN.
//
// Invariant: it reads nothing of the table, and undrop's own queries for a drop don't count as a
// use.

interface UseOptions {
  /** lower_case_table_names is not 0. */
  readonly foldsCase: boolean;
  /** A rule makes undrop check for rows, which counts as a read. */
  readonly ignoresReads: boolean;
  /** Whether statements matter; default: always. */
  readonly asksStatements?: (use: Use) => boolean;
}

export async function readUse(
  pool: ServicePool,
  name: QualifiedTable,
  { foldsCase, ignoresReads, asksStatements = () => true }: UseOptions,
): Promise<Use> {
  const { schema, table } = name;
  const stored = foldsCase ? { schema: foldName(schema), table: foldName(table) } : name;
  const [[facts = {}] = [], [status = {}] = []] = await pool.run([
    sql`SELECT ${note('use')} UTC_TIMESTAMP() AS utcNow, (SELECT MAX(UPDATE_TIME)
        FROM information_schema.TABLES WHERE ${named(schema, table)}) AS writtenAt`,
    sql`SHOW GLOBAL STATUS LIKE 'Uptime'`,
  ]);
  const [counts] = await told(
    pool,
    sql`SELECT ${note('use')} SUM(COUNT_READ) AS readCount, SUM(COUNT_WRITE) AS writeCount
      FROM performance_schema.table_io_waits_summary_by_table
      WHERE OBJECT_TYPE = 'TABLE' AND OBJECT_SCHEMA = ${stored.schema}
        AND OBJECT_NAME = ${stored.table}`,
  );
  const utcNow = col.date(facts, 'utcNow');
  const use: Use = {
    utcNow,
    startedAt: new Date(utcNow.getTime() - col.number(status, 'Value') * 1_000),
    writtenAt: col.dateOrNull(facts, 'writtenAt'),
    namedAt: null,
    reads: counts === undefined || ignoresReads ? null : col.numberOrNull(counts, 'readCount'),
    writes: counts === undefined ? null : col.numberOrNull(counts, 'writeCount'),
  };
  // A statement that names it but wasn't counted may be about another table, or a column.
  if (countOf(use) === 0 || !asksStatements(use)) return use;
  const [last] = await told(pool, statementsSql(stored));
  return { ...use, namedAt: last === undefined ? null : col.dateOrNull(last, 'namedAt') };
}

/** No rows if this server or its grants don't allow the query. */
async function told(pool: ServicePool, text: SQLQuery): Promise<Rows[number][]> {
  const [rows = []] = await unlessRefused(pool.run(text), []);
  return [...rows];
}

/**
 * A digest has no comments and no literals, a blank on each side of a dot, and its words in
 * capitals. A name that follows none of these words may be a column's, or an alias.
 */
function statementsSql({ schema, table }: QualifiedTable): SQLQuery {
  const [inSchema, plain] = [quoteIdentifier(schema), quoteIdentifier(table)];
  const isAfterWord = (name: string) => {
    const words = ['FROM', 'JOIN', 'INTO', 'UPDATE', 'TABLE'];
    const found = words.map((word) => sql`LOCATE(${`${word} ${name}`}, DIGEST_TEXT) > 0`);
    return sql.join(found, ' OR ');
  };
  return sql`SELECT ${note('use')} MAX(LAST_SEEN) AS namedAt
    FROM performance_schema.events_statements_summary_by_digest
    WHERE DIGEST_TEXT REGEXP '^[(]?(SELECT|INSERT|REPLACE|UPDATE|DELETE|LOAD|WITH|TABLE) '
      AND DIGEST_TEXT NOT LIKE ${OUR_LOOK}
      AND (${isAfterWord(`${inSchema} . ${plain}`)}
        OR SCHEMA_NAME = ${schema} AND (${isAfterWord(plain)}))`;
}

/** The query of `isEmptyTable`. */
const OUR_LOOK = 'SELECT ? AS `one` FROM %';

// ── the last use, in words ───────────────────────────────────────────────────────────────────────
// The known last use of a table, and its text. UNDROP_REQUIRE_IDLE refuses by it, EXPLAIN of a drop
// shows it. Pure.
//
// Invariant: an unknown use counts as none, and never causes a refusal.

export interface Use {
  readonly utcNow: Date;
  readonly startedAt: Date;
  /** Null: not since the server's start, or not reported. */
  readonly writtenAt: Date | null;
  /** The last statement that names it; null: none is known. */
  readonly namedAt: Date | null;
  /** Since the server's start; null: performance_schema doesn't count them. */
  readonly reads: number | null;
  readonly writes: number | null;
}

export function countOf({ reads, writes }: Use): number {
  return (reads ?? 0) + (writes ?? 0);
}

/** Continues "was in use"; null: it wasn't within that time, or that isn't known. */
export function useWithin(use: Use, idleMs: number): string | null {
  const { writtenAt, namedAt, startedAt, reads, writes } = use;
  const isWithin = (at: Date | null): at is Date =>
    at !== null && use.utcNow.getTime() - at.getTime() <= idleMs;
  const within = `within ${formatDuration(idleMs)}:`;
  if (isWithin(writtenAt)) return `${within} it was written at ${timeText(writtenAt)}`;
  if (isWithin(namedAt)) return `${within} a statement that names it ended at ${timeText(namedAt)}`;
  if (!isWithin(startedAt) || countOf(use) === 0) return null;
  const counted = `${reads ?? 0} reads and ${writes ?? 0} writes`;
  return `${within} ${counted} since the server started at ${timeText(startedAt)}`;
}

/** In words; null: not known. */
export function lastUse({ writtenAt, namedAt, startedAt, reads, writes }: Use): string | null {
  const [last] = [writtenAt, namedAt].flatMap((at) => at ?? []).sort((a, b) => +b - +a);
  if (last !== undefined) return timeText(last);
  if (writes === null) return null;
  if ((reads ?? 0) + writes === 0) return `not since the server started, ${timeText(startedAt)}`;
  return `${reads ?? 0} reads and ${writes} writes since the server started, ${timeText(startedAt)}`;
}
