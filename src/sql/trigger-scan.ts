/**
 * The hot path's one look at a statement: could these bytes be ours at all? It exists so that
 * nearly all traffic is never lexed; it allocates nothing and reads each byte once.
 *
 * Invariant: a superset. Keywords are unbroken ASCII on the wire (a comment or an escape ends a
 * word), so where `classify` finds something, these bytes hold `drop` and one of `table`,
 * `database`, `schema`, `sequence`; or `prepare` or `immediate`, whose text may be spelled in any
 * way; or `create` and `replace`. GTID_NEXT is shown as well: a drop under it is asked for
 * differently.
 */

/** One less than the longest word's letters: so much of a chunk may be the beginning of one. */
const CARRIED_BYTES = 8;

const LOWER = 0x20;
const P = 0x70;
const I = 0x69;
const X = 0x78;
const COULD_START_AT = new Uint8Array(256);
for (const letter of [...'pPmMxX']) COULD_START_AT[letter.charCodeAt(0)] = 1;

const TABLE = wordOf('table');
const SCHEMA = wordOf('schema');
const DATABASE = wordOf('database');
const SEQUENCE = wordOf('sequence');
const CREATE = wordOf('create');
const DROP = wordOf('drop');
const PREPARE = wordOf('prepare');
const REPLACE = wordOf('replace');
const IMMEDIATE = wordOf('immediate');
const GTID = wordOf('gtid');
const NEXT = wordOf('next');

/** Whether `bytes[start, end)`, the text of one statement packet, has to be classified. */
export function mayBeOurs(bytes: Uint8Array, start: number, end: number): boolean {
  let drop = false;
  let replace = false;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    // Every trigger word but `immediate` has a `p`, and that has an `m`: both are rare enough.
    if (COULD_START_AT[byte] === 0) continue;
    if ((byte | LOWER) === P) {
      if (isWordAt(bytes, at, start, end, PREPARE)) return true;
      if (isWordAt(bytes, at - 3, start, end, DROP)) drop = true;
      else if (isWordAt(bytes, at - 2, start, end, REPLACE)) replace = true;
    } else if ((byte | LOWER) === X) {
      if (isGtidNextAt(bytes, at, start, end)) return true;
    } else if (at > start && ((bytes[at - 1] ?? 0) | LOWER) === I) {
      if (isWordAt(bytes, at - 1, start, end, IMMEDIATE)) return true;
    }
  }
  return (
    (drop &&
      (hasWord(bytes, start, end, TABLE) ||
        hasWord(bytes, start, end, SCHEMA) ||
        hasWord(bytes, start, end, DATABASE) ||
        hasWord(bytes, start, end, SEQUENCE))) ||
    (replace && hasWord(bytes, start, end, CREATE))
  );
}

/** Whether a text names the variable GTID_NEXT. */
export function namesGtidNext(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) {
    if (((bytes[at] ?? 0) | LOWER) === X && isGtidNextAt(bytes, at, 0, bytes.length)) return true;
  }
  return false;
}

/** `at`: where its `x` is. */
function isGtidNextAt(bytes: Uint8Array, at: number, start: number, end: number): boolean {
  return isWordAt(bytes, at - 2, start, end, NEXT) && isWordAt(bytes, at - 7, start, end, GTID);
}

/** The same look at a text that comes in chunks. */
export class TriggerWatch {
  #carried = '';
  #drop = false;
  #object = false;
  #create = false;
  #replace = false;

  /** Whether the text up to here has to be classified; true once, true for good. */
  push(chunk: Buffer): boolean {
    const text = this.#carried + chunk.toString('latin1');
    this.#carried = text.slice(-CARRIED_BYTES);
    this.#drop ||= /drop/i.test(text);
    this.#object ||= /table|schema|database|sequence/i.test(text);
    this.#create ||= /create/i.test(text);
    this.#replace ||= /replace/i.test(text);
    if (/prepare|immediate/i.test(text)) this.#drop = this.#object = true;
    return (this.#drop && this.#object) || (this.#create && this.#replace);
  }
}

function hasWord(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  const last = end - word.length;
  for (let at = start; at <= last; at++) {
    if (isWordAt(bytes, at, start, end, word)) return true;
  }
  return false;
}

/** Compares letters without regard to case; `word` is lower case. */
function isWordAt(
  bytes: Uint8Array,
  at: number,
  start: number,
  end: number,
  word: Uint8Array,
): boolean {
  if (at < start || at + word.length > end) return false;
  for (let index = 0; index < word.length; index++) {
    if (((bytes[at + index] ?? 0) | LOWER) !== word[index]) return false;
  }
  return true;
}

function wordOf(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}
