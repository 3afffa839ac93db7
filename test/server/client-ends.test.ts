/**
 * A client goes away while its statement waits for somebody's lock: the wait ends, who came later
 * goes on, and nothing is carried out later. Natively MariaDB does so within a second; MySQL goes
 * on waiting, and so does undrop there if its account may kill nobody.
 */
import { inLanes } from '../support/lanes.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { query, type Target, testServers } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { intentsSettled } from '../support/settled.js';
import { Survival } from '../support/survival.js';

const FLAGS = MODERN | CLIENT.MULTI_STATEMENTS;
const ignored = () => undefined;
const ENDS = ['closed', 'ended', 'reset'] as const;
const TIERS = ['managed', 'full'] as const;
const runs = testServers().flatMap((server) =>
  TIERS.flatMap((tier) => {
    // The servers of the set that have a certificate of their own.
    const hasTls = ['mysql-9.7', 'mariadb-11.8'].includes(server.name);
    const modes = hasTls ? ['disabled', 'required'] : ['disabled'];
    return modes.map((tls) => ({ name: server.name, server, tier, tls }));
  }),
);

inLanes(runs, 'on $name, the account is $tier, TLS $tls', ({ server, tier, tls }, lane) => {
  const on = onServer(server, lane);
  const { afterAll, beforeAll, beforeEach, test } = on;
  const isMariadb = server.name.startsWith('mariadb');
  const account = `ends_${tier}${tls === 'required' ? '_s' : ''}`;
  const warnings: string[] = [];
  const warn = (_fields: object, message: string) => warnings.push(message);
  const log = { debug: ignored, info: ignored, warn, error: ignored };
  beforeAll(() => makeServiceAccount(server, { user: account, tier }));
  afterAll(() => query(server, `DROP USER ${account}@'%'`));
  const upstream = { ...server, user: account, password: SERVICE_ACCOUNT.password };
  const proxy = on.proxy({ UPSTREAM_TLS: tls }, { upstream, log });
  const schema = on.schema('ends').name;
  const root = on.session({ schema });
  const user = `u_${schema.slice(-8)}`;
  on.account(user, { grants: [`DROP ON ${schema}.*`] });
  const survival = new Survival(root, [schema]);

  beforeEach(async () => {
    for (const table of ['a', 'b']) {
      await root.run(`DROP TABLE IF EXISTS ${table}`, `CREATE TABLE ${table} (id INT PRIMARY KEY)`);
      await root.query(`INSERT INTO ${table} VALUES (1), (2)`);
    }
    await survival.remember();
  });

  async function open(target: Target, user = 'root'): Promise<RawClient> {
    const client = await RawClient.open(target, { user, schema, flags: FLAGS });
    on.each.keep({ [Symbol.asyncDispose]: async () => client.close() });
    return client;
  }

  const live = () => root.tables();
  const sessions = (which: string) => root.count(`information_schema.PROCESSLIST WHERE ${which}`);
  const waits = async (threadId: number) =>
    (await sessions(`ID = ${threadId} AND STATE LIKE 'Waiting for % lock'`)) > 0;
  const isGone = async (threadId: number) => (await sessions(`ID = ${threadId}`)) === 0;

  /** A session that has read `a`, and one whose `text` waits for it. */
  async function begin(text: string, as: string) {
    const reader = await open(server);
    await reader.run(['BEGIN', 'SELECT * FROM a']);
    const client = await open(proxy, as);
    client.write([client.queryPayload(text)]);
    await until(() => waits(client.threadId), 'the statement waits for the lock');
    return { reader, client };
  }

  async function expectEnded(text: string, as: string, how: (typeof ENDS)[number]): Promise<void> {
    const { reader, client } = await begin(text, as);
    const later = await open(server);
    let went = false;
    const reading = later.query('SELECT * FROM a').then(() => {
      went = true;
    });
    await until(() => waits(later.threadId), 'who comes later waits behind it');
    client.close(how);
    await until(() => went, 'who came later goes on');
    await until(() => isGone(client.threadId), 'the session of the client ends');
    await reading;
    await Promise.all([later.quit(), reader.quit()]);
    await intentsSettled(root, [schema]);
    await until(async () => (await live()).length === 2, 'all is back');
    expect(await live()).toEqual(['a', 'b']);
    expect(await survival.findLost()).toEqual([]);
  }

  if (!isMariadb && tier === 'managed') {
    test('MySQL goes on to wait, as natively, and the log says what is missing', async () => {
      const { reader, client } = await begin('DROP TABLE a', 'root');
      client.close();
      await until(() => warnings.some((one) => one.includes('CONNECTION_ADMIN')), 'a warning');
      await reader.quit();
      await until(() => isGone(client.threadId), 'the session of the client ends');
      await intentsSettled(root, [schema]);
      expect(await live()).toEqual(['b']);
      expect(await survival.findLost()).toEqual([]);
    });
    return;
  }

  const cases = [
    { what: 'DROP TABLE', text: 'DROP TABLE b, a', as: 'root' },
    { what: 'DROP TABLE by a user with DROP alone', text: 'DROP TABLE b, a', as: '' },
    { what: 'DROP DATABASE', text: 'DROP DATABASE', as: 'root' },
    { what: 'DROP DATABASE by a user with DROP alone', text: 'DROP DATABASE', as: '' },
    { what: 'several statements', text: 'DO 0; DROP TABLE a; DROP TABLE b', as: 'root' },
    ...(isMariadb
      ? [{ what: 'CREATE OR REPLACE', text: 'CREATE OR REPLACE TABLE a (id INT)', as: 'root' }]
      : []),
  ] as const;
  for (const [index, { what, text, as }] of cases.entries()) {
    const how = ENDS[index % ENDS.length] ?? 'closed';
    test(`a ${what} that waits ends with its client (${how})`, () => {
      const whole = text === 'DROP DATABASE' ? `${text} ${schema}` : text;
      return expectEnded(whole, as === '' ? user : as, how);
    });
  }

  test('an UNDROP … SWAP that waits ends with its client', async () => {
    const client = await open(proxy);
    await client.run(['DROP TABLE a', 'CREATE TABLE a (id INT PRIMARY KEY, x INT)']);
    await client.quit();
    await intentsSettled(root, [schema]);
    await survival.remember();
    await expectEnded('UNDROP TABLE a SWAP', 'root', 'closed');
    const columns = await root.rows(`SHOW COLUMNS FROM ${schema}.a`);
    expect(columns).toHaveLength(2);
    const held = await root.rows(
      "SELECT id FROM _undrop.ledger WHERE schema_name = ? AND state = 'HOLD'",
      [schema],
    );
    expect(held).toHaveLength(1);
  });

  test('what a client sends behind a drop that waits comes after it, however long', async () => {
    const { reader, client } = await begin('DROP TABLE a', 'root');
    const text = (index: number) => `SELECT ${index} /* ${'x'.repeat(1_000)} */`;
    const indices = Array.from({ length: 100 }, (_, index) => index);
    client.write(indices.map((index) => client.queryPayload(text(index))));
    await reader.quit();
    expect((await client.answer()).results).toMatchObject([{ kind: 'ok' }]);
    const seen: number[] = [];
    for (const _ of indices) {
      const [result] = (await client.answer()).results;
      seen.push(result?.kind === 'rows' ? Number(result.rows[0]?.[0]) : -1);
    }
    expect(seen).toEqual(indices);
    await intentsSettled(root, [schema]);
  });

  test('a drop that waits for nothing is carried out, although its client is gone', async () => {
    const client = await open(proxy);
    client.write([client.queryPayload('DROP TABLE a')]);
    client.close('ended');
    await until(async () => !(await live()).includes('a'), 'the table is dropped');
    await until(() => isGone(client.threadId), 'the session of the client ends');
    await intentsSettled(root, [schema]);
    expect(await survival.findLost()).toEqual([]);
  });
});
