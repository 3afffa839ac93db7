/**
 * Interrupting, by the clients that people have: Ctrl-C at a terminal, KILL QUERY and KILL from a
 * second session. Both work through the proxy as the thread id of the greeting is the server's.
 */
import { randomBytes } from 'node:crypto';
import type { CliName } from '../support/client-cli.js';
import { heldRows } from '../support/client-held.js';
import { openTerminal } from '../support/client-terminal.js';
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

  test('KILL QUERY and KILL of a second session, by the thread id of the greeting', async () => {
    const seen: unknown[] = [];
    for (const { host, port } of [server, proxy]) {
      const target: Target = { host, port, ...account };
      const [victim, killer] = await Promise.all([connect(target), connect(target)]);
      expect(await victim.column<number>('SELECT CONNECTION_ID()')).toEqual([victim.threadId]);
      const lost = new Promise<unknown>((resolve) => victim.once('error', resolve));
      const long =
        'SELECT COUNT(*) FROM information_schema.COLUMNS AS a, information_schema.COLUMNS AS b, information_schema.COLUMNS AS c WHERE SLEEP(1) = 0';
      const interrupted = victim.query(long).then(() => 'not at all', errorOf);
      await until(() => isSleeping(server, user), 'the query runs');
      await killer.query(`KILL QUERY ${victim.threadId}`);
      seen.push(await interrupted, await victim.column("SELECT 'alive'"));
      await killer.query(`KILL ${victim.threadId}`);
      seen.push(errorOf(await lost));
      await killer.end();
    }
    expect(seen.slice(3)).toEqual(seen.slice(0, 3));
    expect(seen).toMatchObject([{ errno: 1317 }, ['alive'], {}, {}, {}, {}]);
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
