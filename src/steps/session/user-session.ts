/**
 * The user's own session with the server, as the drop uses it: runs these statements of undrop
 * there, in one write, and returns their results. session/user-session/wire-user-session.ts does it
 * on the wire; a test does it in memory.
 */
import type { Result } from '../../wire/response.js';

export type UserCommand =
  | { readonly kind: 'query'; readonly text: Uint8Array }
  | { readonly kind: 'prepare'; readonly text: Uint8Array }
  /** Without a response. */
  | { readonly kind: 'close'; readonly statementId: number };

export interface UserSession {
  /**
   * Sends all commands in one write and resolves with one result for each that has a response, in
   * order. No deadline: locks are waited for as long as the user's own settings allow. Rejects if
   * the connection ends.
   */
  run(commands: readonly UserCommand[]): Promise<readonly Result[]>;
}

export function query(text: Uint8Array): UserCommand {
  return { kind: 'query', text };
}

/** Runs texts on the user's session in one write; one result for each. */
export function ask(
  session: UserSession,
  ...texts: readonly Uint8Array[]
): Promise<readonly Result[]> {
  return session.run(texts.map(query));
}

/** A command of the session beside the drop: another command of the protocol, unchanged. */
export type SessionCommand = UserCommand | { readonly kind: 'packet'; readonly payload: Buffer };

/** A user session that takes any command. */
export interface CommandSession extends UserSession {
  run(commands: readonly SessionCommand[]): Promise<readonly Result[]>;
}

/** The known facts of the session without a query to the server. */
export interface SessionFacts {
  readonly threadId: number;
  /** The local port that the session was dialled from; null over a unix socket. */
  readonly upstreamLocalPort: number | null;
  readonly clientAddress: string;
}
