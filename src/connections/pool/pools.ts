/**
 * The server as other rooms see it: service connections, alone or from a pool. A pool for each
 * (process, dialled address), shared by interceptor and collector; open-pool.ts implements it.
 */
import type { SQLQuery } from '@databases/mysql';

/** BIGINT comes as bigint, DECIMAL as string, DATETIME as a Date in UTC, BLOB as Buffer. */
export type Row = Readonly<Record<string, string | number | bigint | Date | Buffer | null>>;

/** The response to one statement: its rows (none for an OK), and the OK's count. */
export type Rows = readonly Row[] & { readonly affectedRows: number };

export interface RunOptions {
  /** Milliseconds until the connection is given up and destroyed; default 10,000. */
  readonly deadlineMs?: number;
  /** False runs the text with sql_log_bin off; 1227 if the account may not. Default true. */
  readonly logged?: boolean;
  /**
   * False: don't run the text again on a new connection if the server denies a privilege, because
   * it may not run twice; true: run it on a new connection. Default: as `withNewPrivileges`.
   */
  readonly fresh?: boolean;
  /**
   * A further statement at the end of the text, as bytes in the charset that the text has set
   * before it; its response comes last. The connection is destroyed after it.
   */
  readonly last?: Buffer;
}

export interface ServiceConnection {
  /**
   * Runs one text (an array is joined by `;`): one round trip, one `Rows` for each statement. Stops
   * at the first error and rejects with the server's own (`isServerError`), or with
   * UNDROP_DEADLINE, or with UNDROP_SERVICE_FAILED if the connection broke
   * (UNDROP_UPSTREAM_UNREACHABLE or UNDROP_UPSTREAM_TLS if there was none). Outside a task an error
   * costs the connection, so an open transaction never reaches the next user.
   */
  run(text: SQLQuery | readonly SQLQuery[], options?: RunOptions): Promise<readonly Rows[]>;
}

/** A connection for as long as a task lasts. */
export interface TaskConnection extends ServiceConnection {
  /** The server's id of this connection, for KILL QUERY. */
  readonly threadId: number;
  /** The connection is destroyed after the task. */
  discard(): void;
}

export interface TaskOptions {
  /** Not on the only connection of a pool that has but one (the collector's). */
  readonly apart?: boolean;
  /** On a new connection, as all later ones: it has the present privileges. */
  readonly fresh?: boolean;
}

export interface ServicePool extends ServiceConnection {
  /**
   * Gives `fn` a connection of its own: GET_LOCK and session variables survive server errors in it,
   * but not a deadline. If `fn` throws, the connection is destroyed.
   */
  task<T>(fn: (connection: TaskConnection) => Promise<T>, options?: TaskOptions): Promise<T>;
  /** KILL QUERY, on a separate connection, so that a full pool can't delay it. */
  killQuery(threadId: number): Promise<void>;
  /** Whether a statement of undrop waits for a lock there; read on the same connection. */
  isWaiting(threadId: number): Promise<boolean>;
  /** Closes idle connections, waits (bounded) for running ones. May be called twice. */
  dispose(): Promise<void>;
}
