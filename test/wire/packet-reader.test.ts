/** The one bounded reader: each basic type, and what it says of bytes that are too short. */
import { MalformedPacketError, PacketReader } from '../../src/wire/packet-reader.js';
import fc from '../support/properties.js';

function reader(hex: string): PacketReader {
  return new PacketReader(Buffer.from(hex, 'hex'), 'Test_Packet');
}

describe('fixed integers', () => {
  test('are little-endian', () => {
    const bytes = reader('01' + '0201' + '04030201' + 'ff');
    expect(bytes.int(1, 'a')).toBe(0x01);
    expect(bytes.int(2, 'b')).toBe(0x0102);
    expect(bytes.int(4, 'c')).toBe(0x01020304);
    expect(bytes.offset).toBe(7);
    expect(bytes.left).toBe(1);
  });

  test('of 32 bits have no sign', () => expect(reader('ffffffff').int(4, 'a')).toBe(0xffffffff));
});

describe('an int<lenenc>', () => {
  test.each([
    ['00', 0],
    ['fa', 250],
    ['fc0000', 0],
    ['fcfb00', 251],
    ['fcffff', 65_535],
    ['fdffffff', 16_777_215],
    ['fe0000000100000000', 16_777_216],
    ['feffffffffffff1f00', Number.MAX_SAFE_INTEGER],
  ])('%s is %d', (hex, value) => {
    const bytes = reader(hex);
    expect(bytes.lenencInt('n')).toBe(value);
    expect(bytes.left).toBe(0);
  });

  test.each([
    ['fb', 'NULL is no length'],
    ['ff', 'the first byte of an ERR is no length'],
    ['fe00000000000020 00'.replace(' ', ''), 'beyond 2^53'],
    ['feffffffffffffffff', 'beyond 2^53'],
    ['fc00', 'short'],
    ['fd0000', 'short'],
    ['fe00000000000000', 'short'],
    ['', 'empty'],
  ])('%s is malformed: %s', (hex) =>
    expect(() => reader(hex).lenencInt('n')).toThrow(MalformedPacketError),
  );
});

describe('strings', () => {
  test('end at their NUL, which is passed over', () => {
    const bytes = reader('6162006300');
    expect(bytes.nulBytes('a').toString()).toBe('ab');
    expect(bytes.nulBytes('b').toString()).toBe('c');
    expect(bytes.left).toBe(0);
  });

  test('without their NUL are malformed', () =>
    expect(() => reader('6162').nulBytes('a')).toThrow('a at offset 0: no terminating NUL'));

  test('of a length that goes past the payload are malformed', () =>
    expect(() => reader('036162').lenencBytes('a')).toThrow(
      'Test_Packet: a at offset 1: wanted 3 bytes, 2 left.',
    ));

  test('of an enormous length are malformed before anything is allocated', () =>
    expect(() => reader('feffffffffff1f0000').lenencBytes('a')).toThrow(MalformedPacketError));

  test('may be NULL in a row', () => {
    const bytes = reader('fb0161');
    expect(bytes.lenencBytesOrNull('a')).toBeNull();
    expect(bytes.lenencBytesOrNull('b')?.toString()).toBe('a');
  });

  test('reach to the end', () => {
    const bytes = reader('6162');
    bytes.int(1, 'a');
    expect(bytes.rest().toString()).toBe('b');
    expect(bytes.rest()).toHaveLength(0);
  });
});

test('whatever is read in whatever order, nothing is read past the end', () => {
  const reads = fc.array(
    fc.constantFrom<(one: PacketReader) => unknown>(
      (one) => one.int(1, 'x'),
      (one) => one.int(2, 'x'),
      (one) => one.int(4, 'x'),
      (one) => one.lenencInt('x'),
      (one) => one.lenencBytes('x'),
      (one) => one.nulBytes('x'),
      (one) => one.rest(),
    ),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), reads, (bytes, all) => {
      const one = new PacketReader(Buffer.from(bytes), 'Any');
      try {
        for (const read of all) read(one);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedPacketError);
      }
      expect(one.left).toBeGreaterThanOrEqual(0);
      expect(one.offset + one.left).toBe(bytes.length);
    }),
  );
});
