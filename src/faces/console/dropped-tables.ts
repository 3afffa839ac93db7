/**
 * The dropped tables for the console: reads and changes them by the statements that undrop has of
 * its own. Each value that a person typed is a quoted literal or a quoted name.
 */
import { randomUUID } from 'node:crypto';
import { quoteIdentifier } from '../../connections/sql.js';
import { parseSince, TIME_EXPECTED } from '../../duration.js';
import { UndropError } from '../../errors.js';
import { type Selection, SORTS, type Sort } from '../../ledger/selection.js';
import { foldName, inGroups, isHoldId } from '../../names/names.js';
import { parseTableName } from '../../recycle/find-dropped.js';
import { type DroppedTable, originOf } from '../../recycle/held-tables.js';
import { selectionBy, TABLES_MAX } from '../../recycle/list.js';
import { expiryOf, nextOf, stateOf } from '../../recycle/print/print-list.js';
import * as ER from '../../wire/server-errors.js';
import { type ConsoleSession, errnoOf } from './session.js';

const LIMIT_MAX = 1_000;
const LIMIT = 50;

/** Texts of a request, by the names of its parameters. */
export type Params = Readonly<Record<string, unknown>>;

/** The orders of a list, and their names for people. */
export const ORDERS: Readonly<Record<Sort, string>> = {
  dropped: 'newest first',
  size: 'biggest first',
  expires: 'soonest to go',
};

/**
 * A page, newest first, unless it has another order. `next`: the cursor of the next page; null:
 * this is the last. Rejects with UNDROP_API_REQUEST.
 */
export async function listDropped(session: ConsoleSession, params: Params) {
  const limit = readLimit(params['limit']);
  const wanted = textIn(params, 'sort') ?? 'dropped';
  const sort = SORTS.find((one) => one === wanted);
  if (sort === undefined) throw wrongParam('sort', SORTS.join(', '), wanted);
  const selection = selectionIn(params);
  // Without those that are pinned or going already, which come first.
  const isExpiring = sort === 'expires' && selection.state === undefined;
  const found = await find(session, { ...selection, isExpiring }, { sort, limit: limit + 1 });
  const tables = found.slice(0, limit);
  // A page begins after an id, which says nothing in another order.
  const isLast = found.length <= limit || sort !== 'dropped';
  return { tables, next: isLast ? null : (tables.at(-1)?.id ?? null) };
}

async function find(
  session: ConsoleSession,
  selection: Selection,
  wanted: { readonly sort?: Sort; readonly limit: number },
): Promise<readonly ConsoleTable[]> {
  const found = await session.find(selection, { sort: 'dropped', ...wanted });
  return found.map((table) => tableOf(table, session.whyEarly(table.id)));
}

function selectionIn(params: Params): Selection {
  const names = ['schema', 'user', 'program', 'q', 'state', 'cursor'];
  const [schema, user, program, text, state, before] = names.map((name) => textIn(params, name));
  const [since, until] = [timeIn(params, 'since'), timeIn(params, 'until')];
  if (before != null && !isHoldId(before)) throw wrongParam('cursor', 'a value of "next"', before);
  const who = { schema, user, program };
  return selectionBy({ ...who, text, since, until, state: state?.toUpperCase(), before });
}

/** A line for each statement. `isPart`: it has more tables than were read. */
export type ConsoleDrop = ReturnType<typeof dropOf> & { readonly isPart: boolean };

const DROPS_OF_PAGE = 50;
/**
 * The first that is more than the statements is mostly enough. With the one more that is asked for,
 * tables are located 100 at once.
 */
const ROWS_READ = [19, 99, 495];

/**
 * A page with a line for each statement, newest first; one of more than 495 tables is continued on
 * the next. Parameters as of `listDropped`, but `sort`. Rejects with UNDROP_API_REQUEST.
 */
export async function listDropsOf(session: ConsoleSession, params: Params, most = DROPS_OF_PAGE) {
  const read = (rows = 0) => listDropped(session, { ...params, limit: String(rows) });
  const [first, ...more] = ROWS_READ.filter((rows) => rows > most);
  let { tables, next: cursor } = await read(first);
  for (const rows of more) {
    if (cursor === null || inDrops(tables).length > most) break;
    ({ tables, next: cursor } = await read(rows));
  }
  const all = inDrops(tables);
  // The last one may go on.
  const whole = cursor === null || all.length === 1 ? all : all.slice(0, -1);
  const page = whole.slice(0, most);
  const [other] = all[page.length] ?? [];
  // Statements at the same time have ids among each other's: rather a line twice than none.
  const next = other === undefined ? cursor : (tables[tables.indexOf(other) - 1]?.id ?? cursor);
  const isPart = next !== null && all.length === 1;
  return { drops: page.map((drop) => ({ ...dropOf(drop), isPart })), next };
}

