/**
 * EXPLAIN of an UNDROP TABLE: a row for each table, with what comes back and what doesn't, by the
 * checks of the restore itself. It changes nothing.
 *
 * Invariant: the same privileges are checked before as for the UNDROP.
 */

import type { ServicePool } from '../../connections/sql.js';
import type { Interception } from '../../drop/intercepted.js';
import { countKeyRows, SEARCH_MS } from '../../held/foreign-keys/broken-rows.js';
import { placeKeys } from '../../held/foreign-keys/reattach.js';
import { isMissing } from '../../held/locate.js';
import { NOTHING_DETACHED } from '../../ledger/detached/detached.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import { type QualifiedTable, writtenName } from '../../names/names.js';
import { type Field, formatCount, printResultSet } from '../../printer.js';
import { noSuchHeld, withFate } from '../../recycle/find-dropped.js';
import type { Dropped } from '../../recycle/held-tables.js';
import { type HeldPlan, planRestore } from '../../recycle/plan-restore.js';
import { schemaExists } from '../../recycle/rename-back.js';
import { answerRows, type UndoRun } from './answer.js';
import { inQueue } from './find-dropped.js';

/** A table that is asked for. */
export interface WantedTable {
  readonly name: QualifiedTable;
  /** Null: no table of that name is held. */
  readonly held: Dropped | null;
  readonly to: QualifiedTable;
  /** Requested by its name, which means an interrupted restore before an older table. */
  readonly isNamed: boolean;
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
  wanted: readonly WantedTable[],
  { swap, keys }: How,
  run: UndoRun,
): Promise<Interception> {
  const { pool } = run.service;
  const rows = await inQueue(pool, `read ${run.facts.account}`, async () => {
    const explained: Explained[] = [];
    const beside = new Set(wanted.map(({ to }) => writtenName(to)));
    for (const table of wanted) explained.push(await explain(pool, table, { swap, keys, beside }));
    return explained;
  });
  return answerRows(printResultSet(COLUMNS, rows), run);
}

interface How {
  readonly swap: boolean;
  readonly keys: boolean;
}

/** `beside`: the names of all that come back. */
type Explaining = How & { readonly beside: ReadonlySet<string> };

async function explain(
  pool: ServicePool,
  { name, held, to }: WantedTable,
  how: Explaining,
): Promise<Explained> {
  const target = writtenName(name);
  if (held === null) {
    throw await withFate(pool, { target, error: noSuchHeld(target), near: [] });
  }
  planRestore([held], { target, to });
  const [row] = await findRows(pool, { by: 'ids', ids: [held.id] });
  const { keysOut, triggers } = row?.detached ?? NOTHING_DETACHED;
  const isTaken = !(await isMissing(pool, held.id, to));
  const notes = [
    ...((await schemaExists(pool, to.schema)) ? [] : [`refused: there is no schema ${to.schema}`]),
    ...(isTaken && how.swap ? ['the live table of that name is held instead'] : []),
    ...(isTaken && !how.swap ? ['refused: a table has that name; SWAP, or TO another name'] : []),
    ...(row === undefined ? [] : await keyNotes(pool, row, { ...how, held, to })),
  ];
  const counts = { keys: keysOut.length, triggers: triggers.length };
  return { held, becomes: writtenName(to), ...counts, notes };
}

/** Notes on foreign keys that don't come back, or that rows break. */
async function keyNotes(
  pool: ServicePool,
  row: LedgerRow,
  { held, to, keys, beside }: Explaining & Pick<HeldPlan, 'to'> & { readonly held: Dropped },
): Promise<readonly string[]> {
  const { id, detached } = row;
  if (detached.keysOut.length === 0) return [];
  const places = await placeKeys(pool, {
    ...{ id, origin: held.origin, restoredAs: to, detached, dropped: row, anyParent: keys },
  });
  const endMs = performance.now() + SEARCH_MS;
  const notes: string[] = [];
  for (const { key, isParentMissing, isAwaiting, oldParent } of places) {
    const parent = writtenName({ schema: key.parentSchema, table: key.parentTable });
    // It leads to the one that comes back with it.
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
