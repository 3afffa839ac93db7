/**
 * Makes the user's own session create the triggers of a restored table that the service account may
 * not create: the server decides whether this user may. Pure.
 *
 * Invariant: the session has its own settings afterwards, and waits for a lock for a moment only.
 * Created triggers are on the server, and the next check finds them there.
 */
import { assert } from '../assert.js';
import { ask, type UserFacts, type UserSession } from './world.js';

export interface TriggerToMake {
  readonly event: string;
  /** The settings under which it was created. */
  readonly set: Buffer;
  readonly create: Buffer;
}

const WAIT_S = 1;
const SETTINGS = Buffer.from(
  `SELECT /*+ MAX_EXECUTION_TIME(0) */ /* undrop settings */
   CAST(@@collation_connection AS BINARY), CAST(@@lock_wait_timeout AS BINARY) LIMIT 1`,
);

/** True: some were created. Triggers that the server refuses are still missing. */
export async function makeTriggers(
  session: UserSession,
  triggers: readonly TriggerToMake[],
  { charset, sqlMode }: UserFacts,
): Promise<boolean> {
  if (triggers.length === 0) return false;
  const [read] = await ask(session, SETTINGS);
  const [collation, wait] = read?.kind === 'rows' ? (read.rows[0] ?? []) : [];
  if (!collation || !wait) return false;
  const words = [charset, sqlMode, `${collation}`];
  assert(
    words.every((word) => /^[\w,]*$/.test(word)),
    'settings of a session are words',
  );
  const back = Buffer.from(
    `SET character_set_client = '${charset}', sql_mode = '${sqlMode}',
     collation_connection = '${collation}', lock_wait_timeout = ${Number(wait)}`,
  );
  const failed = new Set<string>();
  let hasMade = false;
  try {
    await ask(session, Buffer.from(`SET lock_wait_timeout = ${WAIT_S}`));
    for (const { event, set, create } of triggers) {
      if (failed.has(event)) continue;
      const [isSet] = await ask(session, set);
      const [made] = isSet?.kind === 'ok' ? await ask(session, create) : [];
      if (made?.kind === 'ok') hasMade = true;
      else failed.add(event);
    }
  } finally {
    // Twice, because a late KILL may hit one.
    await ask(session, back, back);
  }
  return hasMade;
}
