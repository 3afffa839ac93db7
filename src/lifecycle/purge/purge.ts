/**
 * Deletes the rows of one table at a time in small chunks, along its key if it has one. Their size,
 * and the pause after each, depend on how long they take and on their effect on other sessions
 * (pace.ts, pressure.ts).
 *
 * Invariant: every DELETE is for a table whose name has the state PURGE; its session has
 * foreign_key_checks off, so that it follows no foreign key into live rows even if one appears
 * after the check. A purge may be interrupted after any chunk and restarted.
 */
import { assert } from '../../assert.js';
import { UNLESS_PAUSED } from '../../ledger/control.js';
import { mayUnlog } from '../../ledger/tables.js';
import { parseHoldName } from '../../names/names.js';
import { isServerError } from '../../service/errors.js';
import type { ServiceConnection } from '../../service/pool/pools.js';
import type { ServerFacts } from '../../service/server-facts.js';
import {
  ident,
  note,
  numberOf,
  rendered,
  type SQLQuery,
  sql,
  textOf,
  textOrNullOf,
} from '../../service/sql.js';
import { readSizes } from '../../service/true-sizes.js';
import {
  ABSENT_TABLE,
  ER_SPECIFIC_ACCESS_DENIED_ERROR,
  ER_SUBQUERY_NO_1_ROW,
  GAVE_UP,
} from '../../wire/server-errors.js';
import { type ActionContext, type ActionOutcome, PROGRESS } from '../action-context.js';
import { type Collectable, logFields } from '../collectable.js';
import { type Chunk, Pace } from './pace.js';
import { PressureGauge } from './pressure.js';
import {
  choosePurgeKey,
  deleteAlong,
  deleteRest,
  type IndexColumn,
  type PurgeKey,
} from './purge-sql.js';

/**
 * Finding the next row may have to skip all rows that are marked as deleted while a snapshot is
 * open.
 */
const CHUNK_DEADLINE_MS = 120_000;
/**
 * Errors that another key would not prevent: a pause, an absent or used table, a missing privilege.
 */
const OF_ANY_KEY = [
  ER_SUBQUERY_NO_1_ROW,
  ER_SPECIFIC_ACCESS_DENIED_ERROR,
  ...ABSENT_TABLE,
  ...GAVE_UP,
];

const BEFORE_CHUNK = [
  UNLESS_PAUSED,
  sql`SET SESSION foreign_key_checks = 0, SESSION sql_safe_updates = 0`,
];

type Named = Pick<Collectable, 'id' | 'schema' | 'name'>;

/** Whether no row is left. */
export async function isEmpty(connection: ServiceConnection, table: Named): Promise<boolean> {
  const [rows] = await connection.run(
    sql`SELECT ${note('purge', table.id)} 1 AS one FROM ${ident(table.schema, table.name)} LIMIT 1`,
    { deadlineMs: CHUNK_DEADLINE_MS },
  );
  return rows?.length === 0;
}

/** The last check before rows are deleted: the name says PURGE, and this very id. */
function assertPurgeable({ name, id }: Named): void {
  const parsed = parseHoldName(name);
  assert(parsed?.state === 'PURGE' && parsed.id === id, 'only a table in PURGE is purged');
}

/** The scan of one table. Its bounds are in variables of the lock's connection. */
interface PurgeProgress {
  readonly table: Collectable;
  /** Whether its DELETEs are written to the binary log. */
  readonly logged: boolean;
  /**
   * The remaining partitions, one at a time, because a range over all would read each. Null: no
   * partitions.
   */
  partitions: readonly (string | null)[];
  /** Null: any rows, a number at a time. */
  key: PurgeKey | null;
  /** Whether rows were found by the key, and those up to there are deleted. */
  isBounded: boolean;
  /** Whether the key, if there is one, leads on: another whole DELETE may follow. */
  isAlongKey: boolean;
  /** Null: the text of the next chunk isn't rendered yet, or differs from the last. */
  text: ChunkText | null;
  rowsRemoved: number;
  pace: Pace;
}

