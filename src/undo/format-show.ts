/** Text and JSON of one table, as `undrop show` prints it, and of some of its rows. Pure. */
import { hasDetached, qualifiedKey } from '../ledger/detached/detached.js';
import type { LedgerRow } from '../ledger/entry.js';
import {
  droppedJson,
  formatBytes,
  formatCount,
  formatName,
  formatState,
  formatTable,
  formatTime,
  formatUntil,
  formatUses,
  heldJson,
  NOT_KNOWN,
  printable,
} from './format.js';
import { describeEnded } from './list.js';
import type { HeldRows, ShownTable } from './show.js';

/** A line for each known property. */
export function formatShown({ dropped, held, row, used, sameDrop, others }: ShownTable): string {
  const { rowEstimate: rows } = dropped;
  const now = held ?? (row === null ? null : describeEnded(row));
  const from = dropped.clientAddress === null ? '' : ` from ${dropped.clientAddress}`;
  const by = dropped.user === null ? NOT_KNOWN : `${dropped.user}${from}`;
  const facts: (readonly [title: string, text: string | null])[] = [
    ['id', dropped.id],
    ['table', formatName(dropped.origin)],
    ['how', dropped.how ?? NOT_KNOWN],
    ['statement', row?.statementText.replaceAll(/\s+/g, ' ') ?? NOT_KNOWN],
    ['drop id', dropped.groupId ?? NOT_KNOWN],
    ['dropped', `${formatTime(dropped.droppedAt)} UTC`],
    ['by', by],
    ['state', now === null ? NOT_KNOWN : formatState(now)],
    ['until', now === null ? NOT_KNOWN : formatUntil(now)],
    ['held as', held === null ? null : `${held.holdSchema}.${held.holdName}`],
    ['restored as', row?.restoredAs ?? null],
    ['engine', row?.engine ?? null],
    ['rows', rows === null ? NOT_KNOWN : `about ${formatCount(rows)}`],
    ['size', formatBytes(dropped.byteEstimate)],
    ...(row === null ? [] : formatDetached(row)),
    ['still used', used === null ? null : formatUses(used)],
    ['to do', row?.failure?.todo ?? null],
    [row?.state === 'restored' ? 'noted' : 'because', row?.failure?.text ?? null],
  ];
  const lines = facts.filter((fact): fact is [string, string] => fact[1] !== null);
  const width = Math.max(...lines.map(([title]) => title.length));
  return [
    ...lines.map(([title, text]) => `${title.padEnd(width)}  ${printable(text)}\n`),
    ...sameDrop.map((other) => `Dropped with it: ${formatName(other.origin)} (${other.id})\n`),
    ...others.map(({ id }) => `Also held under that name: ${id}\n`),
  ].join('');
}

/** What was taken off it, and comes back with it. */
function formatDetached({ detached }: LedgerRow): (readonly [string, string])[] {
  if (!hasDetached(detached)) return [];
  const { keysOut, keysIn, triggers, checks } = detached;
  return [
    ...keysOut.map((key) => ['foreign key', qualifiedKey(key)] as const),
    ...keysIn.map(({ childSchema, childTable, key }) => {
      return ['key to it', `${childSchema}.${childTable}: ${key.name}`] as const;
    }),
    ...triggers.map(({ name, event, definer }) => {
      return ['trigger', `${name} ${event}, definer ${definer}`] as const;
    }),
    ...checks.map(({ name }) => ['check', name] as const),
  ];
}

export function shownJson(shown: ShownTable, rows: HeldRows | null): object {
  const { dropped, held, row, script, used, sameDrop, others } = shown;
  return {
    ...droppedJson(dropped),
    state: held === null ? (row?.state ?? null) : formatState(held),
    ...(held === null ? {} : heldJson(held)),
    endedAt: row?.endedAt?.toISOString() ?? null,
    restoredAs: row?.restoredAs ?? null,
    statement: row?.statementText ?? null,
    engine: row?.engine ?? null,
    foreignKeys: row?.detached.keysOut ?? [],
    keysToIt: row?.detached.keysIn ?? [],
    triggers: (row?.detached.triggers ?? []).map(({ name, event, definer }) => {
      return { name, event, definer };
    }),
    checks: row?.detached.checks ?? [],
    todo: row?.failure?.todo ?? null,
    failure: row?.failure?.text ?? null,
    usedWhileHeld: used?.count ?? 0,
    restoreScript: script,
    sameDrop: sameDrop.map(({ id }) => id),
    others: others.map(({ id }) => id),
    ...(rows === null ? {} : { columns: rows.columns, rows: rows.rows }),
  };
}

/** A cut text ends in `…`; NULL is `NULL`. */
export function formatHeldRows({ columns, rows }: HeldRows): string {
  if (rows.length === 0) return 'It has no rows.\n';
  const lines = [columns, ...rows.map((row) => row.map((text) => text ?? 'NULL'))];
  const cells = lines.map((line) => line.map(printable));
  return formatTable(cells, { from: columns.length });
}
