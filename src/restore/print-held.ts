/**
 * Dropped tables as `undrop list`, `show` and `hold` print them: the fields of each output, and the
 * totals of a list. Pure.
 */
import { utcText } from '../duration.js';
import { NOTHING_DETACHED, qualifiedKey } from '../ledger/detached/detached.js';
import type { Uses } from '../ledger/history.js';
import { isPinned, type QualifiedTable, writtenName } from '../names/names.js';
import {
  type Field,
  formatBytes,
  formatCount,
  NOT_KNOWN,
  printable,
  printCard,
  printJson,
  printTable,
} from '../printer.js';
import type { DroppedTable, EndedTable, ListedTable } from './held-tables.js';
import type { HeldRows, ShownTable } from './show.js';

const ID_DIGITS_MIN = 13;

/** By id: statements that have failed because they use a held table. */
type AllUses = ReadonlyMap<string, Uses>;

/** A dropped table with its present facts. */
type Line = DroppedTable &
  Partial<Pick<ListedTable, 'due' | 'holdSchema' | 'holdName' | 'unseen' | 'torn'>> &
  Partial<Pick<EndedTable, 'endedAt' | 'restoredAs'>> & {
    readonly state?: string | null;
    /** Shown digits of its id; default: all. */
    readonly digits?: number;
    /** Left out: unknown. */
    readonly used?: Uses | null;
  };

/** The columns of `list`, and the keys that a table has in each JSON. */
const LIST: readonly Field<Line>[] = [
  { key: 'id', title: 'ID', text: ({ id, digits }) => id.slice(0, digits) },
  { key: 'schema', json: ({ origin }) => origin?.schema ?? null },
  {
    key: 'table',
    title: 'TABLE',
    text: ({ origin }) => formatName(origin),
    json: ({ origin }) => origin?.table ?? null,
  },
  { key: 'how', title: 'HOW' },
  { key: 'droppedAt', title: 'DROPPED (UTC)' },
  { key: 'user', title: 'BY' },
  { key: 'clientAddress' },
  { key: 'groupId' },
  { key: 'state', title: 'STATE', json: formatState },
  { key: 'until', title: 'UNTIL (UTC)', text: formatUntil, json: ({ due }) => due },
  { key: 'rowEstimate', title: 'ROWS', isNumber: true },
  {
    key: 'byteEstimate',
    title: 'SIZE',
    text: ({ byteEstimate }) => formatBytes(byteEstimate),
    isNumber: true,
  },
  { key: 'usedWhileHeld', json: ({ used }) => (used === undefined ? used : (used?.count ?? 0)) },
  { key: 'holdSchema' },
  { key: 'holdName' },
  { key: 'seen', json: ({ holdName, unseen }) => holdName && unseen !== true },
  { key: 'endedAt' },
  { key: 'restoredAs' },
];

/** An aligned table, the totals, and notes on single tables. */
export function formatHeldList(
  rows: readonly (ListedTable | EndedTable)[],
  uses: AllUses = new Map(),
): string {
  if (rows.length === 0) return 'No table is held.\n';
  const digits = uniqueDigits(rows.map(({ id }) => id));
  const lines = rows.map((row): Line => ({ ...row, digits }));
  const notes = rows.map((row) => ('endedAt' in row ? '' : formatNote(row, uses)));
  return [printTable(LIST, lines), formatTotals(rows), ...notes].join('');
}

/** The list for `--json`; times are in ISO 8601, UTC. */
export function heldListJson(
  rows: readonly (ListedTable | EndedTable)[],
  uses: AllUses = new Map(),
): readonly object[] {
  return rows.map((row) => heldJson({ ...row, used: uses.get(row.id) ?? null }));
}

export function heldJson(row: Line): object {
  return printJson(LIST, row);
}

/** Their number and size, in total and by state. */
function formatTotals(rows: readonly (ListedTable | EndedTable)[]): string {
  const states = [...new Set(rows.map(formatState))];
  const parts = states.map((state) => {
    const size = formatSize(rows.filter((row) => formatState(row) === state));
    return `  ${state}: ${size}\n`;
  });
  if (parts.length === 1) return `Total: ${formatSize(rows)}, in state ${states[0]}.\n`;
  return `Total: ${formatSize(rows)}.\n${parts.join('')}`;
}

function formatSize(rows: readonly DroppedTable[]): string {
  const known = rows.flatMap(({ byteEstimate }) => byteEstimate ?? []);
  const tables = rows.length === 1 ? '1 table' : `${formatCount(rows.length)} tables`;
  const unknown = rows.length - known.length;
  if (known.length === 0) return `${tables} of unknown size`;
  const bytes = formatBytes(known.reduce((sum, one) => sum + one, 0));
  return unknown === 0
    ? `${tables}, ${bytes}`
    : `${tables}, ${bytes} without ${formatCount(unknown)} of unknown size`;
}

/** The state for people. */
export function formatState({ torn, state }: Pick<Line, 'torn' | 'state'>): string | null {
  return torn === true ? 'TORN' : (state ?? null);
}

