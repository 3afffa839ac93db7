/**
 * The room that held tables take of the limits, and the tables that are removed early as of the
 * last check (choose-early.ts); the log warns before a limit is reached.
 */
import { statfs } from 'node:fs/promises';
import { isServerError, isSystemError } from '../../connections/errors.js';
import { col, note, type ServiceConnection, sql, valueList } from '../../connections/sql.js';
import { LIVE_STATES } from '../../ledger/entry.js';
import { readTotals } from '../../ledger/read.js';
import { LEDGER } from '../../ledger/tables.js';
import type { HoldName } from '../../names/names.js';
import type { ActionContext } from '../action-context.js';
import * as choice from './choose-early.js';

/** Warn from this share of a limit. */
const WARN_FROM = 0.8;
/** Some file systems report freed space late: no further table is removed in this time. */
const SETTLED_MS = 10_000;

/** The number of held tables, and a way to list them. */
export interface HeldTables {
  readonly count: number;
  readonly list: () => Promise<readonly HoldName[]>;
  /** Bytes that the disk will have free once the files of removed tables are freed; default: 0. */
  readonly comingBytes?: number;
}

/** Null: no limit is near. Rejects with the server's error, or the system's. */
export async function readRoom(
  connection: ServiceConnection,
  { count, list, comingBytes = 0 }: HeldTables,
  { limits, now }: { readonly limits: choice.LimitSettings; readonly now: Date },
): Promise<choice.Room | null> {
  if (!canMatter(count, limits)) return null;
  const { bytes } = await readTotals(connection);
  const room = {
    bytes: LIVE_STATES.reduce((sum, state) => sum + (bytes[state] ?? 0), 0),
    tables: count,
    freeBytes: await readFreeBytes(limits, comingBytes),
  };
  const used = choice.usedOf(room, limits);
  if (used <= 1) return { ...room, used, early: new Map() };
  const weights = await readWeights(connection);
  return choice.chooseEarly(await list(), weights, { limits, now, freeBytes: room.freeBytes });
}

interface LimitsOptions
  extends Pick<ActionContext, 'connection' | 'settings' | 'figures' | 'log' | 'monotonicMs'> {
  /** How long the log announces an exceeded limit before a table is removed for it. */
  readonly noticeMs: number;
}

/**
 * The early removals as of the last check. Without a result nothing is removed early, which is
 * safe.
 */
export class Limits {
  readonly #options: LimitsOptions;
  #early: choice.Room['early'] = new Map();
  /** The most urgent level that was logged since the limits were far. */
  #level: (typeof LEVELS)[number] = 'far';
  /** When a removal first became necessary; null: not since the limits were far. */
  #passedAtMs: number | null = null;
  #wentAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: LimitsOptions) {
    this.#options = options;
  }

  get early(): choice.Room['early'] {
    return this.#early;
  }

  /** A table was removed. */
  went(): void {
    this.#wentAtMs = this.#options.monotonicMs();
  }

  /** Resolves to the milliseconds until more may be removed; Infinity: none is to. */
  async look(held: HeldTables, now: Date): Promise<number> {
    const { connection, settings, figures, log } = this.#options;
    this.#early = new Map();
    try {
      const room = await readRoom(connection, held, { limits: settings.limits, now });
      figures.room = room;
      return this.#note(room);
    } catch (error) {
      if (!isServerError(error) && !isSystemError(error)) throw error;
      log.warn({ event: 'limits', err: error }, 'cannot read how much room held tables take');
      return Number.POSITIVE_INFINITY;
    }
  }

  #note(room: choice.Room | null): number {
    const { log, noticeMs, monotonicMs } = this.#options;
    const level = levelOf(room);
    const isNews = LEVELS.indexOf(level) > LEVELS.indexOf(this.#level);
    if (isNews || level === 'far') this.#level = level;
    if (room === null || level === 'far') this.#passedAtMs = null;
    if (room === null || level === 'far') return Number.POSITIVE_INFINITY;
    const { bytes, tables, freeBytes, early } = room;
    const used = Math.round(room.used * 100) / 100;
    const fields = { event: 'limits', bytes, tables, freeBytes, used };
    if (level !== 'early') {
      if (isNews) log.warn(fields, NEWS[level]);
      return Number.POSITIVE_INFINITY;
    }
    if (this.#passedAtMs === null) {
      this.#passedAtMs = monotonicMs();
      log.warn({ ...fields, early: early.size, inMs: noticeMs }, NEWS.early);
    }
    const leftMs = this.#passedAtMs + noticeMs - monotonicMs();
    if (leftMs > 0) return leftMs;
    const isSettled = monotonicMs() - this.#wentAtMs >= SETTLED_MS;
    this.#early = isSettled
      ? early
      : new Map([...early].filter(([, { because }]) => !because.startsWith(choice.FREE)));
    return Number.POSITIVE_INFINITY;
  }
}

