/**
 * A session of a person with the proxy itself, by the person's own account: what this account may
 * do by SQL is what the console offers. It connects as any client does, so the login, the rights
 * and the audit are the same.
 */

import { randomUUID } from 'node:crypto';
import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import { createConnection } from 'mysql2/promise';
import { UndropError } from '../errors.js';
import type { Selection } from '../ledger/selection.js';
import { keyOf, type QualifiedTable } from '../names/names.js';
import { type Asker, person } from '../recycle/asker.js';
import type { Dropped } from '../recycle/dropped.js';
import { quoteIdentifier } from '../service/sql.js';
import { maySee } from '../statements/undrop/rights.js';
import type { FindTables } from './operator.js';

/** Where the proxy itself listens, as reached from its own machine. */
export type ProxyDoor = { readonly offersTls: boolean } & (
  | { readonly host: string; readonly port: number }
  | { readonly socketPath: string }
);

export interface SignIn {
  readonly user: string;
  readonly password: string;
}

export type ConsoleRow = Readonly<Record<string, unknown>>;

export interface ConsoleSession {
  /** The tables that this account may see, which are those that it may restore. */
  find(
    selection: Selection,
    wanted: Omit<Parameters<FindTables>[1], 'asker'>,
  ): Promise<readonly Dropped[]>;
  rows(sql: string): Promise<readonly ConsoleRow[]>;
  /** The info text of its OK, and the warnings. Rejects with the error of the server. */
  change(sql: string): Promise<{ readonly info: string; readonly warnings: readonly string[] }>;
  /** False: it has ended, from either side. */
  readonly isOpen: boolean;
  end(): void;
}

const CONNECT_TIMEOUT_MS = 10_000;

/** Rejects with an error of the driver: of the server, with its `errno`, or of the network. */
export async function openSession(
  { door, find }: { readonly door: ProxyDoor; readonly find: FindTables },
  account: SignIn,
): Promise<ConsoleSession> {
  const { offersTls, ...address } = door;
  const connection = await createConnection({
    ...address,
    ...account,
    // The other end is this very program, on this machine.
    ...(offersTls && { ssl: { rejectUnauthorized: false } }),
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
  const rows = (sql: string) => query<RowDataPacket[]>(sql);
  const asker = askerOf((sql) => whileOpen(() => connection.prepare(sql)));
  const session: ConsoleSession = {
    find: (selection, wanted) => find(selection, { ...wanted, asker }),
    rows,
    change: async (sql) => {
      const { info, warningStatus } = await query<ResultSetHeader>(sql);
      const found = warningStatus > 0 ? await rows('SHOW WARNINGS') : [];
      // Without session tracking, the driver takes the length for a letter.
      const text = info.replace(/^[^\x20-\x7e]/, '');
      return { info: text, warnings: found.map((row) => String(row['Message'])) };
    },
    get isOpen() {
      return isOpen;
    },
    end: () => {
      close();
      connection.destroy();
    },
  };
  // A literal is written for this one.
  await connection.query("SET SESSION sql_mode = ''").catch((error: unknown) => {
    session.end();
    throw error;
  });
  return session;
}

/** `prepare`: in the session of the person, who may restore what it may create and fill. */
function askerOf(prepare: (sql: string) => Promise<unknown>): Asker {
  const mayRestore = async (name: QualifiedTable): Promise<boolean> => {
    const none = quoteIdentifier(`undrop-${randomUUID()}`);
    const table = `${quoteIdentifier(name.schema)}.${quoteIdentifier(name.table)}`;
    try {
      await prepare(`CREATE TABLE ${table} SELECT ${none}`);
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
