/**
 * Texts in which a drop is hard to see: the server does it, and through the proxy no table is
 * destroyed. Each was found by reading the code, as one that went through.
 */
import { asking } from '../support/asking.js';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { freshSchema, query } from '../support/servers.js';

/** The last of each is what is hard to read; the others go before it. */
type Texts = readonly string[];

const ALL: readonly Texts[] = [
  ['CREATE PROCEDURE returns(begin INT) SELECT 1; DROP TABLE t; SELECT 1; end'],
  // Brackets and braces are letters there.
  ['SET NAMES swe7', "SELECT ]x'zz' FROM (SELECT 1 AS ]x) q; DROP TABLE t"],
  ["SET character_set_client = swe7; SELECT ]x'zz' FROM (SELECT 1 AS ]x) q; DROP TABLE t"],
];
const MARIADB: readonly Texts[] = [
  [
    'BEGIN NOT ATOMIC SET STATEMENT max_statement_time=9 FOR CREATE OR REPLACE TABLE t (a INT); END',
  ],
  ["BEGIN NOT ATOMIC SET STATEMENT max_statement_time=9 FOR EXECUTE IMMEDIATE 'DROP TABLE t'; END"],
  [
    'BEGIN NOT ATOMIC DECLARE x, end INT; IF CASE WHEN 0 THEN end WHEN 1 THEN 1 END THEN' +
      ' CREATE OR REPLACE TABLE t (a INT); END IF; END',
  ],
  [
    'SET sql_mode = ORACLE',
    "DECLARE CONTINUE HANDLER FOR 1146 EXECUTE IMMEDIATE 'DROP TABLE t'; BEGIN SELECT 1 FROM nosuch; END",
  ],
  [
    'SET sql_mode = ORACLE',
    'DECLARE CONTINUE HANDLER FOR 1146 DROP TABLE t; BEGIN DROP TABLE other; SELECT 1 FROM nosuch; END',
  ],
];
const PROGRAM = (operand: string) =>
  `CREATE PROCEDURE p() BEGIN IF CASE WHEN 1 THEN ${operand} WHEN 2 THEN REPEAT('a',1) END THEN DO 1;` +
  ' END IF; END; DROP TABLE t; UNTIL 1 END REPEAT; END IF; END';
const MYSQL: readonly Texts[] = [
  [PROGRAM('end')],
  [PROGRAM('t . end')],
  [PROGRAM('{d end}')],
  ['EXPLAIN SELECT 1 1.e; DROP TABLE t'],
  ['SELECT 1 1.e-; CREATE TABLE u (id INT); DROP TABLE t'],
  ['CREATE PROCEDURE p() SELECT 1 1.e; DROP TABLE t'],
  ["SELECT 1 1.e+-- '\n; DROP TABLE t -- '"],
  ['SET NAMES macroman', "PREPARE s FROM '--\xF9 ''\nDROP TABLE t -- '''", 'EXECUTE s'],
  ['SET NAMES sjis', 'SELECT @\x95`; DROP TABLE t -- `'],
  ['SET NAMES gbk', 'SELECT @\x81`; DROP TABLE t -- `'],
  [
    'SET collation_connection = ucs2_general_ci',
    "SET @v = CONVERT(_ucs2 x'44524F50205441424C4520742020' USING utf8mb4)",
    'PREPARE s FROM @v',
    'EXECUTE s',
  ],
];

/** Names of settings are compared without regard to accents. */
const MYSQL_97: readonly Texts[] = [
  ['SET @@śql_mode=\'ANSI_QUOTES\'; SELECT 1 AS "a\\"; DROP TABLE t; -- "'],
];
/** The text of a PREPARE is converted, and read then. */
const MYSQL_56: readonly Texts[] = [
  ['SET NAMES filename', "PREPARE s FROM 'D@0052OP@0020TABLE@0020t'", 'EXECUTE s'],
];

onServers('texts that are odd, on $name', (server, on) => {
  const { test } = on;
  const proxy = on.proxy();

  const own = server.flavour === 'mariadb' ? MARIADB : MYSQL;
  const more = { 'mysql-9.7': MYSQL_97, 'mysql-5.6': MYSQL_56 }[server.name] ?? [];
  test.each([...ALL, ...own, ...more].map((texts) => ({ texts })))('$texts', async ({ texts }) => {
    const said = [server, proxy].map(async ({ host, port, user }) => {
      const { name, drop } = await freshSchema(server, 'odd');
      await query(
        server,
        `CREATE TABLE ${name}.t (id INT)`,
        `CREATE TABLE ${name}.other (id INT)`,
        `INSERT INTO ${name}.t VALUES (1), (2)`,
      );
      const flags = MODERN | CLIENT.MULTI_STATEMENTS;
      const client = await RawClient.open({ host, port, user }, { schema: name, flags });
      for (const text of texts) await client.query(inBytes(text));
      client.close();
      const isOne = async (from: string) =>
        Number(await asking(server).cell(`SELECT COUNT(*) FROM ${from}`)) === 1;
      const isLive = await isOne(`information_schema.COLUMNS
        WHERE TABLE_SCHEMA = '${name}' AND TABLE_NAME = 't' AND COLUMN_NAME = 'id'`);
      const isHeld = await isOne(`_undrop.ledger
        WHERE schema_name = '${name}' AND table_name = 't'`);
      await drop();
      return { isLive, isHeld };
    });
    const [direct, through] = await Promise.all(said);
    expect(direct).toEqual({ isLive: false, isHeld: false });
    expect(through?.isLive === true || through?.isHeld === true).toBe(true);
  });
});

/** In UTF-8 where there is a letter beyond Latin 1, else byte by byte. */
function inBytes(text: string): Buffer {
  return Buffer.from(text, /[^\0-\xff]/.test(text) ? 'utf8' : 'latin1');
}
