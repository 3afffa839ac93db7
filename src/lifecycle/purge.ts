/**
 * Deletes the rows of one table at a time in small chunks, along its key if it has one. After each
 * chunk it pauses for as long as the chunk took, so that the server has at least half of the time
 * for others.
 *
 * Invariant: every DELETE is for a table whose name says PURGE; its session has foreign_key_checks
 * off, so that nothing follows a foreign key into live rows even if one appears after the check. It
 * may be given up after any chunk and begun anew.
 */
import { assert } from '../assert.js';
import { UNLESS_PAUSED } from '../ledger/control.js';
import { mayUnlog } from '../ledger/tables.js';
import { parseHoldName } from '../names/names.js';
import type { HoldTable } from '../service/hold-tables.js';
import { isServerError, type ServiceConnection } from '../service/pool/pools.js';
import { ident, note, numberOf, sql, textOf, textOrNullOf } from '../service/sql.js';
import {
  ABSENT_TABLE,
  ER_SPECIFIC_ACCESS_DENIED_ERROR,
  ER_SUBQUERY_NO_1_ROW,
  GAVE_UP,
} from '../wire/server-errors.js';
import { type Collectable, logFields } from './collectable.js';
import {
  choosePurgeKey,
  deleteBetween,
  type IndexColumn,
  nextBounds,
  type PurgeKey,
} from './purge-sql.js';
import { type ActionContext, type ActionOutcome, PROGRESS } from './transition.js';

/**
 * Finding the next row may have to pass all that are marked as deleted while a snapshot is open.
 */
const CHUNK_DEADLINE_MS = 120_000;
const PAUSE_MS_MAX = 1_000;
/**
 * Another key would not help: there is a pause, the table is absent or in use, or a right is
 * missing.
 */
const OF_ANY_KEY = [
  ER_SUBQUERY_NO_1_ROW,
  ER_SPECIFIC_ACCESS_DENIED_ERROR,
  ...ABSENT_TABLE,
  ...GAVE_UP,
];

/** Whether no row is left. */
export async function isEmpty(connection: ServiceConnection, table: HoldTable): Promise<boolean> {
  const [rows] = await connection.run(
    sql`SELECT ${note('purge', table.id)} 1 AS one FROM ${ident(table.schema, table.name)} LIMIT 1`,
    { deadlineMs: CHUNK_DEADLINE_MS },
  );
  return rows?.length === 0;
}

/** The last check before rows are deleted: the name says PURGE, and this very id. */
function assertPurgeable({ name, id }: HoldTable): void {
  const parsed = parseHoldName(name);
  assert(parsed?.state === 'PURGE' && parsed.id === id, 'only a table in PURGE is purged');
}

/** The scan of one table. Its bounds are in variables of the lock's connection. */
interface PurgeProgress {
  readonly table: Collectable;
  /** Whether its DELETEs are written to the binary log. */
  readonly logged: boolean;
  /** Null: any rows, so many at a time. */
  key: PurgeKey | null;
  /** `start`: no bound is set. `bounded`: the next chunk ends at `high`. `rest`: at the end. */
  at: 'start' | 'bounded' | 'rest';
  /** Rows up to `low` are gone. */
  hasLow: boolean;
  rowsRemoved: number;
}

export class Purger {
  readonly #options: ActionContext;
  #progress: PurgeProgress | null = null;

  constructor(options: ActionContext) {
    this.#options = options;
  }

  /** Whether a scan of this table is under way: it has rows, or had a moment ago. */
  isUnderWay({ schema, name }: Collectable): boolean {
    return this.#progress?.table.name === name && this.#progress.table.schema === schema;
  }

  /** Gives up the scan; the next begins at the start. */
  forget(): void {
    this.#progress = null;
  }

