/**
 * Texts in which a drop is hard to see: the server does it, and through the proxy no table is
 * destroyed. Each was found by reading the code, as one that went through.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { freshSchema, query, type TestServer, testServers } from '../support/servers.js';

const MARIADB: readonly string[] = [
  'BEGIN NOT ATOMIC SET STATEMENT max_statement_time=9 FOR CREATE OR REPLACE TABLE t (a INT); END',
  "BEGIN NOT ATOMIC SET STATEMENT max_statement_time=9 FOR EXECUTE IMMEDIATE 'DROP TABLE t'; END",
  'BEGIN NOT ATOMIC DECLARE x, end INT; IF CASE WHEN 0 THEN end WHEN 1 THEN 1 END THEN' +
    ' CREATE OR REPLACE TABLE t (a INT); END IF; END',
  "SET sql_mode = ORACLE; DECLARE CONTINUE HANDLER FOR 1146 EXECUTE IMMEDIATE 'DROP TABLE t';" +
    ' BEGIN SELECT 1 FROM nosuch; END',
  'SET sql_mode = ORACLE; DECLARE CONTINUE HANDLER FOR 1146 DROP TABLE t;' +
    ' BEGIN DROP TABLE other; SELECT 1 FROM nosuch; END',
];
const MYSQL: readonly string[] = [
  "CREATE PROCEDURE p() BEGIN IF CASE WHEN 1 THEN end WHEN 2 THEN REPEAT('a',1) END THEN DO 1;" +
    ' END IF; END; DROP TABLE t; UNTIL 1 END REPEAT; END IF; END',
  'SET NAMES sjis; SELECT @\x95`; DROP TABLE t -- `',
  'SET NAMES gbk; SELECT @\x81`; DROP TABLE t -- `',
];

describe.each(testServers())('on $name', (server: TestServer) => {
  let proxy: ProxyTarget;
  beforeAll(async () => {
    proxy = await proxyInFront(server);
  });
  afterAll(() => proxy.stop());

  test.each(server.flavour === 'mariadb' ? MARIADB : MYSQL)('%j', async (text) => {
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
      for (const one of text.startsWith('SET ') ? inTwo(text) : [text]) {
        await client.query(Buffer.from(one, 'latin1'));
      }
      client.close();
      const [live] = await query<{ found: number }>(
        server,
        `SELECT COUNT(*) AS found FROM information_schema.COLUMNS
         WHERE TABLE_SCHEMA = '${name}' AND TABLE_NAME = 't' AND COLUMN_NAME = 'id'`,
      );
      const [held] = await query<{ found: number }>(
        server,
        `SELECT COUNT(*) AS found FROM _undrop.ledger
         WHERE schema_name = '${name}' AND table_name = 't'`,
      );
      await drop();
      return { isLive: live?.found === 1, isHeld: held?.found === 1 };
    });
    const [direct, through] = await Promise.all(said);
    expect(direct).toEqual({ isLive: false, isHeld: false });
    expect(through?.isLive === true || through?.isHeld === true).toBe(true);
  });
});

/** The setting before the first `;` goes ahead. */
function inTwo(text: string): readonly string[] {
  const at = text.indexOf(';');
  return [text.slice(0, at), text.slice(at + 1)];
}
