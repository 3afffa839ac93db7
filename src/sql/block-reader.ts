/**
 * Finds the end of a block by its structure: BEGIN … END, IF … END IF and their like hold
 * statements with a `;` each, in the body of a stored program and, on MariaDB, also by themselves.
 *
 * Invariant: where the structure isn't what was expected, the stream is marked broken and stands at
 * the next `;`: nothing behind it is taken for a part of the block.
 */
import type { Token } from './lex/lexer.js';
import type { TokenStream } from './lex/token-stream.js';
import { NAMES_MAX } from './reading.js';

const DEPTH_MAX = 100;
const HEAD_TOKENS_MAX = 24;
/** A list of names, each with its schema, a dot and a comma, and the words around it. */
const LISTED_TOKENS_MAX = 4 * NAMES_MAX + 32;

/** Whether a statement that is read by a grammar of its own has more tokens than were kept. */
export function isCut(tokens: readonly Token[]): boolean {
  return tokens.length >= LISTED_TOKENS_MAX;
}
/** Words that open a structure where a statement may begin. */
export const OPENERS = ['BEGIN', 'IF', 'CASE', 'LOOP', 'WHILE', 'REPEAT', 'FOR'] as const;

type Opener = (typeof OPENERS)[number];

/** Reads one statement of a body, up to its `;`. False: no `;` belongs behind it. */
export function readBodyStatement(stream: TokenStream, depth: number): boolean {
  if (depth > DEPTH_MAX) {
    stream.giveUp();
    return true;
  }
  skipOracleLabel(stream);
  if (stream.isAtStop) return true;
  if (stream.isWord('EXCEPTION', 'WHEN')) {
    // An exception handler of ORACLE mode.
    stream.expectWord('THEN');
    stream.advance();
    return false;
  }
  const opener = OPENERS.find((word) => stream.isWord(word));
  const isDeclare = stream.isWord('DECLARE');
  stream.advanceOverFirst();
  if (stream.isSymbol(':')) {
    stream.advance();
    return stream.isAtStop || readBodyStatement(stream, depth + 1);
  }
  if (opener !== undefined) readStructure(stream, opener, depth + 1);
  else if (isDeclare && stream.isWord('CONTINUE', 'EXIT', 'UNDO')) readHandler(stream, depth + 1);
  else stream.skipToStop();
  return true;
}

/** How many tokens a grammar may want to see of the statement that begins here. */
export function keptMax(stream: TokenStream): number {
  if (stream.isWord(...READ_WHOLE)) return LISTED_TOKENS_MAX;
  if (stream.keepsAll) return Number.POSITIVE_INFINITY;
  if (stream.keepsAlter && stream.isWord('ALTER')) return Number.POSITIVE_INFINITY;
  return stream.isWord('CREATE') ? HEAD_TOKENS_MAX : 1;
}

/** What begins with these is read by a grammar of its own. */
const READ_WHOLE = ['DROP', 'TRUNCATE', 'PREPARE', 'EXECUTE', 'DEALLOCATE'];

/** `<<label>>`. */
function skipOracleLabel(stream: TokenStream): void {
  while (stream.isSymbol('<') || stream.isSymbol('>')) {
    stream.step();
    if (!stream.isSymbol('<') && stream.lexer.kind === 'word') stream.step();
  }
}

/** `DECLARE … HANDLER FOR condition, … statement`. */
function readHandler(stream: TokenStream, depth: number): void {
  stream.expectWord('FOR');
  do {
    // FOR or a comma, then one condition: SQLSTATE [VALUE] 'x', NOT FOUND, a name or a number.
    stream.advance();
    const isLong = stream.isWord('SQLSTATE', 'NOT');
    stream.advance();
    if (isLong && stream.isWord('VALUE')) stream.advance();
    if (isLong) stream.advance();
  } while (stream.isSymbol(','));
  if (!stream.isAtStop) readBodyStatement(stream, depth);
}

/** Reads a block; the stream stands behind the word that opens it. */
export function readStructure(stream: TokenStream, opener: Opener, depth: number): void {
  switch (opener) {
    case 'BEGIN':
      if (stream.isWord('NOT')) {
        stream.advance();
        stream.advance();
      }
      break;
    case 'LOOP':
      break;
    case 'CASE':
      stream.expectWord('WHEN');
      stream.advance();
      readBranches(stream, depth);
      return;
    case 'IF':
      readBranches(stream, depth);
      return;
    case 'REPEAT':
      if (!readList(stream, ['UNTIL'], depth)) break;
      stream.expectWord('END');
      readCloser(stream);
      return;
    case 'WHILE':
    case 'FOR':
      // ORACLE mode says LOOP for DO.
      stream.expectWord('DO', 'LOOP');
      stream.advance();
      break;
  }
  if (readList(stream, ['END'], depth)) readCloser(stream);
  else stream.giveUp();
}

/** `… THEN list [ELSEIF … THEN list] [ELSE list] END …`; CASE has WHEN for ELSEIF. */
function readBranches(stream: TokenStream, depth: number): void {
  for (;;) {
    stream.expectWord('THEN');
    stream.advance();
    if (!readList(stream, ['ELSEIF', 'ELSIF', 'WHEN', 'ELSE', 'END'], depth)) break;
    if (stream.isWord('END')) {
      readCloser(stream);
      return;
    }
    const isElse = stream.isWord('ELSE');
    stream.advance();
    if (!isElse) continue;
    if (!readList(stream, ['END'], depth)) break;
    readCloser(stream);
    return;
  }
  stream.giveUp();
}

/** END, the word that it closes, and a label. */
function readCloser(stream: TokenStream): void {
  stream.advance();
  for (let count = 0; count < 2; count++) {
    if (stream.lexer.kind === 'word' || stream.lexer.kind === 'name') stream.step();
  }
}

/** Statements with a `;` each, up to one of `ends`. False where none comes. */
function readList(stream: TokenStream, ends: readonly string[], depth: number): boolean {
  for (;;) {
    if (stream.isAtStop) return false;
    if (stream.isWord(...ends)) return true;
    if (!readBodyStatement(stream, depth)) continue;
    if (!stream.isSymbol(';')) return false;
    stream.step();
  }
}
