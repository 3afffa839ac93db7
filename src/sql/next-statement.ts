/**
 * One statement at a time: where it begins and ends in a text that may hold several, and as many of
 * its tokens as its kind needs. A `;` in the body of a stored program or of a MariaDB block doesn't
 * end it, so blocks are read by their structure (block-reader.ts).
 *
 * Invariant: a text can't be split up front. What a statement does to sql_mode changes how the rest
 * is read; so this takes an offset and a mode, and keeps nothing between two calls.
 */
import { keptMax, OPENERS, readBodyStatement, readStructure } from './block-reader.js';
import { charsetTable } from './lex/client-charset.js';
import { type Flavour, type LexMode, VARIED_BYTES_MAX } from './lex/lex-mode.js';
import { Lexer, type Token } from './lex/lexer.js';
import { TokenStream } from './lex/token-stream.js';
import { readDeclarations, readProgramHead } from './program-head.js';
import { type Reading, readAtOnce, TooMuchWork } from './reading.js';
import type { Sought } from './trigger-scan.js';

/**
 * `program`: creates or alters a stored program; what is in its body doesn't run now. `block`: runs
 * the statements in it. `wrapped`: SET STATEMENT … FOR another one.
 */
export type StatementShape = 'plain' | 'program' | 'block' | 'wrapped';

export interface Statement {
  readonly shape: StatementShape;
  readonly start: number;
  /** Behind the last token; the `;` is not part of it. */
  readonly end: number;
  /** As many as a grammar may want to see: one is kept of a statement that can't be ours. */
  readonly tokens: readonly Token[];
  /** DROP stands directly before TABLE, TABLES, DATABASE, SCHEMA or SEQUENCE, somewhere. */
  readonly hasDrop: boolean;
  /** Words that a statement of ours begins with, or one that may run such a text, stand in it. */
  readonly hasOpening: boolean;
  /** It has the name of a recycle schema. */
  readonly namesRecycle: boolean;
  /** Read to its end without surprise: no broken literal, no block that doesn't close. */
  readonly isWhole: boolean;
}

export interface NextStatement extends Statement {
  /** Where the following one begins; null: nothing but blanks and comments is left. */
  readonly next: number | null;
}

export interface ReadOptions extends Sought {
  /** CLIENT_MULTI_STATEMENTS is on: behind a `;` another statement may come. */
  readonly multiStatements: boolean;
  /** It is not executed now, but by another command, which isn't looked at. */
  readonly isPrepared?: boolean;
  /** `tokens` of a statement are all that it has. */
  readonly keepsAll?: boolean;
}

const NESTED_MAX = 20;

/** Where the text ends for the server, which cuts off `;` and blanks before it reads. */
export function endOfText(bytes: Uint8Array, mode: LexMode): number {
  const table = charsetTable(mode.charset);
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x3b || table.isBlank(bytes[end - 1] ?? 0))) end--;
  return end;
}

/** Reads the statement that begins at `offset`; `end` is `endOfText` of the same bytes and mode. */
export function nextStatement(...given: Parameters<typeof readingStatement>): NextStatement {
  return readAtOnce(readingStatement(...given));
}

/** The same in slices. */
export function* readingStatement(
  bytes: Uint8Array,
  offset: number,
  end: number,
  mode: LexMode,
  options: ReadOptions,
): Reading<NextStatement> {
  const lexer = new Lexer(bytes, offset, end, mode);
  lexer.next();
  const statement = yield* readStatement(new TokenStream(lexer, options), mode.flavour, 0);
  if (lexer.isInDoubt && bytes.length > VARIED_BYTES_MAX) throw new TooMuchWork();
  if (!lexer.isSymbol(';')) return { ...statement, next: null };
  // A `;` without a statement before it is an error; so is, for all but old MySQL, one within a
  // version comment before which the client said that several statements may come. And so is a NUL
  // before it, which stands for the end only where it is the last byte.
  const isOld = mode.flavour === 'mysql' && mode.versionId < 50700;
  const isInComment = options.multiStatements && lexer.isInComment && !isOld;
  const isError =
    statement.tokens.length === 0 || isInComment || endsInNul(bytes, offset, lexer.start, mode);
  const next = lexer.end;
  const isWhole = statement.isWhole && !isError;
  if (options.multiStatements) return { ...statement, next, isWhole };
  if (lexer.next() === 'end') return { ...statement, next: null, isWhole };
  return { ...statement, next, isWhole: false };
}

/** Whether a NUL is the last of `bytes[start, end)` but for blanks. */
function endsInNul(bytes: Uint8Array, start: number, end: number, mode: LexMode): boolean {
  const table = charsetTable(mode.charset);
  let at = end;
  while (at > start && table.isBlank(bytes[at - 1] ?? 0)) at--;
  return at > start && bytes[at - 1] === 0;
}

/** Reads up to the `;` behind the statement, or to the end of the text. */
function* readStatement(stream: TokenStream, flavour: Flavour, nested: number): Reading<Statement> {
  const { start } = stream.lexer;
  if (stream.isAtStop) return result(stream, { shape: 'plain', start, tokens: [] });
  const isMariaDb = flavour === 'mariadb';
  if (stream.isWord('CREATE', 'ALTER')) {
    const tokens = stream.keep(keptMax(stream));
    stream.advance();
    if (readProgramHead(stream, flavour)) {
      stream.keepNothing();
      if (!stream.isAtStop) readBodyStatement(stream, 0);
      return result(stream, { shape: 'program', start, tokens });
    }
    yield* stream.skippingToStop();
    return result(stream, { shape: 'plain', start, tokens });
  }
  const tokens = stream.keep(keptMax(stream));
  const opener = OPENERS.find((word) => stream.isWord(word));
  const isDeclare = stream.isWord('DECLARE');
  const isSet = stream.isWord('SET');
  stream.advanceOverFirst();
  // BEGIN alone or BEGIN WORK begins a transaction. ORACLE mode has blocks that begin with DECLARE.
  const isTransaction = opener === 'BEGIN' && (stream.isAtStop || stream.isWord('WORK'));
  if (isMariaDb && (isDeclare || (opener !== undefined && !isTransaction))) {
    stream.keepNothing();
    if (isDeclare) readDeclarations(stream);
    if (isDeclare) stream.advance();
    readStructure(stream, opener ?? 'BEGIN', 0);
    return result(stream, { shape: 'block', start, tokens });
  }
  if (isMariaDb && isSet && stream.isWord('STATEMENT')) {
    if (nested >= NESTED_MAX || !stream.skipToWord('FOR')) {
      stream.giveUp();
      return result(stream, { shape: 'wrapped', start, tokens });
    }
    stream.advance();
    yield* readStatement(stream, flavour, nested + 1);
    return result(stream, { shape: 'wrapped', start, tokens });
  }
  yield* stream.skippingToStop();
  return result(stream, { shape: 'plain', start, tokens });
}

function result(
  stream: TokenStream,
  read: Pick<Statement, 'shape' | 'start' | 'tokens'>,
): Statement {
  stream.keepNothing();
  if (!stream.isAtStop) stream.giveUp();
  const { drops, hasOpening, namesRecycle, end } = stream;
  const { shape, start, tokens } = read;
  const isWhole = !stream.isBroken && stream.lexer.kind !== 'error';
  // One by one: to spread `read` takes several times as long, and texts have 100,000 statements.
  const hasDrop = drops > 0;
  return { shape, start, tokens, end, hasDrop, hasOpening, namesRecycle, isWhole };
}
