/**
 * kill -9 of the proxy in the middle of a DROP VIEW of two views, before every third (KILL_EVERY)
 * statement and answer: after a restart each view is there, or its definition is in the ledger and
 * comes back as it was; never neither.
 */
import { describe, expect, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { ensureLedger } from '../../src/ledger/tables.js';
import { restore } from '../../src/undo/run-restore.js';
import { until } from '../support/poll.js';
import { connect, freshSchema, query, testServer } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { sessionsGone, type TappedProxy, tappedProxy } from './killed-drops.js';

const EVERY = Number(process.env['KILL_EVERY'] ?? '3');
const EVENTS_MAX = 200;
const SETTLED_MS = 20_000;
const VIEWS = ['a', 'b'] as const;
const FROM_RENAME = { fromRename: true };
const PROTECTED = { PROTECT: 'drop-table,drop-view' };

describe.each(['mysql-9.7', 'mariadb-10.11'].map(testServer))('on $name', (server) => {
  test('a proxy killed amid DROP VIEW leaves each view there, or its definition', async () => {
    const pool = poolOn(server);
    await ensureLedger(pool);
    const direct = await connect(server);
    const { name: schema, drop } = await freshSchema(server, 'killv');
    await direct.query(`USE ${schema}`);
    await direct.query('CREATE TABLE t (id INT)');
    const fates = new Set<string>();
    let victim = await tappedProxy(server, FROM_RENAME, PROTECTED);
    for (let at = 1; ; at += EVERY) {
      expect(at).toBeLessThan(EVENTS_MAX);
      for (const view of VIEWS) {
        await direct.query(`CREATE ALGORITHM=MERGE VIEW ${view} AS SELECT id AS ${view} FROM t`);
      }
      const made = await definitions(direct);
      victim.killAt(at);
      await dropThrough(victim, schema);
      if (victim.killedAt() === null) await victim.proxy.stop();
      await victim.proxy.ended;
      const killedAt = victim.killedAt();
      await victim.tap.close();
      await sessionsGone(direct, schema);
      const there = Object.keys(await definitions(direct));
      victim = await tappedProxy(server, FROM_RENAME, PROTECTED);
      await until(() => isSettled(schema), 'no DROP VIEW is open', SETTLED_MS);
      const kept = await keptIds(schema);
      const where = `killed at ${at}: ${killedAt?.moment} of ${killedAt?.text}`;
      const all = [...there, ...kept.map(({ view }) => view)].sort();
      expect({ where, all }).toEqual({ where, all: [...VIEWS] });
      for (const { id } of kept) await restore(pool, { target: id });
      expect({ where, now: await definitions(direct) }).toEqual({ where, now: made });
      fates.add(there.join());
      await direct.query(`DROP VIEW ${VIEWS.join()}`);
      if (killedAt === null) break;
    }
    await victim.proxy.stop();
    await victim.tap.close();
    expect([...fates].sort()).toEqual(['', 'a,b']);
    await drop();
    await direct.end();
    await pool.dispose();
  }, 300_000);

  async function isSettled(schema: string): Promise<boolean> {
    const rows = await query(
      server,
      `SELECT id FROM _undrop.ledger WHERE state = 'dropping' AND schema_name = '${schema}'`,
    );
    return rows.length === 0;
  }

  function keptIds(schema: string): Promise<{ readonly id: string; readonly view: string }[]> {
    return query(
      server,
      `SELECT id, table_name AS view FROM _undrop.ledger
        WHERE state = 'kept' AND schema_name = '${schema}'`,
    );
  }
});

/** Of the views that are there, by name. */
async function definitions(direct: Connection): Promise<Readonly<Record<string, string>>> {
  const [rows] = await direct.query<RowDataPacket[]>(
    `SELECT TABLE_NAME AS name FROM information_schema.VIEWS
      WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME`,
  );
  const found: Record<string, string> = {};
  for (const { name } of rows) {
    const [[shown]] = await direct.query<RowDataPacket[]>(`SHOW CREATE VIEW ${name}`);
    found[String(name)] = String(shown?.['Create View']);
  }
  return found;
}

/** The end of the connection is fine where a kill is meant. */
async function dropThrough({ proxy }: TappedProxy, schema: string): Promise<void> {
  try {
    const client = await connect(proxy, { database: schema });
    client.on('error', () => undefined);
    try {
      await client.query(`DROP VIEW ${VIEWS.join()}`);
    } finally {
      client.destroy();
    }
  } catch (error) {
    const { code } = error as { readonly code?: string };
    expect(['PROTOCOL_CONNECTION_LOST', 'ECONNRESET']).toContain(code);
  }
}
