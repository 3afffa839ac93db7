/**
 * The rows of EXPLAIN DROP TABLE and EXPLAIN DROP DATABASE: the fate of each table, in words, with
 * its keys, size and last use.
 *
 * Invariant: the hold name of a table isn't known before the drop, because it has the id of that
 * drop; it is shown with a gap.
 */

import type { Fate } from '../../drop/fates.js';
import type { InterceptOptions } from '../../drop/intercepted.js';
import { knownKind } from '../../drop/steps/inspect-names.js';
import { lastUse, readUse, type Use } from '../../drop/steps/rules/rules.js';
import type { NameKind } from '../../drop/steps/session/facts.js';
import { timeText } from '../../duration.js';
import { assert } from '../../errors.js';
import { type IntentTable, shapeOf } from '../../ledger/write.js';
import { isPinned, recycleSchemaFor } from '../../names/names.js';
import { type Field, printResultSet } from '../../printer.js';
import type { ResultSet } from '../../wire/result-set.js';

interface Explained {
  readonly seen: IntentTable;
  readonly fate: Fate;
  readonly kind: keyof typeof KINDS;
  /** Where it is held, and until when; null: it isn't. */
  readonly held: { readonly name: string; readonly until: string } | null;
  /** Null: not read. */
  readonly use: Use | null;
}

const KINDS = {
  temporary: 'temporary table',
  view: 'view',
  base: 'base table',
  missing: 'missing',
} as const;

const COLUMNS: readonly Field<Explained>[] = [
  { title: 'Schema', json: ({ seen }) => seen.schema },
  { title: 'Table', json: ({ seen }) => seen.table },
  { title: 'Kind', json: (one) => ofBase(one, kindOfBase) ?? KINDS[one.kind] },
  { title: 'What', json: ({ fate }) => fate.what },
  { title: 'Hold_name', json: ({ held }) => held?.name },
  { title: 'Hold_until', json: ({ held }) => held?.until },
  { title: 'Foreign_keys', json: (one) => ofBase(one, foreignKeys) },
  numberOf('Triggers', ({ triggers }) => triggers.length),
  numberOf('Rows', ({ rowEstimate }) => rowEstimate),
  numberOf('Bytes', ({ byteEstimate }) => byteEstimate),
  { title: 'Last_used', json: (one) => ofBase(one, () => one.use && lastUse(one.use)) },
];

function numberOf(title: string, read: (seen: IntentTable) => number | null): Field<Explained> {
  return { title, json: (one) => ofBase(one, read), isNumber: true };
}

/** Null for what is no base table: nothing is known of it. */
function ofBase<T>({ kind, seen }: Explained, read: (seen: IntentTable) => T): T | null {
  return kind === 'base' ? read(seen) : null;
}

function kindOfBase({ kind }: IntentTable): string {
  return kind === 'sequence' ? 'sequence' : KINDS.base;
}

export const NO_TABLES: ResultSet = printResultSet(COLUMNS, []);

/** The maximum of tables whose use is read. */
const FACTS_MAX = 50;

/** `kinds`: as the session sees each name; without them, as the service does. */
export async function explainRows(
  tables: readonly IntentTable[],
  how: {
    readonly fates: readonly Fate[];
    readonly kinds: readonly NameKind[];
    readonly logged: boolean;
  },
  options: InterceptOptions,
): Promise<ResultSet> {
  const kindOf = (table: IntentTable) =>
    knownKind(how.kinds[tables.indexOf(table)] ?? 'denied', table);
  const looked = tables.filter((table) => kindOf(table) === 'base').slice(0, FACTS_MAX);
  const uses = await readUses(looked, options);
  const rows = tables.map((seen, index) => {
    const fate = how.fates[index];
    assert(fate !== undefined, 'a fate for each table');
    const use = uses[looked.indexOf(seen)] ?? null;
    return { seen, kind: kindOf(seen), fate, held: heldAs(seen, fate, how), use };
  });
  return printResultSet(COLUMNS, rows);
}

function heldAs(
  { schema, holdUntil }: IntentTable,
  { isHeld, stays }: Fate,
  { logged }: { readonly logged: boolean },
): Explained['held'] {
  if (!isHeld || holdUntil === null) return null;
  const digits = holdUntil.toISOString().replaceAll(/\D/g, '').slice(0, 14);
  const name = `${stays ? schema : recycleSchemaFor(logged)}._vt_HOLD_<id>_${digits}`;
  return { name, until: isPinned(holdUntil) ? 'pinned' : timeText(holdUntil) };
}

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

async function readUses(
  tables: readonly IntentTable[],
  { service: { pool, rules = [] } }: InterceptOptions,
): Promise<readonly Use[]> {
  const { lowerCaseTableNames } = await shapeOf(pool);
  const conditions = rules.flatMap((rule) => rule.conditions);
  const how = {
    foldsCase: lowerCaseTableNames !== 0,
    ignoresReads: conditions.some(({ kind }) => kind === 'empty'),
  };
  const uses: Use[] = [];
  for (const table of tables) uses.push(await readUse(pool, table, how));
  return uses;
}
