/**
 * The table of metrics: its page, its names by Prometheus' conventions, and the text that is made
 * of it, read as a Prometheus reads it.
 */

import { newCollectorFigures } from '../../../src/collector/figures.js';
import { countAudit, newCounters, observe } from '../../../src/metrics.js';
import { Exposition, METRICS, type Snapshot } from '../../../src/runtime/admin/metrics.js';
import { expectPage, tableOf } from '../../support/page.js';
import { parseExposition } from '../../support/prometheus-text.js';
import { readText } from '../../support/source-file.js';

function snapshot(change: Partial<Snapshot> = {}): Snapshot {
  return {
    version: '1.2.3',
    mode: 'hold',
    counters: newCounters(),
    collector: newCollectorFigures(),
    isUpstreamReached: true,
    areDropsHeld: true,
    isDraining: false,
    nowMs: 0,
    disk: null,
    certificates: [],
    ...change,
  };
}

async function read(given: Snapshot): Promise<ReadonlyMap<string, number>> {
  return parseExposition((await new Exposition().text(given)).text);
}

/** Of UNDROP_ADMIN_LISTEN. */
const PAGES = [
  ['`/healthz`', 'the process is alive'],
  [
    '`/readyz`',
    'for load balancers: 503 with the reason if no server answers or the proxy is about to end',
  ],
  ['`/readyz?drops`', 'for alerts: 503 also if a drop would not be held'],
  [
    '`/metrics`',
    'for Prometheus: one page for all processes; `process_…` and `nodejs_…` are of the control process alone',
  ],
] as const;

describe('the table', () => {
  test.each(Object.entries(METRICS))('%s is named as is usual', (name, { type, help }) => {
    expect(name).toMatch(/^undrop_[a-z]+(_[a-z]+)*$/);
    expect(name.endsWith('_total')).toBe(type === 'counter');
    expect(help).toMatch(/\.$/);
  });

  test('docs/reference/metrics.md is made of it', () => {
    const rows = Object.entries(METRICS).map(([name, { type, help, labels }]) => {
      const by = labels.length === 0 ? '' : ` by ${labels.map((one) => `\`${one}\``).join(', ')}`;
      const linked = help.replace(/docs\/reference\/(\w+)\.md/, '[$1]($1.md)');
      return [`\`${name}\``, `${type}${by}`, linked];
    });
    expectPage(
      'docs/reference/metrics.md',
      `# Metrics

<!-- generated: test/runtime/admin/metrics.test.ts -->

\`UNDROP_ADMIN_LISTEN\` serves these pages without a login. They have no names of tables, no statements and no passwords.

${tableOf(['page', ''], PAGES)}

Rules for alerts: [prometheus-alerts.yml](../prometheus-alerts.yml).

${tableOf(['metric', 'type', 'meaning'], rows)}
`,
    );
  });

  test('the alert rules name metrics that there are', () => {
    const names = readText('docs/prometheus-alerts.yml').match(/\bundrop_[a-z_]+/g) ?? [];
    expect(names.length).toBeGreaterThan(4);
    for (const name of names) expect(Object.keys(METRICS)).toContain(name);
  });
});

