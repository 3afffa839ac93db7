/**
 * The statements that undrop has of its own, from their text or their EXECUTE to their answer.
 *
 * Invariant: none of them destroys anything, and nothing is changed before the server has said on
 * the user's own session that this user may.
 */
import type { UndoStatement } from '../../sql/grammar/undrop.js';
import type { UserFacts } from '../../steps/request.js';
import type { Column } from '../../wire/result-set.js';
import { EXPLAIN_COLUMNS } from '../explain/rows.js';
import { explainDrop } from '../explain/text.js';
import {
  answerWith,
  type Interception,
  type InterceptOptions,
  readUserFacts,
} from '../intercepted.js';
import { answerSignal } from './answer.js';
import { type BoundUndo, bindUndo, SaidByServer } from './bind.js';
import { SHOW_COLUMNS } from './dropped-rows.js';
import { undropErrorOf } from './find-dropped.js';
import { answerRefused, showDropped, type UndoRun, undropById, undropTables } from './service.js';
import { undropDatabase } from './undrop-database.js';

/** One of undrop's statements, as it came. */
export interface Undoing {
  readonly text: Buffer;
  readonly statement: UndoStatement;
  /** If the session was asked for them. */
  readonly facts: UserFacts | null;
}

/** What is done with it once its names are bound: now, or at its EXECUTE. */
export type WhenBound = (bound: BoundUndo, facts: UserFacts) => Promise<Interception>;

/** Reads the facts and binds the names; errors of either are the answer. */
export async function withBound(
  { text, statement, facts: known }: Undoing,
  options: InterceptOptions,
  whenBound: WhenBound,
): Promise<Interception> {
  const facts = known ?? (await readUserFacts(options));
  if ('errno' in facts) return answerWith(facts);
  return orAnswer(
    async () => whenBound(bindUndo({ text, statement }, facts, options.server), facts),
    options,
  );
}

/** What is thrown as an answer becomes it. */
async function orAnswer(
  work: () => Promise<Interception>,
  options: InterceptOptions,
): Promise<Interception> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SaidByServer) return answerSignal(error.signal, options);
    return answerRefused(undropErrorOf(error), options);
  }
}

/** The columns of its result set; none if it answers OK. Null: it is for the server to answer. */
export function columnsOf({ kind }: BoundUndo): readonly Column[] | null {
  if (kind === 'show-dropped') return SHOW_COLUMNS;
  return kind.startsWith('undrop-') ? [] : EXPLAIN_COLUMNS;
}

/** Throws the errors that are its answer. */
async function answerTo(
  undo: BoundUndo,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  switch (undo.kind) {
    case 'undrop-table':
      return undropTables(undo, run, options);
    case 'undrop-id':
      return undropById(undo, run, options);
    case 'show-dropped':
      return showDropped(undo, run, options);
    case 'undrop-database':
      return undropDatabase(undo, run, options);
    case 'explain-drop-table':
    case 'explain-drop-database':
      return explainDrop(undo, run, options);
  }
}

export async function runUndo(
  undo: BoundUndo,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  const answer = await orAnswer(() => answerTo(undo, run, options), options);
  return answer.kind === 'answer' ? { ...answer, facts: run.facts } : answer;
}
