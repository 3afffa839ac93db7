/**
 * The reasons for which the collector waits although a table is due: UNDROP_WINDOW,
 * UNDROP_THROTTLE_QUERY, UNDROP_REPLICAS. Checked before each transition, removal and chunk of a
 * purge.
 *
 * Invariants: an unknown state is a reason to wait. After a reason, there must be none for a while,
 * and replicas must be well within their limit, before the collector continues.
 */

import { causeText, isServiceError } from '../../connections/errors.js';
import type { ServerAddress } from '../../connections/server-address.js';
import type { Row, ServiceConnection, SQLQuery } from '../../connections/sql.js';
import { col, note, sql } from '../../connections/sql.js';
import { formatDuration, formatWindow, untilWindowMs, type Window } from '../../duration.js';
import { parseServerVersion } from '../../wire/connection/handshake-v10.js';

export interface ThrottleSettings {
  readonly window: Window | null;
  /** SQL whose first value must be 0; null: none. */
  readonly query: string | null;
  readonly replicas: readonly ServerAddress[];
  readonly maxLagMs: number;
}

interface ThrottleOptions {
  readonly settings: { readonly throttle: ThrottleSettings };
  /** The configured replicas; default: none. */
  readonly replicas?: readonly Replica[];
  /** For the query. */
  readonly pool: ServiceConnection;
  /** Milliseconds of a monotonic clock; default: the process's. */
  readonly monotonicMs?: () => number;
}

export interface Wait {
  readonly for: 'window' | 'query' | 'replica';
  /** The same text for the same reason. */
  readonly because: string;
  /** When a new check is worthwhile. */
  readonly forMs: number;
}

/** How long the result of a check holds. */
const FRESH_MS = 50;
const AGAIN_MS = 500;
/** How long there must be no reason. */
const CALM_MS = 2_000;
const QUERY_DEADLINE_MS = 5_000;

export class Throttle {
  readonly #options: Required<ThrottleOptions>;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #answer: Wait | null = null;
  #isUsedAgain = false;
  /** The last reason; null: it is over. */
  #last: Wait | null = null;
  #calmSinceMs: number | null = null;

  constructor(options: ThrottleOptions) {
    this.#options = { replicas: [], monotonicMs: () => performance.now(), ...options };
  }

