/** `hold=30d`, as rules and wishes say it alike. Pure. */
import { parseDuration } from '../duration.js';

const HOLD_MS_MAX = 3_650 * 86_400_000;

/** The length as written, and in milliseconds; null where it is none, or too long. */
export function parseHold(text: string): { readonly length: string; readonly ms: number } | null {
  const [, length] = /^hold\s*=\s*(\S+)$/i.exec(text) ?? [];
  const ms = length === undefined ? null : parseDuration(length);
  return length === undefined || ms === null || ms > HOLD_MS_MAX ? null : { length, ms };
}
