/**
 * Encodes the result sets of undrop: columns of text and of integers, rows for the text and for the
 * binary protocol, and the response to a COM_STMT_PREPARE of such a statement.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset.html
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html
 * https://mariadb.com/kb/en/result-set-packets/ for the capabilities of MariaDB alone
 *
 * Invariant: `wire/response.ts` reads these result sets under the same capabilities.
 */
import { assert } from '../errors.js';
import * as caps from './capabilities.js';
import { lenenc, lenencInt } from './response.js';

export interface Column {
  readonly name: string;
  readonly type: 'text' | 'number';
}

/** A number is an integer from 0 to 2^53. */
export type Value = string | number | null;

export interface ResultSet {
  readonly columns: readonly Column[];
  /** Each row has a value for each column. */
  readonly rows: readonly (readonly Value[])[];
}

export interface ResultSetOptions {
  readonly capabilities: caps.Capabilities;
  /** The flags of the session's last OK, with SERVER_MORE_RESULTS_EXISTS if more results follow. */
  readonly statusFlags: number;
  readonly warnings: number;
  /** For the response to a COM_STMT_EXECUTE. */
  readonly isBinary: boolean;
  /** character_set_results; empty: texts are sent unconverted. */
  readonly charset: string;
}

const [TYPE_LONGLONG, TYPE_VAR_STRING] = [0x08, 0xfd];
/** Collations: utf8mb4_general_ci for texts, `binary` for others. */
const [TEXT_COLLATION, BINARY_COLLATION] = [45, 63];
const [UNSIGNED_FLAG, BINARY_FLAG] = [32, 128];
/** The declared maximum lengths of values. */
const [TEXT_BYTES_MAX, NUMBER_DIGITS_MAX] = [65_535, 20];
const CODE_POINT_BYTES_MAX = 3;

/** The payloads of all packets, in their order. */
export function encodeResultSet(
  { columns, rows }: ResultSet,
  options: ResultSetOptions,
): readonly Buffer[] {
  const { isBinary } = options;
  const encodeRow = isBinary ? binaryRow : textRow;
  return [
    columnCount(columns.length, options),
    ...definitions(columns, options),
    ...rows.map((row) => {
      assert(row.length === columns.length, 'a row has a value for each column');
      return encodeRow(row, options);
    }),
    caps.hasFlag(options.capabilities, caps.CLIENT_DEPRECATE_EOF)
      ? okAtTheEnd(options)
      : eof(options),
  ];
}

/**
 * The response to a COM_STMT_PREPARE, made from the server's response for a statement without
 * columns and parameters, whose id it takes.
 */
export function encodePrepareOk(
  ofServer: Buffer,
  columns: readonly Column[],
  options: ResultSetOptions,
): readonly Buffer[] {
  const ok = Buffer.from(ofServer);
  ok.writeUInt16LE(columns.length, PREPARE_OK_COLUMNS);
  if (ok.length > PREPARE_OK_METADATA) ok[PREPARE_OK_METADATA] = 1;
  return [ok, ...(columns.length === 0 ? [] : definitions(columns, options))];
}

/** Offsets of COM_STMT_PREPARE_OK: num_columns, metadata_follows. */
const [PREPARE_OK_COLUMNS, PREPARE_OK_METADATA] = [5, 12];

function columnCount(count: number, { capabilities }: ResultSetOptions): Buffer {
  const saysMetadata =
    caps.hasFlag(capabilities, caps.CLIENT_OPTIONAL_RESULTSET_METADATA) ||
    (capabilities.mariadb & caps.MARIADB_CLIENT_CACHE_METADATA) !== 0;
  return Buffer.concat([
    lenencInt(count), //                                       int<lenenc> column_count
    Buffer.from(saysMetadata ? [1] : []), //                   int<1> metadata_follows
  ]);
}

/** The definitions, and the EOF that ends them unless that is deprecated. */
function definitions(columns: readonly Column[], options: ResultSetOptions): readonly Buffer[] {
  const all = columns.map((column) => definition(column, options));
  return caps.hasFlag(options.capabilities, caps.CLIENT_DEPRECATE_EOF)
    ? all
    : [...all, eof(options)];
}

