/**
 * The addresses of listeners before they are opened: whether they can be, and the socket files that
 * killed processes left.
 *
 * Invariant: a socket file is removed only if nothing listens on it.
 */
import { once } from 'node:events';
import { accessSync, constants, lstatSync, unlinkSync } from 'node:fs';
import net from 'node:net';
import { dirname } from 'node:path';
import type { ServerAddress } from '../connections/server-address.js';

/** Removes a socket file on which nothing listens: that of a killed process. */
export async function removeStaleSocket(path: string): Promise<void> {
  if ((await inspectSocketFile(path)) === 'stale') unlinkSync(path);
}

async function inspectSocketFile(path: string): Promise<'none' | 'stale' | 'in use' | 'no socket'> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 'none';
  if (!found.isSocket()) return 'no socket';
  const probe = net.connect({ path });
  try {
    await once(probe, 'connect');
    probe.destroy();
  } catch (error) {
    // After any other error a process may listen there, and listening fails (EADDRINUSE).
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return 'stale';
  }
  return 'in use';
}

/** Null: a proxy could listen there. */
type Obstacle = 'in use' | Error | null;

/**
 * Tries to listen on all of `addresses` at once, for a moment, and closes clients that connect in
 * it. Unix sockets are not opened: their folder must be writable.
 */
export async function tryToListen(
  addresses: readonly ServerAddress[],
): Promise<readonly Obstacle[]> {
  const open: net.Server[] = [];
  const found: Obstacle[] = [];
  for (const address of addresses) found.push(await tryOne(address, open));
  await closeAll(open);
  for (const [at, address] of addresses.entries()) {
    if (found[at] !== 'in use') continue;
    // Free now, so it was in use by another one of them.
    const alone = await tryOne(address, open);
    await closeAll(open);
    found[at] = alone ?? new Error('another address of these settings includes it');
  }
  return found;
}

async function tryOne(address: ServerAddress, open: net.Server[]): Promise<Obstacle> {
  try {
    if ('socketPath' in address) return await trySocketFile(address.socketPath);
    const server = net.createServer((client) => client.destroy());
    server.listen(address.port, address.host);
    await once(server, 'listening');
    open.push(server);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'in use' : (error as Error);
  }
}

async function trySocketFile(path: string): Promise<Obstacle> {
  const found = await inspectSocketFile(path);
  if (found === 'no socket') return new Error(`${path} exists and is not a socket`);
  if (found === 'in use') return found;
  accessSync(dirname(path), constants.W_OK | constants.X_OK);
  return null;
}

async function closeAll(open: net.Server[]): Promise<void> {
  const closing = open.splice(0).map((server) => once(server.close(), 'close'));
  await Promise.all(closing);
}
