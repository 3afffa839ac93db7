/** The steps of a drain, with sessions and a clock in memory; the rest is in server/drain. */
import { once } from 'node:events';
import net from 'node:net';
import type { Clock } from '../../src/clock.js';
import { silentLog } from '../../src/log.js';
import { type Drainable, drain } from '../../src/session/listener.js';
import type { DrainStage } from '../../src/session/session.js';
import { arrives, GREETING, openBench } from '../support/session-bench.js';

/** Sleeps until it is told to go on. */
class SlowClock implements Clock {
  readonly slept: number[] = [];
  #wake: () => void = () => undefined;

  nowMs(): number {
    return 0;
  }

  sleep(delayMs: number): Promise<void> {
    this.slept.push(delayMs);
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async goOn(): Promise<void> {
    this.#wake();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('clients are let in for the time of waiting, and what is left after its time is cut (wire 55)', async () => {
  const steps: string[] = [];
  const listener: Drainable = {
    openSessions: 2,
    stopAccepting: () => void steps.push('stop accepting'),
    endWhenIdle: (stage: DrainStage) => void steps.push(stage),
    cut: () => void steps.push('cut'),
  };
  const clock = new SlowClock();
  const times = { waitMs: 90, timeoutMs: 15, signal: new AbortController().signal };
  const draining = drain(listener, times, { clock, log: silentLog });
  expect([clock.slept, steps]).toEqual([[90], []]);
  for (let stage = 0; stage < 4; stage++) await clock.goOn();
  await draining;
  expect(clock.slept).toEqual([90, 7.5, 3.75, 3.75]);
  expect(steps).toEqual(['stop accepting', 'idle-stay', 'used-stay', 'used-end', 'cut']);
});

// ── socket options ───────────────────────────────────────────────────────────────────────────────
// What the sockets of both legs are told: no delay, and to be kept alive; on IPv6 as well.

interface Handle {
  getpeername(into: { port?: number }): number;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, seconds: number): number;
}

/** Notes what every TCP socket of this process is told, by the port of its peer. */
async function watchHandles(): Promise<{ told(port: number): readonly string[]; stop(): void }> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const socket = net.connect(port, '127.0.0.1');
  const [[far]] = await Promise.all([once(server, 'connection'), once(socket, 'connect')]);
  const own = (socket as unknown as { readonly _handle: Handle })._handle;
  const prototype = Object.getPrototypeOf(own) as Handle;
  (far as net.Socket).destroy();
  socket.destroy();
  server.close();
  const { setNoDelay, setKeepAlive } = prototype;
  const calls: { readonly handle: Handle; readonly what: string }[] = [];
  prototype.setNoDelay = function (this: Handle, on) {
    calls.push({ handle: this, what: `no delay: ${on}` });
    return setNoDelay.call(this, on);
  };
  prototype.setKeepAlive = function (this: Handle, on, seconds) {
    calls.push({ handle: this, what: `alive: ${on}, from ${seconds} s on` });
    return setKeepAlive.call(this, on, seconds);
  };
  const portOf = (handle: Handle): number | undefined => {
    const name: { port?: number } = {};
    handle.getpeername(name);
    return name.port;
  };
  return {
    told: (port) => calls.filter(({ handle }) => portOf(handle) === port).map(({ what }) => what),
    stop: () => Object.assign(prototype, { setNoDelay, setKeepAlive }),
  };
}

test.each(['127.0.0.1', '::'])(
  'both legs of a client at %s send at once and are kept alive (wire 59)',
  async (host) => {
    const watch = await watchHandles();
    try {
      await using bench = await openBench({ listen: [{ host, port: 0 }] });
      const [address] = bench.addresses;
      if (address === undefined || 'socketPath' in address) throw new Error('expected TCP');
      const { port } = address;
      const client = await bench.client({ host: host === '::' ? '::1' : host, port });
      const server = await bench.accepted();
      await arrives(server, client, GREETING);
      const options = ['alive: true, from 60 s on', 'no delay: true'];
      for (const peer of [client, server]) {
        expect([...watch.told(peer.handOver().localPort ?? 0)].sort()).toEqual(options);
      }
    } finally {
      watch.stop();
    }
  },
);
