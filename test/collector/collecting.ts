/**
 * A collector on a real server for a test: with fast settings, a log that can be looked into, and
 * held tables made by hand, as the lifecycle needs nothing but a name.
 */
import { randomBytes } from 'node:crypto';
import { systemClock } from '../../src/clock.js';
import type { Collector, CollectorOptions } from '../../src/collector/collector.js';
import { startCollector } from '../../src/collector/collector.js';
import type { LifecycleSettings } from '../../src/collector/next-step.js';
import { collectOnce } from '../../src/collector/once.js';
import { finishing, type Reconcile, reconcile } from '../../src/collector/reconcile.js';
import type { ServicePool } from '../../src/connections/sql.js';
import { type Log, silentLog } from '../../src/log.js';
import type { TableState } from '../../src/names/names.js';
import { formatHoldName, newHoldId, RECYCLE_SCHEMA } from '../../src/names/names.js';
import { asking } from '../support/asking.js';
import { until as poll } from '../support/poll.js';
import { query, type Target } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { tappedPool } from '../support/tapped-pool.js';

export type CollectSettings = Partial<LifecycleSettings>;

export const fastSettings: LifecycleSettings = {
  ...{ lifecycle: ['HOLD', 'PURGE', 'EVAC', 'DROP'], holdMs: 2_000, evacMs: 0 },
  ...{ checkIntervalMs: 1_000, purgeCheckIntervalMs: 1_000, purgeChunkRows: 50, purgeChunkMs: 20 },
  ...{ purgeImpactMs: 1, throttle: { window: null, query: null, replicas: [], maxLagMs: 2_000 } },
  fileStepBytes: 64 * 2 ** 20,
  limits: {
    ...{ bytesMax: null, tablesMax: null, minHoldMs: 0 },
    ...{ freeBytesMin: null, dataFolder: null },
  },
  ...{ collect: 'auto', graceMs: 0, fastDrop: 'auto', ledgerKeepMs: 86_400_000 },
};

