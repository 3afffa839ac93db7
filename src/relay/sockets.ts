/**
 * What all sockets of clients and servers have in common: how they are kept alive, how they end,
 * and what becomes of an error that is thrown in one of their events. Node.js calls a session by
 * an event of a socket, by a timer or by a socket's handle; nothing above that call would catch the
 * error, and it would end the process with all its sessions.
 *
 * Invariant: what one connection throws ends that connection, with a line of the log, and no other.
 */
import type { Socket } from 'node:net';
import { InvariantError } from '../assert.js';

/** `run`, with `onThrown` for what it throws: nobody above it would catch that. */
export function behindDoor<A extends readonly unknown[]>(
  run: (...args: A) => void,
  onThrown: (thrown: unknown) => void,
): (...args: A) => void {
  return (...args) => {
    try {
      run(...args);
    } catch (error) {
      onThrown(error);
    }
  };
}

/** Its owner hears of it by the event 'error', and can tell it from trouble with the network. */
export function endByThrown(socket: Socket, thrown: unknown): void {
  socket.destroy(
    new InvariantError('nothing is thrown at the door of a socket', { cause: thrown }),
  );
}

/** How long a socket may take to send what is left after its other side has gone. */
export const LAME_DUCK_MS = 5_000;

/**
 * Options of the TCP sockets to clients and servers. A peer that vanished without a word (a
 * firewall that forgot the connection, a machine without power) is found out by the kernel; after
 * its first silent minute the intervals are the system's.
 */
export const KEEP_ALIVE = {
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
} as const;

/** Sends what is left and the end; after a moment the socket is gone, whatever the peer does. */
export function endSoon(socket: Socket): void {
  if (socket.destroyed) return;
  socket.end();
  const timer = setTimeout(() => socket.destroy(), LAME_DUCK_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}
