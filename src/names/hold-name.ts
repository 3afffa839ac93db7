/**
 * The name of a held table, `_vt_<STATE>_<id>_<due>`, is all that the lifecycle needs to know of
 * it. The id is a UUIDv7 without dashes: ids sort by the time of the drop, and name the ledger
 * row.
 * https://vitess.io/docs/reference/vreplication/table-lifecycle/ has the words.
 *
 * Invariant: only a name that matches the strict pattern is ever collected; a user's table is
 * never mistaken for one of ours, so a due time that is no calendar date does not match.
 */
import { assert } from '../assert.js';

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
  assert(isHoldId(id), 'a hold id has 32 lower-case hex digits');
  const name = `_vt_${state}_${id}_${formatDue(due)}`;
  assert(parseHoldName(name) !== null, `a formatted hold name parses: ${name}`);
  return name;
}

/** What `name` says, or null if it isn't the name of a held table. */
export function parseHoldName(name: string): HoldName | null {
  const match = LONG.exec(name) ?? SHORT.exec(name);
  if (match === null) return null;
  const [, word = '', id = '', digits = ''] = match;
  const state = STATES[word.toLowerCase()];
  const due = parseDue(digits);
  if (state === undefined || due === null) return null;
  return { state, id: id.toLowerCase(), due };
}

/** `YYYYMMDDhhmmss` in UTC, up to the whole second. */
function formatDue(due: Date): string {
  const seconds = new Date(Math.ceil(due.getTime() / 1000) * 1000);
  return seconds.toISOString().replaceAll(/\D/g, '').slice(0, 14);
}

function parseDue(digits: string): Date | null {
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/;
  const iso = digits.replace(parts, '$1-$2-$3T$4:$5:$6.000Z');
  const due = new Date(iso);
  // Date rolls 31 April over into May; what doesn't come back the same was no calendar date.
  return Number.isNaN(due.getTime()) || due.toISOString() !== iso ? null : due;
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

/** Milliseconds since the epoch at which `id` was made; meaningless for an id that isn't ours. */
export function idTimeMs(id: string): number {
  assert(isHoldId(id), 'a hold id has 32 lower-case hex digits');
  return Number.parseInt(id.slice(0, 12), 16);
}
