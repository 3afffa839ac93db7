/**
 * The screen of `undrop list`: a line for each statement that dropped or each table, fitted into
 * the width of a terminal. Pure.
 *
 * Invariant: the shown digits of an id tell it from all others on the screen.
 */
import { utcText } from '../../duration.js';
import type { DroppedDefinition } from '../../ledger/definitions.js';
import type { Uses } from '../../ledger/history.js';
import type { DroppedSchema } from '../../ledger/schema-restores.js';
import { isPinned, isRecycleSchema } from '../../names/names.js';
import * as printer from '../../printer.js';
import { type DroppedTable, type EndedTable, originOf } from '../held-tables.js';
import type { ListedDrop } from '../list.js';
import { formatName, formatState, formatUses, HOW_TO_MEND } from './print-held.js';

export interface ListView {
  /** By the server's clock. */
  readonly now: Date;
  /** The width of the terminal; null: it isn't one, so times are in UTC and nothing is cut. */
  readonly columns: number | null;
  /** By id: statements that have failed because they use a held table. */
  readonly uses?: ReadonlyMap<string, Uses>;
}

interface Line {
  readonly id: string;
  readonly dropped: string;
  readonly user: string;
  readonly what: string;
  /** The number of tables, if they are several. */
  readonly count: string;
  readonly size: string;
  readonly until: string;
  readonly notes: readonly string[];
}

const ID_DIGITS_MIN = 6;
const USER_CHARACTERS_MAX = 12;
const WHAT_CHARACTERS_MIN = 16;
const DAY_MS = 86_400_000;

/** An aligned table, and notes on single tables; empty without lines. */
export function formatList(drops: readonly ListedDrop[], view: ListView): string {
  if (drops.length === 0) return '';
  const digits = uniqueDigits(drops.map(idOf));
  const lines = drops.map((drop) => asLine(drop, view, digits));
  const notes = drops.map((drop) => ('holdName' in drop ? formatNote(drop, view) : ''));
  return [printFitted(lines, view.columns), ...notes].join('');
}

/** `bytes`: the sum of the known sizes. */
type ListedSize = Readonly<typeof NOTHING_LISTED>;

export const NOTHING_LISTED = { tables: 0, bytes: 0, unknown: 0 };

/** Added to `before`. */
export function sizeOf(drops: readonly ListedDrop[], before: ListedSize = NOTHING_LISTED) {
  return drops.reduce((sum, drop) => {
    const bytes = bytesOf(drop);
    const { tables, unknown } =
      'tables' in drop ? drop : { tables: 1, unknown: bytes === null ? 1 : 0 };
    return {
      tables: sum.tables + tables,
      bytes: sum.bytes + (bytes ?? 0),
      unknown: sum.unknown + unknown,
    };
  }, before);
}

/** Null: not known. */
function bytesOf(drop: ListedDrop): number | null {
  return 'tables' in drop ? drop.bytes : drop.byteEstimate;
}

/** How many, and how large, in words. */
export function formatSize({ tables: count, bytes, unknown }: ListedSize): string {
  const tables = count === 1 ? '1 table' : `${printer.formatCount(count)} tables`;
  if (unknown === count) return `${tables} of unknown size`;
  const known = `${tables}, ${printer.formatBytes(bytes)}`;
  return unknown === 0 ? known : `${known} without ${printer.formatCount(unknown)} of unknown size`;
}

/** For a line of several tables that of the statement. */
function idOf(drop: ListedDrop): string {
  return 'tables' in drop ? drop.dropId : drop.id;
}

function asLine(drop: ListedDrop, view: ListView, digits: number): Line {
  const isSeveral = 'tables' in drop;
  const bytes = bytesOf(drop);
  const unknown = view.columns === null ? printer.NOT_KNOWN : '?';
  return {
    id: idOf(drop).slice(-digits),
    dropped: drop.droppedAt === null ? unknown : timeIn(view, drop.droppedAt),
    user: drop.user ?? unknown,
    what: isSeveral ? whatOf(drop) : [drop.how ?? [], formatName(drop.origin)].flat().join(' '),
    count: isSeveral ? `, ${printer.formatCount(drop.tables)} tables` : '',
    size: bytes === null ? unknown : printer.formatBytes(bytes),
    ...(isSeveral ? endOfSeveral(drop, view) : endOf(drop, view)),
  };
}

type Several = Extract<ListedDrop, { readonly tables: number }>;

function whatOf({ how, schema }: Several): string {
  if (schema === null) return how ?? printer.NOT_KNOWN;
  return how === 'DROP DATABASE' ? `${how} ${schema}` : [how ?? [], 'in', schema].flat().join(' ');
}

