/**
 * A way to a server that can go dead without a word: from `swallow` on, bytes and ends are taken in
 * on both sides and passed on to nobody, as behind a firewall that forgot the connection. `resume`
 * passes on what comes from then on, also on connections that the other side has given up
 * meanwhile.
 */
import { once } from 'node:events';
import net from 'node:net';
import type { Target } from '../support/servers.js';

export interface SilentRelay extends Target, AsyncDisposable {
  swallow(): void;
  resume(): void;
  close(): Promise<void>;
}

export async function silentRelay(server: Target): Promise<SilentRelay> {
  const pairs = new Set<{ readonly near: net.Socket; readonly far: net.Socket }>();
  let silent = false;
  const listener = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const to = { port: server.port, host: server.host };
    const far = net.connect({ ...to, allowHalfOpen: true, noDelay: true });
    const pair = { near, far };
    pairs.add(pair);
    join(near, far);
    join(far, near);
  });

  function join(from: net.Socket, to: net.Socket): void {
    from.on('error', () => undefined);
    from.on('data', (chunk) => {
      if (!silent) to.write(chunk);
    });
    from.on('end', () => {
      if (!silent) to.end();
    });
  }

  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const close = async () => {
    for (const { near, far } of pairs) {
      near.destroy();
      far.destroy();
    }
    listener.close();
    await once(listener, 'close');
  };
  return {
    host: '127.0.0.1',
    port: (listener.address() as net.AddressInfo).port,
    user: server.user,
    password: server.password,
    swallow: () => {
      silent = true;
    },
    resume: () => {
      silent = false;
      for (const { near, far } of pairs) {
        if (far.readableEnded || far.destroyed) near.destroy();
        if (near.readableEnded || near.destroyed) far.destroy();
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
