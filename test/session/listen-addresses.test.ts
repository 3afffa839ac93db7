/** Which addresses a listener could have, tried without keeping any. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { tryToListen } from '../../src/session/listen-addresses.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'undrop-addresses-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function listen(options: net.ListenOptions): Promise<net.Server> {
  const server = net.createServer().listen(options);
  await once(server, 'listening');
  return server;
}

async function freePort(): Promise<number> {
  await using server = await listen({ port: 0, host: '127.0.0.1' });
  return (server.address() as net.AddressInfo).port;
}

test('a free port is free afterwards', async () => {
  const address = { host: '127.0.0.1', port: await freePort() };
  expect(await tryToListen([address])).toEqual([null]);
  await using _own = await listen(address);
  expect(await tryToListen([address])).toEqual(['in use']);
});

test('two addresses that exclude each other are found', async () => {
  const port = await freePort();
  const both = ['0.0.0.0', '127.0.0.1'].map((host) => ({ host, port }));
  expect(await tryToListen(both)).toEqual([
    null,
    new Error('another address of these settings includes it'),
  ]);
});

test('a unix socket needs its folder, and no other file in its place', async () => {
  const [free, taken, file] = ['a', 'b', 'c'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(file, 'precious');
  await using _own = await listen({ path: taken });
  const paths = [free, taken, file, join(folder, 'no/d')];
  expect(await tryToListen(paths.map((socketPath) => ({ socketPath })))).toEqual([
    null,
    'in use',
    new Error(`${file} exists and is not a socket`),
    expect.objectContaining({ code: 'ENOENT' }),
  ]);
  expect(existsSync(free)).toBe(false);
});
