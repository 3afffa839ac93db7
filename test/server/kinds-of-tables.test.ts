/**
 * Tables of every kind that a server has, dropped through the proxy: each is held with all its
 * rows, its name and those of what belongs to it are free at once, and when it is restored, by a
 * command and by SQL, it is as it was before, to its definition.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { quoted } from '../support/servers.js';
import { Survival } from '../support/survival.js';

interface Kind {
  readonly name: string;
  /** Where it isn't on all servers. */
  readonly only?: RegExp;
  /** sql_mode of the session that drops it. */
  readonly mode?: string;
  /** Default `a`. */
  readonly table?: string;
  /** Default `TABLE`. */
  readonly object?: string;
  /** The first makes the table; `$DIRECTORY`: a folder beside the data. */
  readonly make: readonly string[];
  /** What has to answer the same afterwards, beside the definition and all rows. */
  readonly look?: readonly string[];
}

const NOT_56 = /9\.7|mariadb/;
const MARIADB = /mariadb/;
const POLYGON = "ST_GeomFromText('POLYGON((0 0,0 9,9 9,9 0,0 0))')";

type Make = Kind['make'];
type More = Omit<Kind, 'name' | 'make'>;

function kind(name: string, ...parts: readonly [Make] | readonly [More, Make]): Kind {
  const [more, make] = parts.length === 1 ? [{}, parts[0]] : parts;
  return { name, make, ...more };
}

