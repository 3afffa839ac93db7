/** The client's answer to the greeting: what is read of it, and what is passed on. */
import * as caps from '../../../src/wire/capabilities.js';
import * as responses from '../../../src/wire/connection/handshake-response41.js';
import { MalformedPacketError } from '../../../src/wire/packet-reader.js';
import { truncations } from '../../support/chunks.js';
import { conversations, payload } from '../../support/conversation.js';

const BASE = caps.CLIENT_LONG_PASSWORD | caps.CLIENT_PROTOCOL_41;
const SECURE = BASE | caps.CLIENT_SECURE_CONNECTION;
const SCHEMA = caps.CLIENT_CONNECT_WITH_DB;

function head(flags: number, mariadb = 0): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32LE(flags >>> 0, 0);
  bytes.writeUInt32LE(0x1000000, 4);
  bytes[8] = 45;
  bytes.writeUInt32LE(mariadb, 28);
  return bytes;
}

function response(flags: number, ...parts: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat([head(flags), ...parts.map((part) => Buffer.from(part as string))]);
}

const SECRET = '\x01\x02\x03';
const LENGTH = Buffer.from('fc0300', 'hex');
const LENENC = SECURE | caps.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA | SCHEMA;

test.each([
  ['behind a length of one byte', response(SECURE | SCHEMA, 'me\0', `\x03${SECRET}`, 'shop\0')],
  ['behind a lenenc length', response(LENENC, 'me\0', LENGTH, SECRET, 'shop\0')],
  ['before a NUL', response(BASE | SCHEMA, 'me\0', `${SECRET}\0`, 'shop\0')],
])('the answer to the scramble may stand %s', (_name, bytes) => {
  const decoded = responses.decodeHandshakeResponse41(bytes);
  expect(decoded.user).toBe('me');
  expect(decoded.schema?.toString()).toBe('shop');
});

test('a client that names a schema by its flag alone has none', () => {
  const bytes = response(SECURE | SCHEMA, 'me\0', '\0');
  expect(responses.decodeHandshakeResponse41(bytes).schema).toBeNull();
});

test('a schema in another character set is kept as bytes', () => {
  const name = Buffer.from([0xd6, 0xd0]);
  const bytes = response(BASE | SCHEMA, 'me\0', '\0', name, '\0');
  expect(responses.decodeHandshakeResponse41(bytes).schema).toEqual(name);
});

test('MariaDB’s word counts only where bit 0 is clear', () => {
  const mysql = Buffer.concat([head(BASE, 0xffff), Buffer.from('me\0\0')]);
  const mariadb = Buffer.concat([head(caps.CLIENT_PROTOCOL_41, 0xffff), Buffer.from('me\0\0')]);
  expect(responses.decodeHandshakeResponse41(mysql).capabilities.mariadb).toBe(0);
  expect(responses.decodeHandshakeResponse41(mariadb).capabilities.mariadb).toBe(0xffff);
});

describe('passed on', () => {
  test('it has lost what was not offered, and nothing else', () => {
    const flags = BASE | caps.CLIENT_COMPRESS | caps.CLIENT_SSL | caps.CLIENT_CONNECT_ATTRS;
    const bytes = Buffer.concat([head(flags), Buffer.from('me\0secret\0attributes')]);
    const relayed = responses.relayResponse(bytes, responses.decodeHandshakeResponse41(bytes));
    expect(relayed.readUInt32LE(0)).toBe(BASE | caps.CLIENT_CONNECT_ATTRS);
    expect(relayed.subarray(4).equals(bytes.subarray(4))).toBe(true);
    expect(bytes.readUInt32LE(0)).toBe(flags);
  });

  test('it has lost COM_MULTI of MariaDB', () => {
    const bytes = Buffer.concat([head(caps.CLIENT_PROTOCOL_41, 0xff), Buffer.from('me\0\0')]);
    const relayed = responses.relayResponse(bytes, responses.decodeHandshakeResponse41(bytes));
    expect(relayed.readUInt32LE(28)).toBe(0x3d);
  });

  test('MySQL’s reserved bytes stay as the client sent them', () => {
    const bytes = Buffer.concat([head(BASE, 0xff), Buffer.from('me\0\0')]);
    const relayed = responses.relayResponse(bytes, responses.decodeHandshakeResponse41(bytes));
    expect(relayed.equals(bytes)).toBe(true);
  });
});

describe('of a client that', () => {
  test('goes on in TLS it is an SSLRequest of 32 bytes', () => {
    expect(responses.isSslRequest(head(BASE | caps.CLIENT_SSL))).toBe(true);
    expect(responses.isSslRequest(head(BASE))).toBe(false);
    expect(responses.isSslRequest(response(BASE | caps.CLIENT_SSL, 'me\0\0'))).toBe(false);
  });

  test('is older than 4.1 it is refused, whatever its length', () => {
    expect(responses.isProtocol41(head(BASE))).toBe(true);
    expect(responses.isProtocol41(head(caps.CLIENT_LONG_PASSWORD))).toBe(false);
    for (const cut of truncations(head(BASE))) expect(responses.isProtocol41(cut)).toBe(false);
  });
});

test('those that real servers took are read; cut short they are malformed or a shorter one', () => {
  const taken = conversations().flatMap(({ login }) => {
    const [, spoken] = login?.spoken ?? [];
    return spoken === undefined ? [] : [payload(spoken.packet)];
  });
  expect(taken.length).toBeGreaterThan(30);
  for (const bytes of taken) {
    expect(['root', 'pass']).toContain(responses.decodeHandshakeResponse41(bytes).user);
    for (const cut of truncations(bytes)) {
      try {
        expect(responses.decodeHandshakeResponse41(cut).user).toMatch(/^(root|pass)$/);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedPacketError);
      }
    }
  }
});

test('the response of nobody is one that servers can read', () => {
  const bytes = responses.anonymousResponse();
  expect(responses.isProtocol41(bytes)).toBe(true);
  expect(responses.isSslRequest(bytes)).toBe(false);
  const { user, schema, capabilities } = responses.decodeHandshakeResponse41(bytes);
  expect({ user, schema }).toEqual({ user: '', schema: null });
  expect(capabilities.flags & caps.CLIENT_PLUGIN_AUTH).not.toBe(0);
});
