/** Both ways to read and write a socket, over loopback: the same bytes, the same ends. */
import { once } from 'node:events';
import net from 'node:net';
import { jest } from '@jest/globals';
import { InvariantError } from '../../src/errors.js';
import { type ByteStream, Pump, SocketStream } from '../../src/relay/byte-stream.js';
import { chooseRelay, openByteStream, RawStream } from '../../src/relay/raw-handle.js';
import { breakOff } from '../support/break-off.js';
import { portOf } from '../support/poll.js';

const open = new Set<net.Socket | net.Server>();

afterEach(() => {
  for (const one of open) {
    if (one instanceof net.Server) one.close();
    else one.destroy();
  }
  open.clear();
});

/** Two ends of a connection; the first is read by nobody yet. */
async function pair(): Promise<readonly [net.Socket, net.Socket]> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
  open.add(server);
  const port = await portOf(server);
  const there = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [here] = (await once(server, 'connection')) as [net.Socket];
  open.add(here).add(there);
  there.on('error', () => undefined);
  here.on('error', () => undefined);
  return [here, there];
}

test('raw handles work on this Node', async () => {
  expect(await chooseRelay()).toBe('raw');
});

test('raw handles are not used where a write that waits is taken for done', async () => {
  type Binding = (name: string) => Record<string, number>;
  const real = (process as unknown as { binding: Binding }).binding;
  const spy: Binding = (name) => {
    const found = real.call(process, name);
    // The place of another number, which stays 0.
    return { ...found, kLastWriteWasAsync: found['kArrayBufferOffset'] ?? -1 };
  };
  Object.assign(process, { binding: spy });
  try {
    expect(await chooseRelay()).toBe('stream');
    const [here] = await pair();
    expect(openByteStream(here)).toBeInstanceOf(SocketStream);
  } finally {
    Object.assign(process, { binding: real });
  }
});

test('raw handles are used where a connection broke while they were tried', async () => {
  const connect = jest.spyOn(net, 'connect').mockImplementationOnce(() => {
    throw new Error('connect EADDRNOTAVAIL');
  });
  try {
    expect(await chooseRelay()).toBe('raw');
    expect(connect).toHaveBeenCalledTimes(2);
  } finally {
    connect.mockRestore();
  }
});

test('what a stream keeps behind a write under way is its own', async () => {
  const [here, there] = await pair();
  const stream = new SocketStream(here);
  const chunk = Buffer.from('second');
  // As TLS does: what is written is on its way for a moment.
  here.cork();
  stream.write(Buffer.from('first '));
  stream.write(chunk);
  // The reader of the other side reads on into the same memory.
  chunk.fill('x');
  here.uncork();
  here.end();
  const chunks: Buffer[] = [];
  there.on('data', (piece: Buffer) => chunks.push(piece));
  await once(there, 'end');
  expect(Buffer.concat(chunks).toString()).toBe('first second');
});