function endOf(table: DroppedTable | EndedTable, view: ListView): Pick<Line, 'until' | 'notes'> {
  if (!('due' in table)) {
    const until = table.endedAt === null ? printer.NOT_KNOWN : timeIn(view, table.endedAt);
    return { until, notes: [table.state] };
  }
  const { state, due, torn, holdSchema, purgedBy = null } = table;
  const place = isRecycleSchema(holdSchema) ? [] : ['in place'];
  const used = view.uses?.has(table.id) ? ['in use'] : [];
  if (torn === true || state !== 'HOLD') {
    const end = state === 'EVAC' ? due : purgedBy;
    const until = end === null ? '-' : timeIn(view, end);
    return { until, notes: [formatState(table) ?? state, ...rowsLeft(table), ...place, ...used] };
  }
  const { lockedUntil } = table;
  const locked = lockedUntil !== null && lockedUntil > view.now ? ['locked'] : [];
  if (isPinned(due)) return { until: 'pinned', notes: [...locked, ...place, ...used] };
  return { until: timeIn(view, due), notes: [...soon(due, view), ...locked, ...place, ...used] };
}

/** In a PURGE; short, because a screen has few columns left for it. */
function rowsLeft({ purgedBy, rowEstimate: rows }: DroppedTable): readonly string[] {
  if (purgedBy === undefined || rows === null) return [];
  if (rows < 10_000) return [`${printer.formatCount(rows)} left`];
  return [rows < 1e6 ? `${Math.round(rows / 1e3)}k left` : `${(rows / 1e6).toFixed(1)}M left`];
}

function endOfSeveral(drop: Several, view: ListView): Pick<Line, 'until' | 'notes'> {
  const { until, pinned, inPlace, ending, unsettled, tables } = drop;
  const part = (count: number, what: string) => {
    if (count === 0) return [];
    return [count === tables ? what : `${printer.formatCount(count)} ${what}`];
  };
  const notes = [
    ...(until === null ? [] : [...soon(until, view), ...part(pinned, 'pinned')]),
    ...part(ending, 'ending'),
    ...part(inPlace, 'in place'),
    ...part(unsettled, 'unsettled'),
  ];
  const end = pinned > 0 ? 'pinned' : '-';
  return { until: until === null ? end : timeIn(view, until), notes };
}

function soon(until: Date, { now }: ListView): readonly string[] {
  return until.getTime() - now.getTime() < DAY_MS ? ['soon'] : [];
}

// ── the columns ──────────────────────────────────────────────────────────────────────────────────

/** The columns that say something; on a terminal made narrower until they fit. */
function printFitted(lines: readonly Line[], columns: number | null): string {
  const fields = fieldsFor(lines, columns !== null);
  const all = printer.printTable(fields, lines);
  if (columns === null || overOf(all, columns) <= 0) return all;
  const short = lines.map((line) => ({
    ...line,
    user: cut(line.user, USER_CHARACTERS_MAX),
    what: line.what.replace(/^DROP /, ''),
  }));
  const over = overOf(printer.printTable(fields, short), columns);
  const widest = Math.max(...short.map(({ what, count }) => what.length + count.length));
  const width = Math.max(widest - over, WHAT_CHARACTERS_MIN);
  const fitted = short.map((line) => ({
    ...line,
    what: cut(line.what, width - line.count.length),
  }));
  return printer.printTable(fields, fitted);
}

function overOf(text: string, columns: number): number {
  return Math.max(...text.split('\n').map(({ length }) => length)) - columns;
}

function fieldsFor(lines: readonly Line[], isTerminal: boolean): readonly printer.Field<Line>[] {
  const zone = isTerminal ? '' : ' (UTC)';
  return [
    { title: 'ID', text: ({ id }) => id },
    { title: `DROPPED${zone}`, text: ({ dropped }) => dropped },
    { title: 'BY', text: ({ user }) => user },
    { title: 'WHAT', text: ({ what, count }) => what + count },
    { title: 'SIZE', text: ({ size }) => size, isNumber: true },
    { title: `UNTIL${zone}`, text: ({ until }) => until },
    ...(lines.some(({ notes }) => notes.length > 0) ? [NOTES] : []),
  ];
}

const NOTES: printer.Field<Line> = { title: 'NOTE', text: ({ notes }) => notes.join(', ') };

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

/** The number of last digits that distinguishes all ids; the first ones are a time. */
export function uniqueDigits(ids: readonly string[]): number {
  for (let digits = ID_DIGITS_MIN; digits < 32; digits += 1) {
    if (new Set(ids.map((id) => id.slice(-digits))).size === ids.length) return digits;
  }
  return 32;
}

