/**
 * In the frame of a describe on one server: a pool of service connections for all its tests, and
 * for each of them an empty ledger, a schema of its own, and a session in it that drops like a
 * user's.
 */
import { freshLedger } from '../support/fresh-ledger.js';
import type { OnServer } from '../support/on-servers.js';
import { connect, type FreshSchema, type Session, type Target } from '../support/servers.js';
import { endSession } from './service-fixture.js';

/** What there is while a test runs. */
export interface OwnSession {
  readonly pool: ReturnType<OnServer['pool']>;
  readonly schema: FreshSchema;
  readonly session: Session;
  /** Its proxy is gone, and so is the session; there is another one afterwards. */
  die(): Promise<void>;
}

export function ownSession(server: Target, on: OnServer): OwnSession {
  const pool = on.pool();
  on.beforeEach(() => freshLedger(server));
  const schema = on.each.schema();
  let session: Session;
  const open = async () => {
    session = await connect(server, { database: schema.name });
  };
  on.beforeEach(open);
  on.afterEach(() => session.end());
  return {
    pool,
    schema,
    get session() {
      return session;
    },
    die: async () => {
      await endSession(server, session);
      await open();
    },
  };
}
