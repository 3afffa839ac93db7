/** What all sockets of a session have in common: how they are kept alive, and how they end. */
import type { Socket } from 'node:net';

/** How long a socket may take to send what is left after its other side has gone. */
export const LAME_DUCK_MS = 5_000;

/**
 * For TCP sockets of both legs. A peer that vanished without a word (a firewall that forgot the
 * connection, a machine without power) is found out by the kernel; after its first silent minute
 * the intervals are the system's.
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
