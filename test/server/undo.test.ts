/**
 * What an operator does by the command line on real servers: listing, showing, restoring one table
 * or many, and changing how long tables are held; with drops through a proxy, by two users, and
 * against a collector that wants the same tables.
 */
import { readFile } from 'node:fs/promises';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import type { CommandResult } from '../../throwaway-servers/run-command.js';
import { holdTable, startCollecting, whereIs } from '../collector/collecting.js';
import { temporaryFolder } from '../support/folders.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { codeOf, onTerminal } from '../support/undrop-cli.js';
import { wireTap } from '../support/wire-tap.js';

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
const THREE = ['CREATE TABLE a (id INT)', 'INSERT INTO a VALUES (1), (2), (3)'];

type Texts = 'id' | 'table' | 'user' | 'state' | 'until' | 'dropId' | 'holdSchema' | 'holdName';
/** Of `undrop list`. */
type Listed = Readonly<Record<Texts, string>> & {
  readonly how: string | null;
  readonly rowEstimate: number | null;
};

onServers('undo on $name', (server, on) => {
  const { beforeEach, test } = on;
  on.freshLedger();
  on.account(OTHER.user, { password: OTHER.password, grants: ['ALL ON *.*'] });
  const proxy = on.proxy({ PROTECT: 'drop-table,drop-database,truncate' });
  beforeEach(() => freshLedger(server));
  const schema = on.each.schema('um');
  const far = on.schema('um_far');

  const make = (...texts: readonly string[]) => query(server, `USE ${schema.name}`, ...texts);

  /** Through the proxy; resolves when the ledger has the outcome. */
  async function drop(text: string, as: { user?: string; password?: string } = {}): Promise<void> {
    await using client = await connect({ ...proxy, ...as }, { database: schema.name });
    await client.run(...text.split('; '));
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

  /** With what it prints before. */
  async function refuses(args: readonly string[], why: RegExp, as = 1): Promise<string> {
    const { code, stdout, stderr } = await runUndrop(server, args);
    expect([args, code, stderr]).toEqual([args, as, expect.stringMatching(why)]);
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

  /** As if it could not leave its schema yet. */
  async function stay(table: string): Promise<Listed> {
    const { id, holdName } = await heldOf(table);
    await query(
      server,
      `RENAME TABLE _undrop.${holdName} TO ${schema.name}.${holdName}`,
      `UPDATE _undrop.ledger SET hold_schema = '${schema.name}', relocated = 0 WHERE id = '${id}'`,
    );
    return heldOf(table);
  }

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
    expect(preview).not.toContain('is missing');
    const child = await undrop('restore', `${schema.name}.child`, '--dry-run');
    expect(child).toMatch(/^Would restore .*\n {2}\S+ refers to \S+\.parent, which is missing$/m);
    expect([await live(), (await list()).length]).toEqual([[], 5]);
    const said = await undrop(...args);
    expect(said).toMatch(/^\[1\/4\] Restored /);
    expect(said).toMatch(/\nRestored: 4\.\n$/);
    expect(said).not.toContain('Foreign key');
    expect([await look(NAMES), await tablesOf()]).toEqual([before, ['others']]);
  });

  test('a drop comes back by its drop id, or by the id of one of its tables', async () => {
    await make(...FAMILY, 'CREATE TABLE others (id INT)');
    const before = await look(NAMES);
    await drop('DROP TABLE others; DROP TABLE grandchild, second, child, parent');
    const byDrop = ['restore', '--drop', (await heldOf('child')).dropId, '--json'];
    const { restored, failed, untried } = JSON.parse(await undrop(...byDrop));
    expect([[restored.length, failed, untried], await look(NAMES)]).toEqual([[4, [], []], before]);
    await drop('DROP TABLE grandchild, second, child, parent');
    await undrop('restore', '--drop', (await heldOf('second')).id);
    expect([await look(NAMES), await tablesOf()]).toEqual([before, ['others']]);
  });

  test('one that cannot come back keeps none of the others from it', async () => {
    await make(...['a', 'b', 'c'].map((name) => `CREATE TABLE ${name} (id INT)`));
    await drop('DROP TABLE a, b, c');
    await make('CREATE TABLE b (id INT)');
    const args = ['restore', `${schema.name}.a`, 'b', 'c', 'nothing'];
    const taken = /2 of 4 would not be restored:\n {2}b: UNDROP_NAME_TAKEN/;
    const preview = await refuses([...args, '--dry-run'], taken);
    expect(preview.match(/^Would restore/gm)).toHaveLength(2);
    expect(await live()).toEqual(['b']);
    const why =
      /^undrop: 2 of 4 were not restored:\n {2}b: UNDROP_NAME_TAKEN: .*\n {2}nothing: UNDROP_NO_SUCH_HELD: /;
    const stdout = await refuses(args, why);
    expect(stdout).toMatch(/\nRestored: 2\.\n$/);
    expect(stdout).toContain('[2/4] b was not restored.');
    expect([await live(), await tablesOf()]).toEqual([['a', 'b', 'c'], ['b']]);
  });

  test('of a name that was dropped twice the first comes back, and the other is named', async () => {
    await make('CREATE TABLE a (id INT)');
    await drop('DROP TABLE a');
    const { id } = await heldOf('a');
    await make('CREATE TABLE a (id INT, newer INT)', 'CREATE TABLE b (id INT)');
    await drop('DROP TABLE a; DROP TABLE b');
    const said = await undrop('restore', '--schema', schema.name, '--since', '1h');
    const [newer, ...others] = await list();
    expect(said).toContain(`  ${newer?.id}  HOLD`);
    expect(said).toMatch(/Restored: 2\.\n$/);
    expect([newer?.id === id, others]).toEqual([false, []]);
    expect(await query(server, `SHOW COLUMNS FROM ${schema.name}.a`)).toHaveLength(1);
  });

  test('where names are taken the live tables are held instead, and nothing is lost', async () => {
    await make('CREATE TABLE a (id INT)', 'INSERT INTO a VALUES (1)', 'CREATE TABLE b (id INT)');
    await drop('TRUNCATE TABLE a; DROP TABLE b');
    await make('INSERT INTO a VALUES (2), (3)', 'CREATE TABLE b (id INT)');
    const taken = await runUndrop(server, ['restore', 'a', 'b']);
    expect(taken.stderr.match(/UNDROP_NAME_TAKEN/g)).toHaveLength(1);
    expect(taken.stderr).toMatch(/\n {2}a, b: UNDROP_NAME_TAKEN: .* Swap the two \(SWAP/);
    await refuses(['restore', 'a', '--swap', '--to', 'c'], /found --to/, 2);
    const args = ['restore', '--schema', schema.name, '--since', '1h', '--swap'];
    const preview = await undrop(...args, '--dry-run');
    expect(preview.match(/^Would restore.*\n {2}the live table of that name/gm)).toHaveLength(2);
    const said = await undrop(...args);
    expect(said.match(/^The table that had the name is held: [0-9a-f]{32}\.$/gm)).toHaveLength(2);
    expect(await query(server, `SELECT id FROM ${schema.name}.a`)).toEqual([{ id: 1 }]);
    // They are of the person who swapped.
    const { username } = userInfo();
    const held = (await list()).map(({ table, how, user }) => `${table} ${how} ${user}`);
    expect(held.sort()).toEqual([`a SWAP ${username}`, `b SWAP ${username}`]);
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
    await root.run(
      `UPDATE _undrop.ledger SET byte_estimate = NULL, row_estimate = NULL WHERE table_name = 'a'`,
      `UPDATE _undrop.ledger SET byte_estimate = 2000000, row_estimate = 0 WHERE table_name = 'b'`,
      `UPDATE _undrop.ledger SET byte_estimate = 16384 WHERE table_name = 'c'`,
    );
    expect(await tablesOf('--dropped-by', OTHER.user)).toEqual(['b', 'c']);
    expect(await tablesOf('--schema', schema.name, '--since', '1h')).toEqual(['a', 'b', 'c']);
    expect(await tablesOf('--schema', 'elsewhere')).toEqual([]);
    expect(await tablesOf('--until', '1h')).toEqual([]);
    expect((await list('--sort', 'size')).map(({ table }) => table)).toEqual(['b', 'c', 'a']);
    // The server estimates 0 also where it does not know.
    expect((await heldOf('b')).rowEstimate).toBeNull();
    const ways = (await list()).map(({ how }) => how).sort();
    expect(ways).toEqual(['DROP TABLE', 'DROP TABLE', 'TRUNCATE']);
    const text = await undrop('list', '--sort', 'size');
    expect(text).toMatch(/ DROP TABLE \S+\.a +not known /);
    expect(text).toContain('3 tables, 2.0 MB without 1 of unknown size.');
    await undrop('hold', 'b', '--pin');
    await undrop('hold', 'a', '--for', '30d');
    expect((await list('--sort', 'expires')).map(({ table }) => table)).toEqual(['c', 'a', 'b']);
    await undrop('restore', 'b');
    expect(await tablesOf()).toEqual(['a', 'c']);
    const all = await list('--all');
    const states = all.map(({ table, state }) => `${table} ${state}`).sort();
    expect(states).toEqual(['a HOLD', 'b restored', 'c HOLD']);
    expect(await undrop('list', '--all')).toMatch(/ \d{4}-\d\d-\d\d \S+ +restored\n/);
  });

  test('a statement is one line, by pages; an id is taken by either end', async () => {
    await make(...['a', 'b', 'c', 'd'].map((name) => `CREATE TABLE ${name} (id INT)`));
    await drop('DROP TABLE a, b; DROP TABLE c; DROP TABLE d');
    const lines = (await undrop('list')).split('\n');
    expect(lines).toHaveLength(7);
    const { dropId, id } = await heldOf('a');
    const line = `^${dropId.slice(-6)} .* DROP TABLE in ${schema.name}, 2 tables `;
    expect(lines[3]).toMatch(new RegExp(line));
    expect(lines[5]).toContain('`undrop restore --drop <id>`');
    const cut = await undrop('list', '--limit', '1');
    expect(cut).toContain(`DROP TABLE ${schema.name}.d`);
    expect(cut).toContain('And 3 more tables: ');
    expect(await undrop('list', '--tables', '--drop', dropId.slice(-8))).toMatch(/2 tables/);
    expect(await tablesOf('--drop', id.slice(-8))).toEqual(['a', 'b']);
    expect(await tablesOf('--like', '_', '--limit', '2')).toEqual(['c', 'd']);
    expect([await tablesOf('b'), await tablesOf(`${schema.name}.c`)]).toEqual([['b'], ['c']]);
    expect(await tablesOf(schema.name)).toEqual(['a', 'b', 'c', 'd']);
    expect(await undrop('list', 'nothing')).toBe('0 of 4 held tables match.\n');
    expect(await undrop('show', id.slice(-6))).toContain(id);
    await undrop('restore', id.slice(-6));
    expect(await tablesOf()).toEqual(['b', 'c', 'd']);
    expect(await tablesOf('--all', id.slice(-6))).toEqual(['a']);
    await undrop('restore', '--drop', dropId.slice(-6));
    expect(await tablesOf()).toEqual(['c', 'd']);
    await query(server, `DROP TABLE _undrop.${(await heldOf('c')).holdName}`);
    expect([await tablesOf(), (await undrop('list')).includes('.c ')]).toEqual([['d'], false]);
  });

  test('several holds are changed at once, and what is refused keeps none from it', async () => {
    await make(...['a', 'b', 'c'].map((name) => `CREATE TABLE ${name} (id INT)`));
    await drop('DROP TABLE a, b');
    await drop('DROP TABLE c', OTHER);
    const held = await undrop('hold', 'a', 'c', '--for', '30d');
    expect(held).toMatch(/2 tables, .*: held until \(UTC\)/);
    await undrop('hold', '--dropped-by', OTHER.user, '--since', '1h', '--pin');
    const { until: end } = await heldOf('c');
    expect(end).toBe('9999-12-31T23:59:59.000Z');
    const { dropId } = await heldOf('a');
    const all = ['remove', '--schema', schema.name, '--yes', '--json'];
    const { changed, failed } = JSON.parse(await refuses(all, /it is pinned/));
    expect(changed.map(({ table }: Listed) => table).sort()).toEqual(['a', 'b']);
    expect(failed).toHaveLength(1);
    await undrop('restore', '--drop', dropId);
    expect(await refuses(['remove', 'c', 'nothing', '--yes'], /NO_SUCH_HELD/)).toBe('');
    expect(await tablesOf()).toEqual(['c']);
  });

  test('a hold is made longer, shorter, and for good; the ledger and its script follow', async () => {
    await make('CREATE TABLE a (id INT PRIMARY KEY)', 'INSERT INTO a VALUES (1), (2)');
    await drop('DROP TABLE a');
    const { id, until: first } = await heldOf('a');
    await undrop('hold', id.slice(0, 20), '--for', '30d');
    const longer = await heldOf('a');
    const days = (Date.parse(longer.until) - Date.parse(first)) / 86_400_000;
    expect([days > 22.9, days < 23.1]).toEqual([true, true]);
    const tooShort = /UNDROP_HOLD_NOT_CHANGED: .* expected a hold of 1h from its drop/;
    await refuses(['hold', 'a', '--for', '10m'], tooShort);
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
      ['hold a --until 30d', /--until: expected a time like .*; --for takes .*, found "30d"/],
      ['list --since yesterday', /--since: expected a time like .*, found "yesterday"/],
      ['list --limit 0', /--limit: expected a number from 1 on, or none, found "0"/],
      ['list --drop abc', /--drop: expected 4 or more digits of an id, found "abc"/],
      ['restore', /Expected a table, an id, --drop, --schema, or --dropped-by .* found none/],
      ['restore --dropped-by x', /--dropped-by: expected --since or --until beside it, or --dry/],
      ['restore a --dropped-by x', /Expected tables by name or id, or --dropped-by; found both/],
      ['restore a b --to c', /--to: expected one table or id with it, found 2/],
      ['remove', /Expected a table, an id, --drop, --schema, .* or --since; found none/],
      ['remove a --schema x', /Expected tables by name or id, or --schema; found both/],
      ['remove a', /Expected --yes, because there is no terminal/],
      ['show a --rows 0', /--rows: expected a number from 1 to 1000, found "0"/],
    ];
    for (const [args, said] of wrong) expect(await refuses(args.split(' '), said, 2)).toBe('');
    await refuses(['hold', 'a', '--until', '2020-01-01T00:00'], /in the future/);
    await refuses(['restore', 'a', '--to', 'x '], /UNDROP_BAD_TARGET/);
    await refuses(['restore', '--dropped-by', 'nobody', '--since', '1h'], /--dropped-by nobody/);
    const missing = ['restore', '--schema', 'never_there'];
    expect(await codeOf(server, missing)).toBe('UNDROP_NO_SUCH_SCHEMA');
    expect(await tablesOf()).toEqual(['a']);
  });

  test('what is removed is collected; what is pinned, or older of that name, is not', async () => {
    await make(...['a', 'b', 'c'].map((name) => `CREATE TABLE ${name} (id INT)`));
    await drop('DROP TABLE a, b, c');
    const older = await heldOf('c');
    await make('CREATE TABLE c (id INT)');
    await drop('DROP TABLE c');
    await undrop('hold', 'b', '--pin');
    await refuses(['remove', 'b', '--yes'], /it is pinned/);
    const newest = (await list()).find((one) => one.table === 'c' && one.id !== older.id);
    expect(await undrop('remove', 'c', '--yes')).toContain(`  ${older.id}  HOLD  dropped `);
    const plan = await undrop('remove', `${schema.name}.a`, '--dry-run');
    expect(plan).toContain(`${schema.name}.a (`);
    expect(plan).toContain('Nothing was done (--dry-run).');
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
    const events = await root.column('SELECT event FROM _undrop.history WHERE id = ?', [id]);
    expect(events).toEqual(expect.arrayContaining(['held', 'remove-asked', 'removal']));
    const who = /removed for good at \S+ \S+ UTC by \S+@\S+ as \S+\. /;
    await refuses(['remove', id, '--yes'], who);
  });

  test('what commands do is in UNDROP_AUDIT_FILE, too; one that can not be written costs nothing', async () => {
    await make('CREATE TABLE a (id INT)');
    await drop('DROP TABLE a');
    const { id } = await heldOf('a');
    const { path: folder } = on.each.keep(await temporaryFolder('undo'));
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
  });

  test.each([
    ['its name', ['a'], 'a', 0],
    ['another name', ['a'], 'b', 1],
    ['their number', ['a', 'b'], '2', 0],
    ['another number', ['a', 'b'], '1', 1],
  ])('a terminal is asked to type what is removed: %s', async (_what, tables, answer, code) => {
    await make(...tables.map((table) => `CREATE TABLE ${table} (id INT)`));
    await drop(`DROP TABLE ${tables.join(', ')}`);
    const { dropId, holdName } = await heldOf('a');
    const [which, question] =
      tables.length === 1
        ? [['a'], /\.a \(/]
        : [['--drop', dropId.slice(-6)], /\.a \(.*\n.*2 tables, .*\nType the number of tables/s];
    const { asked, said, ...run } = await onTerminal(server, ['remove', ...which], answer);
    expect([run.code, asked]).toEqual([code, [expect.stringMatching(question)]]);
    const done = tables.length === 1 ? 'The hold of' : 'The hold of 2 tables';
    expect(said).toContain(code === 0 ? done : 'Removed nothing');
    expect((await heldOf('a')).holdName === holdName).toBe(code === 1);
    // Until the collector comes it can be had back.
    await undrop('restore', 'a');
  });

  test('who loses the race for a held table changes nothing, and is told', async () => {
    const busy = await holdTable(server, { dueInSeconds: 3_600 });
    const reader = await connect(server);
    await reader.run('BEGIN', `SELECT * FROM ${busy.quoted}`);
    await refuses(['hold', busy.id, '--for', '30d'], /UNDROP_BUSY/);
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
    const { id, dropId } = await heldOf('child');
    const shown = await undrop('show', 'child');
    for (const text of [id, dropId, 'DROP TABLE grandchild, child, odd', OTHER.user, 'HOLD']) {
      expect(shown).toContain(text);
    }
    expect(shown).toMatch(/foreign key +CONSTRAINT `to_parent` FOREIGN KEY/);
    expect(shown).toMatch(/trigger +tr BEFORE INSERT/);
    expect(shown).toMatch(/Dropped with it: \S+\.odd /);
    await using client = await connect(proxy, { database: schema.name });
    await expect(client.query('SELECT * FROM odd')).rejects.toMatchObject({ errno: 1146 });
    const isTold = async () => (await undrop('show', 'odd')).includes('1 statement has failed');
    await until(isTold, 'it is told');
    expect(await undrop('list', '--tables')).toMatch(/\.odd is still used: 1 statement has failed/);
    const rows = await undrop('show', 'odd', '--rows', '10');
    expect(rows.split('\n')).toHaveLength(3);
    expect(rows).toMatch(/\n1 +\?\[2Jx+… +0x00FF +1\.50 +NULL\n$/);
    const json = JSON.parse(await undrop('show', 'odd', '--json', '--rows', '1'));
    expect(json).toMatchObject({ id: (await heldOf('odd')).id, how: 'DROP TABLE', state: 'HOLD' });
    expect(json.rows[0].slice(2)).toEqual(['0x00FF', '1.50', null]);
    await undrop('restore', 'child');
    expect(await undrop('show', id)).toMatch(/state +restored\n/);
    const events = await root.rows<{ event: string; who: string; details: string }>(
      "SELECT event, who, details FROM _undrop.history WHERE id = ? AND event <> 'held'",
      [id],
    );
    const who = expect.stringMatching(/^\S+@\S+ as undrop$/);
    expect(events).toMatchObject([{ event: 'restored', who }]);
    expect(JSON.parse(events[0]?.details ?? '{}')).toMatchObject({
      dropId,
      restoredAs: `${schema.name}.child`,
    });
  });

  test('the list has where each is held, with --all also what the ledger does not know', async () => {
    await make('CREATE TABLE a (id INT)', 'CREATE TABLE b (id INT)');
    await drop('DROP TABLE a, b');
    await stay('b');
    const { id } = await holdTable(server);
    const places = (await list('--all')).map(({ table, holdSchema }) => `${table} ${holdSchema}`);
    expect(places.sort()).toEqual(['a _undrop', `b ${schema.name}`, 'null _undrop']);
    const back = await runUndrop(server, ['restore', id, '--to', `${schema.name}.c`, '--json']);
    const problem = 'the ledger has no row for it';
    expect(JSON.parse(back.stdout)).toMatchObject({
      ...{ foreignKeysProblem: problem, triggersProblem: problem },
    });
    expect(await live()).toContain('c');
  });

  /** With the accounts of a tier. */
  async function asAccount(
    how: Parameters<typeof makeServiceAccount>[1],
    work: (user: string, run: (...args: readonly string[]) => Promise<CommandResult>) => unknown,
  ): Promise<void> {
    const user = `u_${schema.name.slice(-8)}`;
    await makeServiceAccount(server, { ...how, user });
    const variables = { USER: user, PASSWORD: SERVICE_ACCOUNT.password };
    try {
      await make('CREATE TABLE a (id INT)');
      await drop('DROP TABLE a');
      await work(user, (...args) => runUndrop(server, args, variables));
    } finally {
      await query(server, `DROP USER '${user}'@'%'`);
    }
  }

  test('of a table out of its account’s sight the list has where it is', async () => {
    await asAccount({ tier: 'least', schemas: [far.name] }, async (_user, run) => {
      const { id, holdName } = await stay('a');
      const { stdout } = await run('list', '--json');
      const unseen = { id, state: 'HOLD', holdSchema: schema.name, holdName, seen: false };
      expect(JSON.parse(stdout)).toMatchObject([unseen]);
      for (const target of ['a', id]) {
        const { code, stderr } = await run('restore', target);
        const why = `UNDROP_MISSING_RIGHT: .*cannot see ${schema.name}.${holdName}`;
        expect([code, stderr]).toEqual([1, expect.stringMatching(why)]);
      }
      expect(await list()).toMatchObject([{ id, seen: true }]);
    });
  });

  test('a right that is missing is named, also the one to leave out the binary log', async () => {
    await asAccount({ tier: 'managed' }, async (user, run) => {
      await stay('a');
      await query(server, 'UPDATE _undrop.ledger SET sql_log_bin = 0');
      expect((await run('restore', 'a')).stderr).toMatch(/UNDROP_MISSING_RIGHT: .*`undrop doctor`/);
      const revoke = `REVOKE ALTER ON *.* FROM '${user}'@'%'`;
      await query(server, 'UPDATE _undrop.ledger SET sql_log_bin = 1', revoke);
      const missing = /UNDROP_MISSING_RIGHT: .*ALTER.*`undrop doctor`/;
      expect((await run('restore', 'a')).stderr).toMatch(missing);
    });
  });

  const STALE = "INSERT INTO mysql.innodb_table_stats VALUES ('$', 'a', NOW(), 0, 1, 0)";
  const UNREADABLE = `UPDATE _undrop.ledger SET detached = '{"keysOut":'`;

  /** In another session before; `$` is the schema, `@` what is held, `@purge` its name in PURGE. */
  test.each([
    ['name is taken', ['CREATE TABLE $.a (x INT)'], 'restore a', /UNDROP_NAME_TAKEN/],
    ['name is a view’s', ['CREATE VIEW $.a AS SELECT 1 AS x'], 'restore a', /UNDROP_NAME_TAKEN/],
    ['name is a view’s', ['CREATE VIEW $.a AS SELECT 1'], 'restore a --swap', /UNDROP_NOT_SWAPPED/],
    [
      'live table is locked',
      ['CREATE TABLE $.a (x INT)', 'LOCK TABLES $.a WRITE'],
      'restore a --swap',
      /UNDROP_BUSY/,
    ],
    ['rows are being read', ['BEGIN', 'SELECT * FROM @'], 'restore a', /UNDROP_BUSY/],
    ['schema is gone', ['DROP DATABASE $'], 'restore a', /UNDROP_SCHEMA_MISSING.* no privilege on/],
    ['rows go', ['RENAME TABLE @ TO @purge'], 'restore a', /UNDROP_NOT_RESTORABLE/],
    ['row cannot be read', [UNREADABLE], 'restore a', /UNDROP_LEDGER_ROW: .*[0-9a-f]{32}/],
    ['row cannot be read', [UNREADABLE], 'show a', /UNDROP_LEDGER_ROW: .*[0-9a-f]{32}/],
    // MariaDB 10.5 takes left ones away itself.
    ...(server.flavour === 'mariadb' && server.name !== 'mariadb-10.5'
      ? [['statistics are left', [STALE], 'restore a', /UNDROP_STATISTICS_LEFT/] as const]
      : []),
  ])('whose %s stays held: %s, undrop %s', async (_why, before, args, said) => {
    await make(...THREE);
    await drop('DROP TABLE a');
    const { id, holdName } = await heldOf('a');
    await using other = await connect(server);
    const texts = before.map((text) =>
      text
        .replaceAll('$', schema.name)
        .replace('@purge', `_undrop.${holdName.replace('HOLD', 'PURGE')}`)
        .replace('@', `_undrop.${holdName}`),
    );
    await other.run(...texts);
    await refuses(args.split(' '), said);
    const [place, ...more] = await whereIs(server, id);
    expect([await root.count(String(place)), more]).toEqual([3, []]);
  });

  test('whose triggers keep it in its schema comes back there, and in no other', async () => {
    await make(...THREE);
    await drop('DROP TABLE a');
    const { id, holdName } = await stay('a');
    await make(`CREATE TRIGGER tr BEFORE INSERT ON ${holdName} FOR EACH ROW SET @a = 1`);
    const elsewhere = ['restore', id, '--to', `${far.name}.a`];
    expect(await codeOf(server, elsewhere)).toBe('UNDROP_TRIGGERS_STAY');
    await undrop('restore', id);
    expect(await root.count(`${schema.name}.a`)).toBe(3);
  });

  test('a swap is not OK while a foreign key binds the table that it holds to a live one', async () => {
    const parent = 'CREATE TABLE a (id INT PRIMARY KEY) ENGINE=InnoDB';
    await make(parent, 'INSERT INTO a VALUES (1), (2)');
    await drop('DROP TABLE a');
    await make(
      ...[parent, 'INSERT INTO a VALUES (1), (2), (3)'],
      'CREATE TABLE kid (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES a (id)) ENGINE=InnoDB',
      'INSERT INTO kid VALUES (1)',
    );
    await using other = await connect(server, { database: schema.name });
    await other.run('BEGIN', 'SELECT * FROM kid');
    const code = await codeOf(server, ['restore', 'a', '--swap']);
    await other.query('COMMIT');
    // MySQL 8 and later lock the children for the RENAME.
    expect(['UNDROP_BUSY', 'UNDROP_KEYS_LEFT']).toContain(code);
    expect(await root.count(`${schema.name}.a`)).toBe(code === 'UNDROP_BUSY' ? 3 : 2);
  });

  test.each([
    ['restore a', ['UNDROP_NOT_HELD', 'UNDROP_NAME_TAKEN']],
    ['restore a --to other', ['UNDROP_NOT_HELD']],
  ])('the slower of two restores is refused: %s', async (args, codes) => {
    await make(...THREE);
    await drop('DROP TABLE a');
    const { id } = await heldOf('a');
    let isFirst = true;
    await using tap = await wireTap(server, async ({ moment, command }) => {
      if (moment !== 'before statement' || !isFirst || !command.includes('put-back')) return true;
      isFirst = false;
      await runUndrop(server, ['restore', id]);
      return true;
    });
    // Which of the two names a server looks at first isn't the same everywhere.
    expect(codes).toContain(await codeOf(tap, args.split(' ')));
    expect(await root.count(`${schema.name}.a`)).toBe(3);
  });
});
