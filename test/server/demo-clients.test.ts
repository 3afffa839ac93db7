/** The command-line clients of the tests: which of them gets into which server. */
import { describe, expect, test } from '@jest/globals';
import { tryCommand } from '../../throwaway-servers/run-command.js';
import { type ClientName, dumpTools, runClient, sysbenchCommand } from '../support/clients.js';
import { freshSchema, testServers } from '../support/servers.js';

/** MySQL 9's own clients lack the only login plugin that the others offer. */
const EVERYWHERE = ['mariadb-10.11', 'mariadb-11.8'] as const satisfies readonly ClientName[];

describe.each(testServers())('the clients of the tests on $name', (server) => {
  test.each(EVERYWHERE)('%s logs in and shows names in any script', async (client) => {
    const result = await runClient(client, server, ['--batch', '-e', "SELECT 'čaj 茶 🍵' AS tea"]);
    expect(result).toMatchObject({ code: 0, stdout: 'tea\nčaj 茶 🍵\n' });
  });

  test("mysql 9.7 logs in to its own server, and is told why not by the others'", async () => {
    const result = await runClient('mysql-9.7', server, ['--batch', '-e', "SELECT '茶' AS tea"]);
    if (server.name === 'mysql-9.7') {
      expect(result).toEqual({ code: 0, stdout: 'tea\n茶\n', stderr: '' });
    } else {
      expect(result.code).toBe(1);
      expect(result.stderr).toContain('ERROR 2059 (HY000)');
    }
  });

  test('what a dump writes, a client reads; MySQL 5.6 is too old for the dumps of today', async () => {
    await using schema = await freshSchema(server, 'dump');
    const { client, dump, options } = dumpTools(server);
    const input = "CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (1, 'ž'), (2, '茶')";
    expect(await runClient(client, server, [schema.name], { input })).toMatchObject({ code: 0 });
    const dumped = await runClient(dump, server, [...options, schema.name]);
    if (server.name === 'mysql-5.6') {
      expect(dumped).toMatchObject({ code: 2, stderr: expect.stringContaining('(1054)') });
    } else {
      expect(dumped).toMatchObject({ code: 0, stdout: expect.stringContaining("(2,'茶')") });
      const reloaded = await runClient(client, server, [schema.name], { input: dumped.stdout });
      expect(reloaded).toMatchObject({ code: 0, stderr: '' });
    }
  });
});

test('sysbench runs', async () => {
  const { argv, env } = await sysbenchCommand();
  const result = await tryCommand([...argv, 'oltp_read_write', 'help'], { env });
  expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('--tables=N') });
});
