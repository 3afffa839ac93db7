/**
 * MySQL Router in front of two proxies, and between a proxy and its server, by the files of
 * deploy/router as they stand with only addresses replaced: drops are held and undone either way.
 */
import { freePort } from '../../throwaway-servers/launch.js';
import { heldRows } from '../support/client-held.js';
import { Crowd } from '../support/crowd.js';
import { startRouter } from '../support/mysql-router.js';
import { onServer } from '../support/on-servers.js';
import { listens, until } from '../support/poll.js';
import { spawnProxy } from '../support/proxy.js';
import { connect, query, type Target, testServer } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { readText } from '../support/source-file.js';

const CLIENTS = 50;
const server = testServer('mysql-9.7');
const on = onServer(server);
const schema = on.schema('routed');
const { testOnEach: test } = on;

async function dropAndUndo(target: Target, table: string): Promise<void> {
  const name = `${schema.name}.${table}`;
  await query(server, `CREATE TABLE ${name} (id INT)`, `INSERT INTO ${name} VALUES (1), (2)`);
  await using session = await connect(target);
  await session.run(`DROP TABLE ${name}`);
  await using root = await connect(server);
  await intentsSettled(root, [schema.name]);
  expect((await heldRows(server, schema.name))[table]).toBe(2);
  await session.run(`UNDROP TABLE ${name}`);
  expect(await session.count(name)).toBe(2);
}

const routed = (port: number): Target => ({ ...server, host: '127.0.0.1', port });

test('in front of two proxies: the second serves while the first is away', async () => {
  const port = await freePort();
  await using first = await spawnProxy(server);
  await using second = await spawnProxy(server);
  const config = readText('deploy/router/in-front.conf')
    .replace('bind_address=0.0.0.0', 'bind_address=127.0.0.1')
    .replace('bind_port=6446', `bind_port=${port}`)
    .replace('10.0.0.5:3307', `${first.host}:${first.port}`)
    .replace('10.0.0.6:3307', `${second.host}:${second.port}`);
  await using _router = await startRouter(config, port);
  await dropAndUndo(routed(port), 'in_front');
  await using crowd = new Crowd(routed(port));
  await crowd.goesOn(CLIENTS);
  first.kill('SIGKILL');
  await until(async () => !(await listens(first.port)), 'nothing listens at its address');
  const since = crowd.come;
  await crowd.goesOn(CLIENTS);
  await dropAndUndo(routed(port), 'by_the_second');
  expect(crowd.refusedSince(since)).toEqual([]);
  const heldBy = ({ lines }: typeof first) => lines.filter(({ event }) => event === 'held').length;
  expect([heldBy(first), heldBy(second)]).toEqual([1, 1]);
});

test('behind a proxy: in TLS undrop reaches the server; without it Router ends a drop', async () => {
  const port = await freePort();
  const config = readText('deploy/router/behind.conf')
    .replace('bind_port=6446', `bind_port=${port}`)
    .replace('db1.example.org:3306', `${server.host}:${server.port}`)
    .replace('db2.example.org:3306', `127.0.0.1:${await freePort()}`);
  await using _router = await startRouter(config, port);
  const behind = { UPSTREAM: `127.0.0.1:${port}` };
  await using proxy = await spawnProxy(server, { ...behind, UPSTREAM_TLS: 'required' });
  await dropAndUndo(proxy, 'behind');
  await using clear = await spawnProxy(server, behind);
  await query(server, `CREATE TABLE ${schema.name}.clear (id INT)`);
  await using session = await connect(clear);
  // Router reads what isn't in TLS, and takes the second of two commands at once for a broken one.
  await expect(session.run(`DROP TABLE ${schema.name}.clear`)).rejects.toThrow();
  expect(await query(server, `SELECT 1 FROM ${schema.name}.clear`)).toEqual([]);
});