describe.each(['raw handle', 'stream'])('by %s', (way) => {
  test.each(['a chunk', 'room'])('who throws at %s loses that socket alone', async (what) => {
    const [here, there] = await pair();
    const stream = way === 'stream' ? new SocketStream(here) : openByteStream(here);
    const failed = once(here, 'error');
    const fail = () => {
      throw new Error('the fault of this test');
    };
    stream.onDrain = fail;
    stream.start(what === 'a chunk' ? fail : () => undefined);
    if (what === 'a chunk') there.write('x');
    else {
      while (stream.write(Buffer.alloc(2 ** 20)));
      there.resume();
    }
    const [error] = (await failed) as [Error];
    expect(error).toBeInstanceOf(InvariantError);
    expect(error.cause).toMatchObject({ message: 'the fault of this test' });
  });

  beforeAll(() => chooseRelay());

  function streamOf(socket: net.Socket): ByteStream {
    if (way === 'stream') return new SocketStream(socket);
    const stream = openByteStream(socket);
    expect(stream).toBeInstanceOf(RawStream);
    return stream;
  }

  /** A relay between two connections; `mangle` sees each chunk after it went on. */
  async function relay(): Promise<readonly [net.Socket, net.Socket]> {
    const [left, client] = await pair();
    const [right, server] = await pair();
    const [a, b] = [streamOf(left), streamOf(right)];
    const [there, back] = [new Pump(a, b), new Pump(b, a)];
    a.start((chunk) => there.write(chunk));
    b.start((chunk) => back.write(chunk));
    left.on('end', () => right.end());
    right.on('end', () => left.end());
    return [client, server];
  }

  async function readAll(socket: net.Socket): Promise<Buffer> {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'end');
    return Buffer.concat(chunks);
  }

  test('small messages go to and fro', async () => {
    const [client, server] = await relay();
    for (let round = 0; round < 200; round++) {
      client.write(`ask ${round}`);
      expect(String((await once(server, 'data'))[0])).toBe(`ask ${round}`);
      server.write(`tell ${round}`);
      expect(String((await once(client, 'data'))[0])).toBe(`tell ${round}`);
    }
  });

  test('megabytes arrive unchanged where the reader is slow', async () => {
    const [client, server] = await relay();
    const sent = Buffer.alloc(24 * 1024 * 1024);
    for (let at = 0; at < sent.length; at += 4) sent.writeUInt32LE(at, at);
    server.write(sent);
    server.end();
    const received: Buffer[] = [];
    let count = 0;
    while (count < sent.length) {
      // Little by little, so that the relay's own buffers fill and drain many times.
      const chunk = client.read(Math.min(30_000, client.readableLength)) as Buffer | null;
      if (chunk === null || chunk.length === 0) {
        await once(client, 'readable');
        continue;
      }
      received.push(chunk);
      count += chunk.length;
      if (received.length % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(Buffer.concat(received).equals(sent)).toBe(true);
  });

  test('both directions at once, from small to large and back to small', async () => {
    const [client, server] = await relay();
    const make = (seed: number) =>
      Array.from({ length: 400 }, (_, index) =>
        Buffer.alloc(index % 40 === 0 ? 200_000 : (index * seed) % 90, (index * seed) & 0xff),
      );
    const [up, down] = [make(3), make(7)];
    const atServer = readAll(server);
    const atClient = readAll(client);
    for (const [index, chunk] of up.entries()) {
      client.write(chunk);
      server.write(down[index] ?? Buffer.alloc(0));
      if (index % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    client.end();
    server.end();
    expect((await atServer).equals(Buffer.concat(up))).toBe(true);
    expect((await atClient).equals(Buffer.concat(down))).toBe(true);
  });

  test('large and small by turns, more often than a stream changes its buffer', async () => {
    const [client, server] = await relay();
    let received = 0;
    client.on('data', (chunk: Buffer) => {
      expect(chunk.every((byte) => byte === 7)).toBe(true);
      received += chunk.length;
      if (received === 20_000) server.write(Buffer.alloc(1, 7));
    });
    for (let round = 0; round < 700; round++) {
      received = 0;
      server.write(Buffer.alloc(20_000, 7));
      while (received < 20_001) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(received).toBe(20_001);
  });

  test('more streams that read a lot at once than there are big buffers', async () => {
    const relays = await Promise.all(Array.from({ length: 50 }, () => relay()));
    const all = relays.map(([client]) => readAll(client));
    const sentBy = (index: number) => Buffer.alloc(500_000, index);
    for (const [index, [, server]] of relays.entries()) server.end(sentBy(index));
    for (const [index, bytes] of all.entries()) {
      expect((await bytes).equals(sentBy(index))).toBe(true);
    }
  });

  test('the end of one side comes behind its last byte', async () => {
    const [client, server] = await relay();
    const atServer = readAll(server);
    client.end('last words');
    expect((await atServer).toString()).toBe('last words');
    server.end('answer');
    expect((await readAll(client)).toString()).toBe('answer');
  });

  test('a side that breaks off is told of by its socket', async () => {
    const [here, there] = await pair();
    streamOf(here).start(() => undefined);
    const closed = new Promise((resolve) => here.once('close', resolve));
    breakOff(there);
    await closed;
    expect(here.destroyed).toBe(true);
  });

  test('while it is paused nothing is read, and afterwards everything', async () => {
    const [here, there] = await pair();
    const stream = streamOf(here);
    const chunks: string[] = [];
    stream.start((chunk) => chunks.push(chunk.toString()));
    there.write('first');
    while (chunks.length === 0) await new Promise((resolve) => setImmediate(resolve));
    stream.pause();
    there.end('second');
    await once(there, 'finish');
    await new Promise((resolve) => setImmediate(resolve));
    expect(chunks).toEqual(['first']);
    const ended = once(here, 'end');
    stream.resume();
    if (way === 'stream') here.resume();
    await ended;
    expect(chunks.join('')).toBe('firstsecond');
  });

  test('writing to a socket that is gone is nothing', async () => {
    const [here] = await pair();
    const stream = streamOf(here);
    here.destroy();
    expect(stream.write(Buffer.from('late'))).toBe(true);
    stream.pause();
    stream.resume();
  });
});
