/**
 * What becomes of a statement of a long text (statement-stream.ts) that doesn't end within what can
 * be held, by its beginning. Pure. Invariant: only what can't be ours is let go token by token.
 */
import { mayBePartitions } from './grammar/alter-partition.js';
import type { Source } from './grammar/token-cursor.js';
import { Lexer } from './lexer.js';
import type { Statement } from './next-statement.js';
import { PARTITION, PLAIN_OBJECTS, WHOLE } from './stream-words.js';
import { DROPPABLE } from './token-stream.js';
import type { Sought } from './trigger-scan.js';

/**
 * `stop`: it may be ours. `guarded`: it may write where held tables are. `watch`: how it is read
 * isn't known. Else it is let go token by token.
 */
export type TooLong = 'stop' | 'guarded' | 'watch' | Plain;

interface Plain {
  /** What must not stand behind a DROP in it. */
  readonly droppable: readonly string[];
  /** Behind it the mode isn't known. */
  readonly changesMode: boolean;
}

/** `source.bytes`: the beginning of the statement, and nothing else. */
export function judgeTooLong(
  source: Source,
  { tokens }: Statement,
  look: Required<Sought> & { readonly inRecycle: boolean },
): TooLong {
  const { bytes, mode } = source;
  const lexer = new Lexer(bytes, 0, bytes.length, mode);
  lexer.next();
  const first = WHOLE.find((word) => lexer.isWord(word));
  lexer.next();
  switch (first) {
    case 'TRUNCATE':
      return look.truncates ? 'stop' : 'watch';
    case 'DROP':
    case 'PREPARE':
    case 'EXECUTE':
      return 'stop';
    case 'CREATE':
    case 'ALTER':
      if (look.inRecycle) return 'guarded';
      if (lexer.isWord('OR')) return 'stop';
      if (!PLAIN_OBJECTS.some((word) => lexer.isWord(word))) return 'watch';
      if (first === 'CREATE') return { droppable: DROPPABLE, changesMode: false };
      if (look.partitions && mayBePartitions(tokens, source)) return 'stop';
      return { droppable: look.partitions ? PARTITION : [], changesMode: false };
    case 'SET':
      if (mode.flavour === 'mariadb' && lexer.isWord('STATEMENT')) return 'watch';
      return { droppable: DROPPABLE, changesMode: true };
    default:
      return 'watch';
  }
}