export interface Said {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Collecting extends AsyncDisposable {
  readonly collector: Collector;
  /** What it logged so far, debug left out. */
  readonly said: readonly Said[];
  /** Resolves when a look that began after this call is over. */
  looked(): Promise<void>;
  /** Stops it and closes its pool; may be called twice. */
  stop(): Promise<void>;
}

interface CollectMore extends Pick<CollectorOptions, 'monotonicMs' | 'replicas'> {
  readonly recover?: Reconcile;
}

/**
 * `tap` sees and may delay what the collector does, by wrapping its pool; `recover` is its
 * recovery, by default none; `monotonicMs` its clock of this machine; `replicas` what it waits for.
 */
export function startCollecting(
  server: Target,
  settings: CollectSettings = {},
  tap: (pool: ServicePool) => ServicePool = (pool) => pool,
  { recover = async () => ({ pending: [], untouched: [] }), ...more }: CollectMore = {},
): Collecting {
  const pool = poolOn(server);
  const said: Said[] = [];
  const say = (fields: object, message: string) => {
    said.push({ message, fields: fields as Said['fields'] });
  };
  // Recovery is the first thing of a full look: when it runs again, the look before is over.
  let looks = 0;
  const log: Log = { debug: () => undefined, info: say, warn: say, error: say };
  const collector = startCollector({
    ...{ pool: tap(pool), proxyId: 'test', settings: { ...fastSettings, ...settings } },
    clock: systemClock,
    ...more,
    log,
    reconcile: (connection, options) => {
      looks += 1;
      return recover(connection, options);
    },
    activeIds: new Set(),
  });
  const end = async () => {
    await collector.stop();
    await pool.dispose();
  };
  let ended: Promise<void> | null = null;
  const stop = () => {
    ended ??= end();
    return ended;
  };
  return {
    collector,
    said,
    looked: async () => {
      const enough = looks + 2;
      await until('the collector looks twice', () => {
        if (looks < enough) collector.wake();
        return looks >= enough;
      });
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** A whole pass with recovery; resolves to why nothing was collected, else to null. */
export async function collectNow(server: Target): Promise<string | null> {
  await using pool = poolOn(server);
  return await collectOnce({
    pool,
    ...{ proxyId: 'test', settings: fastSettings, clock: systemClock, log: silentLog },
    reconcile: finishing(pool, reconcile),
  });
}

/** A tap for `startCollecting`: calls `before` with the table that a RENAME or DROP is for. */
export function beforeEachStep(pool: ServicePool, before: (quoted: string) => Promise<unknown>) {
  return tappedPool(pool, async (send, texts) => {
    const step = texts.find((one) => /^(RENAME|DROP)/.test(one));
    const [quoted] = step?.match(/`_undrop`\.`[^`]+`/) ?? [];
    if (quoted !== undefined) await before(quoted);
    return send();
  });
}

export interface Held {
  readonly id: string;
  readonly schema: string;
  readonly name: string;
  /** `schema`.`name`, quoted. */
  readonly quoted: string;
}

/** Names that are nearly ours, of each kind some; all of them are in test/names. */
export function nearMisses(id: string): readonly string[] {
  return [
    `_vt_HOLD_${id}_20260230000000`,
    `_vt_HOLD_${id.slice(1)}_20200101000000`,
    `_vt_KEEP_${id}_20200101000000`,
    `x_vt_DROP_${id}_20200101000000`,
    `_vt_DROP_${id}_20200101000000_`,
    'orders',
  ];
}

export interface HoldOptions {
  readonly schema?: string;
  readonly state?: TableState;
  /** From now by the server's clock; default 5 seconds ago. */
  readonly dueInSeconds?: number;
  /** Behind the name: columns and options. */
  readonly definition?: string;
  /** Default 10. */
  readonly rows?: number;
}

/** Makes a held table with rows, out of nothing. */
export async function holdTable(server: Target, options: HoldOptions = {}): Promise<Held> {
  const { schema = RECYCLE_SCHEMA, state = 'HOLD', dueInSeconds = -5, rows = 10 } = options;
  const { definition = '(id INT PRIMARY KEY, note VARCHAR(40)) ENGINE=InnoDB' } = options;
  const due = await serverTime(server, dueInSeconds);
  const id = newHoldId(Date.now(), randomBytes);
  const name = formatHoldName({ state, id, due });
  const quoted = `\`${schema}\`.\`${name}\``;
  const values = Array.from({ length: rows }, (_, index) => `(${index}, 'row ${index}')`);
  // Under its name only when it is complete: a collector may be at work.
  const making = `\`${schema}\`.\`making_${id}\``;
  await query(
    server,
    `CREATE TABLE ${making} ${definition}`,
    ...(rows === 0 ? [] : [`INSERT INTO ${making} (id, note) VALUES ${values.join(',')}`]),
    `RENAME TABLE ${making} TO ${quoted}`,
  );
  return { id, schema, name, quoted };
}

/** The server's UTC clock, so many seconds from now. */
export async function serverTime(server: Target, inSeconds: number): Promise<Date> {
  const iso = "SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%dT%H:%i:%sZ') LIMIT 1";
  const now = await asking(server).cell(iso);
  return new Date(new Date(now ?? '').getTime() + inSeconds * 1000);
}

/** Names of tables with that id, in all schemas, `schema.name`. */
export function whereIs(server: Target, id: string): Promise<readonly string[]> {
  return asking(server).column(`SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME)
    FROM information_schema.TABLES
    WHERE TABLE_SCHEMA LIKE '\\_undrop%' AND TABLE_NAME LIKE '%${id}%' ORDER BY 1`);
}

export async function isGone(server: Target, { id }: Pick<Held, 'id'>): Promise<boolean> {
  return (await whereIs(server, id)).length === 0;
}

/** Resolves when each of them is gone. */
export async function untilGone(server: Target, ...tables: readonly Held[]): Promise<void> {
  for (const held of tables) await until(`${held.name} is gone`, () => isGone(server, held));
}

export async function countRows(server: Target, quoted: string): Promise<number> {
  return Number(await asking(server).cell(`SELECT COUNT(*) FROM ${quoted}`));
}

/** Asks again and again until the answer is true; says `what` it waited for when it isn't. */
export function until(what: string, check: () => boolean | Promise<boolean>, withinMs = 60_000) {
  return poll(check, what, withinMs);
}
