/**
 * kill -9 of the server amid the RENAME of a table with many partitions, when the first of its
 * files have their new names. MySQL 9.7 takes it back. The others leave it in pieces: then undrop
 * says so for as long as it is, and docs/runbook.md, whose steps are followed here as they stand,
 * brings it together with all its rows.
 *
 * A run tears one table, by one statement on one server; a long run takes all of both.
 */
import { execFile } from 'node:child_process';
import { watch } from 'node:fs';
import { readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RowDataPacket } from 'mysql2/promise';
import { projectFolder } from '../support/folders.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { SERVER_NAMES } from '../support/server-set.js';
import { connect, type Session } from '../support/servers.js';
import { listed } from '../support/undrop-cli.js';
import { type FaultRig, openFaultRig } from './fault-rig.js';

const PARTITIONS = 64;
const ROWS = 300;
/** The server is killed when so many files have moved. */
const MOVED = 8;
/** It may be through with the others before the signal comes. */
const TRIES_MAX = 10;
const SETTLED_MS = 90_000;

const STATEMENTS = ['DROP TABLE', 'DROP DATABASE', 'restore'] as const;
const CELLS = SERVER_NAMES.flatMap((server) => STATEMENTS.map((by) => ({ server, by }))).filter(
  // It is left in pieces by none of them there, so that one is enough.
  ({ server, by }) => server !== 'mysql-9.7' || by === 'DROP TABLE',
);
const CHOSEN = sample(CELLS, { name: 'cells', count: 1 });
const SERVERS = SERVER_NAMES.filter((name) => CHOSEN.some(({ server }) => server === name));

/** `place`: where the hold name is. */
type Names = Readonly<Record<'schema' | 'table' | 'place' | 'held' | 'id', string>>;

