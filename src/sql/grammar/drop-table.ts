/**
 * `DROP TABLE[S] [IF EXISTS] name, … [WAIT n | NOWAIT] [RESTRICT | CASCADE]`, MariaDB's `DROP
 * SEQUENCE [IF EXISTS] name, …` (a sequence is a table of one row), and `TRUNCATE [TABLE] name`.
 * Invariant: what isn't exactly this, to the last token, is null; so are MariaDB's WAIT, NOWAIT
 * and STORAGE of a TRUNCATE.
 */
import type { PartitionList } from './alter-partition.js';
import { type TableName, takeTableName, takeTableNames } from './table-name.js';
import type { Source, TokenCursor } from './token-cursor.js';

export type { TableName } from './table-name.js';

/** MariaDB's lock wait clause; `text` is the number as the client wrote it. */
export type LockWait =
  | { readonly kind: 'wait'; readonly text: string }
  | { readonly kind: 'nowait' };

export interface DropTableStatement {
  readonly kind: 'drop-table';
  /** What it calls the tables; DROP SEQUENCE drops no other table than a sequence. */
  readonly object: 'table' | 'sequence';
  readonly temporary: false;
  readonly ifExists: boolean;
  /** At least one, in the client's order; the same name may come twice. */
  readonly names: readonly TableName[];
  readonly wait: LockWait | null;
  /** Both are without meaning to all servers. */
  readonly restrict: boolean;
  readonly cascade: boolean;
  /** Only the server can say whether it takes this text; without its word, refuse. */
  readonly isDoubtful: boolean;
  /** It is a TRUNCATE (truncate.ts): the one table is there afterwards, and empty. */
  readonly empties?: boolean;
  /** It is an ALTER TABLE … DROP PARTITION, or TRUNCATE PARTITION: the table stays. */
  readonly partitions?: PartitionList;
}

/** Whether a table of that name is there afterwards. */
export function leavesTable({ empties = false, partitions }: DropTableStatement): boolean {
  return empties || partitions !== undefined;
}

/** Reads what follows the words DROP TABLE, or DROP SEQUENCE. */
export function parseDropTable(
  cursor: TokenCursor,
  source: Source,
  object: DropTableStatement['object'] = 'table',
): DropTableStatement | null {
  const ifExists = cursor.takeWords('IF', 'EXISTS');
  const names = takeTableNames(cursor, source);
  if (names === null) return null;
  const isTable = object === 'table';
  const hasWait = isTable && source.mode.flavour === 'mariadb';
  const wait = hasWait ? takeWait(cursor, source) : null;
  const restrict = isTable && cursor.takeWords('RESTRICT');
  const cascade = isTable && !restrict && cursor.takeWords('CASCADE');
  if (!cursor.isAtEnd) return null;
  const isDoubtful = names.some((name) => name.isDoubtful);
  return {
    kind: 'drop-table',
    object,
    temporary: false,
    ifExists,
    names,
    wait,
    restrict,
    cascade,
    isDoubtful,
  };
}

/** `WAIT n`, `NOWAIT`, of MariaDB; null where there is none. */
export function takeWait(cursor: TokenCursor, source: Source): LockWait | null {
  if (cursor.takeWords('NOWAIT')) return { kind: 'nowait' };
  if (!cursor.isWord('WAIT') || cursor.peek(1).kind !== 'number') return null;
  cursor.take();
  const { start, end } = cursor.take();
  return { kind: 'wait', text: Buffer.from(source.bytes.subarray(start, end)).toString('latin1') };
}

/** Reads what follows the word TRUNCATE. */
export function parseTruncate(cursor: TokenCursor, source: Source): DropTableStatement | null {
  cursor.takeWords('TABLE');
  const name = takeTableName(cursor, source);
  if (name === null || !cursor.isAtEnd) return null;
  return {
    kind: 'drop-table',
    object: 'table',
    temporary: false,
    ifExists: false,
    names: [name],
    wait: null,
    restrict: false,
    cascade: false,
    isDoubtful: name.isDoubtful,
    empties: true,
  };
}