const AT_START = { isBounded: false, isAlongKey: true, text: null } as const;

interface ChunkText {
  readonly chunk: Chunk;
  readonly query: SQLQuery;
  /** The positions of DELETEs among its results. */
  readonly deletes: readonly number[];
}

export interface WorkOptions {
  readonly server: ServerFacts;
  /** The server's UTC clock. */
  readonly now: () => Date;
  /** By the monotonic clock. */
  readonly untilMs: number;
}

export class Purger {
  readonly #options: ActionContext;
  readonly #gauge: PressureGauge;
  #progress: PurgeProgress | null = null;

  constructor(options: ActionContext) {
    this.#options = options;
    this.#gauge = new PressureGauge({ ...options, impactMs: options.settings.purgeImpactMs });
  }

  /** Whether a scan of this table is running: it has rows, or had a moment ago. */
  isUnderWay({ schema, name }: Collectable): boolean {
    return this.#progress?.table.name === name && this.#progress.table.schema === schema;
  }

  /** Ends the scan; the next begins at the start. */
  forget(): void {
    this.#progress = null;
    this.#options.figures.purging = null;
  }

  /** Works on `table` until `untilMs`, but for at least one chunk. */
  work(table: Collectable, options: WorkOptions): Promise<ActionOutcome> {
    return this.#gauge.during(() => this.#work(table, options));
  }

  async #work(table: Collectable, { server, now, untilMs }: WorkOptions): Promise<ActionOutcome> {
    const { connection, clock, figures, log, monotonicMs, signal, throttle } = this.#options;
    assertPurgeable(table);
    if (this.#progress === null || !this.isUnderWay(table)) {
      const key = choosePurgeKey(await readIndexColumns(connection, table));
      const logged = table.logged && !(await this.#mayPurgeUnlogged());
      const pace = this.#newPace(key);
      const partitions = await readPartitions(connection, table);
      this.#progress = { table, logged, partitions, key, ...AT_START, rowsRemoved: 0, pace };
      const rowsBefore = (await readSizes(connection, server, [table])).get(table.id)?.rows ?? null;
      const { id } = table;
      figures.purging = { id, sinceMs: monotonicMs(), rows: 0, rowsBefore };
      log.info(
        { event: 'purge', ...logFields(table) },
        'started to delete the rows of a held table',
      );
    }
    const progress = this.#progress;
    do {
      const wait = await throttle.wait(now());
      if (wait !== null) return { kind: 'throttled', wait };
      await this.#gauge.look(server);
      const isEnd = await this.#gauge.beside(() => this.#removeNext(progress));
      if (isEnd && !isNextPartition(progress)) {
        this.forget();
        const { rowsRemoved } = progress;
        const fields = { event: 'purge', ...logFields(table), rowsRemoved };
        log.info(fields, 'reached the end of a held table');
        const isGone = rowsRemoved > 0 || (await isEmpty(connection, table));
        return isGone ? PROGRESS : { kind: 'left', because: 'its rows cannot be deleted' };
      }
      const { pauseMs } = progress.pace;
      // Even the shortest sleep takes a millisecond.
      if (pauseMs > 0) await clock.sleep(pauseMs, signal);
    } while (!signal.aborted && monotonicMs() < untilMs);
    return PROGRESS;
  }

