/**
 * gh-ost's cut-over, said as gh-ost says it: one session locks the table and a magic one in the
 * name of the old table, another waits behind it with the RENAME, and the first then drops the
 * magic table under its locks. Directly and through the proxy the answers and what is left are the
 * same, nobody finds the table missing meanwhile, and what was dropped is held.
 */
import { randomBytes } from 'node:crypto';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { heldTables } from '../support/client-held.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { connect, query, type Target } from '../support/servers.js';
import { withoutUndoTexts } from '../support/undo-info.js';

/** What gh-ost's own documentation asks for, on the schema. */
const GRANTS = 'ALTER, CREATE, DELETE, DROP, INDEX, INSERT, LOCK TABLES, SELECT, TRIGGER, UPDATE';
const MAGIC = 'ghost-cut-over-sentry';
const ROWS = 3;
const ERRORS_MAX = 10;

type Session = 'lock' | 'rename' | 'other';

/** Sessions of one migration, and what was answered to each. */
interface Migration extends Readonly<Record<Session, Connection>> {
  readonly answers: Readonly<Record<Session, string[]>>;
  readonly onlookers: readonly Onlooker[];
}

/** What somebody saw who used the table all the time. */
type Seen = { readonly generations: readonly number[]; readonly errors: readonly unknown[] };

/** Ends it. */
type Onlooker = () => Promise<Seen>;

onServersAtOnce('gh-ost on $name', (server, on) => {
  const { test } = on;
  const proxy = on.proxy({ COLLECT: 'off' });

  test('the cut-over puts the new table in its place, and nobody finds none there', async () => {
    const held = await onBoth(async (migration) => {
      for (let round = 1; round <= 3; round++) {
        await makeGhost(migration, round);
        await cutOver(migration);
        await cleanUp(migration);
      }
    });
    expect(held).toEqual({ _t_del: [0, 0, 0, ROWS, ROWS, ROWS], _t_ghc: [1, 1, 1] });
  });

  test('a RENAME that waits too long leaves the old table, and the next try goes well', async () => {
    const held = await onBoth(async (migration) => {
      await makeGhost(migration, 1);
      await lockTables(migration);
      await startRename(migration, 1);
      await unlock(migration);
      await dropMagic(migration);
      await cutOver(migration);
      await cleanUp(migration);
    });
    expect(held).toEqual({ _t_del: [0, 0, ROWS], _t_ghc: [1] });
  });

  test('where the session with the locks is lost the RENAME fails, and the magic table goes', async () => {
    const held = await onBoth(async (migration) => {
      await makeGhost(migration, 1);
      await lockTables(migration);
      const renaming = startRename(migration, 30);
      await renameWaits(migration);
      migration.lock.destroy();
      await renaming;
      await dropMagic(migration);
      const drop = 'drop /* gh-ost */ table if exists';
      await say(migration, 'other', `${drop} \`_t_gho\``, `${drop} \`_t_ghc\``);
    });
    expect(held).toEqual({ _t_del: [0], _t_gho: [ROWS], _t_ghc: [1] });
  });

  /** At once; hands back what is held of the proxy's, rows in ascending order. */
  async function onBoth(run: (migration: Migration) => Promise<void>) {
    const [direct, through] = await Promise.all([once(server, run), once(proxy, run)]);
    expect(through.outcome).toEqual(direct.outcome);
    expect(JSON.stringify(through.outcome)).not.toMatch(/_vt_|_undrop/i);
    const tables = await heldTables(server, (one) => one === through.schema);
    const held: Record<string, readonly number[]> = {};
    for (const { table, rows } of tables) held[table] = [...(held[table] ?? []), rows].sort();
    for (const { schema } of [direct, through]) {
      await query(server, `DROP DATABASE ${schema}`, `DROP USER ${schema}@'%'`);
    }
    return held;
  }

  /** In a schema of its own, by an account of the same name. */
  async function once({ host, port }: Target, run: (migration: Migration) => Promise<void>) {
    const schema = `ghost_${randomBytes(5).toString('hex')}`;
    const password = 'only for tests';
    await query(
      server,
      `CREATE DATABASE ${schema}`,
      `CREATE USER ${schema}@'%' IDENTIFIED BY '${password}'`,
      `GRANT ${GRANTS} ON ${schema}.* TO ${schema}@'%'`,
      `CREATE TABLE ${schema}.t (id INT PRIMARY KEY, generation INT) ENGINE=InnoDB`,
      `INSERT INTO ${schema}.t VALUES ${Array.from({ length: ROWS }, (_, id) => `(${id}, 0)`)}`,
    );
    const account = { user: schema, password };
    const migration = await begin({ host, port, ...account }, schema, [
      await look({ ...server, ...account }, schema),
      await look({ host, port, ...account }, schema),
    ]);
    await run(migration);
    const held = `SHOW TABLES FROM ${schema} LIKE '\\_vt\\_%'`;
    const isHome = async () => (await query(server, held)).length === 0;
    await until(isHome, 'what the session had locked has been taken home');
    await say(migration, 'other', 'SHOW TABLES');
    const seen = await end(migration);
    const [made] = await query(server, `SHOW CREATE TABLE ${schema}.t`);
    const newest = `SELECT MAX(generation) AS n FROM ${schema}.t`;
    const [last] = await query<{ n: number }>(server, newest);
    for (const { generations, errors } of seen) {
      expect(errors).toEqual([]);
      expect(generations).toEqual([...new Set(generations)].sort());
      expect(generations.at(-1)).toBe(last?.n);
    }
    const all = withoutUndoTexts(JSON.stringify([migration.answers, made, last]));
    const outcome = all.replaceAll(schema, '<schema>');
    return { schema, outcome: JSON.parse(outcome) };
  }
});

