/** The tracker against every captured conversation, in every cut: idle exactly at the ends. */
import { getHeapSpaceStatistics } from 'node:v8';
import { ResponseTracker } from '../../src/relay/response-tracker.js';
import * as caps from '../../src/wire/capabilities.js';
import * as com from '../../src/wire/commands.js';
import { encodePacket, PAYLOAD_BYTES_MAX } from '../../src/wire/framing.js';
import { encodeErr } from '../../src/wire/response.js';
import { chunkSizes, cut, everySplit, packetsIn, singleBytes } from '../support/chunks.js';
import { conversation, conversations, exchange } from '../support/conversation.js';
import fc from '../support/properties.js';

const UNASKED = 'an ERR that nobody asked for';
const EOF: caps.Capabilities = { flags: 0, mariadb: 0 };
const MODERN: caps.Capabilities = { flags: caps.CLIENT_DEPRECATE_EOF, mariadb: 0 };
const OK_AS_EOF = Buffer.from([0xfe, 0, 0, 0, 0, 0, 0]);
/** Above this, every split would take longer than it tells. */
const SPLIT_BYTES_MAX = 1_200;

function tracking(agreed: caps.Capabilities, commands: readonly number[]): ResponseTracker {
  const tracker = new ResponseTracker(agreed);
  for (const command of commands) tracker.expect(command);
  return tracker;
}

/** What has an answer that was asked for. */
const ofSessions = conversations()
  .filter(({ login }) => login !== null)
  .map(({ name, agreed, exchanges }) => ({
    name,
    agreed,
    answered: exchanges.filter(({ answer, title }) => answer.length > 0 && title !== UNASKED),
  }))
  .filter(({ answered }) => answered.length > 0);

/** How often the tracker was idle before the last chunk, and how it is behind it. */
function follow(agreed: caps.Capabilities, commands: readonly number[], chunks: readonly Buffer[]) {
  const tracker = tracking(agreed, commands);
  let idleTooEarly = 0;
  let fed = 0;
  for (const chunk of chunks) {
    if (tracker.idle) idleTooEarly++;
    tracker.feed(chunk);
    fed++;
  }
  const { idle, untracked, responses } = tracker;
  return { fed, idleTooEarly, idle, untracked, responses };
}

test('there are conversations of all four servers', () => {
  const servers = new Set(ofSessions.map(({ name }) => name.replace(/\/.*/, '')));
  expect([...servers]).toEqual(['mariadb-10.11', 'mariadb-11.8', 'mysql-5.6', 'mysql-9.7']);
  const titles = ofSessions.flatMap(({ answered }) => answered.map(({ title }) => title));
  // Each kind of answer is among them, by its title, as of each server.
  expect([titles.length, new Set(titles).size]).toEqual([521, 81]);
});

describe.each(ofSessions)('$name', ({ agreed, answered }) => {
  test('one session is idle between its exchanges and at no byte within them', () => {
    const tracker = new ResponseTracker(agreed);
    for (const { title, commands, answer } of answered) {
      for (const command of commands) tracker.expect(command);
      const idleAt: number[] = [];
      for (const [at, byte] of singleBytes(answer).entries()) {
        if (tracker.idle) idleAt.push(at);
        tracker.feed(byte);
      }
      expect({ title, idleAt }).toEqual({ title, idleAt: [] });
      expect({ title, idle: tracker.idle }).toEqual({ title, idle: true });
    }
    expect(tracker.untracked).toBe(false);
  });

  test.each(answered)('$title, at every split (wire 34, 36, 38, 41, 43)', (one) => {
    const { commands, answer } = one;
    const whole = follow(agreed, commands, [answer]);
    expect(whole).toMatchObject({ idleTooEarly: 0, idle: true, untracked: false });
    expect(whole.responses).toBeGreaterThan(0);
    const splits = answer.length > SPLIT_BYTES_MAX ? [] : everySplit(answer);
    for (const chunks of splits) {
      const { fed, idleTooEarly, idle, responses } = follow(agreed, commands, chunks);
      if (fed === 2 && idleTooEarly === 0 && idle && responses === whole.responses) continue;
      throw new Error(`cut at ${chunks[0].length}: ${JSON.stringify({ fed, idle, responses })}`);
    }
    const chunks = cut(answer, [1, 2, 700]);
    expect(follow(agreed, commands, chunks)).toEqual({ ...whole, fed: chunks.length });
  });
});

