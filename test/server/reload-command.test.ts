/** `undrop reload`: an operator's command to a service that runs, by its unix socket. */
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { temporaryFolder } from '../support/folders.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { runUndrop, workerPids } from '../support/proxy.js';
import { connect, freshSchema, query, type Session } from '../support/servers.js';
import { startService } from '../support/service.js';
import { switchedAddress } from '../support/switched-address.js';

const WAITS = { event: 'reload', level: 40 };

onServersAtOnce('undrop reload on $name', (server, { test }) => {
  test('a reload that fails exits with 1 and says why; the next one succeeds', async () => {
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

  test('with three generations a reload waits, and --force ends the oldest', async () => {
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

  test('a server that does not answer is a reason against a reload, but with --force', async () => {
    const address = await switchedAddress(server);
    await using service = await startService({ ...server, port: address.port });
    address.pointTo(null, { cut: true });
    const refused = await service.command('reload');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/cannot reload; .* no server answers the new processes/);
    expect(await service.command('reload', '--force')).toMatchObject({ code: 0, stderr: '' });
    await address.close();
  });

  test('sessions of a program that cannot read the new policy destroy nothing', async () => {
    await using fresh = await freshSchema(server);
    const { name: database } = fresh;
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
    await service.install('2.0.0', (text) => {
      expect(text).toContain(written);
      return text.replace(written, more);
    });
    expect(await service.command('reload')).toMatchObject({ code: 0 });
    await service.says({ msg: 'cannot read the policy of the new program; keeping the old one' });
    await session.run('DROP TABLE at_once_2');
    expect([await isHeld('at_once_1'), await isHeld('at_once_2')]).toEqual([[0], [1]]);
  });

  test('a worker that dies beside a newer program makes room for a reload, if there is none', async () => {
    const ended = { DRAIN_TIMEOUT: '1s' };
    await using service = await startService(server, {}, { ...ended, WORKERS: '1' });
    const sessions: Session[] = [];
    for (const number of [1, 2, 3]) {
      if (number > 1) expect(await service.command('reload')).toMatchObject({ code: 0 });
      sessions.push(await connect(service.proxy));
    }
    for (const session of sessions) session.on('error', () => undefined);
    await service.install('1.0.0');
    process.kill(workerPids(service.proxy).at(-1) ?? 0, 'SIGKILL');
    await service.says({ msg: 'reloaded the program and its settings' }, 3);
    // It waited for that; and nothing else has died.
    await using session = await connect(service.proxy);
    expect(await session.column('SELECT 1')).toEqual([1]);
    await service.says({ event: 'worker', level: 50 });
    expect(service.logged({ event: 'worker', level: 50 })).toHaveLength(1);
    expect(await sessions[1]?.column('SELECT 2')).toEqual([2]);
    for (const one of sessions) one.destroy();
  });

  test('where no process can be started, a reload says so, and the service ends as ever', async () => {
    await using folder = await temporaryFolder('node');
    const node = join(folder.path, 'node');
    await copyFile(process.execPath, node);
    const under = ['sh', '-c', 'exec "$0" "$2" "$3"', node];
    await using service = await startService(server, {}, { WORKERS: '1' }, under);
    await rm(node);
    const failed = await service.command('reload');
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toMatch(/cannot reload; .*cannot start a process: .*ENOENT/s);
    await using session = await connect(service.proxy);
    expect(await session.column('SELECT 1')).toEqual([1]);
    await session.end();
    process.kill(workerPids(service.proxy)[0] ?? 0, 'SIGKILL');
    await service.says({ msg: 'a worker died, with its sessions; another takes its place' }, 2);
    service.proxy.kill('SIGTERM');
    expect(await service.proxy.ended).toEqual([0, null]);
  });

  test('without a service it says so', async () => {
    await using folder = await temporaryFolder('no-service');
    const listen = join(folder.path, 'undrop.sock');
    expect(await runUndrop(server, ['reload'], { LISTEN: listen })).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('UNDROP_NOT_RUNNING'),
    });
    await using service = await startService(server);
    service.proxy.kill('SIGKILL');
    await service.proxy.ended;
    const { code, stderr } = await service.command('reload');
    expect([code, stderr]).toEqual([1, expect.stringContaining('UNDROP_NOT_RUNNING')]);
  });
});
