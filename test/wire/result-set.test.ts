/** Result sets of undrop's own, read again by the reader that reads those of servers. */
import * as caps from '../../src/wire/capabilities.js';
import { PacketReader } from '../../src/wire/packet-reader.js';
import { readingPrepareResult, readingQueryResult } from '../../src/wire/response.js';
import type { Column, ResultSetOptions } from '../../src/wire/result-set.js';
import { encodePrepareOk, encodeResultSet } from '../../src/wire/result-set.js';
import { readWhole } from '../support/results.js';

const COLUMNS: readonly Column[] = [
  { name: 'Id', type: 'text' },
  { name: 'Rows', type: 'number' },
  { name: 'Tëxt', type: 'text' },
];
const LONG = 'ä'.repeat(300);
const ROWS = [
  ['a', 0, 'é€😀'],
  [null, null, null],
  ['', 9_007_199_254_740_991, LONG],
] as const;
const AUTOCOMMIT = 2;

const base = caps.CLIENT_PROTOCOL_41;
const newer = base | caps.CLIENT_DEPRECATE_EOF;
const optional = caps.CLIENT_OPTIONAL_RESULTSET_METADATA;
const mariadb = caps.MARIADB_CLIENT_CACHE_METADATA | caps.MARIADB_CLIENT_EXTENDED_METADATA;
const CAPABILITIES: readonly (readonly [name: string, capabilities: caps.Capabilities])[] = [
  ['with EOF', { flags: base, mariadb: 0 }],
  ['without EOF', { flags: newer, mariadb: 0 }],
  ['of optional metadata', { flags: newer | optional, mariadb: 0 }],
  ['of optional metadata, with EOF', { flags: base | optional, mariadb: 0 }],
  ['of MariaDB', { flags: newer, mariadb }],
];

function optionsOf(capabilities: caps.Capabilities, more: Partial<ResultSetOptions> = {}) {
  const plain = { statusFlags: AUTOCOMMIT, warnings: 0, isBinary: false, charset: 'utf8mb4' };
  return { ...plain, capabilities, ...more };
}

const texts = (row: readonly (string | number | null)[]) =>
  row.map((value) => (value === null ? null : Buffer.from(String(value))));

describe.each(CAPABILITIES)('a session %s', (_name, capabilities) => {
  test('reads columns and rows as they were', () => {
    const packets = encodeResultSet({ columns: COLUMNS, rows: ROWS }, optionsOf(capabilities));
    expect(readWhole(readingQueryResult(capabilities), packets)).toEqual({
      kind: 'rows',
      columns: COLUMNS.map(({ name }) => Buffer.from(name)),
      rows: ROWS.map(texts),
      statusFlags: optionsOf(capabilities).statusFlags,
    });
  });

  test('reads a result set without rows', () => {
    const packets = encodeResultSet({ columns: COLUMNS, rows: [] }, optionsOf(capabilities));
    expect(readWhole(readingQueryResult(capabilities), packets)).toMatchObject({ rows: [] });
  });

  test('finds the same definitions at the PREPARE', () => {
    const hasFlag = (capabilities.flags & caps.CLIENT_OPTIONAL_RESULTSET_METADATA) !== 0;
    const ofServer = Buffer.from([0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...(hasFlag ? [0] : [])]);
    const packets = encodePrepareOk(ofServer, COLUMNS, optionsOf(capabilities));
    expect(readWhole(readingPrepareResult(capabilities), packets)).toMatchObject({
      kind: 'prepared',
      statementId: 7,
      definitions: COLUMNS.length,
    });
    const rows = encodeResultSet({ columns: COLUMNS, rows: [] }, optionsOf(capabilities));
    expect(packets.slice(1, 1 + COLUMNS.length)).toEqual(rows.slice(1, 1 + COLUMNS.length));
    const none = encodePrepareOk(ofServer, [], optionsOf(capabilities));
    expect(readWhole(readingPrepareResult(capabilities), none)).toMatchObject({ definitions: 0 });
  });

  test('is told the flags and warnings at every end of packets', () => {
    const statusFlags = AUTOCOMMIT | caps.SERVER_MORE_RESULTS_EXISTS | 0x4000;
    const options = optionsOf(capabilities, { statusFlags, warnings: 3 });
    const packets = encodeResultSet({ columns: COLUMNS, rows: ROWS }, options);
    const isEnd = (packet: Buffer) => packet[0] === 0xfe && packet.length < 9;
    const deprecated = (capabilities.flags & caps.CLIENT_DEPRECATE_EOF) !== 0;
    const ends = packets.filter(isEnd);
    expect(ends).toHaveLength(deprecated ? 1 : 2);
    for (const end of ends) {
      const at = deprecated ? { flags: 3, warnings: 5 } : { flags: 3, warnings: 1 };
      expect(end.readUInt16LE(at.flags)).toBe(AUTOCOMMIT | caps.SERVER_MORE_RESULTS_EXISTS);
      expect(end.readUInt16LE(at.warnings)).toBe(3);
    }
  });

  test('reads the binary protocol’s rows', () => {
    const options = optionsOf(capabilities, { isBinary: true });
    const packets = encodeResultSet({ columns: COLUMNS, rows: ROWS }, options);
    const first = packets.length - 1 - ROWS.length;
    expect(packets.slice(first, -1).map(binaryRow)).toEqual(ROWS);
  });
});

test('a bitmap of many columns has a bit for each', () => {
  const columns = Array.from({ length: 14 }, (_, index) => {
    return { name: `c${index}`, type: 'text' as const };
  });
  const row = columns.map((_column, index) => (index % 3 === 0 ? null : 'x'));
  const options = optionsOf({ flags: base, mariadb: 0 }, { isBinary: true });
  const packet = encodeResultSet({ columns, rows: [row] }, options).at(-2) ?? Buffer.alloc(0);
  const bitmap = packet.subarray(1, 1 + 2);
  const isNull = (index: number) => ((bitmap[(index + 2) >> 3] ?? 0) >> ((index + 2) & 7)) & 1;
  expect(columns.map((_column, index) => isNull(index) === 1)).toEqual(
    row.map((value) => value === null),
  );
  expect(packet).toHaveLength(3 + 2 * row.filter((value) => value !== null).length);
});

test.each([
  ['utf8mb4', 'é€😀'],
  ['', 'é€😀'],
  ['binary', 'é€😀'],
  ['utf8mb3', 'é€?'],
  ['utf8', 'é€?'],
  ['latin1', '???'],
  ['sjis', '???'],
])('texts to a session with results in %s', (charset, expected) => {
  const options = optionsOf({ flags: base, mariadb: 0 }, { charset });
  const packets = encodeResultSet({ columns: COLUMNS, rows: ROWS }, options);
  const result = readWhole(readingQueryResult(options.capabilities), packets);
  expect(result.kind === 'rows' && result.rows[0]?.[2]?.toString()).toBe(expected);
});

function binaryRow(packet: Buffer): unknown[] {
  const reader = new PacketReader(packet, 'row');
  expect(reader.int(1, 'header')).toBe(0);
  const bitmap = reader.bytes((COLUMNS.length + 9) >> 3, 'bitmap');
  const row = COLUMNS.map(({ type }, index) => {
    const bit = index + 2;
    if (((bitmap[bit >> 3] ?? 0) >> (bit & 7)) & 1) return null;
    if (type === 'text') return reader.lenencBytes('text').toString();
    return Number(reader.bytes(8, 'number').readBigUInt64LE());
  });
  expect(reader.left).toBe(0);
  return row;
}
