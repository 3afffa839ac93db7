/**
 * The matrix of clients: each of them runs a script of its own on each server, directly and through
 * the proxy, and sees the same. What it dropped through the proxy is held, with its rows. Cells
 * where a client can't log in are a closed list, with the words of the client.
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { watchBeginnings } from '../support/client-beginnings.js';
import { runCli } from '../support/client-cli.js';
import { heldRows } from '../support/client-held.js';
import { runDatabases, runMariadb, runMysql2 } from '../support/client-node.js';
import { ensurePrograms, runPhp, runPymysql } from '../support/client-programs.js';
import {
  DROPPED_ROWS,
  INFILE_TEXT,
  masked,
  preparationOf,
  type ScriptJob,
  THE_END,
  type Transcript,
} from '../support/client-script.js';
import { temporaryFolder } from '../support/folders.js';
import { onServer } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { ensureInstalled } from '../support/server-set.js';
import { query, type Target, type TestServer, testServers } from '../support/servers.js';

interface Client {
  readonly client: string;
  readonly hasTls: boolean;
  readonly run: (job: ScriptJob) => Promise<Transcript>;
}

const CLIENTS: readonly Client[] = [
  { client: 'mysql 9.7', hasTls: true, run: (job) => runCli('mysql-9.7', job) },
  { client: 'mariadb 10.11', hasTls: true, run: (job) => runCli('mariadb-10.11', job) },
  { client: 'mariadb 11.8', hasTls: true, run: (job) => runCli('mariadb-11.8', job) },
  { client: 'mysql2', hasTls: true, run: runMysql2 },
  { client: 'mariadb of npm', hasTls: true, run: runMariadb },
  { client: '@databases/mysql', hasTls: false, run: runDatabases },
  { client: 'PyMySQL', hasTls: true, run: runPymysql },
  { client: 'mysqli of PHP', hasTls: true, run: (job) => runPhp('mysqli', job) },
  { client: 'PDO of PHP', hasTls: true, run: (job) => runPhp('pdo', job) },
];

/** MySQL 9 has left behind what these servers ask for. */
const NO_NATIVE_PASSWORD =
  "ERROR 2059 (HY000): Authentication plugin 'mysql_native_password' cannot be loaded";

/** The cells that fail, and how; every other one succeeds. */
function failureOf(server: TestServer, { client }: Client): string | null {
  return client === 'mysql 9.7' && server.name !== 'mysql-9.7' ? NO_NATIVE_PASSWORD : null;
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
      ...(client.hasTls ? [{ ...client, on, tls: true, way: 'sees the same by TLS' }] : []),
    ]),
  ),
  { name: 'cells', kind: ({ client, on, tls }) => [client, `${on} ${tls}`] },
);

describe.each(SERVERS)('[64] $name (wire 64)', (server) => {
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
    await ensurePrograms();
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
    const beginnings = await watchBeginnings(proxy);
    const [direct, through] = await Promise.all([
      runOn(server, client, false),
      runOn(beginnings, client, tls),
    ]);
    expect([...new Set(beginnings.askedForTls)]).toEqual([tls]);
    await beginnings.close();
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
