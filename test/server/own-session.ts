/**
 * The hooks of a describe on one server: a pool of service connections for all its tests, and for
 * each of them an empty ledger, a schema of its own, and a session in it that drops like a user's.
 */
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import type { ServicePool } from '../../src/service/pool/pools.js';
import { freshLedger } from '../support/fresh-ledger.js';
import type { Hooks } from '../support/lanes.js';
import { connect, type FreshSchema, freshSchema, type Target } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { endSession } from './service-fixture.js';

const jestHooks: Hooks = {
  beforeAll: (run) => beforeAll(async () => void (await run())),
  beforeEach: (run) => beforeEach(async () => void (await run())),
  afterEach: (run) => afterEach(async () => void (await run())),
  afterAll: (run) => afterAll(async () => void (await run())),
};

/** What there is while a test runs. */
export interface OwnSession {
  readonly pool: ServicePool;
  readonly schema: FreshSchema;
  readonly session: Connection;
  /** Its proxy is gone, and so is the session; there is another one afterwards. */
  die(): Promise<void>;
}

/** To be called within a describe, or with the hooks of a lane. */
export function ownSession(server: Target, hooks: Hooks = jestHooks): OwnSession {
  let pool: ServicePool;
  let schema: FreshSchema;
  let session: Connection;

  hooks.beforeAll(() => {
    pool = poolOn(server);
  });

  hooks.beforeEach(async () => {
    await freshLedger(server);
    schema = await freshSchema(server);
    session = await connect(server, { database: schema.name });
  });

  hooks.afterEach(async () => {
    await session.end();
    await schema.drop();
  });

  hooks.afterAll(() => pool.dispose());

  return {
    get pool() {
      return pool;
    },
    get schema() {
      return schema;
    },
    get session() {
      return session;
    },
    die: async () => {
      await endSession(server, session);
      session = await connect(server, { database: schema.name });
    },
  };
}
