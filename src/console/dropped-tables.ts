/**
 * The dropped tables for the console: reads and changes them by the statements that undrop has of
 * its own. Each value that a person typed is a quoted literal or a quoted name.
 */
import { randomUUID } from 'node:crypto';
import { parseSince, TIME_EXPECTED, utcText } from '../duration.js';
import { UndropError } from '../errors.js';
import { isHoldId } from '../names/names.js';
import { parseTableName } from '../restore/find-dropped.js';
import { quoteIdentifier } from '../service/sql.js';
import { asLike } from '../wildcards.js';
import { ABSENT_TABLE } from '../wire/server-errors.js';
import { type ConsoleRow, type ConsoleSession, errnoOf } from './session.js';

const LIMIT_MAX = 1_000;
const LIMIT = 50;

/** Texts of a request, by the names of its parameters. */
export type Params = Readonly<Record<string, unknown>>;

/** The orders of a list, and their names for people. */
export const ORDERS = {
  dropped: 'newest first',
  size: 'biggest first',
  expires: 'soonest to go',
} as const;

const ORDER_BY: ReadonlyMap<string, string> = new Map<keyof typeof ORDERS, string>([
  ['dropped', ''],
  ['size', ' ORDER BY Bytes DESC'],
  ['expires', ' ORDER BY Expires_at'],
]);

function orderOf(sort: string | null): string {
  const found = sort === null ? '' : ORDER_BY.get(sort);
  if (found === undefined) throw wrongParam('sort', Object.keys(ORDERS).join(', '), sort);
  return found;
}

export interface TablePage {
  readonly tables: readonly ConsoleTable[];
  /** The cursor of the next page; null: this is the last. */
  readonly next: string | null;
}

/** A page, newest first. Rejects with UNDROP_API_REQUEST. */
export async function listDropped(session: ConsoleSession, params: Params): Promise<TablePage> {
  const limit = readLimit(params['limit']);
  const schema = textIn(params, 'schema');
  const cursor = textIn(params, 'cursor');
  const [state, sort] = [textIn(params, 'state'), textIn(params, 'sort')];
  if (cursor !== null && !isHoldId(cursor)) throw wrongParam('cursor', 'a value of "next"', cursor);
  const conditions = [
    ...compares('User =', textIn(params, 'user')),
    ...compares('State =', state),
    ...compares('How =', textIn(params, 'kind')),
    ...compares('Dropped_at >=', sinceIn(params)),
    ...searches(textIn(params, 'q')),
    ...compares('Id <', cursor),
    // Without those that are pinned or going already, which come first.
    ...(sort === 'expires' && state === null ? ['Expires_at IS NOT NULL'] : []),
  ];
  const from = schema === null ? '' : ` FROM ${quoteIdentifier(schema)}`;
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  const order = orderOf(sort);
  const sql = `SHOW FULL DROPPED TABLES${from}${where}${order} LIMIT ${limit + 1}`;
  const rows = (await session.rows(sql)).map(tableOf);
  const tables = rows.slice(0, limit);
  // A page begins after an id, which says nothing in another order.
  const isMore = rows.length > limit && order === '';
  return { tables, next: isMore ? (tables.at(-1)?.id ?? null) : null };
}

/** A line for each statement. */
export interface ConsoleDrop {
  readonly dropId: string | null;
  /** The first of its tables that were read. */
  readonly first: ConsoleTable;
  readonly tables: number;
  /** It has more tables than were read. */
  readonly isPart: boolean;
  readonly schemas: readonly string[];
  /** Null: no size is known. */
  readonly bytes: number | null;
  readonly states: readonly string[];
}

interface DropPage {
  readonly drops: readonly ConsoleDrop[];
  readonly next: string | null;
}

const DROPS_OF_PAGE = 50;

/**
 * A page with a line for each statement, newest first; one of more than 495 tables is continued on
 * the next. Parameters as of `listDropped`. Rejects with UNDROP_API_REQUEST.
 */
export async function listDropsOf(session: ConsoleSession, params: Params): Promise<DropPage> {
  const groups = new Map<string, { readonly before: string | null; tables: ConsoleTable[] }>();
  let cursor = textIn(params, 'cursor');
  let last: string | null = null;
  let read = 0;
  do {
    const page = await listDropped(session, { ...params, limit: String(FIRST_ROWS), cursor });
    for (const table of page.tables) {
      const key = table.dropId ?? table.id;
      const group = groups.get(key) ?? { before: last, tables: [] };
      group.tables.push(table);
      groups.set(key, group);
      last = table.id;
    }
    read += page.tables.length;
    cursor = page.next;
  } while (cursor !== null && groups.size <= DROPS_OF_PAGE && read < ROWS_OF_PAGE_MAX);
  const all = [...groups.values()];
  // The last one may go on.
  const whole = cursor === null || all.length === 1 ? all : all.slice(0, -1);
  const page = whole.slice(0, DROPS_OF_PAGE);
  const other = all[page.length];
  // Statements at the same time have ids among each other's: rather a line twice than none.
  const next = other === undefined ? cursor : (other.before ?? last);
  const drops = page.map(({ tables }) => dropOf(tables));
  return {
    drops: drops.map((drop) => ({ ...drop, isPart: next !== null && all.length === 1 })),
    next,
  };
}

