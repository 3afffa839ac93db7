/**
 * Parses UNDROP_RULES, `app.tmp_*: now; etl.* user=dbt size<1G: hold=1d`, and the hint for one drop
 * in a comment or in `@undrop`, `hold=7d`, `pin`, `now`, `destroy`, `insist`, into plain records.
 * Pure.
 *
 * Invariant: a rule that can't be parsed is an error with a message, and then no rule applies.
 */
import { parseDuration } from '../duration.js';

export interface Rule {
  /** The rule as it was written, for the log and for errors. */
  readonly text: string;
  readonly schema: Glob;
  readonly table: Glob;
  /** All of them must match. */
  readonly conditions: readonly Condition[];
  readonly action: RuleAction;
}

/** `*` matches any characters, `?` one; in backticks both are ordinary characters. */
export interface Glob {
  readonly text: string;
  readonly isExact: boolean;
}

export type Condition =
  /** The user as the session logged in: `name` or `name@host`; both may have `*` and `?`. */
  | { readonly kind: 'user'; readonly name: Glob; readonly host: Glob | null }
  /** Bytes or milliseconds. An unknown value is neither above nor below. */
  | { readonly kind: 'size' | 'age'; readonly is: 'above' | 'below'; readonly limit: number }
  | { readonly kind: 'empty' }
  /** The client's own words for its program, and in its statement; a `value` of null: any. */
  | { readonly kind: 'program'; readonly name: Glob }
  | { readonly kind: 'tag'; readonly name: Glob; readonly value: Glob | null };

/**
 * `ms` null: UNDROP_HOLD; `locks`: nobody ends the hold before. `native`: the server itself drops
 * the table at once. `ask`: an operator has to allow it each time.
 */
type RuleAction =
  | { readonly do: 'hold'; readonly ms: number | null; readonly locks?: true }
  | { readonly do: 'native' | 'refuse' | 'ask' };

const ACTIONS: ReadonlyMap<string, RuleAction> = new Map([
  ['hold', { do: 'hold', ms: null }],
  ['now', { do: 'hold', ms: 0 }],
  ['native', { do: 'native' }],
  ['refuse', { do: 'refuse' }],
  ['ask', { do: 'ask' }],
]);

/** Describes the values of UNDROP_RULES. */
export const RULES_EXPECTED =
  'rules like `app.tmp_*: now; etl.* user=dbt size<1G: hold=1d`, separated by ;';

const RULES_MAX = 500;

const ACTION = 'hold, hold=30d (up to 3650d), lock=30d, now, native, ask or refuse';
const CONDITION =
  'user=name, user=name@host, program=name, tag=key, tag=key=value, size<1G, size>1G, age<1h, age>1h or empty';
const NOT_BY_CLAIMS =
  'expected hold, hold=30d, lock=30d, ask or refuse with program= or tag=, because clients choose these';
const PATTERN = 'a pattern schema.table, where * matches any characters and ? matches one';

/** A name in a pattern, with or without backticks. */
const NAME = '(?:`(?:[^`]|``)+`|[^`.\\s]+)';
const PATTERN_PARTS = new RegExp(`^(${NAME})\\.(${NAME})$`);
const WORDS = /(?:`(?:[^`]|``)*`|[^`\s])+/g;

export function parseRules(text: string): {
  readonly rules: readonly Rule[];
  /** An entry for each error: expected and found. */
  readonly problems: readonly string[];
} {
  const texts = splitAt(text, ';').map((one) => one.trim());
  const rules: Rule[] = [];
  const problems: string[] = [];
  for (const [index, one] of texts.entries()) {
    // Empty after the last `;`, and between two of them.
    if (one === '') continue;
    const rule = parseRule(one);
    if (typeof rule === 'string') problems.push(`rule ${index + 1}, \`${one}\`: ${rule}`);
    else rules.push(rule);
  }
  if (rules.length > RULES_MAX) {
    problems.push(`expected at most ${RULES_MAX} rules, found ${rules.length}`);
  }
  return { rules, problems };
}

/** The rule, or the error. */
function parseRule(text: string): Rule | string {
  if ((text.split('`').length - 1) % 2 === 1) {
    return 'expected a backtick at the end of the name; a backtick within the name is doubled';
  }
  const parts = splitAt(text, ':');
  const last = parts.pop() ?? '';
  if (parts.length === 0) return `expected a colon and ${ACTION} at its end`;
  const action = parseAction(last.trim());
  if (action === null) return `expected ${ACTION}, found ${quote(last.trim())}`;
  const [pattern = '', ...words] = parts.join(':').match(WORDS) ?? [];
  const [, schema, table] = PATTERN_PARTS.exec(pattern) ?? [];
  if (schema === undefined || table === undefined) {
    return `expected ${PATTERN}, found ${quote(pattern)}`;
  }
  const conditions: Condition[] = [];
  for (const word of words) {
    const condition = parseCondition(word);
    if (condition === null) return `expected ${CONDITION}, found ${quote(word)}`;
    conditions.push(condition);
  }
  const isClaimed = conditions.some(({ kind }) => kind === 'program' || kind === 'tag');
  if (isClaimed && (action.do === 'native' || (action.do === 'hold' && action.ms === 0))) {
    return `${NOT_BY_CLAIMS}; found ${quote(last.trim())}`;
  }
  return { text, schema: globOf(schema), table: globOf(table), conditions, action };
}

