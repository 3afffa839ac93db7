/**
 * The reasons for which the collector waits although a table is due: UNDROP_WINDOW,
 * UNDROP_THROTTLE_QUERY, UNDROP_REPLICAS. Checked before each transition, removal and chunk of a
 * purge.
 *
 * Invariants: an unknown state is a reason to wait. After a reason, there must be none for a while,
 * and replicas must be well within their limit, before the collector continues.
 */
import { formatDuration, formatWindow, untilWindowMs, type Window } from '../../duration.js';
import * as col from '../../service/columns.js';
import { causeText, isServiceError } from '../../service/errors.js';
import type { Row, ServiceConnection } from '../../service/pool/pools.js';
import type { ServerAddress } from '../../service/server-address.js';
import { note, type SQLQuery, sql } from '../../service/sql.js';
import { parseServerVersion } from '../../wire/connection/handshake-v10.js';

export interface ThrottleSettings {
  readonly window: Window | null;
  /** SQL whose first value must be 0; null: none. */
  readonly query: string | null;
  readonly replicas: readonly ServerAddress[];
  readonly maxLagMs: number;
}

interface ThrottleOptions {
  readonly settings: ThrottleSettings;
  /** The configured replicas. */
  readonly replicas: readonly Replica[];
  /** For the query. */
  readonly connection: ServiceConnection;
  /** Milliseconds of a monotonic clock. */
  readonly monotonicMs: () => number;
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

/** The reasons to wait for the collector of that pool, in any process. */
export function newThrottle(
  {
    pool,
    settings,
    replicas = [],
  }: {
    readonly pool: ServiceConnection;
    readonly settings: { readonly throttle: ThrottleSettings };
    readonly replicas?: readonly Replica[];
  },
  monotonicMs: () => number,
): Throttle {
  return new Throttle({ settings: settings.throttle, replicas, connection: pool, monotonicMs });
}

export class Throttle {
  readonly #options: ThrottleOptions;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #answer: Wait | null = null;
  #isUsedAgain = false;
  /** The last reason; null: it is over. */
  #last: Wait | null = null;
  #calmSinceMs: number | null = null;

  constructor(options: ThrottleOptions) {
    this.#options = options;
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
    const { settings, connection, replicas } = this.#options;
    const { window, query, maxLagMs } = settings;
    const closedMs = window === null ? 0 : untilWindowMs(window, now);
    if (window !== null && closedMs > 0) {
      const because = `outside UNDROP_WINDOW (${formatWindow(window)})`;
      return { for: 'window', because, forMs: closedMs };
    }
    const limitMs = this.#last === null ? maxLagMs : maxLagMs / 2;
    const [byQuery, ...byReplica] = await Promise.all([
      query === null ? null : whyByQuery(connection, query),
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
  if ('unknown' in lag) return unknownLag(replica.name, lag.unknown);
  if (lag.seconds * 1_000 <= limitMs) return null;
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
    const answers = await connection.run(asQuery(query), { deadlineMs: QUERY_DEADLINE_MS });
    const value = Object.values(answers.at(-1)?.[0] ?? {})[0];
    if (value === undefined) return 'UNDROP_THROTTLE_QUERY returned no row: expected a number';
    const isNumber = ['number', 'bigint'].includes(typeof value) || isText(value);
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
  const unknown = lags.flatMap((lag, at) =>
    'unknown' in lag ? [unknownLag(replicas[at]?.name ?? '', lag.unknown)] : [],
  );
  return [...(typeof value === 'string' ? [value] : []), ...unknown];
}

function unknownLag(name: string, why: string): string {
  return `the lag of the replica ${name} is not known: ${why}`;
}

/** Number('') is 0. */
function isText(value: unknown): boolean {
  return typeof value === 'string' && value.trim() !== '';
}

/** The operator's text, unchanged. */
function asQuery(text: string): SQLQuery {
  return sql.__dangerous__rawValue(text.trim().replace(/;+$/, ''));
}

// ── how far a replica is behind ──────────────────────────────────────────────────────────────────
// The lag is read on the replica itself. Any uncertainty (it has stopped, is connecting, doesn't
// answer, doesn't replicate) counts as too much lag.

export interface Replica {
  /** Its address, for messages. */
  readonly name: string;
  readonly connection: ServiceConnection;
}

/** Seconds by the replica's own count, of the slowest of its channels; else why it isn't known. */
export type ReplicaLag = { readonly seconds: number } | { readonly unknown: string };

/** A replica that takes longer to answer counts as lagging. */
const LAG_DEADLINE_MS = 3_000;

/** Does not reject for errors of the connection. */
export async function readReplicaLag({ connection }: Replica): Promise<ReplicaLag> {
  try {
    const [answer = []] = await connection.run(sql`SELECT ${note('lag')} VERSION() AS version`, {
      deadlineMs: LAG_DEADLINE_MS,
    });
    const status = statusOf(col.text(answer[0] ?? {}, 'version'));
    const [channels = []] = await connection.run(status, { deadlineMs: LAG_DEADLINE_MS });
    return lagOf(channels);
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return { unknown: causeText(error) };
  }
}

/** A row for each channel. */
function statusOf(version: string): SQLQuery {
  const { flavour, versionId } = parseServerVersion(version);
  if (flavour === 'mariadb') return sql`SHOW ALL SLAVES STATUS`;
  return versionId >= 80_022 ? sql`SHOW REPLICA STATUS` : sql`SHOW SLAVE STATUS`;
}

/** The columns have other names in the middle: `Slave_IO_Running`, `Replica_IO_Running`. */
export function lagOf(channels: readonly Row[]): ReplicaLag {
  if (channels.length === 0) return { unknown: 'it does not replicate' };
  let slowest = 0;
  for (const channel of channels) {
    const of = (column: RegExp) => {
      const [, value = null] = Object.entries(channel).find(([name]) => column.test(name)) ?? [];
      return value === null ? null : String(value);
    };
    for (const thread of ['IO', 'SQL']) {
      const state = of(new RegExp(`_${thread}_Running$`));
      if (state !== 'Yes') return { unknown: `its ${thread} thread is not running (${state})` };
    }
    const seconds = of(/^Seconds_Behind_/);
    if (seconds === null) return { unknown: 'it does not report how far it lags (NULL)' };
    slowest = Math.max(slowest, Number(seconds));
  }
  return { seconds: slowest };
}
