/**
 * A connection of the pool for the duration of a task: runs texts one after another, each with a
 * deadline, and decides whether the connection may be used again.
 */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Connection } from '@databases/mysql';
import type { Connection as CoreConnection } from 'mysql2';
import { assert, UndropError } from '../../errors.js';
import * as ER from '../../wire/server-errors.js';
import { causeText, deadlineError, isServerError, serverErrorOf } from '../errors.js';
import type { Row, Rows, RunOptions, SQLQuery, TaskConnection } from '../sql.js';
import { renderQuery, sql } from '../sql.js';

const DEADLINE_MS = 10_000;

/** In mysql2 the charset whose characters are bytes. */
const BINARY = 63;
/** utf8mb4_general_ci. */
const UTF8MB4 = 45;

export interface LeaseOptions {
  /** For error texts: where the server is. */
  readonly server: string;
  /** Called if a text had no response by its deadline. */
  readonly onDeadline: (threadId: number) => void;
}

export class Lease implements TaskConnection {
  readonly #connection: Connection;
  readonly #client: DriverClient;
  readonly #options: LeaseOptions;
  readonly threadId: number;
  /** Why nothing more can be run here. */
  #broken: Error | null = null;
  /** The connection must not be used again. */
  isSpoilt = false;
  #isOver = false;
  #tail: Promise<unknown> = Promise.resolve();
  readonly #onError = (error: Error) => this.#break(error);

  constructor(connection: Connection, client: DriverClient, options: LeaseOptions) {
    this.#connection = connection;
    this.#client = client;
    this.#options = options;
    this.threadId = client.threadId;
    client.on('error', this.#onError);
  }

  /** The connection is destroyed after the task. */
  discard(): void {
    this.isSpoilt = true;
  }

  /** Ends the lease. A connection that isn't used again keeps its listener to its end. */
  close(): void {
    if (!this.isSpoilt) this.#client.removeListener('error', this.#onError);
    this.#isOver = true;
  }

  run(
    text: SQLQuery | readonly SQLQuery[],
    options: RunOptions = {},
    logged = true,
  ): Promise<readonly Rows[]> {
    const turn = this.#tail.then(() => this.#run([text].flat(), options, logged));
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  logging(logged: boolean): TaskConnection {
    if (logged) return this;
    return {
      threadId: this.threadId,
      discard: () => this.discard(),
      run: (text, options) => this.run(text, options, logged),
      logging: (other) => this.logging(other),
    };
  }

  async #run(
    queries: readonly SQLQuery[],
    { deadlineMs = DEADLINE_MS, last }: RunOptions,
    logged: boolean,
  ): Promise<readonly Rows[]> {
    if (this.#isOver) throw this.#end('its task is over');
    if (this.#broken !== null) throw this.#broken;
    // The driver follows the session's charset, which a failed text may have changed.
    const { config } = this.#client.connection;
    config.charsetNumber = UTF8MB4;
    let isLogged = logged;
    try {
      if (last !== undefined) {
        // The connection isn't used again after a statement in another charset.
        this.isSpoilt = true;
        await this.#assertSingle(last, queries, { logged, deadlineMs });
        config.charsetNumber = BINARY;
      }
      const answers = await this.#send(renderText(queries, { logged, last }), deadlineMs);
      isLogged = true;
      return answers;
    } finally {
      if (last !== undefined) this.#end('its last statement was run');
      else if (!isLogged) await this.#logAgain();
    }
  }

  /**
   * Users have written the last statement: under its settings it may be read as several, of which
   * the service would run each. A PREPARE takes one, of any kind; rejects with the parser's error.
   */
  async #assertSingle(
    last: Buffer,
    settings: readonly SQLQuery[],
    { logged, deadlineMs }: { readonly logged: boolean; readonly deadlineMs: number },
  ): Promise<void> {
    const check = [sql`SET @undrop_last = ${last}`, sql`PREPARE undrop_last FROM @undrop_last`];
    try {
      await this.#send(renderText([...settings, ...check], { logged }), deadlineMs);
    } catch (error) {
      // Its syntax was right.
      if (!isServerError(error, ER.UNSUPPORTED_PS)) throw error;
    }
  }

  async #send({ text, answersAfter }: RenderedText, deadlineMs: number): Promise<readonly Rows[]> {
    let timer: NodeJS.Timeout | undefined;
    const expired = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(this.#expire(deadlineMs)), Math.max(0, deadlineMs));
    });
    const answered = this.#connection.query([sql.__dangerous__rawValue(text)]);
    try {
      const [answers] = await Promise.race([answered, expired]);
      assert(Array.isArray(answers), 'a text of several statements has several answers');
      return answers.slice(ANSWERS_BEFORE, answers.length - answersAfter).map(asRows);
    } catch (error) {
      // The result after the deadline is ignored.
      answered.catch(() => undefined);
      if (error instanceof UndropError) throw error;
      throw serverErrorOf(error) ?? this.#break(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * An error within an unlogged text leaves sql_log_bin off; the next text of a task, which for a
   * leader lasts hours, must not inherit it.
   */
  async #logAgain(): Promise<void> {
    if (this.#broken !== null || this.#isOver) return;
    const look = sql`SELECT @@SESSION.sql_log_bin AS logged`;
    const [rows] = await this.#send(renderText([look], { logged: true }), DEADLINE_MS);
    if (Number(rows?.[0]?.['logged']) === 1) return;
    const text = 'DO 0;\nSET sql_log_bin=1';
    await this.#send({ text, answersAfter: 0 }, DEADLINE_MS);
  }

  #expire(deadlineMs: number): Error {
    const { server, onDeadline } = this.#options;
    const error = deadlineError(server, deadlineMs);
    this.isSpoilt = true;
    this.#broken = error;
    onDeadline(this.threadId);
    return error;
  }

  #break(cause: unknown): Error {
    this.isSpoilt = true;
    return this.#end(causeText(cause), cause);
  }

