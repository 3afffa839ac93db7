/**
 * Dropped tables as `undrop show`, and each JSON, print them: the fields of each output. Pure.
 */
import { utcText } from '../../duration.js';
import { NOTHING_DETACHED, qualifiedKey } from '../../ledger/detached/detached.js';
import type { Uses } from '../../ledger/history.js';
import { isPinned, type QualifiedTable, writtenName } from '../../names/names.js';
import * as printer from '../../printer.js';
import type { DroppedTable, EndedTable, KnownTable } from '../held-tables.js';
import type { HeldRows, ShownTable } from '../show.js';

/** By id: statements that have failed because they use a held table. */
type AllUses = ReadonlyMap<string, Uses>;

/** A dropped table with its present facts. */
type Line = KnownTable &
  Partial<Pick<DroppedTable, 'due' | 'purgedBy' | 'holdSchema' | 'holdName' | 'unseen' | 'torn'>> &
  Partial<Pick<EndedTable, 'endedAt' | 'restoredAs'>> & {
    readonly state?: string | null;
    /** Left out: unknown. */
    readonly used?: Uses | null;
  };

/** The keys that a table has in each JSON (docs/reference/json.md). */
const LIST: readonly printer.Field<Line>[] = [
  { key: 'id' },
  { key: 'schema', json: ({ origin }) => origin?.schema ?? null },
  { key: 'table', json: ({ origin }) => origin?.table ?? null },
  { key: 'how' },
  { key: 'droppedAt' },
  { key: 'user' },
  { key: 'clientAddress' },
  { key: 'program' },
  { key: 'dropId' },
  { key: 'state', json: formatState },
  { key: 'until', json: ({ due }) => due },
  { key: 'lockedUntil' },
  { key: 'purgedBy' },
  { key: 'rowEstimate' },
  { key: 'byteEstimate' },
  { key: 'usedWhileHeld', json: ({ used }) => (used === undefined ? used : (used?.count ?? 0)) },
  { key: 'holdSchema' },
  { key: 'holdName' },
  { key: 'seen', json: ({ holdName, unseen }) => holdName && unseen !== true },
  { key: 'endedAt' },
  { key: 'restoredAs' },
];

/** The list for `--json`; times are in ISO 8601, UTC. */
export function heldListJson(
  rows: readonly (DroppedTable | EndedTable)[],
  uses: AllUses = new Map(),
): readonly object[] {
  return rows.map((row) => heldJson({ ...row, used: uses.get(row.id) ?? null }));
}

export function heldJson(row: Line): object {
  return printer.printJson(LIST, row);
}

/** The state for people. */
export function formatState({ torn, state }: Pick<Line, 'torn' | 'state'>): string | null {
  return torn === true ? 'TORN' : (state ?? null);
}

export function formatUses({ count, lastAt, who }: Uses): string {
  const statements =
    count === 1 ? '1 statement has' : `${printer.formatCount(count)} statements have`;
  return `${statements} failed, the last at ${formatTime(lastAt)} UTC by ${printer.printable(who)}`;
}

/** How to repair a table if the server was killed during its RENAME. */
export const HOW_TO_MEND =
  'some of its partitions have the hold name; docs/runbook.md describes the repair';

/** The due time, or the likely end of a PURGE. For a table that is no longer held: its end. */
export function formatUntil({ endedAt, state, due, torn, purgedBy }: Line): string {
  if (due === undefined) return formatTime(endedAt ?? null);
  if (state === 'PURGE' && purgedBy) return `about ${formatTime(purgedBy)}`;
  if (torn || (state !== 'HOLD' && state !== 'EVAC')) return '-';
  return state === 'HOLD' && isPinned(due) ? 'pinned' : formatTime(due);
}

export function formatName(name: QualifiedTable | null): string {
  return name === null ? '(not in the ledger)' : printer.printable(`${name.schema}.${name.table}`);
}

/** The time to the second. */
export function formatTime(time: Date | null): string {
  return time === null ? printer.NOT_KNOWN : utcText(time);
}

// ── one table ────────────────────────────────────────────────────────────────────────────────────

/** All that `show` prints about a table, from its ledger row, too. */
function factsOf({ dropped, held, ended, row, used, script, sameDrop, others }: ShownTable) {
  const { keysOut, keysIn, triggers, checks } = row?.detached ?? NOTHING_DETACHED;
  const line: Line = held ?? ended ?? dropped;
  return {
    ...line,
    state: held?.state ?? row?.state ?? null,
    used,
    statement: row?.statementText ?? null,
    client: row?.clientDetails ?? null,
    endedAt: row?.endedAt ?? null,
    restoredAs: row?.restoredAs ?? null,
    engine: row?.engine ?? null,
    foreignKeys: keysOut,
    keysToIt: keysIn,
    triggers: triggers.map(({ name, event, definer }) => ({ name, event, definer })),
    checks,
    todo: row?.pendingWork?.todo ?? null,
    failure: row?.pendingWork?.text ?? null,
    restoreScript: script,
    sameDrop: sameDrop.map(({ id }) => id),
    others: others.map(({ id }) => id),
  };
}

