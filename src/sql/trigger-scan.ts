/**
 * The hot path's one check of a statement: whether these bytes could be undrop's at all. It exists
 * so that nearly all traffic is never lexed; it allocates nothing and reads each byte once.
 *
 * Invariant: a superset. Keywords are unbroken ASCII on the wire (a comment or an escape ends a
 * word), so where `classify` finds something, these bytes have `drop` and one of `table`,
 * `database`, `schema`, `sequence`; or `prepare` or `immediate`, whose text may be spelled in any
 * way; or `create` and `replace`; or the beginning of a name of undrop's own schemas; if they are
 * protected, `truncate`, or `alter`, `truncate` and `partition` (an ALTER TABLE … DROP PARTITION
 * has `drop` and `table`). SQL_LOG_BIN matches as well, because a drop under it is recorded
 * differently.
 *
 * Statements of undrop itself without these words are found by their first word, after blanks and
 * comments. Others that are overlooked are the server's, which knows none of them.
 */
import {
  DEFINITIONS,
  DESTROYING,
  destroyingOf,
  holdsTruncate,
  type Protected,
} from './destroying.js';
import { LONG_SLICE_BYTES, type Reading } from './reading.js';

/** Makes a letter lower case. */
const LOWER = 0x20;
const UNDERSCORE = 0x5f;
const [LINE_FEED, SPACE, BANG, HASH] = [0x0a, 0x20, 0x21, 0x23];
const [STAR, DASH, SLASH] = [0x2a, 0x2d, 0x2f];
const [P, I, U, Q] = [0x70, 0x69, 0x75, 0x71];
const COULD_START_AT = new Uint8Array(256);
for (const letter of [...'pPmMuUqQ']) COULD_START_AT[letter.charCodeAt(0)] = 1;

const TABLE = wordOf('table');
const SCHEMA = wordOf('schema');
const DATABASE = wordOf('database');
const SEQUENCE = wordOf('sequence');
const DEFINED = DEFINITIONS.map((word) => wordOf(word.toLowerCase()));
const CREATE = wordOf('create');
const DROP = wordOf('drop');
const RECYCLE = wordOf('_undrop');
const PREPARE = wordOf('prepare');
const REPLACE = wordOf('replace');
const IMMEDIATE = wordOf('immediate');
const TRUNCATE = wordOf('truncate');
const ALTER = wordOf('alter');
const PARTITION = wordOf('partition');
const SQL_LOG_BIN = wordOf('sql_log_bin');
const SHOW = wordOf('show');
const DROPPED = wordOf('dropped');
/** First words of undrop's own statements, by the first letter. */
const HEADS: readonly (Uint8Array | undefined)[] = headsOf('undrop', 'hold', 'purge', 'explain');

const NOTHING_MORE: Protected = new Set();

/** Whether `bytes[start, end)`, the text of one statement packet, must be classified. */
export function mayBeOurs(
  bytes: Uint8Array,
  start: number,
  end: number,
  protect: Protected = NOTHING_MORE,
): boolean {
  if (beginsLikeOurs(bytes, start, end)) return true;
  let drop = false;
  let replace = false;
  let truncate = false;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    // All trigger words have one of these, which are rare enough: `p`, `m`, `u` or `q`.
    if (COULD_START_AT[byte] === 0) continue;
    if ((byte | LOWER) === P) {
      if (isWordAt(bytes, at, start, end, PREPARE)) return true;
      if (isWordAt(bytes, at - 3, start, end, DROP)) {
        const hasUnderscore = bytes[at - 6] === UNDERSCORE;
        if (hasUnderscore && isWordAt(bytes, at - 6, start, end, RECYCLE)) return true;
        drop = true;
      } else if (isWordAt(bytes, at - 2, start, end, REPLACE)) {
        replace = true;
      }
    } else if ((byte | LOWER) === Q) {
      if (isWordAt(bytes, at - 1, start, end, SQL_LOG_BIN)) return true;
    } else if ((byte | LOWER) === U) {
      truncate ||= isWordAt(bytes, at - 2, start, end, TRUNCATE);
    } else if (at > start && ((bytes[at - 1] ?? 0) | LOWER) === I) {
      if (isWordAt(bytes, at - 1, start, end, IMMEDIATE)) return true;
    }
  }
  return (
    (drop &&
      (hasWord(bytes, start, end, TABLE) ||
        hasWord(bytes, start, end, SCHEMA) ||
        hasWord(bytes, start, end, DATABASE) ||
        hasWord(bytes, start, end, SEQUENCE) ||
        DEFINED.some((word) => hasWord(bytes, start, end, word)))) ||
    (replace && hasWord(bytes, start, end, CREATE)) ||
    (truncate &&
      (holdsTruncate(protect) ||
        (protect.has('drop-partition') &&
          hasWord(bytes, start, end, PARTITION) &&
          hasWord(bytes, start, end, ALTER))))
  );
}

