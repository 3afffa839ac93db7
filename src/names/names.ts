/**
 * The rules of names: how servers fold their case, which name stands for a partition, the barrier
 * table of a DROP DATABASE, the schemas of undrop, and the name of a held table. Pure.
 */
import { assert } from '../assert.js';

/**
 * Whether two names may be one: servers that fold the case of schemas and tables do so wherever
 * they compare them.
 */
export function isSameName(one: string, other: string): boolean {
  return foldName(one) === foldName(other);
}

/** https://dev.mysql.com/doc/refman/9.7/en/identifier-length.html */
export const NAME_CHARACTERS_MAX = 64;

/** If it would be too long, the table's name is cut, then that of the partition. */
export function partitionTable(table: string, partition: string): string {
  const suffix = Array.from(`#${partition}`).slice(0, NAME_CHARACTERS_MAX - 1);
  const prefix = Array.from(table).slice(0, NAME_CHARACTERS_MAX - suffix.length);
  // No name of a table may end in a blank.
  return [...prefix, ...suffix].join('').trimEnd();
}

/** The comment of the table that a DROP DATABASE waits for (drop-database/barrier.ts). */
export const BARRIER_TABLE_COMMENT = 'undrop: a DROP DATABASE is under way';

export interface BarrierTable {
  /** The id of the DROP DATABASE. */
  readonly groupId: string;
  /** It was made with sql_log_bin on. */
  readonly logged: boolean;
}

/** The name sorts before others, because the server has to come to this table first. */
export function barrierTableName({ groupId, logged }: BarrierTable): string {
  return `!undrop_${groupId}${logged ? '_logged' : ''}`;
}

/** When it is due as a held table, once its drop is over: no user's table is. */
export const RETIRED_BARRIER_DUE = new Date(0);

/** Whether a held table is such a barrier on its way out, and no user's. */
export function isRetiredBarrier({ state, due }: Pick<HoldName, 'state' | 'due'>): boolean {
  return state === 'DROP' && due.getTime() === RETIRED_BARRIER_DUE.getTime();
}

/** Null if it is no such name. */
export function parseBarrierTable(name: string): BarrierTable | null {
  const match = /^!undrop_([0-9a-f]{32})(_logged)?$/i.exec(name);
  const groupId = match?.[1]?.toLowerCase();
  if (groupId === undefined || !isHoldId(groupId)) return null;
  return { groupId, logged: match?.[2] !== undefined };
}

/**
 * A schema's or table's name in lower case, as servers fold it if lower_case_table_names isn't 0:
 * letter by letter, by utf8_general_ci. JavaScript's `toLowerCase` has a sigma of its own for the
 * end of a word, and two characters for a capital I with a dot.
 */
export function foldName(name: string): string {
  return Array.from(name, (letter) => (letter === 'İ' ? 'i' : letter.toLowerCase())).join('');
}

/** `items` in their order, in parts of `size`; the last part may be smaller. */
export function inBatches<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}

// ── schemas of undrop ────────────────────────────────────────────────────────────────────────────
// The schemas that undrop owns. The first holds the dropped tables and the ledger; the local one
// what was dropped with sql_log_bin off, as replicas don't have it and a logged statement that
// names it would stop their replication. Beside each are spare ones: the name of a CHECK is unique
// in its schema on MySQL, so two tables with a CHECK of one name need two schemas.

export const RECYCLE_SCHEMA = '_undrop';
export const RECYCLE_SCHEMA_LOCAL = '_undrop_local';

/** How many tables can be held with a CHECK of one name; the next are held without theirs. */
const SCHEMAS_MAX = 32;

/** Where a dropped table goes: `logged` is whether the user's session wrote to the binary log. */
export function recycleSchemaFor(logged: boolean): string {
  return logged ? RECYCLE_SCHEMA : RECYCLE_SCHEMA_LOCAL;
}

/** Where a table goes if the first can't take it: `_undrop_2`, `_undrop_3` …, in this order. */
export function spareSchemasFor(logged: boolean): readonly string[] {
  const first = recycleSchemaFor(logged);
  return Array.from({ length: SCHEMAS_MAX - 1 }, (_, index) => `${first}_${index + 2}`);
}

const LOGGED: ReadonlySet<string> = new Set([RECYCLE_SCHEMA, ...spareSchemasFor(true)]);
const LOCAL: ReadonlySet<string> = new Set([RECYCLE_SCHEMA_LOCAL, ...spareSchemasFor(false)]);

/** Whether held tables are moved to it; the name as the server stores it. */
export function isRecycleSchema(schema: string): boolean {
  return LOGGED.has(schema) || LOCAL.has(schema);
}

/** The server's own schemas. */
export const SERVER_SCHEMAS = ['mysql', 'sys', 'information_schema', 'performance_schema'];

/** Neither the server's own, nor undrop's. */
export function isUserSchema(schema: string): boolean {
  const name = schema.toLowerCase();
  return !SERVER_SCHEMAS.includes(name) && !name.startsWith('_undrop');
}

/** Whether replicas don't have it. */
export function isLocalSchema(schema: string): boolean {
  return LOCAL.has(schema);
}

// ── hold names ───────────────────────────────────────────────────────────────────────────────────
// The name of a held table, `_vt_<STATE>_<id>_<due>`, is all that the lifecycle needs to know of
// it. The id is a UUIDv7 without dashes: ids sort by the time of the drop, and name the ledger
// row.
// https://vitess.io/docs/reference/vreplication/table-lifecycle/ has the words.
//
// Invariant: only a name that matches the strict pattern is ever collected; a user's table is
// never mistaken for one of ours, so a due time that is no calendar date does not match.

