/**
 * A client that means harm, speaking the protocol by hand: statements hidden where the server finds
 * them and a proxy may not look, and handles of ours that it never got. Whatever it sends, no base
 * table is destroyed.
 */
import { once } from 'node:events';
import net from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { CLIENT_QUERY_ATTRIBUTES } from '../../src/wire/capabilities.js';
import { encodePacket } from '../../src/wire/framing.js';
import { onServer, onServers } from '../support/on-servers.js';
import { query, type Target, testServer } from '../support/servers.js';
import { Peer } from '../support/session-bench.js';

/** LONG_PASSWORD, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, MULTI_RESULTS, PLUGIN_AUTH. */
const FLAGS = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x20000 | 0x80000;
const COM_QUERY = 0x03;
const COM_STMT_EXECUTE = 0x17;
/** "The statement that was prepared last", on MariaDB. */
const LAST_PREPARED = 0xffffffff;

/** Logs in without a password. */
async function logIn(target: Target, moreFlags = 0): Promise<Peer> {
  const socket = net.connect(target.port, target.host);
  await once(socket, 'connect');
  const peer = new Peer(socket);
  const greeting = (await peer.packet()).toString('latin1');
  const head = Buffer.alloc(32);
  head.writeUInt32LE((FLAGS | moreFlags) >>> 0, 0);
  head.writeUInt32LE(1 << 24, 4);
  head[8] = 45;
  const plugin = greeting.split('\0').at(-2) ?? '';
  peer.send(encodePacket(Buffer.concat([head, Buffer.from(`root\0\0${plugin}\0`)]), 1));
  for (;;) {
    const packet = await peer.packet();
    if (packet[4] === 0x00) return peer;
    if (packet[4] === 0xff) throw new Error(packet.toString('latin1'));
    if (packet[4] === 0xfe) peer.send(encodePacket(Buffer.alloc(0), (packet[3] ?? 0) + 1));
  }
}

/** Sends one command; 0 for an OK, else the number of the error. */
async function answerTo(peer: Peer, payload: Buffer): Promise<number> {
  peer.send(encodePacket(payload, 0));
  const packet = await peer.packet();
  return packet[4] === 0xff ? packet.readUInt16LE(5) : 0;
}

function execute(statementId: number): Buffer {
  const payload = Buffer.alloc(10);
  payload[0] = COM_STMT_EXECUTE;
  payload.writeUInt32LE(statementId, 1);
  payload.writeUInt32LE(1, 6);
  return payload;
}

/** Under its own name or held: `live`, `held`, or `destroyed`. */
async function whereIs(server: Target, schema: string, table: string): Promise<string> {
  const [live] = await query<{ n: number }>(
    server,
    `SELECT COUNT(*) AS n FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = '${schema}' AND TABLE_NAME = '${table}'`,
  );
  if (Number(live?.n) === 1) return 'live';
  const rows = await query<{ id: string }>(
    server,
    `SELECT id FROM _undrop.ledger WHERE schema_name = '${schema}' AND table_name = '${table}'`,
  );
  const held = await query<{ name: string }>(
    server,
    "SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = '_undrop'",
  );
  return rows.some(({ id }) => held.some(({ name }) => name.includes(id))) ? 'held' : 'destroyed';
}

onServers('$name: behind a DROP that was refused', (server, on) => {
  const proxy = on.proxy();
  on.beforeAll(() => query(server, 'CREATE TABLE _undrop.kept (id INT) ENGINE=InnoDB'));
  on.afterAll(() => query(server, 'DROP TABLE _undrop.kept'));

  test('no handle is left with which its text could be executed', async () => {
    const peer = await logIn(proxy);
    const drop = Buffer.from('\x03DROP TABLE _undrop.kept');
    const count = async () => {
      const [row] = await query<{ Value: string }>(
        server,
        "SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'",
      );
      return Number(row?.Value);
    };
    const before = await count();
    for (let times = 0; times < 3; times++) expect(await answerTo(peer, drop)).toBe(1142);
    for (const id of [LAST_PREPARED, 1, 2, 3, 4]) await answerTo(peer, execute(id));
    expect(await whereIs(server, '_undrop', 'kept')).toBe('live');
    expect(await count()).toBe(before);
    peer.destroy();
  });
});

/**
 * Values of one attribute in which a DROP stands that the server runs, as it takes them for shorter
 * or longer than they look: a length in three bytes where a row has one, a length where a row has a
 * fixed size, a type of two bytes.
 */
const HIDDEN: readonly (readonly [string, number, (drop: string) => Buffer])[] = [
  ...[7, 10, 12].map(
    (type) =>
      [
        `a date of type ${type} with a long length`,
        type,
        (drop: string) => {
          const shown = `${drop} -- `.padEnd(252 - 6, 'x');
          return Buffer.concat([
            Buffer.from([0xfc, 4, 0, 1, 1, 1, 1]),
            Buffer.from(`${shown}DO 1`),
          ]);
        },
      ] as const,
  ),
  ...[6, 9, 13].map(
    (type) =>
      [
        `a value of type ${type} with a length`,
        type,
        (drop: string) => Buffer.concat([Buffer.from('#'.padEnd(36)), Buffer.from(drop)]),
      ] as const,
  ),
  [
    'a type of two bytes',
    0x0108,
    (drop) =>
      Buffer.concat([Buffer.from([35, ...Buffer.from('-- '.padEnd(35))]), Buffer.from(drop)]),
  ],
];

describe('mysql-9.7: in the query attributes', () => {
  const server = testServer('mysql-9.7');
  const on = onServer(server);
  const schema = on.schema();
  const proxy = on.proxy();

  test.each(HIDDEN)('%s hides no DROP (wire 4)', async (name, type, valueWith) => {
    const hidden = `hidden_${HIDDEN.findIndex(([one]) => one === name)}`;
    const table = `${schema.name}.${hidden}`;
    await query(server, `CREATE TABLE ${table} (id INT)`);
    const peer = await logIn(proxy, CLIENT_QUERY_ATTRIBUTES);
    const head = Buffer.from([COM_QUERY, 1, 1, 0, 1, type & 0xff, type >> 8, 1, 0x61]);
    await answerTo(peer, Buffer.concat([head, valueWith(`DROP TABLE ${table}`)]));
    expect(await whereIs(server, schema.name, hidden)).not.toBe('destroyed');
    peer.destroy();
  });
});
