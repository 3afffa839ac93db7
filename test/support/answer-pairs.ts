/**
 * Pairs of runs of native cases, one straight to the server and one through the proxy, and how two
 * of them are to end: the same, with a refusal, or with a difference of the closed list.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
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
  /** As in docs/requirements-and-limitations.md. */
  readonly reason: string;
  /** All else is the same. */
  readonly where: readonly (keyof Seen)[];
  /** What is left to do is done soon, and then there is none: on a busy machine before the look. */
  readonly mayEnd?: true;
}

/** Closed: a new entry needs a reason, and its place in the limitations. */
export const DIFFERENCES: Readonly<Record<string, Difference>> = {
  'no-152': { reason: 'MySQL before 8: no warning 152 for each child', where: ['diagnostics'] },
  'notes-beside-a-parent': {
    reason: 'MariaDB: no notes of IF EXISTS beside 1451',
    where: ['diagnostics'],
  },
  'lock-of-a-child': {
    reason:
      'the error for a parent comes at once, even if another session has a child locked (MySQL 8 and later)',
    where: ['answer', 'diagnostics'],
  },
  'no-gtid': {
    reason: '`session_track_gtids` has no GTID for a drop of missing tables only',
    where: ['answer'],
  },
  'tracked-state': {
    reason: '`session_track_state_change` reports notes on missing tables',
    where: ['answer'],
  },
  'open-transaction': {
    reason: 'MySQL with autocommit=0 | notes on missing tables leave an empty transaction open',
    where: ['answer', 'diagnostics', 'probes'],
  },
  'late-tracker': {
    reason: 'reports one answer later after notes alone (MariaDB)',
    where: ['answer', 'diagnostics'],
  },
  'early-tracker': {
    reason: 'says nothing of the transaction that a DROP DATABASE (MySQL 8 and later)',
    where: ['answer', 'diagnostics'],
  },
  'xa-once': { reason: 'DROP DATABASE in XA shows 1399 once', where: ['diagnostics'] },
  'lost-remark': {
    reason: "MySQL 8 and later: warnings about a drop's text (1681, 4164) | are not passed on",
    where: ['answer', 'diagnostics'],
  },
  'alias-lock': {
    reason: 'a table that the session has locked under an alias only',
    where: ['answer', 'diagnostics', 'probes', 'tables', 'root'],
  },
  'performance-schema': {
    reason: 'a name in `performance_schema` | error 1044',
    where: ['answer', 'diagnostics', 'probes', 'tables', 'root'],
  },
  'one-row': {
    reason:
      'MariaDB: `SHOW WARNINGS` has one row for several, and calls a view unknown (1051, 4091)',
    where: ['diagnostics'],
  },
  'one-note': { reason: 'one note is counted for several', where: ['answer', 'diagnostics'] },
  'parent-first': {
    reason: 'the error of a parent (1451) comes first',
    where: ['answer', 'diagnostics'],
  },
  'lock-of-a-parent': {
    reason:
      'under LOCK TABLES a parent that is not dropped keeps its lock (MariaDB, before MySQL 8)',
    where: ['diagnostics', 'probes'],
  },
  'its-own-view': {
    reason: 'from a view of the same table: error 1356, not 1443',
    where: ['answer', 'diagnostics'],
  },
  'no-tracker': {
    reason:
      'says nothing of the transaction that a DROP DATABASE (MySQL 8 and later) or CREATE OR REPLACE (MariaDB) ends',
    where: ['answer'],
  },
  'put-back': {
    reason:
      'if it ends at a lock (1205, 1213), a KILL (1317) or a time limit (1969), the old table stays',
    where: ['tables', 'root'],
  },
  'untold-schema': {
    reason: "session tracking doesn't report that the server went there and back",
    where: ['answer'],
  },
  'short-1701': {
    reason: '1701 of a TRUNCATE lacks the columns (MariaDB, before MySQL 8)',
    where: ['answer', 'diagnostics'],
  },
  unraised: {
    reason: 'after an error that undrop raises (of a parent, a view, a sequence)',
    where: ['diagnostics'],
    mayEnd: true,
  },
  'own-lock': {
    reason: 'own LOCK INSTANCE FOR BACKUP | keeps a key on a held parent: UNDROP_KEYS_LEFT',
    where: ['answer', 'diagnostics', 'tables', 'root', 'probes'],
  },
  'own-schema': {
    reason: 'These tables stay in their own schema under their hold name',
    where: ['tables', 'root', 'probes'],
    mayEnd: true,
  },
};

/** The same, only under a setting of drop-answers-under.test.ts, not by the case itself. */
export const DIFFERENCES_UNDER: Readonly<Record<string, Difference>> = {
  'not-there-and-back': {
    reason: 'a prepared DROP DATABASE that drops the default schema, executed in another one',
    where: ['diagnostics'],
  },
};

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
const PROTECT = 'drop-table,drop-database,create-or-replace,truncate,drop-partition';

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
  describe.each(testServers())('a drop on $name', (server) => {
    let pairs: AnswerPairs;

    beforeAll(async () => {
      pairs = await AnswerPairs.open(server);
    });
    afterAll(() => pairs.close());

    test.each(casesOf(server))('$name', (one) => pairs.expect(one));
  });
}
