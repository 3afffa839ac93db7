/**
 * MariaDB's compound statements and SET STATEMENT … FOR, which run the statements in them.
 * Invariant: none that might run a statement of undrop passes; the end of the compound isn't
 * determined.
 */
import type { Token } from '../lex/lexer.js';
import { DROPPABLE } from '../lex/token-stream.js';
import type { Statement } from '../next-statement.js';
import { mayBeOurs, mentionsRecycle } from '../trigger-scan.js';
import { NOT_OURS, type Protected, refusedVerdict, type Verdict } from '../verdict.js';
import type { Source } from './table-name.js';

/**
 * The verdict on a compound statement, or on SET STATEMENT … FOR, and on the whole text after it:
 * it is refused if it may contain a statement of undrop. Up to the first `;` it is read word by
 * word.
 */
export function bodyVerdict(
  { shape, start, end, tokens }: Statement & { readonly shape: 'compound' | 'set-statement' },
  { bytes }: Source,
  protect: Protected | undefined,
): Verdict {
  const mayHoldOurs =
    tokens.some((_token, at) => isOpening(tokens, at, protect)) ||
    mayBeOurs(bytes, end, bytes.length, protect);
  if (!mayHoldOurs) return NOT_OURS;
  return mentionsRecycle(bytes.subarray(start))
    ? { kind: 'recycle-schema-write', how: 'unclear' }
    : refusedVerdict(shape, []);
}

/** Whether a statement of undrop, or one that may run such a text, may begin at a token. */
function isOpening(tokens: readonly Token[], at: number, protect: Protected | undefined): boolean {
  const wordAt = (index: number) => (tokens[index]?.kind === 'word' ? tokens[index].text : '');
  const next = wordAt(at + 1);
  const isPartition = next === 'PARTITION' && protect?.has('drop-partition') === true;
  switch (wordAt(at)) {
    case 'DROP':
      return isPartition || DROPPABLE.includes(next);
    case 'TRUNCATE':
      // TRUNCATE(1, 2) is a function.
      return isPartition || (protect?.has('truncate') === true && tokens[at + 1]?.text !== '(');
    case 'EXECUTE':
      return next === 'IMMEDIATE';
    case 'OR':
      return next === 'REPLACE' && wordAt(at - 1) === 'CREATE';
    case 'PREPARE':
      // After SELECT the word is a column.
      return wordAt(at + 2) === 'FROM' && wordAt(at - 1) !== 'SELECT';
    default:
      return false;
  }
}
