/**
 * What else takes tables away, where something breaks in the middle of it: TRUNCATE, MariaDB's
 * CREATE OR REPLACE, DROP DATABASE. What each is made of, and where its tables may be afterwards.
 */
import { until } from '../support/poll.js';
import { CUTS, type FaultRig } from './fault-rig.js';
import { type End, makeAnew, type Scene, six, tornTables } from './scenes.js';

const TRUNCATE: Scene = {
  title: 'TRUNCATE',
  faults: CUTS,
  texts: () => ['SET foreign_key_checks = 0', 'TRUNCATE TABLE a'],
  make: (rig) =>
    makeAnew(
      rig,
      'CREATE TABLE p (id INT PRIMARY KEY) ENGINE=InnoDB',
      `CREATE TABLE a (id INT PRIMARY KEY AUTO_INCREMENT, pid INT,
        CONSTRAINT mine FOREIGN KEY (pid) REFERENCES p (id)) ENGINE=InnoDB`,
      `CREATE TABLE c (id INT PRIMARY KEY, pid INT,
        CONSTRAINT theirs FOREIGN KEY (pid) REFERENCES a (id)) ENGINE=InnoDB`,
      'INSERT INTO p VALUES (1)',
      'INSERT INTO a (pid) VALUES (1), (1), (NULL)',
    ),
  live: async ({ direct }) => String(await direct.count('a')),
  resumes: true,
  end: async (rig) => {
    const { direct, schema } = rig;
    const rows = await direct.count('a');
    await hasKeys(rig, ['a.mine>p', 'c.theirs>a']);
    expect(await oddGhosts(rig)).toEqual([]);
    const held = await heldIds(rig, schema);
    expect(held).toHaveLength(rows === 3 ? 0 : 1);
    for (const id of held) {
      await rig.restore(id, 'back');
      expect(await direct.count('back')).toBe(3);
    }
    return rows === 3 ? 'whole' : 'done';
  },
};

/** The table is renamed within its schema, and its trigger follows to the copy. */
const TRUNCATE_WATCHED: Scene = {
  ...TRUNCATE,
  title: 'TRUNCATE of a table with a trigger',
  make: async (rig) => {
    await TRUNCATE.make(rig);
    await rig.direct.query('CREATE TRIGGER acts BEFORE INSERT ON a FOR EACH ROW SET @x = 1');
  },
  end: async (rig) => {
    const { direct, schema } = rig;
    const rows = await direct.count('a');
    await hasKeys(rig, ['a.mine>p', 'c.theirs>a']);
    expect(await direct.column("SHOW TRIGGERS WHERE `Table` = 'a'")).toEqual(['acts']);
    expect(await oddGhosts(rig)).toEqual([]);
    const held = await heldIds(rig, schema);
    expect(held).toHaveLength(rows === 3 ? 0 : 1);
    for (const id of held) await rig.restore(id, 'back');
    return rows === 3 ? 'whole' : 'done';
  },
};

const REPLACE: Scene = {
  title: 'CREATE OR REPLACE TABLE',
  on: /mariadb/,
  faults: CUTS,
  texts: () => ['CREATE OR REPLACE TABLE a (fresh INT) SELECT 7 AS fresh'],
  make: (rig) =>
    makeAnew(rig, 'CREATE TABLE a (old INT) ENGINE=InnoDB', 'INSERT INTO a VALUES (1), (2), (3)'),
  live: async (rig) => String(await columnOfA(rig)),
  resumes: true,
  end: async (rig) => {
    const { direct, schema } = rig;
    const column = await columnOfA(rig);
    const held = await heldIds(rig, schema);
    expect({ column, held: held.length }).toEqual({ column, held: column === 'old' ? 0 : 1 });
    for (const id of held) await rig.restore(id, 'back');
    expect(await direct.count(column === 'old' ? 'a' : 'back')).toBe(3);
    if (column === undefined) return 'between';
    return column === 'old' ? 'whole' : 'done';
  },
};

const SIX: Readonly<Record<string, number>> = { a: 3, b: 2, c: 1, d: 2, e: 1, ünïcode: 1 };
const SIX_KEYS = ['c.out>p', 'd.up>a', 'kid.in>a'];

