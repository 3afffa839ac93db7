/**
 * A schema of the Sakila kind for tests: keys in cycles, to itself and to a table elsewhere,
 * several engines, partitions, triggers in their order, views on views and on functions, programs
 * under modes, charsets and time zones of their own, odd names. And a dump of a whole schema:
 * everything that the server shows of it, and a checksum of the rows of each table.
 */
import type { RowDataPacket } from 'mysql2/promise';
import { connect, type Session, type Target, type TestServer } from './servers.js';

const ODD = 'o`d.d "тест" 100%';

/** Fills an empty schema. `other`: a schema with a table `owner (id)`. */
export async function fillRentalShop(server: TestServer, schema: string, other: string) {
  await using session = await connect(server, { database: schema });
  await session.run(...texts(server, schema, other));
}

/** Long: one statement after the other. */
function texts({ name, flavour }: TestServer, schema: string, other: string): readonly string[] {
  const isOld = name === 'mysql-5.6';
  const isMysql8 = flavour === 'mysql' && !isOld;
  const odd = `\`${ODD.replaceAll('`', '``')}\``;
  // Elsewhere a key with such names keeps its schema from being dropped.
  const oddKey = isMysql8
    ? `, CONSTRAINT \`ключ\` FOREIGN KEY (\`%\`) REFERENCES ${odd} (\`a\`\`b\`)`
    : '';
  const generated = isOld ? '' : ', total DECIMAL(8,2) AS (price * days) STORED, KEY (total)';
  const check = isOld ? '' : ', CONSTRAINT cheap CHECK (days < 1000)';
  const spatialEngine = isOld ? 'MyISAM' : 'InnoDB';
  return [
    `SET NAMES utf8mb4, time_zone = '+00:00'`,
    'SET foreign_key_checks = 0',
    `CREATE TABLE store (id INT AUTO_INCREMENT PRIMARY KEY, manager INT NOT NULL, city VARCHAR(40),
       UNIQUE KEY (manager), CONSTRAINT store_manager FOREIGN KEY (manager) REFERENCES staff (id)
       ON UPDATE CASCADE) AUTO_INCREMENT = 77`,
    `CREATE TABLE staff (id INT PRIMARY KEY, store INT NOT NULL, picture BLOB,
       KEY at_store (store), CONSTRAINT staff_store FOREIGN KEY (store) REFERENCES store (id))`,
    `CREATE TABLE category (id INT PRIMARY KEY, parent INT, title VARCHAR(40) CHARACTER SET latin1,
       KEY (parent), FOREIGN KEY (parent) REFERENCES category (id) ON DELETE CASCADE)`,
    `CREATE TABLE film (id INT PRIMARY KEY, title VARCHAR(80) NOT NULL COMMENT 'it''s; a title',
       plot TEXT, price DECIMAL(6,2) NOT NULL DEFAULT 4.99, days INT NOT NULL DEFAULT 3,
       rating ENUM('G', 'PG', 'ü') DEFAULT 'G', category INT, owner INT${generated},
       FULLTEXT KEY words (title, plot), KEY (category), KEY (owner),
       CONSTRAINT film_category FOREIGN KEY (category) REFERENCES category (id) ON DELETE SET NULL,
       CONSTRAINT film_owner FOREIGN KEY (owner) REFERENCES ${other}.owner (id)${check})
       ENGINE=InnoDB COMMENT='films'`,
    `CREATE TABLE rental (id INT NOT NULL, at DATE NOT NULL, film INT, PRIMARY KEY (id, at))
       PARTITION BY RANGE (YEAR(at)) (PARTITION p0 VALUES LESS THAN (2020),
       PARTITION p1 VALUES LESS THAN (2030), PARTITION p9 VALUES LESS THAN MAXVALUE)`,
    `CREATE TABLE place (id INT PRIMARY KEY, at GEOMETRY NOT NULL ${isMysql8 ? 'SRID 0' : ''},
       SPATIAL KEY (at)) ENGINE=${spatialEngine}`,
    'CREATE TABLE audit (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(200)) ENGINE=MyISAM',
    'CREATE TABLE cache (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=MEMORY DEFAULT CHARSET=latin1',
    `CREATE TABLE old_log (at DATETIME, line VARCHAR(99))
       ENGINE=${flavour === 'mariadb' ? 'Aria' : 'ARCHIVE'}`,
    `CREATE TABLE ${odd} (\`a\`\`b\` INT PRIMARY KEY, \`%\` INT, KEY \`%\` (\`%\`),
       KEY (\`a\`\`b\`)${oddKey}) ROW_FORMAT=COMPACT`,
    ...(flavour === 'mariadb' ? ['CREATE SEQUENCE numbers START WITH 7 INCREMENT BY 3'] : []),
    `INSERT INTO store VALUES (1, 1, 'Köln'), (2, 2, '東京')`,
    `INSERT INTO staff VALUES (1, 1, X'00FF'), (2, 2, NULL)`,
    `INSERT INTO category VALUES (1, NULL, 'all'), (2, 1, 'Märchen')`,
    `INSERT INTO film (id, title, plot, category, owner) VALUES (1, 'Anna', 'a plot', 2, 1),
       (2, 'Пример', 'a ship', 1, NULL)`,
    `INSERT INTO rental VALUES (1, '2019-05-05', 1), (2, '2026-01-01', 2), (3, '2040-01-01', 1)`,
    'INSERT INTO place VALUES (1, POINT(1, 2))',
    `INSERT INTO cache VALUES (1, 'warm')`,
    `INSERT INTO old_log VALUES ('2026-01-01', 'first')`,
    `INSERT INTO ${odd} VALUES (1, NULL), (2, 1)`,
    `CREATE TRIGGER film_in BEFORE INSERT ON \`film\` FOR EACH ROW
       INSERT INTO audit (what) VALUES (CONCAT('one; ', NEW.title))`,
    ...(isOld
      ? []
      : [
          `CREATE TRIGGER film_first BEFORE INSERT ON \`film\` FOR EACH ROW PRECEDES film_in
             SET NEW.title = TRIM(NEW.title)`,
        ]),
    `SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'`,
    `CREATE TRIGGER "ring 1" AFTER UPDATE ON "store" FOR EACH ROW
       INSERT INTO audit (what) VALUES ("NEW"."city" || 'ö')`,
    "CREATE FUNCTION spaced(a INT) RETURNS VARCHAR(20) DETERMINISTIC NO SQL RETURN a || 'x'",
    `SET sql_mode = 'NO_BACKSLASH_ESCAPES'`,
    `CREATE PROCEDURE slashes() SELECT '\\' AS one`,
    `SET sql_mode = DEFAULT`,
    'SET NAMES latin1',
    // In the bytes of mysql2's own charset, which the server reads as latin1.
    `CREATE PROCEDURE latin() SELECT 'gr\u00fcn' AS colour`,
    'SET NAMES utf8mb4',
    `CREATE DEFINER = 'shop_owner'@'%' FUNCTION price_of(f INT) RETURNS DECIMAL(6,2)
       READS SQL DATA SQL SECURITY INVOKER COMMENT 'цена; "x"'
       RETURN (SELECT price FROM film WHERE id = f)`,
    `CREATE PROCEDURE late(IN n INT, OUT m INT) BEGIN DECLARE x INT DEFAULT 1;
       WHILE x < n DO SET x = x + 1; END WHILE; SET m = x; SELECT * FROM a_list; END`,
    `CREATE DEFINER = 'shop_owner'@'%' SQL SECURITY INVOKER VIEW z_films AS
       SELECT id, title, price_of(id) AS price, 'ü' AS mark FROM film WHERE title <> 'x'`,
    `CREATE ALGORITHM = MERGE VIEW m_films AS SELECT * FROM z_films WHERE price > 1`,
    `CREATE VIEW cheap AS SELECT * FROM film WHERE price < 5 WITH CASCADED CHECK OPTION`,
    'CREATE VIEW a_list AS SELECT m.id, s.city FROM m_films m JOIN store s ON s.id = m.id',
    `CREATE VIEW \`v\`\`i "odd"\` (\`ä\`) AS SELECT spaced(id) FROM category`,
    `CREATE VIEW elsewhere AS SELECT o.id FROM ${other}.owner o JOIN film f ON f.owner = o.id`,
    `SET time_zone = '+05:30'`,
    `CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00' ENABLE
       COMMENT 'clears; the cache' DO DELETE FROM cache`,
    `CREATE DEFINER = 'shop_owner'@'%' EVENT once ON SCHEDULE AT '2037-02-03 04:05:06'
       ON COMPLETION PRESERVE DISABLE DO BEGIN INSERT INTO audit (what) VALUES ('ü'); END`,
    `SET time_zone = '+00:00'`,
    ...(flavour === 'mariadb'
      ? [
          'SET sql_mode = ORACLE',
          `CREATE PACKAGE tools AS FUNCTION one RETURN INT; END`,
          `CREATE PACKAGE BODY tools AS FUNCTION one RETURN INT AS BEGIN RETURN 1; END; END`,
          'SET sql_mode = DEFAULT',
        ]
      : []),
    `ALTER TABLE audit COMMENT '${schema}'`,
  ];
}

