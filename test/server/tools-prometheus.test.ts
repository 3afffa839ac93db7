/**
 * Prometheus' own tool on what we give it: the metrics of a proxy that has done something, and the
 * alert rules, by what they say of series in which something goes wrong.
 */
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runCompose, runPromtool } from '../support/debian-tools.js';
import { projectFolder } from '../support/folders.js';
import { parseYaml } from '../support/helm.js';
import { adminOf, spawnProxy } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { query, testServers } from '../support/servers.js';

const RULES = join(projectFolder, 'docs/prometheus-alerts.yml');
const DASHBOARD = join(projectFolder, 'deploy/grafana-dashboard.json');
const [server] = sample(testServers(), { name: 'promtool', count: 1 });

interface Alarm {
  readonly alert: string;
  /** By series, in the notation of promtool, a value a minute. */
  readonly series: Readonly<Record<string, string>>;
  /** Not yet, and then. */
  readonly silentAt: string;
  readonly firesAt: string;
}

const DAY_M = 1_440;
const ALARMS: readonly Alarm[] = [
  {
    alert: 'UndropDown',
    series: { 'up{job="undrop",instance="a"}': '1 0x10' },
    silentAt: '1m',
    firesAt: '3m',
  },
  {
    alert: 'UndropUpstreamDown',
    series: { 'undrop_upstream_up{instance="a"}': '1 0x10' },
    silentAt: '1m',
    firesAt: '3m',
  },
  {
    alert: 'UndropDropsRefused',
    series: {
      'undrop_upstream_up{instance="a"}': '1x10',
      'undrop_mode_info{instance="a",mode="hold"}': '1x10',
      'undrop_drops_ready{instance="a"}': '1 0x10',
    },
    silentAt: '1m',
    firesAt: '3m',
  },
  {
    alert: 'UndropNothingCollected',
    series: {
      'undrop_collector_last_look_timestamp_seconds{job="undrop",instance="a"}': `60x${2 * DAY_M}`,
      'undrop_collector_last_look_timestamp_seconds{job="undrop",instance="b"}': `0x${2 * DAY_M}`,
    },
    silentAt: `${DAY_M}m`,
    firesAt: `${DAY_M + 20}m`,
  },
  {
    // Nobody has since a restart, so nobody has a time.
    alert: 'UndropNothingCollected',
    series: {
      'undrop_collector_leader{job="undrop",instance="a"}': '1 0x60',
      'undrop_collector_leader{job="undrop",instance="b"}': '0x60',
    },
    silentAt: '9m',
    firesAt: '15m',
  },
  {
    alert: 'UndropRestsForADay',
    series: {
      'undrop_collector_resting{job="undrop",instance="a",reason="grace"}': `1x${2 * DAY_M}`,
    },
    silentAt: `${DAY_M - 10}m`,
    firesAt: `${DAY_M + 20}m`,
  },
  {
    alert: 'UndropHoldsNothing',
    series: { 'undrop_mode_info{instance="a",mode="off"}': '1x120' },
    silentAt: '50m',
    firesAt: '70m',
  },
  {
    alert: 'UndropHeldSpace',
    series: { 'undrop_limits_used_ratio{instance="a"}': '0.7 0.9x20' },
    silentAt: '5m',
    firesAt: '15m',
  },
  {
    alert: 'UndropIntentsUnsettled',
    series: { 'undrop_unsettled_intents{instance="a"}': '0 1x10' },
    silentAt: '1m',
    firesAt: '3m',
  },
  {
    alert: 'UndropServerDrops',
    series: { 'undrop_server_drops_total{job="undrop",instance="a"}': '0x10 1x20' },
    silentAt: '10m',
    firesAt: '12m',
  },
  {
    alert: 'UndropDiskFills',
    series: { 'undrop_disk_used_ratio{instance="a"}': '0.7 0.9x20' },
    silentAt: '5m',
    firesAt: '15m',
  },
  {
    alert: 'UndropOverdue',
    series: { 'undrop_overdue_tables{job="undrop",instance="a"}': '0 3x120' },
    silentAt: '50m',
    firesAt: '70m',
  },
  {
    alert: 'UndropCertificateExpires',
    // Time begins at 0 here.
    series: {
      'undrop_tls_not_after_timestamp_seconds{use="clients",instance="a"}': `${15 * 86_400}x${3 * DAY_M}`,
    },
    silentAt: `${DAY_M}m`,
    firesAt: `${DAY_M + 70}m`,
  },
];