  /** Null: no reason to wait. `now`: the server's UTC clock. */
  async wait(now: Date): Promise<Wait | null> {
    const { monotonicMs } = this.#options;
    this.#isUsedAgain = !this.#isUsedAgain && monotonicMs() - this.#askedAtMs < FRESH_MS;
    if (this.#isUsedAgain) return this.#answer;
    const found = await this.#find(now);
    this.#askedAtMs = monotonicMs();
    this.#answer = found ?? this.#rest();
    if (found !== null) this.#last = found;
    if (found !== null) this.#calmSinceMs = null;
    return this.#answer;
  }

  /** The last reason holds for a while. */
  #rest(): Wait | null {
    if (this.#last === null) return null;
    this.#calmSinceMs ??= this.#askedAtMs;
    const leftMs = this.#calmSinceMs + CALM_MS - this.#askedAtMs;
    if (leftMs > 0) return { ...this.#last, forMs: Math.min(leftMs, AGAIN_MS) };
    this.#last = null;
    this.#calmSinceMs = null;
    return null;
  }

  async #find(now: Date): Promise<Wait | null> {
    const { settings, pool, replicas } = this.#options;
    const { window, query, maxLagMs } = settings.throttle;
    const closedMs = window === null ? 0 : untilWindowMs(window, now);
    if (window !== null && closedMs > 0) {
      const because = `outside UNDROP_WINDOW (${formatWindow(window)})`;
      return { for: 'window', because, forMs: closedMs };
    }
    const limitMs = this.#last === null ? maxLagMs : maxLagMs / 2;
    const [byQuery, ...byReplica] = await Promise.all([
      query === null ? null : whyByQuery(pool, query),
      ...replicas.map((replica) => whyByReplica(replica, { limitMs, maxLagMs })),
    ]);
    if (byQuery) return { for: 'query', because: byQuery, forMs: AGAIN_MS };
    const because = byReplica.find((reason) => reason !== null) ?? null;
    return because === null ? null : { for: 'replica', because, forMs: AGAIN_MS };
  }
}

async function whyByReplica(
  replica: Replica,
  { limitMs, maxLagMs }: { readonly limitMs: number; readonly maxLagMs: number },
): Promise<string | null> {
  const lag = await readReplicaLag(replica);
  if (typeof lag === 'string') return lag;
  if (lag * 1_000 <= limitMs) return null;
  const limit = `${formatDuration(maxLagMs)} (UNDROP_MAX_LAG)`;
  return `the replica ${replica.name} lags by more than ${limit}`;
}

async function whyByQuery(connection: ServiceConnection, query: string): Promise<string | null> {
  const value = await readQuery(connection, query);
  if (typeof value === 'string') return value;
  return value === 0 ? null : 'UNDROP_THROTTLE_QUERY returned a value other than 0';
}

/** Its value, or why there is none. */
async function readQuery(connection: ServiceConnection, query: string): Promise<number | string> {
  try {
    // The operator's text, unchanged.
    const text = sql.__dangerous__rawValue(query.trim().replace(/;+$/, ''));
    const answers = await connection.run(text, { deadlineMs: QUERY_DEADLINE_MS });
    const value = Object.values(answers.at(-1)?.[0] ?? {})[0];
    if (value === undefined) return 'UNDROP_THROTTLE_QUERY returned no row: expected a number';
    // Number('') is 0.
    const isText = typeof value === 'string' && value.trim() !== '';
    const isNumber = isText || ['number', 'bigint'].includes(typeof value);
    const number = isNumber ? Number(value) : Number.NaN;
    return Number.isNaN(number) ? 'UNDROP_THROTTLE_QUERY did not return a number' : number;
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return `UNDROP_THROTTLE_QUERY failed: ${causeText(error)}`;
  }
}

/** Reasons for an endless wait of the collector: a wrong query, a replica that does not report. */
export async function findThrottleFaults(
  connection: ServiceConnection,
  { query }: ThrottleSettings,
  replicas: readonly Replica[],
): Promise<readonly string[]> {
  const value = query === null ? 0 : await readQuery(connection, query);
  const lags = await Promise.all(replicas.map(readReplicaLag));
  return [value, ...lags].filter((one) => typeof one === 'string');
}

// ── how far a replica is behind ──────────────────────────────────────────────────────────────────
// The lag is read on the replica itself. Any uncertainty (it has stopped, is connecting, doesn't
// answer, doesn't replicate) counts as too much lag.

export interface Replica {
  /** Its address, for messages. */
  readonly name: string;
  readonly connection: ServiceConnection;
}

/** A replica that takes longer to answer counts as lagging. */
const LAG_DEADLINE_MS = 3_000;

/** The seconds, or why they aren't known. Does not reject for errors of the connection. */
async function readReplicaLag({ name, connection }: Replica): Promise<number | string> {
  const unknown = `the lag of the replica ${name} is not known`;
  try {
    const [answer = []] = await connection.run(sql`SELECT ${note('lag')} VERSION() AS version`, {
      deadlineMs: LAG_DEADLINE_MS,
    });
    const status = statusOf(col.text(answer[0] ?? {}, 'version'));
    const [channels = []] = await connection.run(status, { deadlineMs: LAG_DEADLINE_MS });
    const lag = lagOf(channels);
    return typeof lag === 'string' ? `${unknown}: ${lag}` : lag;
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return `${unknown}: ${causeText(error)}`;
  }
}

/** A row for each channel. */
function statusOf(version: string): SQLQuery {
  const { flavour, versionId } = parseServerVersion(version);
  if (flavour === 'mariadb') return sql`SHOW ALL SLAVES STATUS`;
  return versionId >= 80_022 ? sql`SHOW REPLICA STATUS` : sql`SHOW SLAVE STATUS`;
}

/**
 * Seconds by the replica's own count, of the slowest of its channels; else why they aren't known.
 * The columns have other names in the middle: `Slave_IO_Running`, `Replica_IO_Running`.
 */
export function lagOf(channels: readonly Row[]): number | string {
  if (channels.length === 0) return 'it does not replicate';
  let slowest = 0;
  for (const channel of channels) {
    const of = (column: RegExp) => {
      const [, value = null] = Object.entries(channel).find(([name]) => column.test(name)) ?? [];
      return value === null ? null : String(value);
    };
    for (const thread of ['IO', 'SQL']) {
      const state = of(new RegExp(`_${thread}_Running$`));
      if (state !== 'Yes') return `its ${thread} thread is not running (${state})`;
    }
    const seconds = of(/^Seconds_Behind_/);
    if (seconds === null) return 'it does not report how far it lags (NULL)';
    slowest = Math.max(slowest, Number(seconds));
  }
  return slowest;
}
