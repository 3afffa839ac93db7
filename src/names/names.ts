/**
 * The rules of names: how servers fold case, the barrier table of a DROP DATABASE, the schemas of
 * undrop, and the name of a held table. Pure.
 */
import { assert } from '../errors.js';

/** A table's qualified name. */
export interface QualifiedTable {
  readonly schema: string;
  readonly table: string;
}

/** The possible schemas and tables of a qualified name: either may contain dots. */
export function placesOf(name: string): readonly QualifiedTable[] {
  return [...name.matchAll(/\./g)].map(({ index }) => {
    return { schema: name.slice(0, index), table: name.slice(index + 1) };
  });
}

/** `schema.table`, as in messages and in the ledger. */
export function writtenName({ schema, table }: QualifiedTable): string {
  return `${schema}.${table}`;
}

/** A key for sets of names. */
export function keyOf({ schema, table }: QualifiedTable): string {
  return JSON.stringify([schema, table]);
}

/**
 * Whether two names may be the same: servers that fold the case of schemas and tables do so
 * wherever they compare them.
 */
export function isSameName(one: string, other: string): boolean {
  return foldName(one) === foldName(other);
}

/** https://dev.mysql.com/doc/refman/9.7/en/identifier-length.html */
export const NAME_CHARACTERS_MAX = 64;

/** The comment of the table that a DROP DATABASE waits for (drop-database/barrier.ts). */
export const BARRIER_TABLE_COMMENT = 'undrop: a DROP DATABASE is under way';

export interface BarrierTable {
  /** The id of the DROP DATABASE. */
  readonly dropId: string;
  /** Created with sql_log_bin on. */
  readonly logged: boolean;
}

/** The name sorts before others, because the server has to reach this table first. */
export function barrierTableName({ dropId, logged }: BarrierTable): string {
  return `!undrop_${dropId}${logged ? '_logged' : ''}`;
}

/** The due time of a barrier table that is held after its drop; a user's table never has it. */
export const RETIRED_BARRIER_DUE = new Date(0);

/** Whether a held table is a retired barrier, and not a user's table. */
export function isRetiredBarrier({ state, due }: Pick<HoldName, 'state' | 'due'>): boolean {
  return state === 'DROP' && due.getTime() === RETIRED_BARRIER_DUE.getTime();
}

/** Null if `name` isn't that of a barrier table. */
export function parseBarrierTable(name: string): BarrierTable | null {
  const match = /^!undrop_([0-9a-f]{32})(_logged)?$/i.exec(name);
  const dropId = match?.[1]?.toLowerCase();
  if (dropId === undefined || !isHoldId(dropId)) return null;
  return { dropId, logged: match?.[2] !== undefined };
}

/**
 * The name of a schema or table in lower case, as servers fold it if lower_case_table_names isn't
 * 0: letter by letter, by utf8_general_ci. JavaScript's `toLowerCase` has a separate sigma for the
 * end of a word, and two characters for a capital I with a dot.
 */
export function foldName(name: string): string {
  return Array.from(name, (letter) => (letter === 'İ' ? 'i' : letter.toLowerCase())).join('');
}

/** `items` in order, in parts of `size`; the last part may be smaller. */
export function inBatches<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}

/** Items of one key together, in the order in which the keys come first. */
export function inGroups<T>(items: readonly T[], keyOf: (item: T) => string): readonly T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()];
}

// ── schemas of undrop ────────────────────────────────────────────────────────────────────────────
// The schemas that undrop owns. The first holds the dropped tables and the ledger; the local one
// holds tables dropped with sql_log_bin off, because replicas don't have it, and a logged statement
// that names it would stop their replication. Version 0.1 also held tables in numbered ones beside
// each, from 2 to 32, where the name of a CHECK was taken.

export const RECYCLE_SCHEMA = '_undrop';
export const RECYCLE_SCHEMA_LOCAL = '_undrop_local';

/** The schema for a dropped table; `logged`: whether the user's session wrote to the binary log. */
export function recycleSchemaFor(logged: boolean): string {
  return logged ? RECYCLE_SCHEMA : RECYCLE_SCHEMA_LOCAL;
}

/** Whether held tables are moved to `schema`, in the spelling of the server. */
export function isRecycleSchema(schema: string): boolean {
  return OWN_SCHEMA.test(schema);
}

const OWN_SCHEMA = /^_undrop(_local)?(_([2-9]|[12]\d|3[012]))?$/;

/** The server's own schemas. */
export const SERVER_SCHEMAS = ['mysql', 'sys', 'information_schema', 'performance_schema'];