async function begin(target: Target, database: string, onlookers: readonly Onlooker[]) {
  const open = () => connect(target, { database });
  const [lock, rename, other] = [await open(), await open(), await open()];
  return { lock, rename, other, onlookers, answers: { lock: [], rename: [], other: [] } };
}

async function end({ lock, rename, other, onlookers }: Migration): Promise<readonly Seen[]> {
  await Promise.all([rename, other].map((one) => one.end()));
  lock.destroy();
  return Promise.all(onlookers.map((stop) => stop()));
}

/** The table as it is to be, filled, and gh-ost's own notes. */
async function makeGhost(migration: Migration, generation: number): Promise<void> {
  await say(
    migration,
    'other',
    'create /* gh-ost */ table `_t_ghc` (id int primary key)',
    'insert into `_t_ghc` values (1)',
    'create /* gh-ost */ table `_t_gho` like `t`',
    `alter /* gh-ost */ table \`_t_gho\` add column c${generation} int`,
    `insert /* gh-ost */ into \`_t_gho\` (id, generation) select id, ${generation} from \`t\``,
  );
}

async function cutOver(migration: Migration): Promise<void> {
  await lockTables(migration);
  const renaming = startRename(migration, 30);
  await renameWaits(migration);
  await unlock(migration);
  await renaming;
}

/** From here on nobody gets at the table, nor at the name of the old one. */
async function lockTables(migration: Migration): Promise<void> {
  const { lock, other } = migration;
  const name = `gh-ost.${lock.threadId}.lock`;
  await say(migration, 'lock', 'START TRANSACTION');
  await lock.query('select get_lock(?, 0)', [name]);
  await say(migration, 'lock', 'set session lock_wait_timeout:=60');
  await dropMagic(migration);
  const magic = `(id int auto_increment primary key) engine=InnoDB comment='${MAGIC}'`;
  await say(migration, 'other', `create /* gh-ost */ table \`_t_del\` ${magic}`);
  await say(migration, 'lock', 'lock /* gh-ost */ tables `t` write, `_t_del` write');
  const [[used]] = await other.query<RowDataPacket[]>('select is_used_lock(?) as id', [name]);
  expect(Number(used?.['id'])).toBe(lock.threadId);
}

/** What an earlier try has left, by its comment. */
async function dropMagic(migration: Migration): Promise<void> {
  const text = "show /* gh-ost */ table status like '_t_del'";
  const [[row]] = await migration.other.query<RowDataPacket[]>(text);
  if (row === undefined) return;
  expect(row['Comment']).toBe(MAGIC);
  await say(migration, 'other', 'drop /* gh-ost */ table if exists `_t_del`');
}

/** Resolves when all has been answered. */
async function startRename(migration: Migration, seconds: number): Promise<void> {
  const set = `set session lock_wait_timeout:=${seconds}`;
  const text = 'rename /* gh-ost */ table `t` to `_t_del`, `_t_gho` to `t`';
  await say(migration, 'rename', 'START TRANSACTION', set, text, 'ROLLBACK');
}

async function renameWaits({ other, rename }: Migration): Promise<void> {
  await until(async () => {
    const [rows] = await other.query<RowDataPacket[]>(
      `select id from information_schema.processlist
       where id != connection_id() and ? in (0, id) and state like concat('%', ?, '%')
         and info like concat('%', ?, '%')`,
      [rename.threadId, 'metadata lock', 'rename'],
    );
    return rows.length > 0;
  }, 'the RENAME waits');
}

/** The magic table first, whatever becomes of that. */
async function unlock(migration: Migration): Promise<void> {
  const drop = 'drop /* gh-ost */ table if exists `_t_del`';
  await say(migration, 'lock', drop, 'unlock tables', 'ROLLBACK');
}

/** As with --ok-to-drop-table. */
async function cleanUp(migration: Migration): Promise<void> {
  const [show, drop] = ["SHOW TABLES LIKE '\\_t\\_%'", 'drop /* gh-ost */ table if exists'];
  await say(migration, 'other', show, `${drop} \`_t_ghc\``, `${drop} \`_t_del\``, show);
}

async function say(migration: Migration, session: Session, ...texts: readonly string[]) {
  for (const text of texts) {
    const came = await answerTo(migration[session], text);
    migration.answers[session].push(`${text}: ${JSON.stringify(came)}`);
  }
}

async function answerTo(connection: Connection, text: string): Promise<unknown> {
  try {
    const [result] = await connection.query(text);
    return result;
  } catch (error) {
    const { errno, sqlState, message } = error as Error & { errno: number; sqlState: string };
    return { errno, sqlState, message };
  }
}

/** Reads and writes the table for as long as the migration goes on. */
async function look(target: Target, database: string): Promise<Onlooker> {
  const connection = await connect(target, { database });
  const generations: number[] = [];
  const errors: unknown[] = [];
  let isOver = false;
  const use = async () => {
    for (let isLast = false; !isLast; ) {
      // One look more behind the end of all.
      isLast = isOver;
      try {
        await connection.query('UPDATE t SET id = id WHERE id = 0');
        const text = 'SELECT MIN(generation) AS low, MAX(generation) AS high FROM t';
        const [[row]] = await connection.query<RowDataPacket[]>(text);
        expect(row?.['low']).toBe(row?.['high']);
        if (row?.['high'] !== generations.at(-1)) generations.push(row?.['high']);
      } catch (error) {
        errors.push(error);
        if (errors.length > ERRORS_MAX) return;
      }
    }
  };
  const using = use();
  return async () => {
    isOver = true;
    await using;
    await connection.end();
    return { generations, errors };
  };
}
