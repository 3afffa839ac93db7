/**
 * Doors: where Node.js calls a session, by an event of a socket, a timer or a socket's handle. What
 * is thrown there has nobody above it who would catch it, and would end the process with all its
 * sessions.
 *
 * Invariant: what one connection throws ends that connection, with a line of the log, and no other.
 */
import type { Socket } from 'node:net';
import { InvariantError } from '../assert.js';

/** `run`, behind a door. */
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
