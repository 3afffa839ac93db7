/**
 * Texts and JSON of held tables and of restores, as `undrop list` and `undrop restore` print them.
 * Pure. A text fits the width of the terminal and has no control characters: a name is whatever a
 * user made of it.
 */
import { isGhostId, isPinned } from '../names/hold-name.js';
import type { HeldTable, TableName } from './list.js';
import type { RestoreReport } from './run-restore.js';

const ID_DIGITS_MIN = 13;
const GAP = '  ';
/** What may be cut on a narrow terminal, and how far. */
const CUT_TO = { TABLE: 16, BY: 10 } as const;

interface Column {
  readonly title: string;
  readonly right?: boolean;
  readonly cells: readonly string[];
}

/** An aligned table that fits into `width` columns if it can; `null`: as wide as it is. */
export function formatHeldList(rows: readonly HeldTable[], width: number | null): string {
  if (rows.length === 0) return 'No table is held.\n';
  const digits = uniqueDigits(rows.map(({ id }) => id));
  const columns: readonly Column[] = [
    { title: 'ID', cells: rows.map(({ id }) => id.slice(0, digits)) },
    { title: 'TABLE', cells: rows.map(formatWhat) },
    { title: 'DROPPED (UTC)', cells: rows.map(({ droppedAt }) => formatTime(droppedAt)) },
    { title: 'BY', cells: rows.map(({ user }) => printable(user ?? '-')) },
    { title: 'STATE', cells: rows.map(formatState) },
    { title: 'UNTIL (UTC)', cells: rows.map(formatUntil) },
    { title: 'ROWS', right: true, cells: rows.map(({ rowEstimate }) => formatCount(rowEstimate)) },
    {
      title: 'SIZE',
      right: true,
      cells: rows.map(({ byteEstimate }) => formatBytes(byteEstimate)),
    },
  ];
  const notes = [...rows.flatMap(formatUnseen), ...rows.flatMap(formatTorn)];
  return [layOut(columns, width), ...notes].join('');
}

function formatUnseen(row: HeldTable): readonly string[] {
  if (!row.unseen) return [];
  const held = printable(`${row.holdSchema}.${row.holdName}`);
  return [`${formatName(row.origin)} is held as ${held}, which this account can't see.\n`];
}

function formatState(row: HeldTable): string {
  return row.torn ? 'TORN' : row.state;
}

function formatTorn(row: HeldTable): readonly string[] {
  return row.torn ? [`${formatName(row.origin)} is in pieces: ${HOW_TO_MEND}.\n`] : [];
}

/** For people: what to do about a table that the server was killed amid the RENAME of. */
export const HOW_TO_MEND =
  'some of its partitions have the hold name; docs/what-if.md says how to bring it together';

