/**
 * TRUNCATE where UNDROP_PROTECT names it, beside what native_cases.json and truncate_cases.json
 * have of it: rules and hints; where it isn't protected; and beside what others do to the same
 * table, its schema or its parent at that moment: rows that they commit, columns and keys that they
 * add. The words are the server's own, and no row and no foreign key is lost or leads elsewhere.
 */
import { isEmptyTable } from '../../src/drop/steps/rules/rules.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { NumberTables } from '../support/number-tables.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront, type Variables } from '../support/proxy.js';
import { CLIENT, MODERN, type RawAnswer, RawClient } from '../support/raw-client.js';
import { rounds } from '../support/sample.js';
import { connect } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { wireTap } from '../support/wire-tap.js';

const PROTECT = 'drop-table,truncate';
const RULES = '*.kept: refuse; *.gone: native; *.short: hold=2h';
/** Tables that are emptied while others write to them. */
const ROUNDS = rounds(5, 2);
/** Races in which nothing says when who is where. */
const RACES = rounds(30, 20);
/** The statement that gives a table its foreign keys. */
const adding = (table: string) =>
  new RegExp(`ALTER TABLE /\\* undrop keys [^*]*\\*/ \\S*\`${table}\` .*ADD CONSTRAINT`, 's');

function said({ results }: RawAnswer): readonly string[] {
  return results.map((one) => (one.kind === 'err' ? `${one.errno} ${one.message}` : one.kind));
}

