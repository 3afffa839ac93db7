/**
 * The finder: which held tables match an id, the digits at one of its ends, or a name. It also
 * finds the fate of a table that is no longer held.
 *
 * Invariants: a whole id wins, then a name, then the digits of an id. If tables of a name are
 * held from several schemas, none is taken, because the request is ambiguous.
 */

import { tolerantly } from '../connections/errors.js';
import type { ServicePool } from '../connections/sql.js';
import { timeText } from '../duration.js';
import { UndropError } from '../errors.js';
import type { LedgerRow } from '../ledger/entry.js';
import { readWhoEnded } from '../ledger/history.js';
import { findRowsIfAny } from '../ledger/read.js';
import { isHoldId, isSameName, parseHoldName, writtenName } from '../names/names.js';
import { asLike } from '../wildcards.js';
import { type DroppedTable, type KnownTable, listAll, listWanted } from './held-tables.js';

/**
 * All held tables that `target` may mean, newest first; empty: no table of that name or id is held.
 * Lists all held tables, which may be 100,000, only if no narrower query finds one. Rejects with
 * UNDROP_AMBIGUOUS.
 */
export async function findDropped(
  pool: ServicePool,
  target: string,
): Promise<readonly DroppedTable[]> {
  const name = parseTableName(target);
  const digits = idDigits(target);
  const byName = name === null ? [] : [{ by: 'name', ...name } as const];
  const byDigits = isIdPrefix(digits) ? [{ by: 'digits', digits } as const] : [];
  // For a name all of the ledger is searched.
  for (const filter of isHoldId(digits) ? [...byDigits, ...byName] : [...byName, ...byDigits]) {
    const found = findTarget(await listWanted(pool, filter), target);
    if (found.length > 0) return found;
  }
  return findTarget(await listAll(pool), target);
}

/** The tables of `held` that match; for one name only. */
export function findTarget(held: readonly DroppedTable[], target: string): readonly DroppedTable[] {
  const digits = idDigits(target);
  const whole = held.filter(({ id }) => id === digits);
  if (whole.length > 0) return whole;
  const named = findByName(held, target);
  if (named.length > 0) return named;
  if (!isIdPrefix(digits)) return [];
  const found = held.filter(({ id }) => isIdWith(id, digits));
  if (found.length > 1) throw ambiguous(target, found);
  return found;
}

/**
 * Normalizes the digits of a possible id: users copy a UUID with its dashes, or a hold name, with
 * or without its schema.
 */
export function idDigits(text: string): string {
  const name = text.replaceAll('`', '').replace(/^.*\./, '');
  return parseHoldName(name)?.id ?? text.replaceAll('-', '').toLowerCase();
}

/** Whether `digits` may be the beginning or the end of an id, or a whole one. */
export function isIdPrefix(digits: string): boolean {
  return /^[0-9a-f]{4,32}$/.test(digits);
}

/** Whether an id begins or ends so: the end of a shown id is random, its beginning a time. */
export function isIdWith(id: string, digits: string): boolean {
  return id.startsWith(digits) || id.endsWith(digits);
}

/** The exact name, else without regard to case. */
function findByName(held: readonly DroppedTable[], target: string): readonly DroppedTable[] {
  const name = parseTableName(target);
  if (name === null) return [];
  const same = held.filter((table) => hasName(table, name, (one, other) => one === other));
  const found = same.length > 0 ? same : held.filter((table) => hasName(table, name, isSameName));
  const origins = new Set(found.map(qualifiedOrigin));
  if (origins.size > 1) throw ambiguous(target, found);
  return found;
}

function hasName(
  { origin }: DroppedTable,
  { schema, table }: WrittenName,
  isSame: (one: string, other: string) => boolean,
): boolean {
  if (origin === null || !isSame(table, origin.table)) return false;
  return schema === null || isSame(schema, origin.schema);
}

const SHOWN_MAX = 5;

/** The refusal if several tables match. */
export function ambiguous(target: string, tables: readonly DroppedTable[]): UndropError {
  const found = tables.map((table) => {
    const name = qualifiedOrigin(table) ?? 'origin not known';
    return `${table.id} (${name}${droppedText(table)})`;
  });
  return ambiguousIds(target, found);
}

function droppedText({ droppedAt }: Pick<KnownTable, 'droppedAt'>): string {
  return droppedAt === null ? '' : `, dropped ${timeText(droppedAt)}`;
}