  /**
   * Without a key each DELETE must skip all rows deleted before it, for as long as some snapshot is
   * open: smaller chunks would do that more often.
   */
  #newPace(key: PurgeKey | null): Pace {
    const { purgeChunkRows, purgeChunkMs: chunkMs, purgeImpactMs } = this.#options.settings;
    const rowsMin = key === null ? purgeChunkRows : 1;
    return new Pace({ chunkRows: purgeChunkRows, chunkMs, impactMs: purgeImpactMs, rowsMin });
  }

  /** Whether the account may keep the DELETEs out of the binary log. */
  async #mayPurgeUnlogged(): Promise<boolean> {
    const { connection, log } = this.#options;
    if (await mayUnlog(connection)) return true;
    log.warn({ event: 'purge' }, 'cannot switch sql_log_bin off; the purge is in the binary log');
    return false;
  }

  /** Deletes the next chunk. True: the scan has reached the end of the table. */
  async #removeNext(progress: PurgeProgress): Promise<boolean> {
    try {
      return await this.#removeChunk(progress);
    } catch (error) {
      if (progress.key === null || !isServerError(error) || isServerError(error, ...OF_ANY_KEY)) {
        throw error;
      }
      // This server can't use the key (it is invisible, or of an unexpected type): continue
      // without.
      const restarted = { key: null, ...AT_START, pace: this.#newPace(null) };
      Object.assign(progress, restarted satisfies Partial<PurgeProgress>);
      return false;
    }
  }

  /** True: it was the last chunk. */
  async #removeChunk(progress: PurgeProgress): Promise<boolean> {
    const { connection, monotonicMs, figures } = this.#options;
    const { logged, key, isBounded, isAlongKey, pace } = progress;
    const { chunk } = pace;
    if (progress.text?.chunk !== chunk) progress.text = chunkText(progress);
    const { query, deletes } = progress.text;
    const beganMs = monotonicMs();
    const answers = await connection.run(query, { logged, deadlineMs: CHUNK_DEADLINE_MS });
    const tookMs = monotonicMs() - beganMs;
    pace.note(tookMs, this.#gauge.takeLoad());
    const counts = deletes.map((index) => answers[index]?.affectedRows ?? 0);
    const removed = counts.reduce((rows, count) => rows + count, 0);
    progress.rowsRemoved += removed;
    figures.rowsPurged += removed;
    if (figures.purging !== null) figures.purging.rows += removed;
    figures.chunks++;
    figures.chunksMs += tookMs;
    if (key === null || !isAlongKey) return removed < chunk.deletes * chunk.rows;
    progress.isBounded = isBounded || removed > 0;
    progress.isAlongKey = (counts.at(-1) ?? 0) > 0;
    const isSame = progress.isBounded === isBounded && progress.isAlongKey === isAlongKey;
    if (!isSame) progress.text = null;
    return false;
  }
}

/** Moves on to the next partition, if there is one. */
function isNextPartition(progress: PurgeProgress): boolean {
  Object.assign(progress, { ...AT_START, partitions: progress.partitions.slice(1) });
  return progress.partitions.length > 0;
}

function chunkText({
  table,
  partitions: [partition = null],
  key,
  isBounded,
  isAlongKey,
  pace: { chunk },
}: PurgeProgress): ChunkText {
  const from = { ...chunk, isBounded };
  const part = { ...table, partition };
  const statements =
    key !== null && isAlongKey ? deleteAlong(part, key, from) : deleteRest(part, key, from);
  return {
    chunk,
    query: rendered([...BEFORE_CHUNK, ...statements.map(({ query }) => query)]),
    deletes: statements.flatMap(({ isDelete }, index) =>
      isDelete ? [BEFORE_CHUNK.length + index] : [],
    ),
  };
}

/** A single null for a table without partitions. */
async function readPartitions(
  connection: ServiceConnection,
  { schema, name, id }: Named,
): Promise<readonly (string | null)[]> {
  const [rows = []] = await connection.run(
    sql`${note('purge', id)} SELECT PARTITION_NAME AS name FROM information_schema.PARTITIONS
      WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}
      GROUP BY PARTITION_NAME ORDER BY MIN(PARTITION_ORDINAL_POSITION)`,
  );
  return rows.length === 0 ? [null] : rows.map((row) => textOrNullOf(row, 'name'));
}

async function readIndexColumns(
  connection: ServiceConnection,
  { schema, name, id }: Named,
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
