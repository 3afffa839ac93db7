/**
 * Asks the user's session whether the server would drop its tables for the user, before the service
 * account renames them; mostly while their intents are recorded.
 */
import {
  askToDrop,
  clean,
  ownLockSql,
  type QualifiedName,
} from '../../steps/session/user-session.js';
import type { Answer, DropRequest, UserFacts, UserSession } from '../../steps/world.js';
import type { OkPacket } from '../../wire/response.js';
import { ER_TABLE_NOT_LOCKED } from '../../wire/server-errors.js';

/** Answers of the user's session before the service renames its tables. */
export interface DropCheck {
  /** Null: the server would drop all of them. */
  readonly ended: Answer | null;
  /** The session itself has one locked, and the service would never get the lock. */
  readonly isLocked: boolean;
  /**
   * The response if the service renames them; nothing else is run in the session before it is
   * there. Null: not asked for, because it reports the end of a transaction, and the response may
   * be another one in the end.
   */
  readonly cleaned: Promise<OkPacket | null>;
}

/** Checks the privileges of the session, and waits there for the locks of others. */
export async function checkDrop(
  session: UserSession,
  request: DropRequest,
  { names, facts }: { readonly names: readonly QualifiedName[]; readonly facts: UserFacts },
): Promise<DropCheck> {
  let isLocked = false;
  const ended = await askToDrop(session, request, names, {
    before: names.map((name) => ({ kind: 'prepare' as const, text: ownLockSql(name, request) })),
    onBefore: (said) => {
      isLocked = said.some((one) => one.kind === 'err' && one.errno === ER_TABLE_NOT_LOCKED);
    },
  });
  const mayClean = ended === null && !isLocked && !facts.inTransaction;
  const cleaned = mayClean ? clean(session, request) : Promise.resolve(null);
  // The session may break before it is awaited.
  cleaned.catch(() => undefined);
  return { ended, isLocked, cleaned };
}
