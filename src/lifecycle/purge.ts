/**
 * Deletes the rows of one table at a time in small chunks, along its key if it has one. After each
 * chunk it pauses for as long as the chunk took, so that the server has at least half of the time
 * for others.
 *
 * Invariant: it works on the one table that it was made for, whose name it asserts; its session
 * has foreign_key_checks off, so that nothing follows a foreign key into live rows even if one
 * appears after the check. It may be given up after any chunk and begun anew.
 */
import { assert } from '../assert.js';
import { parseHoldName } from '../names/hold-name.js';
import type { HoldTable } from '../service/hold-tables.js';
import {
  isServerError,
  type Row,
  type RunOptions,
  type ServiceConnection,
} from '../service/pool/pools.js';
import { numberOf, textOf, textOrNullOf } from '../service/row.js';
import { ident, note, sql } from '../service/sql.js';
import { ABSENT_TABLE, ER_SPECIFIC_ACCESS_DENIED_ERROR, GAVE_UP } from '../wire/server-errors.js';
import { type Collectable, logFields } from './collectable.js';
import {
  choosePurgeKey,
  deleteBetween,
  type IndexColumn,
  nextBounds,
  type PurgeKey,
} from './purge-sql.js';
import type { ActionContext } from './transition.js';

/**
 * Finding the next row may have to pass all that are marked as deleted while a snapshot is open.
 */
const CHUNK_DEADLINE_MS = 120_000;
/** Another key would not help: the table is absent or in use, or a right is missing. */
const OF_ANY_KEY = [ER_SPECIFIC_ACCESS_DENIED_ERROR, ...ABSENT_TABLE, ...GAVE_UP];

/** One piece. `end`: the walk has come to the end of the table. */
interface Chunk {
  readonly rowsRemoved: number;
  readonly end: boolean;
}

/** The walk through one table; belongs to one connection, whose variables have its bounds. */
class PurgeWalk {
  readonly table: HoldTable;
  readonly #chunkRows: number;
  #key: PurgeKey | null;
  /** `start`: nothing known yet. `high`: the next piece is bounded. `rest`: the last piece. */
  #at: 'start' | 'high' | 'rest' = 'start';
  #low = false;
  #rowsRemoved = 0;

  private constructor(table: HoldTable, chunkRows: number, key: PurgeKey | null) {
    this.table = table;
    this.#chunkRows = chunkRows;
    this.#key = key;
  }

  /** Looks for a key. `chunkRows`: rows of one DELETE, at least 1. */
  static async begin(
    connection: ServiceConnection,
    table: HoldTable,
    options: { readonly chunkRows: number },
  ): Promise<PurgeWalk> {
    assertPurgeable(table);
    const key = choosePurgeKey(await readIndexColumns(connection, table));
    return new PurgeWalk(table, options.chunkRows, key);
  }

  /** Rows removed since the walk began. */
  get rowsRemoved(): number {
    return this.#rowsRemoved;
  }

  /** Removes the next piece. 1227 if `logged` is false and the account may not. */
  async next(connection: ServiceConnection, options: { logged: boolean }): Promise<Chunk> {
    const runOptions = { logged: options.logged, deadlineMs: CHUNK_DEADLINE_MS };
    const key = this.#key;
    try {
      const chunk =
        key === null
          ? await this.#removeAny(connection, runOptions)
          : await this.#removeAlong(connection, key, runOptions);
      this.#rowsRemoved += chunk.rowsRemoved;
      return chunk;
    } catch (error) {
      if (key === null || !isServerError(error) || isServerError(error, ...OF_ANY_KEY)) throw error;
      // A key that this server can't walk (invisible, of a type we misjudged): go on without.
      this.#key = null;
      return { rowsRemoved: 0, end: false };
    }
  }