const DROP_DATABASE: Scene = {
  title: 'DROP DATABASE',
  faults: CUTS,
  texts: (schema) => ['SET foreign_key_checks = 0', `DROP DATABASE ${six({ schema })}`],
  make: async (rig) => {
    const { schema } = rig;
    await makeAnew(
      rig,
      `CREATE DATABASE ${six(rig)} CHARACTER SET utf8mb4`,
      'CREATE TABLE p (id INT PRIMARY KEY) ENGINE=InnoDB',
      'INSERT INTO p VALUES (1)',
      `USE ${six(rig)}`,
      'CREATE TABLE a (id INT PRIMARY KEY) ENGINE=InnoDB',
      'CREATE TABLE b (id INT PRIMARY KEY) ENGINE=InnoDB',
      `CREATE TABLE c (id INT PRIMARY KEY, p INT,
        CONSTRAINT \`out\` FOREIGN KEY (p) REFERENCES ${schema}.p (id)) ENGINE=InnoDB`,
      `CREATE TABLE d (id INT PRIMARY KEY, a INT,
        CONSTRAINT up FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE) ENGINE=InnoDB`,
      'CREATE TABLE e (id INT PRIMARY KEY) ENGINE=MyISAM',
      'CREATE TABLE ünïcode (id INT PRIMARY KEY) ENGINE=InnoDB',
      'INSERT INTO a VALUES (1), (2), (3)',
      'INSERT INTO b VALUES (1), (2)',
      'INSERT INTO c VALUES (1, 1)',
      'INSERT INTO d VALUES (1, 1), (2, 2)',
      'INSERT INTO e VALUES (1)',
      'INSERT INTO ünïcode VALUES (1)',
      'CREATE TRIGGER writes AFTER INSERT ON b FOR EACH ROW SET @written = NEW.id',
      'CREATE VIEW seen AS SELECT id FROM d',
      `USE ${schema}`,
      `CREATE TABLE kid (id INT PRIMARY KEY, a INT,
        CONSTRAINT \`in\` FOREIGN KEY (a) REFERENCES ${six(rig)}.a (id)) ENGINE=InnoDB`,
      'INSERT INTO kid VALUES (1, 1)',
    );
  },
  end: (rig) => endOfSix(rig, SIX),
};

/** That another session was told are there, with their rows. */
let made: Record<string, number> = {};
let sessions = 0;
/** Then a drop of the schema has its way. */
const TABLES_MAX = 150;

/** None is lost that the other session was told of. */
const DROP_BESIDE_CREATE: Scene = {
  ...DROP_DATABASE,
  title: 'DROP DATABASE beside a session that creates tables',
  texts: (schema) => ['SET lock_wait_timeout = 1', ...DROP_DATABASE.texts(schema)],
  faults: ['proxy killed'],
  // Who is killed leaves a barrier behind, for a minute.
  eventsForOneStruck: 150,
  // From where it is decided whether the schema goes.
  counts: ({ command }) =>
    [
      ...['/* undrop emptied ', '/* undrop schema ', '/* undrop schema-look ', 'undrop_barrier'],
      ...['KILL QUERY', '/* undrop schema-gone '],
    ].some((part) => command.includes(part)),
  meanwhile: async (rig) => {
    made = {};
    let isOver = false;
    const running = createTables(rig, () => isOver);
    return async () => {
      isOver = true;
      await running;
    };
  },
  end: (rig) => endOfSix(rig, { ...SIX, ...made }),
};

const OF_PARTS: Readonly<Record<string, number>> = { child: 2, parent: 3, parts: 4, plain: 1 };
const PARTITIONS = 16;

/** The server may leave the table with partitions in pieces; all others are there then. */
const DROP_OF_PARTS: Scene = {
  title: 'DROP DATABASE with a table of partitions',
  // MySQL 5.6 would come out of it with other tables damaged, too; see torn-tables.test.ts.
  on: /^(?!mysql-5)/,
  faults: ['server killed'],
  eventsForOneStruck: 20,
  texts: (schema) => ['SET lock_wait_timeout = 1', `DROP DATABASE ${six({ schema })}`],
  make: (rig) =>
    makeAnew(
      rig,
      `CREATE DATABASE ${six(rig)}`,
      `USE ${six(rig)}`,
      'CREATE TABLE parent (a INT PRIMARY KEY) ENGINE=InnoDB',
      'INSERT INTO parent VALUES (1), (2), (3)',
      `CREATE TABLE child (a INT PRIMARY KEY, b INT, CONSTRAINT up FOREIGN KEY (b)
        REFERENCES parent (a)) ENGINE=InnoDB`,
      'INSERT INTO child VALUES (1, 1), (2, 2)',
      'CREATE TABLE plain (a INT PRIMARY KEY) ENGINE=InnoDB',
      'INSERT INTO plain VALUES (1)',
      `CREATE TABLE parts (a INT PRIMARY KEY) ENGINE=InnoDB
        PARTITION BY HASH (a) PARTITIONS ${PARTITIONS}`,
      'INSERT INTO parts VALUES (1), (2), (3), (4)',
      'CREATE VIEW seen AS SELECT a FROM plain',
      `USE ${rig.schema}`,
    ),
  end: async (rig) => {
    const { direct, server } = rig;
    const there = await direct.column('SHOW DATABASES LIKE ?', [six(rig)]);
    const torn = await tornTables(rig, six(rig), { parts: PARTITIONS });
    if (there.length === 0) await direct.query(`CREATE DATABASE ${six(rig)}`);
    if (torn.length > 0) expect(server.name).not.toBe('mysql-9.7');
    else for (const id of await heldIds(rig, six(rig))) await rig.restore(id);
    const { parts: _torn, ...others } = OF_PARTS;
    expect(await rowsIn(rig, torn)).toEqual(torn.length > 0 ? others : OF_PARTS);
    if (torn.length > 0) return 'torn';
    return there.length === 0 ? 'done' : 'whole';
  },
};