  /** Goes on with `table` until `untilMs`, by the monotonic clock, but for at least one chunk. */
  async work(table: Collectable, untilMs: number): Promise<ActionOutcome> {
    const { connection, clock, log, monotonicMs, signal } = this.#options;
    assertPurgeable(table);
    if (this.#progress === null || !this.isUnderWay(table)) {
      const key = choosePurgeKey(await readIndexColumns(connection, table));
      const at = key === null ? 'rest' : 'start';
      const logged = table.logged && !(await this.#mayPurgeUnlogged());
      this.#progress = { table, logged, key, at, hasLow: false, rowsRemoved: 0 };
      log.info({ event: 'purge', ...logFields(table) }, 'rows are being removed');
    }
    const progress = this.#progress;
    do {
      const beganMs = monotonicMs();
      if (await this.#removeNext(progress)) {
        this.#progress = null;
        const { rowsRemoved } = progress;
        const fields = { event: 'purge', ...logFields(table), rowsRemoved };
        log.info(fields, 'the end of the table is reached');
        const isGone = rowsRemoved > 0 || (await isEmpty(connection, table));
        return isGone ? PROGRESS : { kind: 'left', because: 'its rows do not go away' };
      }
      await clock.sleep(Math.min(monotonicMs() - beganMs, PAUSE_MS_MAX), signal);
    } while (!signal.aborted && monotonicMs() < untilMs);
    return PROGRESS;
  }

  /** Whether the DELETEs are to stay out of the binary log, and the account may do that. */
  async #mayPurgeUnlogged(): Promise<boolean> {
    const { connection, settings, log } = this.#options;
    if (settings.purgeBinlog || (await mayUnlog(connection))) return !settings.purgeBinlog;
    log.warn({ event: 'purge' }, 'may not switch sql_log_bin off: purge is logged');
    return false;
  }

  /** Deletes the next chunk. True: the scan has come to the end of the table. */
  async #removeNext(progress: PurgeProgress): Promise<boolean> {
    try {
      return await this.#removeChunk(progress);
    } catch (error) {
      if (progress.key === null || !isServerError(error) || isServerError(error, ...OF_ANY_KEY)) {
        throw error;
      }
      // This server can't use the key (it is invisible, or of an unexpected type): go on without.
      Object.assign(progress, {
        key: null,
        at: 'rest',
        hasLow: false,
      } satisfies Partial<PurgeProgress>);
      return false;
    }
  }

  /** True: it was the last chunk. */
  async #removeChunk(progress: PurgeProgress): Promise<boolean> {
    const { connection, settings } = this.#options;
    const { table, logged, key, hasLow: low } = progress;
    const chunkRows = settings.purgeChunkRows;
    const options = { logged, deadlineMs: CHUNK_DEADLINE_MS };
    if (progress.at === 'start' && key !== null) {
      const found = await connection.run(nextBounds(table, key, { low, chunkRows }), options);
      progress.at = numberOf(found.at(-1)?.[0] ?? {}, 'found') === 1 ? 'bounded' : 'rest';
    }
    const high = progress.at === 'bounded';
    const answers = await connection.run(
      [
        UNLESS_PAUSED,
        sql`SET SESSION foreign_key_checks = 0, SESSION sql_safe_updates = 0`,
        deleteBetween(table, key, { low, high, chunkRows }),
        ...(high && key !== null ? nextBounds(table, key, { low: true, chunkRows }) : []),
      ],
      options,
    );
    const removed = answers[2]?.affectedRows ?? 0;
    progress.rowsRemoved += removed;
    if (!high) return removed < chunkRows;
    progress.hasLow = true;
    progress.at = numberOf(answers.at(-1)?.[0] ?? {}, 'found') === 1 ? 'bounded' : 'rest';
    return false;
  }
}

async function readIndexColumns(
  connection: ServiceConnection,
  { schema, name, id }: HoldTable,
): Promise<readonly IndexColumn[]> {
  const [rows = []] = await connection.run(
    sql`${note('purge', id)} SELECT INDEX_NAME AS name, NON_UNIQUE AS repeated,
      COLUMN_NAME AS col, SUB_PART AS part, NULLABLE AS nullable,
      (SELECT LOWER(found.DATA_TYPE) FROM information_schema.COLUMNS AS found
        WHERE found.TABLE_SCHEMA = ${schema} AND found.TABLE_NAME = ${name}
          AND found.COLUMN_NAME = indexed.COLUMN_NAME) AS type
      FROM information_schema.STATISTICS AS indexed
      WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}
      AND INDEX_TYPE = 'BTREE' ORDER BY INDEX_NAME, SEQ_IN_INDEX`,
  );
  return rows.map((row) => ({
    index: textOf(row, 'name'),
    unique: numberOf(row, 'repeated') === 0,
    column: textOrNullOf(row, 'col'),
    prefix: textOrNullOf(row, 'part') !== null,
    nullable: textOrNullOf(row, 'nullable') === 'YES',
    dataType: textOrNullOf(row, 'type'),
  }));
}