  async #removeAny(connection: ServiceConnection, options: RunOptions): Promise<Chunk> {
    const bounds = { low: false, high: false, chunkRows: this.#chunkRows };
    const [, deleted] = await connection.run(
      [GUARD, deleteBetween(this.table, null, bounds)],
      options,
    );
    const rowsRemoved = deleted?.affectedRows ?? 0;
    return { rowsRemoved, end: rowsRemoved < this.#chunkRows };
  }

  async #removeAlong(
    connection: ServiceConnection,
    key: PurgeKey,
    options: RunOptions,
  ): Promise<Chunk> {
    if (this.#at === 'start') await this.#findFirstBound(connection, key, options);
    const chunkRows = this.#chunkRows;
    const high = this.#at === 'high';
    const deletion = deleteBetween(this.table, key, { low: this.#low, high, chunkRows });
    const onwards = high ? nextBounds(this.table, key, { low: true, chunkRows }) : [];
    const answers = await connection.run([GUARD, deletion, ...onwards], options);
    const rowsRemoved = answers[1]?.affectedRows ?? 0;
    if (!high) return { rowsRemoved, end: rowsRemoved < chunkRows };
    this.#low = true;
    this.#at = isFound(answers.at(-1)?.[0]) ? 'high' : 'rest';
    return { rowsRemoved, end: false };
  }

  async #findFirstBound(
    connection: ServiceConnection,
    key: PurgeKey,
    options: RunOptions,
  ): Promise<void> {
    const bounds = nextBounds(this.table, key, { low: false, chunkRows: this.#chunkRows });
    const answers = await connection.run(bounds, options);
    this.#at = isFound(answers.at(-1)?.[0]) ? 'high' : 'rest';
  }
}

/** Whether no row is left. */
export async function isEmpty(connection: ServiceConnection, table: HoldTable): Promise<boolean> {
  const [rows] = await connection.run(
    sql`SELECT ${note('purge', table.id)} 1 AS one FROM ${ident(table.schema, table.name)} LIMIT 1`,
    { deadlineMs: CHUNK_DEADLINE_MS },
  );
  return rows?.length === 0;
}

const GUARD = sql`SET SESSION foreign_key_checks = 0, SESSION sql_safe_updates = 0`;

/** The last thing before rows go: the name says PURGE, of this very id. */
function assertPurgeable({ name, id }: HoldTable): void {
  const parsed = parseHoldName(name);
  assert(parsed?.state === 'PURGE' && parsed.id === id, 'only a table in PURGE is purged');
}

function isFound(row: Row | undefined): boolean {
  return row !== undefined && numberOf(row, 'found') === 1;
}

async function readIndexColumns(
  connection: ServiceConnection,
  { schema, name, id }: HoldTable,
): Promise<readonly IndexColumn[]> {
  const [statistics, columns] = await connection.run([
    sql`${note('purge', id)} SELECT INDEX_NAME AS name, NON_UNIQUE AS repeated,
      COLUMN_NAME AS col, SUB_PART AS part, NULLABLE AS nullable
      FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}
      AND INDEX_TYPE = 'BTREE' ORDER BY INDEX_NAME, SEQ_IN_INDEX`,
    sql`SELECT COLUMN_NAME AS col, LOWER(DATA_TYPE) AS type FROM information_schema.COLUMNS
      WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}`,
  ]);
  const types = new Map((columns ?? []).map((row) => [textOf(row, 'col'), textOf(row, 'type')]));
  return (statistics ?? []).map((row) => {
    const column = textOrNullOf(row, 'col');
    return {
      index: textOf(row, 'name'),
      unique: numberOf(row, 'repeated') === 0,
      column,
      prefix: textOrNullOf(row, 'part') !== null,
      nullable: textOrNullOf(row, 'nullable') === 'YES',
      dataType: types.get(column ?? '') ?? null,
    };
  });
}

const PAUSE_MS_MAX = 1_000;

export class Purger {
  readonly #options: ActionContext;
  #walk: PurgeWalk | null = null;
  #mayBeUnlogged = true;

  constructor(options: ActionContext) {
    this.#options = options;
  }

  /** Whether a walk through this table is under way: it has rows, or had a moment ago. */
  isWalking(table: Collectable): boolean {
    return this.#walk?.table.name === table.name && this.#walk.table.schema === table.schema;
  }

  /** Gives up the walk through `table`; the next begins at the start. */
  forget(table: Collectable): void {
    if (this.isWalking(table)) this.#walk = null;
  }

  /**
   * Goes on with `table` until `untilMs`, by the monotonic clock, but for at least one piece.
   * `null`, or why its rows can't be removed.
   */
  async work(table: Collectable, untilMs: number): Promise<string | null> {
    const { connection, clock, log, monotonicMs, signal, settings } = this.#options;
    if (!this.isWalking(table)) {
      this.#walk = await PurgeWalk.begin(connection, table, { chunkRows: settings.purgeChunkRows });
      log.info({ event: 'purge', ...logFields(table) }, 'rows are being removed');
    }
    const walk = this.#walk;
    if (walk === null) return null;
    do {
      const beganMs = monotonicMs();
      const chunk = await this.#next(walk, table);
      if (chunk.end) return this.#finish(walk, table);
      await clock.sleep(Math.min(monotonicMs() - beganMs, PAUSE_MS_MAX), signal);
    } while (!signal.aborted && monotonicMs() < untilMs);
    return null;
  }

  async #finish(walk: PurgeWalk, table: Collectable): Promise<string | null> {
    const { connection, log } = this.#options;
    this.#walk = null;
    const { rowsRemoved } = walk;
    log.info(
      { event: 'purge', ...logFields(table), rowsRemoved },
      'the end of the table is reached',
    );
    if (rowsRemoved > 0 || (await isEmpty(connection, table))) return null;
    return 'its rows do not go away';
  }

  /** Unlogged if it is set and allowed; always if replicas don't have the table. */
  async #next(walk: PurgeWalk, table: Collectable): Promise<Chunk> {
    const { connection, settings, log } = this.#options;
    const unlogged = !table.logged || (!settings.purgeBinlog && this.#mayBeUnlogged);
    try {
      return await walk.next(connection, { logged: !unlogged });
    } catch (error) {
      const mayNot = isServerError(error, ER_SPECIFIC_ACCESS_DENIED_ERROR);
      if (!unlogged || !table.logged || !mayNot) throw error;
      this.#mayBeUnlogged = false;
      log.warn({ event: 'purge', err: error }, 'may not switch sql_log_bin off: purge is logged');
      return walk.next(connection, { logged: true });
    }
  }
}