test('a whole conversation, pipelined into one write and cut anyhow, ends idle', () => {
  const whole = ofSessions.map(({ agreed, answered }) => ({
    agreed,
    commands: answered.flatMap(({ commands }) => commands),
    answer: Buffer.concat(answered.map(({ answer }) => answer)),
  }));
  fc.assert(
    fc.property(fc.constantFrom(...whole), chunkSizes, ({ agreed, commands, answer }, sizes) => {
      const tracker = tracking(agreed, commands);
      for (const chunk of cut(answer, sizes)) tracker.feed(chunk);
      expect(tracker.idle).toBe(true);
      expect(tracker.untracked).toBe(false);
    }),
  );
});

describe('the transaction', () => {
  test.each(['mysql-9.7/eof', 'mysql-5.6/eof', 'mariadb-10.11/eof', 'mariadb-11.8/deprecate-eof'])(
    'of %s is known from the last status',
    (name) => {
      const { agreed } = conversation(name);
      const tracker = new ResponseTracker(agreed);
      const run = (title: string): boolean => {
        const { commands, answer } = exchange(name, title);
        for (const command of commands) tracker.expect(command);
        tracker.feed(answer);
        return tracker.inTransaction;
      };
      expect(run('an OK')).toBe(false);
      expect(run('in a transaction')).toBe(true);
      expect(run('one row of two columns, one of them NULL')).toBe(false);
      expect(run('in a transaction')).toBe(true);
      expect(run('out of it')).toBe(false);
    },
  );

  test('is known behind a wide OK in any chunks (wire 45)', () => {
    const { agreed } = conversation('mysql-9.7/track');
    const { answer } = exchange('mysql-9.7/track', 'a result set in it');
    for (const chunks of [...everySplit(answer), singleBytes(answer)]) {
      const tracker = tracking(agreed, [com.COM_QUERY]);
      for (const chunk of chunks) tracker.feed(chunk);
      expect(tracker.inTransaction).toBe(true);
    }
  });
});

test.each([
  ['affected rows of nine bytes', 'fe0000000001000000' + '00'],
  ['a last insert id of nine bytes', '00' + 'feffffffffffffff7f'],
  ['both of nine bytes', 'fe0000000001000000' + 'feffffffffffffff7f'],
  ['counts of three and four bytes', 'fcffff' + 'fdffffff'],
])('an OK with %s: the status is found behind them (wire 45)', (_counts, hex) => {
  // SERVER_STATUS_IN_TRANS and SERVER_MORE_RESULTS_EXISTS.
  const first = encodePacket(Buffer.from(`00${hex}09000000`, 'hex'), 1);
  const last = encodePacket(Buffer.from(`00${hex}00000000`, 'hex'), 2);
  for (const chunks of everySplit(first)) {
    const tracker = tracking(EOF, [com.COM_QUERY]);
    for (const chunk of chunks) tracker.feed(chunk);
    expect([tracker.idle, tracker.inTransaction]).toEqual([false, true]);
    tracker.feed(last);
    expect([tracker.idle, tracker.inTransaction]).toEqual([true, false]);
  }
});

test('without CLIENT_DEPRECATE_EOF only a short packet is an EOF', () => {
  const tracker = tracking(EOF, [com.COM_QUERY]);
  tracker.feed(Buffer.from('0100000101' + '0b000002' + '0364656600000001610001', 'hex'));
  tracker.feed(Buffer.from('05000003fe00000200', 'hex'));
  tracker.feed(encodePacket(Buffer.from('fe000000000000000061', 'hex'), 4));
  expect(tracker.idle).toBe(false);
  tracker.feed(Buffer.from('05000005fe00000200', 'hex'));
  expect(tracker.idle).toBe(true);
});

