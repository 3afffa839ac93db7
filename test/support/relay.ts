/**
 * A TCP relay in front of a server: a network that is slow or goes dead without a word, and an
 * address that a failover moves, as a load balancer or a virtual address is.
 */
import { once } from 'node:events';
import net from 'node:net';
import { portOf } from './poll.js';
import type { Target } from './servers.js';

export type Relay = Awaited<ReturnType<typeof openRelay>>;

type HoldBack = (chunk: Buffer) => Promise<void> | null;

/**
 * `holdBack` sees each chunk as it comes from a client: that one, and all that come after it on its
 * connection, wait for the promise; null: at once.
 */
export async function openRelay(first: Target | null, holdBack: HoldBack = () => null) {
  let target = first;
  let isSilent = false;
  const pairs = new Set<readonly [near: net.Socket, far: net.Socket]>();
  const cutAll = () => {
    for (const socket of [...pairs].flat()) socket.destroy();
    pairs.clear();
  };
  const listener = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    if (target === null) {
      near.destroy();
      return;
    }
    const { host, port } = target;
    const far = net.connect({ host, port, allowHalfOpen: true, noDelay: true });
    pairs.add([near, far]);
    pass(near, far, holdBack);
    pass(far, near, () => null);
  });

  function pass(from: net.Socket, to: net.Socket, hold: HoldBack): void {
    let before: Promise<unknown> | null = null;
    from.on('error', () => undefined);
    from.on('data', (chunk: Buffer) => {
      if (isSilent) return;
      const wait = hold(chunk);
      if (wait === null && before === null) {
        to.write(chunk);
        return;
      }
      before = (before ?? Promise.resolve()).then(() => wait).then(() => to.write(chunk));
      before.catch(() => from.destroy());
    });
    from.on('end', () => {
      if (!isSilent) to.end();
    });
    from.on('close', () => {
      if (!isSilent) to.destroySoon();
    });
  }

  const port = await portOf(listener);
  const close = async () => {
    cutAll();
    await once(listener.close(), 'close');
  };
  return {
    host: '127.0.0.1',
    port,
    user: first?.user ?? '',
    password: first?.password ?? '',
    /**
     * New connections go there from now on; null: to nobody. `cut`: the open ones end, else they
     * stay with the server that they are on.
     */
    pointTo: (next: Target | null, { cut }: { readonly cut: boolean }) => {
      target = next;
      if (cut) cutAll();
    },
    /**
     * From now on bytes and ends are taken in on both sides and passed on to nobody, as behind a
     * firewall that forgot the connection.
     */
    swallow: () => {
      isSilent = true;
    },
    /** What comes from then on passes, also on connections that the other side has given up. */
    resume: () => {
      isSilent = false;
      for (const [near, far] of pairs) {
        if (far.readableEnded || far.destroyed) near.destroy();
        if (near.readableEnded || near.destroyed) far.destroy();
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
