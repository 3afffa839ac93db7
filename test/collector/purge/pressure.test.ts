/**
 * What a purge feels of others and how its pace follows: the probe and the pace with a server and a
 * clock in memory. On it, reads come later the more of the time rows are deleted, and some take
 * longer whatever the purge does.
 */
import type { Clock } from '../../../src/clock.js';
import { COMMIT_SAMPLE, Pace } from '../../../src/collector/purge/pace.js';
import { PressureGauge } from '../../../src/collector/purge/pressure.js';
import type { Row, Rows, ServerFacts, SQLQuery } from '../../../src/connections/sql.js';
import { renderQuery } from '../../../src/connections/sql.js';
import { fakePool } from '../../support/tapped-pool.js';
import { fastSettings } from '../collecting.js';

const ROW_MS = 0.01;
const SETTINGS = { chunkRows: 50, chunkMs: 20, impactMs: 1, rowsMin: 1 };

/** Time passes when everybody sleeps. */
class MemoryClock implements Clock {
  #nowMs = 0;
  #sleepers: { readonly untilMs: number; readonly wake: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const wake = () => {
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.#sleepers.push({ untilMs: this.#nowMs + delayMs, wake });
      signal?.addEventListener('abort', wake);
    });
  }

  /** Until `work` is done. */
  async run(work: Promise<void>): Promise<void> {
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#sleepers.sort((one, other) => one.untilMs - other.untilMs);
      const next = this.#sleepers.shift();
      if (next === undefined) continue;
      this.#nowMs = Math.max(this.#nowMs, next.untilMs);
      next.wake();
    }
    await done;
  }
}

/** The server, and the load that it has. */
class MemoryServer {
  readonly clock = new MemoryClock();
  /** Milliseconds of every read of others, and of the probe. */
  readMs = 0.5;
  /** So much longer does a read take beside a purge that does nothing else. */
  harmMs = 0;
  /** From the read to its answer, beside a purge. */
  answerMs = 0;
  /** A row takes so many times as long. */
  slow = 1;
  othersASecond = 8_000;
  threadsRunning = 2;
  /** The part of the time in which rows are deleted now. */
  share = 0;

  readonly pool = fakePool((text) => this.#run(text as SQLQuery));

  async #run(text: SQLQuery): Promise<readonly Rows[]> {
    await this.clock.sleep(this.readMs + this.harmMs * this.share);
    if (!renderQuery(text).startsWith('SHOW GLOBAL STATUS')) {
      const rows = asRows([{ wakes: null, at: String(this.clock.nowMs() / 1_000) }]);
      if (this.share > 0) await this.clock.sleep(this.answerMs);
      return [rows];
    }
    const questions = Math.floor((this.clock.nowMs() * this.othersASecond) / 1_000);
    return [
      asRows([
        { Variable_name: 'Questions', Value: String(questions) },
        { Variable_name: 'Threads_running', Value: String(this.threadsRunning) },
      ]),
    ];
  }
}

function asRows(rows: readonly Row[]): Rows {
  return Object.assign([...rows], { affectedRows: 0 });
}

/** A purge as purge.ts does it, with chunks that only take their time. */
class Purge {
  readonly server = new MemoryServer();
  readonly pace = new Pace(SETTINGS);
  readonly #gauge = new PressureGauge({
    ...{ pool: this.server.pool, clock: this.server.clock },
    settings: { ...fastSettings, purgeImpactMs: 1 },
    monotonicMs: () => this.server.clock.nowMs(),
    signal: new AbortController().signal,
  });
  rows = 0;

  /** Rows a second, for so long. */
  async during(seconds: number): Promise<number> {
    const { clock } = this.server;
    const [beganMs, before] = [clock.nowMs(), this.rows];
    const work = this.#gauge.during(async () => {
      while (clock.nowMs() < beganMs + seconds * 1_000) await this.#step();
    });
    await clock.run(work);
    return (1_000 * (this.rows - before)) / (clock.nowMs() - beganMs);
  }

  async #step(): Promise<void> {
    const { server, pace } = this;
    const { clock } = server;
    await this.#gauge.look({ flavour: 'mariadb' } as ServerFacts);
    const { deletes, rows, restMs } = pace.chunk;
    const rowsMs = deletes * rows * ROW_MS * server.slow;
    const tookMs = rowsMs + deletes * restMs;
    server.share = rowsMs / tookMs;
    await this.#gauge.beside(() => clock.sleep(tookMs));
    server.share = 0;
    if (pace.chunk !== COMMIT_SAMPLE) this.rows += deletes * rows;
    pace.note(tookMs, this.#gauge.takeLoad());
    if (pace.pauseMs > 0) await clock.sleep(pace.pauseMs);
  }
}

/** Without a rest, apart from looks at the server. */
const FULL = 1_000 / ROW_MS;

/** Then a chunk is a row, and nearly all of the time a pause. */
const STARVED = { harmMs: 50, slow: 10_000 };

describe('a purge beside others', () => {
  test('that nobody feels deletes nearly all of the time, also where reads are slow', async () => {
    const purge = new Purge();
    purge.server.readMs = 20;
    await purge.during(10);
    expect(await purge.during(10)).toBeGreaterThan(0.8 * FULL);
    expect(purge.pace.chunk.rows * ROW_MS).toBeLessThan(0.7);
  });

  test('that others feel keeps to the impact: near the share that has it', async () => {
    const purge = new Purge();
    purge.server.harmMs = 4;
    await purge.during(20);
    const rows = await purge.during(20);
    expect(rows).toBeGreaterThan(0.12 * FULL);
    expect(rows).toBeLessThan(0.3 * FULL);
  });

  test.each([
    { load: 'a heavy load', busy: { harmMs: 50 }, seconds: 20, share: 0.1 },
    { load: 'many running threads', busy: { threadsRunning: 60 }, seconds: 5, share: 0.01 },
    { load: 'a load without a free core', busy: STARVED, seconds: 20, share: 0.01 },
  ])('is back at its pace ten seconds after $load', async ({ busy, seconds, share }) => {
    const purge = new Purge();
    const { harmMs, slow, threadsRunning } = purge.server;
    await purge.during(10);
    const before = await purge.during(5);
    Object.assign(purge.server, busy);
    await purge.during(seconds);
    expect(await purge.during(5)).toBeLessThan(share * before);
    Object.assign(purge.server, { harmMs, slow, threadsRunning });
    await purge.during(10);
    expect(await purge.during(5)).toBeGreaterThan(0.9 * before);
  });

  test('that waits for its own process is not taken for the server', async () => {
    const purge = new Purge();
    purge.server.answerMs = 5;
    await purge.during(10);
    expect(await purge.during(10)).toBeGreaterThan(0.8 * FULL);
  });

  test('alone, a chunk is one long DELETE', async () => {
    const purge = new Purge();
    purge.server.othersASecond = 20;
    await purge.during(5);
    expect(purge.pace.chunk.deletes).toBe(1);
    expect(purge.pace.chunk.rows).toBeGreaterThan(1_000);
  });
});
