/**
 * Answers that say who, what and where: a swap by command is of the person, a removal shows its
 * plan, an UNDROP DATABASE without the rights names the schema, doctor and status name filters by
 * which a replica differs, and MariaDB's EXECUTE IMMEDIATE of IF and CONCAT runs as it is read.
 */
import { userInfo } from 'node:os';
import { expect } from '@jest/globals';
import { onServers } from '../support/on-servers.js';
import { runUndrop } from '../support/proxy.js';
import { connect } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

onServers('answers on $name', (server, on) => {
  const { testOnEach: test } = on;
  on.freshLedger();
  const proxy = on.proxy();
  const root = on.session();
  const schema = on.each.schema('told');
  on.account('told_plain', { password: 'plain', grants: ['ALL ON `told\\_%`.*'] });

  const dropped = async () => {
    await using session = await connect(proxy, { database: schema.name });
    await session.run('CREATE TABLE t (id INT PRIMARY KEY)', 'INSERT INTO t VALUES (1)');
    await session.run('DROP TABLE t');
    await intentsSettled(root, [schema.name]);
  };
  const held = () =>
    root.rows(`SELECT user_name AS user FROM _undrop.ledger
      WHERE schema_name = '${schema.name}' AND state = 'HOLD' ORDER BY id`);

  test('remove --dry-run says what would go, and nothing goes', async () => {
    await dropped();
    const { code, stdout } = await runUndrop(server, ['remove', `${schema.name}.t`, '--dry-run']);
    expect([code, stdout]).toEqual([0, expect.stringContaining(`${schema.name}.t (`)]);
    expect(stdout).toContain('Nothing was done (--dry-run).');
    expect(await held()).toHaveLength(1);
    const { stdout: due } = await runUndrop(server, ['list', '--json']);
    expect(due).toContain(schema.name);
  });

  test('a table that a swap by command holds is of the person who swapped', async () => {
    await dropped();
    await root.run(`CREATE TABLE ${schema.name}.t (other INT)`);
    const { code } = await runUndrop(server, ['restore', `${schema.name}.t`, '--swap']);
    expect([code, await held()]).toEqual([0, [{ user: userInfo().username }]]);
  });

  test('a child without its parent says so, and not if both come back', async () => {
    await using session = await connect(proxy, { database: schema.name });
    const warnings = () => session.rows('SHOW WARNINGS');
    await session.run(
      'CREATE TABLE pa (id INT PRIMARY KEY)',
      'CREATE TABLE ch (id INT PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES pa (id))',
      'DROP TABLE ch, pa',
    );
    await intentsSettled(root, [schema.name]);
    await session.query('UNDROP TABLE ch');
    const [said] = await warnings();
    expect(said?.['Message']).toContain(`f refers to ${schema.name}.pa, which is missing`);
    await session.query('DROP TABLE ch');
    await intentsSettled(root, [schema.name]);
    await session.query('UNDROP TABLE ch, pa');
    expect(await warnings()).toEqual([]);
    expect(await session.errnoOf('INSERT INTO ch VALUES (1)')).toBe(1452);
  });

  test('UNDROP DATABASE … TO names the schema for which the rights are missing', async () => {
    await using session = await connect({ ...proxy, user: 'told_plain', password: 'plain' });
    const error = await session.errorOf(`UNDROP DATABASE ${schema.name} TO elsewhere_told`);
    expect(error?.message).toContain("any table of 'elsewhere_told'");
    expect(error?.message).not.toContain('_undrop_none_');
  });

  if (server.name !== 'mysql-5.6') {
    test('doctor and status name a filter by schema', async () => {
      const isMysql = server.flavour === 'mysql';
      const set = (name: string) =>
        root.query(
          isMysql
            ? `CHANGE REPLICATION FILTER REPLICATE_DO_DB = (${name})`
            : `SET GLOBAL replicate_do_db = '${name}'`,
        );
      await set('told_shop');
      try {
        for (const command of ['doctor', 'status']) {
          const { code, stdout } = await runUndrop(server, [command]);
          expect([command, code]).toEqual([command, 1]);
          expect(stdout).toContain('replicate-do-db=told_shop: such filters go by');
        }
      } finally {
        await set('');
      }
      const { stdout } = await runUndrop(server, ['doctor']);
      expect(stdout).not.toContain('such filters');
    });
  }

  if (server.flavour === 'mariadb') {
    test('EXECUTE IMMEDIATE of IF, CONCAT, literals and variables', async () => {
      await using session = await connect(proxy, { database: schema.name });
      await session.run(
        'CREATE TABLE t (id INT PRIMARY KEY)',
        "SET @no = 0, @engine = 'InnoDB'",
        "EXECUTE IMMEDIATE IF(@no, 'SELECT 1', 'DO 0')",
        "EXECUTE IMMEDIATE IF(@no, 'DO 0', CONCAT('ALTER TABLE t ENGINE=', @engine))",
        "EXECUTE IMMEDIATE IF(@no, 'START TRANSACTION', 'COMMIT')",
      );
      for (const text of [
        "EXECUTE IMMEDIATE IF(@no, 'DO 0', CONCAT('DR', 'OP TABLE t'))",
        "EXECUTE IMMEDIATE UPPER('drop table t')",
        "EXECUTE IMMEDIATE IF(@no := 1, 'DROP TABLE t', 'DROP TABLE t')",
      ]) {
        const error = await session.errorOf(text);
        expect([text, error?.message]).toEqual([text, expect.stringMatching(/^UNDROP_NOT_/)]);
      }
      expect(await session.count('t')).toBe(0);
    });
  }
});
