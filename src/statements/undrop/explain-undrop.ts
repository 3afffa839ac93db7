/**
 * EXPLAIN of an UNDROP TABLE: a row for each table, with what comes back and what doesn't, by the
 * checks of the restore itself. It changes nothing.
 *
 * Invariant: the same privileges are checked before as for the UNDROP.
 */
import { countKeyRows, SEARCH_MS } from '../../held/foreign-keys/broken-rows.js';
import { isMissing, placeKeys } from '../../held/foreign-keys/reattach.js';
import { NOTHING_DETACHED } from '../../ledger/detached/detached.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import { type QualifiedTable, writtenName } from '../../names/names.js';
import { type Field, formatCount, printResultSet } from '../../printer.js';
import type { Dropped } from '../../recycle/dropped.js';
import { noSuchHeld, withFate } from '../../recycle/find-dropped.js';
import { planRestore } from '../../recycle/plan-restore.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { note, sql } from '../../service/sql.js';
import type { Interception, InterceptOptions } from '../intercepted.js';
import { type AnswerFormat, answerRows } from './answer.js';
import type { BoundName } from './bind.js';
import { inQueue } from './find-dropped.js';

/** A table that is asked for. */
export interface ExplainedTable {
  readonly name: BoundName;
  /** Null: no table of that name is held. */
  readonly held: Dropped | null;
  readonly to: BoundName;
}

interface Explained {
  readonly held: Dropped;
  readonly becomes: string;
  readonly keys: number;
  readonly triggers: number;
  readonly notes: readonly string[];
}

const COLUMNS: readonly Field<Explained>[] = [
  { title: 'Id', json: ({ held }) => held.id },
  { title: 'Table', json: ({ held }) => writtenName(held.origin) },
  { title: 'Dropped_at', json: ({ held }) => held.droppedAt },
  { title: 'Becomes', json: ({ becomes }) => becomes },
  { title: 'Rows', json: ({ held }) => held.rowEstimate, isNumber: true },
  { title: 'Foreign_keys', json: ({ keys }) => keys, isNumber: true },
  { title: 'Triggers', json: ({ triggers }) => triggers, isNumber: true },
  { title: 'Notes', json: ({ notes }) => (notes.length === 0 ? null : notes.join('; ')) },
];

/** Its columns, without a row. */
export const NOTHING_EXPLAINED = printResultSet(COLUMNS, []);

/** Throws the error of the UNDROP of the first table that can't come back. */
export async function explainUndrop(
  wanted: readonly ExplainedTable[],
  { swap, keys, format }: { readonly swap: boolean; readonly keys: boolean; format: AnswerFormat },
  options: InterceptOptions,
): Promise<Interception> {
  const { pool } = options.service;
  const { account } = format.facts;
  const rows = await inQueue(pool, `read ${account}`, async () => {
    const explained: Explained[] = [];
    const beside = new Set(wanted.map(({ to }) => writtenName(to)));
    for (const table of wanted) explained.push(await explain(pool, table, { swap, keys, beside }));
    return explained;
  });
  return answerRows(printResultSet(COLUMNS, rows), { ...format, note: null }, options);
}

async function explain(
  pool: ServicePool,
  { name, held, to }: ExplainedTable,
  how: { readonly swap: boolean; readonly keys: boolean; readonly beside: ReadonlySet<string> },
): Promise<Explained> {
  const target = writtenName(name);
  if (held === null) {
    throw await withFate(pool, { target, error: noSuchHeld(target), near: [] });
  }
  planRestore([held], { target });
  const [row] = await findRows(pool, { by: 'ids', ids: [held.id] });
  const { keysOut, triggers } = row?.detached ?? NOTHING_DETACHED;
  const isTaken = !(await isMissing(pool, held.id, to));
  const isThere = await hasSchema(pool, to.schema);
  const notes = [
    ...(isThere ? [] : [`refused: there is no schema ${to.schema}`]),
    ...(isTaken && how.swap ? ['the live table of that name is held instead'] : []),
    ...(isTaken && !how.swap ? ['refused: a table has that name; SWAP, or TO another name'] : []),
    ...(row === undefined
      ? []
      : await keyNotes(pool, { row, held, to, anyParent: how.keys }, how.beside)),
  ];
  return {
    ...{ held, becomes: writtenName(to), keys: keysOut.length, triggers: triggers.length },
    notes,
  };
}

async function hasSchema(pool: ServicePool, schema: string): Promise<boolean> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('undrop')} 1 AS one FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME = ${schema}`,
  );
  return rows.length > 0;
}

interface KeyedDrop {
  readonly row: LedgerRow;
  readonly held: Dropped;
  readonly to: QualifiedTable;
  readonly anyParent: boolean;
}

/**
 * Notes on foreign keys that don't come back, or that rows break. `beside`: the names of all that
 * come back; a key to one of them leads to that.
 */
async function keyNotes(
  pool: ServicePool,
  { row, held, to, anyParent }: KeyedDrop,
  beside: ReadonlySet<string>,
): Promise<readonly string[]> {
  const { id, detached } = row;
  if (detached === null || detached.keysOut.length === 0) return [];
  const places = await placeKeys(pool, {
    ...{ id, origin: held.origin, restoredAs: to, detached, dropped: row },
    ...{ logged: held.logged, anyParent },
  });
  const endMs = performance.now() + SEARCH_MS;
  const notes: string[] = [];
  for (const { key, isParentMissing, isAwaiting, oldParent } of places) {
    const parent = writtenName({ schema: key.parentSchema, table: key.parentTable });
    if (parent !== writtenName(to) && beside.has(parent)) continue;
    if (isParentMissing) {
      notes.push(`${key.name} refers to ${parent}, which is missing`);
      continue;
    }
    if (oldParent !== null) notes.push(`${key.name}: ${parent} is another table now; ${oldParent}`);
    if (isAwaiting) notes.push(`${key.name} is not added without WITH KEYS`);
    const child = { schema: held.holdSchema, table: held.holdName };
    const rows = await countKeyRows(pool, child, { key, withinMs: endMs - performance.now() });
    if (rows === null) notes.push(`not counted: rows that would break ${key.name}`);
    else if (rows.withoutParent > 0) {
      notes.push(`${formatCount(rows.withoutParent)} rows would break ${key.name}`);
    }
  }
  return notes;
}
