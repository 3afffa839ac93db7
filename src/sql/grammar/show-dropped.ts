/** `SHOW [FULL] DROPPED TABLES`, `SHOW DROPPED DATABASES`. */
import type { Token } from '../lex/lexer.js';
import type { Statement } from '../next-statement.js';
import { NOT_OURS, type ShownDrops, type Verdict } from '../verdict.js';
import { takeLiteral } from './literal.js';
import { type Source, takeIdentifier, takeTexts } from './table-name.js';
import { ended, wrong } from './undrop.js';

/** The verdict on a SHOW; `tokens` are those after this word. */
export function showVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  const what = takeShown(tokens);
  if (what === null) return NOT_OURS;
  if (what === 'incomplete') return wrong(tokens, statement);
  let isWrong = false;
  /** After a wrong value nothing else is taken, so that it stays in front. */
  const take = <T>(
    words: readonly string[],
    takeValue: (tokens: Token[], source: Source) => T | null,
  ): T | null => {
    // Schemas have one clause.
    const mayBe = !isWrong && (what !== 'databases' || words[0] === 'LIKE');
    if (!mayBe || !takeTexts(tokens, ...words)) return null;
    const value = takeValue(tokens, source);
    isWrong = value === null;
    return value;
  };
  const clauses = {
    schema: (take(['FROM'], takeIdentifier) ?? take(['IN'], takeIdentifier))?.value ?? null,
    like: take(['LIKE'], takeLiteral),
    user: take(['BY'], takeLiteral),
    since: take(['SINCE'], takeLiteral),
    isBySize: take(['ORDER', 'BY'], (rest) => takeTexts(rest, 'SIZE') || null) ?? false,
    limit: take(['LIMIT'], takeCount),
  };
  if (isWrong) return wrong(tokens, statement);
  return ended(tokens, statement, { kind: 'show-dropped', what, ...clauses });
}

function takeCount(tokens: Token[], { bytes }: Source): number | null {
  const [token] = tokens;
  if (token?.kind !== 'number') return null;
  const text = Buffer.from(bytes.subarray(token.start, token.end)).toString('latin1');
  if (!/^\d{1,15}$/.test(text)) return null;
  tokens.shift();
  return Number(text);
}

function takeShown(tokens: Token[]): ShownDrops | 'incomplete' | null {
  if (takeTexts(tokens, 'FULL', 'DROPPED')) {
    return takeTexts(tokens, 'TABLES') ? 'full-tables' : 'incomplete';
  }
  if (!takeTexts(tokens, 'DROPPED')) return null;
  if (takeTexts(tokens, 'TABLES')) return 'tables';
  const isOfSchemas = takeTexts(tokens, 'DATABASES') || takeTexts(tokens, 'SCHEMAS');
  return isOfSchemas ? 'databases' : 'incomplete';
}