  /** Nothing more can be run here; later calls fail with the first reason. */
  #end(reason: string, cause?: unknown): Error {
    const { server } = this.#options;
    const facts = { step: 'run a statement', server, cause: reason };
    this.#broken ??= new UndropError('UNDROP_SERVICE_FAILED', facts, cause);
    return this.#broken;
  }
}

/** An OK is a record with its counts, a result set an array of rows. */
function asRows(answer: unknown): Rows {
  if (Array.isArray(answer)) return Object.assign(answer as Row[], { affectedRows: 0 });
  const { affectedRows } = answer as { readonly affectedRows: number };
  return Object.assign([] as Row[], { affectedRows });
}

// ── the text of one round trip ───────────────────────────────────────────────────────────────────

/**
 * The settings at the start of every text, whatever ran before on its connection. A lock is waited
 * for one second at most; statement-timeout.ts has shorter waits.
 */
const SETTINGS = [
  ...['NAMES utf8mb4', "sql_mode=''", "time_zone='+00:00'", 'autocommit=1', 'lock_wait_timeout=1'],
  ...['innodb_lock_wait_timeout=3', 'sql_safe_updates=0'],
  // DEFAULT would be the global value.
  ...['sql_select_limit=18446744073709551615', 'sql_big_selects=1', 'sql_quote_show_create=1'],
  ...['group_concat_max_len=1048576', 'foreign_key_checks=1', 'unique_checks=1'],
];

/**
 * Fresh row estimates, which undrop's reads don't write to the dictionary; and no time limit of the
 * server on statements, because undrop has its own (MariaDB skips comments for MySQL 5.7 and
 * later); and no missing object is passed over silently.
 */
const SETTINGS_OF_SOME = [
  ...[' /*!50708 , max_execution_time=0 */', ' /*!80000 , information_schema_stats_expiry=0 */'],
  ...[' /*M!100101 , max_statement_time=0 */', ' /*M!100502 , sql_if_exists=0 */'],
].join('');

/** A separate statement, because the setting has another name on some servers. */
const WRITES = 'SET SESSION TRANSACTION READ WRITE';
/** The number of results to skip before those of the requested statements. */
const ANSWERS_BEFORE = 2;

interface RenderedText {
  readonly text: string;
  /** The number of results to skip after those of the requested statements. */
  readonly answersAfter: number;
}

/** Statements that no server writes to its binary log, so that they take no privilege for that. */
const NEVER_LOGGED = /^\s*(?:SELECT|SET|SHOW)\b[^;]*$/;