const KINDS: readonly Kind[] = [
  kind('partitions', { look: ['SELECT * FROM a PARTITION (p1)'] }, [
    `CREATE TABLE a (id INT PRIMARY KEY) PARTITION BY RANGE (id)
        (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)`,
    'INSERT INTO a VALUES (1), (2), (11)',
  ]),
  kind('partitions of partitions', [
    `CREATE TABLE a (id INT PRIMARY KEY) PARTITION BY RANGE (id) SUBPARTITION BY HASH (id)
        SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))`,
    'INSERT INTO a VALUES (1), (2), (11)',
  ]),
  kind(
    'a full-text index',
    { look: ["SELECT id FROM a WHERE MATCH (t) AGAINST ('cherry' IN BOOLEAN MODE)"] },
    [
      'CREATE TABLE a (id INT PRIMARY KEY, t TEXT, FULLTEXT KEY f (t)) ENGINE=InnoDB',
      "INSERT INTO a VALUES (1, 'apple pie'), (2, 'cherry cake')",
    ],
  ),
  kind(
    'a spatial index',
    { only: NOT_56, look: [`SELECT id FROM a WHERE ST_Contains(${POLYGON}, g)`] },
    [
      'CREATE TABLE a (id INT PRIMARY KEY, g POINT NOT NULL, SPATIAL KEY s (g)) ENGINE=InnoDB',
      'INSERT INTO a VALUES (1, POINT(1, 1)), (2, POINT(20, 20))',
    ],
  ),
  kind(
    'generated columns, CHECKs, and defaults with names and expressions',
    { only: NOT_56, look: ['SELECT id FROM a WHERE half = 3'] },
    [
      `CREATE TABLE a (id INT PRIMARY KEY, twice INT AS (id * 2) STORED, half INT AS (id DIV 2)
        VIRTUAL, note CHAR(36) DEFAULT (UUID()), KEY v (half), CONSTRAINT positive CHECK (id > 0),
        CHECK (id < 100))`,
      'INSERT INTO a (id) VALUES (1), (7)',
    ],
  ),
  kind(
    'an index of an expression',
    { only: /mysql-9/, look: ['SELECT id FROM a WHERE id + 1 = 8'] },
    ['CREATE TABLE a (id INT, KEY f ((id + 1)))', 'INSERT INTO a VALUES (1), (7)'],
  ),
  kind(
    'system versioning',
    { only: MARIADB, look: ['SELECT COUNT(*) FROM a FOR SYSTEM_TIME ALL'] },
    [
      'CREATE TABLE a (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING',
      'INSERT INTO a VALUES (1, 1), (2, 2)',
      'UPDATE a SET v = 3',
    ],
  ),
  kind(
    'system versioning in partitions',
    { only: MARIADB, look: ['SELECT COUNT(*) FROM a FOR SYSTEM_TIME ALL'] },
    [
      `CREATE TABLE a (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME
        (PARTITION old HISTORY, PARTITION live CURRENT)`,
      'INSERT INTO a VALUES (1, 1), (2, 2)',
      'DELETE FROM a WHERE id = 2',
    ],
  ),
  kind('an application period', { only: MARIADB }, [
    'CREATE TABLE a (id INT, d1 DATE, d2 DATE, PERIOD FOR p (d1, d2))',
    "INSERT INTO a VALUES (1, '2020-01-01', '2021-01-01')",
  ]),
  kind(
    'a sequence',
    {
      only: MARIADB,
      object: 'SEQUENCE',
      look: ['SELECT NEXTVAL(a) > 5', 'SELECT PREVIOUS VALUE FOR a > 5'],
    },
    ['CREATE SEQUENCE a START WITH 5 INCREMENT BY 3 NOCACHE', 'SELECT NEXTVAL(a)'],
  ),
  kind('no key, and rows that are there twice', [
    'CREATE TABLE a (id INT, note TEXT)',
    "INSERT INTO a VALUES (1, 'x'), (1, 'x'), (2, NULL)",
  ]),
  kind(
    'keys of prefixes, of several columns, and unique ones with NULLs; charsets and collations',
    {
      look: [
        'SELECT x FROM a FORCE INDEX (u) WHERE x = 2',
        "SELECT x FROM a WHERE one = 'STRASSE'",
      ],
    },
    [
      `CREATE TABLE a (x INT, y VARCHAR(50), z BLOB,
        one VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german2_ci,
        two VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, three TEXT CHARACTER SET ucs2,
        PRIMARY KEY (y, x), UNIQUE KEY u (x), KEY prefix (z(7), y(3)) COMMENT 'of two')
        COMMENT='with keys' DEFAULT CHARSET=cp1251 COLLATE=cp1251_general_cs`,
      "INSERT INTO a VALUES (1, 'one', NULL, 'Straße', '表', 'ü')",
      "INSERT INTO a VALUES (2, 'two', x'00ff', NULL, NULL, NULL)",
    ],
  ),
  kind('columns of many types', [
    `CREATE TABLE a (id INT UNSIGNED ZEROFILL NOT NULL PRIMARY KEY, bits BIT(9), big BIGINT UNSIGNED,
        exact DECIMAL(30,10), inexact DOUBLE, day DATE, hour TIME(3), at DATETIME(6), year YEAR,
        word ENUM('a', 'b''c'), words SET('x', 'y'), short BINARY(3), long_text LONGTEXT,
        place GEOMETRY)`,
    `INSERT INTO a VALUES (1, b'101', 18446744073709551615, 0.0000000001, 1e300, '2020-02-29',
        '-838:59:59', '2020-02-29 01:02:03.456789', 1999, 'b''c', 'x,y', x'000102', REPEAT('t', 70000),
        POINT(1, 2))`,
  ]),
  ...['COMPACT', 'REDUNDANT'].map((format) => ({
    name: `rows in the format ${format}, AUTO_INCREMENT, and a time that sets itself`,
    make: [
      `CREATE TABLE a (id INT AUTO_INCREMENT PRIMARY KEY, t TEXT,
        at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6))
        ENGINE=InnoDB ROW_FORMAT=${format} AUTO_INCREMENT=100`,
      "INSERT INTO a (t) VALUES (REPEAT('x', 20000)), ('')",
    ],
  })),
  kind(
    'the options of MyISAM, and a full-text and a spatial index of its',
    {
      look: [
        "SELECT id FROM a WHERE MATCH (t) AGAINST ('cherry' IN BOOLEAN MODE)",
        `SELECT id FROM a WHERE ST_Contains(${POLYGON}, g)`,
      ],
    },
    [
      `CREATE TABLE a (id INT PRIMARY KEY, t TEXT, g POINT NOT NULL, FULLTEXT KEY f (t),
        SPATIAL KEY s (g)) ENGINE=MyISAM CHECKSUM=1
        DELAY_KEY_WRITE=1 PACK_KEYS=1 MAX_ROWS=1000 AVG_ROW_LENGTH=20 ROW_FORMAT=DYNAMIC`,
      "INSERT INTO a VALUES (1, 'apple pie', POINT(1, 1)), (2, 'cherry cake', POINT(20, 20))",
    ],
  ),
  ...[
    'LIST (id) (PARTITION odd VALUES IN (1, 3), PARTITION even VALUES IN (2, 4))',
    'HASH (id) PARTITIONS 3',
    'KEY () PARTITIONS 2',
    'RANGE COLUMNS (id) (PARTITION p0 VALUES LESS THAN (3), PARTITION p1 VALUES LESS THAN (9))',
  ].map((by) => ({
    name: `partitions by ${by.slice(0, by.indexOf('(') - 1)}`,
    make: [
      `CREATE TABLE a (id INT PRIMARY KEY) PARTITION BY ${by}`,
      'INSERT INTO a VALUES (1), (2), (3)',
    ],
  })),
  ...['MyISAM', 'MEMORY', 'CSV'].map((engine) => engineOf(engine)),
  engineOf('Aria', MARIADB),
  engineOf('ARCHIVE', /mysql/),
  kind('BLACKHOLE', { only: /mysql/ }, ['CREATE TABLE a (id INT NOT NULL) ENGINE=BLACKHOLE']),
  kind('MERGE', [
    'CREATE TABLE a (id INT NOT NULL) ENGINE=MERGE UNION=(part) INSERT_METHOD=LAST',
    'CREATE TABLE part (id INT NOT NULL) ENGINE=MyISAM',
    'INSERT INTO a VALUES (1), (2)',
  ]),
  kind('compressed rows', { only: NOT_56 }, [
    'CREATE TABLE a (id INT PRIMARY KEY, t TEXT) ROW_FORMAT=COMPRESSED',
    "INSERT INTO a VALUES (1, REPEAT('x', 5000))",
  ]),
  kind('a DATA DIRECTORY', { only: /5\.6|mariadb/ }, [
    "CREATE TABLE a (id INT PRIMARY KEY) DATA DIRECTORY='$DIRECTORY'",
    'INSERT INTO a VALUES (1), (2)',
  ]),
  ...['NO_DIR_IN_CREATE', 'NO_TABLE_OPTIONS', 'ORACLE'].map((mode) => ({
    name: `a DATA DIRECTORY that is not shown under ${mode}`,
    only: /mariadb/,
    mode,
    make: [
      "CREATE TABLE a (id INT PRIMARY KEY) DATA DIRECTORY='$DIRECTORY'",
      'INSERT INTO a VALUES (1), (2)',
    ],
  })),
  ...[
    ['64 characters', 'ü'.repeat(64)],
    ['letters of the world', 'ünï表Ω'],
    ['backticks, dots and quotes', 'a`b.c``\'d"e'],
    ['blanks and signs', 'a b%c/d\\e-f#g$h@i'],
    ['the words of a drop', 'drop table b'],
  ].map(([name = '', table = '']) => ({
    name: `a name of ${name}`,
    table,
    make: [
      `CREATE TABLE ${quoted(table)} (id INT PRIMARY KEY)`,
      `INSERT INTO ${quoted(table)} VALUES (1), (2)`,
    ],
  })),
];

