/**
 * What a drop does while the service account or the ledger fails: it is refused in clear words, the
 * table is still there and the session goes on; when the reason has gone, drops are held again.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, jest } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { testOnOne } from '../support/on-one-server.js';
import { until } from '../support/poll.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { connect, freshSchema, testServers } from '../support/servers.js';
import { Survival } from '../support/survival.js';

// A busy machine is slow, not wrong.
jest.setTimeout(240_000);

const ACCOUNT = 'undrop_svc';
const PASSWORD = 'a password';

const NO_SUCH_THREAD = 1094;

describe.each(testServers())('on $name', (server) => {
  const test = testOnOne(server);
  let proxy: ProxyTarget;
  let root: Connection;
  let schema = '';
  let survival: Survival;
  let client: RawClient;

  beforeAll(async () => {
    root = await connect(server);
    await root.query(`CREATE USER ${ACCOUNT}@'%' IDENTIFIED BY '${PASSWORD}'`);
    await root.query(`GRANT ALL ON *.* TO ${ACCOUNT}@'%'`);
    // MariaDB's and 5.6's own anonymous accounts of localhost would come before '%'.
    await root.query("DELETE FROM mysql.user WHERE user = ''");
    await root.query('FLUSH PRIVILEGES');
    proxy = await proxyInFront({ ...server, user: ACCOUNT, password: PASSWORD });
    schema = (await freshSchema(server, 'service')).name;
    await root.query(`USE ${schema}`);
    survival = new Survival(root, [schema]);
    client = await RawClient.open({ ...proxy, user: server.user }, { schema });
  });

  afterAll(async () => {
    await client.quit();
    await proxy.stop();
    await root.query(`DROP USER ${ACCOUNT}@'%'`);
    await root.query(`DROP DATABASE ${schema}`);
    await root.end();
  });

  beforeEach(async () => {
    await root.query('CREATE TABLE IF NOT EXISTS a (id INT PRIMARY KEY)');
    await root.query('REPLACE INTO a VALUES (1), (2), (3)');
  });

  async function serviceConnections(): Promise<readonly number[]> {
    const [rows] = await root.query<RowDataPacket[]>(
      'SELECT id AS id FROM information_schema.processlist WHERE user = ?',
      [ACCOUNT],
    );
    return rows.map((row) => Number(row['id']));
  }

  async function endServiceConnections(): Promise<void> {
    const ended = await serviceConnections();
    for (const id of ended) {
      // One may have left meanwhile.
      await root.query(`KILL ${id}`).catch((error: { readonly errno: number }) => {
        if (error.errno !== NO_SUCH_THREAD) throw error;
      });
    }
    await until(async () => {
      const left = await serviceConnections();
      return !left.some((id) => ended.includes(id));
    }, 'the service connections have ended');
  }

  async function drop(): Promise<string> {
    const { results } = await client.query('DROP TABLE a');
    const [result] = results;
    return result?.kind === 'err' ? result.message.toString() : 'OK';
  }

  async function expectHeld(): Promise<void> {
    await survival.remember();
    expect(await drop()).toBe('OK');
    const [rows] = await root.query<RowDataPacket[]>("SHOW TABLES LIKE 'a'");
    expect(rows).toEqual([]);
    expect(await survival.findLost()).toEqual([]);
  }

  test('service connections that the server has ended are replaced', async () => {
    await expectHeld();
    await root.query('CREATE TABLE a (id INT PRIMARY KEY)');
    await endServiceConnections();
    await expectHeld();
  });

  test('a drop is refused while the account is, and held again afterwards', async () => {
    // Not by another password: MySQL 9.7 takes the old one for as long as its cache has it.
    await root.query(`RENAME USER ${ACCOUNT}@'%' TO ${ACCOUNT}_away@'%'`);
    await endServiceConnections();
    const refusal = await drop();
    expect(refusal).toMatch(/^UNDROP_NOT_RECORDED: Table a was not dropped, nothing was changed: /);
    // MySQL asks a user whom it doesn't know by any plugin, also by one that undrop refuses.
    expect(refusal).toMatch(/Access denied(: the server has no such user| for user 'undrop_svc')/);
    expect(await client.rows('SELECT COUNT(*) FROM a')).toEqual([['3']]);
    await root.query(`RENAME USER ${ACCOUNT}_away@'%' TO ${ACCOUNT}@'%'`);
    await expectHeld();
  });

  test('a ledger that is gone is made again by the next drop', async () => {
    await expectHeld();
    await root.query('CREATE TABLE a (id INT PRIMARY KEY)');
    await root.query('DROP TABLE _undrop.ledger');
    await expectHeldAnew();
  });

  test('a schema of ours that is gone is made again by the next drop', async () => {
    await root.query('DROP DATABASE _undrop');
    await expectHeldAnew();
  });

  /** Before the drop there is no ledger to be looked at. */
  async function expectHeldAnew(): Promise<void> {
    expect(await drop()).toBe('OK');
    const [rows] = await root.query<RowDataPacket[]>(
      'SELECT id, hold_name FROM _undrop.ledger WHERE schema_name = ?',
      [schema],
    );
    expect(rows).toHaveLength(1);
    const [held] = await root.query<RowDataPacket[]>(
      `SHOW TABLES FROM _undrop LIKE '%${rows[0]?.['id']}%'`,
    );
    expect(held).toHaveLength(1);
  }
});
