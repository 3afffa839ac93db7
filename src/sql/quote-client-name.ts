/**
 * Names in our own statements on the user's session: the client's own bytes in backticks, read by
 * the server under the client's charset. Invariant: what comes out is one quoted name that stands
 * for exactly `value`; a name for which that can't be done is one that recognition doesn't let
 * pass.
 */
import { assert } from '../assert.js';
import { type ClientCharset, charsetTable } from './client-charset.js';

const BACKTICK = 0x60;

/** `value` in backticks, those within it doubled unless they are a part of a character. */
export function quoteClientName(value: Uint8Array, charset: ClientCharset): Uint8Array {
  const table = charsetTable(charset);
  const quoted = [BACKTICK];
  for (let at = 0; at < value.length; ) {
    const length = table.charLength(value, at, value.length);
    assert(length > 0 && value[at] !== 0, 'a name is whole characters of its charset, without NUL');
    if (length === 1 && value[at] === BACKTICK) quoted.push(BACKTICK);
    for (const byte of value.subarray(at, at + length)) quoted.push(byte);
    at += length;
  }
  quoted.push(BACKTICK);
  return Uint8Array.from(quoted);
}
