/**
 * Sessions that were doing something else: reading the binary log, changing the user,
 * sending packets of 16 MiB or commands that nobody knows. What comes behind it is looked at, and
 * what was known of the session before it is forgotten where the server has forgotten it.
 */
import { createHash } from 'node:crypto';
import { heldRows } from '../support/client-held.js';
import { onServers, withPacketBytesMax } from '../support/on-servers.js';
import { CLIENT, frame } from '../support/raw-client.js';
import { freshSchema, query, type Target } from '../support/servers.js';
import { type Heard, type Utterance, WireTalk } from '../support/wire-talk.js';

const MIB = 1024 * 1024;
const NONCE = 'the_end_of_an_answer';
/** Of one packet. */
const PAYLOAD_BYTES_MAX = 0xffffff;
const COM = {
  ...{ INIT_DB: 0x02, QUERY: 0x03, DROP_DB: 0x06, CHANGE_USER: 0x11, BINLOG_DUMP: 0x12 },
  ...{ STMT_PREPARE: 0x16, STMT_EXECUTE: 0x17, RESET_CONNECTION: 0x1f },
};
/** One statement where backslashes escape, else two. */
const TWO_BY_MODE = "SELECT '\\'; DROP TABLE t; -- '";
/** As well, and harmless: whoever looks at it has to know how the session reads it. */
const ASKING = "SELECT '\\'; drop -- '";

function command(byte: number, rest: string | Uint8Array = ''): Buffer {
  return frame(Buffer.concat([Buffer.from([byte]), Buffer.from(rest as string)]), 0);
}

const text = (sql: string): Utterance => ({ bytes: command(COM.QUERY, sql) });

/** The first bytes of the packets' payloads, without the marker. */
function kinds({ packets }: Heard): readonly (number | undefined)[] {
  return packets.slice(0, -1).map((packet) => packet[4]);
}

/** Number of the error that the answer begins with; 0 for none. */
function errnoOf({ packets: [first] }: Heard): number {
  return first?.[4] === 0xff ? first.readUInt16LE(5) : 0;
}

