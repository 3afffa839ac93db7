/**
 * What a drop does while the service account or the ledger fails: it is refused in clear words, the
 * table is still there and the session goes on; when the reason has gone, drops are held again.
 */
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { Survival } from '../support/survival.js';

const ACCOUNT = 'undrop_svc';
const PASSWORD = 'a password';

const NO_SUCH_THREAD = 1094;

onServers('a drop whose service connections break, on $name', (server, on) => {
  const { beforeAll, beforeEach, test } = on;
  const schema = on.schema('service').name;
  const root = on.session({ schema });
  const survival = new Survival(root, [schema]);
  on.account(ACCOUNT, { password: PASSWORD, grants: ['ALL ON *.*'] });
  // MariaDB's and 5.6's own anonymous accounts of localhost would come before '%'.
  beforeAll(() => root.run("DELETE FROM mysql.user WHERE user = ''", 'FLUSH PRIVILEGES'));
  const upstream = { ...server, user: ACCOUNT, password: PASSWORD };
  const proxy = on.proxy({}, { upstream });
  const client = on.client({ to: proxy, user: server.user, schema });

  beforeEach(async () => {
    await root.query('CREATE TABLE IF NOT EXISTS a (id INT PRIMARY KEY)');
    await root.query('REPLACE INTO a VALUES (1), (2), (3)');
  });

  async function serviceConnections(): Promise<readonly number[]> {
    const text = 'SELECT id FROM information_schema.processlist WHERE user = ?';
    return (await root.column(text, [ACCOUNT])).map(Number);
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

  const drop = async () => (await client.words('DROP TABLE a')).replace(/^\d+ /, '');

  async function expectHeld(): Promise<void> {
    await survival.remember();
    expect(await drop()).toBe('OK 0');
    expect(await root.rows("SHOW TABLES LIKE 'a'")).toEqual([]);
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
    await root.run('CREATE TABLE a (id INT PRIMARY KEY)', 'DROP TABLE _undrop.ledger');
    // Before the drop there is no ledger to be looked at.
    expect(await drop()).toBe('OK 0');
    const rows = await ledgerRows(root, { schema });
    expect(rows).toHaveLength(1);
    const held = await root.rows(`SHOW TABLES FROM _undrop LIKE '%${rows[0]?.['id']}%'`);
    expect(held).toHaveLength(1);
  });
});
