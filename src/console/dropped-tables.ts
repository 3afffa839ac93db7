/**
 * The dropped tables for the console: reads and changes them by the statements that undrop has of
 * its own. Each value that a person typed is a quoted literal or a quoted name.
 */
import { UndropError } from '../errors.js';
import { isHoldId } from '../names/names.js';
import { parseTableName } from '../restore/find-dropped.js';
import { quoteIdentifier } from '../service/sql.js';
import { asLike } from '../wildcards.js';
import type { ConsoleRow, ConsoleSession } from './session.js';

const LIMIT_MAX = 1_000;
const LIMIT = 50;

/** Texts of a request, by the names of its parameters. */
export type Params = Readonly<Record<string, unknown>>;

export interface TablePage {
  readonly tables: readonly object[];
  /** The cursor of the next page; null: this is the last. */
  readonly next: string | null;
}

/** A page, newest first. Rejects with UNDROP_API_REQUEST. */
export async function listDropped(session: ConsoleSession, params: Params): Promise<TablePage> {
  const limit = readLimit(params['limit']);
  const schema = textIn(params, 'schema');
  const cursor = textIn(params, 'cursor');
  if (cursor !== null && !isHoldId(cursor)) throw wrongParam('cursor', 'a value of "next"', cursor);
  const conditions = [
    ...compares('User =', textIn(params, 'user')),
    ...compares('State =', textIn(params, 'state')),
    ...compares('Dropped_at >=', textIn(params, 'since')),
    ...searches(textIn(params, 'q')),
    ...compares('Id <', cursor),
  ];
  const from = schema === null ? '' : ` FROM ${quoteIdentifier(schema)}`;
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  const sql = `SHOW FULL DROPPED TABLES${from}${where} LIMIT ${limit + 1}`;
  const rows = (await session.rows(sql)).map(tableOf);
  const tables = rows.slice(0, limit);
  return { tables, next: rows.length > limit ? (tables.at(-1)?.id ?? null) : null };
}

/** Rejects with UNDROP_NO_SUCH_HELD. */
export async function getTable(session: ConsoleSession, id: string) {
  const [row] = await session.rows(`SHOW FULL DROPPED TABLES WHERE Id = ${literal(id)}`);
  if (row === undefined) throw new UndropError('UNDROP_NO_SUCH_HELD', { target: id, fate: '' });
  return tableOf(row);
}

/** The effects of a restore: `to`, `swap` and `keys` as of the restore. */
export async function planTable(session: ConsoleSession, id: string, params: Params) {
  const keys = params['keys'] === 'true';
  const undo =
    params['swap'] === 'true' ? ACTIONS.swap(id) : ACTIONS.restore(id, { ...params, keys });
  const [row = {}] = await session.rows(`EXPLAIN ${undo}`);
  return {
    id,
    table: String(row['Table']),
    becomes: String(row['Becomes']),
    rows: row['Rows'] === null ? null : Number(row['Rows']),
    foreignKeys: Number(row['Foreign_keys']),
    triggers: Number(row['Triggers']),
    notes: row['Notes'] === null ? [] : String(row['Notes']).split('; '),
  };
}

/** Restore, swap, hold, purge: what each does with the table of that id. */
export const ACTIONS = {
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

/** Rejects with the error of the server, or with UNDROP_API_REQUEST. */
export async function changeTable(
  session: ConsoleSession,
  {
    id,
    action,
    body,
  }: { readonly id: string; readonly action: TableAction; readonly body: Params },
): Promise<object> {
  const { info, warnings } = await session.change(ACTIONS[action](id, body));
  return { id, action, message: info, warnings };
}

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

function readLimit(found: unknown): number {
  if (found === undefined) return LIMIT;
  const limit = typeof found === 'string' && /^\d{1,4}$/.test(found) ? Number(found) : 0;
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw wrongParam('limit', `a number from 1 to ${LIMIT_MAX}`, found);
}

/** Null: it isn't there. */
function textIn(params: Params, name: string): string | null {
  const found = params[name];
  if (found === undefined || found === null || found === '') return null;
  if (typeof found === 'string' && found.length <= TEXT_CHARACTERS_MAX) return found;
  throw wrongParam(name, `a text of at most ${TEXT_CHARACTERS_MAX} characters`, found);
}

const TEXT_CHARACTERS_MAX = 256;

function compares(start: string, value: string | null): readonly string[] {
  return value === null ? [] : [`${start} ${literal(value)}`];
}

/** In the names, the user and the statement; `%` and `_` are themselves. */
function searches(text: string | null): readonly string[] {
  if (text === null) return [];
  const pattern = literal(`%${asLike(text)}%`);
  const columns = ['`Table`', '`Schema`', 'User', 'Id', 'Drop_id', 'Statement'];
  return [`(${columns.map((column) => `${column} LIKE ${pattern}`).join(' OR ')})`];
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
