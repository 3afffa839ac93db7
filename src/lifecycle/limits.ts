/**
 * Which held tables go before their time, because what is held takes more room than operators give
 * it, or the disk is nearly full. Pure, but for the reading of what each takes and what is free.
 *
 * Invariants: a pinned table never goes early, and no other goes for it; nor does one before
 * UNDROP_MIN_HOLD from its drop, by the server's clock; where that time isn't known, it stays. No
 * more goes than is needed, by what is known of the sizes.
 */
import { statfs } from 'node:fs/promises';
import { LIVE_STATES } from '../ledger/entry.js';
import { readTotals } from '../ledger/read.js';
import { LEDGER } from '../ledger/tables.js';
import { isPinned, type TableState } from '../names/names.js';
import { isServerError, type ServiceConnection } from '../service/pool/pools.js';
import { dateOf, note, numberOrNullOf, sql, textOf, valueList } from '../service/sql.js';
import type { ActionContext } from './transition.js';

export interface LimitSettings {
  /** Of all that is held; null: no limit. */
  readonly bytesMax: number | null;
  readonly tablesMax: number | null;
  /** What one schema may take of `bytesMax`, from 0 to 1, before its tables go first. */
  readonly share: number;
  /** Nothing goes early sooner after its drop. */
  readonly minHoldMs: number;
  /** Of the file system of `dataFolder`; null: no limit. */
  readonly freeBytesMin: number | null;
  /** The server's, if this process can see it. */
  readonly dataFolder: string | null;
}

/** What the ledger knows of a held table. */
export interface Weight {
  readonly schema: string;
  readonly rows: number | null;
  readonly bytes: number | null;
  readonly droppedAt: Date;
}

interface HeldTable {
  readonly id: string;
  readonly state: TableState;
  readonly due: Date;
}

export interface Room {
  readonly bytes: number;
  readonly tables: number;
  /** What of the limits is used, by the one that is used most; 1: all. */
  readonly used: number;
  /** Null: it isn't known. */
  readonly freeBytes: number | null;
  /** Ids of those that go early, in this order, each with the reason. */
  readonly early: ReadonlyMap<string, string>;
}

/** From here on somebody should know. */
const WARN_FROM = 0.8;
/** What was dropped so recently, and is so small, is mostly somebody's scratch table. */
const YOUNG_MS = 86_400_000;
const SMALL_BYTES = 16 * 2 ** 20;
/** Some file systems take a while to say what a removal has freed: nothing more goes for that. */
const SETTLED_MS = 10_000;

/** What is held: how much, and, if it has to be read, what. */
export interface Held {
  readonly count: number;
  readonly list: () => Promise<readonly HeldTable[]>;
  /** Files of removed tables have so many bytes that the disk will have free; default: 0. */
  readonly comingBytes?: number;
}

/** Null: no limit is near. Rejects with the server's error, or the system's. */
export async function readRoom(
  connection: ServiceConnection,
  { count, list, comingBytes = 0 }: Held,
  limits: LimitSettings,
  now: Date,
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
  return chooseEarly(await list(), weights, limits, { now, freeBytes: room.freeBytes });
}

type LimitsContext = Pick<ActionContext, 'connection' | 'settings' | 'figures' | 'log'> & {
  readonly monotonicMs: () => number;
  /** So long it is said that a limit is passed before anything goes for it. */
  readonly noticeMs: number;
};

