/** Waiting in tests: never for a time, always for something to become true. */
import { once } from 'node:events';
import { type AddressInfo, createConnection, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Between two looks: often at first, as most things are true in a moment; then the last. */
const PAUSES_MS: readonly number[] = [2, 5, 10, 10, 20, 20, 30, 50, 50, 50, 50];
const PAUSE_MS = 100;

/** Resolves as soon as `condition` holds; rejects after `withinMs` milliseconds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  withinMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + withinMs;
  for (let looks = 0; !(await condition()); looks++) {
    if (Date.now() > deadline) throw new Error(`Not within ${withinMs / 1000} s: ${what}.`);
    await sleep(PAUSES_MS[looks] ?? PAUSE_MS);
  }
}

/** Resolves to the port when it listens; by default to a free one of loopback. */
export async function portOf(server: Server, host = '127.0.0.1', port = 0): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Whether somebody listens on a TCP port of this machine. */
export async function listens(port: number): Promise<boolean> {
  const socket = createConnection({ host: '127.0.0.1', port });
  const connected = once(socket, 'connect').then(() => true);
  // `once` rejects on the error event, which is the answer no.
  const answer = await connected.catch(() => false);
  socket.destroy();
  return answer;
}
