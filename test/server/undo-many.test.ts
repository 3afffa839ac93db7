/**
 * What an operator does by the command line on real servers: listing, showing, restoring many at
 * once, and changing how long tables are held; with drops through a proxy, by two users.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { hostname, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { runCommandLine } from '../../src/cli/command-line.js';
import { reportFailure } from '../../src/cli/report-failure.js';
import { holdTable, startCollecting } from '../lifecycle/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { readHistory } from '../support/history.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { environment, runUndrop } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';

const OTHER = { user: 'um_other', password: 'other' };
/** A parent, two children of it, and a grandchild that leads to itself, too. */
const FAMILY = [
  'CREATE TABLE parent (id INT PRIMARY KEY)',
  `CREATE TABLE child (id INT PRIMARY KEY, p INT,
    CONSTRAINT to_parent FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)`,
  'CREATE TABLE second (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES parent (id))',
  `CREATE TABLE grandchild (id INT PRIMARY KEY, c INT, g INT,
    FOREIGN KEY (c) REFERENCES child (id), FOREIGN KEY (g) REFERENCES grandchild (id))`,
  'INSERT INTO parent VALUES (1), (2)',
  'INSERT INTO child VALUES (1, 1), (2, 2)',
  'INSERT INTO second VALUES (1)',
  'INSERT INTO grandchild VALUES (1, 1, 1), (2, 2, 1)',
];
const NAMES = ['parent', 'child', 'second', 'grandchild'];

interface Listed {
  readonly id: string;
  readonly table: string;
  readonly state: string;
  readonly until: string;
  readonly how: string | null;
  readonly groupId: string;
  readonly holdName: string;
}

