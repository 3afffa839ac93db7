/**
 * DROP TABLE by the protocol's prepared statements, and as text by PREPARE, EXECUTE and EXECUTE
 * IMMEDIATE: conversations that are had directly and through the proxy, and compared to the byte,
 * ids of statements aside. Whatever is said, every base table that is gone is held with all its
 * rows, and the server never executes a drop that was prepared, by a handle or by a name.
 */
import { readFileSync } from 'node:fs';
import { describeAnswer } from '../support/native-case.js';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MODERN, type RawAnswer, RawClient } from '../support/raw-client.js';
import { generalLog, query, type Target } from '../support/servers.js';
import { Survival } from '../support/survival.js';
import { openTwoSchemas } from '../support/two-schemas.js';

const LAST_PREPARED = 0xffff_ffff;
const [EXECUTE, CLOSE, RESET] = [0x17, 0x19, 0x1a];
const [RESET_CONNECTION, BULK_EXECUTE] = [0x1f, 0xfa];

/** What a conversation is had with; everything that is answered is written down. */
class Speaker {
  readonly #client: RawClient;
  readonly heard: string[] = [];

  constructor(client: RawClient) {
    this.#client = client;
  }

  async say(...texts: readonly (string | Buffer)[]): Promise<void> {
    for (const text of texts) this.#note(await this.#client.query(text));
  }

  /** The id, or one that nobody has. */
  async prepare(text: string | Buffer): Promise<number> {
    const { id, answer } = await this.#client.prepare(text);
    this.#note(id === null ? answer : withoutId(answer));
    return id ?? 0x7fff_fff0;
  }

  /** Among several commands that were told. */
  async answerOfPrepare(): Promise<void> {
    this.#note(withoutId(await this.#client.answer()));
  }

  async execute(...ids: readonly number[]): Promise<void> {
    for (const id of ids) this.#note(await this.#client.command(executing(id)));
  }

  /** Commands that have no answer. */
  tell(...payloads: readonly Buffer[]): void {
    this.#client.write(payloads);
  }

  async plain(command: number): Promise<void> {
    this.#note(await this.#client.command(Buffer.from([command])));
  }

  /** The answer to one of several commands that were told. */
  async answer(): Promise<void> {
    this.#note(await this.#client.answer());
  }

  #note(answer: RawAnswer): void {
    const lines = describeAnswer(answer);
    this.heard.push(...lines.map((line) => line.replaceAll(/\(\d+\) given/g, '(id) given')));
  }
}

function commandOn(command: number, id: number, rest: readonly number[] = []): Buffer {
  const head = Buffer.alloc(5);
  head[0] = command;
  head.writeUInt32LE(id, 1);
  return Buffer.concat([head, Buffer.from(rest)]);
}

const executing = (id: number) => commandOn(EXECUTE, id, [0, 1, 0, 0, 0]);

/** The answer to a PREPARE; its id is another each time. */
function withoutId(answer: RawAnswer): RawAnswer {
  const [first, ...rest] = answer.packets;
  if (first === undefined) return answer;
  const payload = Buffer.from(first.payload).fill(0, 1, 5);
  return { ...answer, packets: [{ ...first, payload }, ...rest] };
}

interface Conversation {
  readonly name: string;
  readonly only?: RegExp;
  /** Capabilities; default those of most drivers. */
  readonly flags?: number;
  readonly have: (speaker: Speaker, other: string) => Promise<void>;
}

type Have = Conversation['have'];
type More = Pick<Conversation, 'only' | 'flags'>;

function talk(name: string, ...parts: readonly [Have] | readonly [More, Have]): Conversation {
  const [more, have] = parts.length === 1 ? [{}, parts[0]] : parts;
  return { name, have, ...more };
}

const UNTRACKED = { flags: CLIENT.DEPRECATE_EOF };
const AGAIN = ['CREATE TABLE a (id INT)', 'INSERT INTO a VALUES (1), (2), (3)'];

