/**
 * Measures the effect of a purge on other sessions: while it runs, a connection of its own does a
 * point read every 10 ms, in which the server says when it did it. The delay of a read is what it
 * was later than the quickest one: so this process, which may wait for a core, is left out. And
 * once a second, between two chunks, it reads the load of the server, and the number of statements
 * in a moment that weren't the purge's: reads of that moment set the usual delay; of reads beside a
 * chunk, one in ten may come later by UNDROP_PURGE_IMPACT.
 *
 * Invariant: it decides about nothing but the pace. A read without a response counts as felt, not
 * as an error. A value the server refuses to report counts as neither load nor calm.
 */

import { isServerError, isServiceError, unlessRefused } from '../../connections/errors.js';
import type { Row, ServerFacts, ServicePool } from '../../connections/sql.js';
import { col, note, readStatusVariables, sql } from '../../connections/sql.js';
import { CONTROL } from '../../ledger/tables.js';
import type { ActionContext } from '../action-context.js';
import type { Effect, Load } from './pace.js';

const READ_EVERY_MS = 10;
/** A read whose turn comes later than this has waited for this process, not for the server. */
const LATE_MS = 2;
const GAUGES_EVERY_MS = 1_000;
const DEADLINE_MS = 2_000;
/** How long a read counts for the usual delay, and for the quickest one. */
const USUAL_FOR_MS = 20_000;
/**
 * The reads of a measurement: beside chunks, or at any time, because few reads meet a purge that
 * mostly pauses, and it would be minutes before it found its pace again.
 */
const READS = 30;
const READS_IN_ALL = 100;
/** The reads that the usual delay needs. */
const USUAL_MIN = 10;
/** The part of the reads that is not slower than the one that counts. */
const TAIL = 0.9;

/** A read that waits longer for its response is judged by that. */
const STALL_MS = 100;

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
/**
 * For the buffer pool, and for the redo log: above it, the server flushes as fast as it can.
 * MariaDB 10.5 flushes nothing before the log is at 7/8, so a lower share would stop a purge for as
 * long as nobody else writes.
 */
const DIRTY_SHARE = 0.9;
const CHECKPOINT_SHARE = 0.9;
/** Transactions that InnoDB still has to purge. */
const HISTORY_LENGTH = 1_000_000;

/** SYSDATE(), unlike NOW(), is of the moment when it is evaluated: after the read. */
const POINT_READ = sql`SELECT ${note('probe')}
  (SELECT wakes FROM ${CONTROL} WHERE name = 'wake') AS wakes,
  UNIX_TIMESTAMP(SYSDATE(6)) AS at`;

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
export function loadOf(gauges: Gauges): Exclude<Effect, 'unknown'> {
  const of = (name: string) => gauges.get(name) ?? 0;
  const share = (part: string, whole: string) => of(part) / Math.max(of(whole), 1);
  const running = of('Threads_running');
  if (running >= RUNNING_HIGH) return 'overload';
  const isBusy =
    running >= RUNNING_SOME ||
    share('Innodb_buffer_pool_pages_dirty', 'Innodb_buffer_pool_pages_total') > DIRTY_SHARE ||
    share('Innodb_checkpoint_age', 'Innodb_checkpoint_max_age') > CHECKPOINT_SHARE ||
    of('Innodb_history_list_length') > HISTORY_LENGTH;
  return isBusy ? 'felt' : 'unfelt';
}

/** Whether the delays of reads beside chunks are longer than usual by `impactMs`. Pure. */
export function isFelt(
  besideMs: readonly number[],
  usualMs: readonly number[],
  impactMs: number,
): boolean {
  return usualMs.length >= USUAL_MIN && tail(besideMs) > tail(usualMs) + impactMs;
}

function tail(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length * TAIL)] ?? 0;
}

/** How much later a read was done than the quickest one of the last seconds. */
class ReadDelays {
  /** The least differences of the server's clock and ours, by the second. */
  readonly #least = new Map<number, number>();

