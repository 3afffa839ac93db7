/** Where clients connect: TCP and unix sockets, what a killed process left, what is taken. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tryToListen } from '../../src/session/listen-addresses.js';
import { freePort } from '../../throwaway-servers/launch.js';
import { folderOfEachTest } from '../support/folders.js';
import { type Bench, GREETING, openBench } from '../support/session-bench.js';

const folder = folderOfEachTest('listen');
let socketPath = '';
beforeEach(() => {
  socketPath = folder('undrop.sock');
});

async function isServed(opened: Bench, index: number): Promise<void> {
  const client = await opened.client(opened.addresses[index]);
  const server = await opened.accepted();
  server.send(GREETING);
  expect(await client.take(GREETING.length)).toHaveLength(GREETING.length);
}

/** A socket file whose listener was killed. */
function leaveStale(path: string): void {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  expect(statSync(path).isSocket()).toBe(true);
}

/** A process that listens there and takes nobody, with as many waiting as may. */
async function leaveFull(path: string): Promise<{ end(): void }> {
  const listen = `listen({ path: ${JSON.stringify(path)}, backlog: 1 }`;
  const script = `require('net').createServer().${listen}, () => process.kill(process.pid, 'SIGSTOP'))`;
  const child = spawn(process.execPath, ['-e', script]);
  const waiting: net.Socket[] = [];
  const end = () => {
    for (const socket of waiting) socket.destroy();
    child.kill('SIGKILL');
  };
  for (;;) {
    const outcome = await new Promise<string>((resolve) => {
      const socket = net.connect({ path });
      waiting.push(socket);
      socket.once('connect', () => resolve('waits'));
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    });
    if (outcome === 'EAGAIN') return { end };
    // It is not there yet, or takes one more.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('a listener', () => {
  test('takes clients on every address, TCP and unix (wire 59)', async () => {
    const listen = [{ host: '127.0.0.1', port: 0 }, { socketPath }];
    await using bench = await openBench({ listen });
    await isServed(bench, 0);
    await isServed(bench, 1);
    expect(bench.addresses).toEqual([{ ...listen[0], port: expect.any(Number) }, { socketPath }]);
    expect(bench.listener.openSessions).toBe(2);
  });

  test('gives its unix socket the mode 0660 (wire 59)', async () => {
    await using _bench = await openBench({ listen: [{ socketPath }] });
    expect(statSync(socketPath).mode & 0o777).toBe(0o660);
  });

  test('replaces the socket file of a killed process (wire 59)', async () => {
    leaveStale(socketPath);
    await using bench = await openBench({ listen: [{ socketPath }] });
    await isServed(bench, 0);
  });

  test('removes its socket file when it is closed', async () => {
    const opened = await openBench({ listen: [{ socketPath }] });
    await opened.close();
    expect(existsSync(socketPath)).toBe(false);
  });
});

describe('a start fails', () => {
  test('where somebody listens on the socket, who goes on', async () => {
    await using bench = await openBench({ listen: [{ socketPath }] });
    await expect(openBench({ listen: [{ socketPath }] })).rejects.toThrow(
      /^Could not listen on .*undrop\.sock: .*EADDRINUSE.* Choose a free address/,
    );
    // That one has knocked to find out.
    await bench.accepted();
    await isServed(bench, 0);
  });

  test('where a socket is in the way of which is not known whether it is stale', async () => {
    const busy = await leaveFull(socketPath);
    try {
      await expect(openBench({ listen: [{ socketPath }] })).rejects.toThrow(
        /^Could not listen on .*undrop\.sock: .*EADDRINUSE/,
      );
      expect(statSync(socketPath).isSocket()).toBe(true);
    } finally {
      busy.end();
    }
  });

  test('where a file that is no socket is in the way, which stays', async () => {
    writeFileSync(socketPath, 'precious');
    await expect(openBench({ listen: [{ socketPath }] })).rejects.toThrow(/EADDRINUSE/);
    expect(statSync(socketPath).isFile()).toBe(true);
  });

  test('where one of two addresses is taken, and the other is free again', async () => {
    await using taken = await listenOn({ port: 0, host: '127.0.0.1' });
    const { port } = taken.address() as net.AddressInfo;
    const listen = [{ socketPath }, { host: '127.0.0.1', port }];
    await expect(openBench({ listen })).rejects.toThrow(`127.0.0.1:${port}`);
    expect(existsSync(socketPath)).toBe(false);
  });
});

async function listenOn(options: net.ListenOptions): Promise<net.Server> {
  const server = net.createServer().listen(options);
  await once(server, 'listening');
  return server;
}

describe('addresses that are tried without keeping any', () => {
  test('a free port is free afterwards', async () => {
    const address = { host: '127.0.0.1', port: await freePort() };
    expect(await tryToListen([address])).toEqual([null]);
    await using _own = await listenOn(address);
    expect(await tryToListen([address])).toEqual(['in use']);
  });

  test('two addresses that exclude each other are found', async () => {
    const port = await freePort();
    const both = ['0.0.0.0', '127.0.0.1'].map((host) => ({ host, port }));
    const included = new Error('another address of these settings includes it');
    expect(await tryToListen(both)).toEqual([null, included]);
  });

  test('a unix socket needs its folder, and no other file in its place', async () => {
    const [free, taken, file] = ['a', 'b', 'c'].map((name) => folder(name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(file, 'precious');
    await using _own = await listenOn({ path: taken });
    const paths = [free, taken, file, folder('no/d')];
    expect(await tryToListen(paths.map((socketPath) => ({ socketPath })))).toEqual([
      null,
      'in use',
      new Error(`${file} exists and is not a socket`),
      expect.objectContaining({ code: 'ENOENT' }),
    ]);
    expect(existsSync(free)).toBe(false);
  });
});
