/**
 * Every case of native_cases.json, directly and through the proxy: the same bytes, the same
 * diagnostics, the same state; or a refusal with every table still there; or a difference that
 * stands in the closed list below. Whatever it is, no table is lost.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import {
  type CaseRun,
  type NativeCase,
  runCase,
  type Seen,
  seenIn,
} from '../support/native-case.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { connect, type TestServer, testServers } from '../support/servers.js';
import { Survival } from '../support/survival.js';

const cases = JSON.parse(readFileSync('test/golden/native_cases.json', 'utf8')) as NativeCase[];

interface Difference {
  /** As in docs/requirements-and-limitations.md. */
  readonly reason: string;
  /** All else is the same. */
  readonly where: readonly (keyof Seen)[];
}

/** Closed: a new entry needs a reason, and its place in the limitations. */
const DIFFERENCES: Readonly<Record<string, Difference>> = {
  'note-1965': {
    reason: 'MariaDB: a view under IF EXISTS is noted as unknown (1051), not as a view (1965)',
    where: ['answer', 'diagnostics'],
  },
  'second-row': {
    reason: 'MariaDB: behind the error 1965 for a view no second row names the missing tables',
    where: ['diagnostics'],
  },
  'no-152': {
    reason:
      'MySQL before 8: behind the error 1217 for a parent there is no warning 152 for each of them',
    where: ['diagnostics'],
  },
  'parent-and-missing': {
    reason: 'MariaDB: behind the error 1451 for a parent no second row names the missing tables',
    where: ['diagnostics'],
  },
  'rights-of-a-view': {
    reason: 'SHOW WARNINGS behind a denied drop of a view names ALTER beside DROP',
    where: ['diagnostics'],
  },
  'open-transaction': {
    reason: 'MySQL with autocommit=0: notes on missing tables leave an empty transaction open',
    where: ['answer', 'diagnostics', 'probes'],
  },
  'gtid-of-nothing': {
    reason: 'a drop of nothing but missing tables is not in the binary log, so it has no GTID',
    where: ['answer'],
  },
  'late-tracker': {
    reason: 'MariaDB: behind notes alone the transaction tracker reports one answer later',
    where: ['answer', 'diagnostics'],
  },
  'note-1681': {
    reason: 'MySQL: a warning about comments in the text of the drop (1681) is not passed on',
    where: ['answer', 'diagnostics'],
  },
  'own-schema': {
    reason: 'a table that cannot be relocated is seen under its hold name in its own schema',
    where: ['tables', 'root'],
  },
};

interface Bench {
  readonly proxy: ProxyTarget;
  readonly root: Connection;
  readonly survival: Survival;
}

interface Pair {
  /** Null where the proxy refuses: there is nothing to compare. */
  readonly direct: CaseRun | null;
  readonly proxied: CaseRun;
}

const benches: Bench[] = [];
const runs = new Map<string, Promise<Pair>>();

async function openBench(server: TestServer): Promise<Bench> {
  const proxy = await proxyInFront(server);
  const root = await connect(server, { multipleStatements: false });
  await root.query('SET lock_wait_timeout = 5');
  const bench = { proxy, root, survival: new Survival(root, ['d1', 'd2', 'd3']) };
  benches.push(bench);
  return bench;
}

async function runPair(server: TestServer, one: NativeCase, bench: Bench): Promise<Pair> {
  const { proxy, root, survival } = bench;
  const isRefused = endOf(one, server).startsWith('UNDROP_');
  const direct = isRefused ? null : await runCase(one, { target: server, root, survival: null });
  const proxied = await runCase(one, { target: proxy, root, survival });
  return { direct, proxied };
}

function endOf({ ends }: NativeCase, { name }: TestServer): string {
  return typeof ends === 'string' ? ends : (ends?.[name] ?? 'equal');
}

function casesOf({ name }: TestServer): readonly NativeCase[] {
  return cases.filter(({ servers }) => servers?.includes(name) ?? true);
}

/** The servers work at the same time, one case after another on each; a test waits for its own. */
beforeAll(async () => {
  for (const server of testServers()) {
    const bench = await openBench(server);
    let last: Promise<unknown> = Promise.resolve();
    for (const one of casesOf(server)) {
      const run = last.then(() => runPair(server, one, bench));
      last = run.catch(() => undefined);
      runs.set(`${server.name} ${one.name}`, run);
    }
  }
});

afterAll(async () => {
  for (const { proxy, root } of benches) {
    await root.end();
    await proxy.stop();
  }
});

describe.each(testServers())('a drop on $name', (server) => {
  test.each(casesOf(server))(
    '$name',
    async (one) => {
      const run = runs.get(`${server.name} ${one.name}`);
      if (run === undefined) throw new Error('it was not run');
      const { direct, proxied } = await run;
      expect(proxied.lost).toEqual([]);
      const end = endOf(one, server);
      if (direct === null) return expectRefusal(proxied, end);
      if (end === 'equal') return expect(seenIn(proxied)).toEqual(seenIn(direct));
      const difference = DIFFERENCES[end];
      if (difference === undefined) throw new Error(`${end} is in no list`);
      expect(seenIn(proxied)).not.toEqual(seenIn(direct));
      expect(without(proxied, difference.where)).toEqual(without(direct, difference.where));
    },
    180_000,
  );
});

test('every listed difference is one of a case, and stands in the limitations', () => {
  const page = readFileSync('docs/requirements-and-limitations.md', 'utf8').replaceAll(/\s+/g, ' ');
  const ends = new Set(cases.flatMap(({ ends = {} }) => namesOf(ends)));
  for (const [name, { reason }] of Object.entries(DIFFERENCES)) {
    expect(ends).toContain(name);
    expect(page).toContain(reason);
  }
});

function namesOf(ends: string | Readonly<Record<string, string>>): readonly string[] {
  return typeof ends === 'string' ? [ends] : Object.values(ends);
}

function expectRefusal(proxied: CaseRun, code: string): void {
  expect(proxied.message).toMatch(new RegExp(`^${code}: .`));
  expect(proxied.tablesAfter).toEqual(proxied.before);
}

function without(run: CaseRun, where: readonly (keyof Seen)[]): Partial<Seen> {
  const entries = Object.entries(seenIn(run)).filter(([key]) => !where.includes(key as keyof Seen));
  return Object.fromEntries(entries);
}