/** With the one more that is asked for, as many as are located by name, among any number. */
const FIRST_ROWS = 99;
const ROWS_OF_PAGE_MAX = 5 * FIRST_ROWS;
const DROP_TABLES_MAX = 10_000;

function dropOf(tables: readonly ConsoleTable[]): Omit<ConsoleDrop, 'isPart'> {
  const [first] = tables;
  if (first === undefined) throw new Error('a drop without tables');
  const sizes = tables.flatMap(({ bytes }) => bytes ?? []);
  return {
    dropId: first.dropId,
    first,
    tables: tables.length,
    schemas: [...new Set(tables.flatMap(({ schema }) => schema ?? []))],
    bytes: sizes.length === 0 ? null : sizes.reduce((sum, bytes) => sum + bytes, 0),
    states: [...new Set(tables.flatMap(({ state }) => state ?? []))],
  };
}

/** The tables of one statement that are still held; at most 10,000. */
export async function tablesOfDrop(
  session: ConsoleSession,
  dropId: string,
): Promise<readonly ConsoleTable[]> {
  if (!isHoldId(dropId)) throw wrongParam('drop', 'the 32 digits of a drop', dropId);
  const where = `WHERE Drop_id = ${literal(dropId)}`;
  const sql = `SHOW FULL DROPPED TABLES ${where} LIMIT ${DROP_TABLES_MAX}`;
  return (await session.rows(sql)).map(tableOf);
}

/** A schema that was dropped, by the drop that UNDROP DATABASE means, with all that was in it. */
export async function undropSchema(session: ConsoleSession, schema: string) {
  return session.change(`UNDROP DATABASE ${quoteIdentifier(schema)}`);
}

/**
 * May this account SELECT all columns of all tables of the schema? A table of that name may be
 * missing, and then the server doesn't tell whether the account may read some columns of it or all.
 */
export async function maySelectAll(session: ConsoleSession, schema: string): Promise<boolean> {
  const name = `${quoteIdentifier(schema)}.${quoteIdentifier(`undrop-${randomUUID()}`)}`;
  try {
    await session.rows(`SELECT 1 FROM ${name} LIMIT 0`);
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 0) throw error;
    return ABSENT_TABLE.includes(errno);
  }
}

/** May this account UPDATE the ledger? The server answers the question that PURGE asks first. */
export async function isOperator(session: ConsoleSession): Promise<boolean> {
  try {
    await session.change(`PURGE RECYCLEBIN FROM ${quoteIdentifier(NO_SCHEMA)}`);
    return true;
  } catch (error) {
    if (errnoOf(error) === 0) throw error;
    return false;
  }
}

/** No drop is of a schema of this name: a server wouldn't create it. */
const NO_SCHEMA = 'undrop may operate ';

/** Rejects with UNDROP_NO_SUCH_HELD. */
export async function getTable(session: ConsoleSession, id: string) {
  const [row] = await session.rows(`SHOW FULL DROPPED TABLES WHERE Id = ${literal(id)}`);
  if (row === undefined) throw new UndropError('UNDROP_NO_SUCH_HELD', { target: id, fate: '' });
  return tableOf(row);
}

/** Other dropped tables that had its name, newest first. */
export async function othersOfName(
  session: ConsoleSession,
  { id, schema, table }: ConsoleTable,
): Promise<readonly ConsoleTable[]> {
  if (schema === null || table === null) return [];
  // By LIKE, which is found by an index.
  const of = `FROM ${quoteIdentifier(schema)} LIKE ${literal(asLike(table))}`;
  const where = `WHERE Id <> ${literal(id)}`;
  const sql = `SHOW FULL DROPPED TABLES ${of} ${where} LIMIT ${OTHERS_MAX}`;
  return (await session.rows(sql)).map(tableOf).filter((other) => other.table === table);
}

const OTHERS_MAX = 10;