const CONVERSATIONS: readonly Conversation[] = [
  talk('executed again and again, while the table comes and goes', async (speaker) => {
    const id = await speaker.prepare('DROP TABLE a');
    await speaker.say('SHOW WARNINGS');
    for (let times = 0; times < 3; times++) {
      await speaker.execute(id);
      await speaker.say('SHOW WARNINGS');
      await speaker.execute(id);
      await speaker.say('SHOW WARNINGS', ...AGAIN);
    }
  }),
  // With SESSION_TRACK: see the limitations.
  talk('the default schema is that of the PREPARE', UNTRACKED, async (speaker, other) => {
    const id = await speaker.prepare('DROP TABLE a');
    const qualified = await speaker.prepare(`DROP TABLE IF EXISTS ${other}.b, zz`);
    await speaker.say(`USE ${other}`);
    await speaker.execute(id, id, qualified);
    await speaker.say('SHOW WARNINGS', 'SELECT DATABASE()', 'SHOW TABLES');
  }),
  talk('a schema', async (speaker, other) => {
    const name = `${other}_x`;
    const texts = [`CREATE DATABASE ${name}`, `CREATE TABLE ${name}.t (id INT)`];
    const id = await speaker.prepare(`DROP DATABASE ${name}`);
    await speaker.execute(id);
    await speaker.say('SHOW WARNINGS', ...texts);
    await speaker.execute(id, id);
    // Where another is the default by then: see the limitations.
    await speaker.say('SHOW WARNINGS', ...texts, `USE ${name}`);
    const noted = await speaker.prepare(`DROP SCHEMA IF EXISTS \`${name}\``);
    await speaker.execute(noted);
    await speaker.say('SHOW WARNINGS', 'SELECT DATABASE()', ...texts, 'SHOW TABLES');
    await speaker.say(`USE ${other}`);
    await speaker.prepare('DROP DATABASE');
    await speaker.prepare(`DROP DATABASE ${name} x`);
    speaker.tell(commandOn(CLOSE, id));
    await speaker.execute(id);
    await speaker.say(`PREPARE p FROM 'DROP DATABASE ${name}'`, 'EXECUTE p', ...texts);
    await speaker.say('EXECUTE p', 'SHOW WARNINGS', 'DEALLOCATE PREPARE p', 'EXECUTE p');
  }),
  talk('the table becomes a view, a temporary table, and one over the other', async (speaker) => {
    const id = await speaker.prepare('DROP TABLE a');
    await speaker.say('RENAME TABLE a TO kept', 'CREATE VIEW a AS SELECT 1 AS x');
    await speaker.execute(id);
    await speaker.say('SHOW WARNINGS', 'DROP VIEW a', 'CREATE TEMPORARY TABLE a (x INT)');
    await speaker.execute(id);
    await speaker.say(...AGAIN, 'CREATE TEMPORARY TABLE a (x INT)');
    await speaker.execute(id);
    await speaker.say('SELECT COUNT(*) FROM a');
    await speaker.execute(id, id);
  }),
  talk('a handle that was closed, and one that outlives it', async (speaker) => {
    const first = await speaker.prepare('DROP TABLE a');
    const second = await speaker.prepare('DROP TABLE b');
    speaker.tell(commandOn(CLOSE, first));
    await speaker.execute(first, second);
    speaker.tell(commandOn(CLOSE, second), commandOn(CLOSE, second));
    await speaker.execute(second);
  }),
  talk('handles end with COM_RESET_CONNECTION, where the server knows it', async (speaker) => {
    const id = await speaker.prepare('DROP TABLE zz');
    await speaker.plain(RESET_CONNECTION);
    await speaker.execute(id);
  }),
  talk('in a transaction, which it ends', async (speaker) => {
    const id = await speaker.prepare('DROP TABLE a');
    await speaker.say('BEGIN', 'INSERT INTO b VALUES (9)');
    await speaker.execute(id);
    await speaker.say('ROLLBACK', 'SELECT COUNT(*) FROM b');
  }),
  talk('names in a charset that the session has left', async (speaker) => {
    await speaker.say('SET NAMES utf8', 'CREATE TABLE `tü` (id INT)');
    await speaker.say('INSERT INTO `tü` VALUES (1)', 'SET NAMES latin1');
    const id = await speaker.prepare(Buffer.from('DROP TABLE `tü`', 'latin1'));
    await speaker.execute(id);
    await speaker.say('SET NAMES utf8mb4', 'CREATE TABLE `tü` (id INT)');
    await speaker.execute(id, id);
  }),
  talk('an id that nobody prepared, and texts that are none', async (speaker) => {
    await speaker.execute(0x7fff_ff00, LAST_PREPARED);
    const texts = ['DROP TABLE a b c', 'DROP TABLE a, a', 'DROP TABLE ?'];
    for (const text of texts) await speaker.execute(await speaker.prepare(text));
  }),
  talk('what cannot be prepared so', async (speaker) => {
    await speaker.prepare("PREPARE p FROM 'DROP TABLE a'");
    await speaker.prepare("EXECUTE IMMEDIATE 'DROP TABLE a'");
    await speaker.prepare('EXECUTE p');
    await speaker.say('SHOW TABLES');
  }),
  talk('the last that was prepared', { only: /mariadb/ }, async (speaker) => {
    await speaker.prepare('DROP TABLE a');
    await speaker.execute(LAST_PREPARED, LAST_PREPARED);
    await speaker.prepare('DO 1');
    await speaker.execute(LAST_PREPARED);
    await speaker.prepare('DROP TABLE b');
    await speaker.prepare('DROP TABLE IF EXISTS a b');
    await speaker.execute(LAST_PREPARED);
    await speaker.prepare('DROP TABLE b');
    speaker.tell(commandOn(CLOSE, LAST_PREPARED));
    await speaker.execute(LAST_PREPARED);
  }),
  talk('PREPARE, EXECUTE and CLOSE in one write', { only: /mariadb/ }, async (speaker) => {
    const id = await speaker.prepare('DROP TABLE zz');
    const last = executing(LAST_PREPARED);
    speaker.tell(
      Buffer.from('\x16DROP TABLE a, b'),
      ...[last, commandOn(CLOSE, LAST_PREPARED), last, executing(id)],
    );
    await speaker.answerOfPrepare();
    for (let times = 0; times < 3; times++) await speaker.answer();
    await speaker.say('SHOW TABLES');
  }),
];

