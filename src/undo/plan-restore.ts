/**
 * `planRestore` decides which held table somebody means, and which name it gets. Pure; the
 * refusals are UndropErrors.
 *
 * Invariant: of several tables of one name the newest that is whole is taken. If tables of that
 * name are held from several schemas, none is taken, because nobody could know which was meant.
 */
import { UndropError } from '../errors.js';
import { isSameName } from '../names/names.js';
import { isRecycleSchema } from '../names/recycle-schema.js';
import type { HeldTable, TableName } from './list.js';

export interface RestoreRequest {
  /** A table, a qualified table, an id or a unique beginning of one (4 digits or more). */
  readonly target: string;
  /** `[schema.]name` to restore as; default: where it came from. */
  readonly to?: string | undefined;
}

export interface RestorePlan {
  readonly table: HeldTable;
  readonly to: TableName;
  /** Further tables that are held under the same name, newest first. */
  readonly others: readonly HeldTable[];
}

const SHOWN_MAX = 5;

/** What to rename to what. `held`: newest first. */
export function planRestore(held: readonly HeldTable[], request: RestoreRequest): RestorePlan {
  const found = findTarget(held, request.target);
  const table = found.find((one) => one.state === 'HOLD' && !one.torn) ?? found[0];
  if (table === undefined) throw notFound(held, request.target);
  if (table.torn) throw new UndropError('UNDROP_TORN', { table: qualified(table) ?? table.id });
  if (table.state !== 'HOLD') {
    throw new UndropError('UNDROP_NOT_RESTORABLE', { id: table.id, state: table.state });
  }
  const to = chooseName(table, request.to);
  return { table, to, others: found.filter((other) => other !== table) };
}

/**
 * All that are meant; of one name only. A whole id wins, then a name, then the beginning of an id.
 */
function findTarget(held: readonly HeldTable[], target: string): readonly HeldTable[] {
  const digits = target.replaceAll('-', '').toLowerCase();
  const whole = held.filter(({ id }) => id === digits);
  if (whole.length > 0) return whole;
  const named = findByName(held, target);
  if (named.length > 0) return named;
  if (!isIdPrefix(digits)) return [];
  const begun = held.filter(({ id }) => id.startsWith(digits));
  if (begun.length > 1) throw ambiguous(target, begun);
  return begun;
}

/** Whether that may be the beginning of an id; also a whole one. */
export function isIdPrefix(digits: string): boolean {
  return /^[0-9a-f]{4,32}$/.test(digits);
}

/** Names as they are written, else without regard to case. */
function findByName(held: readonly HeldTable[], target: string): readonly HeldTable[] {
  const same = held.filter((table) => namesOf(table).includes(target));
  const found =
    same.length > 0
      ? same
      : held.filter((table) => namesOf(table).some((name) => isSameName(name, target)));
  const [first] = found;
  const origins = new Set(found.map((table) => qualified(table)));
  if (first !== undefined && origins.size > 1) throw ambiguous(target, found);
  return found;
}

/** All ways to write the name of where it came from. */
function namesOf({ origin }: HeldTable): readonly string[] {
  if (origin === null) return [];
  const { schema, table } = origin;
  const quote = (name: string) => `\`${name.replaceAll('`', '``')}\``;
  return [
    table,
    `${schema}.${table}`,
    quote(table),
    `${quote(schema)}.${quote(table)}`,
    `${schema}.${quote(table)}`,
    `${quote(schema)}.${table}`,
  ];
}

/** The server's own schemas, where a user's table has no place. */
const OF_THE_SERVER = new Set(['mysql', 'sys', 'information_schema', 'performance_schema']);

function chooseName(table: HeldTable, to: string | undefined): TableName {
  if (to === undefined) {
    if (table.origin === null) throw new UndropError('UNDROP_NO_ORIGIN', { id: table.id });
    return table.origin;
  }
  const parsed = parseTableName(to);
  if (parsed === null) throw new UndropError('UNDROP_BAD_TARGET', { target: to });
  const schema = parsed.schema ?? table.origin?.schema;
  if (schema === undefined) throw new UndropError('UNDROP_NO_ORIGIN', { id: table.id });
  if (isRecycleSchema(schema.toLowerCase()) || OF_THE_SERVER.has(schema.toLowerCase())) {
    throw new UndropError('UNDROP_BAD_TARGET', { target: to });
  }
  return { schema, table: parsed.table };
}