describe('an ERR that nobody asked for', () => {
  const { answer } = exchange('mysql-9.7/goodbye', UNASKED);

  test('is a goodbye, not a mistake (wire 46)', () => {
    const tracker = new ResponseTracker(EOF);
    tracker.feed(answer);
    expect(tracker.untracked).toBe(false);
    expect(tracker.idle).toBe(true);
    expect(tracker.responses).toBe(0);
  });

  test('but another packet means that the tracker has lost its way (wire 18)', () => {
    const tracker = new ResponseTracker(EOF);
    tracker.feed(Buffer.from('0700000100000002000000', 'hex'));
    expect(tracker.untracked).toBe(true);
    expect(tracker.idle).toBe(false);
  });
});

test('a report of progress ends no answer, wherever it stands in one (wire 40)', () => {
  const name = 'mariadb-11.8/eof';
  const { agreed } = conversation(name);
  const { answer } = exchange(name, 'one row of two columns, one of them NULL');
  const report = encodePacket(Buffer.from('ffffff010101e80300036f6e65', 'hex'), 9);
  const packets = packetsIn(answer);
  expect(packets.length).toBeGreaterThan(3);
  for (const end of packets.keys()) {
    const reported = Buffer.concat([...packets.slice(0, end), report, ...packets.slice(end)]);
    for (const chunks of everySplit(reported)) {
      const seen = follow(agreed, [com.COM_QUERY], chunks);
      const chunk = chunks.length;
      expect([end, seen]).toEqual([
        end,
        { fed: chunk, idleTooEarly: 0, idle: true, untracked: false, responses: 1 },
      ]);
    }
  }
});

describe('packets of 16 MiB', () => {
  const columns = Buffer.from('0100000101' + '0b000002' + '0364656600000001610001', 'hex');
  const end = encodePacket(Buffer.from('fe000002000000', 'hex'), 9);

  function row(size: number): Buffer {
    const payload = Buffer.alloc(size, 0x61);
    Buffer.from('fe0000000100000000', 'hex').copy(payload);
    return payload;
  }

  test.each([
    ['whose continuation is empty', PAYLOAD_BYTES_MAX, 0x61],
    ['whose continuation starts like an EOF', PAYLOAD_BYTES_MAX + 5, 0xfe],
    ['whose continuation starts like an ERR', PAYLOAD_BYTES_MAX + 5, 0xff],
    ['whose continuation starts like an OK', PAYLOAD_BYTES_MAX + 5, 0x00],
  ])('%s are rows (wire 35, 44)', (_name, size, byte) => {
    const payload = row(size);
    if (size > PAYLOAD_BYTES_MAX) payload[PAYLOAD_BYTES_MAX] = byte;
    const framed = encodePacket(payload, 3);
    const tracker = tracking(MODERN, [com.COM_QUERY]);
    for (const chunk of cut(Buffer.concat([columns, framed]), [65_536, 1])) tracker.feed(chunk);
    expect(tracker.idle).toBe(false);
    expect(tracker.responses).toBe(0);
    tracker.feed(end);
    expect(tracker.idle).toBe(true);
  });

  test('are not at an edge between their parts', () => {
    const framed = encodePacket(row(PAYLOAD_BYTES_MAX), 3);
    const tracker = tracking(MODERN, [com.COM_QUERY]);
    tracker.feed(columns);
    expect(tracker.atPacketEdge).toBe(true);
    tracker.feed(framed.subarray(0, -4));
    expect(tracker.atPacketEdge).toBe(false);
    expect(tracker.bytesToPacketEnd(100)).toBe(1);
    tracker.feed(framed.subarray(-4));
    expect(tracker.atPacketEdge).toBe(true);
  });
});

