/**
 * Finds the end of a stored program: its head, up to the first token of its body, and the body by
 * its structure: BEGIN … END, IF … END IF and the like contain statements with a `;` each.
 *
 * Invariant: if the head or the structure isn't as expected, the stream is marked broken and is at
 * the next `;`: nothing after it is taken for a part of the program. That includes everything that
 * only sql_mode ORACLE has.
 */
import type { TokenStream } from './lex/token-stream.js';

const DEPTH_MAX = 100;
const PROGRAMS = ['PROCEDURE', 'FUNCTION', 'TRIGGER', 'EVENT', 'PACKAGE'] as const;

/** Words between the parameters of a routine and its body, those of types included. */
const CHARACTERISTICS = [
  ...['COMMENT', 'LANGUAGE', 'SQL', 'NOT', 'DETERMINISTIC', 'CONTAINS', 'NO', 'READS', 'MODIFIES'],
  ...['DATA', 'SECURITY', 'DEFINER', 'INVOKER', 'CURRENT_USER', 'UNSIGNED', 'SIGNED', 'ZEROFILL'],
  ...['BINARY', 'ASCII', 'UNICODE', 'BYTE', 'CHARSET', 'COLLATE', 'CHARACTER', 'CHAR', 'VARCHAR'],
  ...['VARBINARY', 'VARYING', 'PRECISION', 'USING'],
];

/** Words that open a structure where a statement may begin. */
export const OPENERS = ['BEGIN', 'IF', 'CASE', 'LOOP', 'WHILE', 'REPEAT', 'FOR'] as const;

type Opener = (typeof OPENERS)[number];

/**
 * Reads the tokens after CREATE or ALTER. True: it is a stored program and the stream is at its
 * body, or at its end. False: it is something else, and the stream is somewhere in it.
 */
export function readProgramHead(stream: TokenStream): boolean {
  if (stream.isWord('OR')) {
    stream.advance();
    if (stream.isWord('REPLACE')) stream.advance();
  }
  if (stream.isWord('AGGREGATE')) stream.advance();
  if (stream.isWord('DEFINER')) readDefiner(stream);
  if (stream.isWord('AGGREGATE')) stream.advance();
  const object = PROGRAMS.find((word) => stream.isWord(word));
  if (object === undefined) return false;
  stream.advance();
  if (object === 'EVENT') readEventHead(stream);
  else if (object === 'TRIGGER') readTriggerHead(stream);
  else if (object === 'PACKAGE') stream.giveUp();
  else readRoutineHead(stream);
  return true;
}

/** `DEFINER = user@host`, `= CURRENT_USER()`. */
function readDefiner(stream: TokenStream): void {
  stream.advance();
  if (stream.isSymbol('=')) stream.advance();
  stream.advance();
  if (stream.isSymbol('(')) stream.skipParentheses();
  if (!stream.isSymbol('@')) return;
  stream.advance();
  stream.advance();
}

/** `… DO`; an ALTER EVENT may have no body. */
function readEventHead(stream: TokenStream): void {
  stream.expectWord('DO');
  if (stream.isAtStop) stream.isBroken = false;
  stream.advance();
}

/** `… FOR EACH ROW [FOLLOWS | PRECEDES other]`. */
function readTriggerHead(stream: TokenStream): void {
  stream.expectWord('EACH');
  stream.advance();
  stream.advance();
  if (!stream.isWord('FOLLOWS', 'PRECEDES')) return;
  stream.advance();
  readName(stream);
}

/** A name, with or without its schema. */
function readName(stream: TokenStream): void {
  stream.advance();
  while (stream.isSymbol('.')) {
    stream.advance();
    stream.advance();
  }
}

/** `name (parameters) [RETURNS type] [characteristic …]`. */
function readRoutineHead(stream: TokenStream): void {
  if (stream.isWord('IF')) for (const _word of ['IF', 'NOT', 'EXISTS']) stream.advance();
  readName(stream);
  while (!stream.isAtStop && !stream.isSymbol('(') && !stream.isWord('AS', 'RETURNS')) {
    stream.step();
  }
  if (stream.isSymbol('(')) stream.skipParentheses();
  if (stream.isWord('RETURNS')) {
    stream.advance();
    stream.advance();
  }
  for (;;) {
    if (stream.isSymbol('(')) stream.skipParentheses();
    else if (stream.isWord(...CHARACTERISTICS)) readCharacteristic(stream);
    else break;
  }
  // A text in another language follows.
  if (stream.isWord('AS')) stream.advance();
}

function readCharacteristic(stream: TokenStream): void {
  const hasValue = stream.isWord('COMMENT', 'LANGUAGE', 'CHARSET', 'COLLATE');
  const mayBeSet = stream.isWord('CHARACTER', 'CHAR');
  stream.advance();
  if (mayBeSet && stream.isWord('SET')) {
    stream.advance();
    stream.advance();
  } else if (hasValue) stream.advance();
}

/** Reads one statement of a body, up to its `;`. */
export function readBodyStatement(stream: TokenStream, depth: number): void {
  if (depth > DEPTH_MAX) return stream.giveUp();
  if (stream.isAtStop) return;
  const opener = OPENERS.find((word) => stream.isWord(word));
  const isDeclare = stream.isWord('DECLARE');
  stream.advance();
  if (stream.isSymbol(':')) {
    stream.advance();
    if (!stream.isAtStop) readBodyStatement(stream, depth + 1);
  } else if (opener !== undefined) readStructure(stream, opener, depth + 1);
  else if (isDeclare && stream.isWord('CONTINUE', 'EXIT', 'UNDO')) readHandler(stream, depth + 1);
  else stream.skipToStop();
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

/** Reads a block; the stream is after the word that opens it. */
function readStructure(stream: TokenStream, opener: Opener, depth: number): void {
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
      return readBranches(stream, depth);
    case 'IF':
      return readBranches(stream, depth);
    case 'REPEAT':
      if (!readList(stream, ['UNTIL'], depth)) return stream.giveUp();
      stream.expectWord('END');
      return readCloser(stream);
    case 'WHILE':
    case 'FOR':
      stream.expectWord('DO');
      stream.advance();
      break;
  }
  if (readList(stream, ['END'], depth)) readCloser(stream);
  else stream.giveUp();
}

/** `… THEN list [ELSEIF … THEN list] [ELSE list] END …`; CASE has WHEN for ELSEIF. */
function readBranches(stream: TokenStream, depth: number): void {
  do {
    stream.expectWord('THEN');
    stream.advance();
    const ends = ['ELSEIF', 'WHEN', 'ELSE', 'END'];
    if (!readList(stream, ends, depth)) return stream.giveUp();
  } while (stream.isWord('ELSEIF', 'WHEN'));
  if (stream.isWord('ELSE')) {
    stream.advance();
    if (!readList(stream, ['END'], depth)) return stream.giveUp();
  }
  readCloser(stream);
}

/** END, the word that it closes, and a label. */
function readCloser(stream: TokenStream): void {
  stream.advance();
  for (let count = 0; count < 2; count++) {
    if (stream.kind === 'word' || stream.kind === 'name') stream.step();
  }
}

/** Statements with a `;` each, up to one of `ends`. False if none comes. */
function readList(stream: TokenStream, ends: readonly string[], depth: number): boolean {
  for (;;) {
    if (stream.isAtStop) return false;
    if (stream.isWord(...ends)) return true;
    readBodyStatement(stream, depth);
    if (!stream.isSymbol(';')) return false;
    stream.step();
  }
}
