/**
 * The statements that undrop has of its own, from their text or their EXECUTE to their answer.
 *
 * Invariant: none of them destroys anything, and nothing is changed before the server has said on
 * the user's own session that this user may.
 */
import { UndropError } from '../../errors.js';
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
  refused,
} from '../intercepted.js';
import { type AnswerFormat, answerSignal } from './answer.js';
import { type BoundUndo, bindUndo, SaidByServer } from './bind.js';

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
  try {
    return await whenBound(bindUndo({ text, statement }, facts, options.server), facts);
  } catch (error) {
    if (error instanceof SaidByServer) return answerSignal(error.signal, options);
    if (error instanceof UndropError) return refused(error, options);
    throw error;
  }
}

/** The columns of its result set; none if it answers OK. Null: it is for the server to answer. */
export function columnsOf({ kind }: BoundUndo): readonly Column[] | null {
  const isExplain = kind === 'explain-drop-table' || kind === 'explain-drop-database';
  return isExplain ? EXPLAIN_COLUMNS : null;
}

export async function runUndo(
  undo: BoundUndo,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  switch (undo.kind) {
    case 'undrop-table':
    case 'undrop-id':
    case 'undrop-database':
    case 'show-dropped':
      return { kind: 'forward', facts: null };
    case 'explain-drop-table':
    case 'explain-drop-database':
      return explainDrop(undo, format, options);
  }
}
