/**
 * Texts and JSON of dropped tables and of restores, as `undrop list` and `undrop restore` print
 * them. Pure. A text has no control characters: a name is whatever a user made of it.
 *
 * Invariant: what isn't known is said so, in words; it has the sign of nothing else.
 */
import { utcText } from '../duration.js';
import type { BrokenKey } from '../held/foreign-keys/broken-rows.js';
import type { Uses } from '../ledger/history.js';
import { isPinned } from '../names/names.js';
import type { DroppedTable, EndedTable, ListedTable, QualifiedTable } from './list.js';
import type { RestoreReport } from './run-restore.js';
import type { RowCount } from './versions.js';

const ID_DIGITS_MIN = 13;
const LIST_TITLES = [
  ...['ID', 'TABLE', 'HOW', 'DROPPED (UTC)', 'BY', 'STATE', 'UNTIL (UTC)'],
  ...['ROWS', 'SIZE'],
];
export const NOT_KNOWN = 'not known';

/** By id: statements that have failed because they use a held table. */
export type AllUses = ReadonlyMap<string, Uses>;

/** An aligned table, the totals, and notes on single tables. */
export function formatHeldList(
  rows: readonly (ListedTable | EndedTable)[],
  uses: AllUses = new Map(),
): string {
  if (rows.length === 0) return 'No table is held.\n';
  const digits = uniqueDigits(rows.map(({ id }) => id));
  const cells = rows.map((row) => formatCells(row, digits));
  const numbers = { from: LIST_TITLES.indexOf('ROWS') };
  const notes = rows.map((row) => ('endedAt' in row ? '' : formatNote(row, uses)));
  return [formatTable([LIST_TITLES, ...cells], numbers), formatTotals(rows), ...notes].join('');
}

/** Lines of cells, in columns. Those from `from` on have numbers, which end at the right. */
export function formatTable(
  lines: readonly (readonly string[])[],
  { from }: { readonly from: number },
): string {
  const [first = []] = lines;
  const widths = first.map((_cell, at) => Math.max(...lines.map((cells) => widthOf(cells[at]))));
  const align = (cell: string, at: number) => {
    const width = widths[at] ?? 0;
    return at < from ? cell.padEnd(width) : cell.padStart(width);
  };
  return lines.map((cells) => `${cells.map(align).join('  ').trimEnd()}\n`).join('');
}

function widthOf(cell: string | undefined): number {
  return cell?.length ?? 0;
}

