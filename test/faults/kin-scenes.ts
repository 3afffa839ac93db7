/**
 * What else takes tables away, where something breaks in the middle of it: TRUNCATE, MariaDB's
 * CREATE OR REPLACE, DROP DATABASE. What each is made of, and where its tables may be afterwards.
 */
import { expect } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { restore } from '../../src/restore/restore.js';
import type { ServicePool } from '../../src/service/pool/pools.js';
import { until } from '../support/poll.js';
import type { TapEvent } from '../support/wire-tap.js';
import type { Fault } from './fault-rig.js';
import { Rival } from './rival.js';

/** Around the proxy, in `schema`. */
export interface Place {
  readonly direct: Connection;
  readonly pool: ServicePool;
  readonly schema: string;
}

/** `whole`: as if nothing had been said; `done`: as if it had come to its end; else in between. */
export type End = 'whole' | 'done' | 'between';

export interface KinScene {
  readonly title: string;
  /** Of the set's servers. */
  readonly on: RegExp;
  /** In the client's session, the last being what breaks. */
  readonly texts: (schema: string) => readonly string[];
  make(place: Place): Promise<void>;
  /** Default: all that leave the server running. */
  readonly faults?: readonly Fault[];
  /** The events that count; default: all. */
  readonly counts?: (event: TapEvent) => boolean;
  /** How many there are about; default: as many as one has that comes to its end. */
  readonly events?: number;
  /** Begins when it does; resolves to what ends it. */
  meanwhile?(place: Place): Promise<() => Promise<void>>;
  /** What is under the table's own name. */
  live?(place: Place): Promise<string>;
  /** Rejects where something is lost. What is held is restored by it. */
  end(place: Place): Promise<End>;
}

const KEYS_MS = 60_000;

const TRUNCATE: KinScene = {
  title: 'TRUNCATE',
  on: /./,
  texts: () => ['SET foreign_key_checks = 0', 'TRUNCATE TABLE a'],
  make: (place) =>
    makeAnew(
      place,
      'CREATE TABLE p (id INT PRIMARY KEY) ENGINE=InnoDB',
      `CREATE TABLE a (id INT PRIMARY KEY AUTO_INCREMENT, pid INT,
        CONSTRAINT mine FOREIGN KEY (pid) REFERENCES p (id)) ENGINE=InnoDB`,
      `CREATE TABLE c (id INT PRIMARY KEY, pid INT,
        CONSTRAINT theirs FOREIGN KEY (pid) REFERENCES a (id)) ENGINE=InnoDB`,
      'INSERT INTO p VALUES (1)',
      'INSERT INTO a (pid) VALUES (1), (1), (NULL)',
    ),
  live: async (place) => String(await countRows(place, `${place.schema}.a`)),
  end: async (place) => {
    const rows = await countRows(place, `${place.schema}.a`);
    await hasKeys(place, ['a.mine>p', 'c.theirs>a']);
    expect(await oddTwins(place.direct)).toEqual([]);
    const held = await heldIds(place, place.schema);
    expect(held).toHaveLength(rows === 3 ? 0 : 1);
    for (const id of held) {
      await restore(place.pool, { target: id, to: 'back' });
      expect(await countRows(place, `${place.schema}.back`)).toBe(3);
    }
    return rows === 3 ? 'whole' : 'done';
  },
};

const REPLACE: KinScene = {
  title: 'CREATE OR REPLACE TABLE',
  on: /mariadb/,
  texts: () => ['CREATE OR REPLACE TABLE a (fresh INT) SELECT 7 AS fresh'],
  make: (place) =>
    makeAnew(place, 'CREATE TABLE a (old INT) ENGINE=InnoDB', 'INSERT INTO a VALUES (1), (2), (3)'),
  live: async (place) => String(await columnOf(place)),
  end: async (place) => {
    const { pool, schema } = place;
    const column = await columnOf(place);
    const held = await heldIds(place, schema);
    expect({ column, held: held.length }).toEqual({ column, held: column === 'old' ? 0 : 1 });
    for (const id of held) await restore(pool, { target: id, to: 'back' });
    expect(await countRows(place, `${schema}.${column === 'old' ? 'a' : 'back'}`)).toBe(3);
    if (column === undefined) return 'between';
    return column === 'old' ? 'whole' : 'done';
  },
};

