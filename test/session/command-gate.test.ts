/**
 * The gate: whatever isn't ours comes out as it went in, however it was cut; what is ours is taken
 * whole, and what comes behind it is given back.
 */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { UndropError } from '../../src/errors.js';
import { CommandGate, STATEMENT_BYTES_MAX } from '../../src/session/command-gate.js';
import * as com from '../../src/wire/commands.js';
import { encodePacket, PAYLOAD_BYTES_MAX, type Packet } from '../../src/wire/framing.js';
import { chunkSizes, cut, everySplit, lend, singleBytes } from '../support/chunks.js';

const OURS = 'DROP TABLE ours';

/** What came of a stream: bytes that went on, a `|` where one was taken, and what was taken. */
interface Outcome {
  readonly forwarded: Buffer;
  readonly taken: readonly string[];
  readonly commands: readonly number[];
  readonly schemas: readonly string[];
  readonly shown: readonly Packet[];
  readonly gate: CommandGate;
}

/** Feeds `chunks` as a session would: what is behind a taken packet comes again. */
function gated(chunks: readonly Buffer[]): Outcome {
  const forwarded: Buffer[] = [];
  const taken: string[] = [];
  const commands: number[] = [];
  const schemas: string[] = [];
  const shown: Packet[] = [];
  const gate = new CommandGate({
    forward: (bytes) => forwarded.push(Buffer.from(bytes)),
    onCommand: (command) => commands.push(command),
    onInitDb: (schema) => schemas.push(schema.toString()),
    letThrough: (packet) => {
      shown.push(packet);
      const text = packet.payload.subarray(1).toString('latin1');
      if (!text.includes('ours')) return true;
      taken.push(text);
      return false;
    },
  });
  for (const chunk of chunks) {
    let behind = lend(chunk, (memory) => gate.feed(memory));
    while (behind !== null) {
      forwarded.push(Buffer.from('|'));
      behind = lend(behind, (memory) => gate.feed(memory));
    }
  }
  return { forwarded: Buffer.concat(forwarded), taken, commands, schemas, shown, gate };
}

function command(byte: number, text: string | Uint8Array = '', sequenceId = 0): Buffer {
  const payload = Buffer.concat([Buffer.from([byte]), Buffer.from(text as string)]);
  return encodePacket(payload, sequenceId);
}

const query = (text: string) => command(com.COM_QUERY, text);

/** An upload: data packets from sequence id 2 on, then the empty one. */
function upload(payloads: readonly (string | Buffer)[], firstId = 2): Buffer {
  const framed: Buffer[] = [];
  let id = firstId;
  for (const payload of [...payloads, '']) {
    const bytes = encodePacket(Buffer.from(payload as string), id & 0xff);
    framed.push(bytes);
    id += Math.floor(payload.length / PAYLOAD_BYTES_MAX) + 1;
  }
  return Buffer.concat(framed);
}

