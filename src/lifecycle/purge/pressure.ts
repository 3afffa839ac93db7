/**
 * Measures the effect of a purge on other sessions: while it runs, a connection of its own does a
 * point read every 50 ms. Reads during pauses set the usual duration; reads beside a chunk are
 * compared with it. And once a second, between two chunks, it reads the load of the server, and the
 * number of statements in a moment that weren't the purge's.
 *
 * Invariant: it decides about nothing but the pace. A read without a response counts as pressure,
 * not as an error. A value the server refuses to report counts as neither pressure nor calm.
 */
import type { Clock } from '../../clock.js';
import { RECYCLE_SCHEMA } from '../../names/names.js';
import { isServerError, isServiceError, unlessRefused } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { readStatusVariables, type ServerFacts } from '../../service/server-facts.js';
import { ident, note, numberOf, sql } from '../../service/sql.js';
import type { Load, Pressure } from './pace.js';

const READ_EVERY_MS = 50;
const GAUGES_EVERY_MS = 1_000;
const DEADLINE_MS = 2_000;
/** How long a read counts, because the usual duration changes slowly, and an old stall is over. */
const USUAL_FOR_MS = 60_000;
const LATEST_FOR_MS = 2_000;
/** Fewer reads are not significant. */
const READS_MIN = 5;
/** Half of them must be slower by that factor, and by that many milliseconds. */
const SLOWER = 2;
const SLOWER_MS = 0.5;

/** How long statements are counted while the purge rests. */
const COUNT_FOR_MS = 50;
/**
 * Above this number, other sessions are active. Fewer are undrop's own: a probe, a heartbeat, the
 * counting itself.
 */
const OTHERS_MIN = 10;
/** How long other sessions count as present after they were last seen. */
const SHARED_FOR_MS = 10_000;

/** The values at which pt-online-schema-change and gh-ost wait, and stop. */
const RUNNING_SOME = 25;
const RUNNING_HIGH = 50;
/** For the buffer pool, and for the redo log: above it, the server flushes as fast as it can. */
const DIRTY_SHARE = 0.75;
const CHECKPOINT_SHARE = 0.75;
/** Transactions that InnoDB still has to purge. */
const HISTORY_LENGTH = 1_000_000;

const POINT_READ = sql`SELECT ${note('probe')} wakes
  FROM ${ident(RECYCLE_SCHEMA, 'control')} WHERE name = 'wake'`;

const STATEMENTS = 'Questions';

const GAUGES = [
  STATEMENTS,
  'Threads_running',
  'Innodb_buffer_pool_pages_dirty',
  'Innodb_buffer_pool_pages_total',
  'Innodb_history_list_length',
  'Innodb_checkpoint_age',
  'Innodb_checkpoint_max_age',
] as const;

/** By the names of SHOW GLOBAL STATUS; values that a server doesn't report are missing. */
export type Gauges = ReadonlyMap<string, number>;

/** The load of a server by its own figures. Pure. */
export function pressureOf(gauges: Gauges): Pressure {
  const of = (name: string) => gauges.get(name) ?? 0;
  const share = (part: string, whole: string) => of(part) / Math.max(of(whole), 1);
  const running = of('Threads_running');
  if (running >= RUNNING_HIGH) return 'high';
  const isBusy =
    running >= RUNNING_SOME ||
    share('Innodb_buffer_pool_pages_dirty', 'Innodb_buffer_pool_pages_total') > DIRTY_SHARE ||
    share('Innodb_checkpoint_age', 'Innodb_checkpoint_max_age') > CHECKPOINT_SHARE ||
    of('Innodb_history_list_length') > HISTORY_LENGTH;
  return isBusy ? 'some' : 'none';
}