const SIX: Readonly<Record<string, number>> = { a: 3, b: 2, c: 1, d: 2, e: 1, ünïcode: 1 };
const SIX_KEYS = ['c.out>p', 'd.up>a', 'kid.in>a'];

const DROP_DATABASE: KinScene = {
  title: 'DROP DATABASE',
  on: /./,
  texts: (schema) => ['SET foreign_key_checks = 0', `DROP DATABASE ${six(schema)}`],
  make: async (place) => {
    const { schema } = place;
    await makeAnew(
      place,
      `CREATE DATABASE ${six(schema)} CHARACTER SET utf8mb4`,
      'CREATE TABLE p (id INT PRIMARY KEY) ENGINE=InnoDB',
      'INSERT INTO p VALUES (1)',
      `USE ${six(schema)}`,
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
        CONSTRAINT \`in\` FOREIGN KEY (a) REFERENCES ${six(schema)}.a (id)) ENGINE=InnoDB`,
      'INSERT INTO kid VALUES (1, 1)',
    );
  },
  end: (place) => endOfSix(place, SIX),
};

let rival: Rival | null = null;
let rivals = 0;

/** None is lost that the other session was told of. */
const DROP_BESIDE_RIVAL: KinScene = {
  ...DROP_DATABASE,
  title: 'DROP DATABASE beside a session that creates tables',
  texts: (schema) => ['SET lock_wait_timeout = 1', ...DROP_DATABASE.texts(schema)],
  faults: ['proxy killed'],
  // From where it is decided whether the schema goes.
  counts: ({ command }) =>
    [
      ...['/* undrop emptied ', '/* undrop schema ', '/* undrop schema-look ', 'undrop_barrier'],
      ...['KILL QUERY', '/* undrop schema-gone '],
    ].some((part) => command.includes(part)),
  // They are not the same ones each time.
  events: 80,
  meanwhile: async ({ direct, schema }) => {
    // The faster it is, the later the drop comes to its end.
    const one = new Rival(direct, six(schema), (7 * rivals++) % 60);
    rival = one;
    const running = one.run();
    return async () => {
      one.stop();
      await running;
    };
  },
  end: (place) => endOfSix(place, { ...SIX, ...Object.fromEntries(rival?.made ?? []) }),
};

async function endOfSix(place: Place, expected: Readonly<Record<string, number>>): Promise<End> {
  const { direct, pool, schema } = place;
  const charset = await charsetOf(place, six(schema));
  const isComplete = charset === 'utf8mb4';
  const held = await heldIds(place, six(schema));
  const heldMax = Object.keys(expected).length;
  expect({ isComplete, held: held.length }).toEqual({ isComplete, held: isComplete ? 0 : heldMax });
  if (isComplete) expect(await countRows(place, `${six(schema)}.seen`)).toBe(2);
  if (charset === undefined) await direct.query(`CREATE DATABASE ${six(schema)}`);
  for (const id of held) await restore(pool, { target: id });
  const rows: Record<string, number> = {};
  for (const table of await tablesOf(place, six(schema))) {
    rows[table] = await countRows(place, `${six(schema)}.${table}`);
  }
  expect(rows).toEqual(expected);
  await hasKeys(place, SIX_KEYS);
  const [triggers] = await direct.query<RowDataPacket[]>(`SHOW TRIGGERS FROM ${six(schema)}`);
  expect(triggers.map((row) => row['Trigger'])).toEqual(['writes']);
  return isComplete ? 'whole' : 'done';
}

export const KIN_SCENES: readonly KinScene[] = [
  TRUNCATE,
  REPLACE,
  DROP_DATABASE,
  DROP_BESIDE_RIVAL,
];