type Facts = ReturnType<typeof factsOf>;

/** The lines of `show`, and the keys that it has in JSON beside those of the list. */
const SHOWN: readonly printer.Field<Facts>[] = [
  { title: 'id', text: ({ id }) => id },
  { title: 'table', text: ({ origin }) => formatName(origin) },
  { title: 'how', text: ({ how }) => how ?? printer.NOT_KNOWN },
  {
    key: 'statement',
    title: 'statement',
    text: ({ statement }) => statement?.replaceAll(/\s+/g, ' ') ?? printer.NOT_KNOWN,
  },
  {
    key: 'client',
    title: 'client',
    text: ({ client }) =>
      Object.entries({ ...client?.attributes, ...client?.tags }).map((pair) => pair.join('=')),
  },
  { title: 'drop id', text: ({ dropId }) => dropId ?? printer.NOT_KNOWN },
  { title: 'dropped', text: ({ droppedAt }) => `${formatTime(droppedAt)} UTC` },
  {
    title: 'by',
    text: ({ user, clientAddress: from, program }) => {
      const by = program === null ? '' : ` (${program})`;
      return user === null
        ? printer.NOT_KNOWN
        : `${user}${from === null ? '' : ` from ${from}`}${by}`;
    },
  },
  { title: 'state', text: (facts) => formatState(facts) ?? printer.NOT_KNOWN },
  { title: 'until', text: formatUntil },
  { title: 'locked until', text: ({ lockedUntil: until }) => until && formatTime(until) },
  {
    title: 'held as',
    text: ({ holdSchema, holdName }) => (holdName ? `${holdSchema}.${holdName}` : null),
  },
  { key: 'restoredAs', title: 'restored as', text: ({ restoredAs }) => restoredAs },
  { key: 'engine', title: 'engine', text: ({ engine }) => engine },
  {
    title: 'rows',
    text: ({ rowEstimate: rows }) =>
      rows ? `about ${printer.formatCount(rows)}` : printer.NOT_KNOWN,
  },
  { title: 'size', text: ({ byteEstimate }) => printer.formatBytes(byteEstimate) },
  {
    key: 'foreignKeys',
    title: 'foreign key',
    text: ({ foreignKeys }) => foreignKeys.map((key) => qualifiedKey(key)),
  },
  {
    key: 'keysToIt',
    title: 'key to it',
    text: ({ keysToIt }) =>
      keysToIt.map(({ childSchema: schema, childTable: table, key }) => {
        return `${writtenName({ schema, table })}: ${key.name}`;
      }),
  },
  {
    key: 'triggers',
    title: 'trigger',
    text: ({ triggers }) =>
      triggers.map(({ name, event, definer }) => `${name} ${event}, definer ${definer}`),
  },
  { key: 'checks', title: 'check', text: ({ checks }) => checks.map(({ name }) => name) },
  { title: 'still used', text: ({ used }) => used && formatUses(used) },
  { key: 'todo', title: 'to do', text: ({ todo }) => todo },
  {
    key: 'failure',
    title: 'because',
    text: ({ state, failure }) => (state === 'restored' ? null : failure),
  },
  { title: 'noted', text: ({ state, failure }) => (state === 'restored' ? failure : null) },
  { key: 'restoreScript' },
  { key: 'sameDrop' },
  { key: 'others' },
];

/** A line for each known property. */
export function formatShown(shown: ShownTable): string {
  const { sameDrop, others } = shown;
  return [
    printer.printCard(SHOWN, factsOf(shown)),
    ...sameDrop.map((other) => `Dropped with it: ${formatName(other.origin)} (${other.id})\n`),
    ...others.map(({ id }) => `Also held under that name: ${id}\n`),
  ].join('');
}

export function shownJson(shown: ShownTable, rows: HeldRows | null): object {
  const facts = factsOf(shown);
  return { ...printer.printJson(LIST, facts), ...printer.printJson(SHOWN, facts), ...rows };
}

/** A cut text ends in `…`; NULL is `NULL`. */
export function formatHeldRows({ columns, rows }: HeldRows): string {
  if (rows.length === 0) return 'It has no rows.\n';
  const fields = columns.map((title, at): printer.Field<HeldRows['rows'][number]> => {
    return { title, text: (row) => row[at] ?? 'NULL' };
  });
  return printer.printTable(fields, rows);
}