test('the way to the end of the packet under way never goes beyond it', () => {
  const long = encodePacket(Buffer.alloc(300, 0x55), 1);
  const answer = Buffer.concat([long, encodePacket(Buffer.from('x'), 1)]);
  for (let fed = 1; fed < answer.length; fed++) {
    const tracker = tracking(EOF, [com.COM_STATISTICS, com.COM_STATISTICS]);
    tracker.feed(answer.subarray(0, fed));
    const sure = tracker.bytesToPacketEnd(answer.length - fed);
    const edge = fed < 304 ? 304 : answer.length;
    expect(sure).toBeLessThanOrEqual(fed === 304 ? 0 : edge - fed);
    expect(sure === 0).toBe(tracker.atPacketEdge);
  }
});

test('commands without an answer owe nothing, an unknown one owes a packet (wire 42)', () => {
  const tracker = tracking(EOF, [0x01, 0x18, 0x19]);
  expect(tracker.idle).toBe(true);
  tracker.expect(0x7f);
  expect(tracker.idle).toBe(false);
});

test('a client that pipelines without end is followed no more', () => {
  const tracker = tracking(EOF, Array<number>(100_001).fill(com.COM_PING));
  expect(tracker.untracked).toBe(true);
});

test('a client that always has a command under way takes no more memory with each', () => {
  const tracker = new ResponseTracker(MODERN);
  const ok = encodePacket(Buffer.from([0, 0, 0, 2, 0, 0, 0]), 1);
  const before = largeObjectBytes();
  tracker.expect(com.COM_PING);
  for (let count = 0; count < 2_000_000; count++) {
    tracker.expect(com.COM_PING);
    tracker.feed(ok);
  }
  expect(largeObjectBytes() - before).toBeLessThan(8 * 1024 * 1024);
  expect([tracker.idle, tracker.untracked, tracker.responses]).toEqual([false, false, 2_000_000]);
  tracker.feed(ok);
  expect(tracker.idle).toBe(true);
});

/** Where an array of millions has its place. */
function largeObjectBytes(): number {
  const spaces = getHeapSpaceStatistics().filter(({ space_name: name }) => /large/.test(name));
  return spaces.reduce((sum, { space_used_size: bytes }) => sum + bytes, 0);
}

test('whatever a server sends, the tracker stays at its packets and never throws (wire 18)', () => {
  const bytes = fc.uint8Array({ maxLength: 400 });
  const commands = fc.array(
    fc.constantFrom(com.COM_QUERY, com.COM_PING, com.COM_STMT_EXECUTE, 0x16, 0x11),
  );
  fc.assert(
    fc.property(bytes, commands, chunkSizes, (any, asked, sizes) => {
      const tracker = tracking(MODERN, asked);
      for (const chunk of cut(Buffer.from(any), sizes)) tracker.feed(chunk);
      expect(tracker.responses).toBeLessThanOrEqual(asked.length);
    }),
  );
});

describe('found by random conversations', () => {
  const packet = (sequenceId: number, ...bytes: readonly number[]) =>
    encodePacket(Buffer.from(bytes), sequenceId);
  const column = (sequenceId: number) => packet(sequenceId, 3, 0x64, 0x65, 0x66, 0);
  const error = (sequenceId: number) => packet(sequenceId, 0xff, 0xda, 0x04, 0x23);

  /** At how many packets the tracker was idle before, and whether it is behind the last. */
  function idleBefore(agreed: caps.Capabilities, packets: readonly Buffer[]) {
    const tracker = tracking(agreed, [com.COM_STMT_EXECUTE]);
    let tooEarly = 0;
    for (const one of packets) {
      if (tracker.idle) tooEarly++;
      tracker.feed(one);
    }
    return { tooEarly, idle: tracker.idle };
  }

  test.each([
    ['with EOF packets', EOF],
    ['without', MODERN],
  ])(
    'an ERR behind the columns of a cursor that can’t be opened ends the answer: %s (wire 39)',
    (_, agreed) => {
      const packets = [packet(1, 1), column(2), error(3)];
      expect(idleBefore(agreed, packets)).toEqual({ tooEarly: 0, idle: true });
    },
  );

  test('an OK follows the OUT parameters, as the EOF behind their columns says (mysql 9.7) (wire 37)', () => {
    const packets = [
      packet(1, 1),
      column(2),
      packet(3, 0xfe, 0, 0, 0x2a, 0x10),
      packet(4, 0, 0, 1, 0, 0, 0),
      packet(5, 0xfe, 0, 0, 0x22, 0),
      packet(6, 0, 0, 0, 0x22, 0, 0, 0),
    ];
    expect(idleBefore(EOF, packets)).toEqual({ tooEarly: 0, idle: true });
  });
});

