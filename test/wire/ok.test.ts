/** OK packets of real servers. */
import * as caps from '../../src/wire/capabilities.js';
import { MalformedPacketError } from '../../src/wire/packet-reader.js';
import { decodeOk, okWithAffectedRows, trackedSchema } from '../../src/wire/response.js';
import { truncations } from '../support/chunks.js';
import { exchange, payloads } from '../support/conversation.js';

const SERVERS = ['mysql-9.7', 'mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'];

function onlyPacket(conversation: string, title: string): Buffer {
  const [first, ...more] = payloads(exchange(conversation, title));
  expect(more).toEqual([]);
  return first ?? Buffer.alloc(0);
}

describe.each(SERVERS)('of %s', (server) => {
  test('for two rows', () => {
    const ok = decodeOk(onlyPacket(`${server}/eof`, 'an OK with counts'));
    expect(ok).toMatchObject({ affectedRows: 2, warnings: 0 });
  });

  test('with a warning', () => {
    const ok = decodeOk(onlyPacket(`${server}/eof`, 'an OK with a warning'));
    expect(ok).toMatchObject({ affectedRows: 0, warnings: 1 });
  });

  test('in a transaction and behind it', () => {
    const inside = decodeOk(onlyPacket(`${server}/eof`, 'in a transaction'));
    const behind = decodeOk(onlyPacket(`${server}/eof`, 'out of it'));
    expect(inside.statusFlags & caps.SERVER_STATUS_IN_TRANS).toBe(caps.SERVER_STATUS_IN_TRANS);
    expect(behind.statusFlags & caps.SERVER_STATUS_IN_TRANS).toBe(0);
  });

  test('cut short before the warnings is malformed', () => {
    for (const cut of truncations(onlyPacket(`${server}/eof`, 'an OK'))) {
      if (cut.length < 7) expect(() => decodeOk(cut)).toThrow(MalformedPacketError);
      else expect(decodeOk(cut).affectedRows).toBe(0);
    }
  });
});

test('an OK in the shape of an EOF ends a result set of mysql-9.7', () => {
  const last = payloads(exchange('mysql-9.7/deprecate-eof', 'no rows')).at(-1) ?? Buffer.alloc(0);
  expect(last[0]).toBe(0xfe);
  expect(decodeOk(last)).toMatchObject({ affectedRows: 0, statusFlags: 2, warnings: 0 });
});

test('wide session tracking of mysql-9.7 stays with the payload', () => {
  const payload = onlyPacket('mysql-9.7/track', 'a wide OK');
  const ok = decodeOk(payload);
  expect(payload.length).toBeGreaterThan(100);
  expect(ok.payload).toBe(payload);
  expect(ok.statusFlags & 0x4000).toBe(0x4000);
});

test('the default schema is found among what session tracking reports', () => {
  const ok = (state: string) =>
    Buffer.concat([Buffer.from('00fc0102000240000003696e66', 'hex'), Buffer.from(state)]);
  const variable = '\x00\x0f\x0aautocommit\x03OFF';
  const schema = '\x01\x05\x04shop';
  expect(trackedSchema(ok(`\x07${schema}`))?.toString()).toBe('shop');
  expect(trackedSchema(ok(`\x18${variable}${schema}`))?.toString()).toBe('shop');
  expect(trackedSchema(ok(`\x11${variable}`))).toBeNull();
  expect(trackedSchema(onlyPacket('mysql-9.7/track', 'a wide OK'))).toBeNull();
  expect(trackedSchema(onlyPacket('mysql-9.7/track', 'another schema'))?.toString()).toBe('p');
  const whole = ok(`\x07${schema}`);
  for (const cut of truncations(whole)) {
    // Nothing is left of the list.
    if (cut.length === whole.length - 7) expect(trackedSchema(cut)).toBeNull();
    else expect(() => trackedSchema(cut)).toThrow(MalformedPacketError);
  }
});

test('a count of nine bytes moves the status along', () => {
  const payload = Buffer.from('00' + 'fe0000000001000000' + 'fd000001' + '2200' + '0300', 'hex');
  const expected = { affectedRows: 2 ** 32, statusFlags: 0x22, warnings: 3 };
  expect(decodeOk(payload)).toMatchObject(expected);
});

test.each([0, 1, 250, 251, 0xffff, 0x10000, 0xffffff, 0x1000000])(
  'with %s affected rows all else is as it was',
  (rows) => {
    const ok = decodeOk(Buffer.from([0, 7, 0, 2, 1, 3, 0, 0xaa, 0xbb]));
    const changed = decodeOk(okWithAffectedRows(ok, rows));
    expect([changed.affectedRows, changed.statusFlags, changed.warnings]).toEqual([rows, 258, 3]);
    expect(changed.payload.subarray(-2).equals(Buffer.from([0xaa, 0xbb]))).toBe(true);
  },
);
