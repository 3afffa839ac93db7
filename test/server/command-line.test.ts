/** The commands as processes in a shell: a pipe that closes; a proxy in the place of a server. */
import { tryCommand } from '../../throwaway-servers/run-command.js';
import { onServers } from '../support/on-servers.js';
import { environment, MAIN, proxyInFront, spawnUndrop } from '../support/proxy.js';

onServers('beside $name', (server, { test }) => {
  test('a command whose reader has gone ends quietly, with its own exit code', async () => {
    const text = '"$0" "$@" | true; exit $PIPESTATUS';
    const argv = ['bash', '-c', text, process.execPath, MAIN, 'list'];
    const ended = await tryCommand(argv, { env: environment(server, {}) });
    expect(ended).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test.each([
    ['restore', ['restore', 'nothing']],
    ['doctor', ['doctor']],
  ])('%s tells a proxy from a server', async (_command, args) => {
    await using proxy = await proxyInFront(server);
    const { code, stdout, stderr } = await spawnUndrop({ ...proxy, user: 'root' }, args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/UNDROP_UPSTREAM 127\.0\.0\.1:\d+ is a proxy of undrop/);
  });
});