/** A note that doesn't fit in the list; empty for nearly all tables. */
function formatNote(row: ListedTable, uses: AllUses): string {
  const name = formatName(row.origin);
  const used = uses.get(row.id);
  if (used !== undefined) return `${name} is still used: ${formatUses(used)}.\n`;
  if (row.torn) return `${name} is torn: ${HOW_TO_MEND}.\n`;
  if (!row.unseen) return '';
  const held = printable(`${row.holdSchema}.${row.holdName}`);
  return `${name} is held as ${held}, which this account cannot see.\n`;
}

function formatUses({ count, lastAt, who }: Uses): string {
  const statements = count === 1 ? '1 statement has' : `${formatCount(count)} statements have`;
  return `${statements} failed, the last at ${formatTime(lastAt)} UTC by ${printable(who)}`;
}

/** How to repair a table if the server was killed during its RENAME. */
export const HOW_TO_MEND =
  'some of its partitions have the hold name; docs/what-if.md describes the repair';

/** The number of digits that distinguishes all ids, so that users can type what is shown. */
function uniqueDigits(ids: readonly string[]): number {
  for (let digits = ID_DIGITS_MIN; digits < 32; digits += 1) {
    if (new Set(ids.map((id) => id.slice(0, digits))).size === ids.length) return digits;
  }
  return 32;
}

/** The due time; PURGE and DROP have none. For a table that is no longer held: the end. */
export function formatUntil({ endedAt, state, due, torn }: Line): string {
  if (due === undefined) return formatTime(endedAt ?? null);
  if (torn || (state !== 'HOLD' && state !== 'EVAC')) return '-';
  return state === 'HOLD' && isPinned(due) ? 'pinned' : formatTime(due);
}

export function formatName(name: QualifiedTable | null): string {
  return name === null ? '(not in the ledger)' : printable(`${name.schema}.${name.table}`);
}

/** The time to the second. */
export function formatTime(time: Date | null): string {
  return time === null ? NOT_KNOWN : utcText(time);
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
    endedAt: row?.endedAt ?? null,
    restoredAs: row?.restoredAs ?? null,
    engine: row?.engine ?? null,
    foreignKeys: keysOut,
    keysToIt: keysIn,
    triggers: triggers.map(({ name, event, definer }) => ({ name, event, definer })),
    checks,
    todo: row?.failure?.todo ?? null,
    failure: row?.failure?.text ?? null,
    restoreScript: script,
    sameDrop: sameDrop.map(({ id }) => id),
    others: others.map(({ id }) => id),
  };
}

type Facts = ReturnType<typeof factsOf>;

/** The lines of `show`, and the keys that it has in JSON beside those of the list. */
const SHOWN: readonly Field<Facts>[] = [
  { title: 'id', text: ({ id }) => id },
  { title: 'table', text: ({ origin }) => formatName(origin) },
  { title: 'how', text: ({ how }) => how ?? NOT_KNOWN },
  {
    key: 'statement',
    title: 'statement',
    text: ({ statement }) => statement?.replaceAll(/\s+/g, ' ') ?? NOT_KNOWN,
  },
  { title: 'drop id', text: ({ groupId }) => groupId ?? NOT_KNOWN },
  { title: 'dropped', text: ({ droppedAt }) => `${formatTime(droppedAt)} UTC` },
  {
    title: 'by',
    text: ({ user, clientAddress: from }) =>
      user === null ? NOT_KNOWN : `${user}${from === null ? '' : ` from ${from}`}`,
  },
  { title: 'state', text: (facts) => formatState(facts) ?? NOT_KNOWN },
  { title: 'until', text: formatUntil },
  {
    title: 'held as',
    text: ({ holdSchema, holdName }) => (holdName ? `${holdSchema}.${holdName}` : null),
  },
  { key: 'restoredAs', title: 'restored as', text: ({ restoredAs }) => restoredAs },
  { key: 'engine', title: 'engine', text: ({ engine }) => engine },
  {
    title: 'rows',
    text: ({ rowEstimate: rows }) => (rows ? `about ${formatCount(rows)}` : NOT_KNOWN),
  },
  { title: 'size', text: ({ byteEstimate }) => formatBytes(byteEstimate) },
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
    printCard(SHOWN, factsOf(shown)),
    ...sameDrop.map((other) => `Dropped with it: ${formatName(other.origin)} (${other.id})\n`),
    ...others.map(({ id }) => `Also held under that name: ${id}\n`),
  ].join('');
}

export function shownJson(shown: ShownTable, rows: HeldRows | null): object {
  const facts = factsOf(shown);
  return { ...printJson(LIST, facts), ...printJson(SHOWN, facts), ...rows };
}

/** A cut text ends in `…`; NULL is `NULL`. */
export function formatHeldRows({ columns, rows }: HeldRows): string {
  if (rows.length === 0) return 'It has no rows.\n';
  const fields = columns.map((title, at): Field<HeldRows['rows'][number]> => {
    return { title, text: (row) => row[at] ?? 'NULL' };
  });
  return printTable(fields, rows);
}