onServers('the operator on $name', (server, on) => {
  const { beforeEach, test } = on;
  on.freshLedger();
  on.account(OTHER.user, { password: OTHER.password, grants: ['ALL ON *.*'] });
  const proxy = on.proxy({ PROTECT: 'drop-table,drop-database,truncate' });
  beforeEach(() => freshLedger(server));
  const schema = on.each.schema('um');
  const pool = on.each.pool();

  const make = (...texts: readonly string[]) => query(server, `USE ${schema.name}`, ...texts);

  /** Through the proxy; resolves when the ledger has the outcome. */
  async function drop(text: string, as: { user?: string; password?: string } = {}): Promise<void> {
    const client = await connect({ ...proxy, ...as }, { database: schema.name });
    await client.run(...text.split('; '));
    await client.end();
    await until(async () => {
      const rows = (await ledgerRows(root)).filter((row) => row['ended_at'] === null);
      return rows.every((row) => row['state'] !== 'intent' && row['relocated'] === 1);
    }, 'the ledger has the outcome');
  }

  async function undrop(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runUndrop(server, args);
    expect([code, stderr]).toEqual([0, '']);
    return stdout;
  }

  const list = async (...args: readonly string[]) =>
    JSON.parse(await undrop('list', '--json', ...args)) as Listed[];
  const tablesOf = async (...args: readonly string[]) =>
    (await list(...args)).map(({ table }) => table).sort();
  const heldOf = async (table: string): Promise<Listed> => {
    const [found] = (await list()).filter((one) => one.table === table);
    if (found === undefined) throw new Error(`${table} is not held`);
    return found;
  };

  /** SHOW CREATE TABLE of all, and the rows. */
  async function look(names: readonly string[]): Promise<readonly unknown[]> {
    const found: unknown[] = [];
    for (const name of names) {
      const at = `\`${schema.name}\`.\`${name}\``;
      found.push(...(await query(server, `SHOW CREATE TABLE ${at}`)));
      found.push(...(await query(server, `SELECT * FROM ${at} ORDER BY 1`)));
    }
    return found;
  }

  /** What a command prints and asks on a terminal on which `answer` is typed. */
  async function onTerminal(args: readonly string[], answer: string) {
    const asked: string[] = [];
    let said = '';
    const out = { write: (text: string) => (said += text) };
    const code = await runCommandLine({
      args,
      env: environment(server, {}),
      stdout: out,
      stderr: out,
      leaveSignals: () => undefined,
      ask: async (question) => {
        asked.push(question);
        return answer;
      },
    }).catch((error) => reportFailure(error, out));
    return { code, asked, said };
  }

  const root = on.session();
  const live = () => root.tables(schema.name);

  test('what one user dropped since a time is back by one command, with its keys', async () => {
    await make(...FAMILY, 'CREATE TABLE others (id INT)');
    const before = await look(NAMES);
    await drop('DROP TABLE others');
    await drop('DROP TABLE grandchild, second; DROP TABLE child; DROP TABLE parent', OTHER);
    const args = ['restore', '--dropped-by', OTHER.user, '--since', '1h'];
    const preview = await undrop(...args, '--dry-run');
    expect(preview.match(/^Would restore/gm)).toHaveLength(4);
    expect(preview).toContain('Nothing was done');
    expect([await live(), (await list()).length]).toEqual([[], 5]);
    const said = await undrop(...args);
    expect(said).toMatch(/^\[1\/4\] Restored \S+\.parent /);
    expect(said).toMatch(/\nRestored: 4\.\n$/);
    expect(said).not.toContain('Foreign key');
    expect(await look(NAMES)).toEqual(before);
    expect(await tablesOf()).toEqual(['others']);
  });

  test('a drop comes back by its drop id, or by the id of one of its tables', async () => {
    await make(...FAMILY, 'CREATE TABLE others (id INT)');
    const before = await look(NAMES);
    await drop('DROP TABLE others; DROP TABLE grandchild, second, child, parent');
    const { groupId } = await heldOf('child');
    const report = JSON.parse(await undrop('restore', '--drop', groupId, '--json'));
    expect([report.restored.length, report.failed, report.untried]).toEqual([4, [], []]);
    expect(await look(NAMES)).toEqual(before);
    await drop('DROP TABLE grandchild, second, child, parent');
    await undrop('restore', '--drop', (await heldOf('second')).id);
    expect(await look(NAMES)).toEqual(before);
    expect(await tablesOf()).toEqual(['others']);
  });

  test('one that cannot come back keeps none of the others from it', async () => {
    await make(...['a', 'b', 'c'].map((name) => `CREATE TABLE ${name} (id INT)`));
    await drop('DROP TABLE a, b, c');
    await make('CREATE TABLE b (id INT)');
    const args = ['restore', `${schema.name}.a`, 'b', 'c', 'nothing'];
    const preview = await runUndrop(server, [...args, '--dry-run']);
    expect([preview.code, preview.stdout.match(/^Would restore/gm)?.length]).toEqual([1, 2]);
    expect(preview.stderr).toMatch(/2 of 4 would not be restored:\n {2}b: UNDROP_NAME_TAKEN/);
    expect(await live()).toEqual(['b']);
    const { code, stdout, stderr } = await runUndrop(server, args);
    expect([code, stdout]).toEqual([1, expect.stringMatching(/\nRestored: 2\.\n$/)]);
    expect(stdout).toContain('[2/4] b was not restored.');
    expect(stderr).toMatch(/^undrop: 2 of 4 were not restored:\n {2}b: UNDROP_NAME_TAKEN: .*\n/);
    expect(stderr).toContain('  nothing: UNDROP_NO_SUCH_HELD: ');
    expect(await live()).toEqual(['a', 'b', 'c']);
    expect(await tablesOf()).toEqual(['b']);
  });

  test('of a name that was dropped twice the newest comes back, and the other is named', async () => {
    await make('CREATE TABLE a (id INT)');
    await drop('DROP TABLE a');
    const older = await heldOf('a');
    await make('CREATE TABLE a (id INT, newer INT)', 'CREATE TABLE b (id INT)');
    await drop('DROP TABLE a; DROP TABLE b');
    const said = await undrop('restore', '--schema', schema.name, '--since', '1h');
    expect(said).toContain(`  ${older.id}  HOLD`);
    expect(said).toMatch(/Restored: 2\.\n$/);
    expect((await list()).map(({ id }) => id)).toEqual([older.id]);
    expect(await query(server, `SHOW COLUMNS FROM ${schema.name}.a`)).toHaveLength(2);
  });

  test('hold and remove mean the newest of a name, and name the other', async () => {
    await make('CREATE TABLE a (id INT)');
    await drop('DROP TABLE a');
    const older = await heldOf('a');
    await make('CREATE TABLE a (id INT)');
    await drop('DROP TABLE a');
    const newest = (await list()).find(({ id }) => id !== older.id);
    const other = `\nAlso held under that name; unchanged:\n  ${older.id}  HOLD  dropped `;
    const held = await undrop('hold', 'a', '--for', '30d');
    const removed = await undrop('remove', `${schema.name}.a`, '--yes');
    for (const said of [held, removed]) {
      expect(said).toContain(`${schema.name}.a (${newest?.id})`);
      expect(said).toContain(other);
    }
  });

  test('names that are taken are one cause, with the way to swap', async () => {
    const names = ['a', 'b', 'c'];
    const texts = names.map((name) => `CREATE TABLE ${name} (id INT)`);
    await make(...texts);
    await drop('DROP TABLE a, b, c');
    await make(...texts);
    const { stderr } = await runUndrop(server, ['restore', ...names]);
    expect(stderr.match(/UNDROP_NAME_TAKEN/g)).toHaveLength(1);
    expect(stderr).toMatch(/\n {2}a, b, c: UNDROP_NAME_TAKEN: .* Swap the two \(SWAP/);
  });

  test('where names are taken the live tables are held instead, and nothing is lost', async () => {
    await make('CREATE TABLE a (id INT)', 'INSERT INTO a VALUES (1)', 'CREATE TABLE b (id INT)');
    await drop('TRUNCATE TABLE a; DROP TABLE b');
    await make('INSERT INTO a VALUES (2), (3)', 'CREATE TABLE b (id INT)');
    const both = await runUndrop(server, ['restore', 'a', '--swap', '--to', 'c']);
    expect([both.code, both.stderr]).toEqual([2, expect.stringContaining('found --to')]);
    const args = ['restore', '--schema', schema.name, '--since', '1h', '--swap'];
    const preview = await undrop(...args, '--dry-run');
    expect(preview.match(/^Would restore.*\n {2}A live table of that name/gm)).toHaveLength(2);
    const said = await undrop(...args);
    expect(said.match(/^The table that had the name is held: [0-9a-f]{32}\.$/gm)).toHaveLength(2);
    expect(await query(server, `SELECT id FROM ${schema.name}.a`)).toEqual([{ id: 1 }]);
    expect((await list()).map(({ table, how }) => `${table} ${how}`).sort()).toEqual([
      ...['a SWAP', 'b SWAP'],
    ]);
    await undrop('restore', 'a', '--swap');
    expect(await query(server, `SELECT id FROM ${schema.name}.a`)).toHaveLength(2);
  });

  test('a restore of many that broke off is finished by the same command', async () => {
    await make(...FAMILY);
    const before = await look(NAMES);
    await drop('DROP TABLE grandchild, second, child, parent', OTHER);
    const { id, holdName } = await heldOf('child');
    // Its RENAME is done, and its key is still to come.
    await query(
      server,
      `UPDATE _undrop.ledger SET todo = 'restoring', failure = 'it is being restored',
        restored_as = '${schema.name}.child' WHERE id = '${id}'`,
      `RENAME TABLE _undrop.${holdName} TO ${schema.name}.child`,
    );
    const said = await undrop('restore', '--dropped-by', OTHER.user, '--since', '1h');
    expect(said).toContain('Finished an earlier restore: restored');
    expect(said).toMatch(/Restored: 4\.\n$/);
    const sorted = (all: readonly unknown[]) => JSON.stringify(all).replaceAll(/KEY `\w+`/g, 'KEY');
    expect(sorted(await look(NAMES))).toBe(sorted(before));
  });

  test('the list is filtered and sorted, and has totals and how each was dropped', async () => {
    await make(
      ...['a', 'b', 'c'].map((name) => `CREATE TABLE ${name} (id INT) ENGINE=InnoDB`),
      'INSERT INTO c VALUES (1)',
    );
    await drop('DROP TABLE a');
    await drop('/* by hand */ DROP TABLE b; TRUNCATE TABLE c', OTHER);
    await query(
      server,
      `UPDATE _undrop.ledger SET byte_estimate = NULL, row_estimate = NULL WHERE table_name = 'a'`,
      `UPDATE _undrop.ledger SET byte_estimate = 2000000 WHERE table_name = 'b'`,
      `UPDATE _undrop.ledger SET byte_estimate = 16384 WHERE table_name = 'c'`,
    );
    expect(await tablesOf('--dropped-by', OTHER.user)).toEqual(['b', 'c']);
    expect(await tablesOf('--schema', schema.name, '--since', '1h')).toEqual(['a', 'b', 'c']);
    expect(await tablesOf('--schema', 'elsewhere')).toEqual([]);
    expect(await tablesOf('--until', '1h')).toEqual([]);
    expect((await list('--sort', 'size')).map(({ table }) => table)).toEqual(['b', 'c', 'a']);
    expect((await list()).map(({ how }) => how).sort()).toEqual([
      ...['DROP TABLE', 'DROP TABLE', 'TRUNCATE'],
    ]);
    const text = await undrop('list', '--sort', 'size');
    expect(text).toMatch(/ DROP TABLE \S+\.a +not known /);
    expect(text).toContain('3 tables, 2.0 MB without 1 of unknown size.');
    await undrop('hold', 'b', '--pin');
    await undrop('hold', 'a', '--for', '30d');
    expect((await list('--sort', 'expires')).map(({ table }) => table)).toEqual(['c', 'a', 'b']);
    await undrop('restore', 'b');
    expect(await tablesOf()).toEqual(['a', 'c']);
    const all = await list('--all');
    expect(all.map(({ table, state }) => `${table} ${state}`).sort()).toEqual([
      ...['a HOLD', 'b restored', 'c HOLD'],
    ]);
    expect(await undrop('list', '--all')).toMatch(/ \d{4}-\d\d-\d\d \S+ +restored\n/);
  });

  test('a statement is one line, by pages; an id is taken by either end', async () => {
    await make(...['a', 'b', 'c', 'd'].map((name) => `CREATE TABLE ${name} (id INT)`));
    await drop('DROP TABLE a, b; DROP TABLE c; DROP TABLE d');
    const lines = (await undrop('list')).split('\n');
    expect(lines).toHaveLength(7);
    const { groupId, id } = await heldOf('a');
    expect(lines[3]).toMatch(
      new RegExp(`^${groupId.slice(-6)} .* DROP TABLE in ${schema.name}, 2 tables `),
    );
    expect(lines[5]).toContain('`undrop restore --drop <id>`');
    const cut = await undrop('list', '--limit', '1');
    expect(cut).toContain(`DROP TABLE ${schema.name}.d`);
    expect(cut).toContain('And 3 more tables: ');
    expect(await undrop('list', '--tables', '--drop', groupId.slice(-8))).toMatch(/2 tables/);
    expect(await tablesOf('--drop', id.slice(-8))).toEqual(['a', 'b']);
    expect(await tablesOf('--like', '_', '--limit', '2')).toEqual(['c', 'd']);
    expect(await tablesOf('b')).toEqual(['b']);
    expect(await tablesOf(`${schema.name}.c`)).toEqual(['c']);
    expect(await tablesOf(schema.name)).toEqual(['a', 'b', 'c', 'd']);
    expect(await undrop('list', 'nothing')).toBe('0 of 4 held tables match.\n');
    expect(await undrop('show', id.slice(-6))).toContain(id);
    await undrop('restore', id.slice(-6));
    expect(await tablesOf()).toEqual(['b', 'c', 'd']);
    expect(await tablesOf('--all', id.slice(-6))).toEqual(['a']);
    await undrop('restore', '--drop', groupId.slice(-6));
    expect(await tablesOf()).toEqual(['c', 'd']);
    await query(server, `DROP TABLE _undrop.${(await heldOf('c')).holdName}`);
    expect([await tablesOf(), (await undrop('list')).includes('.c ')]).toEqual([['d'], false]);
  });

  test('several holds are changed at once, and what is refused keeps none from it', async () => {
    await make(...['a', 'b', 'c'].map((name) => `CREATE TABLE ${name} (id INT)`));
    await drop('DROP TABLE a, b');
    await drop('DROP TABLE c', OTHER);
    expect(await undrop('hold', 'a', 'c', '--for', '30d')).toMatch(
      /2 tables, .*: held until \(UTC\)/,
    );
    await undrop('hold', '--dropped-by', OTHER.user, '--since', '1h', '--pin');
    const { until: end } = await heldOf('c');
    expect(end).toBe('9999-12-31T23:59:59.000Z');
    const { groupId } = await heldOf('a');
    const removed = await runUndrop(server, ['remove', '--schema', schema.name, '--yes', '--json']);
    const { changed, failed } = JSON.parse(removed.stdout);
    expect([removed.code, changed.map(({ table }: Listed) => table).sort()]).toEqual([
      1,
      ['a', 'b'],
    ]);
    expect([failed.length, removed.stderr]).toEqual([1, expect.stringContaining('it is pinned')]);
    await undrop('restore', '--drop', groupId);
    const missing = await runUndrop(server, ['remove', 'c', 'nothing', '--yes']);
    expect([missing.code, missing.stdout, await tablesOf()]).toEqual([1, '', ['c']]);
  });

  test.each([
    ['1', 1],
    ['2', 0],
  ])('for several a terminal is asked for their number: %s', async (answer, code) => {
    await make('CREATE TABLE a (id INT)', 'CREATE TABLE b (id INT)');
    await drop('DROP TABLE a, b');
    const { groupId, until: end } = await heldOf('a');
    const { asked, said, ...run } = await onTerminal(
      ['remove', '--drop', groupId.slice(-6)],
      answer,
    );
    expect([run.code, asked.length]).toEqual([code, 1]);
    expect(asked[0]).toMatch(/\.a \(.*\n.*2 tables, .*\nType the number of tables/s);
    expect(said).toContain(code === 0 ? 'The hold of 2 tables' : 'Removed nothing');
    expect((await heldOf('a')).until === end).toBe(code === 1);
  });

  test('a hold is made longer, shorter, and for good; the ledger and its script follow', async () => {
    await make('CREATE TABLE a (id INT PRIMARY KEY)', 'INSERT INTO a VALUES (1), (2)');
    await drop('DROP TABLE a');
    const { id, until: first } = await heldOf('a');
    await undrop('hold', id.slice(0, 20), '--for', '30d');
    const longer = await heldOf('a');
    const days = (Date.parse(longer.until) - Date.parse(first)) / 86_400_000;
    expect([days > 22.9, days < 23.1]).toEqual([true, true]);
    const tooShort = await runUndrop(server, ['hold', 'a', '--for', '10m']);
    expect([tooShort.code, tooShort.stderr]).toEqual([
      1,
      expect.stringMatching(/UNDROP_HOLD_NOT_CHANGED: .* expected a hold of 1h from its drop/),
    ]);
    await undrop('hold', 'a', '--for', '61m');
    expect(await heldOf('a')).toMatchObject({ id });
    expect(await undrop('hold', `${schema.name}.a`, '--pin')).toContain('(UTC): pinned;');
    const pinned = await heldOf('a');
    expect(pinned.until).toBe('9999-12-31T23:59:59.000Z');
    const inHold = { state: 'HOLD', hold_name: pinned.holdName, relocated: 1, pinned: 1 };
    expect(await ledgerRows(root, { id })).toMatchObject([inHold]);
    const script = await undrop('show', 'a', '--sql');
    await query(server, ...script.split(/;\n/).filter((text) => text.trim() !== ''));
    expect(await query(server, `SELECT id FROM ${schema.name}.a`)).toHaveLength(2);
  });

  test('wrong flags and times are refused with what was expected and what came', async () => {
    await make('CREATE TABLE a (id INT)');
    await drop('DROP TABLE a');
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['hold a', /one of --for, --until and --pin; found none/],
      ['hold a --for 30', /--for: expected a duration like 12h or 30d, found "30"/],
      [
        'hold a --until 30d',
        /--until: expected a time like .*; --for takes a duration, found "30d"/,
      ],
      ['list --since yesterday', /--since: expected a time like .*, found "yesterday"/],
      [
        'restore',
        /Expected a table, an id, --drop, --schema, or --dropped-by with --since; found none/,
      ],
      [
        'restore --dropped-by x',
        /--dropped-by: expected --since or --until beside it, or --dry-run/,
      ],
      ['restore a --dropped-by x', /Expected tables by name or id, or --dropped-by; found both/],
      ['remove', /Expected a table, an id, --drop, --schema, --dropped-by or --since; found none/],
      ['remove a --schema x', /Expected tables by name or id, or --schema; found both/],
      ['list --limit 0', /--limit: expected a number from 1 on, or none, found "0"/],
      ['list --drop abc', /--drop: expected 4 or more digits of an id, found "abc"/],
      ['restore a b --to c', /--to: expected one table or id with it, found 2/],
      ['show a --rows 0', /--rows: expected a number from 1 to 1000, found "0"/],
      ['remove a', /Expected --yes, because there is no terminal/],
    ];
    for (const [args, said] of wrong) {
      const { code, stdout, stderr } = await runUndrop(server, args.split(' '));
      expect([args, code, stdout, stderr]).toEqual([args, 2, '', expect.stringMatching(said)]);
    }
    const past = await runUndrop(server, ['hold', 'a', '--until', '2020-01-01T00:00']);
    expect([past.code, past.stderr]).toEqual([1, expect.stringContaining('in the future')]);
    const none = await runUndrop(server, ['restore', '--dropped-by', 'nobody', '--since', '1h']);
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('--dropped-by nobody')]);
    expect(await tablesOf()).toEqual(['a']);
  });

  test('what is removed is collected; what is pinned, or older of that name, is not', async () => {
    await make(...['a', 'b', 'c'].map((name) => `CREATE TABLE ${name} (id INT)`));
    await drop('DROP TABLE a, b, c');
    const older = await heldOf('c');
    await make('CREATE TABLE c (id INT)');
    await drop('DROP TABLE c');
    await undrop('hold', 'b', '--pin');
    const pinned = await runUndrop(server, ['remove', 'b', '--yes']);
    expect([pinned.code, pinned.stderr]).toEqual([1, expect.stringContaining('it is pinned')]);
    const newest = (await list()).find((one) => one.table === 'c' && one.id !== older.id);
    expect(await undrop('remove', 'c', '--yes')).toContain(`  ${older.id}  HOLD  dropped `);
    const { id } = await heldOf('a');
    expect(await undrop('remove', 'a', '--yes')).toContain('the collector removes it');
    const collecting = on.each.keep(startCollecting(server));
    await until(async () => {
      const removed = await ledgerRows(root, { state: 'removed' });
      return [id, newest?.id].every((one) => removed.some((row) => row['id'] === one));
    }, 'both are removed');
    await collecting.looked();
    expect((await list()).map((one) => one.table).sort()).toEqual(['b', 'c']);
    expect((await heldOf('c')).id).toBe(older.id);
    const events = (await readHistory(pool, id)).map(({ event }) => event);
    expect(events).toEqual(expect.arrayContaining(['held', 'remove-asked', 'removal']));
    const gone = await runUndrop(server, ['remove', id, '--yes']);
    const who = /removed for good at \S+ \S+ UTC by \S+@\S+ as \S+\. /;
    expect([gone.code, gone.stderr]).toEqual([1, expect.stringMatching(who)]);
  });

  test('what commands do is in UNDROP_AUDIT_FILE, too; one that can not be written costs nothing', async () => {
    await make('CREATE TABLE a (id INT)');
    await drop('DROP TABLE a');
    const { id } = await heldOf('a');
    const folder = await mkdtemp(join(tmpdir(), 'undrop-audit-'));
    const path = join(folder, 'audit');
    const by = (...args: readonly string[]) => runUndrop(server, args, { AUDIT_FILE: path });
    expect(await by('hold', 'a', '--for', '30d')).toMatchObject({ code: 0, stderr: '' });
    expect(await by('restore', 'a')).toMatchObject({ code: 0, stderr: '' });
    const lines = (await readFile(path, 'utf8')).trim().split('\n');
    const who = { osUser: userInfo().username, host: hostname(), account: 'undrop' };
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { event: 'hold-changed', id, table: 'a', ...who },
      { event: 'restored', id, restoredAs: `${schema.name}.a`, ...who },
    ]);
    await drop('DROP TABLE a');
    const lost = await runUndrop(server, ['restore', 'a'], { AUDIT_FILE: folder });
    expect(lost.code).toBe(0);
    await rm(folder, { recursive: true });
  });

  test.each([
    ['another name', 'b', 1],
    ['its name', 'a', 0],
  ])('a terminal is asked for the name: %s', async (_what, answer, isOver) => {
    await make('CREATE TABLE a (id INT)');
    await drop('DROP TABLE a');
    const before = await heldOf('a');
    const { code, asked, said } = await onTerminal(['remove', 'a'], answer);
    expect([code, asked.length]).toEqual([isOver, 1]);
    const after = await heldOf('a');
    expect(after.holdName === before.holdName).toBe(isOver === 1);
    // Until the collector comes it can be had back.
    expect(said).toContain(isOver === 0 ? 'The hold of' : 'Removed nothing');
    await undrop('restore', 'a');
  });

  test('who loses the race for a held table changes nothing, and is told', async () => {
    const busy = await holdTable(server, { dueInSeconds: 3_600 });
    const reader = await connect(server);
    await reader.run('BEGIN', `SELECT * FROM ${busy.quoted}`);
    const locked = await runUndrop(server, ['hold', busy.id, '--for', '30d']);
    expect([locked.code, locked.stderr]).toEqual([1, expect.stringContaining('UNDROP_BUSY')]);
    await reader.end();
    // The collector and the operator, at the same moment.
    const due = await holdTable(server);
    const collecting = on.each.keep(
      startCollecting(server, { fastDrop: 'never', lifecycle: ['HOLD', 'DROP'] }),
    );
    const { code, stderr } = await runUndrop(server, ['hold', due.id, '--for', '30d']);
    await collecting.looked();
    const left = (await list('--all')).filter(({ id }) => id === due.id).map(({ state }) => state);
    expect(left).toEqual(code === 0 ? ['HOLD'] : []);
    if (code !== 0) expect(stderr).toMatch(/UNDROP_(NOT_HELD|NO_SUCH_HELD|HOLD_NOT_CHANGED|BUSY)/);
  });

  test('show tells all of one table, and some rows of it without control characters', async () => {
    await make(
      ...FAMILY,
      `CREATE TABLE odd (id INT PRIMARY KEY, t TEXT, b BLOB, d DECIMAL(5,2), n INT)`,
      `INSERT INTO odd VALUES (1, CONCAT(CHAR(27), '[2J', REPEAT('x', 500)), X'00FF', 1.50, NULL)`,
      'CREATE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW SET NEW.p = NEW.p',
    );
    await drop('DROP TABLE grandchild, child, odd', OTHER);
    const { id, groupId } = await heldOf('child');
    const shown = await undrop('show', 'child');
    for (const text of [id, groupId, 'DROP TABLE grandchild, child, odd', OTHER.user, 'HOLD']) {
      expect(shown).toContain(text);
    }
    expect(shown).toMatch(/foreign key +CONSTRAINT `to_parent` FOREIGN KEY/);
    expect(shown).toMatch(/trigger +tr BEFORE INSERT/);
    expect(shown).toMatch(/Dropped with it: \S+\.odd /);
    const client = await connect(proxy, { database: schema.name });
    await expect(client.query('SELECT * FROM odd')).rejects.toMatchObject({ errno: 1146 });
    await client.end();
    await until(
      async () => (await undrop('show', 'odd')).includes('1 statement has failed'),
      'it is told',
    );
    expect(await undrop('list', '--tables')).toMatch(/\.odd is still used: 1 statement has failed/);
    const rows = await undrop('show', 'odd', '--rows', '10');
    expect(rows.split('\n')).toHaveLength(3);
    expect(rows).toMatch(/\n1 +\?\[2Jx+… +0x00FF +1\.50 +NULL\n$/);
    const json = JSON.parse(await undrop('show', 'odd', '--json', '--rows', '1'));
    expect(json).toMatchObject({ id: (await heldOf('odd')).id, how: 'DROP TABLE', state: 'HOLD' });
    expect(json.rows[0].slice(2)).toEqual(['0x00FF', '1.50', null]);
    await undrop('restore', 'child');
    expect(await undrop('show', id)).toMatch(/state +restored\n/);
    const events = (await readHistory(pool, id)).filter(({ event }) => event !== 'held');
    expect(events).toMatchObject([
      { event: 'restored', details: { dropId: groupId, restoredAs: `${schema.name}.child` } },
    ]);
    expect(events[0]?.who).toMatch(/^\S+@\S+ as undrop$/);
  });
});
