/**
 * The files of the packages, the image, the chart and deploy: the same as each other, and valid;
 * and the lock of the packages that undrop is made with.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadSettings, readConfigFile } from '../src/config/load.js';
import { SETTINGS, type SettingKey } from '../src/config/schema.js';
import { projectFolder } from './support/folders.js';
import { listFiles, readText } from './support/source-file.js';

const SETTINGS_PAGE = 'docs/reference/settings.md';
const { version } = JSON.parse(readText('package.json')) as { readonly version: string };

describe('the packages', () => {
  test('the unit for several servers is the other one, but for its names', () => {
    const one = readText('packaging/undrop.service');
    const named = readText('packaging/undrop@.service')
      .replace(
        'undrop for %i',
        'undrop, which holds the dropped tables of a MySQL or MariaDB server',
      )
      .replaceAll('/etc/undrop/%i.conf', '/etc/undrop/undrop.conf')
      .replaceAll('undrop-%i', 'undrop');
    expect(named).toBe(one);
  });

  test('systemd waits longer than a service drains, and knows how it is reloaded', () => {
    const unit = readText('packaging/undrop.service');
    const stopS = Number(/^TimeoutStopSec=(\d+)s$/m.exec(unit)?.[1]);
    const drain = /`UNDROP_DRAIN_TIMEOUT` \|`(\d+)s` \|/.exec(readText(SETTINGS_PAGE));
    expect(stopS).toBeGreaterThan(2 * Number(drain?.[1]));
    expect(unit).toContain(
      '\nExecReload=/usr/bin/undrop reload --config /etc/undrop/undrop.conf\n',
    );
    expect(unit).toContain('\nRestartPreventExitStatus=2\n');
  });

  test('each file that is packed from this folder is there', () => {
    const list = readText('scripts/package.mjs');
    const files = [...list.matchAll(/^ {2}\['([^']+)', '\//gm)].map(([, path = '']) => path);
    expect(files.length).toBeGreaterThan(7);
    const missing = files.filter((path) => !existsSync(join(projectFolder, path)));
    expect(missing.filter((path) => !path.startsWith('build/'))).toEqual([]);
  });
});

describe('the image and the chart', () => {
  test('have the version of the package', () => {
    const chart = readText('deploy/helm/undrop/Chart.yaml');
    expect(chart).toContain(`\nappVersion: "${version}"\n`);
    expect(readText('Dockerfile')).toContain(`org.opencontainers.image.version="${version}"`);
  });

  test('the probes to copy have the paths and the times of the chart', () => {
    const probes = readText('deploy/kubernetes/probes.yaml').replaceAll(': 9307', ': admin');
    const chart = readText('deploy/helm/undrop/templates/deployment.yaml');
    const lines = probes.split('\n').filter((line) => /^ |Probe:/.test(line));
    expect(lines.length).toBeGreaterThan(4);
    expect(lines.filter((line) => !chart.includes(line.trim()))).toEqual([]);
  });

  test('have the Node.js of the packages', () => {
    const packed = /^const NODE_VERSION = '([\d.]+)';$/m.exec(readText('scripts/package.mjs'))?.[1];
    expect(packed).toMatch(/^24\.\d+\.\d+$/);
    const dockerfile = readText('Dockerfile');
    expect(dockerfile).toContain(`\nARG BASE=node:${packed}-bookworm-slim\n`);
    expect(dockerfile.match(/^FROM .*/gm)).toHaveLength(2);
    expect(dockerfile.match(/^FROM .*\$\{BASE\}( AS build)?$/gm)).toHaveLength(2);
  });

  test('each variable of the chart is a setting', () => {
    const used =
      readText('deploy/helm/undrop/templates/deployment.yaml').match(/UNDROP_\w+/g) ?? [];
    const settings = readText(SETTINGS_PAGE);
    expect(used.length).toBeGreaterThan(8);
    expect(used.filter((name) => !settings.includes(`\`${name}\``))).toEqual([]);
  });
});

test('every file of settings in deploy is accepted', () => {
  const paths = listFiles('deploy', ['.conf']).filter((path) => readText(path).startsWith('//'));
  expect(paths).toHaveLength(9);
  for (const path of paths) {
    // Their files belong to a machine.
    const { passwordFile: _, upstreamCa: __, ...values } = readConfigFile(path).values;
    const sources = { flags: {}, env: {}, file: { path, values, places: new Map() } };
    const keys = Object.keys(SETTINGS) as SettingKey[];
    expect(loadSettings(keys, sources).settings.user).toBe('undrop');
  }
});

interface Entry {
  readonly version?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/**
 * `npm ci` takes the lock with npm 10 and npm 11, on any platform. A registry that lacks the
 * packages of other platforms makes `npm install` leave them out; scripts/complete-lock.mjs writes
 * them again.
 */
test('the lock has an entry for each optional package, also of other platforms', () => {
  const lock = JSON.parse(readText('package-lock.json')) as { packages: Record<string, Entry> };
  const optional = Object.entries(lock.packages).flatMap(([parent, { optionalDependencies }]) =>
    Object.entries(optionalDependencies ?? {}).map(([name, is]) => ({ parent, name, version: is })),
  );
  expect(optional.length).toBeGreaterThan(0);
  const missing = optional.filter(({ parent, name, version }) => {
    const found = placesOf(parent, name).map((path) => lock.packages[path]?.version);
    // Parts of one program, such as esbuild, have its version exactly.
    const isExact = /^\d/.test(version);
    return !found.some((one) => one !== undefined && (!isExact || one === version));
  });
  expect(missing).toEqual([]);
});

/** Where a package finds another, the nearest first, as Node looks for it. */
function placesOf(parent: string, name: string): readonly string[] {
  const folders = parent.split('/node_modules/');
  const own = folders.map((_, at) => folders.slice(0, at + 1).join('/node_modules/'));
  return [...own.toReversed().filter((path) => path !== ''), null].map((path) =>
    path === null ? `node_modules/${name}` : `${path}/node_modules/${name}`,
  );
}
