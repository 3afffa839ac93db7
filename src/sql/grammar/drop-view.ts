/**
 * `DROP VIEW [IF EXISTS] name, … [RESTRICT | CASCADE]`. Invariant: what isn't exactly this, to the
 * last token, is null.
 */
import { type TableName, takeTableNames } from './table-name.js';
import type { Source, TokenCursor } from './token-cursor.js';

export interface DropViewStatement {
  readonly ifExists: boolean;
  /** At least one, in the client's order; the same name may come twice. */
  readonly names: readonly TableName[];
}

/** Reads what follows the words DROP VIEW. */
export function parseDropView(cursor: TokenCursor, source: Source): DropViewStatement | null {
  const ifExists = cursor.takeWords('IF', 'EXISTS');
  const names = takeTableNames(cursor, source);
  if (names === null) return null;
  // Both are without meaning to all servers.
  if (!cursor.takeWords('RESTRICT')) cursor.takeWords('CASCADE');
  return cursor.isAtEnd ? { ifExists, names } : null;
}
