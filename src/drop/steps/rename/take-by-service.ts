/**
 * The service account takes rows away for a user: the user's session checks the privileges and
 * waits for the metadata locks, as long as its own settings and KILL allow, and then the service
 * has a moment to be faster than others. If it isn't, both begin again.
 *
 * Invariant: a lock of InnoDB, for which MariaDB makes a RENAME of a parent wait, is waited for as
 * long as the session's `innodb_lock_wait_timeout`: no metadata lock is in the way then, so the
 * session itself can't wait, and the tries of the service are counted.
 */

import { SERVICE_RENAME_TRIES } from '../../../tries.js';
import { MalformedPacketError } from '../../../wire/packet-reader.js';
import * as ER from '../../../wire/server-errors.js';
import { factText } from '../session/facts.js';
import { signal } from '../session/user-session.js';
import { type Answer, answerWith, ask, type DropRequest, type UserSession } from '../world.js';

/** The wait of the service at its first try, in milliseconds. */
const FIRST_TRY_MS = 200;
/** The session had its turn before, so only later sessions are in the way. */
const NEXT_TRY_MS = 900;
/** The wait of one try of the service for locks of InnoDB; no KILL ends it. */
export const INNODB_WAIT_S = 1;

interface ByService<T> {
  /** In the user's session: its privileges, and its turn at the locks. Null: it has had that. */
  readonly wait: () => Promise<T | null>;
  /** Waits for others as long as `killAfterMs`; `timeout`: for a lock of InnoDB, in vain. */
  readonly take: (killAfterMs: number) => Promise<T | 'busy' | 'timeout'>;
  /** Default: `SERVICE_RENAME_TRIES`. */
  readonly triesMax?: number;
}

/** `changed`: given up. */
export async function takeByService<T>(
  session: UserSession,
  { dropId }: Pick<DropRequest, 'dropId'>,
  { wait, take, triesMax = SERVICE_RENAME_TRIES }: ByService<T>,
): Promise<T | Answer | 'changed'> {
  let waitedS = 0;
  for (let tries = 1; tries <= triesMax; ) {
    const ended = await wait();
    if (ended !== null) return ended;
    const taken = await take(waitedS === 0 && tries === 1 ? FIRST_TRY_MS : NEXT_TRY_MS);
    if (taken === 'timeout') {
      waitedS += INNODB_WAIT_S;
      const over = await hasWaited(session, dropId, waitedS);
      if (over !== null) return over;
    } else if (taken === 'busy') tries++;
    else return taken;
  }
  return 'changed';
}

const TIMEOUT = {
  errno: ER.LOCK_WAIT_TIMEOUT,
  sqlState: 'HY000',
  message: 'Lock wait timeout exceeded; try restarting transaction',
};

/** Null: the session's own limit allows another try. */
async function hasWaited(
  session: UserSession,
  dropId: string,
  waitedS: number,
): Promise<Answer | null> {
  const hint = '/*+ MAX_EXECUTION_TIME(0) */';
  const value = 'CAST(@@innodb_lock_wait_timeout AS BINARY)';
  const limit = `SELECT ${hint} /* undrop innodb-wait ${dropId} */ ${value} LIMIT 1`;
  const [asked] = await ask(session, Buffer.from(limit));
  if (asked?.kind === 'err') return answerWith(asked);
  const limitS = asked?.kind === 'rows' ? factText(asked.rows[0]?.[0]) : '';
  if (!/^\d+$/.test(limitS)) {
    throw new MalformedPacketError('The lock wait timeout of the session: no row.');
  }
  if (waitedS < Number(limitS)) return null;
  return answerWith(await signal(session, TIMEOUT));
}