test('an OK with SERVER_SESSION_STATE_CHANGED is told with all of it, at every split, and cut if it has no bound', () => {
  const ok = (status: number, rest: string) =>
    encodePacket(Buffer.concat([Buffer.of(0, 0, 0, status, 0x40, 0, 0), Buffer.from(rest)]), 1);
  const USE = ok(0x02, `\0\x20\x01\x1e\x1d_undrop_local_and_more_of_it__`);

  const plain = encodePacket(Buffer.of(0, 0, 0, 0x02, 0, 0, 0), 1);
  const long = ok(0x02, 'x'.repeat(2_000));
  const answers = Buffer.concat([plain, USE, plain, long]);
  for (const chunks of everySplit(answers)) {
    const asked = [com.COM_QUERY, com.COM_PING, com.COM_STMT_EXECUTE, com.COM_QUERY];
    const tracker = tracking(MODERN, asked);
    const told: Buffer[] = [];
    tracker.onStateChanged = (payload) => told.push(Buffer.from(payload));
    for (const chunk of chunks) tracker.feed(chunk);
    expect(tracker.idle).toBe(true);
    expect(told).toEqual([USE.subarray(4), long.subarray(4, 4 + 536)]);
  }
});

describe('an ERR 1146', () => {
  const errOf = (errno: number, text: string) =>
    encodeErr({ errno, sqlState: '42S02', message: Buffer.from(text) });
  const MISSING = errOf(1146, "Table 'shop.orders' doesn't exist");

  /** What it says of missing tables, when it is asked a few things with these errors in between. */
  function missedIn(commands: readonly number[], chunks: readonly Buffer[]): readonly Buffer[] {
    const tracker = tracking(MODERN, commands);
    const missed: Buffer[] = [];
    tracker.onNoSuchTable = (payload) => missed.push(Buffer.from(payload));
    for (const chunk of chunks) tracker.feed(chunk);
    expect(tracker.idle).toBe(true);
    return missed;
  }

  test.each([
    ['a query', com.COM_QUERY],
    ['an execution', com.COM_STMT_EXECUTE],
    ['a preparation', com.COM_STMT_PREPARE],
  ])('is told once with all of its text, of %s, at every split', (_of, command) => {
    const answer = Buffer.concat([
      encodePacket(errOf(1054, "Unknown column 'a.b'"), 1),
      encodePacket(MISSING, 1),
      encodePacket(errOf(1064, 'You have an error'), 1),
    ]);
    const commands = [command, command, command];
    for (const chunks of everySplit(answer)) expect(missedIn(commands, chunks)).toEqual([MISSING]);
    expect(missedIn(commands, cut(answer, [1]))).toEqual([MISSING]);
  });

  test('is told when it ends a result set, and cut if its text has no bound', () => {
    const long = errOf(1146, `Table '${'x'.repeat(2_000)}' ?`);
    const columns = [Buffer.from([1]), Buffer.from('\x03def', 'latin1')];
    const packets = [...columns, long].map((payload, index) => encodePacket(payload, index + 1));
    expect(missedIn([com.COM_QUERY], packets)).toEqual([long.subarray(0, 536)]);
  });

  test('is none: a report of progress, or a row that looks like one', () => {
    const row = Buffer.concat([Buffer.from([0x7a, 0x04]), Buffer.alloc(120)]);
    const packets = [Buffer.from([1]), Buffer.from('\x03def', 'latin1'), row, OK_AS_EOF];
    const framed = packets.map((payload, index) => encodePacket(payload, index + 1));
    const progress = encodePacket(Buffer.from([0xff, 0xff, 0xff, 1, 1, 1, 0, 0, 0, 0]), 1);
    expect(missedIn([com.COM_QUERY], [progress, ...framed])).toEqual([]);
  });
});
