/**
 * A TCP relay in front of a server or a proxy, for a test that looks at what goes through, stops
 * it, or has the address before there is anything behind it.
 */
import { once } from 'node:events';
import net from 'node:net';
import { portOf } from './poll.js';
import type { Target } from './servers.js';

/** Called before anything goes through. */
type OnConnection = (client: net.Socket, upstream: net.Socket) => void;

/** `ownPort`: where it listens; 0 is a free one. */
export async function openTcpRelay(
  { host, port: to, user, password }: Target,
  onConnection: OnConnection = () => undefined,
  ownPort = 0,
) {
  const sockets = new Set<net.Socket>();
  const listener = net.createServer({ noDelay: true }, (client) => {
    const upstream = net.connect({ host, port: to, noDelay: true });
    onConnection(client, upstream);
    for (const [from, into] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => into.destroy());
      from.on('close', () => {
        sockets.delete(from);
        into.end();
      });
      from.pipe(into);
    }
  });
  const address = { host: '127.0.0.1', port: await portOf(listener, '127.0.0.1', ownPort) };
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    await once(listener.close(), 'close');
  };
  return { ...address, user, password, close, [Symbol.asyncDispose]: close };
}
