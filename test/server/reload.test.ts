/**
 * A reload of a service that runs, with sessions open: by SIGHUP, and by `undrop reload`, an
 * operator's command over its unix socket.
 */
import { join } from 'node:path';
import { temporaryFolder } from '../support/folders.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { reloadBySignal, runUndrop } from '../support/proxy.js';
import { openRelay } from '../support/relay.js';
import { connect, query, type Session } from '../support/servers.js';
import { startService } from '../support/service.js';

const WAITS = { event: 'reload', level: 40 };

onServersAtOnce('a reload in front of $name', (server, on) => {
  const { test } = on;
  const root = on.session();
  const schema = on.each.schema('reload');

  test('by SIGHUP changes what live sessions and new ones meet; wrong settings change nothing (wire 56)', async () => {
    const tables = ['a', 'b', 'b2', 'c', 'd'].map((name) => `${schema.name}.${name}`);
    await query(server, ...tables.map((name) => `CREATE TABLE ${name} (x INT)`));
    // Each worker has its share of the connections, those of a reload as well.
    await using service = await startService(server, { protect: ['drop-table'] }, { WORKERS: '1' });
    const { proxy } = service;
    const lastOf = (event: string) => proxy.lines.filter((line) => line['event'] === event).at(-1);
    const reload = async (settings: object) => {
      await service.set(settings);
      await reloadBySignal(proxy);
    };
    const held = () =>
      root.column(
        'SELECT table_name FROM _undrop.ledger WHERE schema_name = ? ORDER BY table_name',
        [schema.name],
      );
    const takesOne = async () => {
      await using _only = await connect(proxy);
      await expect(connect(proxy)).rejects.toMatchObject({ errno: 1040 });
    };
    await using live = await connect(proxy, { database: schema.name });
    await live.query('DROP TABLE a');
    expect(await held()).toEqual(['a']);

    await reload({ protect: 'none', maxConnections: 1, logLevel: 'debug' });
    const leftOut = 'UNDROP_PROTECT leaves out drop-database, create-or-replace: ';
    expect(service.logged({ event: 'unprotected' })).toMatchObject([
      { level: 40, msg: expect.stringContaining(leftOut) },
      { level: 40, msg: expect.stringMatching(/leaves out drop-table, .* destroy tables at once/) },
    ]);
    await live.query('DROP TABLE b');
    expect(await held()).toEqual(['a']);
    await takesOne();

    await reload({ maxConnections: 0, hold: 'never' });
    expect(lastOf('reload')).toMatchObject({
      level: 50,
      err: { code: 'UNDROP_CONFIG', message: expect.stringMatching(/hold.*\n.*maxConnections/) },
    });
    await takesOne();

    await reload({ protect: ['drop-table'], passwordFile: '/dev/null' });
    expect(lastOf('reload')).toMatchObject({ level: 50, err: { code: 'UNDROP_ACCOUNT' } });
    await live.query('DROP TABLE b2');
    expect(await held()).toEqual(['a']);

    await reload({ protect: ['drop-table'], maxConnections: 2 });
    await live.query('DROP TABLE c');
    expect(await held()).toEqual(['a', 'c']);
    await (await connect(proxy)).end();

    await reload({ mode: 'off' });
    expect(lastOf('unprotected')).toMatchObject({
      level: 40,
      msg: expect.stringMatching(/^UNDROP_MODE is off/),
    });
    await live.query('DROP TABLE d');
    expect(await held()).toEqual(['a', 'c']);
  });

  test('by the command that fails exits with 1 and says why; the next one succeeds', async () => {
    await using service = await startService(server);
    await using session = await connect(service.proxy);
    await service.set({ hold: 'never' });
    const failed = await service.command('reload');
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toMatch(/cannot reload; .*hold/s);
    await service.install('1.0.0', () => 'this is no program');
    const broken = await service.command('reload');
    expect(broken).toMatchObject({ code: 1, stdout: '' });
    expect(broken.stderr).toMatch(/cannot reload; .*ended before it served/);
    await service.set({});
    await service.install('1.0.1');
    expect(await service.command('reload')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('version 1.0.1'),
    });
    expect(await session.column('SELECT 1')).toEqual([1]);
  });

  test('waits where there are three generations, and --force ends the oldest', async () => {
    await using service = await startService(server, {}, { DRAIN_TIMEOUT: '1h' });
    const sessions: Session[] = [];
    for (const number of [1, 2, 3]) {
      if (number > 1) expect(await service.command('reload')).toMatchObject({ code: 0 });
      sessions.push(await connect(service.proxy));
    }
    for (const session of sessions) session.on('error', () => undefined);
    const [first, second, third] = sessions;
    let isOver = false;
    const waiting = service.command('reload').finally(() => {
      isOver = true;
    });
    await service.says(WAITS);
    for (const session of sessions) expect(await session.column('SELECT 1')).toEqual([1]);
    expect(isOver).toBe(false);
    // It has yet to begin, so all who ask for a reload get that one.
    service.proxy.kill('SIGHUP');
    const forced = service.command('reload', '--force');
    // An idle session stays until it has been used again.
    await service.says({ event: 'draining' });
    expect(await first?.column('SELECT 2')).toEqual([2]);
    for (const command of await Promise.all([waiting, forced])) {
      expect(command).toMatchObject({ code: 0, stderr: expect.stringContaining('waiting for') });
    }
    await expect(first?.query('SELECT 3')).rejects.toThrow();
    for (const session of [second, third]) expect(await session?.column('SELECT 3')).toEqual([3]);
    await service.says({ event: 'draining' });
    expect(service.logged({ event: 'draining' })).toHaveLength(1);
    await service.says({ event: 'reload', level: 30 }, 3);
    expect(service.logged({ event: 'reload', level: 30 })).toHaveLength(3);
    for (const session of sessions) session.destroy();
  });

  test('is refused while no server answers, but with --force', async () => {
    const address = await openRelay(server);
    await using service = await startService({ ...server, port: address.port });
    address.pointTo(null, { cut: true });
    const refused = await service.command('reload');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/cannot reload; .* no server answers the new processes/);
    expect(await service.command('reload', '--force')).toMatchObject({ code: 0, stderr: '' });
    await address.close();
  });

  test('whose policy an old program cannot read destroys nothing by its sessions', async () => {
    const { name: database } = schema;
    await using service = await startService(server, { rules: ['*.at_once_*: now'] });
    await using session = await connect(service.proxy, { database });
    await session.run('CREATE TABLE at_once_1 (a INT)', 'CREATE TABLE at_once_2 (a INT)');
    const isHeld = async (table: string) => {
      const isOf = `schema_name = '${database}' AND table_name = '${table}'`;
      const held = `SELECT hold_until > dropped_at AS held FROM _undrop.ledger WHERE ${isOf}`;
      return (await query<{ held: number }>(server, held)).map(({ held: one }) => Number(one));
    };
    await session.run('DROP TABLE at_once_1');
    const written = 'policy:Object.fromEntries(POLICY_KEYS.map(key=>[variableOf(key),';
    const more = written.replace('(key),', '(key)+(key==="note"?"_OF_LATER":""),');
    await service.install('2.0.0', (text) => text.replace(written, more));
    expect(await service.command('reload')).toMatchObject({ code: 0 });
    await service.says({ msg: 'cannot read the policy of the new program; keeping the old one' });
    await session.run('DROP TABLE at_once_2');
    expect([await isHeld('at_once_1'), await isHeld('at_once_2')]).toEqual([[0], [1]]);
  });

  test('says so where there is no service', async () => {
    await using folder = await temporaryFolder('no-service');
    const listen = join(folder.path, 'undrop.sock');
    expect(await runUndrop(server, ['reload'], { LISTEN: listen })).toMatchObject({
      ...{ code: 1, stdout: '', stderr: expect.stringContaining('UNDROP_NOT_RUNNING') },
    });
    await using service = await startService(server);
    service.proxy.kill('SIGKILL');
    await service.proxy.ended;
    const { code, stderr } = await service.command('reload');
    expect([code, stderr]).toEqual([1, expect.stringContaining('UNDROP_NOT_RUNNING')]);
  });
});
