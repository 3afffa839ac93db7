/**
 * The rows of EXPLAIN DROP TABLE and EXPLAIN DROP DATABASE: the fate of each table, in words, and
 * its facts. Pure.
 *
 * Invariant: the hold name of a table isn't known before the drop, because it has the id of that
 * drop; it is shown with a gap.
 */
import { timeText } from '../../duration.js';
import type { IntentTable } from '../../ledger/write.js';
import { isPinned, recycleSchemaFor } from '../../names/names.js';
import { lastUse, type Use } from '../../steps/rules/use.js';
import type { Column, ResultSet, Value } from '../../wire/result-set.js';
import type { Fate } from './fates.js';

export const EXPLAIN_COLUMNS: readonly Column[] = [
  { name: 'Schema', type: 'text' },
  { name: 'Table', type: 'text' },
  { name: 'Kind', type: 'text' },
  { name: 'What', type: 'text' },
  { name: 'Hold_name', type: 'text' },
  { name: 'Hold_until', type: 'text' },
  { name: 'Foreign_keys', type: 'text' },
  { name: 'Triggers', type: 'number' },
  { name: 'Views', type: 'text' },
  { name: 'Rows', type: 'number' },
  { name: 'Bytes', type: 'number' },
  { name: 'Last_used', type: 'text' },
];

export interface Explained {
  readonly seen: IntentTable;
  readonly kind: 'temporary' | 'view' | 'base' | 'missing';
  readonly fate: Fate;
  /** Null: not read. */
  readonly use: Use | null;
  /** `schema.view` of the views that name it; null: not known. */
  readonly views: readonly string[] | null;
}

export function explainRows(
  tables: readonly Explained[],
  { logged }: { readonly logged: boolean },
): ResultSet {
  const rows = tables.map(({ seen, kind, fate, use, views }): readonly Value[] => {
    const known = kind === 'base';
    const { holdUntil: due } = seen;
    const isHeld = fate.isHeld && due !== null;
    const holdSchema = fate.stays ? seen.schema : recycleSchemaFor(logged);
    const digits = isHeld ? due.toISOString().replaceAll(/\D/g, '').slice(0, 14) : '';
    return [
      seen.schema,
      seen.table,
      known && seen.kind === 'sequence' ? 'sequence' : KINDS[kind],
      fate.what,
      isHeld ? `${holdSchema}._vt_HOLD_<id>_${digits}` : null,
      isHeld ? (isPinned(due) ? 'pinned' : timeText(due)) : null,
      known ? foreignKeys(seen) : null,
      known ? seen.triggers.length : null,
      known && views !== null ? views.join(', ') : null,
      known ? seen.rowEstimate : null,
      known ? seen.byteEstimate : null,
      use === null || !known ? null : lastUse(use),
    ];
  });
  return { columns: EXPLAIN_COLUMNS, rows };
}

const KINDS = {
  temporary: 'temporary table',
  view: 'view',
  base: 'base table',
  missing: 'missing',
} as const;

/** Counts only: a user who may drop a table need not see the others. */
function foreignKeys({ foreignKeysOut, foreignKeysIn, foreignKeysToItself }: IntentTable): string {
  return [
    [foreignKeysOut, 'of its own'],
    [foreignKeysIn.length, 'of its children'],
    [foreignKeysToItself.length, 'to itself'],
  ]
    .flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]))
    .join(', ');
}
