/**
 * TRUNCATE, and DROP or TRUNCATE PARTITION, beside what others do to the same table, its schema or
 * its parent at that moment: the words are the server's own, and no foreign key is lost or leads
 * elsewhere.
 */
import { randomBytes } from 'node:crypto';
import { expect } from '@jest/globals';
import { silentLog } from '../../src/log.js';
import { formatHoldName, newHoldId } from '../../src/names/names.js';
import { reconcile } from '../../src/recovery/reconcile.js';
import { NumberTables } from '../support/number-tables.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { type RawAnswer, RawClient } from '../support/raw-client.js';
import { rounds } from '../support/sample.js';
import { connect, freshSchema } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { intentsSettled } from '../support/settled.js';
import { type TapEvent, wireTap } from '../support/wire-tap.js';

const PROTECT = 'drop-table,truncate,drop-partition';
/** Races in which nothing says when who is where. */
const ROUNDS = rounds(60, 20);
const HOUR_MS = 3_600_000;

function said({ results }: RawAnswer): readonly string[] {
  return results.map((one) => (one.kind === 'err' ? `${one.errno} ${one.message}` : one.kind));
}

onServers('what empties a table on $name', (server, on) => {
  const { test } = on;

  const proxy = on.proxy({ PROTECT });
  const schema = on.schema('beside').name;
  const root = on.session({ schema });

  /** What a client is told through a proxy whose statements wait for `onStatement`. */
  async function saidThrough(
    onEvent: (text: string, moment: TapEvent['moment']) => Promise<unknown> | undefined,
    ...texts: readonly string[]
  ): Promise<readonly string[]> {
    await using tap = await wireTap(server, async ({ moment, command }) => {
      await onEvent(command.toString('latin1'), moment);
      return true;
    });
    await using tapped = await proxyInFront({ ...server, ...tap }, { PROTECT });
    await using client = await RawClient.open(tapped, { schema });
    const answers: string[] = [];
    for (const text of texts) answers.push(...said(await client.query(text)));
    return answers;
  }

  /** Once, before the first statement that has this in it. */
  function rightBefore(part: string, work: () => Promise<unknown>) {
    let isDone = false;
    return async (text: string, moment: TapEvent['moment']) => {
      if (isDone || moment !== 'before statement' || !text.includes(part)) return;
      isDone = true;
      await work();
    };
  }

  async function makeFamily(name: string): Promise<void> {
    await root.query(`CREATE TABLE ${name}_par (v INT PRIMARY KEY) ENGINE=InnoDB`);
    await root.query(`CREATE TABLE ${name}_ch (v INT, CONSTRAINT ${schema}_${name}
      FOREIGN KEY (v) REFERENCES ${name}_par (v)) ENGINE=InnoDB`);
    await root.run(`INSERT INTO ${name}_par VALUES (1)`, `INSERT INTO ${name}_ch VALUES (1)`);
  }

  async function parentOf(table: string): Promise<readonly string[]> {
    const values = await root.column(
      `SELECT CONCAT(UNIQUE_CONSTRAINT_SCHEMA, '.', REFERENCED_TABLE_NAME) AS parent
       FROM information_schema.REFERENTIAL_CONSTRAINTS
       WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?`,
      [schema, table],
    );
    return values.map(String);
  }

  const numbers = new NumberTables(root, schema);
  const heldOf = (table: string) => numbers.placesOf(table);

  test('of a parent: the keys of its children lead to the name', async () => {
    await makeFamily('flushed');
    const client = await RawClient.open(proxy, { schema });
    await client.run(['SET foreign_key_checks = 0']);
    const answers: string[] = [];
    for (let n = 0; n < 2; n++) answers.push(...said(await client.query('TRUNCATE flushed_par')));
    await client.quit();
    expect(answers).toEqual(['ok', 'ok']);
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
    const client = await RawClient.open(proxy, { schema });
    await client.run(['SET foreign_key_checks = 0']);
    const answers: string[] = [];
    for (const table of ['kin_p', 'kin_c', 'kin_p', 'kin_c', 'kin_c']) {
      answers.push(...said(await client.query(`TRUNCATE ${table}`)));
    }
    await client.quit();
    expect(answers).toEqual(['ok', 'ok', 'ok', 'ok', 'ok']);
    await intentsSettled(root, [schema]);
    const keysOf = async () => {
      const [shown] = await root.rows('SHOW CREATE TABLE kin_c');
      return String(shown?.['Create Table']).match(/CONSTRAINT .*? REFERENCES `\w+`/g);
    };
    await until(async () => (await keysOf())?.length === 2, 'the keys are on the child');
    expect(await keysOf()).toEqual([
      'CONSTRAINT `kin_c_ibfk_1` FOREIGN KEY (`pid`) REFERENCES `kin_p`',
      'CONSTRAINT `kin_c_ibfk_2` FOREIGN KEY (`other`) REFERENCES `kin_p`',
    ]);
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

  test('of a child that is dropped before its keys are added: UNDROP adds them', async () => {
    await makeFamily('raced');
    await using other = await RawClient.open(proxy, { schema });
    const isAdding = (text: string) =>
      text.includes('`raced_ch`') && text.includes('ADD CONSTRAINT');
    let dropped: readonly string[] = [];
    const answers = await saidThrough(async (text, moment) => {
      if (dropped.length > 0 || moment !== 'before statement' || !isAdding(text)) return;
      dropped = said(await other.query('DROP TABLE raced_ch'));
    }, 'TRUNCATE raced_ch');
    expect([answers, dropped]).toEqual([['ok'], ['ok']]);
    await intentsSettled(root, [schema]);
    expect(said(await other.query('UNDROP TABLE raced_ch'))).toEqual(['ok']);
    expect(await boundBy('raced_ch')).toEqual([`${schema}_raced`]);
    expect(await parentOf('raced_ch')).toEqual([`${schema}.raced_par`]);
    await other.quit();
  });

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
      expect(said(await other.query(`DROP TABLE ${child}`))).toEqual(['ok']);
      await intentsSettled(root, [schema]);
      if (isSwap) await root.query(`CREATE TABLE ${child} (other INT)`);
      const isAdding = (text: string) =>
        text.includes(`\`${child}\``) && text.includes('ADD CONSTRAINT');
      let dropped: readonly string[] = [];
      const [answer] = await saidThrough(
        async (text, moment) => {
          if (dropped.length > 0 || moment !== 'before statement' || !isAdding(text)) return;
          dropped = said(await other.query(`DROP TABLE ${child}`));
        },
        `UNDROP TABLE ${child}${isSwap ? ' SWAP' : ''}`,
      );
      expect([answer, dropped]).toEqual(['ok', ['ok']]);
      await intentsSettled(root, [schema]);
      expect(said(await other.query(`UNDROP TABLE ${child}`))).toEqual(['ok']);
      expect(await boundBy(child)).toEqual([`${schema}_${name}`, trigger]);
      await other.quit();
    },
  );

  /** Drops it, waits for what follows, and brings it back. */
  async function dropAndUndo(client: RawClient, table: string): Promise<void> {
    expect(said(await client.query(`DROP TABLE ${table}`))).toEqual(['ok']);
    await intentsSettled(root, [schema]);
    expect(said(await client.query(`UNDROP TABLE ${table}`))).toEqual(['ok']);
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
        expect(said(await other.query(`TRUNCATE ${child}`))).toEqual(['ok']);
        await intentsSettled(root, [schema]);
      }
      await root.query(`ALTER TABLE ${child} DROP FOREIGN KEY ${schema}_${name}`);
      await dropAndUndo(other, child);
      expect(await boundBy(child)).toEqual([]);
      await other.quit();
    },
  );

  test('a table that is created after a lost key does not get it', async () => {
    await makeFamily('lost');
    await using other = await RawClient.open(proxy, { schema });
    let dropped: readonly string[] = [];
    const answers = await saidThrough(async (text, moment) => {
      if (dropped.length > 0 || moment !== 'before statement') return;
      if (!text.includes('`lost_ch`') || !text.includes('ADD CONSTRAINT')) return;
      dropped = said(await other.query('DROP TABLE lost_ch'));
    }, 'TRUNCATE lost_ch');
    expect([answers, dropped]).toEqual([['ok'], ['ok']]);
    await intentsSettled(root, [schema]);
    await root.query(`CREATE TABLE lost_ch (v INT, KEY ${schema}_lost (v)) ENGINE=InnoDB`);
    await dropAndUndo(other, 'lost_ch');
    expect(await boundBy('lost_ch')).toEqual([]);
    await other.quit();
  });

  test('of a child while a held table has a key of its name: done once that is off', async () => {
    await makeFamily('taken');
    const id = newHoldId(Date.now(), randomBytes);
    const other = formatHoldName({ state: 'HOLD', id, due: new Date(Date.now() + HOUR_MS) });
    await root.query(`CREATE TABLE _undrop.${other} (v INT, CONSTRAINT ${schema}_taken
      FOREIGN KEY (v) REFERENCES ${schema}.taken_par (v)) ENGINE=InnoDB`);
    let turns = 0;
    const answers = await saidThrough((text, moment) => {
      if (moment !== 'before statement' || !text.includes('ALTER /* undrop wait-for-lock ')) return;
      return ++turns === 2 ? root.query(`DROP TABLE _undrop.${other}`) : undefined;
    }, 'TRUNCATE taken_ch');
    expect([answers, turns]).toEqual([['ok'], 2]);
    expect(await heldOf('taken_ch')).toHaveLength(1);
    await leadsTo('taken_ch', `${schema}.taken_par`);
  });

  test('of a child whose proxy is cut off after its RENAME: recovery adds its key', async () => {
    await makeFamily('cut');
    let isRenamed = false;
    const tap = await wireTap(server, async ({ moment, command }) => {
      if (!command.includes('RENAME /* undrop hold-by-service ')) return true;
      if (moment !== 'before answer') return true;
      isRenamed = true;
      return false;
    });
    const dying = await proxyInFront({ ...server, ...tap }, { PROTECT });
    const client = await RawClient.open(dying, { schema });
    const answer = client.query('TRUNCATE cut_ch').catch(() => null);
    try {
      await until(() => isRenamed, 'the child is held');
    } finally {
      await tap.close();
      await answer;
      await client.quit();
      await dying.stop();
    }
    expect(await parentOf('cut_ch')).toEqual([]);
    const pool = poolOn(server, 2);
    const how = { proxyId: 'of the test', activeIds: new Set<string>(), log: silentLog };
    const isDone = async () => {
      await reconcile(pool, how);
      return (await parentOf('cut_ch')).length > 0;
    };
    await until(isDone, 'recovery has added the key').finally(() => pool.dispose());
    await leadsTo('cut_ch', `${schema}.cut_par`);
    expect(await heldOf('cut_ch')).toHaveLength(1);
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
      let isMet = false;
      const parent = rightBefore('RENAME /* undrop hold-by-service ', async () => {
        isMet = true;
        await using client = await RawClient.open(proxy, { schema });
        await client.run(['SET foreign_key_checks = 0', `${verb} ${name}_par`]);
      });
      expect(await saidThrough(parent, `TRUNCATE ${name}_ch`)).toEqual(['ok']);
      expect(isMet).toBe(true);
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

  test('of a table that goes before its ghost is made: the server’s own words', async () => {
    await root.query('CREATE TABLE going (v INT) ENGINE=InnoDB');
    const drop = rightBefore('CREATE TABLE /* undrop ghost ', () => root.query('DROP TABLE going'));
    expect(await saidThrough(drop, 'TRUNCATE going')).toEqual([
      `1146 Table '${schema}.going' doesn't exist`,
    ]);
  });

  test('of a parent whose child InnoDB has locked: 1205 after the session’s own time', async () => {
    // Of MySQL that is a metadata lock.
    if (server.flavour !== 'mariadb') return;
    await makeFamily('waiting');
    const other = await connect(server, { database: schema });
    await other.run('SET foreign_key_checks = 0', 'BEGIN', 'INSERT INTO waiting_ch VALUES (2)');
    const client = await RawClient.open(proxy, { schema });
    await client.run(['SET foreign_key_checks = 0, innodb_lock_wait_timeout = 1']);
    // On MariaDB 10.5 the key can't be detached, and the rows are held nevertheless.
    const isLate = server.name === 'mariadb-10.5';
    try {
      const answer = said(await client.query('TRUNCATE waiting_par'));
      const timeout = '1205 Lock wait timeout exceeded; try restarting transaction';
      expect(answer).toEqual([isLate ? expect.stringContaining('UNDROP_KEYS_LEFT') : timeout]);
    } finally {
      await other.end();
    }
    if (isLate) return;
    expect(await heldOf('waiting_par')).toEqual([]);
    expect(said(await client.query('TRUNCATE waiting_par'))).toEqual(['ok']);
    await client.quit();
    expect(await heldOf('waiting_par')).toHaveLength(1);
    expect(await parentOf('waiting_ch')).toEqual([`${schema}.waiting_par`]);
  });

  const parted = (name: string) => `CREATE TABLE ${name} (v INT) ENGINE=InnoDB
    PARTITION BY RANGE (v) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))`;

  test.each([
    'TRUNCATE raced',
    'ALTER TABLE raced TRUNCATE PARTITION p0',
    'ALTER TABLE raced DROP PARTITION p0',
  ])('%s beside DROP and CREATE of it: done, or the server’s own words', async (text) => {
    await using client = await RawClient.open(proxy, { schema });
    await using other = await connect(server, { database: schema });
    let isOver = false;
    const making = (async () => {
      while (!isOver) {
        await other.query(parted('raced'));
        await other.query('DROP TABLE raced');
      }
    })();
    const answers = new Set<string>();
    for (let n = 0; n < ROUNDS; n++)
      for (const one of said(await client.query(text))) answers.add(one);
    isOver = true;
    await making;
    // Who never gets a quiet moment in twelve tries is told so; who comes twice to one table, too.
    const twice = '1507 Error in list of partitions.*|1508 Cannot remove all partitions.*';
    const busy = '1205 UNDROP_CHANGED_MEANWHILE: .*';
    const refused = server.name === 'mariadb-10.5' ? '|1235 UNDROP_NOT_DONE_YET: .*' : '';
    const gone = `1146 Table '\\w+.raced' doesn't exist`;
    const own = new RegExp(`^(?:ok|${gone}|${busy}|${twice}${refused})$`);
    expect([...answers].filter((one) => !own.test(one))).toEqual([]);
  });

  test.each(['TRUNCATE', 'DROP'])('%s PARTITION in a schema that goes', async (verb) => {
    const { name, drop } = await freshSchema(server, 'going');
    await root.query(parted(`${name}.t`));
    await root.query(`INSERT INTO ${name}.t VALUES (1)`);
    const isDdl = /EXCHANGE PARTITION|CONVERT PARTITION|LOCK \/\* undrop partition/;
    let isDone = false;
    const drops = async (text: string, moment: TapEvent['moment']) => {
      if (isDone || moment !== 'before statement' || !isDdl.test(text)) return;
      isDone = true;
      await root.query(`DROP DATABASE ${name}`);
    };
    const [answer] = await saidThrough(drops, `ALTER TABLE ${name}.t ${verb} PARTITION p0`);
    await drop();
    const isRefused = server.name === 'mariadb-10.5' && verb === 'DROP';
    const gone = /^1146 Table '.*' doesn't exist$|^1049 Unknown database /;
    expect(answer).toMatch(isRefused ? /^1235 UNDROP_NOT_DONE_YET: / : gone);
  });
});
