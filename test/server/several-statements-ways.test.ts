/**
 * Texts of several statements with a drop among them, in other ways than one after the other:
 * in a pipeline, switched on and off, with results of any size, killed,
 * left by their client. The bytes are the server's own, and no table is lost.
 */
import type { RowDataPacket } from 'mysql2/promise';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { CLIENT, frame } from '../support/raw-client.js';
import { sample } from '../support/sample.js';
import { connect, type Target } from '../support/servers.js';
import { Survival } from '../support/survival.js';
import { type Heard, type Utterance, WireTalk } from '../support/wire-talk.js';

const SEVERAL = CLIENT.MULTI_STATEMENTS | CLIENT.LOCAL_FILES;
const FLAGS = [SEVERAL, SEVERAL | CLIENT.DEPRECATE_EOF];
const COM_PING = frame(Buffer.from([0x0e]), 0);

const text = (sql: string): Buffer => frame(Buffer.from(`\x03${sql}`), 0);
const option = (value: 0 | 1): Buffer => frame(Buffer.from([0x1b, value, 0]), 0);

onServers('drops among several statements on $name', (server, on) => {
  const { beforeAll, beforeEach, test } = on;

  const proxy = on.proxy({ NOTE: 'off' });
  const schema = on.schema('ways').name;
  const root = on.session({ schema });
  const survival = new Survival(root, [schema]);
  beforeAll(() => root.query('SET GLOBAL local_infile = 1'));

  beforeEach(fill);

  async function fill(): Promise<void> {
    for (const table of ['a', 'b', 'loaded']) {
      await root.run(`DROP TABLE IF EXISTS ${table}`, `CREATE TABLE ${table} (id INT PRIMARY KEY)`);
    }
    await root.run('INSERT INTO a VALUES (1), (2)', 'INSERT INTO b VALUES (1), (2), (3)');
    await survival.remember();
  }

  const live = () => root.tables();

  async function open(target: Target, flags: number): Promise<WireTalk> {
    const talk = await WireTalk.open(target, { user: 'root', flags });
    await talk.say({ bytes: text(`USE ${schema}`) }, 'nonce_of_use');
    return talk;
  }

  async function outcome(target: Target, utterances: readonly Utterance[], flags: number) {
    await fill();
    const talk = await open(target, flags);
    const heard: Heard[] = [];
    for (const [index, utterance] of utterances.entries()) {
      heard.push(await talk.say(utterance, `nonce_number_${index}`));
    }
    talk.destroy();
    const rows = await root.rows('SELECT id FROM loaded ORDER BY id');
    return { heard, live: await live(), rows };
  }

  /** The same bytes, the same tables under their names, and none lost. */
  async function expectSame(utterances: readonly Utterance[], flags: number = SEVERAL) {
    const direct = await outcome(server, utterances, flags);
    const proxied = await outcome(proxy, utterances, flags);
    expect(await survival.findLost()).toEqual([]);
    expect(proxied.heard.map(shown)).toEqual(direct.heard.map(shown));
    expect([proxied.live, proxied.rows]).toEqual([direct.live, direct.rows]);
    return proxied;
  }

  describe.each(sample(FLAGS, { name: 'flags', count: 1 }))('with flags %i', (flags) => {
    test.each([
      `DROP TABLE a; LOAD DATA LOCAL INFILE 'x' INTO TABLE loaded; DO 1`,
      `/*! load */ data local infile 'x' INTO TABLE loaded; DROP TABLE a`,
    ])('with a file of the client nothing of it is executed: %s', async (sql) => {
      const { heard, live: names } = await outcome(proxy, [{ bytes: text(sql) }], flags);
      expect(heard.map(shown).join()).toContain('UNDROP_NOT_DONE_YET');
      expect(names).toContain('a');
    });

    test('commands in a pipeline around it', async () => {
      const bytes = Buffer.concat([
        ...[COM_PING, text('SELECT 1; SELECT 2'), text('DROP TABLE a; SELECT 3; DROP TABLE b')],
        ...[COM_PING, text('SELECT 4'), text('SELECT 5; DROP TABLE loaded; SELEC 6'), COM_PING],
        text('CREATE TABLE loaded (id INT)'),
      ]);
      await expectSame([{ bytes }], flags);
    });

    test('several statements switched off and on again', async () => {
      const first = text('SELECT 1; DROP TABLE a');
      const second = text('DROP TABLE b; SELECT 2');
      const { live: left } = await expectSame(
        [option(1), first, second, option(0), first, option(1), second].map((bytes) => ({ bytes })),
        flags,
      );
      expect(left).toEqual(['b', 'loaded']);
    });

    test('several statements switched on by a client that had not asked for them', async () => {
      const sql = text('SELECT 1; DROP TABLE a; SELECT 2');
      const said = [sql, option(0), sql].map((bytes) => ({ bytes }));
      await expectSame(said, flags & ~CLIENT.MULTI_STATEMENTS);
    });

    test('rows around the size of a packet, before and behind', async () => {
      const max = 0xffffff;
      const big = (size: number) => `SELECT REPEAT('x', ${size}), 1`;
      const sql = `${big(max - 6)}; DROP TABLE a; ${big(max - 5)}; DROP TABLE b; ${big(max + 9)}`;
      const [row] = (await root.query<RowDataPacket[]>('SELECT @@max_allowed_packet AS n'))[0];
      expect(row?.['n']).toBeGreaterThan(0);
      await root.query('SET GLOBAL max_allowed_packet = 67108864');
      await expectSame([{ bytes: text(sql) }], flags);
    });

    test('many results, many drops: the sequence ids go round', async () => {
      const drops = Array.from({ length: 20 }, (_, index) => `DROP TABLE IF EXISTS zz${index}`);
      const sql = drops.map((drop) => `${'DO 1; '.repeat(16)}${drop}; SELECT 1, 2`).join('; ');
      const { heard } = await expectSame([{ bytes: text(`${sql}; DROP TABLE a`) }], flags);
      expect(heard[0]?.packets.length).toBeGreaterThan(400);
    });
  });

  test('a client that reads slowly holds the results back, and gets all of them', async () => {
    const sql = `SELECT REPEAT('x', 100000) FROM b, b c, b d, b e, b f;
      DROP TABLE a; SELECT REPEAT('y', 100000) FROM b, b c, b d, b e`;
    const { heard } = await expectSame([{ bytes: text(sql) }]);
    expect(heard[0]?.packets.length).toBeGreaterThan(320);
  });

  /** Says a text that waits in its `at`th statement for a lock, and does something meanwhile. */
  async function whileWaiting(
    target: Target,
    sql: string,
    meanwhile: (talk: WireTalk) => Promise<void>,
  ): Promise<Heard> {
    await fill();
    const talk = await open(target, SEVERAL);
    const lock = await connect(server);
    await lock.query(`SELECT GET_LOCK('${schema}', 0)`);
    const heard = talk.say({ bytes: text(sql.replaceAll('$LOCK', schema)) }, 'nonce_of_wait');
    await until(() => root.hasProcess("STATE = 'User lock'"), 'the statement waits');
    await meanwhile(talk);
    await lock.end();
    const said = await heard;
    talk.destroy();
    return said;
  }

  test.each([
    ['before', "DO 1; DO GET_LOCK('$LOCK', 60); DROP TABLE a; DO 2"],
    ['behind', "DO 1; DROP TABLE a; DO GET_LOCK('$LOCK', 60); DROP TABLE b; DO 2"],
  ])('KILL QUERY of a statement %s ends the text where it ends natively', async (_place, sql) => {
    // What comes in the moment before it really waits, the server may not see.
    const kill = async (talk: WireTalk) => {
      await until(async () => {
        const waits = await root.hasProcess(`STATE = 'User lock' AND ID = ${talk.threadId}`);
        if (waits) await root.query(`KILL QUERY ${talk.threadId}`);
        return !waits;
      }, 'it waits no more');
    };
    const direct = shown(await whileWaiting(server, sql, kill));
    const left = await live();
    const proxied = shown(await whileWaiting(proxy, sql, kill));
    expect([proxied, await live(), await survival.findLost()]).toEqual([direct, left, []]);
  });

  test('KILL of the session ends it, and nothing behind is run', async () => {
    const sql = "DROP TABLE a; DO GET_LOCK('$LOCK', 60); DROP TABLE b";
    const heard = await whileWaiting(proxy, sql, async (talk) => {
      await root.query(`KILL ${talk.threadId}`);
    });
    expect([heard.ending, await live()]).toEqual(['closed', ['b', 'loaded']]);
    expect(await survival.findLost()).toEqual([]);
  });

  test('a client that breaks off: the text ends, and nothing is lost', async () => {
    const sql = "DROP TABLE a; DO GET_LOCK('$LOCK', 60); DROP TABLE b";
    await whileWaiting(proxy, sql, async (talk) => talk.reset());
    expect(await live()).not.toContain('a');
    expect(await survival.findLost()).toEqual([]);
  });
});

/** What can be compared: without the nonce of the marker behind it. */
function shown({ packets, ending }: Heard): readonly string[] {
  const said = ending === 'marker' ? packets.slice(0, -1) : packets;
  return [...said.map((packet) => packet.toString('latin1').slice(0, 300)), ending];
}
