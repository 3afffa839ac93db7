/**
 * The ledger can't be written to, as a session holds the whole server for reading: a drop by that
 * session has the server's own words at once, and one by another waits as long as natively and goes
 * on. And where it can't be written to for a moment, nothing stays in it that was refused.
 */
import { describeAnswer } from '../support/native-case.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import type { Target } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { Survival } from '../support/survival.js';
import { wireTap } from '../support/wire-tap.js';

const HOLD_ALL = 'FLUSH TABLES WITH READ LOCK';

/** `right`: on `tables` of the schema; null: root. */
const ACCOUNTS = [
  { who: 'root', user: 'root', right: null, tables: [] },
  { who: 'a user with rights on the schema', user: 'locked_s', right: 'ALL', tables: ['*'] },
  { who: 'a user with DROP on its tables', user: 'locked_t', right: 'DROP', tables: ['a', 'b'] },
] as const;

const USERS = ACCOUNTS.map(({ who, user }) => [who, user] as const);

onServersAtOnce('a ledger that is locked, on $name', (server, on) => {
  const { beforeAll, test } = on;
  /** Of texts that write an intent. */
  let answered = 0;
  /** Until then their answers are kept back. */
  let gate: Promise<void> = Promise.resolve();
  /** What was sent was given up. */
  let kills = 0;
  /** So many of the statements that forget an intent find no server. */
  let forgetsToCut = 0;

  const schema = on.schema('locked').name;
  const root = on.session({ schema });
  const survival = new Survival(root, [schema]);
  const tap = on.open(() =>
    wireTap(server, async ({ moment, command }) => {
      if (moment === 'before statement' && /^KILL /m.test(command.toString())) kills++;
      if (moment === 'before statement' && command.includes('/* undrop forget ')) {
        if (forgetsToCut-- > 0) return 'cut';
      }
      if (moment !== 'before answer' || !command.includes('INTO `_undrop`.`ledger`')) return true;
      answered++;
      await gate;
      return true;
    }),
  );
  const PROTECT = 'drop-table,drop-database,create-or-replace,truncate';
  const proxy = on.proxy({ PROTECT }, { upstream: tap });
  beforeAll(() => make());
  for (const { user, right, tables } of ACCOUNTS) {
    if (right === null) continue;
    const grants = tables.map((table) => `${right} ON ${schema}.${table}`);
    // RELOAD is for the lock of its own.
    on.account(user, { grants: ['RELOAD ON *.*', ...grants] });
  }

  async function make(): Promise<void> {
    for (const table of ['a', 'b']) {
      await root.query(`CREATE TABLE IF NOT EXISTS ${table} (id INT PRIMARY KEY)`);
      await root.query(`REPLACE INTO ${table} VALUES (1), (2)`);
    }
    await survival.remember();
  }

  async function settled(): Promise<void> {
    await intentsSettled(root, [schema]);
    expect(await survival.findLost()).toEqual([]);
  }

  /** Directly that error comes first, and all of it is the same through the proxy. */
  async function hearsAlike(errno: number, hear: (target: Target) => Promise<readonly string[]>) {
    const direct = await hear(server);
    expect(direct[0]).toContain(`ERR ${errno}`);
    expect(await hear(proxy)).toEqual(direct);
    await settled();
  }

  test('a transaction that has read it with locks is named, and nothing is dropped', async () => {
    await make();
    const isMysql8 = server.name === 'mysql-9.7';
    await using locking = await RawClient.open(server, { schema });
    await locking.run(['BEGIN', 'SELECT COUNT(*) FROM _undrop.ledger LOCK IN SHARE MODE']);
    const [[id] = []] = await locking.rows('SELECT CONNECTION_ID()');
    await using client = await RawClient.open(proxy, { schema });
    const heard = await client.words('DROP TABLE a');
    expect(heard).toMatch(/UNDROP_NOT_RECORDED/);
    expect(heard).toContain(`connection ${id} may have locked it`);
    const doctor = await runUndrop(server, ['doctor']);
    if (isMysql8) expect(doctor.stdout).toContain(`: connection ${id} (root@`);
    await locking.run(['ROLLBACK']);
    await settled();
    await locking.quit();
    await client.quit();
  });

  test.each(USERS)('a drop by who holds the server is refused at once: %s', async (_who, user) => {
    await make();
    const hear = async (target: Target) => {
      await using client = await RawClient.open(target, { schema, user });
      await client.run(['DO 0', HOLD_ALL]);
      const heard: string[] = [];
      for (const text of ['DROP TABLE a', 'DROP TABLE IF EXISTS missing, a', 'SHOW WARNINGS']) {
        heard.push(...describeAnswer(await client.query(text)));
      }
      await client.run(['UNLOCK TABLES']);
      return heard;
    };
    const direct = await hear(server);
    expect(direct[0]).toContain('ERR 1223');
    // The intent has no answer, and nobody has given it up: but for what a busy machine delays.
    await until(async () => {
      let open: () => void = () => undefined;
      gate = new Promise((resolve) => {
        open = resolve;
      });
      kills = 0;
      try {
        expect(await hear(proxy)).toEqual(direct);
        return kills === 0;
      } finally {
        open();
        await settled();
      }
    }, 'the answer comes before the intent is given up');
    const tables = await root.rows('SHOW TABLES');
    expect(tables).toHaveLength(2);
  });

  const waiting = (threadId: number) =>
    root.hasProcess(`ID = ${threadId} AND STATE LIKE 'Waiting for %lock'`);

  /** What `work` hears while another session holds the server. */
  async function besideHolder<T>(work: (release: () => Promise<void>) => Promise<T>): Promise<T> {
    await using holder = await RawClient.open(server, { schema });

    await holder.run([HOLD_ALL]);
    return await work(() => holder.run(['UNLOCK TABLES']));
  }

  test.each(USERS)('a drop beside who holds the server waits for it: %s', async (_who, user) => {
    await make();
    await using client = await RawClient.open(proxy, { schema, user });
    await client.run(['DO 0']);
    await besideHolder(async (release) => {
      answered = 0;
      const answering = client.query('DROP TABLE a, b');
      // The second try to write the intent has failed as well.
      await until(() => answered >= 2, 'the intent is given up');
      await release();
      expect((await answering).results).toMatchObject([{ kind: 'ok', warnings: 0 }]);
    });
    await settled();
    const tables = await root.rows('SHOW TABLES');
    expect(tables).toHaveLength(0);
  });

  test.each(USERS)('a drop beside it ends when the client says so: %s', async (_who, user) => {
    await make();
    await hearsAlike(1205, async (target) => {
      await using client = await RawClient.open(target, { schema, user });
      await client.run(['SET lock_wait_timeout = 1']);
      return describeAnswer(await besideHolder(() => client.query('DROP TABLE a, b')));
    });
  });

  test.each(USERS)('KILL QUERY ends a drop that waits beside it: %s', async (_who, user) => {
    await make();
    await hearsAlike(1317, async (target) => {
      await using client = await RawClient.open(target, { schema, user });
      let heard: readonly string[] = [];
      await besideHolder(async () => {
        const answering = client.query('DROP TABLE a, b').then((answer) => {
          heard = describeAnswer(answer);
        });
        await until(() => waiting(client.threadId), 'the drop waits for the lock');
        await root.query(`KILL QUERY ${client.threadId}`);
        await until(() => heard.length > 0, 'the drop is answered');
        await answering;
      });
      return heard;
    });
  });

  test('what else takes tables waits beside such a session, by who has no right on others', async () => {
    const own = `own_${schema}`;
    const isMariaDb = server.flavour === 'mariadb';
    const texts = [
      'TRUNCATE b',
      ...(isMariaDb ? ['CREATE OR REPLACE TABLE b (id INT)'] : []),
      `DROP DATABASE ${own}`,
    ];
    await root.run(`CREATE DATABASE ${own}`, `GRANT ALL ON ${own}.* TO locked_s@'%'`);
    await root.query(`CREATE TABLE ${own}.b (id INT PRIMARY KEY)`);
    for (const text of texts) {
      await using client = await RawClient.open(proxy, { schema: own, user: 'locked_s' });
      await besideHolder(async (release) => {
        const answering = client.query(text);
        await until(() => waiting(client.threadId), `${text} waits`);
        await release();
        const { results } = await answering;
        expect([text, results.map(({ kind }) => kind)]).toEqual([text, ['ok']]);
      });
    }
    await intentsSettled(root, [own]);
  });

  test('who may not drop the first of the tables hears so beside such a session', async () => {
    await make();
    await root.query('CREATE TABLE c (id INT PRIMARY KEY)');
    await hearsAlike(1142, async (target) => {
      await using client = await RawClient.open(target, { schema, user: 'locked_t' });
      return describeAnswer(await besideHolder(() => client.query('DROP TABLE c, a')));
    });
    await root.query('DROP TABLE c');
  });

  test('an intent that can not be forgotten at once is forgotten a moment later', async () => {
    await root.query('CREATE TABLE parent (id INT PRIMARY KEY)');
    await root.query('CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id))');
    await using client = await RawClient.open(proxy, { schema });
    forgetsToCut = 2;
    const { results } = await client.query('DROP TABLE parent');
    expect(results.map(({ kind }) => kind)).toEqual(['err']);
    await settled();
    // It may be forgotten twice.
    expect(forgetsToCut).toBeLessThanOrEqual(-1);
    await root.query('DROP TABLE child, parent');
  });
});