function inDrops(tables: readonly ConsoleTable[]): readonly ConsoleTable[][] {
  return inGroups(tables, ({ dropId, id }) => dropId ?? id);
}

/** `first`: of its tables that were read. */
function dropOf(tables: readonly ConsoleTable[]) {
  const [first] = tables;
  if (first === undefined) throw new Error('a drop without tables');
  const sizes = tables.flatMap(({ bytes }) => bytes ?? []);
  return {
    dropId: first.dropId,
    first,
    tables: tables.length,
    schemas: [...new Set(tables.flatMap(({ schema }) => schema ?? []))],
    bytes: sizes.length === 0 ? null : sizes.reduce((sum, bytes) => sum + bytes, 0),
    /** Its tables that were read. */
    members: tables,
    states: [...new Set(tables.flatMap(({ state }) => state ?? []))],
  };
}

/** Statements of one user and program in a schema, each at most so long after the one before. */
const BURST_GAP_MS = 60_000;
/** Fewer have a line each. */
const BURST_MIN = 5;
/** More are read only as far as the last burst goes on. */
const PAGES_OF_BURST_MAX = 4;

/** A page of bursts, as of `listDropsOf`. The longest end with an `isPart`. */
export async function listBurstsOf(session: ConsoleSession, params: Params, most?: number) {
  let { drops, next } = await listDropsOf(session, params, most);
  for (let pages = 1; next !== null && (inRows(drops).at(-1)?.length ?? 1) > 1; pages++) {
    if (pages === PAGES_OF_BURST_MAX) {
      drops = drops.with(-1, { ...(drops.at(-1) as ConsoleDrop), isPart: true });
      break;
    }
    const more = await listDropsOf(session, { ...params, cursor: next });
    [drops, next] = [[...drops, ...more.drops], more.next];
  }
  const bursts = inRows(drops).flatMap((row) => {
    return row.length < BURST_MIN ? row.map((drop) => [drop]) : [row];
  });
  return { bursts, next };
}

/** Newest first. An exchange of tables is alone: to undo it with drops would turn an undo round. */
function inRows(drops: readonly ConsoleDrop[]): readonly (readonly ConsoleDrop[])[] {
  const rows: ConsoleDrop[][] = [];
  for (const drop of drops) {
    const last = rows.at(-1);
    const next = last?.at(-1)?.first;
    const { droppedAt, how, dropId } = drop.first;
    const gapMs = Date.parse(next?.droppedAt ?? '') - Date.parse(droppedAt ?? '');
    const isOne = (['how', 'user', 'program', 'schema'] as const).every(
      (name) => next?.[name] === drop.first[name],
    );
    const isNext = isOne && how !== 'SWAP' && dropId !== null && gapMs <= BURST_GAP_MS;
    if (last !== undefined && isNext) last.push(drop);
    else rows.push([drop]);
  }
  return rows;
}

/** The ids of those whose names are taken by now, as far as this account sees that. */
export async function takenOf(
  session: ConsoleSession,
  tables: readonly Pick<ConsoleTable, 'id' | 'schema' | 'table'>[],
): Promise<ReadonlySet<string>> {
  const list = (of: 'schema' | 'table') =>
    [...new Set(tables.flatMap((one) => one[of] ?? []))].map(literal).join();
  const [schemas, names] = [list('schema'), list('table')];
  if (schemas === '' || names === '') return new Set();
  const live = await session.rows(
    `SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t FROM information_schema.TABLES
     WHERE TABLE_SCHEMA IN (${schemas}) AND TABLE_NAME IN (${names})`,
  );
  const key = (...names: readonly unknown[]) => foldName(names.join('\0'));
  const found = new Set(live.map(({ s, t }) => key(s, t)));
  const taken = tables.filter(({ schema, table }) => found.has(key(schema, table)));
  return new Set(taken.map(({ id }) => id));
}

/**
 * The table or view that has its name now, of which nothing is run: a view of somebody else could
 * do what this person may. Null: there is none, as far as this account sees.
 */
export async function liveOf(session: ConsoleSession, { schema, table }: ConsoleTable) {
  const [row] = await session.rows(
    `SELECT UNIX_TIMESTAMP(CREATE_TIME) AS since, TABLE_ROWS AS found, TABLE_TYPE AS kind
     FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = ${literal(schema ?? '')} AND TABLE_NAME = ${literal(table ?? '')}`,
  );
  if (row === undefined) return null;
  const { since, found, kind } = row;
  return {
    since: since === null ? null : new Date(1_000 * Number(since)).toISOString(),
    rows: found === null ? null : Number(found),
    isTable: kind === 'BASE TABLE',
  };
}

