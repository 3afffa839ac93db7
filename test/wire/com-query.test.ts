/**
 * Where the text of a COM_QUERY starts: with query attributes of every type, and malformed ones.
 */
import * as caps from '../../src/wire/capabilities.js';
import * as com from '../../src/wire/commands.js';
import { MalformedPacketError } from '../../src/wire/packet-reader.js';
import { truncations } from '../support/chunks.js';
import { conversation, payload } from '../support/conversation.js';
import fc from '../support/properties.js';

const PLAIN = { flags: 0, mariadb: 0 };
const ATTRIBUTES = { flags: caps.CLIENT_QUERY_ATTRIBUTES, mariadb: 0 };

function textOf(bytes: Buffer): string {
  return bytes.subarray(com.queryTextOffset(bytes, ATTRIBUTES)).toString();
}

/**
 * Types by their numbers in the manual, each with a value as the server skips it; for NULL, INT24
 * and YEAR that isn't as they stand in a binary row (test/server/hidden-drops.test.ts).
 */
const VALUES = [
  ...['0 DECIMAL 03312e35', '1 TINY 07', '2 SHORT 0700', '3 LONG 07000000', '4 FLOAT 0000803f'],
  ...['5 DOUBLE 000000000000f03f', '6 NULL 0131', '7 TIMESTAMP 04ea070301', '9 INT24 0407000000'],
  ...['8 LONGLONG 0807060504030201', '10 DATE 04ea070301', '11 TIME 0c000000000001020304050607'],
  ...['12 DATETIME 0bea0703010c000001000000', '13 YEAR 02ea07', '15 VARCHAR 026162', '16 BIT 0101'],
  ...['245 JSON 027b7d', '246 NEWDECIMAL 03312e35', '252 BLOB fc0200ffff', '253 VAR_STRING 00'],
  ...['254 STRING 0131', '255 GEOMETRY 0100'],
].map((row) => {
  const [type, name, value = ''] = row.split(' ');
  return { type: Number(type), name, value };
});

/** The value in hex, or null. */
type Attribute = { readonly type: number; readonly value: string | null };

function withAttributes(attributes: readonly Attribute[], text: string): Buffer {
  const nulls = Buffer.alloc(Math.floor((attributes.length + 7) / 8));
  for (const [index, { value }] of attributes.entries()) {
    if (value === null) nulls[index >> 3] = (nulls[index >> 3] ?? 0) | (1 << (index & 7));
  }
  const types = attributes.flatMap(({ type }) => [type, 0x80, 1, 0x61]);
  const values = attributes.map(({ value }) => value ?? '').join('');
  return Buffer.concat([
    Buffer.from([3, attributes.length, 1, ...nulls, 1, ...types]),
    Buffer.from(values, 'hex'),
    Buffer.from(text),
  ]);
}

test('without the capability the text starts behind the command byte (wire 4)', () =>
  expect(com.queryTextOffset(Buffer.from('\x03\x00\x01DROP'), PLAIN)).toBe(1));

test('without attributes it starts behind the two counts, as the mysql client sends it', () =>
  expect(textOf(Buffer.from('\x03\x00\x01DROP TABLE t'))).toBe('DROP TABLE t'));

describe('behind an attribute (wire 4)', () => {
  test.each(VALUES)('of type $name, also NULL', ({ type, value: given }) => {
    for (const value of [given, null]) {
      expect(textOf(withAttributes([{ type, value }], 'DROP'))).toBe('DROP');
    }
  });

  test('or any number of them', () => {
    const attribute = fc.constantFrom<Attribute>(...VALUES, { type: 3, value: null });
    fc.assert(
      fc.property(fc.array(attribute, { minLength: 1, maxLength: 60 }), (attributes) =>
        expect(textOf(withAttributes(attributes, 'DROP TABLE t'))).toBe('DROP TABLE t'),
      ),
    );
  });

  test('the text starts where mysql-9.7 has found it (wire 4)', () => {
    const { exchanges, agreed } = conversation('mysql-9.7/attributes');
    expect(exchanges.length).toBeGreaterThan(6);
    for (const { spoken } of exchanges) {
      const bytes = payload(spoken[0]?.packet ?? Buffer.alloc(0));
      expect(bytes.subarray(com.queryTextOffset(bytes, agreed)).toString()).toBe('SELECT 1');
    }
  });
});

describe('malformed', () => {
  test.each([
    ['no parameter set', '030000'],
    ['two parameter sets', '030002'],
    ['no types bound', '030101' + '00' + '00' + 'fe000161' + '0131'],
    ['types bound twice', '030101' + '00' + '02' + 'fe000161' + '0131'],
    ['a type of more than a byte', '030101' + '00' + '01' + '08010161' + '0807060504030201'],
    ['an unknown type', '030101' + '00' + '01' + '63000161' + '0131'],
    ['more parameters than a server takes', '03fd00000101' + '00'],
    ['a count that is NULL', '03fb01'],
    ['a value longer than the packet', '030101' + '00' + '01' + 'fe000161' + 'fcffff31'],
    ['a name longer than the packet', '030101' + '00' + '01' + 'fe00fcffff61'],
  ])('%s', (_name, hex) =>
    expect(() => com.queryTextOffset(Buffer.from(hex, 'hex'), ATTRIBUTES)).toThrow(
      MalformedPacketError,
    ),
  );

  test('is every packet that ends within its attributes (wire 4)', () => {
    const bytes = withAttributes(VALUES, '');
    expect(com.queryTextOffset(bytes, ATTRIBUTES)).toBe(bytes.length);
    for (const cut of truncations(bytes)) {
      expect(() => com.queryTextOffset(cut, ATTRIBUTES)).toThrow(MalformedPacketError);
    }
  });

  test('nothing is read past the end, whatever comes', () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const packet = Buffer.from([3, ...bytes]);
        try {
          expect(com.queryTextOffset(packet, ATTRIBUTES)).toBeLessThanOrEqual(packet.length);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedPacketError);
        }
      }),
    ));
});

test('the text of ours is found again by the same rule', () => {
  for (const capabilities of [PLAIN, ATTRIBUTES]) {
    const bytes = com.encodeComQuery(Buffer.from('SELECT 1'), capabilities);
    expect(bytes[0]).toBe(3);
    expect(bytes.subarray(com.queryTextOffset(bytes, capabilities)).toString()).toBe('SELECT 1');
  }
});