function beginsLikeOurs(bytes: Uint8Array, start: number, end: number): boolean {
  const at = skipGap(bytes, start, end);
  const letter = (bytes[at] ?? 0) | LOWER;
  const head = HEADS[letter];
  if (head !== undefined) return isWordAt(bytes, at, start, end, head);
  return (
    letter === SHOW[0] && isWordAt(bytes, at, start, end, SHOW) && hasWord(bytes, at, end, DROPPED)
  );
}

/** Blanks and comments; code in a version comment isn't one. */
function skipGap(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    const next = bytes[at + 1];
    if (byte === SLASH && next === STAR && bytes[at + 2] !== BANG) {
      at += 2;
      while (at < end && !(bytes[at] === STAR && bytes[at + 1] === SLASH)) at++;
      at++;
    } else if (byte === HASH || (byte === DASH && next === DASH)) {
      while (at < end && bytes[at] !== LINE_FEED) at++;
    } else if (byte > SPACE) {
      return at;
    }
  }
  return end;
}

/** Whether a text contains the beginning of a recycle schema's name. */
export function mentionsRecycle(bytes: Uint8Array): boolean {
  // Not letter by letter: a long text may be full of one, and stopping at each takes seconds.
  for (let at = 0; at < bytes.length; at += LONG_SLICE_BYTES) {
    const slice = bytes.subarray(Math.max(0, at - RECYCLE.length + 1), at + LONG_SLICE_BYTES);
    if (/_undrop/i.test(Buffer.from(slice).toString('latin1'))) return true;
  }
  return false;
}

/** The words of a statement that destroys, without those that nearly any text has in it. */
function wordsOf({ words, within }: (typeof DESTROYING)[number]) {
  const all = within === undefined ? words : [...words, [within]];
  return all.filter((any) => any.some(({ length }) => length > 2));
}

const ALONE = ['PREPARE', 'IMMEDIATE', '_UNDROP'];
const WORDS = new RegExp([...ALONE, ...DESTROYING.flatMap(wordsOf).flat()].join('|'), 'gi');
/** The letters of the longest word but one: a slice may cut one. */
const CARRIED_BYTES = 8;

/** The same check of a long text, slice by slice; variables don't count. */
export function* readingMayBeOurs(bytes: Uint8Array, protect: Protected): Reading<boolean> {
  const seen = new Set<string>();
  for (let at = 0; at < bytes.length; at += LONG_SLICE_BYTES) {
    const slice = bytes.subarray(Math.max(0, at - CARRIED_BYTES), at + LONG_SLICE_BYTES);
    const text = Buffer.from(slice).toString('latin1');
    for (const [word] of text.matchAll(WORDS)) seen.add(word.toUpperCase());
    if (areOurs(seen, protect)) return true;
    yield;
  }
  return false;
}

function areOurs(seen: ReadonlySet<string>, protect: Protected): boolean {
  if (ALONE.some((word) => seen.has(word))) return true;
  return destroyingOf(protect).some((one) =>
    wordsOf(one).every((any) => any.some((word) => seen.has(word))),
  );
}

function hasWord(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  const last = end - word.length;
  for (let at = start; at <= last; at++) {
    if (isWordAt(bytes, at, start, end, word)) return true;
  }
  return false;
}

/** Compares letters without regard to case; `word` is by `wordOf`. */
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

function headsOf(...words: readonly string[]): readonly (Uint8Array | undefined)[] {
  const byLetter: (Uint8Array | undefined)[] = new Array(256).fill(undefined);
  for (const word of words) byLetter[word.charCodeAt(0)] = wordOf(word);
  return byLetter;
}

/** In lower case, in which an underscore is 0x7F. */
function wordOf(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0) | LOWER);
}

/**
 * MySQL ends a name at a character that is broken, and at a NUL where it makes a path of it; after
 * `#mysql50#` servers take the name of a directory. Case never counts.
 */
const OWN = /^(?:#mysql50#)?_undrop(?:_local)?(?:_\d+)?(?:[^ -~]|$)/i;
/** The beginning of a word that is longer than any name is enough. */
const NAME_BYTES_MAX = 64;
const NAME_BYTES_MIN = 7;

/** Whether `name`, without quotes, is that of a recycle schema. Bytes may be in any charset. */
export function isRecycleName(name: string | Uint8Array): boolean {
  return OWN.test(typeof name === 'string' ? name : Buffer.from(name).toString('latin1'));
}

/** The same of a word or a name in a text, with its quotes, if it has any. */
export function isRecycleToken(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < NAME_BYTES_MIN) return false;
  const isQuoted = '"[`'.includes(String.fromCharCode(bytes[start] ?? 0));
  const from = isQuoted ? start + 1 : start;
  if (!'_#\\'.includes(String.fromCharCode(bytes[from] ?? 0))) return false;
  const name = bytes.subarray(from, Math.min(isQuoted ? end - 1 : end, from + NAME_BYTES_MAX));
  // A GRANT names it with backslashes, because a plain underscore matches any character there.
  return isRecycleName(Buffer.from(name).toString('latin1').replaceAll('\\', ''));
}
