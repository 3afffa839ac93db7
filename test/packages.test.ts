/** The files of the packages, of the image and of the chart say the same as each other. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { projectFolder } from './support/folders.js';
import { readText } from './support/source-file.js';

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
    const drain = /`UNDROP_DRAIN_TIMEOUT` \|`(\d+)s` \|/.exec(
      readText('docs/reference/settings.md'),
    );
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
    const probes = readText('deploy/kubernetes/probes.yaml').replaceAll(
      'port: 9307',
      'port: admin',
    );
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
    const settings = readText('docs/reference/settings.md');
    expect(used.length).toBeGreaterThan(8);
    expect(used.filter((name) => !settings.includes(`\`${name}\``))).toEqual([]);
  });
});