/** Everything that the server shows of a schema, and a checksum of the rows of each table. */
export async function dumpOf(server: Target, schema: string): Promise<readonly string[]> {
  await using session = await connect(server, { charset: 'utf8mb4', dateStrings: true });
  return await dump(session, schema);
}

async function dump(session: Session, schema: string): Promise<readonly string[]> {
  const rowsOf = async (text: string) => (await session.query<RowDataPacket[]>(text))[0];
  const namesOf = async (what: string, from: string) => {
    const [name, type] = [`${what}_NAME`, what === 'TABLE' ? 'TABLE_TYPE' : `${what}_TYPE`];
    const rows = await rowsOf(
      `SELECT ${name} AS name, ${what === 'EVENT' ? "'EVENT'" : type} AS type
       FROM information_schema.${from} WHERE ${what}_SCHEMA = '${schema}' ORDER BY 2, 1`,
    );
    return rows.map((row) => ({ name: String(row['name']), type: String(row['type']) }));
  };
  const quoted = (name: string) => `\`${schema}\`.\`${name.replaceAll('`', '``')}\``;
  const shown: unknown[] = await rowsOf(`SHOW CREATE DATABASE ${schema}`);
  for (const { name, type } of await namesOf('TABLE', 'TABLES')) {
    const isView = type === 'VIEW';
    shown.push(await rowsOf(`SHOW CREATE ${isView ? 'VIEW' : 'TABLE'} ${quoted(name)}`));
    if (!isView) shown.push(await rowsOf(`CHECKSUM TABLE ${quoted(name)} EXTENDED`));
    if (isView) shown.push([name, await rowsOf(`SELECT * FROM ${quoted(name)} ORDER BY 1`)]);
  }
  shown.push(
    await rowsOf(
      `SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER,
         ACTION_STATEMENT, SQL_MODE, DEFINER, CHARACTER_SET_CLIENT, COLLATION_CONNECTION,
         DATABASE_COLLATION FROM information_schema.TRIGGERS
       WHERE TRIGGER_SCHEMA = '${schema}' ORDER BY 1`,
    ),
  );
  const routines = await namesOf('ROUTINE', 'ROUTINES');
  const programs = [...routines, ...(await namesOf('EVENT', 'EVENTS'))];
  for (const { name, type } of programs) {
    shown.push(await rowsOf(`SHOW CREATE ${type} ${quoted(name)}`));
  }
  return shown.map((one) => JSON.stringify(one));
}
