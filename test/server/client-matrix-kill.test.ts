/**
 * Interrupting, by the clients that people have: Ctrl-C at a terminal, KILL QUERY and KILL from a
 * second session. Both work through the proxy as the thread id of the greeting is the server's.
 */
import { randomBytes } from 'node:crypto';
import { expect } from '@jest/globals';
import type { RowDataPacket } from 'mysql2/promise';
import type { CliName } from '../support/client-cli.js';
import { heldRows } from '../support/client-held.js';
import { openTerminal } from '../support/client-terminal.js';
import { createMariadb } from '../support/mariadb.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import {
  connect,
  freshSchema,
  hasProcess,
  query,
  type Target,
  type TestServer,
} from '../support/servers.js';

const CLIS = ['mysql-9.7', 'mariadb-10.11', 'mariadb-11.8'] as const;

onServers('[57] $name (wire 57)', (server, on) => {
  const { test } = on;
  const user = `kill_${randomBytes(4).toString('hex')}`;
  const account = { user, password: 'pa$$ word;' };

  on.account(user, { password: account.password, grants: ['ALL ON *.*'] });
  const proxy = on.proxy();

  test.each(clisOf(server))('Ctrl-C in %s ends the query and returns the prompt', async (cli) => {
    const screens: string[] = [];
    for (const { host, port } of [server, proxy]) {
      const terminal = await openTerminal(cli, { host, port, ...account });
      try {
        terminal.start('SELECT SLEEP(600);');
        await until(() => isSleeping(server, user), 'the query runs');
        terminal.interrupt();
        await terminal.prompt();
        await until(async () => !(await isSleeping(server, user)), 'the query has ended');
        await terminal.line("SELECT CONCAT('al', 'ive') AS still;");
        screens.push(maskedScreen(terminal.screen));
        expect(await terminal.quit()).toBe(0);
      } finally {
        terminal.kill();
      }
    }
    const [direct, through] = screens;
    expect(through).toBe(direct);
    expect(through).toContain('| alive |');
    expect(through).toContain('^C');
  });

  test.each(clisOf(server))('Ctrl-C in %s of a DROP that waits leaves the table', async (cli) => {
    const screens: string[] = [];
    await using schema = await freshSchema(server, 'kill');
    await query(
      server,
      `CREATE TABLE ${schema.name}.t (id INT PRIMARY KEY)`,
      `INSERT INTO ${schema.name}.t VALUES (1), (2)`,
    );
    const reader = await connect(server);
    await reader.run('START TRANSACTION', `SELECT * FROM ${schema.name}.t`);
    for (const { host, port } of [server, proxy]) {
      const terminal = await openTerminal(cli, { host, port, ...account });
      try {
        await terminal.line(`USE ${schema.name}`);
        terminal.start('DROP TABLE t;');
        await until(() => isWaiting(server, user), 'the DROP waits');
        terminal.interrupt();
        await terminal.prompt();
        await terminal.line('SELECT COUNT(*) FROM t;');
        await terminal.line('SHOW TABLES;');
        screens.push(maskedScreen(terminal.screen));
        expect(await terminal.quit()).toBe(0);
      } finally {
        terminal.kill();
      }
    }
    await reader.end();
    const [direct, through] = screens;
    expect(through).toBe(direct);
    expect(through).toContain('ERROR 1317 (70100): Query execution was interrupted');
    expect(await heldRows(server, schema.name)).toEqual({});
  });

  test.each(clisOf(server))('KILL typed in %s ends a query, and then a session', async (cli) => {
    const seen: unknown[] = [];
    for (const { host, port } of [server, proxy]) {
      const victim = await connect({ host, port, ...account });
      const lost = new Promise<unknown>((resolve) => victim.once('error', resolve));
      const sleep = victim.query("SELECT SLEEP(600) AS slept, 'x' AS t").catch(errorOf);
      await until(() => isSleeping(server, user), 'the query runs');
      const terminal = await openTerminal(cli, { host, port, ...account });
      try {
        await terminal.line(`KILL QUERY ${victim.threadId};`);
        const interrupted = await sleep;
        const [rows] = await victim.query("SELECT 'alive' AS still");
        await terminal.line(`KILL ${victim.threadId};`);
        seen.push({
          interrupted: Array.isArray(interrupted) ? interrupted[0] : interrupted,
          rows,
          lost: errorOf(await lost),
          screen: maskedScreen(terminal.screen).replaceAll(`${victim.threadId};`, '<id>;'),
        });
        await terminal.quit();
      } finally {
        terminal.kill();
        victim.destroy();
      }
    }
    const [direct, through] = seen;
    expect(through).toEqual(direct);
    expect(through).toMatchObject({ rows: [{ still: 'alive' }] });
  });

  test('the thread id of the greeting is the one of the server', async () => {
    const { host, port } = proxy;
    const [mysql2, mariadb] = await Promise.all([
      connect({ host, port, ...account }),
      createMariadb({ host, port, ...account, allowPublicKeyRetrieval: true }),
    ]);
    const [rows] = await mysql2.query<RowDataPacket[]>('SELECT CONNECTION_ID() AS id');
    expect(rows).toEqual([{ id: mysql2.threadId }]);
    const [row] = await mariadb.query<{ id: bigint }[]>('SELECT CONNECTION_ID() AS id');
    expect(String(row?.id)).toBe(String(mariadb.threadId));
    await Promise.all([mysql2.end(), mariadb.end()]);
  });

  test('KILL QUERY from a second session interrupts a statement of the first', async () => {
    const seen: unknown[] = [];
    for (const { host, port } of [server, proxy]) {
      const target: Target = { host, port, ...account };
      const [victim, killer] = await Promise.all([connect(target), connect(target)]);
      const long =
        'SELECT COUNT(*) FROM information_schema.COLUMNS AS a, information_schema.COLUMNS AS b, information_schema.COLUMNS AS c WHERE SLEEP(1) = 0';
      const interrupted = victim.query(long).then(() => 'not at all', errorOf);
      await until(() => isSleeping(server, user), 'the query runs');
      await killer.query(`KILL QUERY ${victim.threadId}`);
      seen.push(await interrupted);
      const [rows] = await victim.query('SELECT 1 AS one');
      expect(rows).toEqual([{ one: 1 }]);
      await Promise.all([victim.end(), killer.end()]);
    }
    const [direct, through] = seen;
    expect(through).toEqual(direct);
    expect(through).toMatchObject({ errno: 1317 });
  });
});

/** MySQL 9.7's own client logs in to its own server only. */
function clisOf(server: TestServer): readonly CliName[] {
  return CLIS.filter((cli) => cli !== 'mysql-9.7' || server.name === cli);
}

function isSleeping(server: TestServer, user: string): Promise<boolean> {
  return hasProcess(server, `USER = '${user}' AND COMMAND = 'Query' AND INFO LIKE '%SLEEP(%'`);
}

function isWaiting(server: TestServer, user: string): Promise<boolean> {
  return hasProcess(server, `USER = '${user}' AND STATE = 'Waiting for table metadata lock'`);
}

function errorOf(error: unknown): unknown {
  const { message, errno, sqlState, code } = error as Record<string, unknown>;
  return { message, errno, sqlState, code };
}

function maskedScreen(screen: string): string {
  return screen
    .replaceAll(/connection id is \d+/g, 'connection id is <id>')
    .replaceAll(/\(?(\d+ (hours?|min) )*\d+\.\d+ sec\)?/g, '<time>')
    .trimEnd();
}
