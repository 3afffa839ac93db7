/** The admin listener by itself: what it answers, and what it doesn't put up with. */

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { silentLog } from '../../../src/log.js';
import { type AdminRoutes, openAdminListener } from '../../../src/runtime/admin/http.js';
import { portOf, until } from '../../support/poll.js';

let close: () => Promise<void>;
let problems: readonly string[] = [];
let fails = false;
let large = '';

const doors: AdminRoutes = {
  problems: async ({ drops }) => (drops ? [...problems, 'drops are refused'] : problems),
  metrics: async () => {
    if (fails) throw new Error('a defect');
    return { contentType: 'text/plain; version=0.0.4', text: `a 1\n${large}` };
  },
};

let port = 0;

/** On a free port of this machine. */
async function listen(server: http.Server): Promise<void> {
  port = await portOf(server);
}

async function ask(path: string, method = 'GET') {
  const request = http.request({ host: '127.0.0.1', port, path, method });
  request.end();
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, text, type: response.headers['content-type'] };
}

beforeEach(async () => {
  [problems, fails, large] = [[], false, ''];
  close = await openAdminListener(listen, { doors, accept: null, log: silentLog });
});
afterEach(() => close());

describe('answers', () => {
  test('that the process is alive, and its metrics', async () => {
    expect(await ask('/healthz')).toMatchObject({ status: 200, text: 'ok\n' });
    const type = 'text/plain; version=0.0.4';
    expect(await ask('/metrics')).toEqual({ status: 200, text: 'a 1\n', type });
  });

  test('whether clients can come, and why not', async () => {
    expect(await ask('/readyz')).toMatchObject({ status: 200, text: 'ready\n' });
    problems = ['no server answers', 'it is about to end'];
    const text = 'no server answers\nit is about to end\n';
    expect(await ask('/readyz?full=1')).toMatchObject({ status: 503, text });
  });

  test('whether drops are held, where that is asked', async () => {
    const refused = { status: 503, text: 'drops are refused\n' };
    for (const query of ['drops', 'drops=', 'full=1&drops=1']) {
      expect(await ask(`/readyz?${query}`)).toMatchObject(refused);
    }
    expect(await ask('/readyz?drop&x=drops')).toMatchObject({ status: 200 });
  });

  test('HEAD without a body, and nothing but reads', async () => {
    expect(await ask('/metrics', 'HEAD')).toMatchObject({ status: 200, text: '' });
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      expect(await ask('/metrics', method)).toMatchObject({ status: 405 });
    }
    expect(await ask('/')).toMatchObject({ status: 404 });
    expect(await ask('/metrics/../etc')).toMatchObject({ status: 404 });
  });

  test('a defect with 500, and goes on', async () => {
    fails = true;
    expect(await ask('/metrics')).toMatchObject({ status: 500 });
    fails = false;
    expect(await ask('/metrics')).toMatchObject({ status: 200 });
  });
});

test('what is no HTTP, or too much of it, is refused, and the next is served', async () => {
  const texts = ['\x16\x03\x01\x00garbage\r\n\r\n', `GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}`];
  for (const text of texts) {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(text);
    let answer = '';
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString();
    });
    await once(socket, 'close');
    expect(answer).toMatch(/^HTTP\/1.1 4\d\d /);
  }
  expect(await ask('/healthz')).toMatchObject({ status: 200 });
});

test('who asks and never reads is put out, and the next is served', async () => {
  large = 'x'.repeat(1_000_000);
  const sockets = Array.from({ length: 64 }, () => {
    const socket = net.connect(port, '127.0.0.1').pause();
    socket.on('error', () => undefined);
    return socket.setNoDelay().on('connect', () => {
      socket.write('GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(10));
    });
  });
  try {
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const isServed = () =>
      ask('/healthz').then(
        () => true,
        () => false,
      );
    await until(isServed, 'one is served');
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});