export function ambiguousIds(target: string, found: readonly string[]): UndropError {
  const shown = found.slice(0, SHOWN_MAX);
  const more = found.length > SHOWN_MAX ? ` and ${found.length - SHOWN_MAX} more` : '';
  return new UndropError('UNDROP_AMBIGUOUS', { target, found: shown.join(', ') + more });
}

/** `schema.table`; null: the ledger has no row of it. */
function qualifiedOrigin({ origin }: Pick<KnownTable, 'origin'>): string | null {
  return origin === null ? null : `${origin.schema}.${origin.table}`;
}

/** `schema.table`, else its id. */
export function nameOrId(table: Pick<KnownTable, 'id' | 'origin'>): string {
  return qualifiedOrigin(table) ?? table.id;
}

/** A name as users type it: `[schema.]name`; a name with a dot in it must be in backticks. */
export interface WrittenName {
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

export function isNameable(name: string): boolean {
  return name !== '' && Array.from(name).length <= 64 && !UNNAMEABLE.test(name);
}

// ── no longer held ───────────────────────────────────────────────────────────────────────────────

/**
 * Ledger rows by the name that tables were dropped under, else by digits of their id, with tables
 * that are no longer held; newest first.
 */
export async function findEndedRows(
  pool: ServicePool,
  target: string,
): Promise<readonly LedgerRow[]> {
  const name = parseTableName(target);
  const named = name === null ? [] : await findRowsIfAny(pool, { by: 'name', ...name }, SHORT);
  if (named.length > 0) return named;
  const digits = idDigits(target);
  return isIdPrefix(digits) ? findRowsIfAny(pool, { by: 'digits', digits }, SHORT) : [];
}

const SHORT = { texts: false, rowsMax: 100 } as const;

export function noSuchHeld(target: string): UndropError {
  return new UndropError('UNDROP_NO_SUCH_HELD', { target, fate: '' });
}

/**
 * The error, with the fate of a table that is no longer held, from `rows` (default: all ledger rows
 * of that name or id), and with names that are held (`near`; default: by `readNear`).
 */
export async function withFate(
  pool: ServicePool,
  { target, error, near }: AbsentTarget,
  rows?: readonly LedgerRow[],
): Promise<unknown> {
  if (!isAbsent(error)) return error;
  const found = rows ?? (await tolerantly(() => findEndedRows(pool, target))).value;
  const last = found.find(({ endedAt }) => endedAt !== null);
  const newest = new Map<string, string>();
  for (const row of near ?? (await readNear(pool, target))) {
    const name = writtenName(row);
    if (!newest.has(name)) newest.set(name, `${name}${droppedText(row)}`);
  }
  const shown = [...newest.values()].slice(0, NEAR_SHOWN_MAX).join('; ');
  const others = shown === '' ? '' : ` Held under that name: ${shown}.`;
  const fate = (last === undefined ? '' : await fateOf(pool, last)) + others;
  return fate === '' ? error : new UndropError('UNDROP_NO_SUCH_HELD', { target, fate }, error);
}

interface AbsentTarget {
  readonly target: string;
  readonly error: unknown;
  readonly near?: readonly LedgerRow[];
}

async function fateOf(
  pool: ServicePool,
  { id, state, endedAt, restoredAs }: LedgerRow,
): Promise<string> {
  const isByUs = state === 'restored' || state === 'removed';
  const { value } = await tolerantly(async () =>
    isByUs ? [await readWhoEnded(pool, { id, state })] : [],
  );
  const [who = null] = value;
  const by = who === null ? '' : ` by ${who}`;
  const time = endedAt?.toISOString().slice(0, 19).replace('T', ' ');
  const how = {
    restored: `was restored at ${time} UTC as ${restoredAs ?? 'before'}${by}`,
    removed: `was removed for good at ${time} UTC${by}`,
    gone: `was found to be removed past undrop, at ${time} UTC`,
  };
  return ` It ${how[isByUs ? state : 'gone']}.`;
}

/** Ledger rows of held tables of that name in any schema, and in any case of its letters. */
export async function readNear(pool: ServicePool, target: string): Promise<readonly LedgerRow[]> {
  const name = parseTableName(target);
  if (name === null) return [];
  const like = asLike(name.table);
  const how = { texts: false, rowsMax: NEAR_ROWS_MAX };
  const { value } = await tolerantly(() => findRowsIfAny(pool, { by: 'selection', like }, how));
  return value;
}

const NEAR_ROWS_MAX = 100;
const NEAR_SHOWN_MAX = 3;

export function isAbsent(error: unknown): error is UndropError {
  return error instanceof UndropError && error.code === 'UNDROP_NO_SUCH_HELD';
}
