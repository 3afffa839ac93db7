/**
 * The same tests on all servers at the same time, for what waits more than it works: in each lane
 * they run one after another, with their hooks, as jest would run them; the other lanes go on
 * meanwhile. Jest is told what became of each test when its turn comes.
 *
 * Within a lane its own words (`test`, `beforeEach` …) stand for jest's; there is no `describe`.
 */

import type { Tests } from './on-one-server.js';

/** A test that takes longer fails, and its lane goes on: it doesn’t hold up those behind it. */
const LONGEST_MS = 300_000;

type Run = () => unknown;

export interface Hooks {
  beforeAll(run: Run): void;
  beforeEach(run: Run): void;
  afterEach(run: Run): void;
  afterAll(run: Run): void;
}

export type Lane = Hooks & { readonly test: Tests };

interface Entry {
  readonly args: readonly unknown[];
  readonly run: Run;
  outcome: Promise<void> | null;
}

/** As `describe.each(rows)`, all at the same time; rows of objects, as of `testServers()`. */
export function inLanes<Row extends object>(
  rows: readonly Row[],
  title: string,
  define: (row: Row, lane: Lane) => void,
  longestMs = LONGEST_MS,
): void {
  const runners: Runner[] = [];
  const startAll = () => {
    for (const runner of runners) runner.start();
  };
  describe.each([...rows])(title, (row) => {
    const runner = new Runner(startAll, longestMs);
    runners.push(runner);
    define(row, runner.lane);
  });
  afterAll(() => Promise.all(runners.map((runner) => runner.end())));
}

class Runner {
  readonly #startAll: () => void;
  readonly #longestMs: number;
  readonly #hooks: Readonly<Record<keyof Hooks, Run[]>> = {
    beforeAll: [],
    beforeEach: [],
    afterEach: [],
    afterAll: [],
  };
  readonly #entries: Entry[] = [];
  #isStarted = false;

  constructor(startAll: () => void, longestMs: number) {
    this.#startAll = startAll;
    this.#longestMs = longestMs;
  }

  readonly lane: Lane = {
    beforeAll: (run) => this.#hooks.beforeAll.push(run),
    beforeEach: (run) => this.#hooks.beforeEach.push(run),
    afterEach: (run) => this.#hooks.afterEach.push(run),
    afterAll: (run) => this.#hooks.afterAll.push(run),
    test: Object.assign(
      (name: string, run: Run) => {
        const entry = this.#add([], run);
        test(name, () => this.#outcomeOf(entry));
      },
      {
        each:
          (rows: readonly unknown[]) =>
          (name: string, run: (...row: unknown[]) => unknown): void => {
            const entries = rows.map((row) => {
              const args: readonly unknown[] = Array.isArray(row) ? row : [row];
              return this.#add(args, () => run(...args));
            });
            test.each(entries.map(({ args }) => [...args]))(name, (...args) => {
              const entry = entries.find((one) => one.args.every((arg, at) => arg === args[at]));
              return this.#outcomeOf(entry);
            });
          },
      },
    ),
  };

  /** Everything one after another, in the background; twice is fine. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    const ready = this.#all(this.#hooks.beforeAll);
    let before: Promise<unknown> = ready.catch(() => undefined);
    for (const entry of this.#entries) {
      const outcome = before.then(() => ready).then(() => this.#once(entry));
      // Jest asks for it later.
      before = outcome.catch(() => undefined);
      entry.outcome = outcome;
    }
  }

  /** When the last is done, which jest may not have asked for: by `-t` it leaves some out. */
  async end(): Promise<void> {
    if (!this.#isStarted) return;
    await this.#entries.at(-1)?.outcome?.catch(() => undefined);
    await this.#all(this.#hooks.afterAll);
  }

  #add(args: readonly unknown[], run: Run): Entry {
    const entry: Entry = { args, run, outcome: null };
    this.#entries.push(entry);
    return entry;
  }

  async #outcomeOf(entry: Entry | undefined): Promise<void> {
    this.#startAll();
    if (entry?.outcome == null) throw new Error('a test that its lane does not know');
    await entry.outcome;
  }

  /** Whatever fails, what is to be tidied up is. */
  async #once({ run }: Entry): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (one: Run) => {
      try {
        await this.#bounded(one);
      } catch (error) {
        failures.push(error);
      }
    };
    for (const one of this.#hooks.beforeEach) if (failures.length === 0) await attempt(one);
    if (failures.length === 0) await attempt(run);
    for (const one of this.#hooks.afterEach) await attempt(one);
    if (failures.length > 0) throw failures[0];
  }

  async #all(runs: readonly Run[]): Promise<void> {
    for (const run of runs) await this.#bounded(run);
  }

  async #bounded(run: Run): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      const error = new Error(`It took longer than ${this.#longestMs / 1000} s.`);
      timer = setTimeout(() => reject(error), this.#longestMs);
    });
    try {
      await Promise.race([run(), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
