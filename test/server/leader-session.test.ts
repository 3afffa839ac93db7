/**
 * What the collector's one connection is left as, on real servers: without a default schema, which
 * each of its later statements would have in the binary log (`use`, of a schema that may be gone by
 * then); and what it does on another connection is not done without its lock. Imports the
 * leader: no command shows its connection.
 */
import { systemClock } from '../../src/clock.js';
import { createTrigger, showTriggers } from '../../src/held/triggers/definition.js';
import type { HeldTrigger } from '../../src/ledger/detached/detached.js';
import { leadWhenever } from '../../src/lifecycle/leader/leader.js';
import { silentLog } from '../../src/log.js';
import type { ServicePool } from '../../src/service/pool/pools.js';
import { sql } from '../../src/service/sql.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { query } from '../support/servers.js';
import { tappedPool } from '../support/tapped-pool.js';
import { newId } from './service-fixture.js';

onServersAtOnce('a collector’s session on $name', (server, on) => {
  const { test } = on;

  const pool = on.pool();
  const schema = on.schema('leads');

  /** No schema is in its text, so one must be used. */
  const aTrigger = async (table: string) => {
    await query(server, `CREATE TABLE ${schema.name}.${table} (n INT)`);
    const [head, tail] = [
      `CREATE TRIGGER tr_${table} BEFORE INSERT ON `,
      ' FOR EACH ROW SET NEW.n = 7',
    ];
    const trigger: HeldTrigger = {
      ...{ name: `tr_${table}`, event: 'BEFORE INSERT', order: 1, definer: 'a@b', sqlMode: '' },
      ...{ characterSetClient: 'utf8mb4', collationConnection: 'utf8mb4_bin', quote: '`' },
      ...{ databaseCollation: 'utf8mb4_bin', shownHead: head, shownTail: tail },
      head: Buffer.from(head).toString('base64'),
      tail: Buffer.from(tail).toString('base64'),
    };
    return { to: { id: newId(), schema: schema.name, table }, trigger };
  };

  test('has no default schema behind a trigger that it made', async () => {
    const { to, trigger } = await aTrigger('one');
    const seen: unknown[] = [];
    await lead(pool, async (connection) => {
      await createTrigger(connection, to, { trigger, logged: true });
      const [rows] = await connection.run(sql`SELECT DATABASE() AS at`);
      seen.push(rows?.[0]?.['at'], (await showTriggers(connection, to)).length);
    });
    expect(seen).toEqual([null, 1]);
  });

  for (const when of ['before it looks', 'behind its look'] as const) {
    test(`makes no trigger where the lock is lost ${when}`, async () => {
      const { to, trigger } = await aTrigger(when.slice(0, 4));
      let unlock = async () => {};
      const losing = tappedPool(pool, async (send, texts) => {
        if (texts.some((text) => text.includes('UNION SELECT'))) await unlock();
        return send();
      });
      const seen: unknown[] = [];
      await lead(losing, async (connection) => {
        const release = sql`DO RELEASE_LOCK(
          (SELECT CONCAT('undrop:collector:', nonce) FROM _undrop.leader))`;
        unlock = async () => void (await connection.run(release));
        if (when === 'before it looks') await unlock();
        const making = createTrigger(connection, to, { trigger, logged: true });
        seen.push(await making.catch((error: { readonly code?: string }) => error.code));
      });
      expect(seen).toEqual(['UNDROP_NOT_COLLECTOR']);
      expect(await showTriggers(pool, to)).toEqual([]);
    });
  }
});

async function lead(pool: ServicePool, work: (connection: ServicePool) => Promise<void>) {
  const stopping = new AbortController();
  const { signal } = stopping;
  await leadWhenever({ pool, clock: systemClock, log: silentLog, signal }, async (lease) => {
    try {
      await work(lease.connection);
    } finally {
      stopping.abort();
    }
  });
}
