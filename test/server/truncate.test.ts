/**
 * TRUNCATE where UNDROP_PROTECT names it, beside what native_cases.json and truncate_cases.json
 * have of it: rows that others commit, columns and keys that they add meanwhile; rules and hints;
 * where it isn't protected.
 */
import { NumberTables } from '../support/number-tables.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { CLIENT, MODERN, type RawAnswer, RawClient } from '../support/raw-client.js';
import { rounds } from '../support/sample.js';
import { connect } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { wireTap } from '../support/wire-tap.js';

const PROTECT = 'drop-table,truncate';
const RULES = '*.kept: refuse; *.gone: native; *.short: hold=2h';
/** Tables that are emptied while others write to them. */
const ROUNDS = rounds(5, 2);

onServers('TRUNCATE on $name', (server, on) => {
  const { test } = on;

  const proxy = on.proxy({ PROTECT, RULES, ALLOW_DESTROY: 'users' });
  const schema = on.schema('empty').name;
  const root = on.session({ schema });
  const client = on.client({ to: proxy, schema, flags: MODERN | CLIENT.MULTI_STATEMENTS });

  const numbers = new NumberTables(root, schema);
  const make = (table: string, ...values: readonly number[]) => numbers.make(table, ...values);
  const valuesOf = (table: string) => numbers.valuesOf(table);
  const held = (table: string) => numbers.held(table);

  const said = ({ results }: RawAnswer) =>
    results.map((one) => (one.kind === 'err' ? String(one.message) : one.kind));

  test('in a text of several, and again: what was there each time is held', async () => {
    await make('several', 1, 2);
    const answer = await client.query(
      'INSERT INTO several VALUES (3); TRUNCATE several; INSERT INTO several VALUES (4)',
    );
    expect(said(answer)).toEqual(['ok', 'ok', 'ok']);
    expect(said(await client.query('/* x */ truncate table `several`;'))).toEqual(['ok']);
    expect(await valuesOf('several')).toEqual([]);
    expect(await held('several')).toEqual([[1, 2, 3], [4]]);
  });

  test('is held as long as a rule says, refused or passed on by one, and by a hint', async () => {
    for (const table of ['short', 'kept', 'gone', 'hinted', 'pinned']) await make(table, 1);
    expect(said(await client.query('TRUNCATE short'))).toEqual(['ok']);
    expect(said(await client.query('TRUNCATE kept'))).toEqual([
      expect.stringMatching(/^UNDROP_RULE: /),
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

  async function keysOf(table: string): Promise<readonly unknown[]> {
    const rows = await root.rows(
      `SELECT CONSTRAINT_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, DELETE_RULE
       FROM information_schema.REFERENTIAL_CONSTRAINTS
       WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ? ORDER BY CONSTRAINT_NAME`,
      [schema, table],
    );
    return rows.map((row) => ({ ...row }));
  }

  /** What the ledger leaves for later is done by the next proxy that starts. */
  async function hasKeys(table: string, keys: readonly unknown[]): Promise<void> {
    const isDone = async () => {
      if (!(await isLeft(table))) return true;
      const next = await proxyInFront(server);
      await next.stop();
      return false;
    };
    await until(isDone, `nothing of ${table} is left for later`);
    expect(await keysOf(table)).toEqual(keys);
  }

  async function isLeft(table: string): Promise<boolean> {
    await intentsSettled(root, [schema]);
    const rows = await root.rows(
      `SELECT id FROM _undrop.ledger
       WHERE schema_name = ? AND table_name = ? AND state = 'HOLD' AND todo IS NOT NULL`,
      [schema, table],
    );
    return rows.length > 0;
  }

  /** One row, whose only column is a foreign key; the key. */
  async function makeChild(table: string): Promise<readonly unknown[]> {
    const parent = `parent_of_${table}`;
    await make(table, 1);
    await root.query(`CREATE TABLE ${parent} (v INT PRIMARY KEY) ENGINE=InnoDB`);
    await root.query(`INSERT INTO ${parent} VALUES (1)`);
    await root.query(`ALTER TABLE ${table} ADD FOREIGN KEY (v) REFERENCES ${parent} (v)`);
    return keysOf(table);
  }

  /** What the client is told, where something comes right before each turn, RENAME, or key. */
  async function truncatedBeside(
    table: string,
    onStep: (step: 'turn' | 'rename' | 'keys', times: number) => Promise<unknown>,
  ): Promise<readonly string[]> {
    const times = { turn: 0, rename: 0, keys: 0 };
    await using tap = await wireTap(server, async ({ moment, command }) => {
      const text = command.toString('latin1');
      if (moment !== 'before statement') return true;
      if (text.includes('RENAME /* undrop hold-by-service '))
        await onStep('rename', ++times.rename);
      if (text.includes('ALTER /* undrop wait-for-lock ')) await onStep('turn', ++times.turn);
      if (text.includes('ALTER TABLE /* undrop keys ') && text.includes(`.\`${table}\` `)) {
        await onStep('keys', ++times.keys);
      }
      return true;
    });
    await using tapped = await proxyInFront({ ...server, ...tap }, { PROTECT, RULES: '*.*: now' });
    await using other = await RawClient.open(tapped, { schema });
    try {
      await other.query('SET lock_wait_timeout = 1');
      return said(await other.query(`TRUNCATE ${table}`));
    } finally {
      await intentsSettled(root, [schema]);
    }
  }

  test('of a table that is altered twice, each time right before a RENAME: says so', async () => {
    await make('twice', 1);
    const [message, ...more] = await truncatedBeside('twice', async (step, times) => {
      if (step === 'rename' && times < 3) {
        await root.query(`ALTER TABLE twice ADD COLUMN w${times} INT`);
      }
    });
    expect(more).toEqual([]);
    expect(message).toMatch(/^UNDROP_CHANGED_MEANWHILE: .* was emptied and lacks an ALTER TABLE/);
    expect(await held('twice')).toEqual([[1], []]);
    expect(await root.column('SHOW COLUMNS FROM twice')).toEqual(['v', 'w1']);
    expect(message).toContain((await numbers.placesOf('twice'))[0]);
    expect(await heldForDays('twice')).toEqual([7, 7]);
  });

  /** Whole days, from its drop on. */
  async function heldForDays(table: string): Promise<readonly number[]> {
    const values = await root.column(
      `SELECT TIMESTAMPDIFF(DAY, dropped_at, hold_until) AS days FROM _undrop.ledger
       WHERE schema_name = ? AND table_name = ? AND state = 'HOLD' ORDER BY id`,
      [schema, table],
    );
    return values.map(Number);
  }

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
    const before = await makeChild('seen');
    const reader = await connect(server, { database: schema });
    const answer = await truncatedBeside('seen', async (step, times) => {
      if (step !== 'keys' || times > 1) return;
      await reader.run('START TRANSACTION', 'SELECT * FROM seen');
    });
    expect([answer, await held('seen'), await keysOf('seen')]).toEqual([['ok'], [[1]], []]);
    expect(await isLeft('seen')).toBe(true);
    await reader.end();
    await hasKeys('seen', before);
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
});