  /** `serverMs`: by the server's clock, which may go faster or slower than ours. */
  delayOf(sentMs: number, serverMs: number): number {
    const second = Math.floor(sentMs / 1_000);
    const differenceMs = serverMs - sentMs;
    for (const one of this.#least.keys())
      if (one < second - USUAL_FOR_MS / 1_000) this.#least.delete(one);
    this.#least.set(second, Math.min(this.#least.get(second) ?? differenceMs, differenceMs));
    return differenceMs - Math.min(...this.#least.values());
  }
}

interface Read {
  readonly atMs: number;
  readonly delayMs: number;
}

/** Its `pool` must not be the connection of the purge. */
type PressureGaugeOptions = Pick<
  ActionContext,
  'pool' | 'clock' | 'monotonicMs' | 'signal' | 'settings'
>;

export class PressureGauge {
  readonly #options: PressureGaugeOptions;
  readonly #delays = new ReadDelays();
  #usual: readonly Read[] = [];
  /** Delays of the reads since the last measurement. */
  #beside: number[] = [];
  /** The number of all reads since then. */
  #sinceMeasured = 0;
  /** When the read that has no response yet was sent. */
  #sentAtMs: number | null = null;
  #gauged: Exclude<Effect, 'unknown'> = 'unfelt';
  #gaugedAtMs = Number.NEGATIVE_INFINITY;
  #sharedUntilMs = Number.NEGATIVE_INFINITY;
  #isFailing = false;
  /** Reads that were sent. */
  #reads = 0;
  /** The work of the purge; `quiet`: it waits for others to be counted. */
  #phase: 'chunk' | 'quiet' | 'other' = 'other';
  #phases = 0;

  constructor(options: PressureGaugeOptions) {
    this.#options = options;
  }

  /** Since the last call. */
  takeLoad(): Load {
    const isShared = this.#options.monotonicMs() < this.#sharedUntilMs;
    return { effect: this.#takeEffect(), isShared };
  }

  #takeEffect(): Effect {
    if (this.#isFailing || this.#gauged === 'overload') return 'overload';
    const { monotonicMs, settings } = this.#options;
    const impactMs = settings.purgeImpactMs;
    // A stall is known before its end.
    const waitsMs = this.#sentAtMs === null ? 0 : monotonicMs() - this.#sentAtMs;
    const beside = this.#beside;
    const isStalled = waitsMs > STALL_MS && isFelt([waitsMs], this.#usualMs(), impactMs);
    const isMeasured = beside.length >= READS || this.#sinceMeasured >= READS_IN_ALL;
    if (!isMeasured && !isStalled) return 'unknown';
    this.#beside = [];
    this.#sinceMeasured = 0;
    if (isStalled || this.#gauged === 'felt') return 'felt';
    return isFelt(beside, this.#usualMs(), impactMs) ? 'felt' : 'unfelt';
  }

  #usualMs(): readonly number[] {
    return this.#usual.map(({ delayMs }) => delayMs);
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
      const readsBefore = this.#reads;
      this.#gauged = loadOf(gauges);
      await this.#within('quiet', () => clock.sleep(COUNT_FOR_MS, signal));
      const options = { deadlineMs: DEADLINE_MS };
      const later = await readStatusVariables(pool, [STATEMENTS], options);
      const count = (later.get(STATEMENTS) ?? 0) - (gauges.get(STATEMENTS) ?? 0);
      if (count - (this.#reads - readsBefore) >= OTHERS_MIN)
        this.#sharedUntilMs = monotonicMs() + SHARED_FOR_MS;
    });
    this.#gaugedAtMs = monotonicMs();
  }

  /** Reads during `chunk` measure its effect. */
  beside<T>(chunk: () => Promise<T>): Promise<T> {
    return this.#within('chunk', chunk);
  }

  async #within<T>(phase: 'chunk' | 'quiet', work: () => Promise<T>): Promise<T> {
    this.#enter(phase);
    try {
      return await work();
    } finally {
      this.#enter('other');
    }
  }

  #enter(phase: 'chunk' | 'quiet' | 'other'): void {
    this.#phase = phase;
    this.#phases++;
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { pool, clock, monotonicMs } = this.#options;
    for (let dueMs = monotonicMs(); !signal.aborted; ) {
      const [phase, phases, beganMs] = [this.#phase, this.#phases, monotonicMs()];
      this.#sentAtMs = beganMs;
      this.#reads++;
      let row: Row | undefined;
      const isAnswered = await this.#isAnswered(async () => {
        const [rows = []] = await pool.run(POINT_READ, { deadlineMs: DEADLINE_MS });
        [row] = rows;
      });
      this.#sentAtMs = null;
      const atMs = monotonicMs();
      if (isAnswered && row !== undefined && beganMs - dueMs <= LATE_MS) {
        const delayMs = this.#delays.delayOf(beganMs, 1_000 * col.number(row, 'at'));
        this.#sinceMeasured++;
        if ([phase, this.#phase].includes('chunk')) this.#beside.push(delayMs);
        else if (phase === 'quiet' && phases === this.#phases) this.#noteUsual({ atMs, delayMs });
      }
      await clock.sleep(READ_EVERY_MS, signal);
      dueMs = atMs + READ_EVERY_MS;
    }
  }

  #noteUsual(read: Read): void {
    const sinceMs = read.atMs - USUAL_FOR_MS;
    this.#usual = [...this.#usual.filter(({ atMs }) => atMs >= sinceMs), read];
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
  const length = history[0] === undefined ? 0 : col.number(history[0], 'length');
  return new Map([...gauges, ['Innodb_history_list_length', length]]);
}

const HISTORY = sql`SELECT ${note('probe')} COUNT AS length
  FROM information_schema.INNODB_METRICS WHERE NAME = 'trx_rseg_history_len'`;
