/**
 * Prometheus' own tool on what we give it: the metrics of a proxy that has done something, and the
 * alert rules, by what they say of series in which something goes wrong.
 */
import { existsSync } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { runCompose, runPromtool } from '../support/debian-tools.js';
import { projectFolder, temporaryFolder } from '../support/folders.js';
import { parseYaml } from '../support/helm.js';
import { adminOf, spawnProxy } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { query, testServers } from '../support/servers.js';

const RULES = join(projectFolder, 'docs/prometheus-alerts.yml');
const RULES_TEST = join(projectFolder, 'test/golden/prometheus-alerts-test.yml');
const DASHBOARD = join(projectFolder, 'deploy/grafana-dashboard.json');
const [server] = sample(testServers(), { name: 'promtool', count: 1 });

describe('promtool', () => {
  test('reads the metrics, and has nothing against them', async () => {
    if (server === undefined) throw new Error('no server');
    await using proxy = await spawnProxy(server, { ADMIN_LISTEN: '127.0.0.1:0', COLLECT: 'on' });
    await query(proxy, 'CREATE DATABASE IF NOT EXISTS promtool', 'CREATE TABLE promtool.t (i INT)');
    await query(proxy, 'DROP TABLE promtool.t', 'DROP DATABASE promtool');
    const response = await fetch(`http://${adminOf(proxy)}/metrics`);
    const checked = await runPromtool(['check', 'metrics'], await response.text());
    expect(checked).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('each alert is silent before its time, and fires then', async () => {
    const checked = await runPromtool(['check', 'rules', RULES]);
    expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('SUCCESS') });
    const result = await runPromtool(['test', 'rules', RULES_TEST]);
    expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('SUCCESS') });
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
    await using folder = await temporaryFolder('dashboard');
    const file = join(folder.path, 'rules.json');
    await writeFile(file, JSON.stringify({ groups }));
    const checked = await runPromtool(['check', 'rules', file]);
    expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('SUCCESS') });
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
    await using folder = await temporaryFolder('compose');
    for (const [target, source] of filesOf(prometheus)) {
      await copyFile(source, join(folder.path, basename(target)));
    }
    const checked = await runPromtool(['check', 'config', join(folder.path, 'prometheus.yml')]);
    expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('rules found') });
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
