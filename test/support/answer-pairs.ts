/**
 * Pairs of runs of native cases, one straight to the server and one through the proxy, and how two
 * of them are to end: the same, with a refusal, or with a difference of the closed list.
 */
import { readFileSync } from 'node:fs';
import {
  type CaseRun,
  connectRoot,
  listTables,
  type NativeCase,
  runCase,
  type Seen,
  seenIn,
} from './native-case.js';
import { until } from './poll.js';
import { type ProxyTarget, proxyInFront } from './proxy.js';
import { type Session, type TestServer, testServers } from './servers.js';
import { Survival } from './survival.js';

export interface Difference {
  readonly reason: string;
  /** The words of docs/limits.md that it is part of; none: too rare for that page. */
  readonly line?: string;
  /** All else is the same. */
  readonly where: readonly (keyof Seen)[];
  /** What is left to do is done soon, and then there is none: on a busy machine before the look. */
  readonly mayEnd?: true;
}

type Differences = Readonly<Record<string, Difference>>;

const differences: { readonly always: Differences; readonly under_a_setting: Differences } =
  JSON.parse(readFileSync('test/golden/native_differences.json', 'utf8'));

/** Closed: a new entry needs a reason, and a line of docs/limits.md if users can meet it. */
export const DIFFERENCES: Differences = differences.always;

/** The same, only under a setting of drop-answers.test.ts, not by the case itself. */
export const DIFFERENCES_UNDER: Differences = differences.under_a_setting;

interface Pair {
  /** Null where the proxy refuses: there is nothing to compare. */
  readonly direct: CaseRun | null;
  readonly proxied: CaseRun;
}

/** The second file is of what a session may be in: LOCK TABLES, GTID_NEXT. */
export function nativeCases(): readonly NativeCase[] {
  return ['native_cases', 'native_session_cases'].flatMap(
    (name) => JSON.parse(readFileSync(`test/golden/${name}.json`, 'utf8')) as NativeCase[],
  );
}

export function isOf({ servers }: NativeCase, { name }: TestServer): boolean {
  return servers?.includes(name) ?? true;
}

export function endOf({ ends }: NativeCase, { name }: TestServer): string {
  return typeof ends === 'string' ? ends : (ends?.[name] ?? 'equal');
}

/** Also what is not protected by itself. */
const PROTECT = 'drop-table,drop-database,create-or-replace,truncate';

/** A server and one proxy in front of it, for many cases one after another. */
export class AnswerPairs {
  readonly #server: TestServer;
  readonly #proxy: ProxyTarget;
  readonly #root: Session;
  readonly #survival: Survival;

  private constructor(server: TestServer, proxy: ProxyTarget, root: Session) {
    this.#server = server;
    this.#proxy = proxy;
    this.#root = root;
    this.#survival = new Survival(root, ['d1', 'd2', 'd3']);
  }

  static async open(server: TestServer): Promise<AnswerPairs> {
    const proxy = await proxyInFront(server, { PROTECT });
    return new AnswerPairs(server, proxy, await connectRoot(server));
  }

  async close(): Promise<void> {
    await this.#root.end();
    await this.#proxy.stop();
  }

  /** Rejects where the two runs didn't end as they should. */
  async expect(one: NativeCase): Promise<void> {
    const end = endOf(one, this.#server);
    const pair = await this.#run(one);
    expectPair(end === 'equal' ? await this.#relocated(pair) : pair, end);
  }

  /** On a busy machine a held table may be in its own schema for longer than the case lasts. */
  async #relocated({ direct, proxied }: Pair): Promise<Pair> {
    const isHeld = (name: string) =>
      name.includes('._vt_HOLD_') && direct?.tables.includes(name) !== true;
    let { tables } = proxied;
    const areGone = async () => {
      if (!tables.some(isHeld)) return true;
      tables = await listTables(this.#root);
      return false;
    };
    await until(areGone, 'what is held has left its schema');
    return { direct, proxied: { ...proxied, tables } };
  }

  async #run(one: NativeCase): Promise<Pair> {
    const root = this.#root;
    const isRefused = endOf(one, this.#server).startsWith('UNDROP_');
    const direct = isRefused
      ? null
      : await runCase(one, { target: this.#server, root, survival: null });
    const survival = this.#survival;
    return { direct, proxied: await runCase(one, { target: this.#proxy, root, survival }) };
  }
}

function expectPair({ direct, proxied }: Pair, end: string): void {
  expect(proxied.lost).toEqual([]);
  if (direct === null) return expectRefusal(proxied, end);
  if (end === 'equal') return expect(seenIn(proxied)).toEqual(seenIn(direct));
  const difference = DIFFERENCES[end] ?? DIFFERENCES_UNDER[end];
  if (difference === undefined) throw new Error(`${end} is in no list`);
  if (difference.mayEnd !== true) expect(seenIn(proxied)).not.toEqual(seenIn(direct));
  expect(without(proxied, difference.where)).toEqual(without(direct, difference.where));
}

function expectRefusal(proxied: CaseRun, code: string): void {
  expect(proxied.message).toMatch(new RegExp(`^${code}: .`));
  expect(proxied.tablesAfter).toEqual(proxied.before);
}

function without(run: CaseRun, where: readonly (keyof Seen)[]): Partial<Seen> {
  const entries = Object.entries(seenIn(run)).filter(([key]) => !where.includes(key as keyof Seen));
  return Object.fromEntries(entries);
}

/** The tests of these cases, on the servers of the file. */
export function compareDrops(casesOf: (server: TestServer) => readonly NativeCase[]): void {
  // MariaDB 10.5 has answers of its own: DROP TABLE IF EXISTS of a view has one note instead of
  // two, a TRUNCATE of a parent names the key without its columns, a table that is locked by an
  // alias alone is not dropped (1100), a DROP DATABASE with a locked child is refused by undrop.
  const servers = testServers().filter(({ name }) => name !== 'mariadb-10.5');
  describe.each(servers)('a drop on $name', (server) => {
    let pairs: AnswerPairs;

    beforeAll(async () => {
      pairs = await AnswerPairs.open(server);
    });
    afterAll(() => pairs.close());

    test.each(casesOf(server))('$name', (one) => pairs.expect(one));
  });
}