/** What was done, in one or a few lines. */
export function formatRestoreReport(report: RestoreReport): string {
  const { origin, restoredAs, droppedAt, user, rowEstimate, others } = report;
  const dropped = [
    ...(droppedAt === null ? [] : [formatTime(droppedAt)]),
    ...(user === null ? [] : [`by ${printable(user)}`]),
  ];
  const details = [
    ...(dropped.length === 0 ? [] : [`dropped ${dropped.join(' ')}`]),
    ...(rowEstimate === null
      ? []
      : [`about ${formatCount(rowEstimate)} ${rowEstimate === 1 ? 'row' : 'rows'}`]),
    ...(rowEstimate === null && origin !== null ? ['rows not counted'] : []),
  ];
  const what = origin === null ? report.id : formatName(origin);
  const isSameName = origin?.schema === restoredAs.schema && origin.table === restoredAs.table;
  const as = isSameName ? '' : ` as ${formatName(restoredAs)}`;
  const lines = [
    `${report.wasBack ? 'Finished what was begun: restored' : 'Restored'} ${what}${as}${details.length === 0 ? '' : ` (${details.join(', ')})`}.`,
    ...(report.recorded !== false ? [] : ['The ledger could not be told; recovery will notice.']),
    ...report.checks.flatMap((check) => formatPart('CHECK', check)),
    ...report.foreignKeys.flatMap(formatForeignKey),
    ...formatProblem('foreign keys', report.foreignKeysProblem),
    ...report.triggers.flatMap((trigger) => formatPart('Trigger', trigger)),
    ...formatProblem('triggers', report.triggersProblem),
    ...(others.length === 0 ? [] : ['Also held under that name; restore them by id:']),
    ...others.map(
      (other) => `  ${other.id}  ${other.state}  dropped ${formatTime(other.droppedAt)}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function formatProblem(what: string, problem: string | null): readonly string[] {
  return problem === null ? [] : [`Its ${what} could not be restored: ${printable(problem)}`];
}

/** Nothing if all is as it was. */
function formatForeignKey(key: RestoreReport['foreignKeys'][number]): readonly string[] {
  const what = printable(`Foreign key ${key.name} of ${key.table} to ${key.parent}`);
  if (key.problem !== null) return [`${what} is not there: ${printable(key.problem)}`];
  return key.isParentMissing
    ? [`${what} is there; no table has that name until it is restored or made.`]
    : [];
}

/** A CHECK or a trigger; nothing if it is as it was. */
function formatPart(
  kind: 'CHECK' | 'Trigger',
  { name, table, problem }: RestoreReport['checks' | 'triggers'][number],
): readonly string[] {
  if (problem === null) return [];
  return [printable(`${kind} ${name} of ${table} is not back as it was: ${problem}`)];
}

/** For `--json`: times in ISO 8601, UTC. */
export function heldListJson(rows: readonly HeldTable[]): readonly object[] {
  return rows.map((row) => ({
    id: row.id,
    state: formatState(row),
    schema: row.origin?.schema ?? null,
    table: row.origin?.table ?? null,
    droppedAt: row.droppedAt?.toISOString() ?? null,
    user: row.user,
    clientAddress: row.clientAddress,
    groupId: row.groupId,
    until: row.due.toISOString(),
    rowEstimate: row.rowEstimate,
    byteEstimate: row.byteEstimate,
    holdSchema: row.holdSchema,
    holdName: row.holdName,
    seen: row.unseen !== true,
  }));
}

/** For `--json`. */
export function restoreReportJson(report: RestoreReport): object {
  const { id, origin, restoredAs, droppedAt, user, rowEstimate, recorded } = report;
  return {
    id,
    schema: origin?.schema ?? null,
    table: origin?.table ?? null,
    restoredSchema: restoredAs.schema,
    restoredTable: restoredAs.table,
    droppedAt: droppedAt?.toISOString() ?? null,
    user,
    rowEstimate,
    recorded,
    wasBack: report.wasBack,
    checks: report.checks,
    foreignKeys: report.foreignKeys,
    foreignKeysProblem: report.foreignKeysProblem,
    triggers: report.triggers,
    triggersProblem: report.triggersProblem,
    others: heldListJson(report.others),
  };
}

function layOut(columns: readonly Column[], width: number | null): string {
  const widths = columns.map(({ title, cells }) =>
    Math.max(displayWidth(title), ...cells.map(displayWidth)),
  );
  const total = widths.reduce((sum, one) => sum + one + GAP.length, -GAP.length);
  let over = width === null ? 0 : Math.max(0, total - width);
  columns.forEach(({ title }, index) => {
    const least = title === 'TABLE' || title === 'BY' ? CUT_TO[title] : Number.POSITIVE_INFINITY;
    const saved = Math.min(over, Math.max(0, (widths[index] ?? 0) - least));
    widths[index] = (widths[index] ?? 0) - saved;
    over -= saved;
  });
  const line = (texts: readonly string[]) =>
    texts
      .map((text, index) => align(text, widths[index] ?? 0, columns[index]?.right === true))
      .join(GAP)
      .trimEnd();
  const lines = (columns[0]?.cells ?? []).map((_, row) =>
    line(columns.map(({ cells }) => cells[row] ?? '')),
  );
  return `${[line(columns.map(({ title }) => title)), ...lines].join('\n')}\n`;
}

function align(text: string, width: number, right: boolean): string {
  const shown = cut(text, width);
  const blanks = ' '.repeat(width - displayWidth(shown));
  return right ? blanks + shown : shown + blanks;
}

/** As many digits as tell all ids apart, so that what is shown can be typed. */
function uniqueDigits(ids: readonly string[]): number {
  for (let digits = ID_DIGITS_MIN; digits < 32; digits += 1) {
    if (new Set(ids.map((id) => id.slice(0, digits))).size === ids.length) return digits;
  }
  return 32;
}

function formatWhat({ origin, id }: HeldTable): string {
  if (origin === null && isGhostId(id)) return '(spare of a TRUNCATE)';
  return formatName(origin);
}

function formatName(name: TableName | null): string {
  return name === null ? '(not in the ledger)' : printable(`${name.schema}.${name.table}`);
}

/** To the second. */
function formatTime(time: Date | null): string {
  return time === null ? '-' : time.toISOString().slice(0, 19).replace('T', ' ');
}

/** PURGE and DROP wait for nothing. */
function formatUntil(row: HeldTable): string {
  const { state, due } = row;
  if (row.torn) return '-';
  if (state === 'HOLD' && isPinned(due)) return 'pinned';
  return state === 'HOLD' || state === 'EVAC' ? formatTime(due) : '-';
}

function formatCount(count: number | null): string {
  return count === null ? '-' : count.toLocaleString('en-US');
}

function formatBytes(bytes: number | null): string {
  if (bytes === null) return '-';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/;

/** Without what a terminal would take as a command: a name is whatever a user made of it. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?');
}

/** In columns. */
function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) width += widthOf(character);
  return width;
}

/** At most `width` columns; what is cut ends in `…`. */
export function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let kept = '';
  let left = width - 1;
  for (const character of text) {
    left -= widthOf(character);
    if (left < 0) break;
    kept += character;
  }
  return `${kept}…`;
}

function widthOf(character: string): number {
  return WIDE.test(character) || (character.codePointAt(0) ?? 0) >= 0x1f300 ? 2 : 1;
}
