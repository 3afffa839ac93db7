/**
 * The statements of undrop itself, from their text or their EXECUTE to their response.
 *
 * Invariant: none of them destroys anything at once, and nothing is changed before the server has
 * confirmed on the user's own session that this user may.
 */
import type { UndoStatement } from '../sql/verdict.js';
import type { UserFacts } from '../steps/world.js';
import type { Column } from '../wire/result-set.js';
import { explainDrop } from './explain/explain-drop.js';
import { NO_TABLES } from './explain/explain-rows.js';
import {
  answeredWith,
  type Interception,
  type InterceptOptions,
  readUserFacts,
} from './intercepted.js';
import { answerRefused, answerSignal, type UndoRun } from './undrop/answer.js';
import { type BoundUndo, bindUndo, SaidByServer } from './undrop/bind.js';
import { NOTHING_EXPLAINED } from './undrop/explain-undrop.js';
import { undropErrorOf } from './undrop/find-dropped.js';
import { holdBySql, purgeBySql, purgeDatabaseBySql } from './undrop/hold-by-sql.js';
import { emptySet, showDropped } from './undrop/show-dropped.js';
import { undropDatabase } from './undrop/undrop-database.js';
import { undropById, undropTables } from './undrop/undrop-table.js';

/** A statement of undrop, as received. */
export interface Undoing {
  readonly text: Buffer;
  readonly statement: UndoStatement;
  /** The facts, if they were read already. */
  readonly facts: UserFacts | null;
}

/** Runs once the names are bound: now, or at the EXECUTE. */
type WhenBound = (bound: BoundUndo, facts: UserFacts) => Promise<Interception>;

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

/** The columns of its result set; none for an OK. Null: the server has to answer it. */
export function columnsOf(undo: BoundUndo): readonly Column[] | null {
  if (undo.kind === 'show-dropped') return emptySet(undo).columns;
  if ('explains' in undo && undo.explains) return NOTHING_EXPLAINED.columns;
  return undo.kind.startsWith('explain-') ? NO_TABLES.columns : [];
}

/** Throws the errors that are its response. */
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
    case 'hold':
      return holdBySql(undo, run, options);
    case 'purge':
      return purgeBySql(undo, run, options);
    case 'purge-database':
      return purgeDatabaseBySql(undo, run, options);
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
