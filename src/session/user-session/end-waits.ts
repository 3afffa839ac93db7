/**
 * When a client's connection ends while a statement of undrop runs on its session, ends a wait of
 * that statement; otherwise the drop would go on waiting, with all sessions queued after it, and be
 * carried out later. MariaDB does the same once a second for a connection that it sees ended; MySQL
 * keeps waiting, so that only a KILL ends the wait.
 *
 * Invariant: only a wait is ended. A statement that doesn't wait is carried out, as natively.
 */
import { systemClock } from '../../clock.js';
import { isServerError, tolerantly } from '../../connections/errors.js';
import { note, type ServiceConnection, sql, WAITS_FOR_LOCK } from '../../connections/sql.js';
import type { DropService } from '../../drop/intercepted.js';
import type { SessionFacts } from '../../drop/steps/world.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import * as ER from '../../wire/server-errors.js';
import type { SessionConnections } from '../connections.js';

/** A wait that two checks have seen is ended: undrop's own short waits are over before that. */
const CHECK_EVERY_MS = 250;

export interface EndWaitsOptions {
  readonly session: SessionFacts;
  readonly server: ServerVersion;
  readonly service: Pick<DropService, 'pool' | 'log'>;
  readonly connections: Pick<SessionConnections, 'endServerAtOnce'>;
  /** The statement has its response, or the session has ended. */
  readonly isOver: () => boolean;
}

/** Runs until the statement is over; does not reject for errors of the server or the service. */
export async function endWaits(options: EndWaitsOptions): Promise<void> {
  const { session, service, isOver } = options;
  for (let seen = 0; ; ) {
    await systemClock.sleep(CHECK_EVERY_MS);
    if (isOver()) return;
    // If the service can't be used at the moment, a later check may.
    const { value: waits } = await tolerantly(() => waitsOf(service.pool, session));
    if (isOver()) return;
    seen = waits.length > 0 ? seen + 1 : 0;
    if (seen < 2) continue;
    const ended = await tolerantly(async () => [await endWait(options)]);
    if (ended.value[0] === 'denied') return;
  }
}

/**
 * `User sleep`: in the queue of the DROP DATABASE statements. The port or the comment shows that it
 * is this session, and not one of another server.
 */
async function waitsOf(
  pool: ServiceConnection,
  { threadId, upstreamLocalPort }: SessionFacts,
): Promise<readonly unknown[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('waits')} 1 FROM information_schema.PROCESSLIST
        WHERE ID = ${threadId} AND (${WAITS_FOR_LOCK} OR STATE = 'User sleep')
          AND (HOST LIKE ${`%:${upstreamLocalPort}`} OR INFO LIKE '%/* undrop %')`,
  );
  return rows;
}

async function endWait(options: EndWaitsOptions): Promise<'ended' | 'denied'> {
  const { server, connections } = options;
  const { threadId } = options.session;
  const { pool, log } = options.service;
  try {
    await pool.killQuery(threadId);
    return 'ended';
  } catch (error) {
    if (!isServerError(error, ER.KILL_DENIED_ERROR)) throw error;
    // It notices the end itself; recovery finishes what the session can't.
    if (server.flavour === 'mariadb') connections.endServerAtOnce();
    else log?.warn({ err: error, threadId }, NOT_ENDED);
    return 'denied';
  }
}

const NOT_ENDED =
  'cannot end the wait of a session whose client has disconnected; its statement goes on. Grant the service account CONNECTION_ADMIN (SUPER before MySQL 8.0)';
