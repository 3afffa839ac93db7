/**
 * The hot path's one look at a statement: could these bytes be ours at all? It exists so that
 * nearly all traffic is never lexed; it allocates nothing and reads each byte once.
 *
 * Invariant: a superset. Keywords are unbroken ASCII on the wire (a comment or an escape ends a
 * word), so where `classify` finds something, these bytes hold `drop` and one of `table`,
 * `database`, `schema`, `sequence`; or `prepare` or `immediate`, whose text may be spelled in any
 * way; or `create` and `replace`; or the beginning of a name of undrop's own schemas; where they
 * are enabled, `truncate`, or `alter`, `truncate` and `partition` (an ALTER
 * TABLE … DROP PARTITION has `drop` and `table`). SQL_LOG_BIN is shown as well, because a drop
 * under it is recorded differently.
 */

/** One less than the longest word's letters: so much of a chunk may be the beginning of one. */
const CARRIED_BYTES = 8;

const LOWER = 0x20;
const UNDERSCORE = 0x5f;
const P = 0x70;
const I = 0x69;
const U = 0x75;
const Q = 0x71;
const COULD_START_AT = new Uint8Array(256);
for (const letter of [...'pPmMuUqQ']) COULD_START_AT[letter.charCodeAt(0)] = 1;

const TABLE = wordOf('table');
const SCHEMA = wordOf('schema');
const DATABASE = wordOf('database');
const SEQUENCE = wordOf('sequence');
const CREATE = wordOf('create');
const DROP = wordOf('drop');
const UNDROP = wordOf('undrop');
const PREPARE = wordOf('prepare');
const REPLACE = wordOf('replace');
const IMMEDIATE = wordOf('immediate');
const TRUNCATE = wordOf('truncate');
const ALTER = wordOf('alter');
const PARTITION = wordOf('partition');
/** Without its underscores, which aren't letters. */
const SQL = wordOf('sql');
const LOG = wordOf('log');
const BIN = wordOf('bin');

/** What is looked for beside what is always ours. */
export interface Sought {
  /** TRUNCATE; default: it is none of ours. */
  readonly truncates?: boolean;
  /** ALTER TABLE … DROP PARTITION and TRUNCATE PARTITION; default: they are none of ours. */
  readonly partitions?: boolean;
}

const NOTHING_MORE: Sought = {};

/** What is enabled, and nothing else that `options` may say. */
export function soughtOf(options: Sought): Required<Sought> {
  const { truncates = false, partitions = false } = options;
  return { truncates, partitions };
}

/** Whether `bytes[start, end)`, the text of one statement packet, has to be classified. */
export function mayBeOurs(
  bytes: Uint8Array,
  start: number,
  end: number,
  enabled: Sought = NOTHING_MORE,
): boolean {
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
        if (isRecycleAt(bytes, at, start, end)) return true;
        drop = true;
      } else if (isWordAt(bytes, at - 2, start, end, REPLACE)) {
        replace = true;
      }
    } else if ((byte | LOWER) === Q) {
      if (isLogBinAt(bytes, at, start, end)) return true;
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
        hasWord(bytes, start, end, SEQUENCE))) ||
    (replace && hasWord(bytes, start, end, CREATE)) ||
    (truncate &&
      (enabled.truncates === true ||
        (enabled.partitions === true &&
          hasWord(bytes, start, end, PARTITION) &&
          hasWord(bytes, start, end, ALTER))))
  );
}

/** Whether a text names the variable SQL_LOG_BIN. */
export function namesLogBin(bytes: Uint8Array): boolean {
  // From a letter to the next, in either case: most texts have few of it.
  for (const letter of [Q, Q - LOWER]) {
    for (let at = bytes.indexOf(letter); at >= 0; at = bytes.indexOf(letter, at + 1)) {
      if (isLogBinAt(bytes, at, 0, bytes.length)) return true;
    }
  }
  return false;
}

/** Whether a text has the beginning of a recycle schema's name, wherever in it. */
export function mentionsRecycle(bytes: Uint8Array): boolean {
  // Not letter by letter: a long text may be full of one, and to stop at each takes seconds.
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    const slice = bytes.subarray(Math.max(0, at - RECYCLE_BEGINNING), at + SLICE_BYTES);
    if (/_undrop/i.test(Buffer.from(slice).toString('latin1'))) return true;
  }
  return false;
}

const SLICE_BYTES = 65_536;
const RECYCLE_BEGINNING = '_undrop'.length - 1;

/** `at`: where its `p` is. */
function isRecycleAt(bytes: Uint8Array, at: number, start: number, end: number): boolean {
  return (
    at - 6 >= start && bytes[at - 6] === UNDERSCORE && isWordAt(bytes, at - 5, start, end, UNDROP)
  );
}

/** `at`: where its `q` is. */
function isLogBinAt(bytes: Uint8Array, at: number, start: number, end: number): boolean {
  return (
    isWordAt(bytes, at - 1, start, end, SQL) &&
    isWordAt(bytes, at + 3, start, end, LOG) &&
    isWordAt(bytes, at + 7, start, end, BIN)
  );
}

/** The same look at a text that comes in chunks. */
export class TriggerWatch {
  #carried = '';
  #drop = false;
  #object = false;
  #create = false;
  #replace = false;
  #recycle = false;
  #truncate = false;
  #alter = false;
  #partition = false;
  readonly #truncates: boolean;
  readonly #partitions: boolean;

  constructor(enabled: Sought = NOTHING_MORE) {
    const { truncates, partitions } = soughtOf(enabled);
    this.#truncates = truncates;
    this.#partitions = partitions;
  }

  /** Whether it has the beginning of a recycle schema's name. */
  get mentionsRecycle(): boolean {
    return this.#recycle;
  }

  /** Whether the text up to here has to be classified; true once, true for good. */
  push(chunk: Buffer): boolean {
    const text = this.#carried + chunk.toString('latin1');
    this.#carried = text.slice(-CARRIED_BYTES);
    this.#drop ||= /drop/i.test(text);
    this.#object ||= /table|schema|database|sequence/i.test(text);
    this.#create ||= /create/i.test(text);
    this.#replace ||= /replace/i.test(text);
    this.#recycle ||= /_undrop/i.test(text);
    this.#truncate ||= (this.#truncates || this.#partitions) && /truncate/i.test(text);
    this.#alter ||= this.#partitions && /alter/i.test(text);
    this.#partition ||= this.#partitions && /partition/i.test(text);
    if (/prepare|immediate/i.test(text)) this.#drop = this.#object = true;
    if (this.#truncates && this.#truncate) return true;
    if (this.#alter && this.#partition && (this.#drop || this.#truncate)) return true;
    return this.#recycle || (this.#drop && this.#object) || (this.#create && this.#replace);
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
