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
  const readings = readingsOf(target);
  const same = held.filter((table) => isMeant(table, readings, (one, other) => one === other));
  const found =
    same.length > 0 ? same : held.filter((table) => isMeant(table, readings, isSameName));
  const origins = new Set(found.map((table) => qualified(table)));
  if (origins.size > 1) throw ambiguous(target, found);
  return found;
}

function isMeant(
  { origin }: HeldTable,
  readings: readonly WrittenName[],
  isSame: (one: string, other: string) => boolean,
): boolean {
  if (origin === null) return false;
  return readings.some(({ schema, table }) => {
    return isSame(table, origin.table) && (schema === null || isSame(schema, origin.schema));
  });
}

/** The server's own schemas, which a user's table has no place in. */
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
/** What is shorter is a part of too many names. */
const PART_CHARACTERS_MIN = 3;

/** Those of `names` (qualified) whose table has the target in its name, or the other way round. */
function similarNames(target: string, names: readonly string[]): readonly string[] {
  const bare = target.slice(target.indexOf('.') + 1).toLowerCase();
  if (bare.length < PART_CHARACTERS_MIN) return [];
  return names
    .filter((name) => {
      const table = name.slice(name.indexOf('.') + 1).toLowerCase();
      return table.includes(bare) || bare.includes(table);
    })
    .slice(0, SIMILAR_MAX);
}

/** A name as people type it: `[schema.]name`, with or without backticks. */
interface WrittenName {
  readonly schema: string | null;
  readonly table: string;
}

const PART = '`(?:[^`]|``)+`|[^`.]+';
const WRITTEN = new RegExp(`^(?:(${PART})\\.)?(${PART})$`);

/** Beyond U+FFFF: MySQL takes a question mark instead, and doesn't say so. */
const UNNAMEABLE = /[\0\u{10000}-\u{10ffff}]/u;

/** `null` if it isn't a name: empty parts, a quote left open, more than two parts. */
export function parseTableName(text: string): WrittenName | null {
  const [, first, last] = WRITTEN.exec(text) ?? [];
  if (last === undefined) return null;
  const schema = first === undefined ? null : unquoted(first);
  const table = unquoted(last);
  return isNameable(table) && (schema === null || isNameable(schema)) ? { schema, table } : null;
}

function unquoted(part: string): string {
  return part.startsWith('`') ? part.slice(1, -1).replaceAll('``', '`') : part;
}

function isNameable(name: string): boolean {
  return Array.from(name).length <= 64 && !UNNAMEABLE.test(name);
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
