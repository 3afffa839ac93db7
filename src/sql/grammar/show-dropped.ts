/**
 * `SHOW [FULL] DROPPED TABLES`, `SHOW DROPPED DATABASES`, and a SELECT from
 * `_undrop.dropped_tables`, which shows the same rows.
 */
import type { Token } from '../lex/lexer.js';
import type { Statement } from '../next-statement.js';
import { NOT_OURS, type Selected, type ShownDrops, type Verdict } from '../verdict.js';
import { type ColumnName, takeClauses, takeColumn } from './list-clauses.js';
import { takeLiteral } from './literal.js';
import { identifierText, type Source, takeIdentifier, takeTexts } from './table-name.js';
import { ended, wrong } from './undrop.js';

/** The verdict on a SHOW; `tokens` are those after this word. */
export function showVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  const what = takeShown(tokens);
  if (what === null) return NOT_OURS;
  if (what === 'incomplete') return wrong(tokens, statement);
  const hasSchema = what !== 'databases' && (takeTexts(tokens, 'FROM') || takeTexts(tokens, 'IN'));
  const schema = hasSchema ? (takeIdentifier(tokens, source)?.value ?? null) : null;
  if (hasSchema && schema === null) return wrong(tokens, statement);
  const hasLike = takeTexts(tokens, 'LIKE');
  const like = hasLike ? (takeLiteral(tokens, source)?.value ?? null) : null;
  if (hasLike && like === null) return wrong(tokens, statement);
  const clauses = takeClauses(tokens, source);
  if (clauses === null) return wrong(tokens, statement);
  const show = { kind: 'show-dropped', what, schema, like, select: null, ...clauses } as const;
  return ended(tokens, statement, show);
}

function takeShown(tokens: Token[]): ShownDrops | 'incomplete' | null {
  // Words of other products: the error has undrop's own.
  if (takeTexts(tokens, 'RECYCLEBIN') || takeTexts(tokens, 'TABLES', 'DROPPED'))
    return 'incomplete';
  if (takeTexts(tokens, 'FULL', 'DROPPED')) {
    return takeTexts(tokens, 'TABLES') ? 'full-tables' : 'incomplete';
  }
  if (!takeTexts(tokens, 'DROPPED')) return null;
  if (takeTexts(tokens, 'TABLES')) return 'tables';
  const isOfSchemas = takeTexts(tokens, 'DATABASES') || takeTexts(tokens, 'SCHEMAS');
  return isOfSchemas ? 'databases' : 'incomplete';
}

const TABLE = 'dropped_tables';
const COLUMNS_MAX = 64;

/**
 * The verdict on a SELECT that reads that name; `tokens` are those after the word. Any other way to
 * read it is wrong, because there is no such table.
 */
export function selectVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (!readsDropped(tokens, source)) return NOT_OURS;
  const select = takeSelected(tokens, source);
  if (select === 'wrong' || !takeTexts(tokens, 'FROM')) return wrong(tokens, statement);
  // The schema, a dot, the table.
  if (!isNamed(tokens, source, 0)) return wrong(tokens, statement);
  tokens.splice(0, 3);
  if (takeAlias(tokens, source) === 'wrong') return wrong(tokens, statement);
  const clauses = takeClauses(tokens, source);
  if (clauses === null) return wrong(tokens, statement);
  const all = { schema: null, like: null, select, ...clauses };
  return ended(tokens, statement, { kind: 'show-dropped', what: 'full-tables', ...all });
}

function readsDropped(tokens: readonly Token[], source: Source): boolean {
  return tokens.some((_token, index) => isNamed(tokens, source, index));
}

function isNamed(tokens: readonly Token[], source: Source, index: number): boolean {
  const front = tokens.slice(index, index + 3);
  const [schema, table] = [takeColumn(front, source), front.shift()?.text === '.'];
  if (schema?.column.toLowerCase() !== '_undrop' || !table) return false;
  return takeColumn(front, source)?.column.toLowerCase() === TABLE;
}

/** `[AS] alias`. */
function takeAlias(tokens: Token[], source: Source): { readonly name: string } | 'wrong' | null {
  const hasAs = takeTexts(tokens, 'AS');
  const [token] = tokens;
  if (token === undefined || takeIdentifier(tokens, source) === null) return hasAs ? 'wrong' : null;
  return { name: identifierText(token, source) };
}

function takeSelected(tokens: Token[], source: Source): Selected | 'wrong' {
  if (takeTexts(tokens, '*')) return null;
  if (takeTexts(tokens, 'COUNT', '(', '*', ')')) {
    const alias = takeAlias(tokens, source);
    return alias === 'wrong' ? alias : { count: alias?.name ?? 'COUNT(*)' };
  }
  const all: (ColumnName & { readonly alias: string })[] = [];
  do {
    const column = takeColumn(tokens, source);
    if (column === null) return 'wrong';
    const alias = takeAlias(tokens, source);
    if (alias === 'wrong') return alias;
    all.push({ ...column, alias: alias?.name ?? column.column });
    if (all.length > COLUMNS_MAX) return 'wrong';
  } while (takeTexts(tokens, ','));
  return all;
}