onServers('TRUNCATE on $name', (server, on) => {
  const { test } = on;

  const proxy = on.proxy({ PROTECT, RULES, ALLOW_DESTROY: 'users' });
  const schema = on.schema('empty').name;
  const root = on.session({ schema });
  const pool = on.pool();
  const client = on.client({ to: proxy, schema, flags: MODERN | CLIENT.MULTI_STATEMENTS });
  const open = () => RawClient.open(proxy, { schema });

  const numbers = new NumberTables(root, schema);
  const make = (table: string, ...values: readonly number[]) => numbers.make(table, ...values);
  const valuesOf = (table: string) => numbers.valuesOf(table);
  const held = (table: string) => numbers.held(table);

  /** A parent and a child, each with one row. */
  async function makeFamily(name: string): Promise<void> {
    await root.run(
      `CREATE TABLE ${name}_par (v INT PRIMARY KEY) ENGINE=InnoDB`,
      `CREATE TABLE ${name}_ch (v INT, CONSTRAINT ${schema}_${name}
        FOREIGN KEY (v) REFERENCES ${name}_par (v)) ENGINE=InnoDB`,
      `INSERT INTO ${name}_par VALUES (1)`,
      `INSERT INTO ${name}_ch VALUES (1)`,
    );
  }

  async function keysOf(table: string) {
    const rows = await root.rows<Record<string, unknown>>(
      `SELECT CONSTRAINT_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, DELETE_RULE
       FROM information_schema.REFERENTIAL_CONSTRAINTS
       WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ? ORDER BY CONSTRAINT_NAME`,
      [schema, table],
    );
    return rows.map((row) => ({ ...row }));
  }

  async function parentOf(table: string): Promise<readonly string[]> {
    return (await keysOf(table)).map(
      (key) => `${key['UNIQUE_CONSTRAINT_SCHEMA']}.${key['REFERENCED_TABLE_NAME']}`,
    );
  }

  /** The keys and triggers of a table. */
  async function boundBy(table: string): Promise<readonly string[]> {
    const keys = (await keysOf(table)).map((key) => String(key['CONSTRAINT_NAME']));
    return [...keys, ...(await root.column(`SHOW TRIGGERS LIKE '${table}'`))];
  }

  /** The answers to texts; `before` sees first what the server gets for them. */
  async function hear(
    texts: readonly string[],
    before: (statement: string) => unknown,
    variables: Variables = {},
  ): Promise<readonly string[]> {
    await using tap = await wireTap(server, async ({ moment, command }) => {
      if (moment === 'before statement') await before(command.toString('latin1'));
      return true;
    });
    await using tapped = await proxyInFront({ ...server, ...tap }, { PROTECT, ...variables });
    await using other = await RawClient.open(tapped, { schema });
    const answers: string[] = [];
    try {
      for (const text of texts) answers.push(...said(await other.query(text)));
      return answers;
    } finally {
      await intentsSettled(root, [schema]);
    }
  }

  /** Says `text`, and does `work` once, right before the first statement that is like `part`. */
  async function sayBeside(text: string, part: RegExp, work: () => Promise<unknown>) {
    let isDone = false;
    const answer = await hear([text], async (statement) => {
      if (isDone || !part.test(statement)) return;
      isDone = true;
      await work();
    });
    expect([answer, isDone]).toEqual([['ok'], true]);
  }

  /** What the client is told, where something comes right before each turn, RENAME, or key. */
  async function truncatedBeside(
    table: string,
    onStep: (step: 'turn' | 'rename' | 'keys', times: number) => Promise<unknown>,
  ): Promise<readonly string[]> {
    const times = { turn: 0, rename: 0, keys: 0 };
    const texts = ['SET lock_wait_timeout = 1', `TRUNCATE ${table}`];
    const [, ...answer] = await hear(
      texts,
      async (text) => {
        if (text.includes('RENAME /* undrop hold-by-service '))
          await onStep('rename', ++times.rename);
        if (text.includes('ALTER /* undrop wait-for-lock ')) await onStep('turn', ++times.turn);
        if (text.includes('ALTER TABLE /* undrop keys ') && text.includes(`.\`${table}\` `)) {
          await onStep('keys', ++times.keys);
        }
      },
      { RULES: '*.*: now' },
    );
    return answer;
  }

  test('in a text of several, and again: what was there each time is held', async () => {
    await make('several', 1, 2);
    const answer = await client.query(`INSERT INTO several VALUES (3); TRUNCATE several;
      INSERT INTO several VALUES (4)`);
    expect(said(answer)).toEqual(['ok', 'ok', 'ok']);
    expect(said(await client.query('/* x */ truncate table `several`;'))).toEqual(['ok']);
    expect([await valuesOf('several'), await held('several')]).toEqual([[], [[1, 2, 3], [4]]]);
  });

  test('is held as long as a rule says, refused or passed on by one, and by a hint', async () => {
    for (const table of ['short', 'kept', 'gone', 'hinted', 'pinned']) await make(table, 1);
    expect(said(await client.query('TRUNCATE short'))).toEqual(['ok']);
    expect(said(await client.query('TRUNCATE kept'))).toEqual([
      expect.stringMatching(/^\d+ UNDROP_RULE: /),
    ]);
    expect(said(await client.query('TRUNCATE gone'))).toEqual(['ok']);
    expect(said(await client.query('TRUNCATE /* undrop: destroy */ hinted'))).toEqual(['ok']);
    await client.run(["SET @undrop = 'pin'", 'TRUNCATE pinned']);
    const left = ['short', 'kept', 'gone', 'hinted', 'pinned'].map(async (table) => {
      return [table, (await valuesOf(table)).length, (await held(table)).length];
    });
    expect(await Promise.all(left)).toEqual([
      ['short', 0, 1],
      ['kept', 1, 0],
      ['gone', 0, 0],
      ['hinted', 0, 0],
      ['pinned', 0, 1],
    ]);
    const rows = await root.rows(
      `SELECT table_name, TIMESTAMPDIFF(HOUR, dropped_at, hold_until) AS hours FROM _undrop.ledger
       WHERE schema_name = ? AND table_name IN ('short', 'pinned') ORDER BY table_name`,
      [schema],
    );
    const [pinned, short] = rows;
    expect([Number(short?.['hours']), Number(pinned?.['hours']) > 1_000_000]).toEqual([2, true]);
  });

  test('while others commit rows and add columns: each row is there or held, each column is there', async () => {
    const writers = await Promise.all([1, 2].map(() => connect(server, { database: schema })));
    for (let round = 0; round < ROUNDS; round++) {
      const table = `busy${round}`;
      await make(table);
      let isOver = false;
      const committed: number[] = [];
      const writing = writers.map(async (writer, index) => {
        for (let n = 0; !isOver; n++) {
          const v = 2 * n + index;
          await writer.query(`INSERT INTO ${table} (v) VALUES (${v})`);
          committed.push(v);
        }
      });
      const [answer] = await Promise.all([
        client.query(`TRUNCATE ${table}`),
        root.query(`ALTER TABLE ${table} ADD COLUMN w INT`),
      ]);
      isOver = true;
      await Promise.all(writing);
      expect([round, said(answer)]).toEqual([round, ['ok']]);
      const all = [...(await held(table)), await valuesOf(table)].flat();
      const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);
      expect([round, sorted(all)]).toEqual([round, sorted(committed)]);
      const columns = await root.column(`SHOW COLUMNS FROM ${table}`);
      expect([round, columns]).toEqual([round, ['v', 'w']]);
    }
    for (const writer of writers) await writer.end();
  });

  test('of a table that is altered right before its RENAME: a ghost of that takes its place', async () => {
    await make('late', 1);
    await root.query('CREATE TABLE parent_of_late (v INT PRIMARY KEY) ENGINE=InnoDB');
    await root.query('INSERT INTO parent_of_late VALUES (1), (2), (3)');
    await root.query('ALTER TABLE late ADD PRIMARY KEY (v), ADD u INT');
    await root.query(`ALTER TABLE late ADD FOREIGN KEY (u) REFERENCES late (v),
      ADD CONSTRAINT ${schema}_late FOREIGN KEY (v) REFERENCES parent_of_late (v) ON DELETE CASCADE`);
    const keysBefore = await keysOf('late');
    const answer = await truncatedBeside('late', async (step, times) => {
      if (step === 'rename' && times === 1) {
        await root.query('ALTER TABLE late ADD COLUMN w INT');
        await root.query('INSERT INTO late (v, w) VALUES (2, 2)');
      }
      if (step === 'turn' && times === 2) await root.query('INSERT INTO late (v) VALUES (3)');
    });
    expect(answer).toEqual(['ok']);
    expect([await held('late'), await valuesOf('late')]).toEqual([[[1, 2], [3]], []]);
    await root.query('INSERT INTO late (v) VALUES (3)');
    expect(await root.column('SHOW COLUMNS FROM late')).toEqual(['v', 'u', 'w']);
    expect(keysBefore).toHaveLength(2);
    await hasKeys('late', keysBefore);
    await root.query('DELETE FROM parent_of_late WHERE v = 3');
    expect(await valuesOf('late')).toEqual([]);
  });

  /** What the ledger leaves for later is done by the next proxy that starts. */
  async function hasKeys(table: string, keys: readonly unknown[]): Promise<void> {
    const isDone = async () => {
      if (!(await isLeft(table))) return true;
      await (await proxyInFront(server)).stop();
      return false;
    };
    await until(isDone, `nothing of ${table} is left for later`);
    expect(await keysOf(table)).toEqual(keys);
  }

  async function isLeft(table: string): Promise<boolean> {
    await intentsSettled(root, [schema]);
    const rows = await ledgerRows(root, { schema, table, state: 'HOLD' });
    return rows.some((row) => row['todo'] !== null);
  }

  test('of a table that is altered twice, each time right before a RENAME: says so', async () => {
    await make('twice', 1);
    const [message, ...more] = await truncatedBeside('twice', async (step, times) => {
      if (step === 'rename' && times < 3) {
        await root.query(`ALTER TABLE twice ADD COLUMN w${times} INT`);
      }
    });
    expect(more).toEqual([]);
    expect(message).toMatch(/ UNDROP_CHANGED_MEANWHILE: .* was emptied and lacks an ALTER TABLE/);
    expect(await held('twice')).toEqual([[1], []]);
    expect(await root.column('SHOW COLUMNS FROM twice')).toEqual(['v', 'w1']);
    expect(message).toContain((await numbers.placesOf('twice'))[0]);
    const days = await root.column(`SELECT TIMESTAMPDIFF(DAY, dropped_at, hold_until)
      FROM _undrop.ledger WHERE schema_name = '${schema}' AND table_name = 'twice'
      AND state = 'HOLD'`);
    expect(days.map(Number)).toEqual([7, 7]);
  });

  test.each([
    ['another table', 'parent_of_kid'],
    ['itself', 'kid'],
  ])('of a table with a foreign key to %s: the key is on the empty table', async (what, parent) => {
    const kid = what === 'itself' ? 'kid' : 'kid_of_other';
    await root.query('CREATE TABLE IF NOT EXISTS parent_of_kid (v INT PRIMARY KEY) ENGINE=InnoDB');
    await root.query(`CREATE TABLE ${kid} (v INT PRIMARY KEY, u INT, w INT,
      FOREIGN KEY (u) REFERENCES ${parent} (v),
      CONSTRAINT ${schema}_${kid} FOREIGN KEY (w) REFERENCES ${parent} (v)) ENGINE=InnoDB`);
    await root.query(`INSERT INTO ${kid} VALUES (1, NULL, NULL)`);
    const before = await keysOf(kid);
    expect(before).toHaveLength(2);
    for (const values of [[1], [2]]) {
      expect(said(await client.query(`TRUNCATE ${kid}`))).toEqual(['ok']);
      expect([(await held(kid)).at(-1), await valuesOf(kid)]).toEqual([values, []]);
      await hasKeys(kid, before);
      await expect(root.query(`INSERT INTO ${kid} VALUES (3, 9, NULL)`)).rejects.toThrow();
      await expect(root.query(`INSERT INTO ${kid} VALUES (3, NULL, 9)`)).rejects.toThrow();
      await root.query(`INSERT INTO ${kid} VALUES (2, NULL, NULL)`);
    }
  });

  test('of a table that is read while it gets its foreign key back: has it after that', async () => {
    await makeFamily('seen');
    const before = await keysOf('seen_ch');
    const reader = await connect(server, { database: schema });
    const answer = await truncatedBeside('seen_ch', async (step, times) => {
      if (step !== 'keys' || times > 1) return;
      await reader.run('START TRANSACTION', 'SELECT * FROM seen_ch');
    });
    expect([answer, await held('seen_ch'), await keysOf('seen_ch')]).toEqual([['ok'], [[1]], []]);
    expect(await isLeft('seen_ch')).toBe(true);
    await reader.end();
    await hasKeys('seen_ch', before);
  });

  test('of a table that gets a foreign key right before its RENAME: keeps it', async () => {
    await make('keyed', 1);
    await root.query('CREATE TABLE parent_of_keyed (v INT PRIMARY KEY) ENGINE=InnoDB');
    await root.query('INSERT INTO parent_of_keyed VALUES (1)');
    const answer = await truncatedBeside('keyed', async (step, times) => {
      if (step !== 'rename' || times > 1) return;
      await root.query('ALTER TABLE keyed ADD FOREIGN KEY (v) REFERENCES parent_of_keyed (v)');
    });
    expect(answer).toEqual(['ok']);
    expect([await held('keyed'), await valuesOf('keyed')]).toEqual([[[1], []], []]);
    await hasKeys('keyed', [expect.objectContaining({ CONSTRAINT_NAME: 'keyed_ibfk_1' })]);
  });

  test('of a table of the server’s own goes to the server', async () => {
    for (const table of ['slow_log', 'general_log', 'time_zone_leap_second']) {
      expect(said(await client.query(`TRUNCATE mysql.${table}`))).toEqual(['ok']);
    }
  });

  test('goes to the server as it is where it is not protected', async () => {
    await using without = await proxyInFront(server, { PROTECT: 'drop-table' });
    await using other = await RawClient.open(without, { schema });
    await make('native', 1);
    await other.run(['TRUNCATE native']);
    expect([await valuesOf('native'), await held('native')]).toEqual([[], []]);
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
    await using other = await open();
    const tables = ['kin_p', 'kin_c', 'kin_p', 'kin_c', 'kin_c'];
    await other.run(['SET foreign_key_checks = 0', ...tables.map((name) => `TRUNCATE ${name}`)]);
    await intentsSettled(root, [schema]);
    const shown = async () => {
      return (await root.show('kin_c')).match(/CONSTRAINT .*? REFERENCES `\w+`/g);
    };
    await until(async () => (await shown())?.length === 2, 'the keys are on the child');
    expect(await shown()).toEqual([
      'CONSTRAINT `kin_c_ibfk_1` FOREIGN KEY (`pid`) REFERENCES `kin_p`',
      'CONSTRAINT `kin_c_ibfk_2` FOREIGN KEY (`other`) REFERENCES `kin_p`',
    ]);
  });

  test('rows that another session has deleted, and may take back, count', async () => {
    await make('half', 1, 2);
    await using other = await connect(server, { database: schema });
    await other.run('BEGIN', 'DELETE FROM half');
    expect(await isEmptyTable(pool, schema, 'half')).toBe(false);
    await other.run('ROLLBACK', 'BEGIN', 'DELETE FROM half', 'INSERT INTO half VALUES (3)');
    expect(await isEmptyTable(pool, schema, 'half')).toBe(false);
    await other.run('ROLLBACK', 'DELETE FROM half');
    expect(await isEmptyTable(pool, schema, 'half')).toBe(true);
  });

  /** Says it while the other drops the table, before its keys are added. */
  const droppedBeside = (other: RawClient, text: string, table: string) =>
    sayBeside(text, adding(table), () => other.run([`DROP TABLE ${table}`]));

  test('of a child that is dropped before its keys are added: UNDROP adds them', async () => {
    await makeFamily('raced');
    await using other = await open();
    await droppedBeside(other, 'TRUNCATE raced_ch', 'raced_ch');
    await other.run(['UNDROP TABLE raced_ch']);
    expect(await parentOf('raced_ch')).toEqual([`${schema}.raced_par`]);
  });

  test.each(['UNDROP', 'SWAP'])('a drop beside the end of %s: the rest follows', async (form) => {
    const isSwap = form === 'SWAP';
    const name = isSwap ? 'swapped' : 'returned';
    await makeFamily(name);
    const [child, trigger] = [`${name}_ch`, `${name}_tr`];
    await root.query(`CREATE TRIGGER ${trigger} BEFORE INSERT ON ${child}
    FOR EACH ROW SET @x = 1`);
    await using other = await open();
    await other.run([`DROP TABLE ${child}`]);
    await intentsSettled(root, [schema]);
    if (isSwap) await root.query(`CREATE TABLE ${child} (other INT)`);
    await droppedBeside(other, `UNDROP TABLE ${child}${isSwap ? ' SWAP' : ''}`, child);
    await other.run([`UNDROP TABLE ${child}`]);
    expect(await boundBy(child)).toEqual([`${schema}_${name}`, trigger]);
  });

  /** Drops it, waits for what follows, and brings it back. */
  async function dropAndUndo(client: RawClient, table: string): Promise<void> {
    await client.run([`DROP TABLE ${table}`]);
    await intentsSettled(root, [schema]);
    await client.run([`UNDROP TABLE ${table}`]);
  }

  test.each(['UNDROP', 'TRUNCATE'])('parts dropped after a %s do not come back', async (verb) => {
    const name = `own_${verb.toLowerCase()}`;
    const child = `${name}_ch`;
    await makeFamily(name);
    await using other = await open();
    if (verb === 'UNDROP') {
      await root.query(`CREATE TRIGGER ${name}_tr BEFORE INSERT ON ${child}
        FOR EACH ROW SET @x = 1`);
      await dropAndUndo(other, child);
      await root.query(`DROP TRIGGER ${name}_tr`);
    } else {
      await other.run([`TRUNCATE ${child}`]);
      await intentsSettled(root, [schema]);
    }
    await root.query(`ALTER TABLE ${child} DROP FOREIGN KEY ${schema}_${name}`);
    await dropAndUndo(other, child);
    expect(await boundBy(child)).toEqual([]);
  });

  test('a table that is created after a lost key does not get it', async () => {
    await makeFamily('lost');
    await using other = await open();
    await droppedBeside(other, 'TRUNCATE lost_ch', 'lost_ch');
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

  test.each(['TRUNCATE', 'DROP TABLE'])('of a child behind a %s of its parent', async (verb) => {
    const name = verb.slice(0, 4).toLowerCase();
    await makeFamily(name);
    await sayBeside(`TRUNCATE ${name}_ch`, /RENAME \/\* undrop hold-by-service /, async () => {
      await using other = await open();
      await other.run(['SET foreign_key_checks = 0', `${verb} ${name}_par`]);
    });
    expect(await held(`${name}_ch`)).not.toEqual([]);
    await leadsTo(`${name}_ch`, `${schema}.${name}_par`);
  });

  test('of one child from several sessions at once: nobody fails', async () => {
    await makeFamily('crowd');
    const clients = await Promise.all([1, 2, 3].map(open));
    const answers = await Promise.all(
      clients.map(async (one) => {
        const own: string[] = [];
        for (let n = 0; n < 8; n++) own.push(...said(await one.query('TRUNCATE crowd_ch')));
        await one.quit();
        return own;
      }),
    );
    expect(new Set(answers.flat())).toEqual(new Set(['ok']));
    await leadsTo('crowd_ch', `${schema}.crowd_par`);
  });

  test('beside DROP and CREATE of it: done, or the server’s own words', async () => {
    await using other = await connect(server, { database: schema });
    let isOver = false;
    const making = (async () => {
      while (!isOver) {
        await other.run('CREATE TABLE raced (v INT) ENGINE=InnoDB', 'DROP TABLE raced');
      }
    })();
    const answers = new Set<string>();
    for (let n = 0; n < RACES; n++)
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
