/**
 * News of the state of a server, read each minute: its disk, the limits, the ledger, whether a
 * proxy collects, and tables that expire although they are used. The collecting proxy reports them,
 * or each proxy if none collects.
 *
 * Invariants: it only reads. A state is reported when it begins, and not again while it lasts.
 */
import { statfs } from 'node:fs/promises';
import type { Clock } from '../clock.js';
import { timeText } from '../duration.js';
import { OF_TABLE } from '../ledger/read.js';
import { HISTORY, LEDGER } from '../ledger/tables.js';
import type { CollectorFigures } from '../lifecycle/figures.js';
import { readLockState } from '../lifecycle/leader/collector-lock.js';
import type { LimitSettings } from '../lifecycle/limits/choose-early.js';
import { isSystemError } from '../lifecycle/limits/limits.js';
import type { Log } from '../log.js';
import { type News, sentenceOf } from '../news.js';
import { formatBytes } from '../printer.js';
import { isServiceError, unlessRefused } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { dateOf, note, numberOf, sql, textOf } from '../service/sql.js';
import { ABSENT_TABLE } from '../wire/server-errors.js';

const EVERY_MS = 60_000;
/** A restart or a failover is over by the next look. */
const LOOKS_IN_A_ROW = 2;
/** Reported from this share on, and again after it was below the other. */
const FULL_FROM = 0.8;
const FULL_AGAIN_BELOW = 0.75;
const EXPIRES_WITHIN_HOURS = 24;
const ROWS_SHOWN = 5;
const EXPIRING_MAX = 100;
const REMEMBERED_MAX = 10_000;
const READ_DEADLINE_MS = 60_000;

/** In the place of the number of looks: the state was reported. */
const REPORTED = 1_000_000;

