/**
 * The statements that destroy tables or rows, by their words, for all who look for them without a
 * grammar. The check of each packet has their letters once more, for its speed (trigger-scan.ts).
 */

/** The kinds that every service should protect. */
export const PROTECTED = ['drop-table', 'drop-database', 'create-or-replace'] as const;
/** UNDROP_PROTECT by default. */
export const PROTECTED_BY_DEFAULT = [...PROTECTED, 'truncate-where-possible'] as const;
/** The names in UNDROP_PROTECT; statements of other kinds go to the server. */
export const PROTECTIONS = [...PROTECTED_BY_DEFAULT, 'truncate', 'drop-partition'] as const;
export type Protection = (typeof PROTECTIONS)[number];
/** TRUNCATE and DROP PARTITION are undrop's only if they are in it. */
export type Protected = Pick<ReadonlySet<Protection>, 'has'>;

/** A TRUNCATE is undrop's; `truncate`: also one that can't be held, which is refused then. */
export function holdsTruncate(protect: Protected): boolean {
  return protect.has('truncate') || protect.has('truncate-where-possible');
}

export type HowDropped = 'DROP TABLE' | 'DROP DATABASE' | 'TRUNCATE' | 'REPLACE' | 'SWAP';

interface Destroying {
  readonly kind: Protection;
  /** Words one directly after the other, each any of a list. */
  readonly words: readonly (readonly string[])[];
  /** The first word of the statement, if these come later. */
  readonly within?: string;
  readonly how?: HowDropped;
}

const TABLES = ['TABLE', 'TABLES', 'SEQUENCE'];
const SCHEMAS = ['DATABASE', 'SCHEMA'];
/** Words after DROP that mean base tables. */
export const DROPPABLE: readonly string[] = [...TABLES, ...SCHEMAS];

/** Objects whose definition is recorded before they are dropped or replaced. */
export const DEFINITIONS: readonly string[] = [
  ...['VIEW', 'PROCEDURE', 'FUNCTION', 'TRIGGER', 'EVENT'],
];

export const DESTROYING: readonly Destroying[] = [
  { kind: 'drop-table', words: [['DROP'], TABLES], how: 'DROP TABLE' },
  { kind: 'drop-database', words: [['DROP'], SCHEMAS], how: 'DROP DATABASE' },
  { kind: 'create-or-replace', words: [['CREATE'], ['OR'], ['REPLACE']], how: 'REPLACE' },
  { kind: 'truncate', words: [['TRUNCATE']], how: 'TRUNCATE' },
  { kind: 'drop-partition', words: [['DROP', 'TRUNCATE'], ['PARTITION']], within: 'ALTER' },
];

/** The statements that are undrop's. */
export function destroyingOf(protect: Protected | undefined): readonly Destroying[] {
  const always: readonly string[] = PROTECTED;
  return DESTROYING.filter(({ kind }) => always.includes(kind) || protect?.has(kind) === true);
}