/** In the order of their urgency. */
const LEVELS = ['far', 'near', 'over', 'early'] as const;

const NEWS = {
  near: 'held tables come near their limits',
  over: 'held tables are over their limits; none may be removed early yet',
  early: 'held tables are over their limits; removing tables early',
};

function levelOf(room: choice.Room | null): (typeof LEVELS)[number] {
  if (room === null || room.used < WARN_FROM) return 'far';
  if (room.used <= 1) return 'near';
  return room.early.size === 0 ? 'over' : 'early';
}

/** Tables to remove early, in order, after those whose removal has begun. */
export function earlyFirst<Table extends HoldName>(
  tables: readonly Table[],
  early: choice.Room['early'],
): readonly (Table & { readonly early?: string })[] {
  if (early.size === 0) return tables;
  const byId = new Map(tables.map((table) => [table.id, table]));
  const first = [...early].flatMap(([id, { because }]) => {
    const table = byId.get(id);
    return table === undefined ? [] : [{ ...table, early: because }];
  });
  const going = tables.filter(({ state }) => state === 'DROP');
  const others = tables.filter(({ id, state }) => state !== 'DROP' && !early.has(id));
  return [...going, ...first, ...others];
}

/** Whether sizes must be read. */
function canMatter(count: number, limits: choice.LimitSettings): boolean {
  const { bytesMax, tablesMax, freeBytesMin } = limits;
  const isMany = tablesMax !== null && count > WARN_FROM * tablesMax;
  return count > 0 && (isMany || bytesMax !== null || freeBytesMin !== null);
}

/** Null if no folder is configured. Rejects if it can't be read. */
async function readFreeBytes({ dataFolder }: choice.LimitSettings, comingBytes: number) {
  if (dataFolder === null) return null;
  const { bavail, bsize } = await statfs(dataFolder);
  return bavail * bsize + comingBytes;
}

async function readWeights(
  connection: ServiceConnection,
): Promise<ReadonlyMap<string, choice.Weight>> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('limits')} id, COALESCE(account_name, user_name) AS account, schema_name, row_estimate, byte_estimate,
          dropped_at, created_at, lengthened, locked_until FROM ${LEDGER} WHERE state IN (${valueList(LIVE_STATES)})`,
    { deadlineMs: 60_000 },
  );
  const entries = rows.map((row): [string, choice.Weight] => [
    col.text(row, 'id'),
    {
      user: col.text(row, 'account'),
      schema: col.text(row, 'schema_name'),
      rows: col.numberOrNull(row, 'row_estimate'),
      bytes: col.numberOrNull(row, 'byte_estimate'),
      droppedAt: col.date(row, 'dropped_at'),
      createdAt: col.dateOrNull(row, 'created_at'),
      isLengthened: col.number(row, 'lengthened') !== 0,
      lockedUntil: col.dateOrNull(row, 'locked_until'),
    },
  ]);
  return new Map(entries);
}
