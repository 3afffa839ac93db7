/**
 * Recognizes the statements that drop tables or schemas among those that go to the server, so that
 * they can be told from drops that nobody sent through undrop (lifecycle/drops-elsewhere.ts). Only
 * an estimate depends on it.
 */
import { type Capabilities, CLIENT_QUERY_ATTRIBUTES, hasFlag } from '../../wire/capabilities.js';
import { COM_QUERY } from '../../wire/commands.js';

/** The server counts DROP TEMPORARY TABLE apart. */
const DROP =
  /^(?:\s|\/\*(?![!M])(?:[^*]|\*(?!\/))*\*\/)*drop(?:\s|\/\*(?:[^*]|\*(?!\/))*\*\/)+(?:tables?|database|schema)\b/i;
const HEAD_BYTES = 256;
const LETTER_D = 0x64;
const SLASH = 0x2f;
const SPACE = 0x20;
/** A text with attributes of its own isn't looked at. */
const NO_ATTRIBUTES = 0;

export function isDropAsSuch(payload: Buffer, capabilities: Capabilities): boolean {
  if (payload[0] !== COM_QUERY) return false;
  const takesAttributes = hasFlag(capabilities, CLIENT_QUERY_ATTRIBUTES);
  if (takesAttributes && payload[1] !== NO_ATTRIBUTES) return false;
  const at = takesAttributes ? 3 : 1;
  const first = payload[at] ?? 0;
  if ((first | SPACE) !== LETTER_D && first !== SLASH && first > SPACE) return false;
  return DROP.test(payload.toString('latin1', at, at + HEAD_BYTES));
}
