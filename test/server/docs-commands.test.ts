/**
 * The commands of README and docs, run as they stand: `undrop`, `mysql` and `mariadb` by a shell,
 * SQL by the client, through a proxy in front of a small shop. Example names of hosts, ports, files
 * and ids are replaced by those of the test. A block that fails is tried command by command, each
 * in its own shop, because a block may list alternatives.
 *
 * test/support/docs-fences.ts describes the tags of blocks.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tryCommand } from '../../throwaway-servers/run-command.js';
import { clientCommand, loginOptions } from '../support/clients.js';
import { commandsOf, type Fence, fencesOf } from '../support/docs-fences.js';
import { temporaryFolder } from '../support/folders.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServer } from '../support/on-servers.js';
import { adminOf, environment, MAIN, spawnProxy } from '../support/proxy.js';
import { isLong, sample } from '../support/sample.js';
import { dropSchema, query, testServer } from '../support/servers.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';
import { listFiles } from '../support/source-file.js';

const PASSWORD = 'a password of the test';
const COMMAND_MS = 60_000;
const TABLES = ['customers', 'products', 'orders', 'order_items', 'orders_2024', 'evidence'];
/** Each is tried in turn, if the page does not say what has been done before. */
const STATES = ['', 'DROP TABLE shop.orders, shop.order_items', 'DROP DATABASE shop'];

const pages = ['README.md', ...listFiles('docs', ['.md'], { deep: false })];
const run = pages
  .map((page) => ({ page, fences: fencesOf(page).filter(isRun) }))
  .filter(({ fences }) => fences.length > 0);

function isRun({ noTest, testedBy }: Fence): boolean {
  return noTest === null && testedBy === null;
}

