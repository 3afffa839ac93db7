/**
 * The matrix of clients: each of them runs a script of its own on each server, directly and through
 * the proxy, and sees the same. What it dropped through the proxy is held, with its rows. Cells
 * where a client can't log in are a closed list, with the words of the client.
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCli } from '../support/client-cli.js';
import { heldRows } from '../support/client-held.js';
import { runMariadb, runMysql2 } from '../support/client-node.js';
import {
  DROPPED_ROWS,
  INFILE_TEXT,
  masked,
  preparationOf,
  type ScriptJob,
  THE_END,
  type Transcript,
} from '../support/client-script.js';
import { ensureClientScripts, runClientScript } from '../support/debian-tools.js';
import { temporaryFolder } from '../support/folders.js';
import { onServer } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { ensureInstalled } from '../support/server-set.js';
import { query, type Target, type TestServer, testServers } from '../support/servers.js';
import { openTcpRelay } from '../support/tcp-relay.js';

interface Client {
  readonly client: string;
  readonly run: (job: ScriptJob) => Promise<Transcript>;
}

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

interface Cell {
  readonly job: ScriptJob;
  readonly transcript: Transcript;
}

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
    const [cert, key] = ['server-cert.pem', 'server-key.pem'].map((file) => {
      return join(template, 'data', file);
    });
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
    const [direct, through] = await Promise.all([
      runOn(server, client, false),
      runOn(relay, client, tls),
    ]);
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