/** Neither a schema of the server nor of undrop. */
export function isUserSchema(schema: string): boolean {
  const name = schema.toLowerCase();
  return !SERVER_SCHEMAS.includes(name) && !name.startsWith('_undrop');
}

/** Whether replicas lack the schema. */
export function isLocalSchema(schema: string): boolean {
  return isRecycleSchema(schema) && schema.startsWith(RECYCLE_SCHEMA_LOCAL);
}

// ── hold names ───────────────────────────────────────────────────────────────────────────────────
// The name of a held table, `_vt_<STATE>_<id>_<due>`, is all that the lifecycle needs. The id is a
// UUIDv7 without dashes: ids sort by the time of the drop, and identify the ledger row.
// https://vitess.io/docs/reference/vreplication/table-lifecycle/ defines the states.
//
// Invariant: only a name that matches the strict pattern is ever collected. A user's table must
// never match, so a due time that isn't a calendar date does not match.

/**
 * HOLD: renamed, unchanged, restorable. PURGE: rows are being deleted. EVAC: waits for its pages to
 * leave the buffer pool. DROP: removed at the next check.
 */
export type TableState = 'HOLD' | 'PURGE' | 'EVAC' | 'DROP';

/** The fields of a hold name. */
export interface HoldName {
  readonly state: TableState;
  /** 32 lower-case hex digits. */
  readonly id: string;
  /** UTC, whole seconds, by the server's clock: the state does not end before. */
  readonly due: Date;
}

/** The due time of pinned tables: the last that a name can have. */
export const PINNED_UNTIL = new Date('9999-12-31T23:59:59Z');

/** Whether a table with this due time is pinned. */
export function isPinned(due: Date): boolean {
  return due.getTime() >= PINNED_UNTIL.getTime();
}

/** The due time in a hold name, for the audit; null: it isn't a hold name. */
export function shownDue(name: string): string | null {
  const due = parseHoldName(name)?.due ?? null;
  if (due === null) return null;
  return isPinned(due) ? 'pinned' : due.toISOString();
}

/** Without regard to case: lower_case_table_names=1 stores lower case. */
const LONG = /^_vt_(hold|purge|evac|drop)_([0-9a-f]{32})_([0-9]{14})$/i;
/** The newer form of Vitess. */
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

/** The name of a table in that state. Fractions of a second in `due` are rounded up. */
export function formatHoldName({ state, id, due }: HoldName): string {
  const name = `_vt_${state}_${id}_${dueDigits(due)}`;
  assert(parseHoldName(name)?.id === id, `a formatted hold name parses: ${name}`);
  return name;
}

/** The form of hold names: later times are greater. Fractions of a second are rounded up. */
export function dueDigits(due: Date): string {
  const seconds = new Date(Math.ceil(due.getTime() / 1000) * 1000).toISOString();
  return seconds.replaceAll(/\D/g, '').slice(0, 14);
}

/** Null if `digits` aren't a calendar date. */
export function parseDueDigits(digits: string): Date | null {
  const iso = digits.replace(/^(....)(..)(..)(..)(..)(..)$/, '$1-$2-$3T$4:$5:$6.000Z');
  const due = new Date(iso);
  // Date turns 31 April into 1 May; a date that comes back changed wasn't a calendar date.
  return !Number.isNaN(due.getTime()) && due.toISOString() === iso ? due : null;
}

/** Null if `name` isn't the name of a held table. */
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
 * A new id. `nowMs`: milliseconds since the epoch; `random(n)` returns n random bytes
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
 * The id of the ghost table of a TRUNCATE: that of its drop but for the UUID version, so that
 * neither can be taken for the other, and recovery finds it.
 */
export function ghostIdOf(id: string): string {
  assert(isHoldId(id), 'a hold id has 32 lower-case hex digits');
  return `${id.slice(0, 12)}8${id.slice(13)}`;
}

/** The id of the drop, given that or the id of its ghost table. */
export function dropIdOf(id: string): string {
  return ghostIdOf(id) === id ? `${id.slice(0, 12)}7${id.slice(13)}` : id;
}

/** Its last digits, for people: enough to tell it from others. */
export function shortId(id: string): string {
  return id.slice(-SHORT_DIGITS);
}

const SHORT_DIGITS = 8;

/** The milliseconds since the epoch in `id`; meaningless for an id that undrop didn't create. */
export function idTimeMs(id: string): number {
  assert(isHoldId(id), 'a hold id has 32 lower-case hex digits');
  return Number.parseInt(id.slice(0, 12), 16);
}