describe('promtool', () => {
  test('reads the metrics, and has nothing against them', async () => {
    if (server === undefined) throw new Error('no server');
    await using proxy = await spawnProxy(server, { ADMIN_LISTEN: '127.0.0.1:0', COLLECT: 'on' });
    await query(
      proxy,
      'CREATE DATABASE IF NOT EXISTS promtool',
      'CREATE TABLE promtool.t (id INT)',
    );
    await query(proxy, 'DROP TABLE promtool.t', 'DROP DATABASE promtool');
    const response = await fetch(`http://${adminOf(proxy)}/metrics`);
    const checked = await runPromtool(['check', 'metrics'], await response.text());
    expect(checked).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('each alert is silent before its time, and fires then', async () => {
    const checked = await runPromtool(['check', 'rules', RULES]);
    expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('SUCCESS') });
    const folder = await mkdtemp(join(tmpdir(), 'undrop-rules-'));
    try {
      const file = join(folder, 'alarms.json');
      // JSON is YAML. Only the time of an alert is of interest, so it is asked for by ALERTS.
      const tests = ALARMS.map(({ alert, series, silentAt, firesAt }) => ({
        interval: '1m',
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        promql_expr_test: [
          { expr: countOf(alert), eval_time: silentAt, exp_samples: [] },
          { expr: countOf(alert), eval_time: firesAt, exp_samples: [{ labels: '{}', value: 1 }] },
        ],
      }));
      const all = { rule_files: [RULES], evaluation_interval: '1m', tests };
      await writeFile(file, JSON.stringify(all));
      const result = await runPromtool(['test', 'rules', file]);
      expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('SUCCESS') });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('the dashboard', () => {
  test('asks for metrics that there are, in the language of Prometheus', async () => {
    const { panels } = JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard;
    const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    expect(queries.length).toBeGreaterThan(20);
    const known = await readFile(join(projectFolder, 'docs/reference/metrics.md'), 'utf8');
    const names = queries.flatMap((expr) => expr.match(/undrop_\w+/g) ?? []);
    const used = new Set(names.map((name) => name.replace(/_bucket$/, '')));
    expect([...used].filter((name) => !known.includes(`\`${name}\``))).toEqual([]);
    const filledIn = (expr: string) =>
      expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$(job|instance)/g, '.*');
    const rules = queries.map((expr, nr) => ({ record: `panel:${nr}`, expr: filledIn(expr) }));
    const groups = [{ name: 'dashboard', rules }];
    const folder = await mkdtemp(join(tmpdir(), 'undrop-dashboard-'));
    try {
      const file = join(folder, 'rules.json');
      await writeFile(file, JSON.stringify({ groups }));
      const checked = await runPromtool(['check', 'rules', file]);
      expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('SUCCESS') });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('the compose file', () => {
  interface Service {
    readonly image?: string;
    readonly volumes?: readonly { type: string; source: string; target: string }[];
    readonly ports?: readonly { host_ip: string }[];
  }
  const composed = async (...options: readonly string[]) => {
    const file = ['--file', join(projectFolder, 'docker-compose.yml')];
    const { code, stdout, stderr } = await runCompose([...file, ...options, 'config']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [config] = await parseYaml(stdout);
    return (config as { readonly services: Readonly<Record<string, Service>> }).services;
  };
  /** From its path in the container to the one here. */
  const filesOf = ({ volumes = [] }: Service = {}) =>
    new Map(volumes.filter(({ type }) => type === 'bind').map((one) => [one.target, one.source]));

  test('mounts files that there are, and is reached from this machine alone', async () => {
    expect(Object.keys(await composed()).sort()).toEqual(['mysql', 'undrop']);
    const services = await composed('--profile', 'watch');
    expect(Object.keys(services).sort()).toEqual(['grafana', 'mysql', 'prometheus', 'undrop']);
    const sources = Object.values(services).flatMap((one) => [...filesOf(one).values()]);
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.filter((source) => !existsSync(source))).toEqual([]);
    const ports = Object.values(services).flatMap((one) => one.ports ?? []);
    expect(ports.map((port) => port.host_ip)).toEqual(ports.map(() => '127.0.0.1'));
  });

  test('has a configuration that Prometheus takes, with the alert rules', async () => {
    const { prometheus } = await composed('--profile', 'watch');
    const folder = await mkdtemp(join(tmpdir(), 'undrop-compose-'));
    try {
      for (const [target, source] of filesOf(prometheus)) {
        await copyFile(source, join(folder, basename(target)));
      }
      const checked = await runPromtool(['check', 'config', join(folder, 'prometheus.yml')]);
      expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('rules found') });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('shows the dashboard with the data source that it has', async () => {
    const { grafana } = await composed('--profile', 'watch');
    const files = filesOf(grafana);
    const read = async (path: string) => {
      const [content] = await parseYaml(await readFile(files.get(path) ?? '', 'utf8'));
      return content as Readonly<Record<string, readonly object[]>>;
    };
    const provisioning = '/etc/grafana/provisioning';
    const { datasources } = await read(`${provisioning}/datasources/undrop.yml`);
    expect(datasources).toMatchObject([{ type: 'prometheus', url: 'http://prometheus:9090' }]);
    const { providers } = await read(`${provisioning}/dashboards/undrop.yml`);
    const [{ options }] = providers as [{ readonly options: { readonly path: string } }];
    expect(files.get(`${options.path}/undrop.json`)).toBe(DASHBOARD);
  });
});

interface Dashboard {
  readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[];
}

function countOf(alert: string): string {
  return `count(ALERTS{alertname="${alert}", alertstate="firing"})`;
}
