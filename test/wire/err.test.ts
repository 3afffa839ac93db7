/** ERR packets: of real servers, before a greeting, and our own. */
import { MalformedPacketError } from '../../src/wire/packet-reader.js';
import { decodeErr, encodeErr } from '../../src/wire/response.js';
import { truncations } from '../support/chunks.js';
import { conversation, exchange, payloads } from '../support/conversation.js';

const SERVERS = ['mysql-9.7', 'mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'];

describe.each(SERVERS)('of %s', (server) => {
  test('has number, SQLSTATE and text', () => {
    const [payload = Buffer.alloc(0)] = payloads(exchange(`${server}/eof`, 'an ERR'));
    const error = decodeErr(payload);
    expect(error).toMatchObject({ kind: 'err', errno: 1146, sqlState: '42S02' });
    expect(error.message.toString()).toBe("Table 'p.missing' doesn't exist");
    expect(encodeErr(error).equals(payload)).toBe(true);
  });

  test('before the greeting has no SQLSTATE', () => {
    const [refused] = conversation(`${server}/too-many`).exchanges;
    const [payload = Buffer.alloc(0)] = refused === undefined ? [] : payloads(refused);
    const error = decodeErr(payload);
    expect(error).toMatchObject({ errno: 1040, sqlState: '' });
    expect(error.message.toString()).toBe('Too many connections');
    expect(encodeErr({ ...error, sqlState: null }).equals(payload)).toBe(true);
  });

  test('cut short before its number ends is malformed', () => {
    const [payload = Buffer.alloc(0)] = payloads(exchange(`${server}/eof`, 'an ERR'));
    for (const cut of truncations(payload)) {
      if (cut.length < 3) expect(() => decodeErr(cut)).toThrow(MalformedPacketError);
      else expect(decodeErr(cut).errno).toBe(1146);
    }
  });
});

test('a text in another character set is kept as bytes', () => {
  const message = Buffer.from('\0T\0a\0b', 'latin1');
  const error = decodeErr(encodeErr({ errno: 1064, sqlState: '42000', message }));
  expect(error.message.equals(message)).toBe(true);
});

test('what is no ERR is malformed', () =>
  expect(() => decodeErr(Buffer.from('000000', 'hex'))).toThrow(MalformedPacketError));
