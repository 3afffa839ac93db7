/**
 * What held tables take of the limits that operators give them, and what goes early by the last
 * look (choose-early.ts); who fills a limit is warned of it first.
 */
import { statfs } from 'node:fs/promises';
import { LIVE_STATES } from '../../ledger/entry.js';
import { readTotals } from '../../ledger/read.js';
import { LEDGER } from '../../ledger/tables.js';
import type { Log } from '../../log.js';
import { isServerError, type ServiceConnection } from '../../service/pool/pools.js';
import {
  dateOf,
  dateOrNullOf,
  note,
  numberOf,
  numberOrNullOf,
  sql,
  textOf,
  valueList,
} from '../../service/sql.js';
import type { CollectorFigures } from '../figures.js';
import {
  chooseEarly,
  FREE,
  type LimitedTable,
  type LimitSettings,
  type Room,
  usedOf,
  type Weight,
} from './choose-early.js';

/** From here on somebody should know. */
const WARN_FROM = 0.8;
/** Some file systems take a while to say what a removal has freed: nothing more goes for that. */
const SETTLED_MS = 10_000;

/** What is held: how much, and, if it has to be read, what. */
export interface HeldTables {
  readonly count: number;
  readonly list: () => Promise<readonly LimitedTable[]>;
  /** Files of removed tables have so many bytes that the disk will have free; default: 0. */
  readonly comingBytes?: number;
}

/** Null: no limit is near. Rejects with the server's error, or the system's. */
export async function readRoom(
  connection: ServiceConnection,
  { count, list, comingBytes = 0 }: HeldTables,
  { limits, now }: { readonly limits: LimitSettings; readonly now: Date },
): Promise<Room | null> {
  if (!canMatter(count, limits)) return null;
  const { bytes } = await readTotals(connection);
  const room = {
    bytes: LIVE_STATES.reduce((sum, state) => sum + (bytes[state] ?? 0), 0),
    tables: count,
    freeBytes: await readFreeBytes(limits, comingBytes),
  };
  const used = usedOf(room, limits);
  if (used <= 1) return { ...room, used, early: new Map() };
  const weights = await readWeights(connection);
  return chooseEarly(await list(), weights, { limits, now, freeBytes: room.freeBytes });
}

interface LimitsOptions {
  readonly connection: ServiceConnection;
  readonly settings: { readonly limits: LimitSettings };
  readonly figures: CollectorFigures;
  readonly log: Log;
  readonly monotonicMs: () => number;
  /** So long it is said that a limit is passed before anything goes for it. */
  readonly noticeMs: number;
}

/** What goes early by the last look; without an answer nothing does: what is held is safe. */
export class Limits {
  readonly #options: LimitsOptions;
  #early: Room['early'] = new Map();
  /** The most urgent that was logged since the limits were far. */
  #level: (typeof LEVELS)[number] = 'far';
  /** Since when something is to go early; null: nothing was since the limits were far. */
  #passedAtMs: number | null = null;
  #wentAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: LimitsOptions) {
    this.#options = options;
  }

  get early(): Room['early'] {
    return this.#early;
  }

  /** One of them has gone. */
  went(): void {
    this.#wentAtMs = this.#options.monotonicMs();
  }

  /** Resolves to after how many milliseconds more may go; Infinity: nothing by now. */
  async look(held: HeldTables, now: Date): Promise<number> {
    const { connection, settings, figures, log } = this.#options;
    this.#early = new Map();
    try {
      const room = await readRoom(connection, held, { limits: settings.limits, now });
      figures.room = room;
      return this.#note(room);
    } catch (error) {
      if (!isServerError(error) && !isSystemError(error)) throw error;
      log.warn({ event: 'limits', err: error }, 'what held tables take is not known');
      return Number.POSITIVE_INFINITY;
    }
  }

  #note(room: Room | null): number {
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
      : new Map([...early].filter(([, { because }]) => !because.startsWith(FREE)));
    return Number.POSITIVE_INFINITY;
  }
}

/** In the order of their urgency. */
const LEVELS = ['far', 'near', 'over', 'early'] as const;

const NEWS = {
  near: 'what is held comes near its limits',
  over: 'what is held is over its limits; nothing of it may go before its time yet',
  early: 'what is held is over its limits: tables go before their time',
};

function levelOf(room: Room | null): (typeof LEVELS)[number] {
  if (room === null || room.used < WARN_FROM) return 'far';
  if (room.used <= 1) return 'near';
  return room.early.size === 0 ? 'over' : 'early';
}

/** Those that go early, in their order, after those that are going already. */
export function earlyFirst<Table extends LimitedTable>(
  tables: readonly Table[],
  early: Room['early'],
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

/** Whether sizes have to be read. */
function canMatter(count: number, limits: LimitSettings): boolean {
  const { bytesMax, tablesMax, freeBytesMin } = limits;
  const isMany = tablesMax !== null && count > WARN_FROM * tablesMax;
  return count > 0 && (isMany || bytesMax !== null || freeBytesMin !== null);
}

/** Whether the operating system has refused something. */
export function isSystemError(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).syscall !== undefined;
}

/** Null if no folder is given. Rejects if it can't be seen. */
async function readFreeBytes(
  { dataFolder }: LimitSettings,
  comingBytes: number,
): Promise<number | null> {
  if (dataFolder === null) return null;
  const { bavail, bsize } = await statfs(dataFolder);
  return bavail * bsize + comingBytes;
}

async function readWeights(connection: ServiceConnection): Promise<ReadonlyMap<string, Weight>> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('limits')} id, user_name, schema_name, row_estimate, byte_estimate,
          dropped_at, created_at, lengthened FROM ${LEDGER} WHERE state IN (${valueList(LIVE_STATES)})`,
    { deadlineMs: 60_000 },
  );
  const entries = rows.map((row): [string, Weight] => [
    textOf(row, 'id'),
    {
      user: textOf(row, 'user_name'),
      schema: textOf(row, 'schema_name'),
      rows: numberOrNullOf(row, 'row_estimate'),
      bytes: numberOrNullOf(row, 'byte_estimate'),
      droppedAt: dateOf(row, 'dropped_at'),
      createdAt: dateOrNullOf(row, 'created_at'),
      isLengthened: numberOf(row, 'lengthened') !== 0,
    },
  ]);
  return new Map(entries);
}
