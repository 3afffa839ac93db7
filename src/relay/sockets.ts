/**
 * Shared by all sockets of clients and servers: how they are kept alive, how they end, and where an
 * error goes that is thrown in one of their events. Node.js calls a session by an event of a
 * socket, by a timer or by a socket's handle; no caller would catch the error, and it would end the
 * process with all its sessions.
 *
 * Invariant: an error in one connection ends that connection, with a line in the log, and no other.
 */
import type { Socket } from 'node:net';
import { InvariantError } from '../assert.js';

/** `run`, with `onThrown` as the handler of its errors, because no caller catches them. */
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

/** Ends the socket with an 'error' event that its owner can tell from a network error. */
export function endByThrown(socket: Socket, thrown: unknown): void {
  socket.destroy(
    new InvariantError('nothing is thrown at the door of a socket', { cause: thrown }),
  );
}

/** The time that a socket has to send its remaining bytes after its other side has gone. */
export const LAME_DUCK_MS = 5_000;

/**
 * Options of the TCP sockets to clients and servers. The kernel detects a peer that vanished
 * silently (a firewall that forgot the connection, a machine without power); after a first silent
 * minute the intervals are the system's.
 */
export const KEEP_ALIVE = {
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
} as const;

/**
 * Sends the remaining bytes and the end; destroys the socket after a moment, whatever the peer
 * does.
 */
export function endSoon(socket: Socket): void {
  if (socket.destroyed) return;
  socket.end();
  const timer = setTimeout(() => socket.destroy(), LAME_DUCK_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}