describe('the text', () => {
  test('has every metric that is known, and the process’s own', async () => {
    const found = await read(snapshot());
    expect(found.get('undrop_build_info{version="1.2.3"}')).toBe(1);
    expect(found.get('undrop_upstream_up')).toBe(1);
    expect([...found.keys()].some((name) => name.startsWith('process_cpu'))).toBe(true);
  });

  test('says nothing of what is not known', async () => {
    const names = [...(await read(snapshot())).keys()];
    for (const name of ['undrop_held_tables', 'undrop_unsettled_intents', 'undrop_next_expiry']) {
      expect(names.filter((one) => one.startsWith(name))).toEqual([]);
    }
  });

  test('says what a collector sees', async () => {
    const held = { HOLD: 3, PURGE: 1, EVAC: 0, DROP: 0 };
    const dueBytes = { 0: 1_000, 7: 3_096 };
    const counts = { intents: 2, relocations: 1, pinned: 3, overdue: 4 };
    const ledger = { bytes: { HOLD: 4096 }, ...counts, dueBytes };
    const purging = { id: 'a', sinceMs: 1_000, rows: 200, rowsBefore: 1_000 };
    const nextDue = new Date('2026-11-25T00:00:00Z');
    const found = await read(
      snapshot({
        nowMs: 3_000,
        collector: {
          ...newCollectorFigures(),
          ...{ purging, dropsElsewhere: 5 },
          ...{ leads: true, held, ledger, nextDue },
          ...{ restsFor: 'pause', lastLookMs: 1_500, lookMs: 20 },
        },
      }),
    );
    expect(Object.fromEntries(found)).toMatchObject({
      'undrop_held_tables{state="hold"}': 3,
      'undrop_held_tables{state="evac"}': 0,
      'undrop_held_bytes{state="hold"}': 4096,
      undrop_unsettled_intents: 2,
      undrop_pending_relocations: 1,
      undrop_pinned_tables: 3,
      undrop_overdue_tables: 4,
      'undrop_due_bytes{days="0"}': 1_000,
      'undrop_due_bytes{days="7"}': 3_096,
      undrop_purge_left_rows: 800,
      undrop_purge_left_seconds: 8,
      undrop_server_drops_total: 5,
      undrop_collector_last_look_timestamp_seconds: 1.5,
      'undrop_collector_resting{reason="pause"}': 1,
      'undrop_collector_resting{reason="grace"}': 0,
      undrop_next_expiry_timestamp_seconds: nextDue.getTime() / 1_000,
    });
  });

  test('counts the lines of the audit', async () => {
    const counters = newCounters();
    const table = { id: 'a', dropId: 'a', schema: 's', table: 't' };
    const place = { holdSchema: '_undrop', holdName: 'x' };
    const moved = { ...table, ...place, because: 'due', until: null };
    const transition = { event: 'transition', ...moved, from: 'HOLD', to: 'PURGE' } as const;
    const refused = { event: 'refused', code: 'UNDROP_RULE', statement: '' } as const;
    const count = countAudit(counters);
    for (const audited of [[transition, refused], [transition, refused], [refused]]) count(audited);
    count([{ event: 'used-while-held', ...table, count: 7 }]);
    counters.loopDelayMsMax = 30;
    const found = await read(snapshot({ counters }));
    expect(Object.fromEntries(found)).toMatchObject({
      'undrop_transitions_total{from="hold",to="purge"}': 2,
      'undrop_refused_total{code="UNDROP_RULE"}': 3,
      undrop_used_while_held_total: 7,
      undrop_event_loop_delay_seconds: 0.03,
    });
  });

  test('counts durations by bucket', async () => {
    const counters = newCounters();
    for (const ms of [3, 12, 12, 99_000]) observe(counters, 'drop', { ms, label: 'DROP TABLE' });
    observe(counters, 'login', { ms: 1 });
    const found = await read(snapshot({ counters }));
    const drop = (le: string) =>
      found.get(`undrop_drop_seconds_bucket{how="DROP TABLE",le="${le}"}`);
    expect(['0.005', '0.01', '0.025', '30', '+Inf'].map(drop)).toEqual([1, 1, 3, 3, 4]);
    expect(found.get('undrop_drop_seconds_sum{how="DROP TABLE"}')).toBeCloseTo(99.027);
    expect(found.get('undrop_drop_seconds_count{how="DROP TABLE"}')).toBe(4);
    expect(found.get('undrop_login_seconds_bucket{le="0.001"}')).toBe(1);
    expect([...found.keys()].some((name) => name.startsWith('undrop_relay_seconds'))).toBe(false);
  });

  test('says when certificates expire, and how full the disk is', async () => {
    const validTo = 'Nov 28 12:00:00 2036 GMT';
    const disk = { used: 0.25, freeBytes: 750 };
    const found = await read(snapshot({ certificates: [{ name: 'clients', validTo }], disk }));
    const expiry = found.get('undrop_tls_not_after_timestamp_seconds{use="clients"}');
    expect(expiry).toBe(Date.UTC(2036, 10, 28, 12) / 1_000);
    expect(found.get('undrop_disk_used_ratio')).toBe(0.25);
    expect(found.get('undrop_free_bytes')).toBe(750);
  });

  test('is the same twice, whatever it was in between', async () => {
    const exposition = new Exposition();
    const counted = newCounters();
    counted.commandsTotal = 5;
    const commandsIn = async (given: Snapshot) =>
      parseExposition((await exposition.text(given)).text).get('undrop_commands_total');
    expect(await commandsIn(snapshot({ counters: counted }))).toBe(5);
    expect(await commandsIn(snapshot({ counters: counted }))).toBe(5);
  });
});
