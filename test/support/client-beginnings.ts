/**
 * A relay between clients and a proxy that remembers how each client began: whether its first
 * packet asks for TLS. For clients that would go on without, and say nothing about it.
 */
import { once } from 'node:events';
import net from 'node:net';
import type { Target } from './servers.js';

/** Header and payload of an SSLRequest: what a client sends that is going to speak TLS. */
const SSL_REQUEST_BYTES = 36;
const CLIENT_SSL_IN_BYTE_1 = 0x08;

export interface Beginnings extends Target {
  /** One for each client so far that has said something. */
  readonly askedForTls: readonly boolean[];
  close(): Promise<void>;
}

export async function watchBeginnings(target: Target): Promise<Beginnings> {
  const askedForTls: boolean[] = [];
  const sockets = new Set<net.Socket>();
  const listener = net.createServer({ noDelay: true }, (client) => {
    const server = net.connect({ host: target.host, port: target.port, noDelay: true });
    client.once('data', (first: Buffer) => askedForTls.push(asksForTls(first)));
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => sockets.delete(from));
      from.pipe(to);
    }
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as net.AddressInfo;
  const { user, password } = target;
  return {
    ...{ host: '127.0.0.1', port, user, password, askedForTls },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}

function asksForTls(first: Buffer): boolean {
  const isShort = first.length >= 4 && first.readUIntLE(0, 3) === SSL_REQUEST_BYTES - 4;
  return isShort && ((first[5] ?? 0) & CLIENT_SSL_IN_BYTE_1) !== 0;
}
