/**
 * The gate: whatever isn't ours comes out as it went in, however it was cut; what is ours is taken
 * whole, and what comes behind it is given back.
 */
import { UndropError } from '../../../src/errors.js';
import type { GateOptions, GateOwner } from '../../../src/session/gate/command-gate.js';
import { CommandGate, HELD_BYTES_MAX } from '../../../src/session/gate/command-gate.js';
import { TEXT_BYTES_MAX } from '../../../src/session/gate/text-room.js';
import type { Protection } from '../../../src/sql/destroying.js';
import * as com from '../../../src/wire/commands.js';
import { encodePacket, PAYLOAD_BYTES_MAX, type Packet } from '../../../src/wire/framing.js';
import { MalformedPacketError } from '../../../src/wire/packet-reader.js';
import { chunkSizes, cut, everySplit, lend, singleBytes } from '../../support/chunks.js';
import fc from '../../support/properties.js';
import { rounds } from '../../support/sample.js';

const OURS = 'DROP TABLE ours';

/** A session without prepared drops, of which nothing is known. */
const NO_HANDLES = { isWatching: false, watchesNames: false, takes: () => false };
const NOTHING = new Set<Protection>();
const UNWATCHED = { handles: NO_HANDLES, protect: NOTHING, isAllAnswered: () => false };

/** Nothing comes of anything. */
const PASSING: GateOwner = {
  connections: { toServer: () => undefined },
  onCommand: () => undefined,
  letThrough: () => true,
  letLongPass: () => true,
  onLongGrown: () => undefined,
};

/**
 * Feeds `chunks` as a session would: what is behind a taken packet comes again. What came of them:
 * bytes that went on, with a `|` where one was taken, and what was taken.
 */
function gated(chunks: readonly Buffer[], options: Partial<GateOptions> = {}) {
  const forwarded: Buffer[] = [];
  const taken: string[] = [];
  const commands: number[] = [];
  const shown: Packet[] = [];
  const owner: GateOwner = {
    connections: { toServer: (bytes) => forwarded.push(Buffer.from(bytes)) },
    onCommand: (command) => commands.push(command),
    letThrough: (packet) => {
      shown.push(packet);
      const text = packet.payload.subarray(1).toString('latin1');
      const isHandle = packet.payload[0] === com.COM_STMT_EXECUTE;
      if (!isHandle && !text.includes('ours')) return true;
      taken.push(text);
      return false;
    },
    letLongPass: (head) => head.includes('free'),
    onLongGrown: () => undefined,
  };
  const gate = new CommandGate(owner, { ...UNWATCHED, ...options });
  for (const chunk of chunks) {
    let behind = lend(chunk, (memory) => gate.feed(memory));
    while (behind !== null) {
      forwarded.push(Buffer.from('|'));
      behind = lend(behind, (memory) => gate.feed(memory));
    }
  }
  return { forwarded: Buffer.concat(forwarded), taken, commands, shown, gate };
}

function command(byte: number, text: string | Uint8Array = '', sequenceId = 0): Buffer {
  const payload = Buffer.concat([Buffer.from([byte]), Buffer.from(text as string)]);
  return encodePacket(payload, sequenceId);
}

const query = (text: string) => command(com.COM_QUERY, text);

/** An acknowledgement of a semi-synchronous replica: a position, and the file that it is in. */
const ack = command(0xef, `\x04\0\0\0\0\0\0\0binlog.000001`);

