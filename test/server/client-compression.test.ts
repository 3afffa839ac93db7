/**
 * Clients that ask for compression: the proxy doesn't offer it, so they go without, and see what
 * they see directly, where they have it. A client that insists says itself that it can't be had.
 */
import { expect, test } from '@jest/globals';
import { type CliName, connectionOptions, runCli } from '../support/client-cli.js';
import { heldRows } from '../support/client-held.js';
import {
  BIG_RESULT,
  DROPPED_ROWS,
  masked,
  preparationOf,
  THE_END,
} from '../support/client-script.js';
import { runClient } from '../support/clients.js';
import { createMariadb } from '../support/mariadb.js';
import { onServers } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import {
  allTestServers,
  connect,
  freshSchema,
  query,
  type Target,
  type TestServer,
} from '../support/servers.js';

const STATUS = "SHOW SESSION STATUS LIKE 'Compression'";

const CLIS: readonly (readonly [cli: CliName, options: readonly string[]])[] = [
  ['mysql-9.7', ['--compression-algorithms=zstd,zlib,uncompressed']],
  ['mysql-9.7', ['--compression-algorithms=zlib,uncompressed']],
  ['mariadb-10.11', ['--compress']],
  ['mariadb-11.8', ['--compress']],
];

onServers('[48] $name (wire 48)', (server, on) => {
  const { test } = on;

  const proxy = on.proxy();

  test.each(clisOf(server))('%s with %j goes without', async (cli, options) => {
    const runs = await Promise.all([server, proxy].map((target) => runOn(target, cli, options)));
    const [direct, through] = runs.map(({ text, code }) => ({ code, lines: text.split('\n') }));
    expect(runs.map(({ compression }) => compression)).toEqual([
      'Compression\tON\n',
      'Compression\tOFF\n',
    ]);
    expect(through).toEqual(direct);
    expect(runs[1]?.text).toContain(THE_END);
    expect(runs[1]?.held).toEqual(DROPPED_ROWS);
  });

  async function runOn({ host, port }: Target, cli: CliName, options: readonly string[]) {
    await using schema = await freshSchema(server, 'zip');
    const { user, password } = server;
    await query(server, `USE ${schema.name}`, ...preparationOf(schema.name));
    const target = { host, port, user, password };
    const job = { target, schema: schema.name, infile: '/nowhere/y', tls: false };
    const { code, text } = await runCli(cli, job, options);
    const args = [...connectionOptions(cli), ...options, '--batch', '-N', '-e', STATUS];
    const { stdout } = await runClient(cli, target, args);
    const held = await heldRows(server, schema.name);
    return { code, text: masked(text, job), compression: stdout, held };
  }

  test('mysql2 and mariadb that ask for it go without', async () => {
    await using schema = await freshSchema(server, 'zip');
    await query(server, `USE ${schema.name}`, ...preparationOf(schema.name));
    const seen: unknown[] = [];
    for (const { host, port } of [server, proxy]) {
      const { user } = server;
      const options = { host, port, user, database: schema.name, compress: true };
      const several = { ...options, multipleStatements: true };
      const mysql2 = await connect({ ...server, host, port }, options);
      const mariadb = await createMariadb(several);
      seen.push({
        compression: [(await mysql2.query(STATUS))[0], await mariadb.query(STATUS)],
        big: [(await mysql2.query(BIG_RESULT))[0], await mariadb.query(BIG_RESULT)],
        // mysql2 would complain about the order of packets that come compressed.
        several: await mariadb.query('SELECT id FROM n; CALL two()'),
      });
      await Promise.all([mysql2.end(), mariadb.end()]);
    }
    const state = (value: string) => [{ Variable_name: 'Compression', Value: value }];
    const [direct, through] = seen;
    expect(direct).toMatchObject({ compression: [state('ON'), state('ON')] });
    expect(through).toEqual({ ...(direct as object), compression: [state('OFF'), state('OFF')] });
  });
});

test('[48] a mysql 9.7 that insists on compression says that there is none (wire 48)', async () => {
  const server = allTestServers().find(({ name }) => name === 'mysql-9.7');
  if (server === undefined) throw new Error('There is no MySQL 9.7.');
  await using proxy = await proxyInFront(server);
  const options = [...connectionOptions('mysql-9.7'), '--compression-algorithms=zlib'];
  const result = await runClient('mysql-9.7', proxy, [...options, '-e', 'SELECT 1']);
  expect(result.code).toBe(1);
  expect(result.stderr).toContain('ERROR 2066 (HY000)');
});

/** MySQL 9.7's own client logs in to its own server only. */
function clisOf(server: TestServer): typeof CLIS {
  return CLIS.filter(([cli]) => cli !== 'mysql-9.7' || server.name === cli);
}
