/**
 * Whether two verdicts are the same, bytes and offsets included. Invariant: verdicts are trees of
 * plain records, arrays, bytes and primitive values, and nothing else.
 */
import type { Verdict } from './verdict.js';

export function sameVerdict(one: Verdict, other: Verdict): boolean {
  return isSame(one, other);
}

/** The same for any other tree of such parts. */
export function sameBytes(one: object, other: object): boolean {
  return isSame(one, other);
}

function isSame(one: unknown, other: unknown): boolean {
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) {
    return one === other;
  }
  if (one instanceof Uint8Array) {
    return other instanceof Uint8Array && Buffer.compare(one, other) === 0;
  }
  const keys = Object.keys(one);
  if (keys.length !== Object.keys(other).length) return false;
  const [a, b] = [one as Record<string, unknown>, other as Record<string, unknown>];
  return keys.every((key) => key in b && isSame(a[key], b[key]));
}