test('acknowledgements of a replica go through, and a statement after them is looked at', () => {
  const dump = command(com.COM_BINLOG_DUMP, '\x04\0\0\0\0\0\x01\0\0\0binlog.000001');
  const bytes = Buffer.concat([dump, ack, ack, query(OURS)]);
  for (const chunks of [[bytes], singleBytes(bytes), ...everySplit(bytes)]) {
    const { forwarded, taken } = gated(chunks);
    expect(forwarded.equals(Buffer.concat([dump, ack, ack, Buffer.from('|')]))).toBe(true);
    expect(taken).toEqual([OURS]);
  }
});

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

  test('comes out as it went in, in any chunks (wire 1)', () =>
    fc.assert(
      fc.property(fc.array(anyCommand, { maxLength: 12 }), chunkSizes, (packets, sizes) => {
        const stream = Buffer.concat(packets);
        const { forwarded, taken, gate } = gated(cut(stream, sizes));
        expect(forwarded.equals(stream)).toBe(true);
        expect(taken).toEqual([]);
        expect(gate.atCommandEdge).toBe(true);
      }),
      { numRuns: rounds(500, 100) },
    ));

  test('comes out in the very chunk it came in', () => {
    const chunk = Buffer.concat([query('SELECT 1'), command(com.COM_PING)]);
    const forwarded: Buffer[] = [];
    const connections = { toServer: (bytes: Buffer) => forwarded.push(bytes) };
    const gate = new CommandGate({ ...PASSING, connections }, UNWATCHED);
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

  test('names the commands whose answers are owed, in order (wire 42, 43)', () => {
    const stream = Buffer.concat([
      command(com.COM_INIT_DB, 'shop'),
      encodePacket(Buffer.alloc(0), 0),
      query('LOAD DATA LOCAL INFILE'),
      upload(['1\n']),
      command(com.COM_STMT_CLOSE, '\x01\x00\x00\x00'),
    ]);
    const { commands } = gated([stream]);
    expect(commands).toEqual([com.COM_INIT_DB, com.COM_SLEEP, com.COM_QUERY, com.COM_STMT_CLOSE]);
  });
});

test('what leads to a schema is shown whole, however it is cut', () => {
  const stream = Buffer.concat([
    command(com.COM_INIT_DB, 'shop'),
    query('SELECT 1'),
    command(com.COM_CHANGE_USER, 'root\0\0shop\0'),
  ]);
  for (const chunks of [[stream], ...everySplit(stream), singleBytes(stream)]) {
    const { shown, forwarded } = gated(chunks);
    const texts = shown.map(({ payload }) => payload.toString('latin1'));
    expect(texts).toEqual(['\x02shop', '\x11root\0\0shop\0']);
    expect(forwarded.equals(stream)).toBe(true);
  }
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
  ])('%s in a pipeline is taken whole, at every split (wire 11)', (_place, packets) => {
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

  test('is shown before a byte of it goes on (wire 2)', () => {
    const framed = query(OURS);
    for (let size = 1; size < framed.length; size++) {
      const { forwarded, shown, gate } = gated([framed.subarray(0, size)]);
      expect(forwarded).toHaveLength(0);
      expect(shown).toEqual([]);
      expect(gate.atCommandEdge).toBe(false);
    }
  });

  test('that is a command nobody knows is shown too (wire 15)', () => {
    const { shown, taken } = gated([command(0x7f, 'ours'), command(com.COM_DROP_DB, 'ours')]);
    expect(shown.map(({ payload }) => payload[0])).toEqual([0x7f, com.COM_DROP_DB]);
    expect(taken).toEqual(['ours', 'ours']);
  });
});

