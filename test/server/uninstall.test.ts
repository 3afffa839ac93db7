/** `undrop uninstall`: refused beside a proxy; held tables come back, or go; nothing is left. */
import { expect } from '@jest/globals';
import { onServersAtOnce } from '../support/on-servers.js';
import { runUndrop, spawnProxy } from '../support/proxy.js';
import { query } from '../support/servers.js';

onServersAtOnce('uninstalling from $name', (server, on) => {
  const { beforeEach, afterAll, test } = on;
  on.freshLedger();
  const own = on.schema('uninstalled');
  const whole = `${own.name}_whole`;
  const uninstall = (...flags: readonly string[]) =>
    runUndrop(server, ['uninstall', '--fast-drop', 'always', ...flags]);
  const schemasLeft = async () =>
    (await query<{ name: string }>(server, "SHOW DATABASES LIKE '%undrop%'")).length;

  beforeEach(async () => {
    await using proxy = await spawnProxy(server);
    await query(
      proxy,
      `CREATE TABLE ${own.name}.t (id INT PRIMARY KEY)`,
      `INSERT INTO ${own.name}.t VALUES (1), (2)`,
      `DROP TABLE ${own.name}.t`,
      `CREATE DATABASE ${whole}`,
      `CREATE TABLE ${whole}.t (id INT PRIMARY KEY)`,
      `DROP DATABASE ${whole}`,
    );
    const beside = await uninstall('--restore', '--yes');
    expect(beside).toMatchObject({ code: 1, stderr: expect.stringContaining('no proxy runs') });
    await proxy.stop();
  });
  afterAll(() => query(server, `DROP DATABASE IF EXISTS ${whole}`));

  test('shows what is held, brings it back, and leaves nothing', async () => {
    const shown = await uninstall();
    expect(shown).toMatchObject({ code: 1, stdout: expect.stringContaining('Held: 2 tables') });
    const both = await uninstall('--restore', '--remove');
    expect(both.code).toBe(2);
    const done = await uninstall('--restore', '--yes');
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toMatch(/^DROP USER '\S+'@'\S+';$/m);
    expect(await query(server, `SELECT id FROM ${own.name}.t`)).toEqual([{ id: 1 }, { id: 2 }]);
    expect(await query(server, `SELECT id FROM ${whole}.t`)).toEqual([]);
    expect(await schemasLeft()).toBe(0);
    await query(server, `DROP TABLE ${own.name}.t`, `DROP DATABASE ${whole}`);
  });

  test('removes what is held for good, if that is asked for', async () => {
    const done = await uninstall('--remove', '--yes');
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(await query(server, `SHOW TABLES FROM ${own.name}`)).toEqual([]);
    expect(await schemasLeft()).toBe(0);
  });

  test('keeps its schemas while they have a table that is not its own', async () => {
    await query(server, 'CREATE TABLE _undrop.stranger (id INT)');
    const kept = await uninstall('--restore', '--yes');
    expect(kept).toMatchObject({ code: 1, stderr: expect.stringContaining('_undrop.stranger') });
    await query(server, 'DROP TABLE _undrop.stranger');
    expect((await uninstall('--yes')).code).toBe(0);
    await query(server, `DROP TABLE ${own.name}.t`, `DROP DATABASE ${whole}`);
  });
});