describe('the commands of the docs', () => {
  const server = testServer('mysql-9.7');
  const on = onServer(server);
  on.freshLedger();
  const folder = on.open(() => temporaryFolder('docs'));
  const proxy = on.open(() => spawnProxy(server, { ADMIN_LISTEN: '127.0.0.1:0' }));
  const account = { password: PASSWORD, grants: ['ALL ON *.*'] };
  for (const user of ['app', 'deploy']) on.account(user, account);
  /** Schemas that were there before. */
  let others: readonly string[] = [];

  on.beforeAll(async () => {
    others = await schemas();
    for (const [name, text] of Object.entries(await programs())) {
      await writeFile(join(folder.path, name), text, { mode: 0o755 });
    }
  });
  on.afterAll(async () => {
    await dropSchemas();
    // `init` makes one for a host, which other tests would log in to, with fewer privileges.
    const made = await query<{ readonly host: string }>(
      server,
      `SELECT Host AS host FROM mysql.user
       WHERE User = '${SERVICE_ACCOUNT.user}' AND Host <> '%'`,
    );
    for (const { host } of made) {
      await query(server, `DROP USER '${SERVICE_ACCOUNT.user}'@'${host}'`);
    }
  });

  async function dropSchemas(): Promise<void> {
    for (const name of await schemas()) if (!others.includes(name)) await dropSchema(server, name);
  }

  async function schemas(): Promise<readonly string[]> {
    const rows = await query<{ readonly name: string }>(
      server,
      "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT LIKE '\\_undrop%'",
    );
    return rows.map(({ name }) => name);
  }

  /** Files on PATH, and those that /etc/undrop stands for. */
  async function programs(): Promise<Record<string, string>> {
    const client = async (name: 'mysql-9.7' | 'mysqldump-9.7') => {
      const command = [...(await clientCommand(name)), ...loginOptions(proxy)];
      return `#!/bin/sh\nexec ${command.map(quoted).join(' ')} "$@"\n`;
    };
    const mysql = await client('mysql-9.7');
    const dump = await client('mysqldump-9.7');
    // People are asked before these; the test has no terminal.
    const isAsked = 'case "$1" in remove|uninstall) set -- "$@" --yes;; esac';
    return {
      mysql,
      mariadb: mysql,
      mysqldump: dump,
      'mariadb-dump': dump,
      undrop: `#!/bin/sh\n${isAsked}\nexec ${quoted(process.execPath)} ${quoted(MAIN)} "$@"\n`,
      password: `${SERVICE_ACCOUNT.password}\n`,
      'admin-password': `${server.password}\n`,
    };
  }

  async function prepare(state: string): Promise<void> {
    await dropSchemas();
    await freshLedger(server);
    await query(server, 'CREATE DATABASE shop');
    for (const table of TABLES) {
      await query(
        server,
        `CREATE TABLE shop.${table} (id INT PRIMARY KEY, note VARCHAR(20))`,
        `INSERT INTO shop.${table} VALUES (1, 'one'), (2, 'two')`,
      );
    }
    const deploy = { ...proxy, user: 'deploy', password: PASSWORD };
    for (const statement of state.split(';').filter((one) => one.trim() !== '')) {
      await query(deploy, statement);
    }
  }

  /** With the names of the test in the place of the examples. */
  async function meant(text: string): Promise<string> {
    const rows = await query<{ readonly id: string; readonly name: string }>(
      server,
      `SELECT id, hold_name AS name FROM _undrop.ledger
       WHERE table_name IS NOT NULL ORDER BY table_name = 'orders' DESC, id LIMIT 1`,
    );
    const { id = 'none', name = 'none' } = rows[0] ?? {};
    return text
      .replaceAll(/_vt_HOLD_([0-9a-f]{32}_\d{14}|…)/g, name)
      .replaceAll(/\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)([0-9a-f]{32}|[0-9a-f]{6})\b/g, id)
      .replaceAll(/\bdb(\.example\.org)?:3306\b/g, `${server.host}:${server.port}`)
      .replaceAll('/etc/undrop/', `${folder.path}/`)
      .replaceAll(/\b3307\b/g, String(proxy.port))
      .replaceAll(/\b127\.0\.0\.1:9307\b/g, adminOf(proxy));
  }

  /** Why it failed; null: it did not. */
  async function failureOf(fence: Fence, text: string): Promise<string | null> {
    const { language } = fence;
    const argv =
      language === 'sh'
        ? ['bash', '-euo', 'pipefail', '-c', await meant(text)]
        : [
            join(folder.path, 'mysql'),
            ...(fence.isDirect ? [`--port=${server.port}`] : []),
            ...((await isThere()) ? ['shop'] : []),
          ];
    const result = await tryCommand(argv, {
      cwd: folder.path,
      env: {
        ...environment(server, {}),
        MYSQL_PWD: server.password,
        PATH: `${folder.path}:${process.env['PATH']}`,
      },
      deadlineMs: COMMAND_MS,
      ...(language === 'sql' ? { input: await meant(text) } : {}),
    });
    return result.code === 0 ? null : result.stderr.trim().slice(-400);
  }

  const isThere = async () => (await query(server, "SHOW DATABASES LIKE 'shop'")).length > 0;

  /** Null, or the failures in the states. */
  async function failureInAll(fence: Fence, text: string): Promise<string | null> {
    const failures = new Set<string>();
    for (const state of fence.before === null ? STATES : [fence.before]) {
      await prepare(state);
      const found = await failureOf(fence, text);
      if (found === null) return null;
      failures.add(found);
    }
    return [...failures].join(' | ');
  }

  async function failuresOf(fence: Fence): Promise<readonly string[]> {
    const whole = await failureInAll(fence, fence.text);
    if (whole === null) return [];
    const failures: string[] = [];
    for (const command of commandsOf(fence)) {
      const failure = await failureInAll(fence, command);
      if (failure !== null) failures.push(`${fence.page}:${fence.line}: ${command}: ${failure}`);
    }
    return failures;
  }

  const some = isLong ? run : sample(run, { name: 'pages', count: 1 });
  test.each(some)('those of $page work as they stand', async ({ fences }) => {
    const failures: string[] = [];
    for (const fence of fences) failures.push(...(await failuresOf(fence)));
    expect(failures).toEqual([]);
  });
});

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
