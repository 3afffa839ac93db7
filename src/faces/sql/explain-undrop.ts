/**
 * EXPLAIN of an UNDROP TABLE: a row for each table, with what comes back and what doesn't. It
 * changes nothing.
 *
 * Invariant: the same privileges are checked before as for the UNDROP.
 */

import type { Interception } from '../../drop/intercepted.js';
import { writtenName } from '../../names/names.js';
import { type Field, printResultSet } from '../../printer.js';
import { nameOrId } from '../../recycle/find-dropped.js';
import { type Preview, type Previewing, previewAll } from '../../recycle/preview.js';
import type { Choice } from '../../recycle/restore.js';
import { answerRows, type UndoRun } from './answer.js';
import { inQueue, withSeenFate } from './find-dropped.js';

const COLUMNS: readonly Field<Preview>[] = [
  { title: 'Id', json: ({ plan }) => plan.table.id },
  { title: 'Table', json: ({ plan }) => nameOrId(plan.table) },
  { title: 'Dropped_at', json: ({ plan }) => plan.table.droppedAt },
  { title: 'Becomes', json: ({ plan }) => writtenName(plan.to) },
  { title: 'Rows', json: ({ plan }) => plan.table.rowEstimate, isNumber: true },
  { title: 'Foreign_keys', json: ({ foreignKeys }) => foreignKeys, isNumber: true },
  { title: 'Triggers', json: ({ triggers }) => triggers, isNumber: true },
  { title: 'Notes', json: noteOf },
];

function noteOf({ plan: { to }, refusal, notes }: Preview): string | null {
  if (refusal === null) return notes.length === 0 ? null : notes.join('; ');
  const short: Readonly<Record<string, string>> = {
    UNDROP_SCHEMA_MISSING: `there is no schema ${to.schema}`,
    UNDROP_NAME_TAKEN: 'a table has that name; SWAP, or TO another name',
  };
  return [`refused: ${short[refusal.code] ?? refusal.message}`, ...notes].join('; ');
}

/** Its columns, without a row. */
export const NOTHING_EXPLAINED = printResultSet(COLUMNS, []);

/** Each takes several statements, one after the other. */
export const EXPLAINED_MAX = 500;

/** Throws the error of the UNDROP of the first table that can't come back. */
export async function explainUndrop(
  choices: readonly Choice[],
  how: Previewing,
  run: UndoRun,
): Promise<Interception> {
  const { pool } = run.service;
  const shown = choices.slice(0, EXPLAINED_MAX);
  const preview = () => previewAll(pool, shown, how);
  const { done, failed } = await inQueue(pool, `read ${run.facts.account}`, preview);
  for (const { what: target, error } of failed) {
    throw await withSeenFate(error, target, run);
  }
  const isCut = shown.length < choices.length;
  const note = isCut ? `Only the first ${EXPLAINED_MAX} of ${choices.length} are explained.` : null;
  return answerRows(printResultSet(COLUMNS, done), run, note);
}
