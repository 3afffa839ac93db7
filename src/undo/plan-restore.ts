/**
 * `planRestore` decides which held table a request means, and its new name. Pure; the refusals are
 * UndropErrors.
 *
 * Invariant: for several tables of one name the newest complete one is taken. If tables of that
 * name are held from several schemas, none is taken, because the request is ambiguous.
 */
import { UndropError } from '../errors.js';
import { isSameName, isUserSchema, parseHoldName } from '../names/names.js';
import type { ListedTable, QualifiedTable } from './list.js';

export interface RestoreRequest {
  /** A table, a qualified table, an id or a unique beginning of one (4 digits or more). */
  readonly target: string;
  /** `[schema.]name` to restore as; default: the original name. */
  readonly to?: string | undefined;
}

export interface RestorePlan {
  readonly table: ListedTable;
  readonly to: QualifiedTable;
  /** Further held tables of the same name, newest first. */
  readonly others: readonly ListedTable[];
}

const SHOWN_MAX = 5;

/** The source and target of the RENAME. `held`: newest first. */
export function planRestore(held: readonly ListedTable[], request: RestoreRequest): RestorePlan {
  const found = findTarget(held, request.target);
  const table = newestWhole(found);
  if (table === undefined) {
    throw new UndropError('UNDROP_NO_SUCH_HELD', { target: request.target, fate: '' });
  }
  if (table.torn) throw new UndropError('UNDROP_TORN', { table: qualified(table) ?? table.id });
  if (table.state !== 'HOLD') {
    throw new UndropError('UNDROP_NOT_RESTORABLE', { id: table.id, state: table.state });
  }
  const to = chooseName(table, request.to);
  return { table, to, others: found.filter((other) => other !== table) };
}

/** The first of `found` that can be restored, else the first; `found`: newest first. */
export function newestWhole<T extends Pick<ListedTable, 'state' | 'torn'>>(
  found: readonly T[],
): T | undefined {
  return found.find(canComeBack) ?? found[0];
}

export function canComeBack({ state, torn }: Pick<ListedTable, 'state' | 'torn'>): boolean {
  return state === 'HOLD' && torn !== true;
}

/** All matches; for one name only. A whole id wins, then a name, then the beginning of an id. */
export function findTarget(held: readonly ListedTable[], target: string): readonly ListedTable[] {
  const digits = idDigits(target);
  const whole = held.filter(({ id }) => id === digits);
  if (whole.length > 0) return whole;
  const named = findByName(held, target);
  if (named.length > 0) return named;
  if (!isIdPrefix(digits)) return [];
  const begun = held.filter(({ id }) => id.startsWith(digits));
  if (begun.length > 1) throw ambiguous(target, begun);
  return begun;
}

/**
 * Normalizes a possible beginning of an id: users copy a UUID with its dashes, or a hold name, with
 * or without its schema.
 */
export function idDigits(text: string): string {
  const name = text.replaceAll('`', '').replace(/^.*\./, '');
  return parseHoldName(name)?.id ?? text.replaceAll('-', '').toLowerCase();
}

/** Whether `digits` may be the beginning of an id, or a whole one. */
export function isIdPrefix(digits: string): boolean {
  return /^[0-9a-f]{4,32}$/.test(digits);
}

/** The exact name, else without regard to case. */
function findByName(held: readonly ListedTable[], target: string): readonly ListedTable[] {
  const name = parseTableName(target);
  if (name === null) return [];
  const same = held.filter((table) => isMeant(table, name, (one, other) => one === other));
  const found = same.length > 0 ? same : held.filter((table) => isMeant(table, name, isSameName));
  const origins = new Set(found.map((table) => qualified(table)));
  if (origins.size > 1) throw ambiguous(target, found);
  return found;
}

function isMeant(
  { origin }: ListedTable,
  { schema, table }: WrittenName,
  isSame: (one: string, other: string) => boolean,
): boolean {
  if (origin === null || !isSame(table, origin.table)) return false;
  return schema === null || isSame(schema, origin.schema);
}

function chooseName(table: ListedTable, to: string | undefined): QualifiedTable {
  if (to === undefined) {
    if (table.origin === null || isAdopted(table)) throw noOrigin(table);
    return table.origin;
  }
  const parsed = parseTableName(to);
  if (parsed === null) throw new UndropError('UNDROP_BAD_TARGET', { target: to });
  const schema = parsed.schema ?? table.origin?.schema;
  const isOwn = parsed.table === table.origin?.table;
  if (schema === undefined || (isOwn && isAdopted(table))) throw noOrigin(table);
  // A hold name may be collected as one, unless it is the table's original name.
  const isOurs = !isUserSchema(schema) || (parseHoldName(parsed.table) !== null && !isOwn);
  if (isOurs) throw new UndropError('UNDROP_BAD_TARGET', { target: to });
  return { schema, table: parsed.table };
}

/** A table of Vitess has its hold name in the ledger; its own is lost (recovery/adopt.ts). */
function isAdopted({ id, origin }: ListedTable): boolean {
  return origin !== null && parseHoldName(origin.table)?.id === id;
}

function noOrigin({ id }: ListedTable): UndropError {
  return new UndropError('UNDROP_NO_ORIGIN', { id });
}

export function ambiguous(target: string, tables: readonly ListedTable[]): UndropError {
  const found = tables.map((table) => `${table.id} (${qualified(table) ?? 'origin not known'})`);
  return ambiguousOf(target, found);
}

export function ambiguousOf(target: string, found: readonly string[]): UndropError {
  const shown = found.slice(0, SHOWN_MAX);
  const more = found.length > SHOWN_MAX ? ` and ${found.length - SHOWN_MAX} more` : '';
  return new UndropError('UNDROP_AMBIGUOUS', { target, found: shown.join(', ') + more });
}

function qualified({ origin }: ListedTable): string | null {
  return origin === null ? null : `${origin.schema}.${origin.table}`;
}

/** A name as users type it: `[schema.]name`; a name with a dot in it must be in backticks. */
interface WrittenName {
  readonly schema: string | null;
  readonly table: string;
}

const PART = '`(?:[^`]|``)+`|[^`.]+';
const WRITTEN = new RegExp(`^(?:(${PART})\\.)?(${PART})$`);

/** Beyond U+FFFF: MySQL silently replaces these by a question mark. */
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
