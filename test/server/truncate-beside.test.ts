/**
 * TRUNCATE beside what others do to the same table, its schema or its parent at that moment: the
 * words are the server's own, and no foreign key is lost or leads elsewhere.
 */
import { NumberTables } from '../support/number-tables.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { type RawAnswer, RawClient } from '../support/raw-client.js';
import { rounds } from '../support/sample.js';
import { connect } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { wireTap } from '../support/wire-tap.js';

const PROTECT = 'drop-table,truncate';
/** The statement that gives a table its foreign keys. */
const adding = (table: string) =>
  new RegExp(`ALTER TABLE /\\* undrop keys [^*]*\\*/ \\S*\`${table}\` .*ADD CONSTRAINT`, 's');
/** Races in which nothing says when who is where. */
const ROUNDS = rounds(60, 20);

function said({ results }: RawAnswer): readonly string[] {
  return results.map((one) => (one.kind === 'err' ? `${one.errno} ${one.message}` : one.kind));
}

onServers('what empties a table on $name', (server, on) => {
  const { test } = on;

  const proxy = on.proxy({ PROTECT });
  const schema = on.schema('beside').name;
  const root = on.session({ schema });

  /** Says `text`, and does `work` once, right before the first statement that is like `part`. */
  async function sayBeside(text: string, part: RegExp, work: () => Promise<unknown>) {
    let isDone = false;
    await using tap = await wireTap(server, async ({ moment, command }) => {
      if (isDone || moment !== 'before statement' || !part.test(command.toString('latin1')))
        return true;
      isDone = true;
      await work();
      return true;
    });
    await using tapped = await proxyInFront({ ...server, ...tap }, { PROTECT });
    await using client = await RawClient.open(tapped, { schema });
    const answer = said(await client.query(text));
    expect([answer, isDone]).toEqual([['ok'], true]);
  }
  const truncateBeside = (table: string, part: RegExp, work: () => Promise<unknown>) =>
    sayBeside(`TRUNCATE ${table}`, part, work);

  async function makeFamily(name: string): Promise<void> {
    await root.query(`CREATE TABLE ${name}_par (v INT PRIMARY KEY) ENGINE=InnoDB`);
    await root.query(`CREATE TABLE ${name}_ch (v INT, CONSTRAINT ${schema}_${name}
      FOREIGN KEY (v) REFERENCES ${name}_par (v)) ENGINE=InnoDB`);
    await root.run(`INSERT INTO ${name}_par VALUES (1)`, `INSERT INTO ${name}_ch VALUES (1)`);
  }

  function parentOf(table: string): Promise<string[]> {
    return root.column(
      `SELECT CONCAT(UNIQUE_CONSTRAINT_SCHEMA, '.', REFERENCED_TABLE_NAME) AS parent
       FROM information_schema.REFERENTIAL_CONSTRAINTS
       WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?`,
      [schema, table],
    );
  }

  const numbers = new NumberTables(root, schema);
  const heldOf = (table: string) => numbers.placesOf(table);

  test('of a parent: the keys of its children lead to the name', async () => {
    await makeFamily('flushed');
    await using client = await RawClient.open(proxy, { schema });
    const text = 'TRUNCATE flushed_par';
    await client.run(['SET foreign_key_checks = 0', text, text]);
    expect(await heldOf('flushed_par')).toHaveLength(2);
    expect(await parentOf('flushed_ch')).toEqual([`${schema}.flushed_par`]);
  });

  test('of a parent, and of its child, whose keys the server has named', async () => {
    await root.run(
      'CREATE TABLE kin_p (id INT PRIMARY KEY) ENGINE=InnoDB',
      `CREATE TABLE kin_c (id INT PRIMARY KEY, pid INT, other INT,
        FOREIGN KEY (pid) REFERENCES kin_p (id),
        FOREIGN KEY (other) REFERENCES kin_p (id)) ENGINE=InnoDB`,
      'INSERT INTO kin_p VALUES (1)',
      'INSERT INTO kin_c VALUES (1, 1, 1)',
    );
    await using client = await RawClient.open(proxy, { schema });
    const tables = ['kin_p', 'kin_c', 'kin_p', 'kin_c', 'kin_c'];
    await client.run(['SET foreign_key_checks = 0', ...tables.map((name) => `TRUNCATE ${name}`)]);
    await intentsSettled(root, [schema]);
    const keysOf = async () => {
      return (await root.show('kin_c')).match(/CONSTRAINT .*? REFERENCES `\w+`/g);
    };
    await until(async () => (await keysOf())?.length === 2, 'the keys are on the child');
    expect(await keysOf()).toEqual([
      'CONSTRAINT `kin_c_ibfk_1` FOREIGN KEY (`pid`) REFERENCES `kin_p`',
      'CONSTRAINT `kin_c_ibfk_2` FOREIGN KEY (`other`) REFERENCES `kin_p`',
    ]);
  });

  test('of a child that is dropped before its keys are added: UNDROP adds them', async () => {
    await makeFamily('raced');
    await using other = await RawClient.open(proxy, { schema });
    await truncateBeside('raced_ch', adding('raced_ch'), () => other.run(['DROP TABLE raced_ch']));
    await intentsSettled(root, [schema]);
    await other.run(['UNDROP TABLE raced_ch']);
    expect(await parentOf('raced_ch')).toEqual([`${schema}.raced_par`]);
  });

  /** The keys and triggers of a table. */
  async function boundBy(table: string): Promise<readonly string[]> {
    const keys = await root.column(
      `SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS
       WHERE CONSTRAINT_SCHEMA = '${schema}' AND TABLE_NAME = '${table}'`,
    );
    const triggers = await root.column(`SHOW TRIGGERS LIKE '${table}'`);
    return [...keys, ...triggers].map(String);
  }

  test.each(['UNDROP TABLE', 'UNDROP TABLE … SWAP'])(
    'a drop beside the second half of %s: the next one adds what is left',
    async (form) => {
      const isSwap = form.endsWith('SWAP');
      const name = isSwap ? 'swapped' : 'returned';
      await makeFamily(name);
      const [child, trigger] = [`${name}_ch`, `${name}_tr`];
      await root.query(
        `CREATE TRIGGER ${trigger} BEFORE INSERT ON ${child} FOR EACH ROW SET @x = 1`,
      );
      await using other = await RawClient.open(proxy, { schema });
      await other.run([`DROP TABLE ${child}`]);
      await intentsSettled(root, [schema]);
      if (isSwap) await root.query(`CREATE TABLE ${child} (other INT)`);
      const text = `UNDROP TABLE ${child}${isSwap ? ' SWAP' : ''}`;
      await sayBeside(text, adding(child), () => other.run([`DROP TABLE ${child}`]));
      await intentsSettled(root, [schema]);
      await other.run([`UNDROP TABLE ${child}`]);
      expect(await boundBy(child)).toEqual([`${schema}_${name}`, trigger]);
    },
  );

  /** Drops it, waits for what follows, and brings it back. */
  async function dropAndUndo(client: RawClient, table: string): Promise<void> {
    await client.run([`DROP TABLE ${table}`]);
    await intentsSettled(root, [schema]);
    await client.run([`UNDROP TABLE ${table}`]);
  }

  test.each(['UNDROP', 'TRUNCATE'])(
    'parts that are dropped after the end of %s do not come back',
    async (verb) => {
      const name = `own_${verb.toLowerCase()}`;
      const child = `${name}_ch`;
      await makeFamily(name);
      await using other = await RawClient.open(proxy, { schema });
      if (verb === 'UNDROP') {
        await root.query(
          `CREATE TRIGGER ${name}_tr BEFORE INSERT ON ${child} FOR EACH ROW SET @x = 1`,
        );
        await dropAndUndo(other, child);
        await root.query(`DROP TRIGGER ${name}_tr`);
      } else {
        await other.run([`TRUNCATE ${child}`]);
        await intentsSettled(root, [schema]);
      }
      await root.query(`ALTER TABLE ${child} DROP FOREIGN KEY ${schema}_${name}`);
      await dropAndUndo(other, child);
      expect(await boundBy(child)).toEqual([]);
    },
  );

  test('a table that is created after a lost key does not get it', async () => {
    await makeFamily('lost');
    await using other = await RawClient.open(proxy, { schema });
    await truncateBeside('lost_ch', adding('lost_ch'), () => other.run(['DROP TABLE lost_ch']));
    await intentsSettled(root, [schema]);
    await root.query(`CREATE TABLE lost_ch (v INT, KEY ${schema}_lost (v)) ENGINE=InnoDB`);
    await dropAndUndo(other, 'lost_ch');
    expect(await boundBy('lost_ch')).toEqual([]);
  });

  /** Recovery adds it, if the session hasn't had the time. */
  async function leadsTo(child: string, parent: string): Promise<void> {
    const isSo = async () => (await parentOf(child)).join() === parent;
    await until(isSo, 'the key of the child is there').catch(() => undefined);
    expect(await parentOf(child)).toEqual([parent]);
  }

  test.each(['TRUNCATE', 'DROP TABLE'])(
    'of a child right before whose RENAME its parent has a %s',
    async (verb) => {
      const name = verb.slice(0, 4).toLowerCase();
      await makeFamily(name);
      await truncateBeside(`${name}_ch`, /RENAME \/\* undrop hold-by-service /, async () => {
        await using client = await RawClient.open(proxy, { schema });
        await client.run(['SET foreign_key_checks = 0', `${verb} ${name}_par`]);
      });
      expect(await heldOf(`${name}_ch`)).not.toEqual([]);
      await leadsTo(`${name}_ch`, `${schema}.${name}_par`);
    },
  );

  test('of one child from several sessions at once: nobody fails', async () => {
    await makeFamily('crowd');
    const clients = await Promise.all([1, 2, 3].map(() => RawClient.open(proxy, { schema })));
    const answers = await Promise.all(
      clients.map(async (client) => {
        const own: string[] = [];
        for (let n = 0; n < 8; n++) own.push(...said(await client.query('TRUNCATE crowd_ch')));
        await client.quit();
        return own;
      }),
    );
    expect(new Set(answers.flat())).toEqual(new Set(['ok']));
    await leadsTo('crowd_ch', `${schema}.crowd_par`);
  });

  test('beside DROP and CREATE of it: done, or the server’s own words', async () => {
    await using client = await RawClient.open(proxy, { schema });
    await using other = await connect(server, { database: schema });
    let isOver = false;
    const making = (async () => {
      while (!isOver) {
        await other.query('CREATE TABLE raced (v INT) ENGINE=InnoDB');
        await other.query('DROP TABLE raced');
      }
    })();
    const answers = new Set<string>();
    for (let n = 0; n < ROUNDS; n++)
      for (const one of said(await client.query('TRUNCATE raced'))) answers.add(one);
    isOver = true;
    await making;
    // Who never gets a quiet moment in twelve tries is told so.
    const busy = '1205 UNDROP_CHANGED_MEANWHILE: .*';
    const gone = `1146 Table '\\w+.raced' doesn't exist`;
    const own = new RegExp(`^(?:ok|${gone}|${busy})$`);
    expect([...answers].filter((one) => !own.test(one))).toEqual([]);
  });
});
