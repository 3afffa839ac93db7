/** Framing: packets of every length, in chunks of every length. */
import { UndropError } from '../../src/errors.js';
import {
  encodePacket,
  HEADER_BYTES,
  PAYLOAD_BYTES_MAX,
  type Packet,
  PacketAssembler,
} from '../../src/wire/framing.js';
import { chunkSizes, cut, everySplit, lend, singleBytes } from '../support/chunks.js';
import { conversations } from '../support/conversation.js';
import fc from '../support/properties.js';

const PLENTY = 64 * 1024 * 1024;

function assemble(chunks: readonly Buffer[], payloadBytesMax = PLENTY): Packet[] {
  const assembler = new PacketAssembler(payloadBytesMax);
  const packets: Packet[] = [];
  for (const chunk of chunks) {
    lend(chunk, (memory) => assembler.push(memory));
    for (let next = assembler.next(); next !== null; next = assembler.next()) packets.push(next);
  }
  expect(assembler.length).toBe(0);
  return packets;
}

describe('a packet', () => {
  test('is a length of three bytes, a sequence id and the payload', () => {
    expect(encodePacket(Buffer.from('abc'), 7).toString('hex')).toBe('03000007616263');
    expect(encodePacket(Buffer.alloc(0), 0).toString('hex')).toBe('00000000');
  });

  test('at every split comes out as one', () => {
    const packets = [Buffer.from('hello'), Buffer.alloc(0), Buffer.from([0xff])];
    const framed = Buffer.concat(packets.map((payload, index) => encodePacket(payload, index)));
    for (const chunks of everySplit(framed)) {
      expect(chunks.every(({ length }) => length > 0)).toBe(true);
      expect(assemble(chunks).map(({ payload }) => payload)).toEqual(packets);
    }
    expect(assemble(singleBytes(framed)).map(({ sequenceId }) => sequenceId)).toEqual([0, 1, 2]);
  });

  test('of real servers comes out as it was written down', () => {
    for (const { exchanges } of conversations()) {
      for (const { answer, spoken } of exchanges) {
        const packets = assemble(cut(answer, [3, 1, 100]));
        const framed = packets.map(({ payload, sequenceId }) => encodePacket(payload, sequenceId));
        expect(framed).toEqual(
          spoken.filter(({ by }) => by === 'server').map(({ packet }) => packet),
        );
      }
    }
  });

  test('of any payloads in any chunks comes out unchanged', () => {
    const anyPackets = fc.array(fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.nat(255)));
    fc.assert(
      fc.property(anyPackets, chunkSizes, (packets, sizes) => {
        const framed = Buffer.concat(packets.map(([bytes, id]) => encodePacket(bytes, id)));
        const found = assemble(cut(framed, sizes));
        expect(found.map(({ payload }) => [...payload])).toEqual(packets.map(([p]) => [...p]));
        expect(found.map(({ sequenceId }) => sequenceId)).toEqual(packets.map(([, id]) => id));
      }),
    );
  });
});

describe('a payload of 16 MiB', () => {
  const last = (size: number) => {
    const payload = Buffer.alloc(size, 0x61);
    payload[size - 1] = 0x7a;
    return payload;
  };

  test.each([
    ['one byte below the limit is one packet', PAYLOAD_BYTES_MAX - 1, 1],
    ['at the limit has an empty continuation', PAYLOAD_BYTES_MAX, 2],
    ['one byte above it has a continuation of one byte', PAYLOAD_BYTES_MAX + 1, 2],
    ['twice the limit has two continuations', 2 * PAYLOAD_BYTES_MAX, 3],
  ])('%s', (_name, size, parts) => {
    const payload = last(size);
    const framed = encodePacket(payload, 254);
    expect(framed).toHaveLength(size + parts * HEADER_BYTES);
    const packets = assemble(cut(framed, [70_000, 1, 3]));
    expect(packets).toHaveLength(1);
    expect(packets[0]?.payload.equals(payload)).toBe(true);
    expect(packets[0]?.sequenceId).toBe((254 + parts - 1) & 0xff);
  });

  test('is followed by the next packet', () => {
    const long = encodePacket(last(PAYLOAD_BYTES_MAX), 0);
    const framed = Buffer.concat([long, encodePacket(last(3), 2)]);
    const lengths = assemble([framed]).map(({ payload }) => payload.length);
    expect(lengths).toEqual([PAYLOAD_BYTES_MAX, 3]);
  });

  test('is complete with the header of its empty continuation, not before (wire 44)', () => {
    const assembler = new PacketAssembler(PLENTY);
    const framed = encodePacket(last(PAYLOAD_BYTES_MAX), 0);
    for (const chunk of [framed.subarray(0, -4), ...singleBytes(framed.subarray(-4, -1))]) {
      assembler.push(chunk);
      expect(assembler.next()).toBeNull();
    }
    assembler.push(framed.subarray(-1));
    expect(assembler.next()?.payload).toHaveLength(PAYLOAD_BYTES_MAX);
  });
});

describe('the bound', () => {
  test('is met by the header alone, before the payload comes', () => {
    const assembler = new PacketAssembler(100);
    assembler.push(Buffer.from('64000000', 'hex'));
    expect(assembler.next()).toBeNull();
    const other = new PacketAssembler(100);
    other.push(Buffer.from('65000000', 'hex'));
    expect(() => other.next()).toThrow(UndropError);
    expect(() => other.next()).toThrow(/^Got a packet of 101 bytes, expected at most 100/);
  });

  test('counts the parts of a long packet together', () => {
    const assembler = new PacketAssembler(PAYLOAD_BYTES_MAX + 10);
    assembler.push(encodePacket(Buffer.alloc(PAYLOAD_BYTES_MAX + 11), 0).subarray(0, -11));
    expect(() => assembler.next()).toThrow(UndropError);
  });
});

test('what was pushed and not returned is handed back, and the assembler is empty', () => {
  const assembler = new PacketAssembler(PLENTY);
  assembler.push(Buffer.from('0100000061' + '0500', 'hex'));
  expect(assembler.next()?.payload.toString()).toBe('a');
  assembler.push(Buffer.from('00', 'hex'));
  expect(assembler.take().toString('hex')).toBe('050000');
  expect(assembler.length).toBe(0);
  expect(assembler.next()).toBeNull();
  assembler.push(encodePacket(Buffer.from('b'), 0));
  expect(assembler.next()?.payload.toString()).toBe('b');
});
