/** The policy as it goes to processes of other programs. */

import type { Socket } from 'node:net';
import { readProxySettings } from '../../../src/faces/cli/settings.js';
import { silentLog } from '../../../src/log.js';
import { Balance } from '../../../src/runtime/serve/front.js';
import * as plans from '../../../src/runtime/serve/plan.js';
import {
  planOf,
  readPolicy,
  serviceConnectionsOf,
  sessionsByOpenFiles,
} from '../../../src/runtime/serve/plan.js';
import type { Child } from '../../../src/runtime/supervisor/child.js';
import { Totals } from '../../../src/runtime/supervisor/supervisor.js';

const stderr = { write: () => undefined };

async function planWith(env: Readonly<Record<string, string>>) {
  const all = { UNDROP_UPSTREAM: 'db:3306', UNDROP_USER: 'undrop', UNDROP_TLS: 'off', ...env };
  const loaded = readProxySettings({ env: all, stderr }, {});
  const plan = await planOf(loaded, { kept: {}, log: silentLog });
  return { loaded, settings: loaded.settings, plan };
}

test('it comes out as it went in', async () => {
  const { settings, plan } = await planWith({
    UNDROP_RULES: 'app.tmp_*: now; etl.* size<1G: hold=1d',
    UNDROP_REQUIRE_IDLE: '5m',
    UNDROP_PROTECT: 'drop-table',
  });
  expect(settings).toMatchObject(readPolicy(plan.policy));
});

test('one with a setting or a value that this program does not know is refused', async () => {
  const { plan } = await planWith({});
  expect(() => readPolicy({ ...plan.policy, UNDROP_FATE: 'kind' })).toThrow('UNDROP_FATE');
  expect(() => readPolicy({ ...plan.policy, UNDROP_NOTE: 'song' })).toThrow('UNDROP_NOTE');
});

test('what outlives the processes is made once', async () => {
  const { loaded, plan } = await planWith({ UNDROP_TLS: 'offered' });
  const again = await planOf(loaded, { kept: plan.kept, log: silentLog });
  expect(again.kept).toEqual(plan.kept);
  expect(plan.kept).toMatchObject({
    ownCertificate: { cert: expect.stringMatching(/^-----BEGIN/) },
    serviceId: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
});

// ── balance ──────────────────────────────────────────────────────────────────────────────────────
// Which proxy serves a new client.

test('a burst that one proxy accepts is shared, though the others are heard of later', () => {
  let own = 0;
  const passed = new Map<number, number>();
  const balance = new Balance({
    number: 1,
    load: () => own,
    tell: () => undefined,
    pass: (to) => passed.set(to, (passed.get(to) ?? 0) + 1),
  });
  const accept = () => {
    if (!balance.divert({} as Socket)) own++;
  };
  accept();
  expect([own, passed.size]).toEqual([1, 0]);
  balance.hear({ 1: 1, 2: 0, 3: 0 });
  for (let nr = 0; nr < 8; nr++) accept();
  expect([own, ...passed.values()]).toEqual([3, 3, 3]);
});

// ── limits ───────────────────────────────────────────────────────────────────────────────────────
// Sessions by open files, processes by cores, and their service connections by the server.

test('each session takes two, beside those of the process; there is room for one in any case', () => {
  expect([1_024, 10, Number.POSITIVE_INFINITY].map(sessionsByOpenFiles)).toEqual([
    ...[480, 1, Number.POSITIVE_INFINITY],
  ]);
  expect([480, 10_000].map(plans.openFilesFor)).toEqual([1_024, 20_064]);
  expect(plans.openFilesMax()).toBeGreaterThan(100);
});

test('each process accepts its share, rounded up, as far as its open files are enough', () => {
  expect([1, 2, 3].map((processes) => plans.sessionsOfEach(10, processes))).toEqual([10, 5, 4]);
  expect(plans.sessionsOfEach(1_000_000_000, 1)).toBe(sessionsByOpenFiles());
});

test('auto is half of the cores, from one to four', () => {
  expect([1, 2, 3, 4, 6, 8, 64].map(plans.autoWorkers)).toEqual([1, 1, 1, 2, 3, 4, 4]);
});

test('service connections are a fifth of what the server takes, from four to eight each', () => {
  const each = [50, 151, 200, 1_000].map((serverMax) => serviceConnectionsOf(4, serverMax));
  expect(each).toEqual([4, 5, 7, 8]);
  expect([2, 256].map((workers) => serviceConnectionsOf(workers, 151))).toEqual([8, 4]);
  expect(serviceConnectionsOf(2, null)).toBe(4);
});

// ── totals ───────────────────────────────────────────────────────────────────────────────────────
// The counters of all processes, also those of programs that count something else.

test('what an ended process has counted stays, and what it had open does not', () => {
  const totals = new Totals(() => undefined);
  const [one, other] = [{}, {}] as [Child, Child];
  const gauges = ['open', 'delayMax'];
  const of = (total: number, open: number, delayMax: number, held: number) => {
    return { counters: { total, open, delayMax, audited: { held } }, gauges };
  };
  totals.set(one, of(5, 2, 30, 1));
  totals.set(other, of(7, 1, 10, 2));
  expect(totals.sum()).toEqual({ total: 12, open: 3, delayMax: 30, audited: { held: 3 } });
  totals.end(one);
  totals.set(other, { counters: { total: 8, open: 0, delayMax: 5, fresh: 1 }, gauges });
  expect(totals.sum()).toEqual({ total: 13, open: 0, delayMax: 5, fresh: 1, audited: { held: 1 } });
});
