/**
 * DROP TABLE by PREPARE, EXECUTE and EXECUTE IMMEDIATE as text: conversations that are had directly
 * and through the proxy, and compared to the byte. Whatever is said, every base table that is gone
 * is held with all its rows, and the server never executes a drop that was prepared by a name.
 */
import { readFileSync } from 'node:fs';
import { describeAnswer } from '../support/native-case.js';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { generalLog, query, type Target } from '../support/servers.js';
import { Survival } from '../support/survival.js';
import { TwoSchemas } from '../support/two-schemas.js';

/** One of test/golden/named_drops_cases.json. */
interface Conversation {
  readonly name: string;
  /** A regular expression for the names of servers. */
  readonly only?: string;
  readonly flags?: keyof typeof CLIENT;
  /** `OTHER` is another schema with the same tables. */
  readonly texts: readonly string[];
}

const CONVERSATIONS: readonly Conversation[] = JSON.parse(
  readFileSync('test/golden/named_drops_cases.json', 'utf8'),
);

onServers('$name: a DROP', (server, on) => {
  const { test } = on;
  const bench = on.open(() => TwoSchemas.open(server));

  const open = (target: Target, flags = MODERN) =>
    RawClient.open({ ...target, user: server.user }, { schema: bench.schema.name, flags });

  const conversations = CONVERSATIONS.filter(({ only = '' }) => server.name.match(only) !== null);

  test.each(conversations)('$name', ({ texts, flags }) =>
    bench.compare(async (target) => {
      await using client = await open(target, flags && CLIENT[flags]);
      const heard: string[] = [];
      for (const text of texts) {
        const said = text.replace('OTHER', bench.other.name);
        heard.push(`> ${said}`, ...describeAnswer(await client.query(said)));
      }
      return heard;
    }),
  );

  const isMariadb = server.name.startsWith('mariadb');
  test('by a name is known to undrop alone, and hidden ways find nothing', async () => {
    await bench.fill();
    await using log = await generalLog(server);
    const client = await open(bench.proxy, MODERN | CLIENT.MULTI_STATEMENTS);
    const errno = async (text: string) => {
      const { results } = await client.query(text);
      return results.map((result) => (result.kind === 'err' ? result.errno : 0));
    };
    expect(await errno("PREPARE p FROM 'DROP TABLE a'")).toEqual([0]);
    if (isMariadb) expect(await errno('BEGIN NOT ATOMIC EXECUTE p; END')).toEqual([1243]);
    else expect(await errno('CALL missing()')).toEqual([1305]);
    // Who knows what these have prepared.
    expect(await errno('EXECUTE p')).toEqual([1235]);
    expect(await errno("PREPARE p FROM 'DROP TABLE a'")).toEqual([0]);
    await client.query('CREATE PROCEDURE hidden() EXECUTE p');
    expect(await errno('CALL hidden()')).toEqual([1243]);
    // The server knew none under that name, and says so.
    expect(await errno('DEALLOCATE PREPARE p')).toEqual([1243]);
    expect(await errno('EXECUTE p')).toEqual([1243]);
    // What only the session's mode tells may be an EXECUTE as well.
    expect(await errno("PREPARE p FROM 'DROP TABLE a'")).toEqual([0]);
    await client.query('EXECUTE "p"');
    expect(await errno('EXECUTE p')).toEqual([1235]);
    expect(await errno("PREPARE p FROM 'DROP TABLE a'")).toEqual([0]);
    await client.query('SET @x = 1');
    expect(await errno('EXECUTE p USING @x')).toEqual([1235]);
    expect(await errno("PREPARE p FROM 'DROP TABLE a'")).toEqual([0]);
    expect(await errno('EXECUTE p')).toEqual([0]);
    await client.quit();
    const logged = await log.read();
    const own = logged.filter(({ threadId }) => threadId === client.threadId);
    const dropping = own.filter(
      ({ command, text }) => /Execute|Query/.test(command) && /^\s*DROP\b/i.test(text),
    );
    expect(dropping).toEqual([]);
  });

  test('is found in bytes that are no characters, and between charsets', async () => {
    await bench.fill();
    const survival = new Survival(bench.root, [bench.schema.name]);
    await using client = await open(bench.proxy);
    const hex = (text: string) => `X'${Buffer.from(text, 'latin1').toString('hex')}'`;
    const drops = ['DROP TABLE a -- \xff', 'DROP /* \xff\xfe */ TABLE a', '\xa0DROP TABLE a'];
    for (const charset of ['utf8mb4', 'latin1', 'gbk']) {
      for (const connection of ['utf8mb4', 'latin1', 'sjis', 'ucs2']) {
        await client.query(`SET NAMES ${charset}`);
        await client.query(`SET character_set_connection = ${connection}`);
        for (const drop of drops) {
          await survival.remember();
          const literal = Buffer.from(`PREPARE q FROM '${drop}'`, 'latin1');
          for (const as of ['', '_latin1 ', '_gbk ']) {
            await client.query(`SET @v = ${as}${hex(drop)}`);
            for (const text of ['PREPARE p FROM @v', 'EXECUTE p']) await client.query(text);
            if (isMariadb) await client.query('EXECUTE IMMEDIATE @v');
          }
          for (const text of [literal, 'EXECUTE q']) await client.query(text);
          expect(await survival.findLost()).toEqual([]);
          await query(server, `CREATE TABLE IF NOT EXISTS ${bench.schema.name}.a (id INT)`);
        }
      }
    }
  });

  test('in ASCII is one in whatever the client speaks', async () => {
    await using client = await open(bench.proxy);
    await query(server, `CREATE TABLE IF NOT EXISTS ${bench.schema.name}.a (id INT)`);
    for (const charset of ['latin1', 'gbk', 'sjis', 'cp932', 'swe7']) {
      await client.query(`SET NAMES ${charset}`);
      const names = charset === 'swe7' ? ['a'] : ['a', '`q``r`', '`@|{`'];
      for (const name of names) {
        await query(server, `CREATE TABLE IF NOT EXISTS ${bench.schema.name}.${name} (id INT)`);
        for (const text of [`PREPARE p FROM 'DROP TABLE ${name}'`, 'EXECUTE p']) {
          const { results } = await client.query(text);
          expect([charset, text, results]).toMatchObject([charset, text, [{ kind: 'ok' }]]);
        }
      }
    }
  });

  test('is refused where only the server could say what its text becomes', async () => {
    await bench.fill();
    await query(server, `CREATE TABLE ${bench.schema.name}.\`tü\` (id INT)`);
    await using client = await open(bench.proxy);
    await client.query('SET NAMES latin1');
    const text = Buffer.from("PREPARE p FROM 'DROP TABLE `tü`'", 'latin1');
    expect((await client.query(text)).results).toMatchObject([{ kind: 'err', errno: 1235 }]);
    expect((await client.query('EXECUTE p')).results).toMatchObject([{ errno: 1243 }]);
    await client.query('SET NAMES utf8mb4');
    if (isMariadb) {
      const nested = await client.query("EXECUTE IMMEDIATE (SELECT 'DROP TABLE a')");
      expect(nested.results).toMatchObject([{ kind: 'err' }]);
      for (const text of [
        "EXECUTE IMMEDIATE 'DROP TABLE a'",
        "EXECUTE IMMEDIATE CONCAT('DROP ', 'TABLE a')",
        'SET STATEMENT lock_wait_timeout = 1 FOR DROP TABLE a',
        "SET STATEMENT sql_mode = 'ANSI' FOR DROP TABLE a",
      ]) {
        const { results } = await client.query(text);
        expect([text, results]).toMatchObject([text, [{ kind: 'err', errno: 1235 }]]);
      }
      // This one can be read.
      for (const text of ["PREPARE p FROM CONCAT('DROP TABLE ', 'a')", 'EXECUTE p']) {
        expect((await client.query(text)).results).toMatchObject([{ kind: 'ok' }]);
      }
    }
    const odd = await client.query("PREPARE `pé` FROM 'DROP TABLE a'");
    expect(odd.results).toMatchObject([{ kind: 'err', errno: 1235 }]);
  });
});