export interface ServerNewsOptions {
  /** The pool of the server with the ledger, which may become another. */
  pool(): ServicePool;
  readonly figures: Pick<CollectorFigures, 'leads'>;
  readonly limits: LimitSettings;
  /** The disk of the server; null: it isn't known. */
  disk(): Promise<Disk | null>;
  /** Why drops are refused; null: they are held, or that isn't wanted. */
  ledgerProblem(): Promise<string | null>;
  add(news: News): void;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export class ServerNews {
  readonly #options: ServerNewsOptions;
  /** By the state, for how many looks in a row it was there. */
  readonly #looks = new Map<string, number>();

  constructor(options: ServerNewsOptions) {
    this.#options = options;
  }

  /** The states that were reported, and last. */
  get reported(): readonly string[] {
    return [...this.#looks].flatMap(([key, looks]) => (looks === REPORTED ? [key] : []));
  }

  /** `reported`: by an earlier process. */
  resume(reported: readonly string[]): void {
    for (const key of reported) this.#looks.set(key, REPORTED);
  }

  /** Resolves after the signal. */
  async run(): Promise<void> {
    const { clock, signal, log } = this.#options;
    while (!signal.aborted) {
      try {
        await this.look();
      } catch (error) {
        // A defect costs the news, and nothing else of the service.
        const level = isServiceError(error) || isSystemError(error) ? 'debug' : 'error';
        const what = 'cannot read the state of the server for the webhooks; will try again';
        log[level]({ event: 'webhook', err: error }, what);
      }
      await clock.sleep(EVERY_MS, signal);
    }
  }

  async look(): Promise<void> {
    const { pool, figures, add, ledgerProblem } = this.#options;
    const problem = await ledgerProblem();
    if (this.#begins('ledger', problem !== null, LOOKS_IN_A_ROW)) {
      const sentence = sentenceOf`Drops are refused: ${problem ?? ''}.`;
      add({ kind: 'ledger', sentence, fields: { problem } });
    }
    if (problem !== null) return;
    const connection = pool();
    const server = await readServerFacts(connection);
    if (server.readOnly) return;
    const isLed = figures.leads || (await readLockState(connection, server)).leader !== null;
    if (this.#begins('collector', !isLed, LOOKS_IN_A_ROW)) {
      const sentence = sentenceOf`No proxy collects: held tables are not removed when their hold is over.`;
      add({ kind: 'collector', sentence, fields: {} });
    }
    // Another proxy reports the rest.
    if (isLed && !figures.leads) return;
    await this.#readRoom(connection);
    await this.#findExpiring(connection);
  }

  async #readRoom(connection: ServicePool): Promise<void> {
    const { limits, add } = this.#options;
    const holders = await readHolders(connection);
    const bytes = holders.reduce((sum, one) => sum + one.bytes, 0);
    const tables = holders.reduce((sum, one) => sum + one.tables, 0);
    const room = { bytes, tables, holders: holders.slice(0, ROWS_SHOWN) };
    const all = [
      { limit: 'UNDROP_MAX_BYTES', used: bytes, max: limits.bytesMax },
      { limit: 'UNDROP_MAX_TABLES', used: tables, max: limits.tablesMax },
    ];
    for (const { limit, used, max } of all) {
      if (max === null || !this.#fills(limit, used / max)) continue;
      const percent = Math.round((100 * used) / max);
      const sentence = sentenceOf`Held tables take ${percent} % of ${limit}: ${tables} tables, ${formatBytes(bytes)}. Most are of ${holdersText(holders)}.`;
      add({ kind: 'limit', sentence, fields: { limit, used, max, ...room } });
    }
    const disk = await this.#options.disk();
    if (disk === null || !this.#fills('disk', disk.used)) return;
    const removable = await readRemovable(connection, limits);
    const percent = Math.round(100 * disk.used);
    const largest = removable.map(({ table, bytes: size }) => `${table} (${formatBytes(size)})`);
    const go = largest.join(', ') || 'none';
    const [free, held, of] = [
      formatBytes(disk.freeBytes),
      formatBytes(bytes),
      holdersText(holders),
    ];
    const sentence = sentenceOf`The disk of the server is ${percent} % full: ${free} are free. Held tables take ${held}, most of ${of}. The largest that may go: ${go}.`;
    add({ kind: 'disk', sentence, fields: { ...disk, ...room, removable } });
  }

  async #findExpiring(connection: ServicePool): Promise<void> {
    for (const one of await readExpiring(connection)) {
      if (!this.#begins(`expiring ${one.id} ${one.until}`, true, 1)) continue;
      const { schema, table, until, uses, who } = one;
      const sentence = sentenceOf`The dropped table ${`${schema}.${table}`} is removed after ${timeText(new Date(until))}, but statements used it since (${uses}, the last of ${who}).`;
      this.#options.add({ kind: 'expiring', sentence, fields: { ...one } });
    }
  }

  /** Whether the state is there for so many looks in a row now; null: neither there nor away. */
  #begins(key: string, isThere: boolean | null, looks: number): boolean {
    if (isThere === null) return false;
    const seen = isThere ? (this.#looks.get(key) ?? 0) + 1 : 0;
    this.#looks.delete(key);
    if (seen > 0) this.#looks.set(key, seen >= looks ? REPORTED : seen);
    const [oldest] = this.#looks.keys();
    if (this.#looks.size > REMEMBERED_MAX && oldest !== undefined) this.#looks.delete(oldest);
    return seen === looks;
  }

  #fills(key: string, share: number): boolean {
    const isNear = share < FULL_FROM && share >= FULL_AGAIN_BELOW;
    return this.#begins(key, isNear ? null : share >= FULL_FROM, 1);
  }
}

interface Holder {
  readonly user: string;
  readonly tables: number;
  readonly bytes: number;
}

function holdersText(holders: readonly Holder[]): string {
  const shown = holders.slice(0, ROWS_SHOWN);
  const texts = shown.map(
    ({ user, tables, bytes }) => `${user} (${tables}, ${formatBytes(bytes)})`,
  );
  return texts.join(', ') || 'no user';
}

interface Disk {
  /** 1: full. */
  readonly used: number;
  readonly freeBytes: number;
}

/** The file system of that folder; null if none is configured. Rejects if it can't be read. */
export async function readDisk({
  dataFolder,
}: Pick<LimitSettings, 'dataFolder'>): Promise<Disk | null> {
  if (dataFolder === null) return null;
  const { bavail, blocks, bsize } = await statfs(dataFolder);
  return { used: 1 - bavail / Math.max(blocks, 1), freeBytes: bavail * bsize };
}

const HELD = sql`state IN ('HOLD', 'PURGE', 'EVAC', 'DROP') AND ${OF_TABLE}`;
const LARGEST = sql`COALESCE(byte_estimate, 0)`;

/** The users that hold tables, first who holds most bytes. */
async function readHolders(connection: ServicePool): Promise<readonly Holder[]> {
  const query = sql`SELECT ${note('news')} user_name, COUNT(*) AS found, SUM(${LARGEST}) AS bytes
    FROM ${LEDGER} WHERE ${HELD} GROUP BY user_name ORDER BY bytes DESC, found DESC`;
  const [rows = []] = await connection.run(query, { deadlineMs: READ_DEADLINE_MS });
  return rows.map((row) => ({
    user: textOf(row, 'user_name'),
    tables: numberOf(row, 'found'),
    bytes: numberOf(row, 'bytes'),
  }));
}

/** The largest tables that an operator may end the hold of. */
async function readRemovable(connection: ServicePool, { minHoldMs }: LimitSettings) {
  const query = sql`SELECT ${note('news')} id, schema_name, table_name, user_name,
      ${LARGEST} AS bytes FROM ${LEDGER}
    WHERE state = 'HOLD' AND pinned = 0 AND ${OF_TABLE}
      AND dropped_at <= UTC_TIMESTAMP() - INTERVAL ${Math.ceil(minHoldMs / 1_000)} SECOND
    ORDER BY bytes DESC, id LIMIT ${ROWS_SHOWN}`;
  const [rows = []] = await connection.run(query, { deadlineMs: READ_DEADLINE_MS });
  return rows.map((row) => ({
    id: textOf(row, 'id'),
    table: `${textOf(row, 'schema_name')}.${textOf(row, 'table_name')}`,
    user: textOf(row, 'user_name'),
    bytes: numberOf(row, 'bytes'),
  }));
}

async function readExpiring(connection: ServicePool) {
  const query = sql`SELECT ${note('news')} l.id, l.group_id, l.schema_name, l.table_name,
      l.user_name, l.hold_until, h.uses, h.who
    FROM ${HISTORY} AS h JOIN ${LEDGER} AS l ON l.id = h.id
    WHERE h.event = 'used-while-held' AND l.state = 'HOLD' AND l.pinned = 0
      AND l.hold_until <= UTC_TIMESTAMP() + INTERVAL ${EXPIRES_WITHIN_HOURS} HOUR
    ORDER BY l.hold_until, l.id LIMIT ${EXPIRING_MAX}`;
  const read = connection.run(query, { deadlineMs: READ_DEADLINE_MS });
  const [rows = []] = await unlessRefused(read, [], ...ABSENT_TABLE);
  return rows.map((row) => ({
    id: textOf(row, 'id'),
    dropId: textOf(row, 'group_id'),
    schema: textOf(row, 'schema_name'),
    table: textOf(row, 'table_name'),
    user: textOf(row, 'user_name'),
    until: dateOf(row, 'hold_until').toISOString(),
    uses: numberOf(row, 'uses'),
    who: textOf(row, 'who'),
  }));
}
