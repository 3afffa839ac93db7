/** Recognition of a text in one go, as `sql/classify.ts` does it in slices. */
import { classifying, classifyingStatements, underAllModes } from '../../src/sql/classify.js';
import { CHARSET_TABLES, clientCharsetOf } from '../../src/sql/lex/client-charset.js';
import type { KnownMode, LexMode } from '../../src/sql/lex/lex-mode.js';
import type { ReadOptions } from '../../src/sql/next-statement.js';
import { readAtOnce } from '../../src/sql/reading.js';
import { unclear, type Verdict } from '../../src/sql/verdict.js';

/** The mode is known. */
export function classify(bytes: Uint8Array, mode: LexMode, options: ReadOptions): Verdict {
  const verdict = classifyUnderAll(bytes, mode, options);
  return verdict.kind === 'disagree' ? unclear('it is too long') : verdict;
}

/** Under all modes that `known` leaves open. */
export function classifyUnderAll(bytes: Uint8Array, known: KnownMode, options: ReadOptions) {
  return readAtOnce(classifying(bytes, known, options));
}

/** Statement by statement; nothing of a text that can't be read. */
export function classifyStatements(bytes: Uint8Array, mode: LexMode, options: ReadOptions) {
  const reading = underAllModes(bytes, mode, (one, work) =>
    classifyingStatements({ bytes, mode: one }, { options, work, nested: 0 }),
  );
  return readAtOnce(reading) ?? [];
}

/** How the bytes of a charset of clients are read; null: no client can have it. */
export function charsetTableOf(name: string) {
  const charset = clientCharsetOf(name);
  return charset === null ? null : CHARSET_TABLES[charset];
}
