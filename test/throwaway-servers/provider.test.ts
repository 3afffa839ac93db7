/** The order of the ways to a server, and what a person is told about it. */
import { chmodSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findClients } from '../../demo/run-demo.js';
import { UndropError } from '../../src/errors.js';
import { findPathServers } from '../../throwaway-servers/path.js';
import type { Look, ThrowawayServer } from '../../throwaway-servers/provider.js';
import { openProgress, startFirst } from '../../throwaway-servers/provider.js';
import { folderOfEachTest } from '../support/folders.js';

const server = (name: string) => ({ name, stop: () => Promise.resolve() }) as ThrowawayServer;

function look(what: string, outcome: 'starts' | 'fails' | 'missing'): () => Promise<Look> {
  if (outcome === 'missing') return async () => ({ ways: [], whyNot: [`no ${what}`] });
  const start = async (): Promise<ThrowawayServer> => {
    if (outcome === 'starts') return server(what);
    throw new UndropError('UNDROP_DEMO_STEP', { step: `run ${what}`, cause: 'it refused' });
  };
  return async () => ({ ways: [{ what, why: 'as a test says', start }], whyNot: [] });
}

describe('the order', () => {
  const said: string[] = [];
  const progress = openProgress((text) => said.push(text));
  beforeEach(() => {
    said.length = 0;
  });

  test('the first way that starts is taken, and nobody looks further', async () => {
    const never = (): Promise<Look> => Promise.reject(new Error('looked'));
    const taken = await startFirst([look('path', 'starts'), never], { progress });
    expect([taken.name, said]).toEqual(['path', ['undrop: server: path, as a test says\n']]);
  });

  test('says which was chosen, why, and why better ones were not', async () => {
    const looks = [look('path', 'missing'), look('engine', 'fails'), look('apt', 'starts')];
    const taken = await startFirst(looks, { progress });
    expect(taken.name).toBe('apt');
    expect(said.join('')).toContain('undrop: server: engine, as a test says\n');
    expect(said.join('')).toContain(
      'undrop: not taken: no path\nundrop: not taken: engine failed (',
    );
    expect(said.length).toBeLessThanOrEqual(6);
  });

  test('where there is no way, the error says why each failed and names three remedies', async () => {
    const looks = [look('path', 'missing'), look('npm', 'fails')];
    const failed = startFirst(looks, { progress });
    await expect(failed).rejects.toThrow(
      /no path; npm failed.*Set UNDROP_UPSTREAM.*install mysqld.*start docker/s,
    );
  });

  test('a way that is ended by a signal is not followed by another', async () => {
    const signal = AbortSignal.abort();
    const looks = [look('path', 'fails'), look('apt', 'starts')];
    await expect(startFirst(looks, { progress, signal })).rejects.toThrow('run path');
  });
});

describe('installed programs', () => {
  const folder = folderOfEachTest('path-test');

  const program = (name: string, says: string, exitCode = 0): void => {
    writeFileSync(folder(name), `#!/bin/sh\necho '${says}'\nexit ${exitCode}\n`);
    chmodSync(folder(name), 0o755);
  };

  test('a server is what its --version says, not what its name says', async () => {
    const [share] = [folder('mariadb_system_tables.sql')];
    writeFileSync(share, '');
    writeFileSync(folder('mariadb_system_tables_data.sql'), '');
    program('mysqld', `mysqld  Ver 10.11.11-MariaDB\nlc-messages-dir  ${folder()}`);
    const { found, rejected } = await findPathServers(folder(), []);
    expect(rejected).toEqual([]);
    expect(found).toMatchObject([
      { installation: { flavour: 'mariadb', version: '10.11.11-MariaDB' } },
    ]);
  });

  test('one program under two names is tried once, and MySQL 8 goes before MariaDB', async () => {
    program('mariadbd', `mariadbd  Ver 10.11.11-MariaDB\nlc-messages-dir  ${folder()}`);
    writeFileSync(folder('mysql_system_tables.sql'), '');
    writeFileSync(folder('mysql_system_tables_data.sql'), '');
    const other = mkdtempSync(folder('other-'));
    symlinkSync(folder('mariadbd'), join(other, 'mysqld'));
    program('mysqld', 'mysqld  Ver 8.0.42-0ubuntu0.22.04.1 for Linux');
    const { found } = await findPathServers(`${other}:${folder()}`, []);
    expect(found.map(({ installation }) => installation.version)).toEqual([
      '8.0.42',
      '10.11.11-MariaDB',
    ]);
  });

  test('a program that fails is passed over with its reason', async () => {
    program('mysqld', 'cannot be run here', 126);
    const { found, rejected } = await findPathServers(folder(), []);
    expect(found).toEqual([]);
    expect(rejected).toEqual([expect.stringContaining(`${folder('mysqld')} cannot be used (`)]);
  });

  test('clients of MySQL 9 are not offered for servers that they cannot log in to', async () => {
    program('mysql', 'mysql  Ver 9.7.4 for Linux on x86_64');
    program('mariadb', 'mariadb  Ver 15.1 Distrib 10.11.11-MariaDB');
    const path = process.env['PATH'];
    process.env['PATH'] = `${folder()}:${path}`;
    const forNine = await findClients(folder(), { flavour: 'mysql', version: '9.7.4' });
    const forMariadb = await findClients(folder(), { flavour: 'mariadb', version: '10.11.11' });
    process.env['PATH'] = path;
    expect([forNine, forMariadb]).toEqual([['mysql', 'mariadb'], ['mariadb']]);
  });
});
