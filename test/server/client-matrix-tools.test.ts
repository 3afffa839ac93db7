/**
 * Tools of the matrix of clients, directly and through the proxy: dumps and their reload, mysqlslap
 * and sysbench. What they make of the same data is the same, and what they drop is held.
 */
import { randomBytes } from 'node:crypto';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { tryCommand } from '../../throwaway-servers/run-command.js';
import { makeCertificates } from '../support/certificates.js';
import { connectionOptions } from '../support/client-cli.js';
import { heldRows } from '../support/client-held.js';
import { UNICODE } from '../support/client-script.js';
import { type ClientName, runClient, sysbenchCommand } from '../support/clients.js';
import { onServer } from '../support/on-servers.js';
import { sample } from '../support/sample.js';
import { query, type Target, type TestServer, testServers } from '../support/servers.js';

const DUMPS = [
  { dump: 'mysqldump-9.7', client: 'mysql-9.7', options: ['--set-gtid-purged=OFF'] },
  { dump: 'mariadb-dump-10.11', client: 'mariadb-10.11', options: [] },
  { dump: 'mariadb-dump-11.8', client: 'mariadb-11.8', options: [] },
] as const;
const SLAPS = ['mysqlslap-9.7', 'mariadb-slap-10.11', 'mariadb-slap-11.8'] as const;

/** How a tool connects. */
interface Way {
  readonly isProxy: boolean;
  readonly tls: boolean;
}

/** The cells that fail, with the words of the client or of the server; every other succeeds. */
function failureOf(server: TestServer, tool: ClientName): string | null {
  const isOld = server.name === 'mysql-5.6';
  if (tool.startsWith('mysql')) {
    const cause = "Authentication plugin 'mysql_native_password' cannot be loaded";
    return server.name === 'mysql-9.7' ? null : cause;
  }
  // They ask for a column that came with MySQL 5.7.
  return isOld && tool.includes('dump') ? "Unknown column 'generation_expression'" : null;
}

/** The servers that have TLS without being told to; through the proxy every one has. */
const OFFER_TLS: ReadonlySet<string> = new Set(['mysql-9.7', 'mariadb-11.8']);
const ALL = testServers().flatMap((server) =>
  [false, true].map((tls) => ({ server, tls, cell: `${server.name}${tls ? ', TLS' : ''}` })),
);

const TOOLS = [...DUMPS.map(({ dump }) => dump), ...SLAPS, 'disable', 'auto'] as const;

/** Each tool once, and each of the cells. */
const TAKEN = sample(
  ALL.flatMap(({ cell }) => TOOLS.map((tool) => ({ cell, tool }))),
  { name: 'tools', kind: ({ cell, tool }) => [cell, tool] },
);
const CELLS = ALL.filter(({ cell }) => TAKEN.some((one) => one.cell === cell));

