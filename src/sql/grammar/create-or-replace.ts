/**
 * MariaDB's `CREATE OR REPLACE …`, which drops what is there under the name: a table (also when
 * the new one is a sequence), or all tables of a database. Invariant: null, where neither goes, is
 * only said where that is certain.
 */
import { type TableName, takeIdentifier, takeTableName } from './table-name.js';
import type { Source, TokenCursor } from './token-cursor.js';

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
