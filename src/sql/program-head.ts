/**
 * The head of a stored program, up to the first token of its body. Invariant: where a head isn't
 * read to its end, the body is taken for a statement without structure and ends at the first `;`,
 * which shows more of it, never less.
 */
import type { Flavour } from './lex/lex-mode.js';
import type { TokenStream } from './lex/token-stream.js';

const PROGRAMS = ['PROCEDURE', 'FUNCTION', 'TRIGGER', 'EVENT', 'PACKAGE'] as const;

/** What may stand between the parameters of a routine and its body, the words of types included. */
const CHARACTERISTICS = [
  ...['COMMENT', 'LANGUAGE', 'SQL', 'NOT', 'DETERMINISTIC', 'CONTAINS', 'NO', 'READS', 'MODIFIES'],
  ...['DATA', 'SECURITY', 'DEFINER', 'INVOKER', 'CURRENT_USER', 'UNSIGNED', 'SIGNED', 'ZEROFILL'],
  ...['BINARY', 'ASCII', 'UNICODE', 'BYTE', 'CHARSET', 'COLLATE', 'CHARACTER', 'CHAR', 'VARCHAR'],
  ...['VARBINARY', 'VARYING', 'PRECISION', 'USING', 'AUTHID'],
];

/**
 * Reads behind CREATE or ALTER. True: it is a stored program and the stream stands on its body, or
 * at its end. False: it is something else, and the stream stands somewhere in it.
 */
export function readProgramHead(stream: TokenStream, flavour: Flavour): boolean {
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
  if (object === 'EVENT') {
    stream.skipToWord('DO');
    stream.advance();
  } else if (object === 'TRIGGER') {
    readTriggerHead(stream);
  } else if (object === 'PACKAGE') {
    // Of ORACLE mode; its structure isn't known here.
    stream.giveUp();
  } else {
    readRoutineHead(stream, flavour);
  }
  return true;
}

/** ORACLE mode: `x INT; y INT;` before BEGIN. */
export function readDeclarations(stream: TokenStream): void {
  while (!stream.isWord('BEGIN')) {
    stream.skipToStop();
    if (!stream.isSymbol(';')) return;
    stream.step();
  }
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

/** `… FOR EACH ROW [FOLLOWS | PRECEDES other]`. */
function readTriggerHead(stream: TokenStream): void {
  stream.skipToWord('EACH');
  stream.advance();
  stream.advance();
  if (!stream.isWord('FOLLOWS', 'PRECEDES')) return;
  stream.advance();
  stream.advance();
  while (stream.isSymbol('.')) {
    stream.advance();
    stream.advance();
  }
}

/** `name (parameters) [RETURNS type] [characteristic …]`. */
function readRoutineHead(stream: TokenStream, flavour: Flavour): void {
  if (stream.isWord('IF')) for (const _word of ['IF', 'NOT', 'EXISTS']) stream.advance();
  // The name, which may be any of the words below.
  stream.advance();
  while (stream.isSymbol('.')) {
    stream.advance();
    stream.advance();
  }
  while (!stream.isAtStop && !stream.isSymbol('(') && !stream.isWord('AS', 'IS', 'RETURNS')) {
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
  if (!stream.isWord('AS', 'IS')) return;
  stream.advance();
  if (flavour === 'mariadb') readDeclarations(stream);
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