function parseAction(text: string): RuleAction | null {
  const [, locked] = /^lock\s*=\s*(.+)$/i.exec(text) ?? [];
  const hold = parseHold(locked === undefined ? text : `hold=${locked}`);
  if (hold === null) return ACTIONS.get(text.toLowerCase()) ?? null;
  return { do: 'hold', ms: hold.ms, ...(locked !== undefined && { locks: true }) };
}

function parseCondition(word: string): Condition | null {
  if (word.toLowerCase() === 'empty') return { kind: 'empty' };
  const [, key = '', sign = '', value = ''] = /^(\w+)([=<>])(.+)$/.exec(word) ?? [];
  const kind = key.toLowerCase();
  if (kind === 'user' && sign === '=') return parseUser(value);
  if (kind === 'program' && sign === '=') return { kind, name: openGlob(value) };
  if (kind === 'tag' && sign === '=') return parseTag(value);
  if ((kind !== 'size' && kind !== 'age') || sign === '=') return null;
  const limit = kind === 'size' ? parseBytes(value) : parseDuration(value);
  return limit === null ? null : { kind, is: sign === '>' ? 'above' : 'below', limit };
}

/** The last `@` is before the host, as in USER(). */
function parseUser(value: string): Condition {
  const at = value.lastIndexOf('@');
  const [name, host] = at < 0 ? [value, null] : [value.slice(0, at), value.slice(at + 1)];
  return { kind: 'user', name: openGlob(name), host: host === null ? null : openGlob(host) };
}

/** `key`, or `key=value`. */
function parseTag(text: string): Condition {
  const [name = '', ...value] = text.split('=');
  const rest = value.length === 0 ? null : openGlob(value.join('='));
  return { kind: 'tag', name: openGlob(name), value: rest };
}

function openGlob(text: string): Glob {
  return { text, isExact: false };
}

const UNITS: Readonly<Record<string, number>> = { '': 0, B: 0, K: 1, M: 2, G: 3, T: 4 };

/** `500`, `64K`, `1.5G`: powers of 1,024. */
export function parseBytes(text: string): number | null {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)([BKMGT]?)$/i.exec(text) ?? [];
  if (digits === undefined) return null;
  return Math.round(Number(digits) * 1_024 ** (UNITS[unit.toUpperCase()] ?? 0));
}

function globOf(name: string): Glob {
  if (!name.startsWith('`')) return { text: name, isExact: false };
  return { text: name.slice(1, -1).replaceAll('``', '`'), isExact: true };
}

/** Splits at each `separator` outside backticks. */
function splitAt(text: string, separator: string): string[] {
  const parts: string[] = [];
  let isQuoted = false;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '`') isQuoted = !isQuoted;
    if (isQuoted || text[at] !== separator) continue;
    parts.push(text.slice(from, at));
    from = at + 1;
  }
  return [...parts, text.slice(from)];
}

function quote(text: string): string {
  return text === '' ? 'nothing' : JSON.stringify(text);
}

/** Milliseconds in HOLD; `pinned`: until it is restored or unpinned. */
export type HoldTime = number | 'pinned';

export interface Hint {
  /** The normalized hint: `hold=7d`. */
  readonly text: string;
  readonly hold: HoldTime;
  /** The server itself drops the table at once. */
  readonly destroys: boolean;
}

/** Describes hints, for messages. */
export const HINT_EXPECTED =
  'hold=7d (up to 3650d), pin, now, destroy or insist, in /* undrop: … */ or in @undrop';

/** Whether a table is dropped although it is in use; independent of how long it is held. */
export function isInsistence(hint: string): boolean {
  return hint.trim().toLowerCase() === 'insist';
}

/** Null if `text` isn't a hint. */
export function parseHint(text: string): Hint | null {
  const word = text.trim().toLowerCase();
  if (word === 'pin') return { text: word, hold: 'pinned', destroys: false };
  if (word === 'now') return { text: word, hold: 0, destroys: false };
  if (word === 'destroy') return { text: word, hold: 0, destroys: true };
  const hold = parseHold(word);
  return hold && { text: `hold=${hold.length}`, hold: hold.ms, destroys: false };
}

/**
 * The hint on the hold that all texts agree on; `odd`: a text that isn't a hint, or that differs.
 * Null: no hint.
 */
export function oneHint(texts: readonly string[]): Hint | { readonly odd: string } | null {
  let found: Hint | null = null;
  for (const text of texts) {
    if (isInsistence(text)) continue;
    const hint = parseHint(text);
    if (hint === null) return { odd: text.trim() };
    if (found !== null && found.text !== hint.text)
      return { odd: `${found.text} and ${hint.text}` };
    found = hint;
  }
  return found;
}

const HOLD_MS_MAX = 3_650 * 86_400_000;

/** The duration as written, and in milliseconds; null if it isn't one, or is too long. */
function parseHold(text: string): { readonly length: string; readonly ms: number } | null {
  const [, length] = /^hold\s*=\s*(\S+)$/i.exec(text) ?? [];
  const ms = length === undefined ? null : parseDuration(length);
  return length === undefined || ms === null || ms > HOLD_MS_MAX ? null : { length, ms };
}

/** It is for every table. */
export function matchesAll({ schema, table, conditions }: Rule): boolean {
  const isAny = ({ text, isExact }: Glob) => !isExact && /^\*+$/.test(text);
  return isAny(schema) && isAny(table) && conditions.length === 0;
}

/** The tables that it names are destroyed at once. */
export function isWithoutHold({ action }: Rule): boolean {
  return action.do === 'native' || (action.do === 'hold' && action.ms === 0);
}
