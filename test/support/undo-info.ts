/**
 * The info text of an OK packet, which is the one thing in which an answer through the proxy may
 * differ from the server's (UNDROP_NOTE). Invariant: what is taken off is that text alone.
 */
import type { RawResult } from './raw-client.js';

const TOLD = /( {2})?Held(?:, pinned| until \d{4}-\d\d-\d\d \d\d:\d\d UTC)\. .*$/;
/** Without session tracking mysql2 has the length of the text, one byte, in front of it. */
const TOLD_IN_TEXT = /(?:(?<=info\\?":\\?").)?Held until [\d: -]+ UTC\. Undo: UNDROP [^"\n\\]*/g;
/** Behind the server's own text of ERR 1146. */
export const TOLD_IN_ERROR = / \(held by undrop until [\d: -]+ UTC: UNDROP [^)]*\)/g;
const SESSION_STATE_CHANGED = 0x4000;

/** What a program prints or has as JSON, without that text. */
export function withoutUndoTexts(text: string): string {
  return text.replaceAll(TOLD_IN_TEXT, '').replaceAll(TOLD_IN_ERROR, '');
}

/** Empty for what is no OK, and for one without. */
export function infoOf(result: RawResult): Buffer {
  return result.kind === 'ok' ? (splitRest(result.rest)?.info ?? Buffer.alloc(0)) : Buffer.alloc(0);
}

/** The packet as it is without the text of undrop's; any other as it is. */
export function withoutUndoInfo(payload: Buffer): Buffer {
  if (payload[0] !== 0x00) return payload;
  const { end } = lenencAt(payload, lenencAt(payload, 1).end);
  const status = payload.readUInt16LE(end);
  const split = splitRest(payload.subarray(end + 4));
  const info = split?.info.toString('latin1') ?? '';
  if (split === null || !TOLD.test(info)) return payload;
  const own = Buffer.from(info.replace(TOLD, ''), 'latin1');
  const head = payload.subarray(0, end + 4);
  const hasState = (status & SESSION_STATE_CHANGED) !== 0;
  if (own.length === 0 && !hasState) return Buffer.from(head);
  return Buffer.concat([head, Buffer.from([own.length]), own, split.state]);
}

/** Null: there is nothing behind the fixed fields. */
function splitRest(rest: Buffer): { readonly info: Buffer; readonly state: Buffer } | null {
  if (rest.length === 0) return null;
  const { value, end } = lenencAt(rest, 0);
  return { info: rest.subarray(end, end + value), state: rest.subarray(end + value) };
}

/** Up to two bytes. */
function lenencAt(bytes: Buffer, at: number): { readonly value: number; readonly end: number } {
  const first = bytes[at] ?? 0;
  if (first < 0xfb) return { value: first, end: at + 1 };
  return { value: bytes.readUInt16LE(at + 1), end: at + 3 };
}
