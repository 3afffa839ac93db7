/** A helper of tests with a test of its own: what it avoids hangs the whole run at its exit. */
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { breakOff } from '../support/break-off.js';

let server: net.Server | null = null;

afterEach(() => {
  server?.close();
});

test('a socket whose end is on its way is closed by breaking off', async () => {
  server = net.createServer((socket) => socket.end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const socket = net.connect({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  socket.end();
  const closed = new Promise((resolve, reject) => {
    socket.on('close', resolve);
    socket.on('error', reject);
  });
  breakOff(socket);
  await closed;
  expect(socket.destroyed).toBe(true);
});