export const KIN_SCENES = [
  ...[TRUNCATE, TRUNCATE_WATCHED, REPLACE, DROP_DATABASE, DROP_BESIDE_CREATE],
  DROP_OF_PARTS,
];

async function createTables(rig: FaultRig, isOver: () => boolean): Promise<void> {
  const { direct } = rig;
  // The faster it is, the later the drop comes to its end.
  const pause = `DO SLEEP(${((7 * sessions++) % 60) / 1_000})`;
  await direct.query('SET lock_wait_timeout = 3');
  for (let n = 1; !isOver() && n <= TABLES_MAX; n++) {
    await direct.query(pause);
    const table = `${six(rig)}.other_${n}`;
    if ((await direct.errorOf(`CREATE TABLE ${table} (a INT) ENGINE=InnoDB`)) !== null) continue;
    // It may be held by now; then its row is not there either.
    const refusal = await direct.errorOf(`INSERT INTO ${table} VALUES (1)`);
    made[`other_${n}`] = refusal === null ? 1 : 0;
  }
  await direct.query('SET lock_wait_timeout = DEFAULT');
}

async function endOfSix(rig: FaultRig, expected: Readonly<Record<string, number>>): Promise<End> {
  const { direct } = rig;
  const [charset] = await direct.column(
    `SELECT DEFAULT_CHARACTER_SET_NAME AS charset FROM information_schema.SCHEMATA
     WHERE SCHEMA_NAME = ?`,
    [six(rig)],
  );
  const isComplete = charset === 'utf8mb4';
  const held = await heldIds(rig, six(rig));
  const heldMax = Object.keys(expected).length;
  expect({ isComplete, held: held.length }).toEqual({ isComplete, held: isComplete ? 0 : heldMax });
  if (isComplete) expect(await direct.count(`${six(rig)}.seen`)).toBe(2);
  if (charset === undefined) await direct.query(`CREATE DATABASE ${six(rig)}`);
  for (const id of held) await rig.restore(id);
  expect(await rowsIn(rig)).toEqual(expected);
  await hasKeys(rig, SIX_KEYS);
  expect(await direct.column(`SHOW TRIGGERS FROM ${six(rig)}`)).toEqual(['writes']);
  return isComplete ? 'whole' : 'done';
}

/** Of each table of the other schema but `without`. */
async function rowsIn(rig: FaultRig, without: readonly string[] = []) {
  const { direct } = rig;
  const rows: Record<string, number> = {};
  for (const table of await direct.column(
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE'`,
    [six(rig)],
  )) {
    if (!without.includes(table)) rows[table] = await direct.count(`${six(rig)}.${table}`);
  }
  return rows;
}

/** Undefined: there is no such table. */
async function columnOfA({ direct, schema }: FaultRig): Promise<string | undefined> {
  const columns = await direct.column(
    `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = ? AND TABLE_NAME = 'a'`,
    [schema],
  );
  return columns[0];
}

function heldIds({ direct }: FaultRig, schema: string): Promise<string[]> {
  return direct.column(
    `SELECT id FROM _undrop.ledger
     WHERE schema_name = ? AND state = 'HOLD' AND kind IN ('base', 'sequence') ORDER BY id`,
    [schema],
  );
}

/** A key of a child that was locked is put right within moments. */
async function hasKeys(rig: FaultRig, keys: readonly string[]): Promise<void> {
  const schemas = [rig.schema, six(rig)];
  const find = async () =>
    (
      await rig.direct.column(
        `SELECT CONCAT(TABLE_NAME, '.', CONSTRAINT_NAME, '>', REFERENCED_TABLE_NAME) AS one
         FROM information_schema.REFERENTIAL_CONSTRAINTS
         WHERE CONSTRAINT_SCHEMA IN (?) AND UNIQUE_CONSTRAINT_SCHEMA IN (?)`,
        [schemas, schemas],
      )
    ).sort();
  const isSo = async () => JSON.stringify(await find()) === JSON.stringify(keys);
  await until(isSo, 'keys lead where they led').catch(() => undefined);
  expect(await find()).toEqual(keys);
}

/** Tables of ours that nobody knows, but ghosts that are about to be collected. */
function oddGhosts({ direct }: FaultRig): Promise<string[]> {
  return direct.column(
    `SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA LIKE '\\_undrop%' AND TABLE_NAME LIKE '\\_vt\\_%'
       AND SUBSTRING(TABLE_NAME, 10, 32) NOT IN (SELECT id FROM _undrop.ledger)
       AND SUBSTRING(TABLE_NAME, 43) > DATE_FORMAT(UTC_TIMESTAMP() + INTERVAL 61 MINUTE, '%Y%m%d%H%i%s')`,
  );
}