/**
 * A text for one round trip. `last`: one more statement, in another charset; then each character of
 * the text is a byte. Nothing may follow it, because MySQL 5.6 would keep that as part of a
 * trigger.
 */
export function renderText(
  queries: readonly SQLQuery[],
  { logged, last }: { readonly logged: boolean; readonly last?: Buffer | undefined },
): RenderedText {
  assert(queries.length > 0, 'a text has a statement');
  const texts = queries.map(renderQuery);
  const isAsIs = logged || (last === undefined && texts.every((one) => NEVER_LOGGED.test(one)));
  const unlogged = isAsIs ? '' : ', sql_log_bin=0';
  const prefix = `SET ${SETTINGS.join(', ')}${unlogged}${SETTINGS_OF_SOME}`;
  const text = [prefix, WRITES, ...texts].join(';\n');
  if (last !== undefined) {
    const bytes = Buffer.concat([Buffer.from(`${text};\n`), last]);
    return { text: bytes.toString('latin1'), answersAfter: 0 };
  }
  if (isAsIs) return { text, answersAfter: 0 };
  return { text: `${text};\nSET sql_log_bin=1`, answersAfter: 1 };
}

// ── the client of the driver ─────────────────────────────────────────────────────────────────────
// The one place that uses internals of @databases/mysql: for the thread id, to listen for errors of
// a connection that is taken but idle, which mysql2 would throw at the process, to send a text that
// isn't in UTF-8, to log in with TLS if the server offers it, and to send COM_QUIT. Checked on
// every connection, so that another version of the library can't fail silently.

/** The used part of a mysql2 connection. */
export interface DriverClient {
  readonly threadId: number;
  readonly connection: { readonly stream: Socket; readonly config: { charsetNumber: number } };
  on(event: 'error', listener: (error: Error) => void): void;
  removeListener(event: 'error', listener: (error: Error) => void): void;
  /** Resolves when COM_QUIT is on its way. */
  end(): Promise<void>;
}

interface Driver {
  readonly client: DriverClient;
  dispose(): Promise<void>;
}

/** Connections that send COM_QUIT before the library closes them. */
const polite = new WeakSet<Driver>();

/** The same object for each task of a connection. Makes it send COM_QUIT at its end. */
export function driverClientOf(connection: Connection): DriverClient {
  const { _driver: driver } = connection as unknown as { readonly _driver?: Driver };
  const isKnown =
    typeof driver?.dispose === 'function' &&
    typeof driver.client?.threadId === 'number' &&
    typeof driver.client.on === 'function' &&
    typeof driver.client.connection?.config?.charsetNumber === 'number';
  assert(isKnown, 'the locked versions of @databases/mysql and mysql2 have what is used here');
  if (!polite.has(driver)) {
    polite.add(driver);
    const dispose = driver.dispose.bind(driver);
    driver.dispose = async () => {
      await quit(driver.client);
      await dispose();
    };
  }
  return driver.client;
}

/** A reachable server answers sooner; a dead network takes this long. */
const QUIT_WITHIN_MS = 1_000;

/**
 * Sends COM_QUIT, because servers count and log connections that just end. Resolves when the server
 * has closed the connection, or the time is over, and it is closed; waits as long for a running
 * statement.
 */
async function quit(client: DriverClient): Promise<void> {
  const { stream: socket } = client.connection;
  assert(socket instanceof Socket, 'the locked version of mysql2 has connection.stream');
  if (socket.destroyed) return;
  client.on('error', () => undefined);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, QUIT_WITHIN_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    client.end().catch(() => undefined);
  });
  socket.destroy();
}

/** The stream of the driver: a TLSSocket with TLS. */
export function driverStreamOf(connection: CoreConnection): Duplex {
  const { stream } = connection as unknown as { readonly stream?: Duplex };
  assert(
    typeof stream?.prependListener === 'function',
    'the locked version of mysql2 has connection.stream',
  );
  return stream;
}

/** Call it before the driver reads the greeting. */
export function goOnWithoutTls(connection: CoreConnection): void {
  const { config } = connection as unknown as { readonly config?: { ssl?: object | false } };
  assert(typeof config?.ssl === 'object', 'the locked version of mysql2 has connection.config.ssl');
  config.ssl = false;
}