describe.each(CELLS)('[64] $cell (wire 64)', ({ server, tls, cell }) => {
  const isTaken = (tool: (typeof TOOLS)[number]) =>
    TAKEN.some((one) => one.cell === cell && one.tool === tool);
  const user = `tools_${randomBytes(4).toString('hex')}`;
  const password = 'pa$$ word;';
  const account = { user, password };
  const on = onServer(server);
  on.account(user, { password, grants: ['ALL ON *.*'] });
  const certificates = on.open(makeCertificates);
  const proxy = on.proxy(() => ({ TLS_CERT: certificates.cert, TLS_KEY: certificates.key }));
  on.beforeAll(() => {
    // The names that sysbench looks for in the folder where it runs.
    for (const [from, to] of [
      [certificates.ca, 'cacert.pem'],
      [certificates.cert, 'client-cert.pem'],
      [certificates.key, 'client-key.pem'],
    ] as const) {
      copyFileSync(from, join(certificates.folder, to));
    }
  });

  /** Runs something on the server and through the proxy, with a schema of its own each. */
  async function both<T>(
    prefix: string,
    run: (target: Target, schema: string, way: Way) => Promise<T>,
  ): Promise<readonly { readonly schema: string; readonly result: T }[]> {
    return Promise.all(
      [server, proxy].map(async ({ host, port }, index) => {
        const isProxy = index === 1;
        const schema = `${prefix}_${randomBytes(6).toString('hex')}`;
        await query(server, `CREATE DATABASE ${schema} CHARACTER SET utf8mb4`);
        const way = { isProxy, tls: tls && (isProxy || OFFER_TLS.has(server.name)) };
        return { schema, result: await run({ host, port, ...account }, schema, way) };
      }),
    );
  }

  async function dropSchemas(runs: readonly { readonly schema: string }[]): Promise<void> {
    await query(server, ...runs.map(({ schema }) => `DROP DATABASE IF EXISTS ${schema}`));
  }

  const dumps = DUMPS.filter(({ dump }) => isTaken(dump));
  if (dumps.length > 0) test.each(dumps)('$dump: what it says is reloaded', reload);

  async function reload(tools: (typeof DUMPS)[number]): Promise<void> {
    const { dump, client, options } = tools;
    const failure = failureOf(server, dump);
    const runs = await both('dump', async (target, schema, way) => {
      await query(server, `USE ${schema}`, ...dumpedObjects());
      const args = [...connectionOptions(dump, way), ...options, '--routines', schema];
      const dumped = await runClient(dump, target, args);
      if (failure !== null) return [dumped];
      const input = dumped.stdout;
      const login = connectionOptions(client, way);
      await query(server, `DELETE FROM ${schema}.items`);
      const reloaded = await runClient(client, target, [...login, schema], { input });
      return [dumped, reloaded, await runClient(dump, target, args)];
    });
    const [direct, through] = runs.map(({ schema, result }) =>
      result.map(({ code, stdout, stderr }) => ({
        code,
        lines: maskedDump(`${stdout}\n${stderr}`, schema),
      })),
    );
    expect(through).toEqual(direct);
    const [, seen] = runs;
    if (failure === null) {
      const [first, reload, second] = through ?? [];
      expect(reload).toEqual({ code: 0, lines: expect.anything() });
      expect(second).toEqual(first);
      expect(first?.lines.join('\n')).toContain(UNICODE);
      expect(await heldRows(server, seen?.schema ?? '')).toEqual({ items: 0, words: 2 });
    } else {
      expect(through?.[0]?.lines.join('\n')).toContain(failure);
    }
    await dropSchemas(runs);
  }

  const slaps = SLAPS.filter(isTaken);
  if (slaps.length > 0) test.each(slaps)('%s comes to its end', runSlap);

  async function runSlap(slap: (typeof SLAPS)[number]): Promise<void> {
    const failure = failureOf(server, slap);
    const runs = await both('slap', (target, schema, way) =>
      runClient(slap, target, [
        ...connectionOptions(slap, way),
        `--create-schema=${schema}`,
        ...['--auto-generate-sql', '--concurrency=4', '--iterations=2'],
        ...['--number-of-queries=200', '--auto-generate-sql-load-type=mixed'],
      ]),
    );
    const [direct, through] = runs.map(({ result: { code, stdout, stderr } }) => ({
      code,
      text: `${stdout}\n${stderr}`.replaceAll(/[\d.]+ seconds/g, '<time> seconds'),
    }));
    expect(through).toEqual(direct);
    if (failure === null) {
      expect(through).toMatchObject({ code: 0, text: expect.stringContaining('Benchmark') });
    } else {
      expect(through?.text).toContain(failure);
    }
    await dropSchemas(runs);
  }

  const modes = (['disable', 'auto'] as const).filter(isTaken);
  if (modes.length > 0) test.each(modes)('sysbench with --db-ps-mode=%s', runSysbench);

  async function runSysbench(psMode: 'disable' | 'auto'): Promise<void> {
    const runs = await both('bench', async (target, schema, { isProxy }) => {
      const said: string[] = [];
      // sysbench wants the server's certificate to be of its authority; here only the proxy's is.
      const tlsOptions = tls && isProxy ? ['--mysql-ssl=on'] : ['--mysql-ssl=off'];
      const bench = async (script: string, command: string, ...options: readonly string[]) => {
        const psOption = `--db-ps-mode=${psMode}`;
        const args = [...sysbenchOptions(target, schema), ...tlsOptions, psOption, ...options];
        const { argv, env } = await sysbenchCommand();
        const { code, stdout, stderr } = await tryCommand([...argv, script, ...args, command], {
          env,
          cwd: certificates.folder,
        });
        said.push(`${script} ${command} ${code}`, ...countsIn(stdout), stderr);
      };
      await bench('oltp_read_write', 'prepare');
      await bench('oltp_read_write', 'run', '--events=40');
      await bench('oltp_point_select', 'run', '--events=2000', '--threads=8');
      const rows = await query(server, `SELECT COUNT(*) AS n FROM ${schema}.sbtest1`);
      await bench('oltp_read_write', 'cleanup');
      return { said, rows };
    });
    const [direct, through] = runs;
    expect(through?.result).toEqual(direct?.result);
    expect(through?.result.said).toEqual(
      expect.arrayContaining(['oltp_read_write run 0', 'total number of events: 2000']),
    );
    expect(await heldRows(server, through?.schema ?? '')).toEqual({ sbtest1: 1000 });
    await dropSchemas(runs);
  }
});

/** With a view, which a dump announces by a DROP TABLE. */
function dumpedObjects(): readonly string[] {
  return [
    `CREATE TABLE items (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100), price DECIMAL(9,2),
       made DATETIME, photo BLOB, KEY by_name (name)) ENGINE = InnoDB`,
    `INSERT INTO items VALUES (1, '${UNICODE}', 1.50, '2026-02-28 23:59:59', X'00FF0A27'),
       (2, 'DROP TABLE items; -- \\'', NULL, NULL, NULL)`,
    "CREATE TABLE words (word VARCHAR(20) PRIMARY KEY) COMMENT 'DROP TABLE words'",
    "INSERT INTO words VALUES ('one'), ('two')",
    'CREATE VIEW cheap AS SELECT id, name FROM items WHERE price < 2',
    'CREATE PROCEDURE count_items() SELECT COUNT(*) FROM items',
  ];
}

/** A dump without what is said about the run: host, time, schema. */
function maskedDump(text: string, schema: string): readonly string[] {
  return text
    .replaceAll(schema, '<schema>')
    .split('\n')
    .filter((line) => !/^-- (Host:|Dump completed)/.test(line));
}

/** Ended by a number of events, not by a time: then everything that is counted is the same. */
function sysbenchOptions(target: Target, schema: string): readonly string[] {
  return [
    `--mysql-host=${target.host}`,
    `--mysql-port=${target.port}`,
    `--mysql-user=${target.user}`,
    `--mysql-password=${target.password}`,
    `--mysql-db=${schema}`,
    ...['--tables=1', '--table-size=1000', '--time=0'],
  ];
}

/** What sysbench counted, without what it measured. */
function countsIn(report: string): readonly string[] {
  const counts = report.matchAll(
    /^\s*(read|write|other|total|total number of events|transactions|ignored errors|reconnects): +(\d+)/gm,
  );
  return [...counts].map(([, name, count]) => `${name}: ${count}`);
}