function notFound(held: readonly HeldTable[], target: string): UndropError {
  const names = new Set(held.map(qualified).filter((name) => name !== null));
  const ofSchema = held.filter(({ origin }) => origin && isSameName(origin.schema, target));
  const inSchema = [...new Set(ofSchema.map(qualified))].filter((name) => name !== null);
  const similar = similarNames(target, [...names]);
  const hint = similar.length === 0 ? '' : ` Similar: ${similar.join(', ')}.`;
  const shown = inSchema.slice(0, SHOWN_MAX).join(', ');
  const more = inSchema.length > SHOWN_MAX ? ` and ${inSchema.length - SHOWN_MAX} more` : '';
  const tables = ` It is a schema of which these are held: ${shown}${more}.`;
  const params = { target, similar: inSchema.length === 0 ? hint : tables };
  return new UndropError('UNDROP_NO_SUCH_HELD', params);
}

function ambiguous(target: string, found: readonly HeldTable[]): UndropError {
  const shown = found
    .slice(0, SHOWN_MAX)
    .map((table) => `${table.id} (${qualified(table) ?? 'origin not known'})`);
  const more = found.length > SHOWN_MAX ? ` and ${found.length - SHOWN_MAX} more` : '';
  return new UndropError('UNDROP_AMBIGUOUS', { target, found: shown.join(', ') + more });
}

function qualified({ origin }: HeldTable): string | null {
  return origin === null ? null : `${origin.schema}.${origin.table}`;
}

const SIMILAR_MAX = 3;
const DISTANCE_MAX = 2;

/** Those of `names` (qualified) that somebody who mistyped one may have meant, nearest first. */
function similarNames(target: string, names: readonly string[]): readonly string[] {
  return names
    .map((name) => ({ name, distance: distanceTo(target.toLowerCase(), name.toLowerCase()) }))
    .filter(({ distance }) => distance <= DISTANCE_MAX)
    .sort((one, other) => one.distance - other.distance)
    .slice(0, SIMILAR_MAX)
    .map(({ name }) => name);
}

/** To the qualified name or to the table's alone; 1 if one is part of the other. */
function distanceTo(target: string, name: string): number {
  const table = name.slice(name.indexOf('.') + 1);
  const bare = target.slice(target.indexOf('.') + 1);
  const part = bare.length > 2 && (table.includes(bare) || bare.includes(table));
  // With every character another one nothing is similar.
  const shares = edits(bare, table) < Math.max(bare.length, table.length);
  const near = shares ? edits(bare, table) : Number.POSITIVE_INFINITY;
  return Math.min(edits(target, name), near, part ? 1 : Number.POSITIVE_INFINITY);
}

/** Characters to insert, remove or replace. */
function edits(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > DISTANCE_MAX) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}

/** A name as people type it: `[schema.]name`, with or without backticks. */
interface WrittenName {
  readonly schema: string | null;
  readonly table: string;
}

const PART = /(?:`((?:[^`]|``)+)`|([^`.]+))/y;

/** Beyond U+FFFF: MySQL takes a question mark instead, and doesn't say so. */
const UNNAMEABLE = /[\0\u{10000}-\u{10ffff}]/u;

/** `null` if it isn't a name: empty parts, a quote left open, more than two parts. */
export function parseTableName(text: string): WrittenName | null {
  const first = readPart(text, 0);
  if (first === null) return null;
  if (first.end === text.length) return { schema: null, table: first.name };
  if (text.charAt(first.end) !== '.') return null;
  const second = readPart(text, first.end + 1);
  if (second === null || second.end !== text.length) return null;
  return { schema: first.name, table: second.name };
}

/**
 * All that may be meant by it, likeliest first: names have dots in them, too, and not everybody
 * quotes them.
 */
export function readingsOf(text: string): readonly WrittenName[] {
  const parsed = parseTableName(text);
  const split = [...text.matchAll(/\./g)].map(({ index }) => ({
    schema: text.slice(0, index),
    table: text.slice(index + 1),
  }));
  return [...(parsed === null ? [] : [parsed]), { schema: null, table: text }, ...split];
}

function readPart(
  text: string,
  at: number,
): { readonly name: string; readonly end: number } | null {
  PART.lastIndex = at;
  const match = PART.exec(text);
  if (match === null) return null;
  const [whole, quoted, plain] = match;
  const name = quoted?.replaceAll('``', '`') ?? plain ?? '';
  if (Array.from(name).length > 64 || UNNAMEABLE.test(name)) return null;
  return { name, end: at + whole.length };
}
