/** Dialling: names with several addresses, upstreams in their order, and all that can be slow. */
import { once } from 'node:events';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { leadsTo } from '../../../src/connections/server-address.js';
import type { Dialled, DialOptions } from '../../../src/session/dial/dial.js';
import { assertNotOwn, dialUpstream } from '../../../src/session/dial/dial.js';
import { breakOff } from '../../support/break-off.js';
import { exchange } from '../../support/conversation.js';
import { portOf } from '../../support/poll.js';
import { GREETING } from '../../support/session-bench.js';

const QUICK: DialOptions = { connectTimeoutMs: 5_000, greetingTimeoutMs: 5_000 };

const servers: net.Server[] = [];
const sockets = new Set<net.Socket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(servers.splice(0).map((server) => once(server.close(), 'close')));
  sockets.clear();
});

/** Listens on `host`; `greet` is done with each connection. Its port. */
async function serve(host: string, port: number, greet: (socket: net.Socket) => void) {
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    greet(socket);
  });
  servers.push(server);
  return portOf(server, host, port);
}

const greets = (socket: net.Socket) => socket.write(GREETING);

async function dialled(...args: Parameters<typeof dialUpstream>): Promise<Dialled> {
  const found = await dialUpstream(...args);
  sockets.add(found.socket);
  return found;
}

describe('a name', () => {
  test('is resolved at every dial, so that a failover behind it is followed', async () => {
    const port = await serve('127.0.0.2', 0, greets);
    await serve('127.0.0.3', port, greets);
    const answers = [['127.0.0.2'], ['127.0.0.3']];
    const resolve = async () => answers.shift() ?? [];
    const upstream = [{ host: 'db.example', port }];
    const first = await dialled(upstream, { ...QUICK, resolve });
    const second = await dialled(upstream, { ...QUICK, resolve });
    expect([first, second].map(({ address }) => address)).toEqual([
      { host: '127.0.0.2', port, name: 'db.example' },
      { host: '127.0.0.3', port, name: 'db.example' },
    ]);
    expect(second.greeting.equals(GREETING)).toBe(true);
  });

  test('has each of its addresses tried, in their order (wire 54)', async () => {
    const port = await serve('127.0.0.4', 0, greets);
    const resolve = async () => ['127.0.0.2', '127.0.0.3', '127.0.0.4'];
    const { address } = await dialled([{ host: 'db.example', port }], { ...QUICK, resolve });
    expect(address).toMatchObject({ host: '127.0.0.4' });
  });

  test('that nobody knows is told of with its cause, and the next upstream is tried (wire 54)', async () => {
    const port = await serve('127.0.0.2', 0, greets);
    const unknown = Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' });
    const options = { ...QUICK, resolve: () => Promise.reject(unknown) };
    const name = { host: 'nobody.example', port };
    await expect(dialled([name], options)).rejects.toThrow(/nobody\.example ENOTFOUND/);
    const { address } = await dialled([name, { host: '127.0.0.2', port }], options);
    expect(address).toEqual({ host: '127.0.0.2', port });
  });

  test('none of whose addresses answers is told of with each of them (wire 54)', async () => {
    const resolve = async () => ['127.0.0.2', '127.0.0.3'];
    // Nothing listens on that port.
    const words = /127\.0\.0\.2:1 ECONNREFUSED; 127\.0\.0\.3:1 ECONNREFUSED/;
    const dialling = dialled([{ host: 'db.example', port: 1 }], { ...QUICK, resolve });
    await expect(dialling).rejects.toThrow(words);
  });

  test('whose resolver is silent is given up in time (wire 54)', async () => {
    const options = { ...QUICK, connectTimeoutMs: 30, resolve: () => new Promise<never>(() => 0) };
    await expect(dialled([{ host: 'slow.example', port: 1 }], options)).rejects.toThrow(
      /slow\.example no answer within 30 ms/,
    );
  });
});

