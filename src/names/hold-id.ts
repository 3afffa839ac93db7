/**
 * The id of one held table: a UUIDv7 without its dashes, so that its first 48 bits are the time of
 * the drop and ids sort by it. The id is kept through every transition and names the ledger row.
 * Pure: clock and randomness are arguments.
 */
import { assert } from '../assert.js';

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
export function twinIdOf(id: string): string {
  assert(isHoldId(id), 'a hold id has 32 lower-case hex digits');
  return `${id.slice(0, 12)}8${id.slice(13)}`;
}

/** Whether `id` may be such a ghost's: no drop of ours has one like that. */
export function isTwinId(id: string): boolean {
  assert(isHoldId(id), 'a hold id has 32 lower-case hex digits');
  return id.charAt(12) === '8';
}

/** Milliseconds since the epoch at which `id` was made; meaningless for an id that isn't ours. */
export function idTimeMs(id: string): number {
  assert(isHoldId(id), 'a hold id has 32 lower-case hex digits');
  return Number.parseInt(id.slice(0, 12), 16);
}
