/**
 * Reads one statement at a time: its beginning and end in a text that may contain several, and as
 * many of its tokens as its kind needs. A `;` in the body of a stored program doesn't end it, so
 * programs are read by their structure (program.ts).
 *
 * Invariant: a text can't be split up front, because a statement may change the sql_mode by which
 * the rest is read; so this takes an offset and a mode, and keeps nothing between two calls.
 */
import { DESTROYING, type Protected } from './destroying.js';
import { CHARSET_TABLES } from './lex/client-charset.js';
import type { LexedText } from './lex/comments.js';
import type { LexMode } from './lex/lex-mode.js';
import type { Token } from './lex/lexer.js';
import { TokenStream } from './lex/token-stream.js';
import { OPENERS, readBodyStatement, readProgramHead } from './program.js';
import { NAMES_MAX, type Reading } from './reading.js';

/**
 * `program`: creates or alters a stored program; its body doesn't run now. `compound` and
 * `set-statement`, of MariaDB: run the statements in them, and count as the last of their text,
 * because the `;` that ends them isn't searched for.
 */
export type StatementShape = 'plain' | 'program' | 'compound' | 'set-statement';

export interface Statement {
  readonly shape: StatementShape;
  readonly start: number;
  /** The offset after the last token before the `;`, which is not part of it. */
  readonly end: number;
  /** The tokens that a grammar may need; only one is kept if the statement can't be undrop's. */
  readonly tokens: readonly Token[];
  /** DROP is directly before TABLE, TABLES, DATABASE, SCHEMA or SEQUENCE, anywhere. */
  readonly hasDrop: boolean;
  /** It contains the name of a recycle schema. */
  readonly namesRecycle: boolean;
  /** Read to its end without surprise: no broken literal, no block that doesn't close. */
  readonly isComplete: boolean;
  /** It has more tokens than a grammar may need. */
  readonly isCut: boolean;
  /** The beginning of the next one; null: only blanks and comments are left. */
  readonly next: number | null;
}

export interface ReadOptions {
  /** Default: none. */
  readonly protect?: Protected | undefined;
  /** CLIENT_MULTI_STATEMENTS is on: after a `;` another statement may follow. */
  readonly multiStatements: boolean;
  /** Keep all tokens of a statement. */
  readonly keepsAll?: boolean;
}

/** A list of names, each with its schema, a dot and a comma, and the words around it. */
const LISTED_TOKENS_MAX = 4 * NAMES_MAX + 32;
/** Statements that begin with these have a grammar of their own. */
const READ_WHOLE = [
  ...DESTROYING.flatMap(({ words: [first = []], within }) => (within === undefined ? first : [])),
  ...['PREPARE', 'EXECUTE', 'DEALLOCATE', 'UNDROP', 'HOLD', 'PURGE', 'SHOW', 'EXPLAIN'],
];

/** Returns the end of the text for the server, which cuts off `;` and blanks before it reads. */
export function endOfText(bytes: Uint8Array, mode: LexMode): number {
  const table = CHARSET_TABLES[mode.charset];
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x3b || table.isBlank[bytes[end - 1] ?? 0])) end--;
  return end;
}

/** Reads the statement at the start of `text`, whose end is `endOfText` of its bytes and mode. */
export function* readingStatement(
  text: Required<LexedText>,
  options: ReadOptions,
): Reading<Statement> {
  const { mode } = text;
  const stream = new TokenStream(text);
  const statement = yield* readStatement(stream, mode, options);
  const isBody = statement.shape === 'compound' || statement.shape === 'set-statement';
  if (isBody || !stream.isSymbol(';')) return statement;
  // A `;` without a statement before it is an error; so is, for all but old servers, one within a
  // version comment in a session with CLIENT_MULTI_STATEMENTS. And so is a NUL before it, which
  // means the end only as the last byte.
  const isOld = mode.versionId < (mode.flavour === 'mysql' ? 50700 : 100600);
  const isInComment = options.multiStatements && stream.isInComment && !isOld;
  const isError =
    statement.tokens.length === 0 || isInComment || endsInNul({ ...text, end: stream.start });
  const next = stream.end;
  const isComplete = statement.isComplete && !isError;
  if (options.multiStatements) return { ...statement, next, isComplete };
  if (stream.next() === 'end') return { ...statement, isComplete };
  return { ...statement, next, isComplete: false };
}

/** Whether a NUL is the last byte but for blanks. */
function endsInNul({ bytes, start, end, mode }: Required<LexedText>): boolean {
  const table = CHARSET_TABLES[mode.charset];
  let at = end;
  while (at > start && table.isBlank[bytes[at - 1] ?? 0]) at--;
  return at > start && bytes[at - 1] === 0;
}

/** Whether the words that destroy may stand anywhere in the statement. */
function isAround(stream: TokenStream, protect: Protected | undefined): boolean {
  return DESTROYING.some(
    ({ kind, within }) => within !== undefined && protect?.has(kind) && stream.isWord(within),
  );
}

/** Reads up to the `;` after the statement, or to the end of the text. */
function* readStatement(
  stream: TokenStream,
  { flavour }: LexMode,
  { keepsAll = false, protect }: ReadOptions,
): Reading<Statement> {
  const { start, tokens } = stream;
  const mayBeBody = flavour === 'mariadb' && stream.isWord('SET', 'DECLARE', ...OPENERS);
  if (stream.isWord(...READ_WHOLE)) {
    stream.keptMax = LISTED_TOKENS_MAX;
  } else if (mayBeBody || keepsAll || isAround(stream, protect)) {
    stream.keptMax = Number.POSITIVE_INFINITY;
  }
  let shape: StatementShape = 'plain';
  if (stream.isWord('CREATE', 'ALTER')) {
    stream.advance();
    if (readProgramHead(stream)) {
      shape = 'program';
      stream.keptMax = 0;
      if (!stream.isAtStop) readBodyStatement(stream, 0);
      if (!stream.isAtStop) stream.giveUp();
    }
  } else if (mayBeBody) {
    const [isBegin, isSet] = [stream.isWord('BEGIN'), stream.isWord('SET')];
    stream.advance();
    // BEGIN alone or BEGIN WORK begins a transaction.
    const isTransaction = isBegin && (stream.isAtStop || stream.isWord('WORK'));
    if (!isSet && !isTransaction) shape = 'compound';
    if (isSet && stream.isWord('STATEMENT')) shape = 'set-statement';
  }
  yield* stream.skippingToStop();
  const { hasDrop, namesRecycle, takenEnd: end } = stream;
  const isComplete = !stream.isBroken && stream.kind !== 'error';
  const isCut = tokens.length >= LISTED_TOKENS_MAX;
  return { shape, start, tokens, end, hasDrop, namesRecycle, isComplete, isCut, next: null };
}
