/**
 * One connection of the pool for as long as a task has it: runs texts one after another, each with
 * a deadline, and knows afterwards whether the connection may be used again.
 */
import type { Connection } from '@databases/mysql';
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { causeText, serverErrorOf } from '../errors.js';
import { type DriverClient, sendAs } from '../login/driver-door.js';
import { type RenderedText, renderText, type SQLQuery, sql } from '../sql.js';
import type { Row, Rows, RunOptions, TaskConnection } from './pools.js';

const DEADLINE_MS = 10_000;

export interface LeaseOptions {
  /** For error texts: where the server is. */
  readonly server: string;
  /** Told when a text had no answer by its deadline. */
  readonly onDeadline: (threadId: number) => void;
}

export class Lease implements TaskConnection {
  readonly #connection: Connection;
  readonly #client: DriverClient;
  readonly #options: LeaseOptions;
  readonly #stopListening: () => void;
  readonly threadId: number;
  /** Why nothing more can be run here. */
  #broken: Error | null = null;
  #spoilt = false;
  #isOver = false;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(connection: Connection, client: DriverClient, options: LeaseOptions) {
    this.#connection = connection;
    this.#client = client;
    this.#options = options;
    this.threadId = client.threadId;
    const onError = (error: Error) => this.#break(error);
    client.on('error', onError);
    this.#stopListening = () => client.removeListener('error', onError);
  }

  /** Whether the connection must not be used by anybody else. */
  get spoilt(): boolean {
    return this.#spoilt;
  }

  /** The connection is destroyed after the task. */
  discard(): void {
    this.#spoilt = true;
  }

  /** Ends the lease. A connection that isn't to be used again keeps its listener to its end. */
  close(): void {
    if (!this.#spoilt) this.#stopListening();
    this.#isOver = true;
  }

  run(text: SQLQuery | readonly SQLQuery[], options: RunOptions = {}): Promise<readonly Rows[]> {
    const turn = this.#tail.then(() => this.#run([text].flat(), options));
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  async #run(queries: readonly SQLQuery[], options: RunOptions): Promise<readonly Rows[]> {
    if (this.#isOver) throw this.#end('its task is over');
    if (this.#broken !== null) throw this.#broken;
    const { deadlineMs = DEADLINE_MS, logged = true, last } = options;
    // Nobody speaks on this connection after a statement in another charset.
    if (last !== undefined) this.#spoilt = true;
    // The driver follows the session's charset, which a text that failed may have left as another.
    sendAs(this.#client, last === undefined ? 'utf8mb4' : 'bytes');
    let isLogged = logged;
    try {
      const answers = await this.#send(renderText(queries, { logged, last }), deadlineMs);
      isLogged = true;
      return answers;
    } finally {
      if (last !== undefined) this.#end('its last statement was run');
      else if (!isLogged) await this.#logAgain();
    }
  }

  async #send(
    { text, answersBefore, answersAfter }: RenderedText,
    deadlineMs: number,
  ): Promise<readonly Rows[]> {
    let timer: NodeJS.Timeout | undefined;
    const expired = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(this.#expire(deadlineMs)), Math.max(0, deadlineMs));
    });
    const answered = this.#connection.query([sql.__dangerous__rawValue(text)]);
    try {
      const [answers] = await Promise.race([answered, expired]);
      assert(Array.isArray(answers), 'a text of several statements has several answers');
      return answers.slice(answersBefore, answers.length - answersAfter).map(asRows);
    } catch (error) {
      // What arrives after the deadline has nobody waiting for it.
      answered.catch(() => undefined);
      if (error instanceof UndropError) throw error;
      throw serverErrorOf(error) ?? this.#break(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * An error amid an unlogged text leaves sql_log_bin off: the next text of a task, which a leader
   * has for hours, must not inherit it.
   */
  async #logAgain(): Promise<void> {
    if (this.#broken !== null || this.#isOver) return;
    const look = sql`SELECT @@SESSION.sql_log_bin AS logged`;
    const [rows] = await this.#send(renderText([look], { logged: true }), DEADLINE_MS);
    if (Number(rows?.[0]?.['logged']) === 1) return;
    const text = 'DO 0;\nSET sql_log_bin=1';
    await this.#send({ text, answersBefore: 2, answersAfter: 0 }, DEADLINE_MS);
  }

  #expire(deadlineMs: number): Error {
    const { server, onDeadline } = this.#options;
    const error = new UndropError('UNDROP_DEADLINE', { server, deadlineMs });
    this.#spoilt = true;
    this.#broken = error;
    onDeadline(this.threadId);
    return error;
  }

  #break(cause: unknown): Error {
    this.#spoilt = true;
    return this.#end(causeText(cause), cause);
  }

  /** Nothing can be run here from now on; what the first reason says is said each time. */
  #end(reason: string, cause?: unknown): Error {
    const { server } = this.#options;
    const facts = { step: 'run a statement', server, cause: reason };
    this.#broken ??= new UndropError('UNDROP_SERVICE_FAILED', facts, cause);
    return this.#broken;
  }
}

/** An OK comes as a record with its counts, a result set as an array of rows. */
function asRows(answer: unknown): Rows {
  if (Array.isArray(answer)) return Object.assign(answer as Row[], { affectedRows: 0 });
  const { affectedRows } = answer as { readonly affectedRows: number };
  return Object.assign([] as Row[], { affectedRows });
}