/** One of test/golden/named_drops_cases.json. */
interface NamedConversation {
  readonly name: string;
  /** A regular expression for the names of servers. */
  readonly only?: string;
  readonly flags?: keyof typeof CLIENT;
  /** `OTHER` is another schema with the same tables. */
  readonly texts: readonly string[];
}

const NAMED: readonly NamedConversation[] = JSON.parse(
  readFileSync('test/golden/named_drops_cases.json', 'utf8'),
);

onServers('$name: a prepared DROP', (server, on) => {
  const { test } = on;
  const bench = on.open(() => openTwoSchemas(server));

  const open = (target: Target, flags = MODERN) =>
    RawClient.open({ ...target, user: server.user }, { schema: bench.schema.name, flags });

  const conversations = CONVERSATIONS.filter(({ only }) => only?.test(server.name) ?? true);

  test.each(conversations)('$name', ({ have, flags }) =>
    bench.compare(async (target) => {
      await using client = await open(target, flags);
      const speaker = new Speaker(client);
      await have(speaker, bench.other.name);
      return speaker.heard;
    }),
  );

  test('leaves no handle on the server, and none is executed there (wire 3)', async () => {
    await bench.fill();
    await using log = await generalLog(server);
    const client = await open(bench.proxy);
    const { id } = await client.prepare('DROP TABLE a');
    expect(await bench.root.count(`${bench.schema.name}.a`)).toBe(3);
    const { results } = await client.execute(id ?? 0);
    expect(results[0]?.kind).toBe('ok');
    await client.quit();
    const logged = await log.read();
    const own = logged.filter(({ threadId }) => threadId === client.threadId);
    // Where the service renames at once (MySQL 5.6), undrop prepares a query of its own, too.
    const prepared = own.filter(({ command }) => command === 'Prepare');
    expect(prepared.filter(({ text }) => !text.includes('/* undrop '))).toHaveLength(1);
    expect(own.filter(({ command }) => command === 'Execute')).toEqual([]);
    expect(own.filter(({ command }) => command === 'Close stmt')).toHaveLength(prepared.length);
    const said = own.filter(({ command }) => command === 'Query').map(({ text }) => text);
    expect(said.filter((text) => /^DROP/i.test(text))).toEqual([]);
  });

  test('has no handle on the server to reset, to execute in bulk, or by half', async () => {
    await using client = await open(bench.proxy);
    await bench.fill();
    const { id } = await client.prepare('DROP TABLE a');
    if (id === null) throw new Error('it was not prepared');
    const half = commandOn(EXECUTE, id, [0]);
    for (const packet of [half, commandOn(BULK_EXECUTE, id, [0x80, 0]), commandOn(RESET, id)]) {
      const { results } = await client.command(packet);
      expect(results).toMatchObject([{ kind: 'err' }]);
    }
    expect(await client.rows("SHOW TABLES LIKE 'a'")).toEqual([['a']]);
    // A statement without rows has no cursor, whatever the client asks for.
    const withCursor = await client.command(commandOn(EXECUTE, id, [1, 1, 0, 0, 0]));
    expect(withCursor.results).toMatchObject([{ kind: 'ok' }]);
    expect(await client.rows("SHOW TABLES LIKE 'a'")).toEqual([]);
  });

  test('says so where a name has no bytes in the charset of now', async () => {
    await bench.fill();
    await query(server, `CREATE TABLE ${bench.schema.name}.\`表\` (id INT)`);
    await using client = await open(bench.proxy);
    const { id } = await client.prepare('DROP TABLE `表`');
    await client.query('SET NAMES latin1');
    const { results } = await client.execute(id ?? 0);
    expect(results[0]).toMatchObject({ kind: 'err', errno: 1235 });
    expect(String((results[0] as { message: Buffer }).message)).toMatch(/^UNDROP_NAME_CHARSET: /);
    await client.query('SET NAMES utf8mb4');
    expect((await client.execute(id ?? 0)).results[0]?.kind).toBe('ok');
  });

  const named = NAMED.filter(({ only = '' }) => server.name.match(only) !== null);

  test.each(named)('by a name: $name', ({ texts, flags }) =>
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

  const isMariadb = server.flavour === 'mariadb';

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
