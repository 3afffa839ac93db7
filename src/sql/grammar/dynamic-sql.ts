/**
 * Statements that run others. `PREPARE name FROM text` and MariaDB's `EXECUTE IMMEDIATE text [USING
 * …]`: the source of the text, and the bytes of a literal. Invariant: only a literal whose bytes
 * are in the statement, as one literal without a prefix, counts as a literal here; all else the
 * server must evaluate. Below them, MariaDB's compound statements and SET STATEMENT … FOR.
 */
import { destroyingOf, type Protected } from '../destroying.js';
import type { Token } from '../lex/lexer.js';
import type { Statement } from '../next-statement.js';
import { mayBeOurs, mentionsRecycle } from '../trigger-scan.js';
import { type DynamicSource, NOT_OURS, refusedVerdict, type Verdict } from '../verdict.js';
import { type Source, takeIdentifier, takeTexts } from './table-name.js';

/** The name is null for EXECUTE IMMEDIATE. */
export type DynamicText = TextSource & Pick<DynamicSource, 'name' | 'hasUsing'>;

type TextSource =
  | { readonly kind: 'literal'; readonly start: number; readonly end: number }
  | { readonly kind: 'variable' | 'expression'; readonly sql: Uint8Array };

/** Parses the tokens after PREPARE; null if it isn't this statement. */
export function parsePrepare(tokens: Token[], source: Source): DynamicText | null {
  const name = takeIdentifier(tokens, source);
  if (name === null || !takeTexts(tokens, 'FROM')) return null;
  const text = dynamicText(tokens, source);
  return text === null ? null : { ...text, name: name.value, hasUsing: false };
}

/** Parses the tokens after EXECUTE IMMEDIATE. */
export function parseExecuteImmediate(
  tokens: readonly Token[],
  source: Source,
): DynamicText | null {
  const usingAt = findOutside(tokens, 'USING');
  const text = dynamicText(usingAt < 0 ? tokens : tokens.slice(0, usingAt), source);
  return text === null ? null : { ...text, name: null, hasUsing: usingAt >= 0 };
}

function dynamicText(tokens: readonly Token[], source: Source): TextSource | null {
  const [first, second] = tokens;
  if (first === undefined || tokens.some((token) => token.kind === 'error')) return null;
  const isString = first.kind === 'string' && source.bytes[first.start] === first.quote;
  const { start, end } = first;
  if (isString && tokens.length === 1) return { kind: 'literal', start, end };
  const isNamed = second?.kind === 'name' || second?.kind === 'string';
  const isVariable = first.text === '@' && tokens.length === 2 && isNamed;
  if (!isVariable && source.mode.flavour === 'mysql') return null;
  const sql = withoutComments(tokens, source.bytes);
  return { kind: isVariable || isFixed(tokens, source) ? 'variable' : 'expression', sql };
}

/** The index of the first such token outside parentheses; -1: there is none. */
function findOutside(tokens: readonly Token[], wanted: string): number {
  let depth = 0;
  return tokens.findIndex(({ text }) => {
    if (text === '(') depth++;
    if (text === ')') depth--;
    return depth === 0 && text === wanted;
  });
}

/**
 * Whether an expression has user variables, string literals, IF and CONCAT alone, as those of
 * mariadb-tzinfo-to-sql: only the session itself can change its value.
 */
function isFixed(tokens: readonly Token[], { bytes }: Source): boolean {
  // A list of several is an error, and its text is no part of a SELECT.
  if (findOutside(tokens, ',') >= 0) return false;
  return tokens.every(({ kind, text, start, quote }, at) => {
    // With a prefix it has a charset of its own, or is hexadecimal.
    if (kind === 'string') return bytes[start] === quote;
    if (tokens[at - 1]?.text === '@') return kind === 'name';
    return ['IF', 'CONCAT', '(', ')', ',', '@'].includes(text);
  });
}

/** The text of the tokens; a space where anything was between two of them. */
function withoutComments(tokens: readonly Token[], bytes: Uint8Array): Uint8Array {
  let before = tokens[0]?.start;
  const parts = tokens.flatMap((token) => {
    const isApart = token.start !== before;
    before = token.end;
    const text = bytes.subarray(token.start, token.end);
    return isApart ? [Uint8Array.of(0x20), text] : [text];
  });
  return Uint8Array.from(Buffer.concat(parts));
}

// ── compound statements ─────────────────────────────────────────────────────────────────────────

/**
 * The verdict on a compound statement, or on SET STATEMENT … FOR, and on the whole text after it:
 * it is refused if it may contain a statement of undrop. Up to the first `;` it is read word by
 * word. Invariant: none that might run a statement of undrop passes; the end of the compound isn't
 * determined.
 */
export function bodyVerdict(
  { shape, start, end, tokens }: Statement & { readonly shape: 'compound' | 'set-statement' },
  { bytes }: Source,
  protect: Protected | undefined,
): Verdict {
  const destroying = destroyingOf(protect);
  const mayHoldOurs =
    tokens.some((_token, at) => isOpening(tokens, at, destroying)) ||
    mayBeOurs(bytes, end, bytes.length, protect);
  if (!mayHoldOurs) return NOT_OURS;
  return mentionsRecycle(bytes.subarray(start))
    ? { kind: 'recycle-schema-write', how: 'unclear' }
    : refusedVerdict(shape, []);
}

/** Whether a statement of undrop, or one that may run such a text, may begin at a token. */
function isOpening(
  tokens: readonly Token[],
  at: number,
  destroying: ReturnType<typeof destroyingOf>,
): boolean {
  const wordAt = (index: number) => (tokens[index]?.kind === 'word' ? tokens[index].text : '');
  const next = wordAt(at + 1);
  if (wordAt(at) === 'EXECUTE') return next === 'IMMEDIATE';
  // After SELECT the word is a column.
  if (wordAt(at) === 'PREPARE') return wordAt(at + 2) === 'FROM' && wordAt(at - 1) !== 'SELECT';
  // TRUNCATE(1, 2) is a function.
  const isCall = tokens[at + 1]?.text === '(';
  const isAt = (one: readonly string[], index: number) => one.includes(wordAt(at + index));
  return !isCall && destroying.some(({ words }) => words.every(isAt));
}
