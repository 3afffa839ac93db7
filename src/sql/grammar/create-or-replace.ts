/**
 * MariaDB's `CREATE OR REPLACE` of a table, a sequence or a database. Invariant: it is only ignored
 * if it certainly replaces no table and no database.
 */
import type { Token } from '../lex/lexer.js';
import type { Statement } from '../next-statement.js';
import { refusedVerdict, unclear, unexplained, type Verdict } from '../verdict.js';
import { type Source, takeIdentifier, takeTableName, takeTexts } from './table-name.js';

/** The verdict on a CREATE; `tokens` are those after this word. */
export function createVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  const words = tokens.slice(0, 2).map(({ start, end }) => ({ start, end }));
  if (!takeTexts(tokens, 'OR', 'REPLACE')) return unexplained(statement);
  // A temporary table replaces only a temporary one; the base table of that name stays.
  const isTemporary = takeTexts(tokens, 'TEMPORARY');
  const isSchema = takeTexts(tokens, 'DATABASE') || takeTexts(tokens, 'SCHEMA');
  const isTable = !isSchema && (takeTexts(tokens, 'TABLE') || takeTexts(tokens, 'SEQUENCE'));
  if (isTable && isTemporary) return unexplained(statement);
  const isOdd = tokens.slice(0, 3).some(({ text }) => text === 'TABLE');
  if (!isSchema && !isTable && !isOdd) return unexplained(statement);
  if (isOdd || source.mode.flavour === 'mysql') {
    return unclear('this CREATE OR REPLACE is not understood');
  }
  takeTexts(tokens, 'IF', 'NOT', 'EXISTS');
  const found = refusedVerdict('create-or-replace', []);
  if (isSchema) return { ...found, schema: takeIdentifier(tokens, source)?.value ?? null };
  const table = takeTableName(tokens, source);
  if (table === null) return found;
  const named = { ...found, tables: [table] };
  return statement.isComplete ? { ...named, replacement: { table, words } } : named;
}