function definition({ name, type }: Column, options: ResultSetOptions): Buffer {
  const { capabilities } = options;
  const isText = type === 'text';
  const isExtended = (capabilities.mariadb & caps.MARIADB_CLIENT_EXTENDED_METADATA) !== 0;
  const fixed = Buffer.alloc(12);
  fixed.writeUInt16LE(isText ? TEXT_COLLATION : BINARY_COLLATION, 0); // int<2> character_set
  fixed.writeUInt32LE(isText ? TEXT_BYTES_MAX : NUMBER_DIGITS_MAX, 2); // int<4> column_length
  fixed[6] = isText ? TYPE_VAR_STRING : TYPE_LONGLONG; //               int<1> type
  fixed.writeUInt16LE(isText ? 0 : UNSIGNED_FLAG | BINARY_FLAG, 7); //  int<2> flags
  return Buffer.concat([
    text('def', options), //                                   string<lenenc> catalog
    ...[lenencInt(0), lenencInt(0), lenencInt(0)], //          schema, table, org_table
    text(name, options), //                                    string<lenenc> name
    lenencInt(0), //                                           string<lenenc> org_name
    ...(isExtended ? [lenencInt(0)] : []), //                  MariaDB's extended metadata: none
    lenencInt(fixed.length), //                                int<lenenc> length of what follows
    fixed,
  ]);
}

function textRow(row: readonly Value[], options: ResultSetOptions): Buffer {
  const values = row.map((value) =>
    value === null ? Buffer.from([0xfb]) : text(String(value), options),
  );
  return Buffer.concat(values);
}

function binaryRow(row: readonly Value[], options: ResultSetOptions): Buffer {
  // The header, and a bitmap of the values that are NULL, whose first two bits aren't used.
  const head = Buffer.alloc(1 + ((row.length + 9) >> 3));
  const values = row.map((value, index) => {
    if (value !== null) return typeof value === 'number' ? int8(value) : text(value, options);
    const at = 1 + ((index + 2) >> 3);
    head[at] = (head[at] ?? 0) | (1 << ((index + 2) & 7));
    return Buffer.alloc(0);
  });
  return Buffer.concat([head, ...values]);
}

/** `int<8>`. */
function int8(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** In UTF-8; in a session with other results, characters outside ASCII become question marks. */
function text(value: string, { charset }: ResultSetOptions): Buffer {
  return lenenc(Buffer.from(isReadAsUtf8(charset) ? inCharset(value, charset) : ascii(value)));
}

function isReadAsUtf8(charset: string): boolean {
  return charset === '' || charset === 'binary' || charset.startsWith('utf8');
}

/** utf8 and utf8mb3 have no characters beyond the BMP. */
function inCharset(value: string, charset: string): string {
  return charset === 'utf8' || charset === 'utf8mb3' ? ascii(value, CODE_POINT_BYTES_MAX) : value;
}

function ascii(value: string, bytesMax = 1): string {
  return Array.from(value, (one) => (Buffer.byteLength(one) > bytesMax ? '?' : one)).join('');
}

function eof({ statusFlags, warnings }: ResultSetOptions): Buffer {
  const bytes = Buffer.alloc(5);
  bytes[0] = 0xfe; //                                          int<1>
  bytes.writeUInt16LE(warnings, 1); //                         int<2>
  bytes.writeUInt16LE(flagsOf(statusFlags), 3); //             int<2>
  return bytes;
}

/** The OK in place of the EOF. */
function okAtTheEnd({ statusFlags, warnings }: ResultSetOptions): Buffer {
  const bytes = Buffer.alloc(7);
  bytes[0] = 0xfe; //                                          int<1>, no rows, no id
  bytes.writeUInt16LE(flagsOf(statusFlags), 3); //             int<2>
  bytes.writeUInt16LE(warnings, 5); //                         int<2>
  return bytes;
}

/** The flags without a change of the session state. */
function flagsOf(statusFlags: number): number {
  return statusFlags & ~caps.SERVER_SESSION_STATE_CHANGED;
}