/** On a terminal from now on, elsewhere in UTC. */
function timeIn({ now, columns }: ListView, time: Date): string {
  if (columns === null) return utcText(time);
  const ms = time.getTime() - now.getTime();
  const far = Math.abs(ms);
  if (far < 60_000) return 'now';
  if (far >= 60 * DAY_MS) return utcText(time).slice(0, 10);
  const [unitMs, unit] =
    far < 3_600_000 ? [60_000, 'min'] : far < 2 * DAY_MS ? [3_600_000, 'h'] : [DAY_MS, 'days'];
  const long = `${Math.floor(far / unitMs)} ${unit}`;
  return ms < 0 ? `${long} ago` : `in ${long}`;
}

/** A note that doesn't fit in the list; empty for nearly all tables. */
function formatNote(table: DroppedTable, { uses }: ListView): string {
  const name = formatName(table.origin);
  const used = uses?.get(table.id);
  if (used !== undefined) return `${name} is still used: ${formatUses(used)}.\n`;
  if (table.torn) return `${name} is torn: ${HOW_TO_MEND}.\n`;
  if (!table.unseen) return '';
  const held = printer.printable(`${table.holdSchema}.${table.holdName}`);
  return `${name} is held as ${held}, which this account cannot see.\n`;
}

// ── the columns of SHOW DROPPED TABLES, and of SHOW DROPPED DATABASES ──────────────────────────

/** The titles are the names of the columns; times are in UTC. */
export const TABLE_COLUMNS: readonly printer.Field<DroppedTable>[] = [
  { key: 'id', title: 'Id' },
  { key: 'dropId', title: 'Drop_id' },
  { title: 'Schema', json: (table) => originOf(table).schema },
  { title: 'Table', json: (table) => originOf(table).table },
  { key: 'how', title: 'How' },
  { key: 'droppedAt', title: 'Dropped_at' },
  { key: 'user', title: 'User' },
  { key: 'clientAddress', title: 'Client' },
  { key: 'program', title: 'Program' },
  { key: 'rowEstimate', title: 'Rows', isNumber: true },
  { key: 'byteEstimate', title: 'Bytes', isNumber: true },
  { title: 'State', json: stateOf },
  { title: 'Expires_at', json: expiryOf },
  { title: 'Next', json: nextOf },
  { key: 'statement', title: 'Statement' },
];
const SHORT = new Set(['Id', 'Schema', 'Table', 'Dropped_at', 'User', 'Expires_at']);
/** Without FULL. */
export const SHORT_COLUMNS = TABLE_COLUMNS.filter(({ title = '' }) => SHORT.has(title));

export const SCHEMA_COLUMNS: readonly printer.Field<DroppedSchema>[] = [
  { key: 'dropId', title: 'Drop_id' },
  { key: 'schema', title: 'Schema' },
  { key: 'droppedAt', title: 'Dropped_at' },
  { key: 'user', title: 'User' },
  { key: 'tables', title: 'Tables', isNumber: true },
  { key: 'held', title: 'Held', isNumber: true },
];

export const OBJECT_COLUMNS: readonly printer.Field<DroppedDefinition>[] = [
  { title: 'Id', json: ({ id }) => id },
  { title: 'Kind', json: ({ part }) => part.kind },
  { title: 'Schema', json: ({ schema }) => schema },
  { title: 'Name', json: ({ part }) => part.name },
  { title: 'Dropped_at', json: ({ droppedAt }) => droppedAt },
  { title: 'User', json: ({ user }) => user },
  { title: 'Expires_at', json: ({ until }) => until },
];

export function stateOf({ torn, state }: DroppedTable): string {
  return torn === true ? 'TORN' : state;
}

/** Null: it is pinned, or its hold is over. */
export function expiryOf({ state, due }: DroppedTable): Date | null {
  return state === 'HOLD' && !isPinned(due) ? due : null;
}

export function nextOf({ state, due, torn, unseen, purgedBy = null }: DroppedTable): string {
  if (torn === true) return 'torn: an operator has to repair it';
  if (unseen === true) return 'a privilege is missing, see undrop doctor';
  switch (state) {
    case 'HOLD':
      return isPinned(due) ? 'nothing, it is pinned' : `removed from ${utcText(due)} on`;
    case 'PURGE':
      return purgedBy === null
        ? 'its rows are being deleted'
        : `its rows are being deleted until about ${utcText(purgedBy)}`;
    case 'EVAC':
      return `DROP at ${utcText(due)}`;
    case 'DROP':
      return 'DROP at the next check';
  }
}
