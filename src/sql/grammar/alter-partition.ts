/**
 * `ALTER TABLE name DROP PARTITION p, …` and `… TRUNCATE PARTITION {p, … | ALL}`, which destroy the
 * rows of partitions and leave the table. Invariant: what isn't exactly this, to the last token, is
 * null; so is one that says how it is to be done (IGNORE, ALGORITHM, …).
 */
import type { Token } from '../lex/lexer.js';
import { type DropTableStatement, type LockWait, takeWait } from './drop-table.js';
import { type TableName, takeIdentifier, takeTableName } from './table-name.js';
import { type Source, TokenCursor } from './token-cursor.js';

/** A partition as the client names it. */
export interface PartitionName {
  /** Unescaped bytes in the client's charset. */
  readonly partition: Uint8Array;
  /** Where it stands in the text, quotes included. */
  readonly start: number;
  readonly end: number;
}

/** What such a statement says of the partitions. */
export interface PartitionList {
  readonly verb: 'drop' | 'truncate';
  /** At least one, in the client's order, the same may come twice; of TRUNCATE also ALL. */
  readonly names: readonly PartitionName[] | 'all';
  /** MariaDB's DROP PARTITION IF EXISTS. */
  readonly ifExists: boolean;
}

/** What stands before DROP or TRUNCATE. */
interface Head {
  readonly table: TableName;
  readonly ifExists: boolean;
  readonly wait: LockWait | null;
  /** Words of MySQL's on how it is to be done stand behind the name. */
  readonly isModified: boolean;
}

/** Whatever else may come to stand between ALTER and TABLE: not many words. */
const TABLE_WITHIN = 4;
const VERBS = ['DROP', 'TRUNCATE'] as const;

/** Reads what follows the word ALTER. */
export function parseAlterPartition(
  cursor: TokenCursor,
  source: Source,
): DropTableStatement | null {
  // What else an ALTER can be told (ONLINE, ALGORITHM) is for the server that carries it out.
  const head = cursor.takeWords('TABLE') ? takeBehindTable(cursor, source) : null;
  if (head === null || head.isModified) return null;
  const { table, ifExists, wait } = head;
  const verb = VERBS.find((word) => cursor.takeWords(word, 'PARTITION'));
  if (verb === undefined) return null;
  const isDrop = verb === 'DROP';
  const ifThere = isDrop && isMariaDb(source) && cursor.takeWords('IF', 'EXISTS');
  const isAll = !isDrop && cursor.takeWords('ALL');
  const taken = isAll ? { names: 'all' as const, isDoubtful: false } : takeNames(cursor, source);
  if (taken === null || !cursor.isAtEnd) return null;
  return {
    kind: 'drop-table',
    object: 'table',
    temporary: false,
    ifExists,
    names: [table],
    wait,
    restrict: false,
    cascade: false,
    isDoubtful: table.isDoubtful || taken.isDoubtful,
    partitions: { verb: isDrop ? 'drop' : 'truncate', names: taken.names, ifExists: ifThere },
  };
}

/** Whether an ALTER, its first word included, is one of a table and has these words anywhere. */
export function hasPartitionVerb(tokens: readonly Token[]): boolean {
  const cursor = new TokenCursor(tokens, 1);
  takeModes(cursor);
  const isTable = cursor
    .rest()
    .slice(0, TABLE_WITHIN)
    .some((token) => isWord(token, 'TABLE'));
  if (!isTable) return false;
  return tokens.some(
    (token, index) =>
      isWord(tokens[index + 1], 'PARTITION') && VERBS.some((verb) => isWord(token, verb)),
  );
}

/** `[ONLINE | OFFLINE] [IGNORE]`, as old servers and MariaDB take them, in any number. */
function takeModes(cursor: TokenCursor): void {
  while (['ONLINE', 'OFFLINE', 'IGNORE'].some((word) => cursor.takeWords(word)));
}

function takeBehindTable(cursor: TokenCursor, source: Source): Head | null {
  const ifExists = isMariaDb(source) && cursor.takeWords('IF', 'EXISTS');
  const table = takeTableName(cursor, source);
  if (table === null) return null;
  const wait = isMariaDb(source) ? takeWait(cursor, source) : null;
  let isModified = false;
  while (takeModifier(cursor, source)) {
    isModified = true;
    if (!cursor.takeSymbol(',')) return null;
  }
  return { table, ifExists, wait, isModified };
}

/** MySQL's `ALGORITHM [=] word`, `LOCK [=] word`, `{WITH | WITHOUT} VALIDATION`. */
function takeModifier(cursor: TokenCursor, source: Source): boolean {
  if (cursor.takeWords('WITH', 'VALIDATION')) return true;
  if (cursor.takeWords('WITHOUT', 'VALIDATION')) return true;
  if (!cursor.takeWords('ALGORITHM') && !cursor.takeWords('LOCK')) return false;
  cursor.takeSymbol('=');
  return cursor.takeWords('DEFAULT') || takeIdentifier(cursor, source) !== null;
}

/** One or more, with commas between them; null where one of them is none. */
function takeNames(
  cursor: TokenCursor,
  source: Source,
): { readonly names: readonly PartitionName[]; readonly isDoubtful: boolean } | null {
  const names: PartitionName[] = [];
  let isDoubtful = false;
  do {
    const name = takeIdentifier(cursor, source);
    if (name === null) return null;
    const { start, end } = name.token;
    names.push({ partition: name.value, start, end });
    isDoubtful ||= name.isDoubtful;
  } while (cursor.takeSymbol(','));
  return { names, isDoubtful };
}

function isMariaDb({ mode }: Source): boolean {
  return mode.flavour === 'mariadb';
}

function isWord(token: Token | undefined, upper: string): boolean {
  return token?.kind === 'word' && token.text === upper;
}
