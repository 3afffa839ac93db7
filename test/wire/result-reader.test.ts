/** Whole responses of real servers, read by the capabilities of their sessions. */
import type { Capabilities } from '../../src/wire/capabilities.js';
import { MalformedPacketError } from '../../src/wire/packet-reader.js';
import type { Result, ResultReader } from '../../src/wire/response.js';
import { readingPrepareResult, readingQueryResult } from '../../src/wire/response.js';
import { conversation, conversations, exchange, payloads } from '../support/conversation.js';
import { readWhole } from '../support/results.js';

/** The reader, at its first packet. */
function started(reader: ResultReader): ResultReader {
  reader.next();
  return reader;
}

function query(name: string, title: string): Result {
  const { agreed } = conversation(name);
  return readWhole(readingQueryResult(agreed), payloads(exchange(name, title)));
}

function prepare(name: string, title: string): Result {
  const { agreed } = conversation(name);
  return readWhole(readingPrepareResult(agreed), payloads(exchange(name, title)));
}

const EOF_AND_NOT = conversations()
  .map(({ name }) => name)
  .filter((name) => /\/(eof|deprecate-eof)$/.test(name));

describe.each(EOF_AND_NOT)('%s', (name) => {
  test('a row with a NULL', () => {
    expect(query(name, 'one row of two columns, one of them NULL')).toEqual({
      kind: 'rows',
      columns: [Buffer.from('x'), Buffer.from('y')],
      rows: [[Buffer.from('a'), null]],
      statusFlags: 0x0002, // SERVER_STATUS_AUTOCOMMIT
    });
  });

  test('no rows', () => expect(query(name, 'no rows')).toMatchObject({ kind: 'rows', rows: [] }));

  test('more rows than sequence ids', () => {
    const result = query(name, 'more rows than sequence ids');
    const ids = result.kind === 'rows' ? result.rows.map(([id]) => id?.toString()) : [];
    expect(ids).toEqual(Array.from({ length: 300 }, (_, index) => `${index + 1}`));
  });

  test('more columns than one byte counts', () => {
    const result = query(name, 'more columns than one byte counts');
    expect(result.kind === 'rows' && [result.columns.length, result.rows[0]?.length]).toEqual([
      252, 252,
    ]);
  });

  test('OK and ERR', () => {
    expect(query(name, 'an OK')).toMatchObject({ kind: 'ok', affectedRows: 0 });
    expect(query(name, 'an OK with a warning')).toMatchObject({ kind: 'ok', warnings: 1 });
    expect(query(name, 'an ERR')).toMatchObject({ kind: 'err', errno: 1146 });
  });

  test('an ERR behind a row is the result', () =>
    expect(query(name, 'an ERR behind a row')).toMatchObject({ kind: 'err', errno: 1242 }));

  test.each([
    ['PREPARE without columns and parameters'],
    ['PREPARE of two parameters'],
    ['PREPARE of columns and a parameter'],
    ['PREPARE of columns'],
    ['PREPARE of a CALL'],
  ])('%s', (title) => {
    const result = prepare(name, title);
    expect(result.kind).toBe('prepared');
    expect(result.kind === 'prepared' && result.statementId).toBeGreaterThan(0);
  });

  test('PREPARE that fails', () =>
    expect(prepare(name, 'PREPARE that fails')).toMatchObject({ kind: 'err', errno: 1064 }));
});

describe.each(['mysql-9.7/optional-eof', 'mysql-9.7/optional'])('%s', (name) => {
  test('a result set with its metadata', () =>
    expect(query(name, 'a result set with its metadata')).toMatchObject({
      columns: [Buffer.from('1'), Buffer.from('2')],
      rows: [[Buffer.from('1'), Buffer.from('2')]],
    }));

  test('a result set without metadata has its rows', () => {
    expect(query(name, 'a result set without metadata')).toMatchObject({
      columns: [],
      rows: [1, 2].map((id) => [Buffer.from(`${id}`), Buffer.from(`${id}`)]),
    });
    expect(query(name, 'no rows without metadata')).toMatchObject({ columns: [], rows: [] });
  });

  test('PREPARE of columns and a parameter, neither of them described', () =>
    expect(prepare(name, 'PREPARE of columns and a parameter').kind).toBe('prepared'));
});