describe.each(SERVERS)('a server killed amid the RENAME of partitions, %s', (name) => {
  const isAtomic = name === 'mysql-9.7';
  const isRun = (by: string) => CHOSEN.some((cell) => cell.server === name && cell.by === by);
  let rig: FaultRig;
  let root: Session;
  let count = 0;

  beforeAll(async () => {
    rig = await openFaultRig(name);
    root = rig.direct;
  }, 120_000);

  function testOf(by: string, title: string, run: () => Promise<void>): void {
    if (isRun(by)) test(title, run, 300_000);
  }

  afterAll(async () => {
    root.destroy();
    await rig.close();
  });

  async function make(schema: string): Promise<void> {
    await root.query(`CREATE DATABASE ${schema}`);
    await root.query(
      `CREATE TABLE ${schema}.parts (id INT PRIMARY KEY, v INT, KEY (v)) ENGINE=InnoDB
       PARTITION BY HASH (id) PARTITIONS ${PARTITIONS}`,
    );
    const rows = Array.from({ length: ROWS }, (_, id) => `(${id}, ${id})`);
    await root.query(`INSERT INTO ${schema}.parts VALUES ${rows.join(', ')}`);
    await root.query(`CREATE TABLE ${schema}.plain (id INT PRIMARY KEY) ENGINE=InnoDB`);
    await root.query(`INSERT INTO ${schema}.plain VALUES (1), (2)`);
  }

  /** Until the server is killed, as files of such names have come to be in a schema's folder. */
  async function killAmid(
    work: () => Promise<unknown>,
    { place, isMoved }: { readonly place: string; readonly isMoved: RegExp },
  ): Promise<void> {
    const moved = new Set<string>();
    const watcher = watch(join(rig.server.dataFolder, place), (_event, file) => {
      if (file !== null && isMoved.test(file)) moved.add(file);
      if (moved.size >= MOVED) rig.server.kill();
    });
    try {
      await work().catch(() => undefined);
      // What has ended before is killed all the same.
      rig.server.kill();
    } finally {
      watcher.close();
    }
    await restart();
  }

  async function throughProxy(text: string): Promise<void> {
    const client = await connect(rig.proxy);
    client.on('error', () => undefined);
    await client.query(text).finally(() => client.destroy());
  }

  async function rowsOf(at: string): Promise<number | null> {
    try {
      const rows = await root.rows(`SELECT COUNT(*) AS n FROM ${at}`);
      return Number(rows[0]?.['n']);
    } catch (error) {
      expect([1146, 1017, 1696, 1932]).toContain((error as { readonly errno?: number }).errno);
      return null;
    }
  }

  async function stateOf(schema: string): Promise<RowDataPacket | null> {
    const rows = await root.rows(
      `SELECT id, state, todo FROM _undrop.ledger
       WHERE schema_name = ? AND table_name = 'parts' AND state IN ('intent', 'HOLD')`,
      [schema],
    );
    return rows[0] ?? null;
  }

  const listedAs = async (id: string) => (await listed(rig.server)).find((one) => one.id === id);
  const doctor = async () => (await runUndrop(rig.server, ['doctor'])).stdout;

  /** Drops until the table is in pieces, or once where that can't be; then where it is. */
  async function tear(text: (schema: string) => string, place: (schema: string) => string) {
    for (let tries = 1; tries <= (isAtomic ? 1 : TRIES_MAX); tries++) {
      const schema = `torn_${++count}`;
      await make(schema);
      const at = { place: place(schema), isMoved: /^_vt_HOLD_.*#p#/i };
      await killAmid(() => throughProxy(text(schema)), at);
      const settled = async () => {
        await rig.recover();
        const row = await stateOf(schema);
        return row === null || row['state'] !== 'intent' || row['todo'] === 'torn';
      };
      await until(settled, 'recovery has seen it', SETTLED_MS);
      const row = await stateOf(schema);
      if (row?.['todo'] === 'torn') {
        const id = String(row['id']);
        const torn = await listedAs(id);
        if (torn === undefined) throw new Error('what is torn is not listed');
        const names = { schema, table: 'parts', place: at.place, held: torn.holdName, id };
        if (!(await nameFrmLikePar(names))) return names;
        await until(async () => {
          await rig.recover();
          return (await stateOf(schema))?.['state'] === 'HOLD';
        }, 'it is held');
      }
      if (row !== null) await rig.restore(String(row['id']));
      expect(await rowsOf(`${schema}.parts`)).toBe(ROWS);
    }
    return null;
  }

  async function expectTorn({ schema, id }: Names): Promise<void> {
    expect(await rowsOf(`${schema}.parts`)).toBe(null);
    await until(() => rig.hasLogged('torn'), 'the log says that a table is torn');
    const again = await rig.recover();
    // It is not looked at every few seconds.
    expect([again.forgotten, again.untouched]).toEqual([[], []]);
    expect(await stateOf(schema)).toMatchObject({ state: 'intent', todo: 'torn' });
    expect(await listedAs(id)).toMatchObject({ state: 'TORN' });
    await expect(rig.restore(id)).rejects.toMatchObject({ code: 'UNDROP_TORN' });
    expect(await doctor()).toContain(`${schema}.parts`);
  }

  /** The rows are all there, and undrop has nothing to say of the table any more. */
  async function expectWhole({ schema, id }: Names): Promise<void> {
    expect(await rowsOf(`${schema}.parts`)).toBe(ROWS);
    await until(async () => {
      await rig.recover();
      return (await stateOf(schema)) === null;
    }, 'the intent is forgotten');
    expect(await listedAs(id)).toBe(undefined);
    expect(await doctor()).not.toContain(`${schema}.parts`);
    await throughProxy(`INSERT INTO ${schema}.parts VALUES (-1, 0)`);
    await throughProxy(`DROP TABLE ${schema}.parts`);
  }

  /** The steps of docs/runbook.md. */
  async function mend(names: Names, { isBackwards = false } = {}): Promise<void> {
    const left = await leftFiles(names, { isBackwards });
    if (left.length > 0) expect(name).toBe('mysql-5.6');
    await restart({ alone: true }, left);
    const page = await readFile(join(projectFolder, 'docs/runbook.md'), 'utf8');
    const section = page
      .split('\n## ')
      .find((one) => one.startsWith('A partitioned table is torn'));
    const steps = [...(section ?? '').matchAll(/^```(sql|sh) test=\S+\n(.*?)^```/gms)];
    expect(steps.length).toBe(5);
    for (const [, kind, text = ''] of steps) {
      const meant = withNames(text, names, { isBackwards });
      if (kind === 'sh') {
        await promisify(execFile)('sh', ['-ec', meant], { cwd: rig.server.dataFolder });
        continue;
      }
      for (const statement of meant.split(/;\n/).filter((one) => one.trim() !== '')) {
        const rows = await root.rows(statement);
        const printed = Array.isArray(rows) ? rows[0]?.['statement'] : undefined;
        if (printed !== undefined) await root.query(String(printed));
        if (/^CHECK/.test(statement)) expect(rows).toMatchObject([{ Msg_text: 'OK' }]);
      }
    }
    await restart();
  }

  /** `renamed`: files, while it is stopped. */
  async function restart(
    how: { readonly alone?: boolean } = {},
    renamed: readonly (readonly [string, string])[] = [],
  ): Promise<void> {
    root.destroy();
    rig.server.kill();
    for (const [from, to] of renamed) await rename(from, to);
    await rig.server.restart(how);
    const { socketPath } = rig.server;
    root = await connect(rig.server, how.alone === true ? { socketPath } : {});
  }

  /** MySQL 5.6: the last of them may have its file's new name, and its own in the dictionary. */
  async function leftFiles(
    names: Names,
    how: { readonly isBackwards: boolean },
  ): Promise<readonly (readonly [string, string])[]> {
    const { from, to } = directions(names, how);
    const rows = await root.rows(
      'SELECT NAME AS name FROM information_schema.INNODB_SYS_TABLES WHERE NAME LIKE ?',
      [`${from.place}/%#p#%`],
    );
    const known = new Set(rows.map((row) => `${String(row['name']).split('/')[1]}.ibd`));
    const at = (place: string, file: string) => join(rig.server.dataFolder, place, file);
    const files = await readdir(at(from.place, ''));
    return files
      .filter((file) => file.startsWith(`${from.name}#`) && !known.has(file))
      .map((file) => [at(from.place, file), at(to.place, file.replace(from.name, to.name))]);
  }

  /** Where all of them have moved, and the .par file too. False: they haven't. */
  async function nameFrmLikePar(names: Names, { isBackwards = false } = {}): Promise<boolean> {
    const { from, to } = directions(names, { isBackwards });
    const at = (place: string) => join(rig.server.dataFolder, place);
    if (!(await readdir(at(from.place))).includes(`${from.name}.par`)) return false;
    await rename(join(at(to.place), `${to.name}.frm`), join(at(from.place), `${from.name}.frm`));
    await root.query('FLUSH TABLES');
    expect(await rowsOf(`${from.place}.${from.name}`)).toBe(ROWS);
    return true;
  }

  testOf('DROP TABLE', 'is said by undrop, and brought together, behind a DROP TABLE', async () => {
    const names = await tear(
      (schema) => `DROP TABLE ${schema}.parts`,
      () => '_undrop',
    );
    if (isAtomic) return expect(names).toBe(null);
    if (names === null) throw new Error('no kill has torn the table');
    await expectTorn(names);
    await mend(names);
    await expectWhole(names);
  });

  if (isAtomic) return;

  testOf(
    'DROP DATABASE',
    'keeps nothing else from being put back behind a DROP DATABASE',
    async () => {
      const names = await tear(
        (schema) => `DROP DATABASE ${schema}`,
        () => '_undrop',
      );
      if (names === null) throw new Error('no kill has torn the table');
      const { schema } = names;
      await until(async () => (await rowsOf(`${schema}.plain`)) === 2, 'the other is back');
      // The schema is open to others.
      await until(async () => {
        const barriers = await root.rows(`SHOW TABLES IN ${schema} LIKE '!undrop%'`);
        return barriers.length === 0;
      }, 'the barrier is gone');
      await expectTorn(names);
      await mend(names);
      await expectWhole(names);
      await throughProxy(`DROP DATABASE ${schema}`);
    },
  );

  testOf('restore', 'of a restore, too, by the same steps with the names exchanged', async () => {
    let torn: Names | null = null;
    for (let tries = 1; torn === null && tries <= TRIES_MAX; tries++) {
      const schema = `torn_${++count}`;
      await make(schema);
      await throughProxy(`DROP TABLE ${schema}.parts`);
      await until(async () => (await stateOf(schema))?.['state'] === 'HOLD', 'it is held');
      const id = String((await stateOf(schema))?.['id']);
      const work = () => rig.restore(id);
      await killAmid(work, { place: schema, isMoved: /^parts#p#/i });
      const held = await listedAs(id);
      if (held !== undefined && (await rowsOf(`${held.holdSchema}.${held.holdName}`)) === null) {
        const names = { schema, table: 'parts', place: held.holdSchema, held: held.holdName, id };
        if (!(await nameFrmLikePar(names, { isBackwards: true }))) {
          torn = names;
          await mend(torn, { isBackwards: true });
        }
      }
      // Also if the server was killed before the RENAME, or took it back.
      if ((await listedAs(id)) !== undefined) await rig.restore(id);
      expect(await rowsOf(`${schema}.parts`)).toBe(ROWS);
    }
    expect(torn).not.toBe(null);
  });
});

/** What has moved, and where it goes. */
function directions(
  { schema, table, place, held }: Names,
  { isBackwards }: { readonly isBackwards: boolean },
) {
  const own = { place: schema, name: table };
  const hold = { place, name: held };
  return isBackwards ? { from: own, to: hold } : { from: hold, to: own };
}

/** What stands on the page for a table of one's own. */
function withNames(text: string, names: Names, how: { readonly isBackwards: boolean }): string {
  const { from, to } = directions(names, how);
  return text
    .replaceAll('%ID%', how.isBackwards ? `${from.place}/${from.name}#%` : `%${names.id}%`)
    .replace(/shop([/.])HELD/g, `${from.place}$1${from.name}`)
    .replace(/shop([/.])orders/g, `${to.place}$1${to.name}`)
    .replaceAll('shop/', `${to.place}/`)
    .replaceAll('mend/orders', `mend/${to.name}`);
}
