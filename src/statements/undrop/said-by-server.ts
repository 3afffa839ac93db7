/** An error of the server, as the response to a statement of undrop itself. */
import type { Signal } from '../../steps/session/user-session.js';

/** Thrown where the server would return an error; it is raised in the session. */
export class SaidByServer extends Error {
  readonly signal: Signal;

  constructor(signal: Signal) {
    super(signal.message);
    this.signal = signal;
  }
}