test.each([
  ...['mariadb-10.11/cached-eof', 'mariadb-10.11/cached', 'mariadb-11.8/cached-eof'],
  'mariadb-11.8/cached',
])('%s: a text result set says that its metadata follows', (name) =>
  expect(query(name, 'a text result set')).toMatchObject({ rows: [[{}, {}]] }),
);

test.each(['mariadb-10.11', 'mariadb-11.8'])('progress reports of %s are no answer', (server) => {
  const name = `${server}/progress`;
  const title = 'an ALTER that takes its time';
  const packets = payloads(exchange(name, title));
  expect(packets.filter((packet) => packet.readUIntLE(0, 3) === 0xffffff).length).toBeGreaterThan(
    0,
  );
  expect(query(name, title)).toMatchObject({ kind: 'ok', affectedRows: 2_500_000 });
});

test('a report of progress among rows is no answer either', () => {
  const name = 'mariadb-11.8/eof';
  const [columns, ...packets] = payloads(
    exchange(name, 'one row of two columns, one of them NULL'),
  );
  const reader = started(readingQueryResult(conversation(name).agreed));
  const report = Buffer.from('ffffff010101e80300036f6e65', 'hex');
  expect(reader.next(columns ?? report).done).toBe(false);
  for (const packet of packets.slice(0, -1)) expect(reader.next(packet).done).toBe(false);
  expect(reader.next(report).done).toBe(false);
  expect(reader.next(packets.at(-1) ?? report)).toMatchObject({ value: { kind: 'rows' } });
});

describe('malformed', () => {
  const PLAIN: Capabilities = { flags: 0, mariadb: 0 };
  const COLUMN = '0364656600000001610001';
  const push = (reader: ResultReader, ...packets: readonly string[]) => {
    started(reader);
    for (const packet of packets) reader.next(Buffer.from(packet, 'hex'));
  };

  test.each([
    ['an empty packet', ['']],
    ['a hint for a file', ['fb78']],
    ['what is no EOF behind the columns', ['01', COLUMN, '0131']],
    ['a column definition that is cut short', ['01', '03646566']],
    ['a row that is cut short', ['01', COLUMN, 'fe00000200', '0231']],
  ])('in answer to a statement of ours: %s', (_what, packets) =>
    expect(() => push(readingQueryResult(PLAIN), ...packets)).toThrow(MalformedPacketError),
  );

  test.each(['0100', '0001000000'])('in answer to PREPARE: %s, neither OK nor ERR', (hex) =>
    expect(() => push(readingPrepareResult(PLAIN), hex)).toThrow(MalformedPacketError),
  );

  test('more rows than a statement of ours can have', () => {
    const reader = readingQueryResult(PLAIN);
    push(reader, '01', COLUMN, 'fe00000200');
    const row = Buffer.from('0131', 'hex');
    for (let count = 0; count < 10_000; count++) reader.next(row);
    expect(() => reader.next(row)).toThrow(MalformedPacketError);
  });
});

test('a row whose first value is 16 MiB long is no terminator (wire 35)', () => {
  const reader = started(readingQueryResult({ flags: 1 << 24, mariadb: 0 }));
  reader.next(Buffer.from('01', 'hex'));
  reader.next(Buffer.from('0364656600000001610001', 'hex'));
  const row = Buffer.alloc(0x1000009, 0x61);
  Buffer.from('fe0000000100000000', 'hex').copy(row);
  expect(reader.next(row).done).toBe(false);
  expect(reader.next(Buffer.from('fe000002000000', 'hex'))).toMatchObject({
    value: { kind: 'rows' },
  });
});
