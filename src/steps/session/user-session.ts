/**
 * The user's own session with the server, as the drop sees it: run these statements of ours there,
 * in one write, and give their answers. session/user-session/wire-user-session.ts does it on the
 * wire; a test does it in memory.
 */
import type { Result } from '../../wire/response.js';

export type UserCommand =
  | { readonly kind: 'query'; readonly text: Uint8Array }
  | { readonly kind: 'prepare'; readonly text: Uint8Array }
  /** Has no answer. */
  | { readonly kind: 'close'; readonly statementId: number };

export interface UserSession {
  /**
   * Sends all commands in one write and resolves with one result for each that has an answer, in
   * order. No deadline: locks are waited for as long as the user's own settings say. Rejects if
   * the connection ends.
   */
  run(commands: readonly UserCommand[]): Promise<readonly Result[]>;
}

/** What the session sends beside the drop: another command of the protocol, as it is. */
export type SessionCommand = UserCommand | { readonly kind: 'packet'; readonly payload: Buffer };

/** A user session that takes any command. */
export interface CommandSession extends UserSession {
  run(commands: readonly SessionCommand[]): Promise<readonly Result[]>;
}

/** What is known of the session without asking the server. */
export interface SessionFacts {
  readonly threadId: number;
  /** The local port that the session was dialled from; null over a unix socket. */
  readonly upstreamLocalPort: number | null;
  readonly clientAddress: string;
}
