/**
 * A slow way to a server: what a client sends is passed on in order, but bytes for which `holdBack`
 * gives a promise wait for it, and all that comes after them on that connection too.
 */
import { once } from 'node:events';
import net from 'node:net';
import type { Target } from '../support/servers.js';

export type HeldBackRelay = Target & AsyncDisposable;

/** `holdBack` sees each chunk as it comes from a client; null: at once. */
export async function heldBackRelay(
  server: Target,
  holdBack: (chunk: Buffer) => Promise<void> | null,
): Promise<HeldBackRelay> {
  const sockets = new Set<net.Socket>();
  const listener = net.createServer((near) => {
    const far = net.connect(server.port, server.host);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    far.pipe(near);
    let before: Promise<unknown> = Promise.resolve();
    near.on('data', (chunk: Buffer) => {
      const wait = holdBack(chunk);
      before = before.then(() => wait).then(() => far.write(chunk));
      before.catch(() => near.destroy());
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as net.AddressInfo;
  const { user, password } = server;
  return {
    host: '127.0.0.1',
    port,
    user,
    password,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}
