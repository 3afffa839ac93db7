/**
 * The matrix of clients: each of them runs a script of its own on each server, directly and through
 * the proxy, and sees the same. What it dropped through the proxy is held, with its rows. Cells
 * where a client can't log in are a closed list, with the words of the client. The same of
 * sysbench, with and without TLS; of dumps and their reload: tools-debian.test.ts. And
 * interrupting, by Ctrl-C at a terminal, and by KILL QUERY and KILL from a second session: both
 * work through the proxy as the thread id of the greeting is the server's.
 */
import { randomBytes } from 'node:crypto';
import { copyFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tryCommand } from '../../throwaway-servers/run-command.js';
import { makeCertificates } from '../support/certificates.js';
import { type CliName, runCli } from '../support/client-cli.js';
import { heldRows } from '../support/client-held.js';
import { runMariadb, runMysql2 } from '../support/client-node.js';
import type { ScriptJob, Transcript } from '../support/client-script.js';
import {
  DROPPED_ROWS,
  INFILE_TEXT,
  masked,
  preparationOf,
  THE_END,
} from '../support/client-script.js';
import { openTerminal } from '../support/client-terminal.js';
import { sysbenchCommand } from '../support/clients.js';
import { ensureClientScripts, runClientScript } from '../support/debian-tools.js';
import { temporaryFolder } from '../support/folders.js';
import { onServer, onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { ensureInstalled } from '../support/server-set.js';
import type { Target, TestServer } from '../support/servers.js';
import {
  connect,
  freshSchema,
  hasProcess,
  newSchemaName,
  query,
  testServers,
} from '../support/servers.js';
import { openTcpRelay } from '../support/tcp-relay.js';

type Client = { readonly client: string; readonly run: (job: ScriptJob) => Promise<Transcript> };

const CLIENTS: readonly Client[] = [
  { client: 'mysql 9.7', run: (job) => runCli('mysql-9.7', job) },
  { client: 'mariadb 10.11', run: (job) => runCli('mariadb-10.11', job) },
  { client: 'mariadb 11.8', run: (job) => runCli('mariadb-11.8', job) },
  { client: 'mysql2', run: runMysql2 },
  { client: 'mariadb of npm', run: runMariadb },
  { client: 'PyMySQL', run: (job) => runClientScript('PyMySQL', job) },
  { client: 'mysqli of PHP', run: (job) => runClientScript('mysqli', job) },
  { client: 'PDO of PHP', run: (job) => runClientScript('pdo', job) },
  // It has that directly, and goes without through the proxy.
  {
    client: 'mysql 9.7 that asks for compression',
    run: (job) => runCli('mysql-9.7', job, ['--compression-algorithms=zstd,zlib,uncompressed']),
  },
  {
    client: 'mariadb 11.8 that asks for compression',
    run: (job) => runCli('mariadb-11.8', job, ['--compress']),
  },
];

/** MySQL 9 has left behind what these servers ask for. */
const NO_NATIVE_PASSWORD =
  "ERROR 2059 (HY000): Authentication plugin 'mysql_native_password' cannot be loaded";

/** The cells that fail, and how; every other one succeeds. */
function failureOf(server: TestServer, { client }: Client): string | null {
  const isAlien = client.startsWith('mysql 9.7') && server.name !== 'mysql-9.7';
  return isAlien ? NO_NATIVE_PASSWORD : null;
}

type Cell = { readonly job: ScriptJob; readonly transcript: Transcript };

const SERVERS = testServers();

/** Each client, each server, and both ways in every run. */
const CELLS = sample(
  SERVERS.flatMap(({ name: on }) =>
    CLIENTS.flatMap((client) => [
      { ...client, on, tls: false, way: 'sees the same directly and through the proxy' },
      { ...client, on, tls: true, way: 'sees the same by TLS' },
    ]),
  ),
  { name: 'cells', kind: ({ client, on, tls }) => [client, `${on} ${tls}`] },
);

describe.each(SERVERS)('[48] [64] $name (wire 48, 64)', (server) => {
  const user = `matrix_${randomBytes(4).toString('hex')}`;
  const password = 'pa$$ word;';
  const on = onServer(server);
  let infile = '';
  on.account(user, { password, grants: ['ALL ON `matrix\\_%`.*'] });
  const folder = on.open(() => temporaryFolder('matrix'));
  const proxy = on.open(async () => {
    // Made by MySQL for itself; it does for a proxy.
    const { template } = await ensureInstalled('mysql-9.7');
    const [cert, key] = ['server-cert.pem', 'server-key.pem'].map((file) =>
      join(template, 'data', file),
    );
    return proxyInFront(server, { TLS_CERT: cert ?? '', TLS_KEY: key ?? '' });
  });
  on.beforeAll(async () => {
    await ensureClientScripts();
    infile = join(folder.path, 'rows.csv');
    await writeFile(infile, INFILE_TEXT);
  });

  async function runOn(target: Target, client: Client, tls: boolean): Promise<Cell> {
    const schema = `matrix_${randomBytes(6).toString('hex')}`;
    await query(
      server,
      `CREATE DATABASE ${schema} CHARACTER SET utf8mb4`,
      `USE ${schema}`,
      ...preparationOf(schema),
    );
    const { host, port } = target;
    const job = { target: { host, port, user, password }, schema, infile, tls };
    return { job, transcript: await client.run(job) };
  }

  const cells = CELLS.filter(({ on }) => on === server.name);
  if (cells.length > 0) test.each(cells)('$client $way', (cell) => compare(cell, cell));

  async function compare(client: Client, { tls }: { readonly tls: boolean }): Promise<void> {
    const asked = new Set<boolean>();
    // A client may go on without TLS, and say nothing about it.
    await using relay = await openTcpRelay(proxy, (socket) =>
      socket.once('data', (first: Buffer) => asked.add(asksForTls(first))),
    );
    const runs = [runOn(server, client, false), runOn(relay, client, tls)] as const;
    const [direct, through] = await Promise.all(runs);
    expect([...asked]).toEqual([tls]);
    const [wanted, seen] = [direct, through].map(({ job, transcript }) => ({
      code: transcript.code,
      lines: masked(transcript.text, job).split('\n'),
    }));
    expect(seen).toEqual(wanted);
    const failure = failureOf(server, client);
    if (failure === null) expect(through.transcript.text).toContain(THE_END);
    else expect(through.transcript.text).toContain(failure);
    const dropped = failure === null ? DROPPED_ROWS : {};
    expect(await heldRows(server, through.job.schema)).toEqual(dropped);
    await query(
      server,
      ...[direct, through].map(({ job }) => `DROP DATABASE IF EXISTS ${job.schema}`),
    );
  }
});

/** Whether a client's first packet is an SSLRequest: 32 bytes, with that capability. */
function asksForTls(first: Buffer): boolean {
  return first.length >= 36 && first.readUIntLE(0, 3) === 32 && ((first[5] ?? 0) & 0x08) !== 0;
}

const MODES = ['disable', 'auto'] as const;
/** Each server with and without TLS of the client, and with either way to prepare statements. */
const BENCH_CELLS = sample(
  SERVERS.flatMap((server) =>
    [false, true].flatMap((tls) => MODES.map((psMode) => ({ server, tls, psMode }))),
  ),
  { name: 'sysbench', kind: ({ server, tls, psMode }) => [`${server.name} ${tls}`, psMode] },
);

describe.each(BENCH_CELLS)('[64] $server.name, TLS: $tls (wire 64)', ({ server, tls, psMode }) => {
  const account = { user: newSchemaName('u'), password: 'pa$$ word;' };
  const on = onServer(server);
  on.account(account.user, { password: account.password, grants: ['ALL ON *.*'] });
  const schemas = [on.schema('bench').name, on.schema('bench').name];
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

  test(`sysbench with --db-ps-mode=${psMode}`, async () => {
    const ways = [server, proxy].map(({ host, port }, index) =>
      bench({ host, port, ...account }, schemas[index] ?? '', tls && index === 1 ? 'on' : 'off'),
    );
    const [direct, through] = await Promise.all(ways);
    expect(through).toEqual(direct);
    expect(through?.said).toEqual(
      expect.arrayContaining(['oltp_read_write run 0', 'total number of events: 2000']),
    );
    expect(await heldRows(server, schemas[1] ?? '')).toEqual({ sbtest1: 1000 });
  });

  /** sysbench wants a certificate to be of its authority; here only the proxy's is. */
  async function bench(target: Target, schema: string, ssl: 'on' | 'off') {
    const said: string[] = [];
    const { argv, env } = await sysbenchCommand();
    const common = [`--mysql-ssl=${ssl}`, `--db-ps-mode=${psMode}`];
    const run = async (script: string, command: string, ...options: readonly string[]) => {
      const args = [...sysbenchOptions(target, schema), ...common, ...options, command];
      const { code, stdout, stderr } = await tryCommand([...argv, script, ...args], {
        env,
        cwd: certificates.folder,
      });
      said.push(`${script} ${command} ${code}`, ...countsIn(stdout), stderr);
    };
    await run('oltp_read_write', 'prepare');
    await run('oltp_read_write', 'run', '--events=40');
    await run('oltp_point_select', 'run', '--events=2000', '--threads=8');
    const rows = await query(server, `SELECT COUNT(*) AS n FROM ${schema}.sbtest1`);
    await run('oltp_read_write', 'cleanup');
    return { said, rows };
  }
});

/** Ended by a number of events, not by a time: then everything that is counted is the same. */
function sysbenchOptions(target: Target, schema: string): readonly string[] {
  return [
    ...[`--mysql-host=${target.host}`, `--mysql-port=${target.port}`],
    ...[`--mysql-user=${target.user}`, `--mysql-password=${target.password}`],
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

const CLIS = ['mysql-9.7', 'mariadb-10.11', 'mariadb-11.8'] as const;

onServers('[57] $name (wire 57)', (server, on) => {
  const { test } = on;
  const user = `kill_${randomBytes(4).toString('hex')}`;
  const account = { user, password: 'pa$$ word;' };

  on.account(user, { password: account.password, grants: ['ALL ON *.*'] });
  const proxy = on.proxy();

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
    expect(through).toContain('^C');
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
