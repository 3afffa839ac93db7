/**
 * Finds foreign keys that rows break since the table was dropped: a parent was deleted meanwhile,
 * or a swap gave children another parent. A restore adds keys without a check of the rows, because
 * the check would copy the table or lock it; so it reports afterwards which rows to examine.
 *
 * Invariant: it only reads, after the table is restored, and ends in its time; a key that was not
 * checked in time is reported as unchecked, never as correct.
 */

import { isServerError, isServiceError, tolerantly } from '../../connections/errors.js';
import { runWithin } from '../../connections/pool/statement-timeout.js';
import type { Rows, ServicePool, SQLQuery } from '../../connections/sql.js';
import { col, ident, note, readServerFacts, renderQuery, sql } from '../../connections/sql.js';
import { assert } from '../../errors.js';
import type { ForeignKey } from '../../ledger/detached/detached.js';
import { endOfKey, foreignKeysOf } from '../../ledger/intents/intent-text.js';
import { inGroups, keyOf, type QualifiedTable, writtenName } from '../../names/names.js';
import * as ER from '../../wire/server-errors.js';

export interface BrokenKey {
  readonly name: string;
  /** The table that has it, `schema.table`. */
  readonly table: string;
  /** Lists the rows that have no parent, for an operator. */
  readonly query: string;
  /** False: unknown, because the check took too long or was refused. */
  readonly isSeen: boolean;
}

/** For all keys of one table together. */
export const SEARCH_MS = 500;
/** The maximum of keys checked for one table. */
const KEYS_MAX = 50;

interface Key {
  readonly name: string;
  readonly child: QualifiedTable;
  readonly parent: QualifiedTable;
  readonly columns: readonly { readonly own: string; readonly parent: string }[];
}

/**
 * Checks the keys of the table, and keys of others to it, for a moment. Does not reject for errors
 * of the server or the pool.
 */
export async function findBrokenRows(
  pool: ServicePool,
  table: QualifiedTable,
): Promise<readonly BrokenKey[]> {
  const { value: keys } = await tolerantly(() => readKeys(pool, table));
  const endMs = performance.now() + SEARCH_MS;
  const broken: BrokenKey[] = [];
  for (const key of keys) {
    const found = await searchFor(pool, key, endMs - performance.now());
    if (found === 'none') continue;
    const query = `${renderQuery(queryOf(key))};`;
    const child = writtenName(key.child);
    broken.push({ name: key.name, table: child, query, isSeen: found === 'some' });
  }
  return broken;
}

async function readKeys(pool: ServicePool, table: QualifiedTable): Promise<readonly Key[]> {
  const server = await readServerFacts(pool);
  const [found = []] = await pool.run(foreignKeysOf([table], server));
  const children = found.map((row) => endOfKey(row, 'child'));
  const names = [...new Map(children.map((child) => [keyOf(child), child])).values()];
  if (names.length === 0) return [];
  // A statement for each child, with its name as constants: 5.6 would open all tables otherwise.
  const answers = await pool.run(
    names.slice(0, KEYS_MAX).map(
      ({ schema, table: child }) => sql`SELECT ${note('look')} TABLE_SCHEMA AS childSchema,
          TABLE_NAME AS child, CONSTRAINT_NAME AS name, COLUMN_NAME AS own,
          REFERENCED_TABLE_SCHEMA AS parentSchema, REFERENCED_TABLE_NAME AS parent,
          REFERENCED_COLUMN_NAME AS parentColumn
        FROM information_schema.KEY_COLUMN_USAGE
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${child}
          AND REFERENCED_TABLE_NAME IS NOT NULL
        ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION`,
    ),
  );
  const isMeant = ({ child, parent }: Key) => [child, parent].map(keyOf).includes(keyOf(table));
  return answers.flatMap(keysIn).filter(isMeant).slice(0, KEYS_MAX);
}

function keysIn(rows: Rows): readonly Key[] {
  return inGroups(rows, (row) => col.text(row, 'name')).map((columns) => {
    const [row = {}] = columns;
    return {
      name: col.text(row, 'name'),
      child: endOfKey(row, 'child'),
      parent: endOfKey(row, 'parent'),
      columns: columns.map((one) => {
        return { own: col.text(one, 'own'), parent: col.text(one, 'parentColumn') };
      }),
    };
  });
}

function queryOf(key: Key): SQLQuery {
  const { isGiven, isParent, from, to } = partsOf(key);
  const [first] = key.columns;
  assert(first !== undefined, 'a key has a column');
  const isOrphan = sql`p.${ident(first.parent)} IS NULL`;
  const isBroken = sql`${isGiven} AND ${isOrphan}`;
  // On one line, so that it can be copied from a report.
  return sql`SELECT c.* FROM ${from} AS c LEFT JOIN ${to} AS p ON ${isParent} WHERE ${isBroken}`;
}

/** In MATCH SIMPLE, which all servers implement, a key with a NULL refers to nothing. */
function partsOf({ child, parent, columns }: Key) {
  const pairs = columns.map((pair) => sql`c.${ident(pair.own)} = p.${ident(pair.parent)}`);
  const given = columns.map(({ own }) => sql`c.${ident(own)} IS NOT NULL`);
  return {
    from: ident(child.schema, child.table),
    to: ident(parent.schema, parent.table),
    isParent: sql.join(pairs, ' AND '),
    isGiven: sql.join(given, ' AND '),
  };
}

/** The server need not keep old versions of rows for it, however long the query takes. */
const OLD_ROWS_MAY_GO = sql`SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED`;

async function searchFor(pool: ServicePool, key: Key, withinMs: number) {
  const query = sql`SELECT ${note('broken')} 1 FROM (${queryOf(key)} LIMIT 1) AS broken`;
  try {
    const rows = await runWithin(pool, [OLD_ROWS_MAY_GO, query], { withinMs });
    return rows === null ? 'unknown' : rows.length === 0 ? 'none' : 'some';
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return isServerError(error, ...ER.ABSENT_TABLE) ? 'none' : 'unknown';
  }
}

/** Rows of a table whose key refers to something. */
export type KeyRows = NonNullable<Awaited<ReturnType<typeof countKeyRows>>>;

/**
 * Counts the rows of the table by a key that it has, or may get. Null: it took too long, or the
 * server refused. Does not reject for errors of the server or the pool.
 */
export async function countKeyRows(
  pool: ServicePool,
  child: QualifiedTable,
  { key, withinMs }: { readonly key: ForeignKey; readonly withinMs: number },
) {
  const { name, parentSchema, parentTable, parentColumns } = key;
  const columns = key.columns.map((own, index) => ({ own, parent: parentColumns[index] ?? own }));
  const parent = { schema: parentSchema, table: parentTable };
  const { isGiven, isParent, from, to } = partsOf({ name, child, parent, columns });
  const query = sql`SELECT ${note('broken')} COUNT(*) AS found,
      COUNT(IF(EXISTS (SELECT 1 FROM ${to} AS p WHERE ${isParent}), 1, NULL)) AS matching
    FROM ${from} AS c WHERE ${isGiven}`;
  const { value } = await tolerantly(
    async () => (await runWithin(pool, [OLD_ROWS_MAY_GO, query], { withinMs })) ?? [],
  );
  const [row] = value;
  if (row === undefined) return null;
  const withParent = col.number(row, 'matching');
  return { withParent, withoutParent: col.number(row, 'found') - withParent };
}