/** The effects of a restore: `to`, `swap` and `keys` as of the restore. */
export async function planTable(session: ConsoleSession, id: string, params: Params) {
  const keys = params['keys'] === 'true';
  const undo =
    params['swap'] === 'true' ? ACTIONS.swap(id) : ACTIONS.restore(id, { ...params, keys });
  const [row = {}] = await session.rows(`EXPLAIN ${undo}`);
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

/** Restore, swap, hold, purge: what each does with the table of that id. */
const ACTIONS = {
  restore: (id: string, body: Params) => {
    const to = textIn(body, 'to');
    const keys = body['keys'] === true ? ' WITH KEYS' : '';
    return `UNDROP TABLE ${literal(id)}${to === null ? '' : ` TO ${nameOf(to)}`}${keys}`;
  },
  swap: (id: string) => `UNDROP TABLE ${literal(id)} SWAP`,
  hold: (id: string, body: Params) => {
    const [time, until] = [textIn(body, 'for'), textIn(body, 'until')];
    if ((time === null) === (until === null))
      throw wrongParam('for', '"for" or "until"', 'both or none');
    return `HOLD TABLE ${literal(id)} ${time === null ? 'UNTIL' : 'FOR'} ${literal(time ?? until ?? '')}`;
  },
  purge: (id: string) => `PURGE TABLE ${literal(id)}`,
} as const satisfies Readonly<Record<string, (id: string, body: Params) => string>>;

export type TableAction = keyof typeof ACTIONS;

export function isAction(text: string | undefined): text is TableAction {
  return text !== undefined && Object.hasOwn(ACTIONS, text);
}

/** Rejects with the error of the server, or with UNDROP_API_REQUEST. */
export async function changeTable(
  session: ConsoleSession,
  {
    id,
    action,
    body,
  }: { readonly id: string; readonly action: TableAction; readonly body: Params },
) {
  const { info, warnings } = await session.change(ACTIONS[action](id, body));
  return { id, action, message: info, warnings };
}

export type ConsoleTable = ReturnType<typeof tableOf>;

function tableOf(row: ConsoleRow) {
  const text = (column: string) => (row[column] === null ? null : String(row[column]));
  const number = (column: string) => (row[column] === null ? null : Number(row[column]));
  const time = (column: string) => {
    const found = text(column);
    return found === null ? null : `${found.replace(' ', 'T')}Z`;
  };
  return {
    id: String(row['Id']),
    dropId: text('Drop_id'),
    schema: text('Schema'),
    table: text('Table'),
    how: text('How'),
    droppedAt: time('Dropped_at'),
    user: text('User'),
    client: text('Client'),
    rows: number('Rows'),
    bytes: number('Bytes'),
    state: text('State'),
    expiresAt: time('Expires_at'),
    next: text('Next'),
    statement: text('Statement'),
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

/** In UTC, as SHOW compares it. Throws UNDROP_API_REQUEST. */
function sinceIn(params: Params): string | null {
  const text = textIn(params, 'since');
  if (text === null) return null;
  const time = parseSince(text, new Date());
  if (time === null) throw wrongParam('since', TIME_EXPECTED, text);
  return utcText(time);
}

function compares(start: string, value: string | null): readonly string[] {
  return value === null ? [] : [`${start} ${literal(value)}`];
}

/** In the names, the user and the statement; `%` and `_` are themselves. */
function searches(text: string | null): readonly string[] {
  if (text === null) return [];
  const pattern = literal(`%${asLike(text)}%`);
  const columns = ['`Table`', '`Schema`', 'User', 'Id', 'Drop_id', 'Statement'];
  const found = columns.map((column) => `${column} LIKE ${pattern}`);
  const { schema = null, table = '' } = parseTableName(text) ?? {};
  if (schema !== null) {
    const like = (part: string) => literal(`%${asLike(part)}%`);
    found.push(`(\`Schema\` LIKE ${like(schema)} AND \`Table\` LIKE ${like(table)})`);
  }
  return [`(${found.join(' OR ')})`];
}

/** `[schema.]name`, as the command line takes it. */
function nameOf(text: string): string {
  const name = parseTableName(text);
  if (name === null) throw wrongParam('to', 'a name like orders_old or shop.orders_old', text);
  const parts = name.schema === null ? [name.table] : [name.schema, name.table];
  return parts.map(quoteIdentifier).join('.');
}

/** For a session without a sql_mode. */
function literal(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
}

export function wrongParam(name: string, expected: string, found: unknown): UndropError {
  const shown = (JSON.stringify(found) ?? 'nothing').slice(0, SHOWN_CHARACTERS_MAX);
  return new UndropError('UNDROP_API_REQUEST', { name, expected, found: shown });
}

const SHOWN_CHARACTERS_MAX = 100;