describe('the data of LOCAL INFILE', () => {
  const load = query('LOAD DATA LOCAL INFILE');

  test('is never looked at, and the next command is (wire 13)', () => {
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
    'may wrap its sequence ids: %d packets that look like commands, then a command (wire 13)',
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

  test.each([
    ['a text of ours', `\x03${OURS}`, true],
    ['a PREPARE', `\x16${OURS}`, true],
    ['a name of a schema', '\x06shop', true],
    ['any other text', '\x03SELECT 1', true],
    ['what is no command', '1,2,3\n', false],
    ['another command', `\x04${'a,b\n'.repeat(100)}`, false],
  ])('may be over after a silence: %s there ends the session or not', (_what, text, ends) => {
    const data = Array<string>(254).fill('x');
    for (const silenceMs of [0, 300]) {
      let nowMs = 0;
      const forwarded: Buffer[] = [];
      const toServer = (bytes: Buffer) => forwarded.push(Buffer.from(bytes));
      const owner = { ...PASSING, connections: { toServer } };
      const gate = new CommandGate(owner, { ...UNWATCHED, nowMs: () => nowMs });
      const before = Buffer.concat([load, upload(data).subarray(0, -4)]);
      expect(gate.feed(before)).toBeNull();
      expect(before.at(-2)).toBe(255);
      nowMs += silenceMs;
      const next = encodePacket(Buffer.from(text, 'latin1'), 0);
      const feed = () => cut(next, [3, 1, 7]).map((chunk) => gate.feed(chunk));
      if (ends && silenceMs > 0) expect(feed).toThrow(MalformedPacketError);
      else expect(feed()).toEqual(cut(next, [3, 1, 7]).map(() => null));
      const all = Buffer.concat(forwarded);
      expect(all.equals(ends && silenceMs > 0 ? before : Buffer.concat([before, next]))).toBe(true);
    }
  });

  test('is over where all is answered: what follows 255 is a command', () => {
    const taken: string[] = [];
    const letThrough = ({ payload }: Packet) => {
      taken.push(payload.toString('latin1', 1));
      return false;
    };
    const gate = new CommandGate(
      { ...PASSING, letThrough },
      { ...UNWATCHED, isAllAnswered: () => true },
    );
    const data = upload(Array<string>(254).fill('x')).subarray(0, -4);
    expect(gate.feed(Buffer.concat([load, data, query(OURS)]))).toEqual(Buffer.alloc(0));
    expect(taken).toEqual([OURS]);
  });

  test.each([251, 252, 253, 254, 255])(
    'may have a packet of 16 MiB, whose continuation has sequence id %d + 1 (wire 13, 44)',
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

describe('a text that needs room', () => {
  const HELD = 60;
  const insert = `INSERT INTO t VALUES ${"(1, 'drop table t')".repeat(8)}`;

  test('is shown whole, goes on as it came, and the next command is looked at', () => {
    const packets = [command(com.COM_PING), query(insert), command(com.COM_PING)];
    const stream = Buffer.concat([...packets, query(OURS)]);
    const expected = Buffer.concat([...packets, Buffer.from('|')]).toString('latin1');
    for (const chunks of [...everySplit(stream), singleBytes(stream), [stream]]) {
      const { forwarded, taken, shown, commands, gate } = gated(chunks, { heldBytesMax: HELD });
      expect(forwarded.toString('latin1')).toBe(expected);
      expect(shown[0]?.payload.toString()).toBe(`\x03${insert}`);
      expect(taken).toEqual([OURS]);
      expect(commands).toEqual([com.COM_PING, com.COM_QUERY, com.COM_PING]);
      expect(gate.atCommandEdge).toBe(true);
    }
  });

  test('goes nowhere where it is ours', () => {
    const stream = Buffer.concat([query(`${insert}; DROP TABLE ours`), command(com.COM_PING)]);
    for (const chunks of [...everySplit(stream), singleBytes(stream)]) {
      const { forwarded, taken, commands } = gated(chunks, { heldBytesMax: HELD });
      expect(forwarded.toString('latin1')).toBe('|\x01\0\0\0\x0e');
      expect(taken).toEqual([`${insert}; DROP TABLE ours`]);
      expect(commands).toEqual([com.COM_PING]);
    }
  });

  test('goes on unread where its first bytes say that it may', () => {
    const stream = command(com.COM_QUERY, `free ${'a'.repeat(2 * HELD_BYTES_MAX)}`);
    const { forwarded, shown } = gated([stream.subarray(0, 2_000)]);
    expect(forwarded).toHaveLength(2_000);
    expect(shown).toEqual([]);
  });
});

describe('a text of 16 MiB', () => {
  test.each([
    ['at the limit of a packet', PAYLOAD_BYTES_MAX, 100],
    ['with the words cut by a header', PAYLOAD_BYTES_MAX + 50, PAYLOAD_BYTES_MAX - 13],
    ['with the words in the last part', 2 * PAYLOAD_BYTES_MAX + 50, 2 * PAYLOAD_BYTES_MAX + 3],
  ])('%s is shown in one piece (wire 16, 44)', (_name, size, at) => {
    for (const text of [OURS, 'SELECT 1']) {
      const bytes = Buffer.alloc(size - 1, 0x20);
      bytes.write(text, at - 1);
      const stream = Buffer.concat([command(com.COM_QUERY, bytes), query(OURS)]);
      const { forwarded, shown } = gated(cut(stream, [70_000]));
      expect(shown[0]?.payload.subarray(1).equals(bytes)).toBe(true);
      expect(shown[0]?.sequenceId).toBe(Math.floor(size / PAYLOAD_BYTES_MAX));
      const gone = Buffer.concat([stream.subarray(0, -query(OURS).length), Buffer.from('|')]);
      if (text !== OURS) expect(forwarded.equals(gone)).toBe(true);
    }
  });

  test('goes on to the most that is held, and not beyond (wire 17)', () => {
    const over = command(com.COM_QUERY, Buffer.alloc(TEXT_BYTES_MAX, 0x20));
    expect(() => gated(cut(over, [1_000_000]))).toThrow(UndropError);
  });

  test('of a command that isn’t looked at passes with its continuations (wire 44)', () => {
    const body = Buffer.alloc(PAYLOAD_BYTES_MAX + 100, 0x61);
    body.write(`\x03${OURS}`, PAYLOAD_BYTES_MAX - 1);
    const stream = Buffer.concat([command(com.COM_STMT_EXECUTE, body), query(OURS)]);
    const { taken, commands } = gated(cut(stream, [70_000]));
    expect(taken).toEqual([OURS]);
    expect(commands).toEqual([com.COM_STMT_EXECUTE]);
  });
});

test('a command that nobody knows is refused above the bound at its header (wire 15, 17)', () => {
  const stream = command(0x7f, Buffer.alloc(HELD_BYTES_MAX + 1));
  expect(() => gated([stream.subarray(0, 100)])).toThrow(UndropError);
});

describe('handles of drops', () => {
  const WATCHED = 0x01020304;
  const onHandle = (kind: number, id: number, rest: Uint8Array = Buffer.alloc(5)) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(id);
    return command(kind, Buffer.concat([bytes, rest]));
  };

  /** What came of chunks of a session that watches one handle, or none. */
  const watched = (chunks: readonly Buffer[], isWatching = true) => {
    const takes = (kind: number, id: number) => id === WATCHED && kind !== com.COM_STMT_CLOSE;
    const { forwarded, taken } = gated(chunks, { handles: { ...NO_HANDLES, isWatching, takes } });
    return { forwarded, count: taken.length };
  };

  const kept = [
    onHandle(com.COM_STMT_EXECUTE, 5),
    onHandle(com.COM_STMT_CLOSE, WATCHED, Buffer.alloc(0)),
    command(com.COM_STMT_EXECUTE, Buffer.from([4, 3, 2])),
    command(com.COM_STMT_FETCH, Buffer.from([4, 3, 2, 1, 1, 0, 0, 0])),
  ];
  const mine = onHandle(com.COM_STMT_EXECUTE, WATCHED);
  const stream = Buffer.concat(kept.flatMap((one) => [one, mine]));

  test('are taken whole, however the stream is cut, and nothing else is', () => {
    const bar = Buffer.from('|');
    const forwarded = Buffer.concat(kept.flatMap((one) => [one, bar]));
    const expected = { forwarded, count: kept.length };
    for (const chunks of [[stream], ...everySplit(stream), singleBytes(stream)]) {
      expect(watched(chunks)).toEqual(expected);
    }
  });

  test('are not looked at while there are none', () =>
    expect(watched([stream], false)).toEqual({ forwarded: stream, count: 0 }));

  test('another EXECUTE goes on before all of it is there', () => {
    const big = onHandle(com.COM_STMT_EXECUTE, 5, Buffer.alloc(HELD_BYTES_MAX + 1));
    const { forwarded } = watched([big.subarray(0, 100)]);
    expect(forwarded.equals(big.subarray(0, 100))).toBe(true);
  });
});

test('TRUNCATE and its like are shown while they are enabled, at once or in pieces', () => {
  const shown: string[] = [];
  const protect = new Set<Protection>();
  const partition = 'ALTER TABLE t TRUNCATE PARTITION p';
  const letThrough = ({ payload }: Packet) => {
    shown.push(payload.subarray(1).toString());
    return true;
  };
  const gate = new CommandGate({ ...PASSING, letThrough }, { ...UNWATCHED, protect });
  const feed = () => {
    for (const bytes of [query('TRUNCATE t'), query(partition)]) {
      for (const chunk of [bytes, bytes.subarray(0, 9), bytes.subarray(9)]) gate.feed(chunk);
    }
    return shown.splice(0);
  };
  const twice = (...texts: string[]) => texts.flatMap((text) => [text, text]);
  expect(feed()).toEqual([]);
  protect.add('truncate');
  expect(feed()).toEqual(twice('TRUNCATE t', partition));
  protect.delete('truncate');
  expect(feed()).toEqual([]);
  protect.add('drop-partition');
  expect(feed()).toEqual(twice(partition));
});
