/**
 * kill -9 of the proxy at every statement and every answer of a CREATE OR REPLACE, from its RENAME
 * on: the old table is under its own name or held whole, and can be restored; a new one is there or
 * isn't; recovery renames nothing that lives.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { ensureLedger } from '../../src/ledger/tables.js';
import type { ServicePool } from '../../src/service/pools.js';
import { restore } from '../../src/undo/run-restore.js';
import { connect, freshSchema, testServer } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { intentsSettled } from '../support/settled.js';
import { sessionsGone, type TappedProxy, tappedProxy } from './killed-drops.js';

const SETTLED_MS = 20_000;
/** More than a CREATE OR REPLACE has from its RENAME on. */
const EVENTS_MAX = 60;
const REPLACE = 'CREATE OR REPLACE TABLE a (fresh INT) SELECT 7 AS fresh';
const FROM_RENAME = { fromRename: true };

const server = testServer('mariadb-11.8');
let pool: ServicePool;
let direct: Connection;

beforeAll(async () => {
  pool = poolOn(server, 2);
  await ensureLedger(pool);
  direct = await connect(server);
});

afterAll(async () => {
  await direct.end();
  await pool.dispose();
});

test('a proxy killed amid CREATE OR REPLACE leaves the old table live or held, wherever', async () => {
  const { name: schema, drop } = await freshSchema(server, 'killr');
  const states = new Set<string>();
  const first = await findRename(schema);
  let victim = await tappedProxy(server, FROM_RENAME);
  for (let at = first; ; at++) {
    expect(at).toBeLessThan(first + EVENTS_MAX);
    await make(schema);
    victim.killAt(at);
    await replaceThrough(victim, schema);
    if (victim.killedAt() === null) await victim.proxy.stop();
    await victim.proxy.ended;
    const killedAt = victim.killedAt();
    await victim.tap.close();
    await sessionsGone(direct, schema);
    const before = await liveTable(schema);
    victim = await tappedProxy(server, FROM_RENAME);
    await intentsSettled(direct, [schema], SETTLED_MS);
    const where = `killed at ${at}: ${killedAt?.moment} of ${killedAt?.text}`;
    expect({ where, live: await liveTable(schema) }).toEqual({ where, live: before });
    const held = await heldIds(schema);
    expect({ where, held: held.length }).toEqual({ where, held: before === 'old' ? 0 : 1 });
    for (const id of held) {
      await restore(pool, { target: id, to: 'back' });
      const [[row]] = await direct.query<RowDataPacket[]>(
        `SELECT COUNT(*) AS n, SUM(old) AS sum FROM ${schema}.back`,
      );
      expect([row?.['n'], Number(row?.['sum'])]).toEqual([3, 6]);
    }
    states.add(before);
    if (killedAt === null) break;
  }
  await victim.proxy.stop();
  await victim.tap.close();
  // Before the RENAME, between it and the CREATE, and behind that.
  expect([...states].sort()).toEqual(['new', 'none', 'old']);
  await drop();
}, 300_000);

async function findRename(schema: string): Promise<number> {
  const whole = await tappedProxy(server, FROM_RENAME);
  await make(schema);
  whole.killAt(Number.POSITIVE_INFINITY);
  await replaceThrough(whole, schema);
  await whole.proxy.stop();
  await whole.tap.close();
  for (const id of await heldIds(schema)) await restore(pool, { target: id, to: 'back' });
  return Math.max(1, whole.renameAt() - 1);
}

async function make(schema: string): Promise<void> {
  await direct.query(`DROP TABLE IF EXISTS ${schema}.a, ${schema}.back`);
  await direct.query(`CREATE TABLE ${schema}.a (old INT)`);
  await direct.query(`INSERT INTO ${schema}.a VALUES (1), (2), (3)`);
}

/** The end of the connection is fine where a kill is meant. */
async function replaceThrough({ proxy }: TappedProxy, schema: string): Promise<void> {
  const client = await connect(proxy, { database: schema });
  client.on('error', () => undefined);
  try {
    await client.query(REPLACE);
  } catch (error) {
    const { code } = error as { readonly code?: string };
    expect(['PROTOCOL_CONNECTION_LOST', 'ECONNRESET']).toContain(code);
  } finally {
    client.destroy();
  }
}

async function liveTable(schema: string): Promise<'old' | 'new' | 'none'> {
  const [rows] = await direct.query<RowDataPacket[]>(
    `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = ? AND TABLE_NAME = 'a'`,
    [schema],
  );
  if (rows.length === 0) return 'none';
  return rows[0]?.['name'] === 'old' ? 'old' : 'new';
}

async function heldIds(schema: string): Promise<readonly string[]> {
  const [rows] = await direct.query<RowDataPacket[]>(
    "SELECT id FROM _undrop.ledger WHERE schema_name = ? AND state = 'HOLD'",
    [schema],
  );
  return rows.map(({ id }) => String(id));
}
