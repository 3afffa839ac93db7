/**
 * Reads when a table was last used, as far as the server reports it: its last write
 * (information_schema), the last statement that names it, and how often it was read and written
 * since the server's start (performance_schema). For UNDROP_REQUIRE_IDLE and EXPLAIN.
 *
 * Invariant: it reads nothing of the table, and undrop's own queries for a drop don't count as a
 * use.
 */
import { named } from '../../ledger/intents/intent-text.js';
import { foldName } from '../../names/names.js';
import { unlessRefused } from '../../service/errors.js';
import type { Rows, ServicePool } from '../../service/pool/pools.js';
import {
  dateOf,
  dateOrNullOf,
  note,
  numberOf,
  numberOrNullOf,
  quoteIdentifier,
  type SQLQuery,
  sql,
} from '../../service/sql.js';
import { countOf, type Use } from './use.js';

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
  name: { readonly schema: string; readonly table: string },
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
  const utcNow = dateOf(facts, 'utcNow');
  const use: Use = {
    utcNow,
    startedAt: new Date(utcNow.getTime() - numberOf(status, 'Value') * 1_000),
    writtenAt: dateOrNullOf(facts, 'writtenAt'),
    namedAt: null,
    reads: counts === undefined || ignoresReads ? null : numberOrNullOf(counts, 'readCount'),
    writes: counts === undefined ? null : numberOrNullOf(counts, 'writeCount'),
  };
  // A statement that names it but wasn't counted may be about another table, or a column.
  if (countOf(use) === 0 || !asksStatements(use)) return use;
  const [last] = await told(pool, statementsSql(stored));
  return { ...use, namedAt: last === undefined ? null : dateOrNullOf(last, 'namedAt') };
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
function statementsSql({ schema, table }: { readonly schema: string; readonly table: string }) {
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

/** The query of rules.ts for an empty table. */
const OUR_LOOK = 'SELECT ? AS `one` FROM %';
