/** An error of the server, as the response to a statement of undrop itself. */
import type { Signal } from '../../steps/session/user-session.js';
import type { ErrPacket } from '../../wire/response.js';

/** Thrown for one that it has returned, or would return: that is raised in the session. */
export class SaidByServer extends Error {
  readonly said: Signal | ErrPacket;

  constructor(said: Signal | ErrPacket) {
    super(said.message.toString());
    this.said = said;
  }
}
