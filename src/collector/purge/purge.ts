/**
 * Deletes the rows of one table at a time in small chunks, along its key if it has one. Their size,
 * and the pause after each, depend on how long they take and on their effect on other sessions
 * (pace.ts, pressure.ts).
 *
 * Invariant: every DELETE is for a table whose name has the state PURGE; its session has
 * foreign_key_checks off, so that it follows no foreign key into live rows even if one appears
 * after the check. A purge may be interrupted after any chunk and restarted.
 */

import { isServerError } from '../../connections/errors.js';
import type { ServerFacts, ServiceConnection, SQLQuery } from '../../connections/sql.js';
import { col, hasRows, ident, note, rendered, sql } from '../../connections/sql.js';
import { readSizes } from '../../connections/true-sizes.js';
import { assert } from '../../errors.js';
import { UNLESS_PAUSED } from '../../ledger/control.js';
import { mayUnlog } from '../../ledger/tables.js';
import { inGroups, parseHoldName } from '../../names/names.js';
import * as ER from '../../wire/server-errors.js';
import { type ActionContext, type ActionOutcome, PROGRESS } from '../action-context.js';
import { type Collectable, logFields } from '../collectable.js';
import { type Chunk, Pace } from './pace.js';
import { PressureGauge } from './pressure.js';

/**
 * Finding the next row may have to skip all rows that are marked as deleted while a snapshot is
 * open.
 */
const CHUNK_DEADLINE_MS = 120_000;
/**
 * Errors that another key would not prevent: a pause, an absent or used table, a missing privilege.
 */
const OF_ANY_KEY = [
  ER.SUBQUERY_NO_1_ROW,
  ER.SPECIFIC_ACCESS_DENIED_ERROR,
  ...ER.ABSENT_TABLE,
  ...ER.GAVE_UP,
];

const BEFORE_CHUNK = [
  UNLESS_PAUSED,
  sql`SET SESSION foreign_key_checks = 0, SESSION sql_safe_updates = 0`,
];

