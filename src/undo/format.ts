/**
 * Texts and JSON of held tables and of restores, as `undrop list` and `undrop restore` print them.
 * Pure. A text has no control characters: a name is whatever a user made of it.
 */
import { isGhostId, isPinned } from '../names/hold-name.js';
import type { HeldTable, TableName } from './list.js';
import type { RestoreReport } from './run-restore.js';

const ID_DIGITS_MIN = 13;
const GAP = '  ';

interface Column {
  readonly title: string;
  readonly right?: boolean;
  readonly cells: readonly string[];
}

/** An aligned table, and what is to be said of single ones. */
export function formatHeldList(rows: readonly HeldTable[]): string {
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
  return [layOut(columns), ...notes].join('');
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
  const { origin, restoredAs, others } = report;
  const what = origin === null ? report.id : formatName(origin);
  const isSameName = origin?.schema === restoredAs.schema && origin.table === restoredAs.table;
  const as = isSameName ? '' : ` as ${formatName(restoredAs)}`;
  const done = report.wasBack ? 'Finished what was begun: restored' : 'Restored';
  const lines = [
    `${done} ${what}${as}${formatDetails(report)}.`,
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

/** When and by whom it was dropped, and how many rows it has, in parentheses. */
function formatDetails({ origin, droppedAt, user, rowEstimate }: RestoreReport): string {
  const details: string[] = [];
  if (droppedAt !== null) {
    const by = user === null ? '' : ` by ${printable(user)}`;
    details.push(`dropped ${formatTime(droppedAt)}${by}`);
  }
  const rows = rowEstimate === 1 ? 'row' : 'rows';
  if (rowEstimate !== null) details.push(`about ${formatCount(rowEstimate)} ${rows}`);
  else if (origin !== null) details.push('rows not counted');
  return details.length === 0 ? '' : ` (${details.join(', ')})`;
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

function layOut(columns: readonly Column[]): string {
  const aligned = columns.map(({ title, cells, right }) => {
    const all = [title, ...cells];
    const width = Math.max(...all.map(displayWidth));
    return all.map((cell) => {
      const blanks = ' '.repeat(width - displayWidth(cell));
      return right === true ? blanks + cell : cell + blanks;
    });
  });
  const [first = []] = aligned;
  const lines = first.map((_, at) =>
    aligned
      .map((cells) => cells[at])
      .join(GAP)
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
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

/** In columns of a terminal. */
function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    width += WIDE.test(character) || (character.codePointAt(0) ?? 0) >= 0x1f300 ? 2 : 1;
  }
  return width;
}
