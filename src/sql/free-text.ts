/**
 * Whether the first words of a long text show that it isn't undrop's, so that the rest of it is
 * relayed unread.
 *
 * Invariant: a text that is free contains one statement, which is a query of MySQL, or inserts into
 * a table that isn't in a recycle schema, in every possible mode.
 */
import { hypotheses, type KnownMode, type LexMode } from './lex/lex-mode.js';
import { Lexer } from './lex/lexer.js';
import { Unreadable } from './reading.js';

/** On MySQL no statement that begins with these can write. */
const QUERIES = ['SELECT', 'VALUES'];
const INSERTS = ['INSERT', 'REPLACE'];
const BEFORE_THE_NAME = ['LOW_PRIORITY', 'DELAYED', 'HIGH_PRIORITY', 'IGNORE', 'INTO'];

/** `head`: the beginning of the text, in a session that accepts one statement in a text. */
export function isFreeByHead(head: Uint8Array, known: KnownMode): boolean {
  try {
    return hypotheses(known, head).every((mode) => isFree(head, mode));
  } catch (error) {
    if (error instanceof Unreadable) return false;
    throw error;
  }
}

function isFree(head: Uint8Array, mode: LexMode): boolean {
  const lexer = new Lexer({ bytes: head, mode });
  lexer.next();
  if (mode.flavour === 'mysql' && lexer.isWord(...QUERIES)) return true;
  if (!lexer.isWord(...INSERTS)) return false;
  do lexer.next();
  while (lexer.isWord(...BEFORE_THE_NAME));
  for (;;) {
    if (lexer.kind !== 'word' && lexer.kind !== 'name') return false;
    if (lexer.isRecycleName) return false;
    lexer.next();
    if (!lexer.isSymbol('.')) break;
    lexer.next();
  }
  // The next token shows that the name is complete.
  return lexer.kind === 'word' || lexer.isSymbol('(');
}