type Named = Pick<Collectable, 'id' | 'schema' | 'name'>;

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
  readonly gauge: PressureGauge;
  #progress: PurgeProgress | null = null;

  constructor(options: ActionContext) {
    this.#options = options;
    this.gauge = new PressureGauge(options);
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
    return this.gauge.during(() => this.#work(table, options));
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
      await this.gauge.look(server);
      const isEnd = await this.gauge.beside(() => this.#removeNext(progress));
      if (isEnd && !isNextPartition(progress)) {
        this.forget();
        const { rowsRemoved } = progress;
        const fields = { event: 'purge', ...logFields(table), rowsRemoved };
        log.info(fields, 'reached the end of a held table');
        const isGone = rowsRemoved > 0 || !(await hasRows(connection, table));
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
    const answers = await connection.logging(logged).run(query, { deadlineMs: CHUNK_DEADLINE_MS });
    const tookMs = monotonicMs() - beganMs;
    pace.note(tookMs, this.gauge.takeLoad());
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
async function readPartitions(connection: ServiceConnection, { schema, name, id }: Named) {
  const [rows = []] = await connection.run(
    sql`${note('purge', id)} SELECT PARTITION_NAME AS name FROM information_schema.PARTITIONS
      WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}
      GROUP BY PARTITION_NAME ORDER BY MIN(PARTITION_ORDINAL_POSITION)`,
  );
  return rows.length === 0 ? [null] : rows.map((row) => col.textOrNull(row, 'name'));
}

async function readIndexColumns(connection: ServiceConnection, { schema, name, id }: Named) {
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
    index: col.text(row, 'name'),
    unique: col.number(row, 'repeated') === 0,
    column: col.textOrNull(row, 'col'),
    prefix: col.textOrNull(row, 'part') !== null,
    nullable: col.textOrNull(row, 'nullable') === 'YES',
    dataType: col.textOrNull(row, 'type'),
  }));
}

// ── the statements ───────────────────────────────────────────────────────────────────────────────
// Chooses the key that a purge follows, and makes the statements of its range scan. Pure. `DELETE …
// LIMIT n` alone reads all rows marked as deleted again and again while a snapshot is open
// elsewhere; a range scan of a unique key does not. Bounds stay on the server, in session
// variables, so no value changes on the way (collations, DECIMAL, fractions of a second); nor is
// one computed there: a function of two variables may have another type than they.
//
// Invariants: every DELETE has a LIMIT. A bound that does not compare as expected makes a chunk
// smaller, never larger. Only columns whose values compare in a range exactly as the key orders
// them are used: not ENUM, SET, BIT or an unknown type.

interface PurgedTable extends Named {
  /** Null: the whole table. */
  readonly partition: string | null;
}

export interface PurgeStatement {
  readonly query: SQLQuery;
  /** Its result counts deleted rows. */
  readonly isDelete: boolean;
}

/** Rows up to `low` are deleted; `high` is the last row of one DELETE. */
type Bound = 'low' | 'high';

/** The chunk, and whether `low` has a value: rows before it are deleted. */
type ChunkFrom = Chunk & { readonly isBounded: boolean };

/**
 * A chunk along a key: finds the last row of each DELETE, and deletes up to it. Beyond the end,
 * where there is none, it deletes nothing. The same text for each chunk but the first, so that it
 * is rendered once.
 */
export function deleteAlong(
  table: PurgedTable,
  key: PurgeKey,
  { isBounded, deletes, rows, restMs }: ChunkFrom,
): readonly PurgeStatement[] {
  const columns = list(key.columns.map((column) => ident(column)));
  const source = sql`${sourceOf(table)} FORCE INDEX (${ident(key.index)})`;
  const high = variables(key, 'high');
  const lows = variables(key, 'low').map((low, index) => sql`${low} = ${high[index] ?? low}`);
  const next = other(sql`SET ${list([...lows, ...rest(restMs)])}`);
  const step = (after: readonly SQLQuery[]): readonly PurgeStatement[] => [
    other(sql`SELECT ${note('purge', table.id)} ${columns} INTO ${list(high)}
      FROM ${source} ${where(after)} ORDER BY ${columns} LIMIT ${rows - 1}, 1`),
    deleteWhere(table, [...after, compare(key, 'high', '<')], rows),
    next,
  ];
  const usual = step([compare(key, 'low', '>')]);
  const nulls = high.map((name) => sql`${name} = NULL`);
  return [
    ...(isBounded ? usual : [other(sql`SET ${list(nulls)}`), ...step([])]),
    ...Array.from({ length: deletes - 1 }).flatMap(() => usual),
  ];
}

/** Deletes the rest: after the last row that a chunk has found, or, without a key, any rows. */
export function deleteRest(
  table: PurgedTable,
  key: PurgeKey | null,
  { isBounded, deletes, rows, restMs }: ChunkFrom,
): readonly PurgeStatement[] {
  const after = key !== null && isBounded ? [compare(key, 'low', '>')] : [];
  const rests = rest(restMs).map((assignment) => other(sql`SET ${assignment}`));
  const step = [deleteWhere(table, after, rows), ...rests];
  return Array.from({ length: deletes }).flatMap(() => step);
}

function deleteWhere(table: PurgedTable, conditions: readonly SQLQuery[], rows: number) {
  const query = sql`DELETE ${note('purge', table.id)} FROM ${sourceOf(table)}
    ${where(conditions)} LIMIT ${rows}`;
  return { query, isDelete: true };
}

function sourceOf({ schema, name, partition }: PurgedTable): SQLQuery {
  const whole = ident(schema, name);
  return partition === null ? whole : sql`${whole} PARTITION (${ident(partition)})`;
}

/** An assignment, because advancing the bound needs a statement anyway. */
function rest(restMs: number): readonly SQLQuery[] {
  const seconds = Math.round(restMs * 1_000) / 1_000_000;
  return seconds > 0 ? [sql`@undrop_rest = SLEEP(${seconds})`] : [];
}

function other(query: SQLQuery): PurgeStatement {
  return { query, isDelete: false };
}

/** (a, b) > (x, y) spelled out, because a row comparison uses no index on the older servers. */
function compare(key: PurgeKey, bound: Bound, operator: '>' | '<'): SQLQuery {
  const beyond = operator === '>' ? sql`>` : sql`<`;
  const last = key.columns.length - 1;
  const cases = key.columns.map((column, index) => {
    const equal = key.columns
      .slice(0, index)
      .map((earlier, at) => sql`${ident(earlier)} = ${variable(bound, at)}`);
    const including = operator === '<' && index === last ? sql`<=` : beyond;
    return and([...equal, sql`${ident(column)} ${including} ${variable(bound, index)}`]);
  });
  return sql`(${sql.join(cases, sql` OR `)})`;
}

function variables(key: PurgeKey, bound: Bound): readonly SQLQuery[] {
  return key.columns.map((_, index) => variable(bound, index));
}

function variable(bound: Bound, index: number): SQLQuery {
  return sql`@${ident(`undrop_${bound}_${index}`)}`;
}

function where(conditions: readonly SQLQuery[]): SQLQuery {
  return conditions.length === 0 ? sql`` : sql`WHERE ${and(conditions)}`;
}

function and(conditions: readonly SQLQuery[]): SQLQuery {
  return sql`(${sql.join([...conditions], sql` AND `)})`;
}

function list(items: readonly SQLQuery[]): SQLQuery {
  return sql.join([...items], sql`, `);
}

/** A column of one index, from information_schema.STATISTICS and COLUMNS. */
export interface IndexColumn {
  readonly index: string;
  readonly unique: boolean;
  /** `null` for an expression. */
  readonly column: string | null;
  /** Only the first characters of the column are in the index. */
  readonly prefix: boolean;
  readonly nullable: boolean;
  /** DATA_TYPE in lower case: `bigint`, `varchar` … */
  readonly dataType: string | null;
}

/** A unique key without NULLs; its columns in the order of the key. */
interface PurgeKey {
  readonly index: string;
  readonly columns: readonly string[];
}

const RANGE_TYPES: ReadonlySet<string> = new Set(
  (
    'tinyint smallint mediumint int bigint decimal char varchar binary varbinary ' +
    'date datetime timestamp time year'
  ).split(' '),
);

/** The primary key, else the shortest unique key that can be scanned by range, else `null`. */
export function choosePurgeKey(columns: readonly IndexColumn[]): PurgeKey | null {
  const keys = inGroups(columns, ({ index }) => index)
    .filter(isUsable)
    .map(toKey);
  keys.sort((a, b) => rank(a) - rank(b));
  return keys[0] ?? null;
}

function isUsable(columns: readonly IndexColumn[]): boolean {
  return columns.every(
    ({ unique, column, prefix, nullable, dataType }) =>
      unique && column !== null && !prefix && !nullable && RANGE_TYPES.has(dataType ?? ''),
  );
}

function toKey(columns: readonly IndexColumn[]): PurgeKey {
  const names = columns.flatMap(({ column }) => (column === null ? [] : [column]));
  return { index: columns[0]?.index ?? '', columns: names };
}

function rank(key: PurgeKey): number {
  return key.index === 'PRIMARY' ? 0 : key.columns.length;
}