/** The tables of one statement that are still held; at most 10,000. */
export async function tablesOfDrop(
  session: ConsoleSession,
  dropId: string,
): Promise<readonly ConsoleTable[]> {
  if (!isHoldId(dropId)) throw wrongParam('drop', 'the 32 digits of a drop', dropId);
  return (await tablesOfId(session, dropId)).filter((table) => table.dropId === dropId);
}

/**
 * May this account SELECT all columns of all tables of the schema? A table of that name may be
 * missing, and then the server doesn't tell whether the account may read some columns of it or all.
 */
export async function maySelectAll(session: ConsoleSession, schema: string): Promise<boolean> {
  const name = `${quoteIdentifier(schema)}.${quoteIdentifier(`undrop-${randomUUID()}`)}`;
  const errno = await errnoIn(session.rows(`SELECT 1 FROM ${name} LIMIT 0`));
  return errno === null || ER.ABSENT_TABLE.includes(errno);
}

/** May this account UPDATE the ledger? The server answers the question that PURGE DATABASE asks. */
export async function isOperator(session: ConsoleSession): Promise<boolean> {
  const purge = `PURGE DATABASE ${quoteIdentifier(NO_SCHEMA)}`;
  return (await errnoIn(session.change(purge))) === null;
}

/** The error of the server; null: the statement has none. Rejects with any other error. */
async function errnoIn(result: Promise<unknown>): Promise<number | null> {
  try {
    await result;
    return null;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 0) throw error;
    return errno;
  }
}

/** No drop is of a schema of this name: a server wouldn't create it. */
const NO_SCHEMA = 'undrop may operate ';

/** Rejects with UNDROP_NO_SUCH_HELD, or with UNDROP_API_REQUEST. */
export async function getTable(session: ConsoleSession, id: string) {
  const found = isHoldId(id) ? await tablesOfId(session, id) : [];
  const table = found.find((one) => one.id === id);
  if (table === undefined) throw new UndropError('UNDROP_NO_SUCH_HELD', { target: id, fate: '' });
  return table;
}

/** By the whole id, of a table or a drop. */
function tablesOfId(session: ConsoleSession, id: string): Promise<readonly ConsoleTable[]> {
  return find(session, { id }, { limit: TABLES_MAX });
}

/** Other dropped tables that had its name, newest first. */
export async function othersOfName(
  session: ConsoleSession,
  { id, schema, table }: ConsoleTable,
): Promise<readonly ConsoleTable[]> {
  const found = await find(session, { names: [{ schema, table }] }, { limit: OTHERS_MAX + 1 });
  return found.filter((one) => one.id !== id).slice(0, OTHERS_MAX);
}

const OTHERS_MAX = 10;

export interface RestoreWay {
  /** `[schema.]name`; null: its own. */
  readonly to: string | null;
  /** Also keys to a new parent. */
  readonly keys: boolean;
  /** Takes the name of the live table, which is held instead; then the others mean nothing. */
  readonly swap: boolean;
}

function undropText(id: string, { to, keys, swap }: RestoreWay): string {
  const undrop = `UNDROP TABLE ${idLiteral(id)}`;
  if (swap) return `${undrop} SWAP`;
  return `${undrop}${to === null ? '' : ` TO ${nameOf(to)}`}${keys ? ' WITH KEYS' : ''}`;
}

/** The effects of a restore. */
export async function planTable(session: ConsoleSession, id: string, way: RestoreWay) {
  const [row = {}] = await session.rows(`EXPLAIN ${undropText(id, way)}`);
  const notes = row['Notes'] === null ? [] : String(row['Notes']).split('; ');
  return {
    id,
    table: String(row['Table']),
    becomes: String(row['Becomes']),
    rows: row['Rows'] === null ? null : Number(row['Rows']),
    foreignKeys: Number(row['Foreign_keys']),
    triggers: Number(row['Triggers']),
    notes,
    isRefused: notes.some((text) => text.startsWith('refused:')),
  };
}

/** The rejections of both are the server's, or UNDROP_API_REQUEST. */
export function undropTable(session: ConsoleSession, id: string, way: RestoreWay) {
  return session.change(undropText(id, way));
}

/**
 * The statement that undoes a drop, a DROP DATABASE by the schema's name alone, or all drops of a
 * span of time by a user, in a schema. Throws UNDROP_API_REQUEST.
 */