/** One for each title. */
function formatCells(row: ListedTable | EndedTable, digits: number): readonly string[] {
  return [
    row.id.slice(0, digits),
    formatName(row.origin),
    row.how ?? NOT_KNOWN,
    formatTime(row.droppedAt),
    printable(row.user ?? NOT_KNOWN),
    formatState(row),
    formatUntil(row),
    formatCount(row.rowEstimate),
    formatBytes(row.byteEstimate),
  ];
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

export function formatState(row: ListedTable | EndedTable): string {
  return 'torn' in row ? 'TORN' : row.state;
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

export function formatUses({ count, lastAt, who }: Uses): string {
  const statements = count === 1 ? '1 statement has' : `${formatCount(count)} statements have`;
  return `${statements} failed, the last at ${formatTime(lastAt)} UTC by ${printable(who)}`;
}

/** How to repair a table if the server was killed during its RENAME. */
export const HOW_TO_MEND =
  'some of its partitions have the hold name; docs/what-if.md describes the repair';

/** The result, in one or a few lines. */
export function formatRestoreReport(report: RestoreReport): string {
  const { others, larger } = report;
  const lines = [
    formatRestored(report),
    ...(typeof report.swapped === 'string'
      ? [`The table that had the name is held: ${report.swapped}.`]
      : []),
    ...(report.recorded !== false
      ? []
      : ['The ledger could not be updated; recovery will do that.']),
    ...report.checks.flatMap((check) => formatPart('CHECK', check)),
    ...report.foreignKeys.flatMap(formatForeignKey),
    ...formatProblem('foreign keys', report.foreignKeysProblem),
    ...report.triggers.flatMap((trigger) => formatPart('Trigger', trigger)),
    ...formatProblem('triggers', report.triggersProblem),
    ...formatToMake(report),
    ...report.brokenKeys.flatMap(formatBrokenKey),
    ...(larger === null
      ? []
      : [`${formatLarger(larger)}: undrop restore ${larger.table.id} --swap`]),
    ...(others.length === 0 ? [] : ['Also held under that name; restore them by id:']),
    ...others.map(
      (other) => `  ${other.id}  ${other.state}  dropped ${formatTime(other.droppedAt)}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/** For an administrator. */
function formatToMake({ triggersToMake: script }: RestoreReport): readonly string[] {
  if (script === null) return [];
  return [`An account with the privileges can create the missing triggers:\n${script}`];
}

/** The restored table, in a sentence. */
export function formatRestored(report: RestoreReport): string {
  const { origin, restoredAs } = report;
  const what = origin === null ? report.id : formatName(origin);
  const isSameName = origin?.schema === restoredAs.schema && origin.table === restoredAs.table;
  const as = isSameName ? '' : ` as ${formatName(restoredAs)}`;
  const done = report.wasBack ? 'Finished an interrupted restore: restored' : 'Restored';
  return `${done} ${what}${as}${formatDetails(report)}.`;
}

/** When, by whom and how it was dropped, and its number of rows, in parentheses. */
function formatDetails({ origin, droppedAt, how, user, count }: RestoreReport): string {
  const details: string[] = [];
  if (droppedAt !== null) {
    const by = user === null ? '' : ` by ${printable(user)}`;
    details.push(`dropped ${formatTime(droppedAt)} UTC${by}`);
  }
  if (how !== null) details.push(how);
  if (count !== null) details.push(formatRowCount(count));
  else if (origin !== null) details.push('rows not counted');
  return details.length === 0 ? '' : ` (${details.join(', ')})`;
}

/** The start of a sentence that goes on with how to restore that table. */
export function formatLarger({ table, count }: NonNullable<RestoreReport['larger']>): string {
  return `The one dropped ${formatTime(table.droppedAt)} UTC has ${formatRowCount(count)}`;
}

function formatRowCount({ rows, precision }: RowCount): string {
  const words = `${formatCount(rows)} ${rows === 1 ? 'row' : 'rows'}`;
  return precision === 'exact' ? words : `${precision} ${words}`;
}

function formatProblem(what: string, problem: string | null): readonly string[] {
  return problem === null ? [] : [`Its ${what} could not be restored: ${printable(problem)}`];
}

/** Nothing if the key is unchanged. */
function formatForeignKey(key: RestoreReport['foreignKeys'][number]): readonly string[] {
  const what = printable(`Foreign key ${key.name} of ${key.table} to ${key.parent}`);
  if (key.problem !== null) return [`${what} was not restored: ${printable(key.problem)}`];
  if (key.oldParent !== null) {
    return [printable(`${what} refers to another table than before; ${key.oldParent}.`)];
  }
  return key.isParentMissing
    ? [`${what} was restored; its parent table is missing until it is restored or created.`]
    : [];
}

function formatBrokenKey({ name, table, query, isSeen }: BrokenKey): readonly string[] {
  const what = isSeen ? 'Rows break' : 'Undrop did not check whether rows break';
  return [
    printable(`${what} foreign key ${name} of ${table}; this lists them:`),
    `  ${printable(query)}`,
  ];
}

/** A CHECK or a trigger; nothing if it is unchanged. */
function formatPart(
  kind: 'CHECK' | 'Trigger',
  { name, table, problem }: RestoreReport['checks' | 'triggers'][number],
): readonly string[] {
  if (problem === null) return [];
  return [printable(`${kind} ${name} of ${table} was not restored as it was: ${problem}`)];
}

/** The list for `--json`; times are in ISO 8601, UTC. */
export function heldListJson(
  rows: readonly (ListedTable | EndedTable)[],
  uses: AllUses = new Map(),
): readonly object[] {
  return rows.map((row) => ({
    ...droppedJson(row),
    usedWhileHeld: uses.get(row.id)?.count ?? 0,
    state: formatState(row),
    ...('endedAt' in row ? endedJson(row) : heldJson(row)),
  }));
}

export function droppedJson({ origin, droppedAt, ...row }: DroppedTable): object {
  return {
    id: row.id,
    schema: origin?.schema ?? null,
    table: origin?.table ?? null,
    how: row.how,
    droppedAt: droppedAt?.toISOString() ?? null,
    user: row.user,
    clientAddress: row.clientAddress,
    groupId: row.groupId,
    rowEstimate: row.rowEstimate,
    byteEstimate: row.byteEstimate,
  };
}

export function heldJson({ due, holdSchema, holdName, unseen }: ListedTable): object {
  return { until: due.toISOString(), holdSchema, holdName, seen: unseen !== true };
}

function endedJson({ endedAt, restoredAs }: EndedTable): object {
  return { endedAt: endedAt?.toISOString() ?? null, restoredAs };
}

/** The report for `--json`. */
export function restoreReportJson(report: RestoreReport): object {
  const { id, origin, restoredAs, others, larger, isToCome: _now, ...rest } = report;
  return {
    id,
    schema: origin?.schema ?? null,
    table: origin?.table ?? null,
    restoredSchema: restoredAs.schema,
    restoredTable: restoredAs.table,
    ...rest,
    droppedAt: rest.droppedAt?.toISOString() ?? null,
    others: heldListJson(others),
    larger: larger === null ? null : { id: larger.table.id, ...larger.count },
  };
}

/** The number of digits that distinguishes all ids, so that users can type what is shown. */
function uniqueDigits(ids: readonly string[]): number {
  for (let digits = ID_DIGITS_MIN; digits < 32; digits += 1) {
    if (new Set(ids.map((id) => id.slice(0, digits))).size === ids.length) return digits;
  }
  return 32;
}

export function formatName(name: QualifiedTable | null): string {
  return name === null ? '(not in the ledger)' : printable(`${name.schema}.${name.table}`);
}

/** The time to the second. */
export function formatTime(time: Date | null): string {
  return time === null ? NOT_KNOWN : utcText(time);
}

/** PURGE and DROP have no waiting time. */
export function formatUntil(row: ListedTable | EndedTable): string {
  if ('endedAt' in row) return formatTime(row.endedAt);
  const { state, due } = row;
  if (row.torn) return '-';
  if (state === 'HOLD' && isPinned(due)) return 'pinned';
  return state === 'HOLD' || state === 'EVAC' ? formatTime(due) : '-';
}

export function formatCount(count: number | null): string {
  return count === null ? NOT_KNOWN : count.toLocaleString('en-US');
}

export function formatBytes(bytes: number | null): string {
  if (bytes === null) return NOT_KNOWN;
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Removes what a terminal would take as a command, because a name may contain anything. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?');
}