/** The schemas that any scene has tables in. */
export function schemasOf(schema: string): readonly string[] {
  return [schema, six(schema)];
}

function six(schema: string): string {
  return `${schema}_six`;
}

/** Where nothing is left of any scene. */
async function makeAnew({ direct, schema }: Place, ...texts: readonly string[]): Promise<void> {
  const clean = [
    `USE ${schema}`,
    'SET foreign_key_checks = 0',
    `DROP DATABASE IF EXISTS ${six(schema)}`,
    'DROP TABLE IF EXISTS back, kid, c, a, p',
    'SET foreign_key_checks = 1',
  ];
  for (const text of [...clean, ...texts]) await direct.query(text);
}

async function countRows({ direct }: Place, table: string): Promise<number> {
  const [[row]] = await direct.query<RowDataPacket[]>(`SELECT COUNT(*) AS n FROM ${table}`);
  return Number(row?.['n']);
}

/** Undefined: there is no such schema. */
async function charsetOf({ direct }: Place, schema: string): Promise<string | undefined> {
  const [found] = await direct.query<RowDataPacket[]>(
    `SELECT DEFAULT_CHARACTER_SET_NAME AS charset FROM information_schema.SCHEMATA
     WHERE SCHEMA_NAME = ?`,
    [schema],
  );
  return found.map(({ charset }) => String(charset))[0];
}

async function tablesOf({ direct }: Place, schema: string): Promise<readonly string[]> {
  const [rows] = await direct.query<RowDataPacket[]>(
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE'`,
    [schema],
  );
  return rows.map(({ name }) => String(name));
}

async function columnOf({ direct, schema }: Place): Promise<string | undefined> {
  const [columns] = await direct.query<RowDataPacket[]>(
    `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = ? AND TABLE_NAME = 'a'`,
    [schema],
  );
  return columns.map(({ name }) => String(name))[0];
}

async function heldIds({ direct }: Place, schema: string): Promise<readonly string[]> {
  const [rows] = await direct.query<RowDataPacket[]>(
    `SELECT id FROM _undrop.ledger
     WHERE schema_name = ? AND state = 'HOLD' AND kind IN ('base', 'sequence') ORDER BY id`,
    [schema],
  );
  return rows.map(({ id }) => String(id));
}

/** A key of a child that was locked is put right within moments. */
async function hasKeys({ direct, schema }: Place, keys: readonly string[]): Promise<void> {
  const find = async () => {
    const [rows] = await direct.query<RowDataPacket[]>(
      `SELECT CONCAT(TABLE_NAME, '.', CONSTRAINT_NAME, '>', REFERENCED_TABLE_NAME) AS one
       FROM information_schema.REFERENTIAL_CONSTRAINTS
       WHERE CONSTRAINT_SCHEMA IN (?) AND UNIQUE_CONSTRAINT_SCHEMA IN (?)`,
      [schemasOf(schema), schemasOf(schema)],
    );
    return rows.map(({ one }) => String(one)).sort();
  };
  const isSo = async () => JSON.stringify(await find()) === JSON.stringify(keys);
  await until(isSo, 'keys lead where they led', KEYS_MS).catch(() => undefined);
  expect(await find()).toEqual(keys);
}

/** Tables of ours that nobody knows, but ghosts that are about to be collected. */
async function oddTwins(direct: Connection): Promise<readonly string[]> {
  const [rows] = await direct.query<RowDataPacket[]>(
    `SELECT TABLE_SCHEMA AS place, TABLE_NAME AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA LIKE '\\_undrop%' AND TABLE_NAME LIKE '\\_vt\\_%'
       AND SUBSTRING(TABLE_NAME, 10, 32) NOT IN (SELECT id FROM _undrop.ledger)
       AND SUBSTRING(TABLE_NAME, 43) > DATE_FORMAT(UTC_TIMESTAMP() + INTERVAL 61 MINUTE, '%Y%m%d%H%i%s')`,
  );
  return rows.map(({ place, name }) => `${place}.${name}`);
}
