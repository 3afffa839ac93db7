/**
 * The door to the server: the pool of service connections, by @databases/mysql over mysql2.
 * One pool for each (process, dialled address), shared by interceptor and collector.
 *
 * Invariant: every text runs under our own session settings (sql_mode '' above all, as values are
 * escaped on this side), in one round trip, and ends by its deadline: the driver has none.
 */
import type { Log } from '../log.js';
import type { SQLQuery } from './sql.js';

/** Where the server listens. */
export type ServerAddress =
  | { readonly host: string; readonly port: number }
  | { readonly socketPath: string };

/** BIGINT comes as bigint, DECIMAL as string, DATETIME as a Date in UTC, BLOB as Buffer. */
export type Value = string | number | bigint | Date | Buffer | null;
export type Row = Readonly<Record<string, Value>>;

/** The answer to one statement: its rows (none for an OK), and the OK's count. */
export type Rows = readonly Row[] & { readonly affectedRows: number };

export interface RunOptions {
  /** Milliseconds until the connection is given up and destroyed; default 10,000. */
  readonly deadlineMs?: number;
  /** False runs the text with sql_log_bin off; 1227 where the account may not. Default true. */
  readonly logged?: boolean;
}

export interface ServiceConnection {
  /**
   * Runs one text (an array is joined by `;`): one round trip, one `Rows` a statement. Stops at the
   * first error and rejects with the server's own (`isServerError`), or with UNDROP_DEADLINE, or
   * with UNDROP_SERVICE_FAILED where the connection broke. Outside a task an error costs the
   * connection, so nothing half open is ever given to the next one.
   */
  run(text: SQLQuery | readonly SQLQuery[], options?: RunOptions): Promise<readonly Rows[]>;
}

/** A connection for as long as a task lasts. */
export interface TaskConnection extends ServiceConnection {
  /** The server's id of this connection, for KILL QUERY. */
  readonly threadId: number;
}

export interface ServicePool extends ServiceConnection {
  /**
   * Gives `fn` one connection for itself: GET_LOCK and session variables last through server errors
   * in it, not through a deadline. Where `fn` throws, the connection is destroyed.
   */
  task<T>(fn: (connection: TaskConnection) => Promise<T>): Promise<T>;
  /** KILL QUERY, on a connection kept apart, so that a full pool can't delay it. */
  killQuery(threadId: number): Promise<void>;
  /** Closes what is idle, waits (bounded) for what is running. May be called twice. */
  dispose(): Promise<void>;
}

export interface ServicePoolOptions {
  readonly address: ServerAddress;
  readonly user: string;
  readonly password: string;
  /** At least 2. */
  readonly connectionsMax: number;
  readonly log: Log;
}

/** Opens the pool; connects when first used. */
export function openServicePool(_options: ServicePoolOptions): ServicePool {
  throw new Error('not built yet');
}

/** An error that the server itself answered with. */
export interface ServerError extends Error {
  readonly errno: number;
  readonly sqlState: string;
  readonly sqlMessage: string;
}

/** Whether the server answered with an error (one of `errnos`, where given). */
export function isServerError(error: unknown, ...errnos: readonly number[]): error is ServerError {
  if (!(error instanceof Error)) return false;
  const { errno, sqlState } = error as Partial<ServerError>;
  if (typeof errno !== 'number' || typeof sqlState !== 'string') return false;
  return errnos.length === 0 || errnos.includes(errno);
}