function engineOf(engine: string, only?: RegExp): Kind {
  return {
    name: engine,
    ...(only === undefined ? {} : { only }),
    make: [`CREATE TABLE a (id INT NOT NULL) ENGINE=${engine}`, 'INSERT INTO a VALUES (1), (2)'],
  };
}

onServers('on $name a table with', (server, on) => {
  const { beforeEach, test } = on;

  const schema = on.schema('kinds');
  const proxy = on.proxy();
  const root = on.session({ schema });

  const client = on.client({ to: proxy, schema });
  const survival = new Survival(root, [schema.name]);

  /** An empty schema. */
  beforeEach(async () => {
    const drops = (await root.tables()).map((name) => `DROP TABLE ${quoted(name)}`);
    await root.run('SET foreign_key_checks = 0', ...drops, 'SET foreign_key_checks = 1');
  });

  const make = async (text: string) => root.query(await withDirectory(text));

  async function withDirectory(text: string): Promise<string> {
    if (!text.includes('$DIRECTORY')) return text;
    const [folder = ''] = await root.column('SELECT @@datadir');
    const directory = join(folder, '../kinds');
    await mkdir(directory, { recursive: true });
    return text.replace('$DIRECTORY', directory);
  }

  async function seen({ table = 'a', look = [] }: Kind): Promise<readonly unknown[]> {
    const texts = [`SHOW CREATE TABLE ${quoted(table)}`, ...look];
    const answers: unknown[] = [];
    for (const sql of texts) answers.push((await root.query({ sql, rowsAsArray: true }))[0]);
    return answers;
  }

  const all = KINDS.filter(({ only = /./ }) => only.test(server.name));
  const kinds = sample(all, { name: server.name, share: 0.5 });
  test.each(kinds)('$name is held whole, and as it was when it comes back', async (kind) => {
    const { table = 'a', object = 'TABLE', make: texts } = kind;
    for (const text of texts) await make(text);
    const before = await seen(kind);
    await survival.remember();

    // A table that names its own file can't be there twice, held or not.
    const hasFile = texts.some((text) => text.includes('$DIRECTORY'));
    const place = hasFile && server.name.startsWith('mariadb') ? schema.name : '_undrop';
    const drop = async () => {
      await client.run([`SET sql_mode = '${kind.mode ?? ''}'`]);
      const { results } = await client.query(`DROP ${object} ${quoted(table)}`);
      expect(results).toMatchObject([{ kind: 'ok', warnings: 0 }]);
      expect(await survival.findLost()).toEqual([]);
      let ids: readonly string[] = [];
      const isHeld = async () => {
        ids = await root.column(`SELECT id FROM _undrop.ledger WHERE state = 'HOLD'
          AND schema_name = '${schema.name}' AND hold_schema = '${place}'`);
        return ids.length > 0;
      };
      await until(isHeld, `it is held in ${place}`);
      return ids;
    };
    const ids = await drop();
    expect(ids).toHaveLength(1);

    if (!hasFile) {
      await make(texts[0] ?? '');
      await root.query(`DROP TABLE ${quoted(table)}`);
    }

    const { code, stderr } = await runUndrop(server, ['restore', ...ids]);
    expect([code, stderr]).toEqual([0, '']);
    expect(await seen(kind)).toEqual(before);
    expect(await survival.findLost()).toEqual([]);

    await drop();
    const { results } = await client.query(`UNDROP TABLE ${quoted(table)}`);
    expect(results).toMatchObject([{ kind: 'ok', warnings: 0 }]);
    expect(await seen(kind)).toEqual(before);
    expect(await survival.findLost()).toEqual([]);
  });
});