/** What goes early by the last look; without an answer nothing does: what is held is safe. */
export class Limits {
  readonly #options: LimitsContext;
  #early: Room['early'] = new Map();
  #isTight = false;
  /** Since when a limit is passed, or was and isn't far yet; null: it is far. */
  #passedAtMs: number | null = null;
  #wentAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: LimitsContext) {
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
  async look(held: Held, now: Date): Promise<number> {
    const { connection, settings, figures, log } = this.#options;
    this.#early = new Map();
    try {
      const room = await readRoom(connection, held, settings.limits, now);
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
    const isTight = room !== null && room.used >= WARN_FROM;
    const wasTight = this.#isTight;
    this.#isTight = isTight;
    if (!isTight) this.#passedAtMs = null;
    if (room === null || !isTight) return Number.POSITIVE_INFINITY;
    const { bytes, tables, freeBytes, early } = room;
    const used = Math.round(room.used * 100) / 100;
    const fields = { event: 'limits', bytes, tables, freeBytes, used };
    if (room.used <= 1) {
      if (!wasTight) log.warn(fields, 'what is held comes near its limits');
      return Number.POSITIVE_INFINITY;
    }
    if (this.#passedAtMs === null) {
      this.#passedAtMs = monotonicMs();
      log.warn(
        { ...fields, early: early.size, inMs: noticeMs },
        'what is held is over its limits: tables go before their time',
      );
    }
    const leftMs = this.#passedAtMs + noticeMs - monotonicMs();
    if (leftMs > 0) return leftMs;
    const isSettled = monotonicMs() - this.#wentAtMs >= SETTLED_MS;
    this.#early = isSettled
      ? early
      : new Map([...early].filter(([, because]) => !because.startsWith(FREE)));
    return Number.POSITIVE_INFINITY;
  }
}

/** Those that go early, in their order, after those that are going already. */
export function earlyFirst<Table extends HeldTable>(
  tables: readonly Table[],
  early: Room['early'],
): readonly (Table & { readonly early?: string })[] {
  if (early.size === 0) return tables;
  const byId = new Map(tables.map((table) => [table.id, table]));
  const first = [...early].flatMap(([id, because]) => {
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
    sql`SELECT ${note('limits')} id, schema_name, row_estimate, byte_estimate, dropped_at
        FROM ${LEDGER} WHERE state IN (${valueList(LIVE_STATES)})`,
    { deadlineMs: 60_000 },
  );
  const entries = rows.map((row): [string, Weight] => [
    textOf(row, 'id'),
    {
      schema: textOf(row, 'schema_name'),
      rows: numberOrNullOf(row, 'row_estimate'),
      bytes: numberOrNullOf(row, 'byte_estimate'),
      droppedAt: dateOf(row, 'dropped_at'),
    },
  ]);
  return new Map(entries);
}

/** 1: all that one of the limits allows. */
function usedOf(room: Pick<Room, 'bytes' | 'tables' | 'freeBytes'>, limits: LimitSettings): number {
  const { bytes, tables, freeBytes } = room;
  const { bytesMax, tablesMax, freeBytesMin } = limits;
  return Math.max(
    bytesMax === null ? 0 : bytes / bytesMax,
    tablesMax === null ? 0 : tables / tablesMax,
    freeBytesMin === null || freeBytes === null ? 0 : freeBytesMin / Math.max(freeBytes, 1),
  );
}

/** What is in DROP goes anyway; then EVAC, then PURGE, then HOLD, the least worth keeping first. */
export function chooseEarly(
  tables: readonly HeldTable[],
  weights: ReadonlyMap<string, Weight>,
  limits: LimitSettings,
  { now, freeBytes }: { readonly now: Date; readonly freeBytes: number | null },
): Room {
  const { bytesMax, tablesMax, freeBytesMin } = limits;
  const bytesOf = ({ id }: HeldTable) => weights.get(id)?.bytes ?? 0;
  const bytes = tables.reduce((sum, table) => sum + bytesOf(table), 0);
  const used = usedOf({ bytes, tables: tables.length, freeBytes }, limits);
  const missing = freeBytesMin === null || freeBytes === null ? 0 : freeBytesMin - freeBytes;
  // What is going goes anyway; what is pinned may not push out what others hold.
  const counted = tables.filter(
    ({ state, due }) => state !== 'DROP' && !(state === 'HOLD' && isPinned(due)),
  );
  let leftTables = counted.length;
  let leftBytes = counted.reduce((sum, table) => sum + bytesOf(table), 0);
  let freed = tables
    .filter(({ state }) => state === 'DROP')
    .reduce((sum, table) => sum + bytesOf(table), 0);
  const early = new Map<string, string>();
  for (const table of inOrder(tables, weights, limits, now)) {
    const isOverTables = tablesMax !== null && leftTables > tablesMax;
    const isOverBytes = bytesMax !== null && leftBytes > bytesMax;
    const isDiskFull = freed < missing;
    if (!isOverTables && !isOverBytes && !isDiskFull) break;
    const frees = bytesOf(table);
    // It would go for nothing.
    if (!isOverTables && frees === 0) continue;
    const which = isDiskFull ? FREE : isOverBytes ? BYTES : TABLES;
    early.set(table.id, `${which}; its removal frees ${frees} bytes`);
    freed += frees;
    leftBytes -= frees;
    leftTables--;
  }
  return { bytes, tables: tables.length, used, freeBytes, early };
}

const FREE = 'the disk has less than UNDROP_MIN_FREE';
const BYTES = 'UNDROP_MAX_BYTES is passed';
const TABLES = 'UNDROP_MAX_TABLES is passed';

const BY_STATE: Readonly<Record<TableState, number>> = { DROP: 0, EVAC: 1, PURGE: 2, HOLD: 3 };

function inOrder(
  tables: readonly HeldTable[],
  weights: ReadonlyMap<string, Weight>,
  limits: LimitSettings,
  now: Date,
): readonly HeldTable[] {
  const { bytesMax, share, minHoldMs } = limits;
  const bySchema = new Map<string, number>();
  for (const { schema, bytes } of weights.values()) {
    bySchema.set(schema, (bySchema.get(schema) ?? 0) + (bytes ?? 0));
  }
  const shareMax = bytesMax === null ? Number.POSITIVE_INFINITY : share * bytesMax;
  const ageMs = (weight: Weight) => now.getTime() - weight.droppedAt.getTime();
  /** The lowest goes first. */
  const worth = ({ id, state }: HeldTable): readonly number[] => {
    const weight = weights.get(id);
    if (state !== 'HOLD' || weight === undefined) return [BY_STATE[state], 0, 0, 0];
    const isOverShare = (bySchema.get(weight.schema) ?? 0) > shareMax;
    const isSmall = (weight.bytes ?? Number.POSITIVE_INFINITY) <= SMALL_BYTES;
    const isYoung = ageMs(weight) <= YOUNG_MS;
    const kind = weight.rows === 0 ? 0 : isYoung && isSmall ? 1 : 2;
    return [BY_STATE[state], isOverShare ? 0 : 1, kind, weight.droppedAt.getTime()];
  };
  const canGoEarly = ({ id, state, due }: HeldTable) => {
    if (state === 'DROP') return false;
    if (state !== 'HOLD') return true;
    const weight = weights.get(id);
    return !isPinned(due) && weight !== undefined && ageMs(weight) >= minHoldMs;
  };
  return tables
    .filter(canGoEarly)
    .map((table) => ({ table, worth: worth(table) }))
    .sort(
      (one, other) => compare(one.worth, other.worth) || (one.table.id < other.table.id ? -1 : 1),
    )
    .map(({ table }) => table);
}

function compare(one: readonly number[], other: readonly number[]): number {
  const at = one.findIndex((value, index) => value !== other[index]);
  return at < 0 ? 0 : (one[at] ?? 0) - (other[at] ?? 0);
}
