/**
 * Finds the end of a block by its structure: BEGIN … END, IF … END IF and their like hold
 * statements with a `;` each, in the body of a stored program and, on MariaDB, also by themselves.
 *
 * Invariant: where the structure isn't what was expected, the stream is marked broken and stands at
 * the next `;`: nothing behind it is taken for a part of the block.
 */
import type { Token } from './lex/lexer.js';
import type { TokenStream } from './lex/token-stream.js';
import type { Statement } from './next-statement.js';
import { NAMES_MAX, STATEMENTS_MAX } from './reading.js';

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

/**
 * Where the statements in the block go, those in blocks within it as well; null: nobody asks, as in
 * the body of a stored program.
 */
type Collected = Statement[] | null;

/** Where a statement of a body stands. */
export interface Place {
  readonly collected: Collected;
  readonly depth: number;
}

/** Reads one statement of a body, up to its `;`. False: no `;` belongs behind it. */
export function readBodyStatement(stream: TokenStream, place: Place): boolean {
  if (place.depth > DEPTH_MAX) {
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
  const inner = { ...place, depth: place.depth + 1 };
  const opener = OPENERS.find((word) => stream.isWord(word));
  const isDeclare = stream.isWord('DECLARE');
  const isKept = place.collected !== null;
  const { start } = stream.lexer;
  const { drops: dropsBefore, openings: openingsBefore } = stream;
  const isCreate = stream.isWord('CREATE');
  const isJudged = stream.isWord(...JUDGED);
  const tokens = isKept ? stream.keep(keptMax(stream)) : [];
  stream.advance();
  const begins = isJudged || (isCreate && stream.isWord('OR')) ? 1 : 0;
  if (stream.isSymbol(':')) {
    stream.keepNothing();
    stream.advance();
    return stream.isAtStop || readBodyStatement(stream, inner);
  }
  if (opener !== undefined) {
    stream.keepNothing();
    readStructure(stream, opener, inner);
  } else if (isDeclare && stream.isWord('CONTINUE', 'EXIT', 'UNDO')) {
    stream.keepNothing();
    readHandler(stream, inner);
  } else {
    stream.skipToStop();
    stream.keepNothing();
    stream.explained += Math.min(stream.openings - openingsBefore, begins);
    place.collected?.push({
      shape: 'plain',
      start,
      end: stream.end,
      tokens,
      body: [],
      hasDrop: stream.drops > dropsBefore,
      isWhole: stream.lexer.kind !== 'error',
      namesRecycle: stream.namesRecycle,
    });
  }
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
const JUDGED = ['DROP', 'PREPARE', 'EXECUTE', 'TRUNCATE', 'ALTER'];
const READ_WHOLE = ['DROP', 'TRUNCATE', 'PREPARE', 'EXECUTE', 'DEALLOCATE'];

/** `<<label>>`. */
function skipOracleLabel(stream: TokenStream): void {
  while (stream.isSymbol('<') || stream.isSymbol('>')) {
    stream.step();
    if (!stream.isSymbol('<') && stream.lexer.kind === 'word') stream.step();
  }
}

/** `DECLARE … HANDLER FOR condition, … statement`. */
function readHandler(stream: TokenStream, place: Place): void {
  stream.expectWord('FOR');
  do {
    // FOR or a comma, then one condition: SQLSTATE [VALUE] 'x', NOT FOUND, a name or a number.
    stream.advance();
    const isLong = stream.isWord('SQLSTATE', 'NOT');
    stream.advance();
    if (isLong && stream.isWord('VALUE')) stream.advance();
    if (isLong) stream.advance();
  } while (stream.isSymbol(','));
  if (!stream.isAtStop) readBodyStatement(stream, place);
}

/** Reads a block; the stream stands behind the word that opens it. */
export function readStructure(stream: TokenStream, opener: Opener, place: Place): void {
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
      readBranches(stream, place);
      return;
    case 'IF':
      readBranches(stream, place);
      return;
    case 'REPEAT':
      if (!readList(stream, ['UNTIL'], place)) break;
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
  if (readList(stream, ['END'], place)) readCloser(stream);
  else stream.giveUp();
}

/** `… THEN list [ELSEIF … THEN list] [ELSE list] END …`; CASE has WHEN for ELSEIF. */
function readBranches(stream: TokenStream, place: Place): void {
  for (;;) {
    stream.expectWord('THEN');
    stream.advance();
    if (!readList(stream, ['ELSEIF', 'ELSIF', 'WHEN', 'ELSE', 'END'], place)) break;
    if (stream.isWord('END')) {
      readCloser(stream);
      return;
    }
    const isElse = stream.isWord('ELSE');
    stream.advance();
    if (!isElse) continue;
    if (!readList(stream, ['END'], place)) break;
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
function readList(stream: TokenStream, ends: readonly string[], place: Place): boolean {
  for (;;) {
    if (stream.isAtStop) return false;
    if (stream.isWord(...ends)) return true;
    // More are refused: nobody asks for the rest.
    if (place.collected !== null && place.collected.length > STATEMENTS_MAX) return false;
    if (!readBodyStatement(stream, place)) continue;
    if (!stream.isSymbol(';')) return false;
    stream.step();
  }
}
