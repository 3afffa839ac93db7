/** The server's greeting, of four real servers: read, and passed on with its capabilities cut. */
import * as caps from '../../../src/wire/capabilities.js';
import {
  decodeHandshakeV10,
  parseServerVersion,
  relayGreeting,
} from '../../../src/wire/connection/handshake-v10.js';
import { MalformedPacketError } from '../../../src/wire/packet-reader.js';
import { truncations } from '../../support/chunks.js';
import { exchange, payloads } from '../../support/conversation.js';

function greetingOf(server: string): Buffer {
  return payloads(exchange(`${server}/eof`, 'login'))[0] ?? Buffer.alloc(0);
}

const SERVERS = [
  { server: 'mysql-9.7', version: /^9\.7\.\d+/, mariadb: 0, deprecatesEof: true },
  { server: 'mysql-5.6', version: /^5\.6\.\d+-log$/, mariadb: 0, deprecatesEof: false },
  { server: 'mariadb-10.11', version: /^5\.5\.5-10\.11\./, mariadb: 0x1d, deprecatesEof: true },
  { server: 'mariadb-11.8', version: /^11\.8\.\d+-MariaDB/, mariadb: 0x3d, deprecatesEof: true },
] as const;

describe.each(SERVERS)('the greeting of $server', ({ server, version, mariadb, deprecatesEof }) => {
  const payload = greetingOf(server);
  const greeting = decodeHandshakeV10(payload);

  test('is read', () => {
    expect(greeting.serverVersion).toMatch(version);
    const { flavour, versionId } = parseServerVersion(greeting.serverVersion);
    const series = `${Math.floor(versionId / 10_000)}.${Math.floor(versionId / 100) % 100}`;
    expect(`${flavour}-${series}`).toBe(server);
    expect(greeting.threadId).toBeGreaterThan(0);
    expect(greeting.threadId).toBeLessThan(1_000);
    expect(caps.hasFlag(greeting.capabilities, caps.CLIENT_PLUGIN_AUTH)).toBe(true);
    expect(caps.hasFlag(greeting.capabilities, caps.CLIENT_DEPRECATE_EOF)).toBe(deprecatesEof);
    expect(greeting.capabilities.mariadb & 0x1d).toBe(mariadb & 0x1d);
  });

  test('goes on with nothing changed but its capability words', () => {
    const relayed = relayGreeting(payload, greeting);
    const words = new Set([
      ...[0, 1].flatMap((byte) => [greeting.lowOffset + byte, greeting.highOffset + byte]),
      ...[0, 1, 2, 3].map((byte) => greeting.mariadbOffset + byte),
    ]);
    const changed = [...payload.keys()].filter((at) => payload[at] !== relayed[at]);
    expect(relayed).toHaveLength(payload.length);
    expect(changed.filter((at) => !words.has(at))).toEqual([]);
    expect(changed.length).toBeGreaterThan(0);
    const after = decodeHandshakeV10(relayed);
    expect(caps.hasFlag(after.capabilities, caps.CLIENT_SSL)).toBe(false);
    expect(after.capabilities.mariadb & ~0x3d).toBe(0);
    expect(after.threadId).toBe(greeting.threadId);
  });

  test('is not changed where it lies', () => expect(payload.equals(greetingOf(server))).toBe(true));

  test('cut short anywhere before its capabilities end is malformed', () => {
    const { challenge: _behindThem, ...rest } = greeting;
    const needed = greeting.mariadbOffset + 4;
    for (const cut of truncations(payload)) {
      if (cut.length >= needed) expect(decodeHandshakeV10(cut)).toMatchObject(rest);
      else expect(() => decodeHandshakeV10(cut)).toThrow(MalformedPacketError);
    }
  });
});

test('MySQL’s zeros behind the capabilities are no word of MariaDB’s, whatever they are', () => {
  const payload = Buffer.from(greetingOf('mysql-9.7'));
  payload.writeUInt32LE(0xffffffff, decodeHandshakeV10(payload).mariadbOffset);
  expect(decodeHandshakeV10(payload).capabilities.mariadb).toBe(0);
});

test('a greeting of another protocol version is malformed', () => {
  const payload = Buffer.from(greetingOf('mysql-9.7'));
  payload[0] = 9;
  expect(() => decodeHandshakeV10(payload)).toThrow(
    'HandshakeV10: protocol_version is 9, expected 10.',
  );
});

test('a server without CLIENT_PROTOCOL_41 is refused', () => {
  const payload = Buffer.from(greetingOf('mysql-5.6'));
  const { lowOffset } = decodeHandshakeV10(payload);
  payload.writeUInt16LE(payload.readUInt16LE(lowOffset) & ~0x200, lowOffset);
  expect(() => decodeHandshakeV10(payload)).toThrow(/does not offer CLIENT_PROTOCOL_41/);
});

test.each([
  ['9.7.4', 'mysql', 90704],
  ['8.0.23-0ubuntu0.20.04.1', 'mysql', 80023],
  ['5.6.24-log', 'mysql', 50624],
  ['5.5.5-10.11.19-MariaDB-log', 'mariadb', 101119],
  ['5.5.5-10.0.38-MariaDB', 'mariadb', 100038],
  ['11.8.9-MariaDB-ubu2404', 'mariadb', 110809],
  ['5.5.68-MariaDB', 'mariadb', 50568],
  ['8.0.35-27 Percona', 'mysql', 80035],
  ['nothing of the kind', 'mysql', 0],
  ['', 'mysql', 0],
] as const)('the version %j is %s %d', (text, flavour, versionId) =>
  expect(parseServerVersion(text)).toEqual({ flavour, versionId }),
);
