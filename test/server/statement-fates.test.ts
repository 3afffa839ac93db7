/**
 * What becomes of texts in which a DROP stands, or seems to: each is said to the server itself
 * first, and what it did there decides. Where a table is gone then, it is held behind the proxy,
 * and either way the answer is the same byte for byte.
 */
import { heldRows } from '../support/client-held.js';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MODERN, type RawAnswer, RawClient } from '../support/raw-client.js';
import { generalLog, query, type Target } from '../support/servers.js';

type Fate = 'live' | 'held' | 'destroyed';

interface Said {
  readonly text: string;
  /** What the session is in. */
  readonly settings?: readonly string[];
  /** Servers on which the table is gone; default all. */
  readonly dropsOn?: RegExp;
}

const NOWHERE = /^$/;
const EVERYWHERE = /^/;
const MARIADB = /^mariadb/;

const innocent = (...texts: readonly string[]) => texts.map((text) => ({ text, dropsOn: NOWHERE }));
const under = (setting: string, said: Said): Said => ({ ...said, settings: [setting] });

const SEPARATED: readonly Said[] = [
  { text: 'DO 1;/**/drop/**/table t' },
  { text: 'DO 1;-- x\nDROP--\tx\nTABLE#y\nt' },
  { text: 'DO 1;\n\f\vDROP\n/*;*/TABLE\r\nt ;' },
  { text: 'DROP TABLE t; DO 1' },
  { text: ';;/**/drop/**/table t', dropsOn: NOWHERE },
];

const IN_COMMENTS: readonly Said[] = [
  { text: '/*!40000 DROP TABLE t */' },
  { text: '/*M! DROP TABLE t */', dropsOn: MARIADB },
  { text: 'DROP /* /*! x */ TABLE t' },
  { text: 'DROP /*!40000 TABLE */ t' },
];

const INNOCENT = innocent(
  "SELECT 'x; DROP TABLE t'; SELECT '; drop table t -- '",
  'SELECT 1 AS `; drop table t`',
  'SELECT "drop table" AS a FROM l AS `drop table`',
  '/* DROP TABLE t */ SELECT 1 # ; DROP TABLE t',
);

const BACKSLASHES = { text: "SELECT '\\'; DROP TABLE t; -- '" } as const;
const DOUBLE_QUOTES = { text: 'SELECT 1 AS "a\\"; DROP TABLE t; -- "' } as const;

/** The second byte of a character is a backslash, by charset. */
const WIDE: Readonly<Record<string, string>> = { gbk: '\xbf', sjis: '\x95', big5: '\xa5' };

const IN_CHARSETS: readonly Said[] = [
  ...Object.entries(WIDE).flatMap(([charset, first]): Said[] => {
    const text = `SELECT '${first}\\'; DROP TABLE t; -- '`;
    return [
      under(`SET NAMES ${charset}`, { text }),
      under('SET NAMES latin1', { text, dropsOn: NOWHERE }),
    ];
  }),
  under('SET NAMES latin1', { text: 'DROP\xa0TABLE\xa0t' }),
  under('SET NAMES utf8', { text: 'DROP\xa0TABLE\xa0t', dropsOn: NOWHERE }),
  under('SET NAMES latin1', { text: 'DO 1;\xa0drop\xa0table t' }),
];

onServers('the fate of a table on $name', (server, on) => {
  const { beforeEach, test } = on;
  const proxy = on.proxy({ NOTE: 'off' });
  const schema = on.each.schema('fate');
  beforeEach(fill);

  async function fill(): Promise<void> {
    await query(
      server,
      `CREATE TABLE IF NOT EXISTS ${schema.name}.t (a INT) ENGINE=InnoDB`,
      `CREATE TABLE IF NOT EXISTS ${schema.name}.l (a VARCHAR(40)) ENGINE=InnoDB`,
    );
  }

  const open = (target: Target) =>
    RawClient.open(target, { schema: schema.name, flags: MODERN | CLIENT.MULTI_STATEMENTS });

  async function fateOf(): Promise<Fate> {
    const rows = await query(server, `SHOW TABLES FROM ${schema.name} LIKE 't'`);
    if (rows.length > 0) return 'live';
    return 't' in (await heldRows(server, schema.name)) ? 'held' : 'destroyed';
  }

  async function say(target: Target, { text, settings = [] }: Said) {
    await using client = await open(target);
    await client.run(settings);
    const answer = await client.query(Buffer.from(text, 'latin1'));
    const next = await client.query('SELECT 1');
    expect(next.results).toMatchObject([{ kind: 'rows', rows: [[Buffer.from('1')]] }]);
    return { answer, fate: await fateOf() };
  }

  async function compare(said: Said): Promise<void> {
    const { dropsOn = EVERYWHERE } = said;
    const direct = await say(server, said);
    expect(direct.fate).toBe(dropsOn.test(server.name) ? 'destroyed' : 'live');
    await fill();
    const through = await say(proxy, said);
    expect(through.fate).toBe(direct.fate === 'live' ? 'live' : 'held');
    expect(framed(through.answer)).toEqual(framed(direct.answer));
  }

  test('a DROP never reaches the server as such, and the session goes on (wire 2)', async () => {
    await using client = await open(proxy);
    await using log = await generalLog(server);
    const { packets } = await client.query('DROP TABLE t');
    const next = await client.rows('SELECT 1');
    const logged = await log.read();
    expect(packets.map(({ sequenceId, payload }) => [sequenceId, payload[0]])).toEqual([[1, 0]]);
    expect(next).toEqual([['1']]);
    const executed = logged.filter(({ command }) => /^(Query|Execute)$/.test(command));
    expect(executed.filter(({ text }) => /^\s*DROP TABLE/i.test(text))).toEqual([]);
    expect(await fateOf()).toBe('held');
  });

  test.each(SEPARATED)('between statements and words: $text (wire 5)', compare);

  test.each(IN_COMMENTS)('in comments that are executed: $text (wire 6)', compare);

  test.each(INNOCENT)('$text is none (wire 7)', compare);

  test.each([
    under("SET sql_mode = 'NO_BACKSLASH_ESCAPES'", BACKSLASHES),
    under("SET sql_mode = ''", { ...BACKSLASHES, dropsOn: NOWHERE }),
  ])('a backslash before a quote, after $settings (wire 8)', compare);

  test.each([
    under("SET sql_mode = 'ANSI_QUOTES'", DOUBLE_QUOTES),
    under("SET sql_mode = ''", { ...DOUBLE_QUOTES, dropsOn: NOWHERE }),
  ])('double quotes, after $settings (wire 9)', compare);

  test.each(IN_CHARSETS)('$text after $settings (wire 10)', compare);
});

function framed({ packets }: RawAnswer): readonly string[] {
  return packets.map(({ sequenceId, payload }) => `${sequenceId} ${payload.toString('latin1')}`);
}
