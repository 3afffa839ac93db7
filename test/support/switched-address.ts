/**
 * An address that a failover moves from one server to another: a TCP relay, as a load balancer or a
 * virtual address is.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Target } from './servers.js';

export interface SwitchedAddress {
  readonly host: string;
  readonly port: number;
  /**
   * New connections go there from now on; null: to nobody. `cut`: the open ones end, else they stay
   * with the server that they are on.
   */
  pointTo(target: Target | null, options: { readonly cut: boolean }): void;
  close(): Promise<void>;
}

export async function switchedAddress(first: Target | null): Promise<SwitchedAddress> {
  let target = first;
  const open = new Set<Socket>();
  const cutAll = () => {
    for (const socket of open) socket.destroy();
  };
  const server = createServer({ noDelay: true }, (client) => {
    if (target === null) {
      client.destroy();
      return;
    }
    const upstream = connect({ port: target.port, host: target.host, noDelay: true });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: '127.0.0.1',
    port,
    pointTo: (next, { cut }) => {
      target = next;
      if (cut) cutAll();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        cutAll();
      }),
  };
}
