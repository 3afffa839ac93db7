/**
 * Whether a statement may write, or take locks, where held tables and the ledger are: it names a
 * recycle schema and isn't recognised as a read without locks. A lock on the ledger's rows would
 * make every drop fail. A USE of one isn't a read, so that no name without a schema leads
 * there. A literal or a comment names nothing.
 *
 * Invariant: only a statement that reads by its first word passes with such a name in it, whatever
 * the rest of it is; a statement that can't be parsed isn't a read.
 */
import type { Source } from './grammar/table-name.js';
import type { Token } from './lex/lexer.js';
import type { Statement } from './next-statement.js';
import { mentionsRecycle } from './trigger-scan.js';
import { type RecycleSchemaWrite, type Unclear, unclear } from './verdict.js';

/** Words that begin a query; `(` does so, too. */
const QUERIES: readonly string[] = ['SELECT', 'TABLE', 'VALUES'];
/** Words that begin another read. */
const READS: readonly string[] = ['SHOW', 'EXPLAIN', 'DESCRIBE', 'DESC', 'CHECKSUM'];
const CHANGES: readonly string[] = ['UPDATE', 'DELETE', 'INSERT', 'REPLACE'];

/** A change of the default schema to a recycle schema. */
export const USE_OF_RECYCLE: RecycleSchemaWrite = { kind: 'recycle-schema-write', how: 'use' };

/** Null: it may pass. */
export function recycleSchemaWriteOf(
  statement: Statement,
  source: Source,
): RecycleSchemaWrite | null {
  if (!statement.namesRecycle || isRead(statement, source)) return null;
  if (statement.shape === 'plain' && wordAt(statement.tokens, 0) === 'USE') return USE_OF_RECYCLE;
  return { kind: 'recycle-schema-write', how: 'named' };
}

/** The verdict on a text that may be undrop's, if its reading is ambiguous. */
export function unread(text: Uint8Array, why: string): RecycleSchemaWrite | Unclear {
  return mentionsRecycle(text) ? { kind: 'recycle-schema-write', how: 'unclear' } : unclear(why);
}

function isRead(statement: Statement, source: Source): boolean {
  const { shape, tokens } = statement;
  if (shape !== 'plain' || movesSequence(statement, source)) return false;
  const at = tokens.findIndex((token) => token.kind !== 'symbol' || token.text !== '(');
  const head = wordAt(tokens, at);
  if (locksRows(tokens)) return false;
  if (QUERIES.includes(head)) return true;
  const hasWord = (words: readonly string[]) =>
    tokens.some((_token, index) => words.includes(wordAt(tokens, index)));
  // The word after the CTEs determines the effect of the statement.
  if (head === 'WITH') return !hasWord(CHANGES);
  if (at > 0) return false;
  // EXPLAIN ANALYZE runs what it explains.
  const isExecuted = wordAt(tokens, 1) === 'ANALYZE' && hasWord(CHANGES);
  return READS.includes(head) && !isExecuted;
}

/** FOR UPDATE, FOR SHARE and LOCK IN SHARE MODE, wherever they are. */
function locksRows(tokens: readonly Token[]): boolean {
  return tokens.some((_token, index) => {
    const [word, next] = [wordAt(tokens, index), wordAt(tokens, index + 1)];
    return (
      (word === 'FOR' && ['UPDATE', 'SHARE'].includes(next)) || (word === 'IN' && next === 'SHARE')
    );
  });
}

/**
 * Whether it may write to the sequence that it names, by MariaDB's NEXT VALUE FOR, NEXTVAL or
 * SETVAL, wherever these words are.
 */
function movesSequence({ start, end }: Statement, { bytes, mode }: Source): boolean {
  if (mode.flavour !== 'mariadb') return false;
  return MOVES_SEQUENCE.test(Buffer.from(bytes.subarray(start, end)).toString('latin1'));
}

const MOVES_SEQUENCE = /\bnext\b|nextval|setval/i;

/** Empty if there is no word. */
function wordAt(tokens: readonly Token[], index: number): string {
  const token = tokens[index];
  return token?.kind === 'word' ? token.text : '';
}
