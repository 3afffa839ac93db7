/**
 * `howDropped` says by which kind of statement a table was dropped: by the first words of the
 * statement that the ledger has, comments left out. Pure.
 *
 * Invariant: a statement that isn't understood is not guessed at; nobody decides about rows by it.
 */
import type { LedgerRow } from './entry.js';

export type HowDropped = 'DROP TABLE' | 'DROP DATABASE' | 'TRUNCATE' | 'PARTITION' | 'REPLACE';

const FORMS: readonly (readonly [RegExp, HowDropped])[] = [
  [/^DROP (TABLES?|SEQUENCE)\b/, 'DROP TABLE'],
  [/^DROP (DATABASE|SCHEMA)\b/, 'DROP DATABASE'],
  [/^TRUNCATE\b/, 'TRUNCATE'],
  [/^ALTER\b/, 'PARTITION'],
  [/^CREATE OR REPLACE\b/, 'REPLACE'],
];

/** Null: the beginning of the text doesn't tell. */
export function howDropped({
  kind,
  statementText,
}: Pick<LedgerRow, 'kind' | 'statementText'>): HowDropped | null {
  if (kind === 'partition') return 'PARTITION';
  const words = statementText
    // What only some versions of the server run is a part of the statement.
    .replaceAll(/\/\*M?!\d*/gi, ' ')
    .replaceAll(/\/\*[\s\S]*?\*\//g, ' ')
    .replaceAll(/(?:--\s|#).*|\*\//g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .toUpperCase();
  return FORMS.find(([form]) => form.test(words))?.[1] ?? null;
}
