/**
 * The statements of undrop itself, from their text or their EXECUTE to their response.
 *
 * Invariant: none of them destroys anything at once, and nothing is changed before the server has
 * confirmed on the user's own session that this user may.
 */

import type { Interception, InterceptOptions } from '../../drop/intercepted.js';
import { answeredWith, readUserFacts } from '../../drop/intercepted.js';
import { newId } from '../../drop/steps/intents.js';
import type { UndoStatement } from '../../sql/verdict.js';
import { type AnswerFormat, answerRefused, answerSignal, type UndoRun } from './answer.js';
import { type BoundUndo, bindUndo, SaidByServer } from './bind.js';
import { explainDrop, NO_TABLES } from './explain-drop.js';
import { NOTHING_EXPLAINED } from './explain-undrop.js';
import { refuseUnder, undropErrorOf } from './find-dropped.js';
import { holdBySql, purgeBySql, purgeDatabaseBySql } from './hold-by-sql.js';
import { emptySet, showDropped } from './show-dropped.js';
import { showObjects, undropDefinition } from './undrop-definition.js';
import { undropMany } from './undrop-many.js';
import { undropTables } from './undrop-table.js';

/** A statement of undrop, as received. */
export interface Undoing {
  readonly text: Buffer;
  readonly statement: UndoStatement;
  /** The facts, if they were read already. */
  readonly facts: UndoRun['facts'] | null;
}

/** Runs once the names are bound: now, or at the EXECUTE. */
type WhenBound = (bound: BoundUndo, facts: UndoRun['facts']) => Promise<Interception>;

/** Reads the facts and binds the names; errors of either are the answer. */
export async function withBound(
  { text, statement, facts: known }: Undoing,
  options: InterceptOptions,
  whenBound: WhenBound,
): Promise<Interception> {
  const facts = known ?? (await readUserFacts(options));
  if ('errno' in facts) return answeredWith(facts);
  return orAnswer(
    async () => whenBound(bindUndo({ text, statement }, facts, options.server), facts),
    options,
  );
}

/** A thrown error becomes the response. */
async function orAnswer(
  work: () => Promise<Interception>,
  options: InterceptOptions,
): Promise<Interception> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SaidByServer) {
      const { said } = error;
      return 'payload' in said ? answeredWith(said) : answerSignal(said, options);
    }
    return answerRefused(undropErrorOf(error), options);
  }
}

/** The columns of its result set; none for an OK. */
export function columnsOf(undo: BoundUndo) {
  if (undo.kind === 'show-dropped') return emptySet(undo).columns;
  if ('explains' in undo && undo.explains) return NOTHING_EXPLAINED.columns;
  return undo.kind.startsWith('explain-') ? NO_TABLES.columns : [];
}

/** Throws the errors that are its response. */
async function answerTo(undo: BoundUndo, run: UndoRun): Promise<Interception> {
  if (!/^(show|explain)-/.test(undo.kind)) refuseUnder(run.facts);
  switch (undo.kind) {
    case 'undrop-table':
      return undropTables(undo, run);
    case 'show-dropped':
      return undo.what === 'objects' ? showObjects(undo, run) : showDropped(undo, run);
    case 'undrop-definition':
      return undropDefinition(undo, run);
    case 'undrop-many':
      return undropMany(undo, run);
    case 'hold':
      return holdBySql(undo, run);
    case 'purge':
      return purgeBySql(undo, run);
    case 'purge-database':
      return purgeDatabaseBySql(undo, run);
    case 'explain-drop-table':
    case 'explain-drop-database':
      return explainDrop(undo, run, run);
  }
}

export async function runUndo(
  undo: BoundUndo,
  statement: AnswerFormat & Pick<UndoRun, 'text'>,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = statement;
  const asked = { session: options.userSession, facts, dropId: newId() };
  const answer = await orAnswer(() => answerTo(undo, { ...options, ...statement, asked }), options);
  return answer.kind === 'answer' ? { ...answer, facts } : answer;
}