describe('what is not ours', () => {
  const text = fc.oneof(
    fc.string({ maxLength: 60 }),
    fc.constantFrom('SELECT 1', 'DROP TABLE other', "INSERT INTO l VALUES ('drop table x')", ''),
  );
  const anyCommand = fc.oneof(
    text.map(query),
    text.map((sql) => command(com.COM_STMT_PREPARE, sql)),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => command(com.COM_STMT_EXECUTE, bytes)),
    fc.constant(command(com.COM_STMT_SEND_LONG_DATA, '\x01\x00\x00\x00\x00\x00DROP TABLE ours')),
    fc.constantFrom(com.COM_PING, com.COM_STMT_RESET, com.COM_INIT_DB).map((byte) => command(byte)),
    fc.constant(encodePacket(Buffer.alloc(0), 0)),
    fc.constant(command(0x7f, 'unknown')),
    fc
      .array(fc.constantFrom('1\n', `\x03${OURS}`, '\x16x', 'x'.repeat(300)), { maxLength: 5 })
      .map((rows) => Buffer.concat([query('LOAD DATA LOCAL INFILE'), upload(rows)])),
  );

  test('comes out as it went in, in any chunks', () => {
    fc.assert(
      fc.property(fc.array(anyCommand, { maxLength: 12 }), chunkSizes, (packets, sizes) => {
        const stream = Buffer.concat(packets);
        const { forwarded, taken, gate } = gated(cut(stream, sizes));
        expect(forwarded.equals(stream)).toBe(true);
        expect(taken).toEqual([]);
        expect(gate.atCommandEdge).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('comes out in the very chunk it came in', () => {
    const chunk = Buffer.concat([query('SELECT 1'), command(com.COM_PING)]);
    const forwarded: Buffer[] = [];
    const gate = new CommandGate({
      forward: (bytes) => forwarded.push(bytes),
      onCommand: () => undefined,
      onInitDb: () => undefined,
      letThrough: () => true,
    });
    expect(gate.feed(chunk)).toBeNull();
    expect(forwarded).toHaveLength(1);
    expect(forwarded[0]).toBe(chunk);
  });

  test('is not shown to the session where no word of ours is in it', () => {
    const { shown, commands } = gated([query('SELECT 1'), query('UPDATE t SET a = 1')]);
    expect(shown).toEqual([]);
    expect(commands).toEqual([com.COM_QUERY, com.COM_QUERY]);
  });

  test('streams on while it is still coming', () => {
    const big = command(com.COM_STMT_EXECUTE, Buffer.alloc(100_000));
    const first = big.subarray(0, 5_000);
    const { forwarded, gate } = gated([first]);
    expect(forwarded.equals(first)).toBe(true);
    expect(gate.atCommandEdge).toBe(false);
  });

  test('names the commands whose answers are owed, in order', () => {
    const stream = Buffer.concat([
      command(com.COM_INIT_DB, 'shop'),
      encodePacket(Buffer.alloc(0), 0),
      query('LOAD DATA LOCAL INFILE'),
      upload(['1\n']),
      command(com.COM_STMT_CLOSE, '\x01\x00\x00\x00'),
    ]);
    const { commands, schemas } = gated([stream]);
    expect(commands).toEqual([com.COM_INIT_DB, com.COM_SLEEP, com.COM_QUERY, com.COM_STMT_CLOSE]);
    expect(schemas).toEqual(['shop']);
  });
});

describe('a statement of ours', () => {
  const before = Buffer.concat([query('SELECT 1'), command(com.COM_PING), query('DO 1')]);
  const behind = Buffer.concat([command(com.COM_PING), query('SELECT 2')]);

  test.each([
    ['first', [query(OURS), before, behind]],
    ['in the middle', [before, query(OURS), behind]],
    ['last', [before, behind, query(OURS)]],
    ['as a PREPARE', [before, command(com.COM_STMT_PREPARE, OURS), behind]],
    ['twice', [query(OURS), before, query(OURS)]],
    ['twice at once', [before, query(OURS), query(OURS), behind]],
  ])('%s in a pipeline is taken whole, at every split', (_place, packets) => {
    const stream = Buffer.concat(packets);
    const expected = Buffer.concat(
      packets.map((packet) => (packet.includes('ours') ? Buffer.from('|') : packet)),
    );
    const count = packets.filter((packet) => packet.includes('ours')).length;
    let splits = 0;
    for (const chunks of [...everySplit(stream), singleBytes(stream), [stream]]) {
      const { forwarded, taken, gate } = gated(chunks);
      expect(forwarded.toString('latin1')).toBe(expected.toString('latin1'));
      expect(taken).toEqual(Array(count).fill(OURS));
      expect(gate.atCommandEdge).toBe(true);
      splits++;
    }
    expect(splits).toBe(stream.length + 1);
  });

  test('is shown before a byte of it goes on', () => {
    const framed = query(OURS);
    for (let size = 1; size < framed.length; size++) {
      const { forwarded, shown, gate } = gated([framed.subarray(0, size)]);
      expect(forwarded).toHaveLength(0);
      expect(shown).toEqual([]);
      expect(gate.atCommandEdge).toBe(false);
    }
  });

  test('that is a command nobody knows is shown too', () => {
    const { shown, taken } = gated([command(0x7f, 'ours'), command(com.COM_DROP_DB, 'ours')]);
    expect(shown.map(({ payload }) => payload[0])).toEqual([0x7f, com.COM_DROP_DB]);
    expect(taken).toEqual(['ours', 'ours']);
  });
});

describe('the data of LOCAL INFILE', () => {
  const load = query('LOAD DATA LOCAL INFILE');

  test('is never looked at, and the next command is', () => {
    const stream = Buffer.concat([load, upload([`\x03${OURS}`, `\x16${OURS}`]), query(OURS)]);
    for (const chunks of [...everySplit(stream), singleBytes(stream)]) {
      const { forwarded, taken } = gated(chunks);
      expect(taken).toEqual([OURS]);
      expect(
        forwarded.equals(
          Buffer.concat([load, upload([`\x03${OURS}`, `\x16${OURS}`]), Buffer.from('|')]),
        ),
      ).toBe(true);
    }
  });

  test.each([252, 253, 254, 255, 256, 257, 600])(
    'may wrap its sequence ids: %d packets that look like commands, then a command',
    (count) => {
      const data = upload(Array<string>(count).fill(`\x03${OURS}`));
      const stream = Buffer.concat([load, data, query(OURS), command(com.COM_PING)]);
      for (const sizes of [[1], [20, 3], [100_000]]) {
        const { forwarded, taken, commands } = gated(cut(stream, sizes));
        expect(taken).toEqual([OURS]);
        expect(forwarded.length).toBe(load.length + data.length + 1 + 5);
        expect(commands).toEqual([com.COM_QUERY, com.COM_PING]);
      }
    },
  );

  test.each([251, 252, 253, 254, 255])(
    'may have a packet of 16 MiB, whose continuation has sequence id %d + 1',
    (id) => {
      const big = Buffer.alloc(PAYLOAD_BYTES_MAX, 0x61);
      const data = upload([big, `\x03${OURS}`, `\x03${OURS}`], id);
      const stream = Buffer.concat([load, data, query(OURS)]);
      const { forwarded, taken } = gated(cut(stream, [1_000_000]));
      expect(taken).toEqual([OURS]);
      expect(forwarded.length).toBe(load.length + data.length + 1);
    },
  );
});

describe('a statement of 16 MiB', () => {
  function long(size: number, at: number): Buffer {
    const text = Buffer.alloc(size - 1, 0x20);
    text.write(OURS, at - 1);
    return command(com.COM_QUERY, text);
  }

  test.each([
    ['at the limit of a packet', PAYLOAD_BYTES_MAX, 100, 1],
    ['with the words cut by a header', PAYLOAD_BYTES_MAX + 50, PAYLOAD_BYTES_MAX - 2, 1],
    ['with the words in the last part', 2 * PAYLOAD_BYTES_MAX + 50, 2 * PAYLOAD_BYTES_MAX + 3, 2],
  ])('%s is taken whole', (_name, size, at, lastId) => {
    const stream = Buffer.concat([command(com.COM_PING), long(size, at), command(com.COM_PING)]);
    const { forwarded, taken, shown } = gated(cut(stream, [70_000]));
    expect(taken).toHaveLength(1);
    expect(shown[0]?.payload).toHaveLength(size);
    expect(shown[0]?.sequenceId).toBe(lastId);
    expect(forwarded.toString('latin1')).toBe('\x01\0\0\0\x0e|\x01\0\0\0\x0e');
  });

  test('that isn’t ours goes on with every header', () => {
    const stream = Buffer.concat([
      command(com.COM_QUERY, Buffer.alloc(PAYLOAD_BYTES_MAX + 10, 0x20)),
      query(OURS),
    ]);
    const { forwarded, taken } = gated(cut(stream, [70_000]));
    expect(taken).toEqual([OURS]);
    expect(
      forwarded.equals(Buffer.concat([stream.subarray(0, -query(OURS).length), Buffer.from('|')])),
    ).toBe(true);
  });

  test('of a command that isn’t looked at passes with its continuations', () => {
    const body = Buffer.alloc(PAYLOAD_BYTES_MAX + 100, 0x61);
    body.write(`\x03${OURS}`, PAYLOAD_BYTES_MAX - 1);
    const stream = Buffer.concat([command(com.COM_STMT_EXECUTE, body), query(OURS)]);
    const { taken, commands } = gated(cut(stream, [70_000]));
    expect(taken).toEqual([OURS]);
    expect(commands).toEqual([com.COM_STMT_EXECUTE]);
  });
});

describe('a statement above the bound', () => {
  test('ends in UNDROP_PACKET_TOO_LARGE at the header that says so, and nothing of it went on', () => {
    const forwarded: Buffer[] = [];
    const gate = new CommandGate({
      forward: (bytes) => forwarded.push(bytes),
      onCommand: () => undefined,
      onInitDb: () => undefined,
      letThrough: () => true,
    });
    const part = Buffer.alloc(4 + PAYLOAD_BYTES_MAX, 0x20);
    let fed = 0;
    const feedAll = () => {
      for (let id = 0; id < 10; id++) {
        part.writeUIntLE(PAYLOAD_BYTES_MAX, 0, 3);
        part[3] = id;
        if (id === 0) part[4] = com.COM_QUERY;
        fed += part.length;
        gate.feed(Buffer.from(part));
      }
    };
    expect(feedAll).toThrow(UndropError);
    expect(fed).toBeLessThanOrEqual(STATEMENT_BYTES_MAX + part.length);
    expect(forwarded.every(({ length }) => length === 0)).toBe(true);
  });
});