export function undropManyText(
  params: Params,
  { swap, partial }: { readonly swap: boolean; readonly partial: boolean },
): string {
  const names = ['drop', 'schema', 'user', 'program'];
  const [drop, schema, user, program] = names.map((name) => textIn(params, name));
  const [since, until] = [timeIn(params, 'since'), timeIn(params, 'until')];
  // An empty one isn't for all times.
  if (params['since'] !== undefined && since === null)
    throw wrongParam('since', TIME_EXPECTED, null);
  const time = (date: Date) => literal(date.toISOString());
  const isSchema =
    schema != null && [drop, user, program, since, until].every((one) => one == null);
  if (drop == null && since === null && !isSchema) throw wrongParam('since', TIME_EXPECTED, null);
  const span = [
    'ALL',
    schema != null && `FROM ${quoteIdentifier(schema)}`,
    since && `SINCE ${time(since)}`,
    until && `UNTIL ${time(until)}`,
    program != null && `BY PROGRAM ${literal(program)}`,
    user != null && `BY ${literal(user)}`,
  ];
  const whole = isSchema ? [`DATABASE ${quoteIdentifier(schema)}`] : span;
  const words = drop != null ? [`DROP ${idLiteral(drop)}`] : whole;
  const how = [swap && 'SWAP', partial && 'PARTIAL'];
  return ['UNDROP', ...words, ...how].filter(Boolean).join(' ');
}

/** `time`: a duration like 30d. */
export function holdTable(session: ConsoleSession, id: string, time: string) {
  return session.change(`HOLD TABLE ${idLiteral(id)} FOR ${literal(time)}`);
}

export type ConsoleTable = ReturnType<typeof tableOf>;

function tableOf(table: DroppedTable, early: string | null) {
  const time = (date: Date | null) => date && `${date.toISOString().slice(0, 19)}Z`;
  return {
    id: table.id,
    dropId: table.dropId,
    ...originOf(table),
    how: table.how,
    droppedAt: time(table.droppedAt),
    user: table.user,
    client: table.clientAddress,
    program: table.program,
    lockedUntil: time(table.lockedUntil),
    rows: table.rowEstimate,
    bytes: table.byteEstimate,
    state: stateOf(table),
    expiresAt: time(expiryOf(table)),
    early,
    next: nextOf(table),
    statement: table.statement,
  };
}

export function readLimit(found: unknown): number {
  if (found === undefined) return LIMIT;
  const limit = typeof found === 'string' && /^\d{1,4}$/.test(found) ? Number(found) : 0;
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw wrongParam('limit', `a number from 1 to ${LIMIT_MAX}`, found);
}

/** Null: it isn't there. */
export function textIn(params: Params, name: string): string | null {
  const found = params[name];
  if (found === undefined || found === null || found === '') return null;
  if (typeof found === 'string' && found.length <= TEXT_CHARACTERS_MAX) return found;
  throw wrongParam(name, `a text of at most ${TEXT_CHARACTERS_MAX} characters`, found);
}

const TEXT_CHARACTERS_MAX = 256;

/** Throws UNDROP_API_REQUEST. */
function timeIn(params: Params, name: 'since' | 'until'): Date | null {
  const text = textIn(params, name);
  const time = text === null ? null : parseSince(text, new Date());
  if (text !== null && time === null) throw wrongParam(name, TIME_EXPECTED, text);
  return time;
}

/** `[schema.]name`, as the command line takes it. */
export function nameOf(text: string): string {
  const name = parseTableName(text);
  if (name === null) throw wrongParam('to', 'a name like orders_old or shop.orders_old', text);
  const parts = name.schema === null ? [name.table] : [name.schema, name.table];
  return parts.map(quoteIdentifier).join('.');
}

/** Throws UNDROP_API_REQUEST. */
function idLiteral(id: string): string {
  if (!isHoldId(id)) throw wrongParam('id', 'the 32 digits of an id', id);
  return literal(id);
}

/** For a session without a sql_mode. */
export function literal(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
}

export function wrongParam(name: string, expected: string, found: unknown): UndropError {
  // Values within it may be too deep for JSON.stringify.
  const flat = (_name: string, value: unknown) =>
    typeof value === 'object' && value !== null && value !== found ? '…' : value;
  const shown = (JSON.stringify(found, flat) ?? 'nothing').slice(0, SHOWN_CHARACTERS_MAX);
  return new UndropError('UNDROP_API_REQUEST', { name, expected, found: shown });
}

const SHOWN_CHARACTERS_MAX = 100;