onServers('states of a session on $name', (server, on) => {
  const { beforeEach, test } = on;
  let schema = '';
  withPacketBytesMax(server, on, 64 * MIB);
  const proxy = on.proxy();
  beforeEach(async () => {
    schema = on.each.keep(await freshSchema(server, 'state')).name;
    await query(server, `CREATE TABLE ${schema}.t (a INT) ENGINE=InnoDB`);
  });

  async function open(target: Target = proxy): Promise<WireTalk> {
    const talk = await WireTalk.open(target, { user: 'root', flags: CLIENT.MULTI_STATEMENTS });
    await talk.say({ bytes: command(COM.INIT_DB, schema) }, NONCE);
    return talk;
  }

  async function fateOf(): Promise<string> {
    const rows = await query(server, `SHOW TABLES FROM ${schema} LIKE 't'`);
    if (rows.length > 0) return 'live';
    return 't' in (await heldRows(server, schema)) ? 'held' : 'destroyed';
  }

  async function holdsBehind(talk: WireTalk): Promise<void> {
    expect(await fateOf()).toBe('live');
    expect(kinds(await talk.say(text(`DROP TABLE ${schema}.t`), NONCE))).toEqual([0]);
    expect(await fateOf()).toBe('held');
    talk.destroy();
  }

  test('a DROP behind the end of the binary log is taken out as ever (wire 14)', async () => {
    // A new one, because that of the whole run is long.
    await query(server, 'FLUSH BINARY LOGS');
    const logs = await query<{ Log_name: string }>(server, 'SHOW BINARY LOGS');
    const head = Buffer.alloc(10);
    head.writeUInt32LE(4, 0);
    // BINLOG_DUMP_NON_BLOCK: an EOF at the end, where others wait for more.
    head.writeUInt16LE(1, 4);
    head.writeUInt32LE(4711, 6);
    const file = Buffer.from(logs.at(-1)?.Log_name ?? '');
    const dump = command(COM.BINLOG_DUMP, Buffer.concat([head, file]));
    const behind = Buffer.concat([dump, command(COM.QUERY, `DROP TABLE ${schema}.t`)]);
    for (const target of [proxy, server]) {
      const say = async (bytes: Buffer) => {
        const talk = await open(target);
        await talk.say(text("SET @master_binlog_checksum = 'NONE'"), NONCE);
        await talk.say(text("SET @source_binlog_checksum = 'NONE'"), NONCE);
        return talk.say({ bytes, isLast: true }, NONCE);
      };
      const { packets, ending } = await say(dump);
      expect([ending, packets[0]?.[4], packets.at(-1)?.[4]]).toEqual(['closed', 0x00, 0xfe]);
      // The server hangs up by itself, with what it hasn't read: even its last words may be lost.
      expect([(await say(behind)).ending, await fateOf()]).toEqual(['closed', 'live']);
    }
  });

  test('commands that nobody knows are refused, whatever is in them (wire 15)', async () => {
    const talk = await open();
    const unknown = [0x0b, 0x0f, 0x10, 0x13, 0x14, 0x1d, 0x20, 0x21, 0x22, 0x7f, 0xf9, 0xfe, 0xff];
    const inside = Buffer.from(`\x03DROP TABLE ${schema}.t`);
    for (const byte of unknown) {
      // As COM_MULTI has it: a length before each command.
      const rest = Buffer.concat([Buffer.from([inside.length]), inside]);
      expect([byte, errnoOf(await talk.say({ bytes: command(byte, rest) }, NONCE))]).toEqual([
        byte,
        1047,
      ]);
    }
    const asSchema = await talk.say({ bytes: command(COM.DROP_DB, schema) }, NONCE);
    expect(errnoOf(asSchema)).toBe(1047);
    await holdsBehind(talk);
  });

  test('a packet of exactly 16 MiB has an empty one behind it, both ways (wire 44)', async () => {
    const before = "SELECT LENGTH('";
    const middle = 'x'.repeat(PAYLOAD_BYTES_MAX - before.length - 3);
    const full = command(COM.QUERY, `${before}${middle}')`);
    const asked = Buffer.concat([full, frame(Buffer.alloc(0), 1)]);
    const said = await Promise.all(
      [server, proxy].map(async (target) => {
        const talk = await open(target);
        const there = await talk.say({ bytes: asked }, NONCE);
        const back = await talk.say(text(`SELECT REPEAT('x', ${PAYLOAD_BYTES_MAX - 4})`), NONCE);
        talk.destroy();
        const sizes = back.packets.map(({ length }) => length - 4);
        const hash = createHash('sha256');
        for (const packet of [...there.packets, ...back.packets]) hash.update(packet);
        return { sizes, hash: hash.digest('hex') };
      }),
    );
    const [direct, through] = said;
    expect(direct?.sizes).toContain(PAYLOAD_BYTES_MAX);
    expect(through).toEqual(direct);
  });

  /** Whatever plugin the server asks for, no password is an empty packet. */
  const changeUser: Utterance = {
    bytes: Buffer.alloc(0),
    replier: () => (packet) => {
      if (packet[4] !== 0xfe) return { bytes: Buffer.alloc(0) };
      return { bytes: frame(Buffer.alloc(0), (packet[3] ?? 0) + 1), more: true };
    },
  };

  async function remembers(talk: WireTalk): Promise<number> {
    await talk.say(text("SET sql_mode = 'NO_BACKSLASH_ESCAPES'"), NONCE);
    expect(kinds(await talk.say(text(ASKING), NONCE)).length).toBeGreaterThan(1);
    const { packets } = await talk.say(
      { bytes: command(COM.STMT_PREPARE, `DROP TABLE ${schema}.t`) },
      NONCE,
    );
    return packets[0]?.readUInt32LE(5) ?? 0;
  }

  async function hasForgotten(talk: WireTalk, id: number): Promise<void> {
    const two = await talk.say(text(TWO_BY_MODE), NONCE);
    expect([errnoOf(two), kinds(two)[0]]).toEqual([0, 1]);
    const execute = Buffer.alloc(9);
    execute.writeUInt32LE(id, 0);
    execute.writeUInt32LE(1, 5);
    const executed = await talk.say({ bytes: command(COM.STMT_EXECUTE, execute) }, NONCE);
    expect(errnoOf(executed)).toBe(1243);
    await holdsBehind(talk);
  }

  test('behind a change of user nothing is known of the session before (wire 26)', async () => {
    const talk = await open();
    const id = await remembers(talk);
    const rest = `root\0\0${schema}\0\x2d\0${talk.plugin}\0`;
    const bytes = command(COM.CHANGE_USER, Buffer.from(rest, 'latin1'));
    const changed = await talk.say({ ...changeUser, bytes }, NONCE);
    expect(kinds(changed).at(-1)).toBe(0x00);
    await hasForgotten(talk, id);
  });

  test('nor behind a reset of the connection, where the server has it (wire 27)', async () => {
    const talk = await open();
    const id = await remembers(talk);
    const reset = await talk.say({ bytes: command(COM.RESET_CONNECTION) }, NONCE);
    // Of MySQL 5.6 it is unknown.
    if (server.name === 'mysql-5.6') return expect(errnoOf(reset)).toBe(1047);
    expect(kinds(reset)).toEqual([0x00]);
    await hasForgotten(talk, id);
  });
});
