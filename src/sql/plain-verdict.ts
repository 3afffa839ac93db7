/**
 * The verdict on one statement by what it begins with: DROP, CREATE, TRUNCATE, ALTER. Pure.
 * Invariant: what isn't read to its last token and may destroy a table is `unclear`; a CREATE OR
 * REPLACE is only ignored if it certainly replaces no table and no database.
 */
import { isCut } from './block-reader.js';
import { hasPartitionVerb, parseAlterPartition } from './grammar/alter-partition.js';
import { parseDropTable, parseTruncate } from './grammar/drop-table.js';
import { type TableName, takeIdentifier, takeTableName } from './grammar/table-name.js';
import type { Source, TokenCursor } from './grammar/token-cursor.js';
import { DROPPED_ELSE } from './lex/token-stream.js';
import type { Statement } from './next-statement.js';
import { NAMES_MAX, PARTITIONS_MAX } from './reading.js';
import type { Sought } from './trigger-scan.js';
import { NOT_OURS, refused, tooMany, unclear, type Verdict } from './verdict.js';

export function unexplained(statement: Statement): Verdict {
  return statement.hasDrop ? unclear('there is a DROP where none is expected') : NOT_OURS;
}

export function dropVerdict(cursor: TokenCursor, statement: Statement, source: Source): Verdict {
  if (cursor.takeWords('TABLE') || cursor.takeWords('TABLES')) {
    return dropOf('table', cursor, statement, source);
  }
  // MySQL knows no sequences.
  if (source.mode.flavour === 'mariadb' && cursor.takeWords('SEQUENCE')) {
    return dropOf('sequence', cursor, statement, source);
  }
  if (cursor.takeWords('DATABASE') || cursor.takeWords('SCHEMA')) {
    const ifExists = cursor.takeWords('IF', 'EXISTS');
    const schema = takeIdentifier(cursor, source);
    return schema !== null && cursor.isAtEnd && statement.isWhole
      ? { ...refused('drop-database', []), schema: schema.value, ifExists }
      : unclear('this DROP DATABASE is not understood');
  }
  const object = cursor.peek();
  if (cursor.isWord('SEQUENCE')) return NOT_OURS;
  if (object.kind === 'word' && DROPPED_ELSE.includes(object.text)) return NOT_OURS;
  if (isCut(statement.tokens)) return unclear('this DROP is not understood');
  const mayBeTable = cursor
    .rest()
    .some(({ kind, text }) => kind === 'word' && /^(TABLES?|DATABASE|SCHEMA|SEQUENCE)$/.test(text));
  return mayBeTable ? unclear('this DROP is not understood') : NOT_OURS;
}

/** A DROP TABLE or DROP SEQUENCE, behind these words. */
function dropOf(
  object: 'table' | 'sequence',
  cursor: TokenCursor,
  statement: Statement,
  source: Source,
): Verdict {
  const ahead = cursor.copy();
  const parsed = parseDropTable(cursor, source, object);
  if (isCut(statement.tokens) || (parsed?.names.length ?? 0) > NAMES_MAX) {
    ahead.takeWords('IF', 'EXISTS');
    return tooMany('names', takeTableName(ahead, source));
  }
  return parsed !== null && statement.isWhole
    ? { kind: 'drop-table', statement: parsed }
    : unclear(`this DROP ${object.toUpperCase()} is not understood`);
}

export function createVerdict(cursor: TokenCursor, statement: Statement, source: Source): Verdict {
  const words = [cursor.peek(), cursor.peek(1)].map(({ start, end }) => ({ start, end }));
  if (!cursor.takeWords('OR', 'REPLACE')) return unexplained(statement);
  const replaced = parseCreateOrReplace(cursor, source);
  if (replaced === null) return unexplained(statement);
  if (replaced === 'unclear' || source.mode.flavour === 'mysql') {
    return unclear('this CREATE OR REPLACE is not understood');
  }
  const found = { ...refused('create-or-replace', []), ...replaced };
  const [table] = replaced.tables;
  if (table === undefined || !statement.isWhole) return found;
  return { ...found, replacement: { table, words } };
}

export function truncateVerdict(
  cursor: TokenCursor,
  statement: Statement,
  source: Source,
  { truncates = false }: Sought,
): Verdict {
  if (!truncates) return unexplained(statement);
  const parsed = parseTruncate(cursor, source);
  return parsed !== null && statement.isWhole
    ? { kind: 'drop-table', statement: parsed }
    : unclear('this TRUNCATE is not understood');
}

/** An ALTER of partitions; in any other a DROP stands for something else. */
export function alterVerdict(
  cursor: TokenCursor,
  statement: Statement,
  source: Source,
  { partitions = false }: Sought,
): Verdict {
  if (!partitions || !hasPartitionVerb(statement.tokens)) return NOT_OURS;
  const parsed = parseAlterPartition(cursor, source);
  const listed = parsed?.partitions?.names ?? [];
  if (listed !== 'all' && listed.length > PARTITIONS_MAX) return tooMany('partitions');
  return parsed !== null && statement.isWhole
    ? { kind: 'drop-table', statement: parsed }
    : unclear('this ALTER TABLE of partitions is not understood');
}

export interface CreateOrReplace {
  /** The table that goes, where its name could be read. */
  readonly tables: readonly TableName[];
  /** The database whose tables go. */
  readonly schema: Uint8Array | null;
}

/** Reads what follows the words CREATE OR REPLACE. */
export function parseCreateOrReplace(
  cursor: TokenCursor,
  source: Source,
): CreateOrReplace | 'unclear' | null {
  // A temporary one replaces a temporary one; the base table of its name stays.
  const isTemporary = cursor.takeWords('TEMPORARY');
  if (cursor.takeWords('DATABASE') || cursor.takeWords('SCHEMA')) {
    cursor.takeWords('IF', 'NOT', 'EXISTS');
    return { tables: [], schema: takeIdentifier(cursor, source)?.value ?? null };
  }
  if (cursor.takeWords('TABLE') || cursor.takeWords('SEQUENCE')) {
    if (isTemporary) return null;
    cursor.takeWords('IF', 'NOT', 'EXISTS');
    const name = takeTableName(cursor, source);
    return { tables: name === null ? [] : [name], schema: null };
  }
  const isOdd = [0, 1, 2].some((ahead) => cursor.isWord('TABLE', ahead));
  return isOdd ? 'unclear' : null;
}
