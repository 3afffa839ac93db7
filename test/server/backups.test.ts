/**
 * The backups of docs/runbook.md, command by command: dumps with and without undrop's own schemas,
 * and a physical backup, loaded into another server: its contents, the collector, and how a held
 * table comes back.
 */
import { cp, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inRoot } from '../../throwaway-servers/apt-root.js';
import { type Launched, launch } from '../../throwaway-servers/launch.js';
import { tryCommand } from '../../throwaway-servers/run-command.js';
import { aptFolder } from '../support/apt-folder.js';
import { connectionOptions } from '../support/client-cli.js';
import { DUMP_TOOLS, DUMPED, loginOptions, runClient } from '../support/clients.js';
import { runMydumper } from '../support/debian-tools.js';
import { temporaryFolder } from '../support/folders.js';
import { inHooks } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { spawnProxy } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { ensureInstalled } from '../support/server-set.js';
import { connect, query, startServer, type Target } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { listed } from '../support/undrop-cli.js';

/** The options that leave undrop's own schemas out. */
const WITHOUT = {
  'mysql-9.7': ['--databases', 'shop'],
  'mariadb-11.8': [
    '--all-databases',
    ...['--ignore-database=_undrop', '--ignore-database=_undrop_local'],
  ],
};
/** Held tables are due at once, and the collector looks all the time. */
const DUE = { HOLD: '1s', MIN_HOLD: '0s', COLLECT: 'on', CHECK_INTERVAL: '1s', GRACE: '1h' };
const SCHEMA_USE = expect.stringContaining('UNDROP_RECYCLE_SCHEMA_USE');
const SCHEMA_WRITE = expect.stringContaining('UNDROP_RECYCLE_SCHEMA_WRITE');
/** Of mydumper: what a server has of its own, and undrop. */
const WITHOUT_OURS = '^(?!(mysql\\.|sys\\.|_undrop))';

/** `shop.orders` with two rows is held there, `shop.kept` is live. */
async function fill(source: Target): Promise<void> {
  await using proxy = await spawnProxy(source, { HOLD: '1s', MIN_HOLD: '0s' });
  await using session = await connect(proxy);
  await session.run('CREATE DATABASE shop', 'CREATE TABLE shop.kept (id INT PRIMARY KEY)');
  await session.run('CREATE TABLE shop.orders (id INT PRIMARY KEY)');
  await session.run('INSERT INTO shop.orders VALUES (1), (2)', 'DROP TABLE shop.orders');
  await using root = await connect(source);
  await intentsSettled(root, ['shop']);
}

/** A proxy in front of the restored server holds still, and gives the table back. */
async function restoreHeld(target: Target): Promise<void> {
  await using proxy = await spawnProxy(target, DUE);
  const waits = () => proxy.lines.some(({ event }) => event === 'grace');
  await until(waits, 'the collector waits for UNDROP_GRACE');
  expect(await listed(target)).toMatchObject([{ schema: 'shop', table: 'orders' }]);
  await using session = await connect(proxy);
  await session.run('UNDROP TABLE shop.orders');
  expect(await session.count('shop.orders')).toBe(2);
  expect(proxy.lines.filter(({ event }) => event === 'removal')).toEqual([]);
}

describe.each(sample(DUMPED, { name: 'dumps', count: 1 }))('a backup of %s', (name) => {
  const { dump, client, options } = DUMP_TOOLS[name];
  const { beforeAll, open } = inHooks();
  const source = open(() => startServer(name));
  const target = open(() => startServer(name));
  beforeAll(() => fill(source));

  const dumped = (from: Target, args: readonly string[]) =>
    runClient(dump, from, [...connectionOptions(dump), ...options, ...args]);

  test('leaves the schemas of undrop out by an option of each program', async () => {
    const { code, stdout } = await dumped(source, WITHOUT[name]);
    expect(code).toBe(0);
    expect(stdout).toContain('CREATE TABLE `kept`');
    expect(stdout).not.toContain('_undrop');
    await using folder = await temporaryFolder('mydumper');
    const into = [`--outputdir=${folder.path}`, `--regex=${WITHOUT_OURS}`];
    expect(await runMydumper('mydumper', source, into)).toMatchObject({ code: 0 });
    const files = await readdir(folder.path);
    expect(files).toContain('shop.kept-schema.sql');
    expect(files.filter((file) => file.includes('_undrop'))).toEqual([]);
  });

  test('of all schemas has them; through undrop it is neither made nor loaded', async () => {
    const { code, stdout: input } = await dumped(source, ['--all-databases']);
    expect(code).toBe(0);
    expect(input).toContain('USE `_undrop`');
    await using before = await spawnProxy(source);
    const through = await dumped(before, ['--all-databases']);
    expect(through).toMatchObject({ code: 2, stderr: SCHEMA_USE });
    const args = connectionOptions(client);
    await using proxy = await spawnProxy(target);
    const refused = await runClient(client, proxy, args, { input });
    expect(refused).toMatchObject({ code: 1, stderr: SCHEMA_WRITE });
    const loaded = await runClient(client, target, args, { input });
    expect(loaded).toMatchObject({ code: 0 });
    await restoreHeld(target);
  });
});

describe('a backup by mariadb-backup', () => {
  const { beforeAll, open } = inHooks();
  const source = open(() => startServer('mariadb-11.8'));

  beforeAll(() => fill(source));

  /** Makes a backup, and starts a server on it. */
  async function restoredBy(...options: readonly string[]) {
    const folder = await temporaryFolder('mariadb-backup');
    const made = join(folder.path, 'made');
    const login = loginOptions(source).filter((option) => option !== '--protocol=TCP');
    const from = [`--datadir=${source.dataDir}`, ...login];
    for (const args of [['--backup', ...options, ...from], ['--prepare']]) {
      const result = await runBackup([...args, `--target-dir=${made}`]);
      expect(result).toMatchObject({ code: 0 });
    }
    const { stop, ...target } = await startOn(folder.path, made);
    const dispose = () => stop().then(() => folder[Symbol.asyncDispose]());
    return { ...target, [Symbol.asyncDispose]: dispose };
  }

  test('has the held tables; a server that is started on it gives them back', async () => {
    await using restored = await restoredBy();
    await restoreHeld(restored);
  });

  test('without the schema of undrop has no drop held, until the schema is dropped', async () => {
    await using restored = await restoredBy('--databases-exclude=_undrop');
    await using proxy = await spawnProxy(restored);
    await using session = await connect(proxy);
    expect(await session.errorOf('DROP TABLE shop.kept')).toMatchObject({
      message: expect.stringContaining('UNDROP_NOT_RECORDED'),
    });
    expect(await session.count('shop.kept')).toBe(0);
    await query(restored, 'DROP DATABASE _undrop');
    await session.run('DROP TABLE shop.kept', 'UNDROP TABLE shop.kept');
  });
});

async function runBackup(args: readonly string[]) {
  const root = await aptFolder('mariadb-backup', 'sid');
  const program = [...inRoot(root, 'usr/bin/mariadb-backup'), '--no-defaults'];
  return tryCommand([...program, ...args], { deadlineMs: 120_000 });
}

/** A server on a copy of `made`. */
async function startOn(folder: string, made: string): Promise<Target & Pick<Launched, 'stop'>> {
  const { installation } = await ensureInstalled('mariadb-11.8');
  const own = join(folder, 'server');
  await mkdir(own);
  await cp(made, join(own, 'data'), { recursive: true });
  const { port, stop } = await launch(installation, { folder: own, keepFolder: true });
  return { host: '127.0.0.1', port, user: 'root', password: '', stop };
}
