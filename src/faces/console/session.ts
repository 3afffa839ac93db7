/**
 * A session of a person with the proxy itself, by the person's own account: what this account may
 * do by SQL is what the console offers. It connects as any client does, so the login, the rights
 * and the audit are the same.
 */

import { randomUUID } from 'node:crypto';
import type { ConnectionOptions, ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import { createConnection } from 'mysql2/promise';
import type { ServerAddress } from '../../connections/server-address.js';
import { quoteIdentifier } from '../../connections/sql.js';
import { UndropError } from '../../errors.js';
import type { Selection, Sort } from '../../ledger/selection.js';
import { keyOf, type QualifiedTable } from '../../names/names.js';
import { type Asker, person } from '../../recycle/asker.js';
import { maySee } from '../sql/rights.js';
import type { Operator } from './operator.js';

/** Where the proxy itself listens, as reached from its own machine. */
export type ProxyAddress = ServerAddress & { readonly offersTls: boolean };

export interface SignIn {
  readonly user: string;
  readonly password: string;
}

/** Finds tables for people by their own rights. */
export type TableFinder = Pick<Operator, 'find' | 'whyEarly'>;
export type ConsoleSession = Awaited<ReturnType<typeof openSession>>;
export type SqlSession = Awaited<ReturnType<typeof openSqlSession>>;

const CONNECT_TIMEOUT_MS = 10_000;

/** Rejects as `openSqlSession` does. */
export async function openSession(
  { door, operator }: { readonly door: ProxyAddress; readonly operator: TableFinder },
  account: SignIn,
) {
  const { offersTls, ...address } = door;
  // The other end is this very program, on this machine.
  const ssl = offersTls ? { ssl: { rejectUnauthorized: false } } : {};
  const connectAttributes = { program_name: 'undrop console' };
  const session = await openSqlSession({ ...address, ...account, ...ssl, connectAttributes });
  const asker = askerOf(session.prepare);
  return Object.assign(session, {
    /** The tables that this account may see, which are those that it may restore. */
    find: (selection: Selection, wanted: { readonly sort: Sort; readonly limit: number }) =>
      operator.find(selection, { ...wanted, asker }),
    whyEarly: (id: string) => operator.whyEarly(id),
  });
}

/** Rejects with an error of the driver: of the server, with its `errno`, or of the network. */
export async function openSqlSession(options: ConnectionOptions) {
  const connection = await createConnection({
    ...options,
    connectTimeout: CONNECT_TIMEOUT_MS,
    charset: 'utf8mb4',
    dateStrings: true,
    multipleStatements: false,
  });
  let isOpen = true;
  const close = () => {
    isOpen = false;
  };
  connection.on('error', close);
  connection.on('end', close);
  // The statement that runs when the session ends is told so, and no listener is.
  const fail = (error: { readonly fatal?: boolean }) => {
    if (error.fatal) close();
    throw error;
  };
  const whileOpen = <T>(ask: () => Promise<T>): Promise<T> => {
    if (!isOpen) throw new UndropError('UNDROP_API_AWAY', { cause: 'this session has ended' });
    return ask().catch(fail);
  };
  const query = async <T extends RowDataPacket[] | ResultSetHeader>(sql: string): Promise<T> => {
    return (await whileOpen(() => connection.query<T>(sql)))[0];
  };
  const rows = (sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> =>
    query<RowDataPacket[]>(sql);
  const session = {
    rows,
    prepare: (sql: string): Promise<unknown> => whileOpen(() => connection.prepare(sql)),
    /** The info text of its OK, and the warnings. Rejects with the error of the server. */
    change: async (sql: string) => {
      const { info, warningStatus } = await query<ResultSetHeader>(sql);
      const found = warningStatus > 0 ? await rows('SHOW WARNINGS') : [];
      // Without session tracking, the driver takes the length for a letter.
      const isLength = info.charCodeAt(0) === Buffer.byteLength(info) - 1;
      const text = info.replace(isLength ? /^./s : /^[^\x20-\x7e]/, '');
      return { info: text, warnings: found.map((row) => String(row['Message'])) };
    },
    /** False: it has ended, from either side. */
    get isOpen() {
      return isOpen;
    },
    end: () => {
      close();
      connection.destroy();
    },
  };
  // A literal is written for this mode; a live table is counted anew.
  const fresh = '/*!80000 , information_schema_stats_expiry = 0 */';
  await connection.query(`SET SESSION sql_mode = '' ${fresh}`).catch((error: unknown) => {
    session.end();
    throw error;
  });
  return session;
}

/** `prepare`: in the session of the person, who may restore what it may create and fill. */
function askerOf(prepare: (sql: string) => Promise<unknown>): Asker {
  const mayRestore = async ({ schema, table }: QualifiedTable): Promise<boolean> => {
    const [of, name, none] = [schema, table, `undrop-${randomUUID()}`].map(quoteIdentifier);
    try {
      await prepare(`CREATE TABLE ${of}.${name} SELECT ${none}`);
      return true;
    } catch (error) {
      const may = maySee(errnoOf(error));
      if (may === null) throw error;
      return may;
    }
  };
  const ask = async (names: readonly QualifiedTable[]) => {
    const granted = new Set<string>();
    for (const name of names) if (await mayRestore(name)) granted.add(keyOf(name));
    return granted;
  };
  return person(ask, { queued: (work) => work(), isOwn: () => false });
}

/** 0: it isn't of a server. */
export function errnoOf(error: unknown): number {
  const { errno, sqlMessage } = error as { readonly errno?: unknown; sqlMessage?: unknown };
  return typeof errno === 'number' && sqlMessage !== undefined ? errno : 0;
}