describe('an upstream that is the proxy itself', () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? [])[0]?.address ?? '';
  const at = (host: string, port = 3307) => ({ host, port });

  test('stops the start, by its address and by a name of it', async () => {
    const bound = [{ host: '127.0.0.2', port: 3307 }];
    const options = { ...QUICK, resolve: async () => ['127.0.0.3', '127.0.0.2'] };
    for (const host of ['127.0.0.2', 'self.example']) {
      await expect(assertNotOwn([{ host, port: 3307 }], bound, options)).rejects.toMatchObject({
        code: 'UNDROP_CONFIG',
        message: expect.stringContaining(`UNDROP_UPSTREAM ${host}:3307 is where undrop itself`),
      });
    }
    await assertNotOwn([{ host: '127.0.0.3', port: 3307 }], bound, options);
    const silent = { ...options, resolve: () => Promise.reject(new Error('not yet')) };
    await assertNotOwn([{ host: 'self.example', port: 3307 }], bound, silent);
  });

  test.each([
    ['the same', at('127.0.0.1'), at('127.0.0.1'), true],
    ['loopback, of all addresses', at('127.0.0.5'), at('0.0.0.0'), true],
    ['one of this machine, of all', at(own), at('::'), true],
    ['any, of all', at('::'), at('0.0.0.0'), true],
    ['a socket', { socketPath: './a.sock' }, { socketPath: `${process.cwd()}/a.sock` }, true],
    ['another port', at('127.0.0.1', 3306), at('127.0.0.1'), false],
    ['another loopback address', at('127.0.0.2'), at('127.0.0.1'), false],
    ['another machine', at('192.0.2.7'), at('0.0.0.0'), false],
    ['another socket', { socketPath: '/a.sock' }, { socketPath: '/b.sock' }, false],
    ['a socket beside a port', { socketPath: '/a.sock' }, at('127.0.0.1'), false],
  ])('by its address: %s', (_name, target, bound, isOwn) => {
    expect(leadsTo(target, bound)).toBe(isOwn);
  });
});

describe('the next upstream is tried', () => {
  test.each([
    ['goes before its greeting', (socket: net.Socket) => socket.end(), 5_000],
    ['breaks off before its greeting', (socket: net.Socket) => breakOff(socket), 5_000],
    ['says nothing', () => undefined, 30],
    ['says one byte', (socket: net.Socket) => socket.write(GREETING.subarray(0, 1)), 30],
    ['says all but one byte', (socket: net.Socket) => socket.write(GREETING.subarray(0, -1)), 30],
  ])('where the first %s', async (_what, first, greetingTimeoutMs) => {
    const port = await serve('127.0.0.2', 0, first);
    await serve('127.0.0.3', port, greets);
    const upstreams = ['127.0.0.2', '127.0.0.3'].map((host) => ({ host, port }));
    const { address } = await dialled(upstreams, { ...QUICK, greetingTimeoutMs });
    expect(address).toMatchObject({ host: '127.0.0.3' });
  });

  test('not where the greeting comes in pieces', async () => {
    const port = await serve('127.0.0.2', 0, (socket) => {
      socket.setNoDelay();
      socket.write(GREETING.subarray(0, 2));
      setImmediate(() => socket.write(GREETING.subarray(2)));
    });
    const { greeting } = await dialled([{ host: '127.0.0.2', port }], QUICK);
    expect(greeting.equals(GREETING)).toBe(true);
  });

  test('not where the first has answered, be it with an error (wire 54)', async () => {
    const { answer } = exchange('mysql-9.7/too-many', 'a connection too many');
    const port = await serve('127.0.0.2', 0, (socket) => socket.end(answer));
    await serve('127.0.0.3', port, greets);
    const upstreams = ['127.0.0.2', '127.0.0.3'].map((host) => ({ host, port }));
    const { address, greeting } = await dialled(upstreams, QUICK);
    expect(address).toMatchObject({ host: '127.0.0.2' });
    expect(greeting.equals(answer)).toBe(true);
  });

  test('not for a client that has gone', async () => {
    const port = await serve('127.0.0.2', 0, greets);
    const gone = { isStopped: true };
    await expect(dialled([{ host: '127.0.0.2', port }], QUICK, gone)).rejects.toThrow(
      /the client disconnected/,
    );
  });
});
