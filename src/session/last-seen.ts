/**
 * What a session was last seen in, without asking the server: guesses that save round trips, and
 * are checked against the session's own facts where it matters.
 */
import type { UserFacts } from '../drop/request.js';
import type { SessionGuess } from '../drop/run-drop.js';
import { namesGtidNext } from '../sql/trigger-scan.js';
import type { Login } from './login.js';

export class LastSeen {
  readonly #mayHaveGtids: boolean;
  #guess: SessionGuess;
  #gtidMayBeSet = false;

  constructor({ schema, user, server }: Pick<Login, 'schema' | 'user' | 'server'>) {
    this.#guess = { schema: schema?.toString() ?? null, charset: 'utf8mb4', user };
    this.#mayHaveGtids = server.flavour === 'mysql';
  }

  /** Default schema, charset and user. */
  get guess(): SessionGuess {
    return this.#guess;
  }

  /** A text that names GTID_NEXT went by; from then on for good, it may be set at any time. */
  get gtidMayBeSet(): boolean {
    return this.#gtidMayBeSet;
  }

  /** The client asks for another default schema; the server may refuse it. */
  inSchema(schema: Uint8Array): void {
    this.#guess = { ...this.#guess, schema: Buffer.from(schema).toString() };
  }

  /** A command that is looked at before it goes on. */
  onCommand(payload: Uint8Array): void {
    this.#gtidMayBeSet ||= this.#mayHaveGtids && namesGtidNext(payload);
  }

  inFacts({ schema, charset, user }: UserFacts): void {
    this.#guess = { schema, charset, user };
  }
}
