/**
 * `howDropped` returns the kind of statement that dropped a table, from the first words of the
 * statement in the ledger, without comments. Pure.
 *
 * Invariant: an unknown statement is not guessed at; no decision about rows depends on it.
 */
import type { LedgerRow } from './entry.js';

export type HowDropped =
  | 'DROP TABLE'
  | 'DROP DATABASE'
  | 'TRUNCATE'
  | 'PARTITION'
  | 'REPLACE'
  | 'SWAP';

const FORMS: readonly (readonly [RegExp, HowDropped])[] = [
  [/^DROP (TABLES?|SEQUENCE)\b/, 'DROP TABLE'],
  [/^DROP (DATABASE|SCHEMA)\b/, 'DROP DATABASE'],
  [/^TRUNCATE\b/, 'TRUNCATE'],
  [/^ALTER\b/, 'PARTITION'],
  [/^CREATE OR REPLACE\b/, 'REPLACE'],
  [/^UNDROP\b/, 'SWAP'],
];

/** Null: the beginning of the text isn't enough. */
export function howDropped({
  kind,
  statementText,
}: Pick<LedgerRow, 'kind' | 'statementText'>): HowDropped | null {
  if (kind === 'partition') return 'PARTITION';
  const words = statementText
    // A version comment is a part of the statement.
    .replaceAll(/\/\*M?!\d*/gi, ' ')
    .replaceAll(/\/\*[\s\S]*?\*\//g, ' ')
    .replaceAll(/(?:--\s|#).*|\*\//g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .toUpperCase();
  return FORMS.find(([form]) => form.test(words))?.[1] ?? null;
}
