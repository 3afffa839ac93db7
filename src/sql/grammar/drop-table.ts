/**
 * `DROP TABLE[S] [IF EXISTS] name, … [WAIT n | NOWAIT] [RESTRICT | CASCADE]`, MariaDB's `DROP
 * SEQUENCE [IF EXISTS] name, …` (a sequence is a table of one row), `TRUNCATE [TABLE] name`, and
 * what else a DROP may drop. Invariant: a statement that isn't exactly one of these, to the last
 * token, and may destroy a table, is `unclear`; so are MariaDB's WAIT and NOWAIT of a TRUNCATE.
 */
import { isCut, type Statement } from '../next-statement.js';
import { NAMES_MAX } from '../reading.js';
import { NOT_OURS, refusedVerdict, tooMany, unclear, type Verdict } from '../verdict.js';
import type { PartitionList } from './alter-partition.js';
import {
  type Source,
  type TableName,
  type TokenCursor,
  takeIdentifier,
  takeTableName,
  takeTableNames,
} from './table-name.js';

/** MariaDB's lock wait clause; `text` is the number as the client wrote it. */
export type LockWait =
  | { readonly kind: 'wait'; readonly text: string }
  | { readonly kind: 'nowait' };

export interface DropTableStatement {
  /** What it calls the tables; DROP SEQUENCE drops no other table than a sequence. */
  readonly object: 'table' | 'sequence';
  readonly ifExists: boolean;
  /** At least one, in the client's order; the same name may come twice. */
  readonly names: readonly TableName[];
  readonly wait: LockWait | null;
  /** Only the server can say whether it takes this text; without its word, refuse. */
  readonly isDoubtful: boolean;
  /** It is a TRUNCATE: the one table is there afterwards, and empty. */
  readonly empties?: boolean;
  /** It is an ALTER TABLE … DROP PARTITION, or TRUNCATE PARTITION: the table stays. */
  readonly partitions?: PartitionList;
}

/** What stands after DROP if no base table goes with it. */
const DROPPED_ELSE = [
  ...['TEMPORARY', 'VIEW', 'INDEX', 'TRIGGER', 'PROCEDURE', 'FUNCTION', 'EVENT', 'USER', 'ROLE'],
  ...['SERVER', 'TABLESPACE', 'UNDO', 'LOGFILE', 'RESOURCE', 'SPATIAL', 'PREPARE', 'PACKAGE'],
  'LIBRARY',
];

/** The verdict on a DROP; the cursor stands after this word. */
export function dropVerdict(cursor: TokenCursor, statement: Statement, source: Source): Verdict {
  if (cursor.takeWords('TABLE') || cursor.takeWords('TABLES')) {
    return dropOf('table', cursor, statement, source);
  }
  if (cursor.takeWords('SEQUENCE')) {
    // MySQL knows no sequences.
    return source.mode.flavour === 'mysql'
      ? NOT_OURS
      : dropOf('sequence', cursor, statement, source);
  }
  if (cursor.takeWords('DATABASE') || cursor.takeWords('SCHEMA')) {
    const ifExists = cursor.takeWords('IF', 'EXISTS');
    const schema = takeIdentifier(cursor, source);
    return schema !== null && cursor.isAtEnd && statement.isComplete
      ? { ...refusedVerdict('drop-database', []), schema: schema.value, ifExists }
      : unclear('this DROP DATABASE is not understood');
  }
  if (DROPPED_ELSE.some((word) => cursor.isWord(word))) return NOT_OURS;
  const mayBeTable = cursor
    .rest()
    .some(({ kind, text }) => kind === 'word' && /^(TABLES?|DATABASE|SCHEMA|SEQUENCE)$/.test(text));
  const isUnclear = mayBeTable || isCut(statement);
  return isUnclear ? unclear('this DROP is not understood') : NOT_OURS;
}

/** A DROP TABLE or DROP SEQUENCE, after these words. */
function dropOf(
  object: DropTableStatement['object'],
  cursor: TokenCursor,
  statement: Statement,
  source: Source,
): Verdict {
  const ifExists = cursor.takeWords('IF', 'EXISTS');
  const names = takeTableNames(cursor, source);
  if (isCut(statement) || (names?.length ?? 0) > NAMES_MAX) return tooMany('names');
  let wait: LockWait | null = null;
  if (object === 'table') {
    wait = takeWait(cursor, source);
    // Both are without meaning to all servers.
    if (!cursor.takeWords('RESTRICT')) cursor.takeWords('CASCADE');
  }
  if (names === null || !cursor.isAtEnd || !statement.isComplete) {
    return unclear(`this DROP ${object.toUpperCase()} is not understood`);
  }
  const isDoubtful = names.some((name) => name.isDoubtful);
  return { kind: 'drop-table', statement: { object, ifExists, names, wait, isDoubtful } };
}

/** MariaDB's `WAIT n`, `NOWAIT`; null if there is none. */
export function takeWait(cursor: TokenCursor, source: Source): LockWait | null {
  if (source.mode.flavour === 'mysql') return null;
  if (cursor.takeWords('NOWAIT')) return { kind: 'nowait' };
  if (!cursor.isWord('WAIT') || cursor.peek(1).kind !== 'number') return null;
  cursor.take();
  const { start, end } = cursor.take();
  return { kind: 'wait', text: Buffer.from(source.bytes.subarray(start, end)).toString('latin1') };
}

/** The verdict on a TRUNCATE; the cursor stands after this word. */
export function truncateVerdict(
  cursor: TokenCursor,
  statement: Statement,
  source: Source,
): Verdict {
  cursor.takeWords('TABLE');
  const name = takeTableName(cursor, source);
  if (name === null || !cursor.isAtEnd || !statement.isComplete) {
    return unclear('this TRUNCATE is not understood');
  }
  const { isDoubtful } = name;
  const one = { object: 'table', ifExists: false, names: [name], wait: null } as const;
  return { kind: 'drop-table', statement: { ...one, isDoubtful, empties: true } };
}