/** Whether reads beside chunks take clearly longer than usual: by the median. Pure. */
export function isSlower(latestMs: readonly number[], usualMs: readonly number[]): boolean {
  if (Math.min(usualMs.length, latestMs.length) < READS_MIN) return false;
  const usual = median(usualMs);
  return median(latestMs) > Math.max(usual * SLOWER, usual + SLOWER_MS);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

interface Read {
  readonly atMs: number;
  readonly tookMs: number;
}

function tookMs(read: Read): number {
  return read.tookMs;
}

interface PressureGaugeOptions {
  /** Must not be the connection of the purge. */
  readonly pool: ServicePool;
  readonly clock: Clock;
  readonly monotonicMs: () => number;
  readonly signal: AbortSignal;
}

export class PressureGauge {
  readonly #options: PressureGaugeOptions;
  #usual: readonly Read[] = [];
  #latest: readonly Read[] = [];
  #gauged: Pressure = 'none';
  #gaugedAtMs = Number.NEGATIVE_INFINITY;
  #sharedUntilMs = Number.NEGATIVE_INFINITY;
  #isFailing = false;
  /** The number of chunk starts and ends: odd within one. */
  #edges = 0;

  constructor(options: PressureGaugeOptions) {
    this.#options = options;
  }

  get load(): Load {
    const isShared = this.#options.monotonicMs() < this.#sharedUntilMs;
    return { pressure: this.#pressure(), isShared };
  }

  #pressure(): Pressure {
    if (this.#isFailing) return 'high';
    if (this.#gauged !== 'none') return this.#gauged;
    this.#latest = this.#youngest(this.#latest, LATEST_FOR_MS);
    return isSlower(this.#latest.map(tookMs), this.#usual.map(tookMs)) ? 'some' : 'none';
  }

  /** Reads while `work` runs. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const over = new AbortController();
    const measuring = this.#read(over.signal);
    // A defect is thrown at the end; until then it has no handler.
    measuring.catch(() => undefined);
    try {
      return await work();
    } finally {
      over.abort();
      await measuring;
    }
  }

  /**
   * Reads the load once a second. Call it between two chunks, so that no counted statement is the
   * purge's.
   */
  async look(server: ServerFacts): Promise<void> {
    const { pool, clock, monotonicMs, signal } = this.#options;
    if (monotonicMs() - this.#gaugedAtMs < GAUGES_EVERY_MS) return;
    await this.#isAnswered(async () => {
      const gauges = await readGauges(pool, server);
      this.#gauged = pressureOf(gauges);
      await clock.sleep(COUNT_FOR_MS, signal);
      const options = { deadlineMs: DEADLINE_MS };
      const later = await readStatusVariables(pool, [STATEMENTS], options);
      const count = (later.get(STATEMENTS) ?? 0) - (gauges.get(STATEMENTS) ?? 0);
      if (count >= OTHERS_MIN) this.#sharedUntilMs = monotonicMs() + SHARED_FOR_MS;
    });
    this.#gaugedAtMs = monotonicMs();
  }

  /** Reads during `chunk` measure its effect. */
  async beside<T>(chunk: () => Promise<T>): Promise<T> {
    this.#edges++;
    try {
      return await chunk();
    } finally {
      this.#edges++;
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { pool, clock, monotonicMs } = this.#options;
    while (!signal.aborted) {
      const [edges, beganMs] = [this.#edges, monotonicMs()];
      if (await this.#isAnswered(() => pool.run(POINT_READ, { deadlineMs: DEADLINE_MS }))) {
        const read = { atMs: monotonicMs(), tookMs: monotonicMs() - beganMs };
        const isBeside = edges !== this.#edges || edges % 2 === 1;
        if (isBeside) this.#latest = [...this.#youngest(this.#latest, LATEST_FOR_MS), read];
        else this.#usual = [...this.#youngest(this.#usual, USUAL_FOR_MS), read];
      }
      await clock.sleep(READ_EVERY_MS, signal);
    }
  }

  #youngest(reads: readonly Read[], forMs: number): readonly Read[] {
    const sinceMs = this.#options.monotonicMs() - forMs;
    return reads.filter(({ atMs }) => atMs >= sinceMs);
  }

  async #isAnswered(ask: () => Promise<unknown>): Promise<boolean> {
    try {
      await ask();
      this.#isFailing = false;
    } catch (error) {
      if (!isServiceError(error)) throw error;
      this.#isFailing = !isServerError(error);
      return false;
    }
    return true;
  }
}

/** MySQL reports the length of its history only in INNODB_METRICS, which needs PROCESS. */
async function readGauges(pool: ServicePool, server: ServerFacts): Promise<Gauges> {
  const options = { deadlineMs: DEADLINE_MS };
  const gauges = await readStatusVariables(pool, GAUGES, options);
  if (server.flavour === 'mariadb') return gauges;
  const [history = []] = await unlessRefused(pool.run(HISTORY, options), []);
  const length = history[0] === undefined ? 0 : numberOf(history[0], 'length');
  return new Map([...gauges, ['Innodb_history_list_length', length]]);
}

const HISTORY = sql`SELECT ${note('probe')} COUNT AS length
  FROM information_schema.INNODB_METRICS WHERE NAME = 'trx_rseg_history_len'`;