/**
 * HOLD: renamed away, untouched, restorable. PURGE: rows are being removed. EVAC: waits for its
 * pages to leave the buffer pool. DROP: to be removed at the next look.
 */
export type TableState = 'HOLD' | 'PURGE' | 'EVAC' | 'DROP';

/** What a hold name says. */
export interface HoldName {
  readonly state: TableState;
  /** 32 lower-case hex digits. */
  readonly id: string;
  /** UTC, whole seconds, by the server's clock: the state does not end before. */
  readonly due: Date;
}

/** The due time of what is pinned: the last that a name can say. */
export const PINNED_UNTIL = new Date('9999-12-31T23:59:59Z');

/** Whether a table that is due then is held for good. */
export function isPinned(due: Date): boolean {
  return due.getTime() >= PINNED_UNTIL.getTime();
}

/** Until when a hold name says that its state lasts, for the audit; null: it isn't one. */
export function shownDue(name: string): string | null {
  const due = parseHoldName(name)?.due ?? null;
  if (due === null) return null;
  return isPinned(due) ? 'pinned' : due.toISOString();
}

/** Without regard to case: lower_case_table_names=1 stores lower case. */
const LONG = /^_vt_(hold|purge|evac|drop)_([0-9a-f]{32})_([0-9]{14})$/i;
/** The newer form of vitess. */
const SHORT = /^_vt_(hld|prg|evc|drp)_([0-9a-f]{32})_([0-9]{14})_$/i;

const STATES: Readonly<Record<string, TableState>> = {
  hold: 'HOLD',
  purge: 'PURGE',
  evac: 'EVAC',
  drop: 'DROP',
  hld: 'HOLD',
  prg: 'PURGE',
  evc: 'EVAC',
  drp: 'DROP',
};

/** The name for a table in that state. Fractions of a second in `due` are rounded up. */
export function formatHoldName({ state, id, due }: HoldName): string {
  const name = `_vt_${state}_${id}_${dueDigits(due)}`;
  assert(parseHoldName(name)?.id === id, `a formatted hold name parses: ${name}`);
  return name;
}

/** As names say it: later times are greater. Fractions of a second are rounded up. */
export function dueDigits(due: Date): string {
  const seconds = new Date(Math.ceil(due.getTime() / 1000) * 1000).toISOString();
  return seconds.replaceAll(/\D/g, '').slice(0, 14);
}

/** Null if it is no calendar date. */
export function parseDueDigits(digits: string): Date | null {
  const iso = digits.replace(/^(....)(..)(..)(..)(..)(..)$/, '$1-$2-$3T$4:$5:$6.000Z');
  const due = new Date(iso);
  // Date rolls 31 April over into May; what doesn't come back the same was no calendar date.
  return !Number.isNaN(due.getTime()) && due.toISOString() === iso ? due : null;
}

/** What `name` says, or null if it isn't the name of a held table. */
export function parseHoldName(name: string): HoldName | null {
  const match = LONG.exec(name) ?? SHORT.exec(name);
  if (match === null) return null;
  const [, word = '', id = '', digits = ''] = match;
  const state = STATES[word.toLowerCase()];
  const due = parseDueDigits(digits);
  return state === undefined || due === null ? null : { state, id: id.toLowerCase(), due };
}

/** 32 lower-case hex digits. */
const ID = /^[0-9a-f]{32}$/;
const TIME_MS_MAX = 2 ** 48 - 1;

/**
 * A new id. `nowMs`: milliseconds since the epoch; `random(n)` gives n random bytes
 * (`crypto.randomBytes`).
 */
export function newHoldId(nowMs: number, random: (bytes: number) => Uint8Array): string {
  assert(Number.isInteger(nowMs) && nowMs >= 0 && nowMs <= TIME_MS_MAX, 'an id has a 48 bit time');
  const tail = random(10);
  assert(tail.length === 10, 'ten random bytes for an id');
  const hex = Array.from(tail, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const time = nowMs.toString(16).padStart(12, '0');
  const variant = (8 + (Number.parseInt(hex.charAt(3), 16) & 3)).toString(16);
  return `${time}7${hex.slice(0, 3)}${variant}${hex.slice(4, 19)}`;
}

/** Whether `text` is an id: 32 lower-case hex digits. Older tables' ids need not be UUIDv7. */
export function isHoldId(text: string): boolean {
  return ID.test(text);
}

/**
 * The id of the empty ghost of a table that is emptied: that of its drop, but for the version in
 * it, so that nobody takes the one for the other, and recovery finds it.
 */
export function ghostIdOf(id: string): string {
  assert(isHoldId(id), 'a hold id has 32 lower-case hex digits');
  return `${id.slice(0, 12)}8${id.slice(13)}`;
}

/** The id of the drop, also for that of its ghost. */
export function dropIdOf(id: string): string {
  return ghostIdOf(id) === id ? `${id.slice(0, 12)}7${id.slice(13)}` : id;
}

/** Milliseconds since the epoch at which `id` was made; meaningless for an id that isn't ours. */
export function idTimeMs(id: string): number {
  assert(isHoldId(id), 'a hold id has 32 lower-case hex digits');
  return Number.parseInt(id.slice(0, 12), 16);
}
