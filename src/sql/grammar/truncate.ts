/**
 * `TRUNCATE [TABLE] name`: the drop of a table in whose place there is an empty one. Invariant:
 * what isn't exactly this, to the last token, is null; so are MariaDB's WAIT, NOWAIT and STORAGE.
 */
import type { DropTableStatement } from './drop-table.js';
import { takeTableName } from './table-name.js';
import type { Source, TokenCursor } from './token-cursor.js';

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
