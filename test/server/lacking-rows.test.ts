/**
 * A restore reads nothing of other tables that lack triggers, and asks nothing about them. Imports
 * the restore, to see all that goes over its connections and nothing else.
 */
import { inspect } from 'node:util';
import { definitionsOfSchema } from '../../src/drop/steps/definitions-to-make.js';
import type { UserFacts } from '../../src/drop/steps/world.js';
import { assert } from '../../src/errors.js';
import { restore } from '../../src/recycle/restore.js';
import { findSchemaDrop } from '../../src/recycle/schema/restore-schema.js';
import { finishSchemaRestore } from '../../src/recycle/undo/undo-many.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { connect, query, type Target } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { poolOn } from '../support/service-pool.js';
import { tappedPool } from '../support/tapped-pool.js';

const USER = 'undrop_lacking';

onServers('restores on $name', (server, on) => {
  const managed: Target = { ...server, user: USER, password: SERVICE_ACCOUNT.password };
  const root = on.session();
  on.freshLedger();
  const trust = (isTrusted: boolean) =>
    root.run(`SET GLOBAL log_bin_trust_function_creators = ${isTrusted ? 1 : 0}`);
  on.beforeAll(async () => {
    await makeServiceAccount(server, { user: USER, tier: 'managed' });
    // Else MariaDB and MySQL 5.6 let it take no trigger off.
    await trust(true);
  });
  on.afterAll(async () => {
    await trust(false);
    await root.run(`DROP USER ${USER}@'%'`);
  });
  const proxy = on.proxy({}, { upstream: managed });
  const pool = on.open(() => poolOn(managed));
  const { name } = on.schema('lack');
  const other = on.schema('lack');

  on.testOnEach('read nothing of other tables that lack triggers, and ask nothing', async () => {
    await using session = await connect(proxy, { database: name });
    const schemaDropEnded = async () => {
      const ended = "SELECT 1 FROM _undrop.ledger WHERE kind = 'schema' AND state = 'removed'";
      return (await query(server, ended)).length > 0;
    };
    await root.run(
      `CREATE TABLE ${name}.t (id INT PRIMARY KEY)`,
      `CREATE TABLE ${name}.plain (id INT)`,
      `CREATE TRIGGER ${name}.of_t BEFORE INSERT ON ${name}.t FOR EACH ROW SET @x = 1`,
      `CREATE TABLE ${name}.p (id INT PRIMARY KEY)`,
      `CREATE TABLE ${name}.c (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES ${name}.p (id))`,
      `CREATE TRIGGER ${name}.of_c BEFORE INSERT ON ${name}.c FOR EACH ROW SET @x = 1`,
      `CREATE TABLE ${other.name}.u (id INT)`,
      `CREATE TRIGGER ${other.name}.of_u BEFORE INSERT ON ${other.name}.u FOR EACH ROW SET @x = 1`,
    );
    await session.run('DROP TABLE t', 'DROP TABLE c');
    for (const table of ['t', 'c']) await restore(pool, { target: `${name}.${table}` });
    const lacking = "SELECT id FROM _undrop.ledger WHERE todo = 'triggers' ORDER BY id";
    const [t = '', c = '', ...none] = (await root.column(lacking)).map(String);
    expect([t.length, c.length, none]).toEqual([32, 32, []]);
    await session.run('DROP TABLE plain', 'SET foreign_key_checks = 0', 'DROP TABLE p');
    await session.run(`DROP DATABASE ${other.name}`);
    await until(schemaDropEnded, 'its end');
    /** All that is sent, and all that comes. */
    const seen: string[] = [];
    const tapped = tappedPool(pool, async (send, texts) => {
      const answers = await send();
      const whole = { depth: null, maxArrayLength: null, maxStringLength: null };
      seen.push(...texts, inspect(answers, whole));
      return answers;
    });
    const seenOf = (id: string) => {
      return seen.flatMap((text) => (text.includes(id) ? [text.slice(0, 200)] : []));
    };
    await restore(tapped, { target: `${name}.plain` });
    const { drop } = await findSchemaDrop(tapped, { schema: other.name });
    const report = await finishSchemaRestore(tapped, drop);
    assert(report !== null, 'nobody else restores it');
    const facts = { schema: other.name, logged: true } as UserFacts;
    const made = await definitionsOfSchema(tapped, report, facts);
    expect(made.map(({ create }) => create.toString())).toEqual([expect.stringContaining('of_u')]);
    expect([seenOf(t), seenOf(c)]).toEqual([[], []]);
    // A key may wait for this one.
    await restore(tapped, { target: `${name}.p` });
    expect([seenOf(t).length, seenOf(c).length > 0]).toEqual([0, true]);
  });
});
