/**
 * `CREATE OR REPLACE` of a table, a sequence or a database, of MariaDB. Invariant: it is only
 * ignored if it certainly replaces no table and no database.
 */
import type { Statement } from '../next-statement.js';
import { refusedVerdict, unclear, unexplained, type Verdict } from '../verdict.js';
import { type Source, type TokenCursor, takeIdentifier, takeTableName } from './table-name.js';

/** The verdict on a CREATE; the cursor stands after this word. */
export function createVerdict(cursor: TokenCursor, statement: Statement, source: Source): Verdict {
  const words = [cursor.peek(), cursor.peek(1)].map(({ start, end }) => ({ start, end }));
  if (!cursor.takeWords('OR', 'REPLACE')) return unexplained(statement);
  // A temporary one replaces a temporary one; the base table of its name stays.
  const isTemporary = cursor.takeWords('TEMPORARY');
  const isSchema = cursor.takeWords('DATABASE') || cursor.takeWords('SCHEMA');
  const isTable = !isSchema && (cursor.takeWords('TABLE') || cursor.takeWords('SEQUENCE'));
  if (isTable && isTemporary) return unexplained(statement);
  const isOdd = [0, 1, 2].some((ahead) => cursor.isWord('TABLE', ahead));
  if (!isSchema && !isTable && !isOdd) return unexplained(statement);
  if (isOdd || source.mode.flavour === 'mysql') {
    return unclear('this CREATE OR REPLACE is not understood');
  }
  cursor.takeWords('IF', 'NOT', 'EXISTS');
  const found = refusedVerdict('create-or-replace', []);
  if (isSchema) return { ...found, schema: takeIdentifier(cursor, source)?.value ?? null };
  const table = takeTableName(cursor, source);
  if (table === null) return found;
  const named = { ...found, tables: [table] };
  return statement.isComplete ? { ...named, replacement: { table, words } } : named;
}
