/**
 * OK_Packet, ERR_Packet and result sets. Undrop reads only the fields that it needs; the rest of an
 * OK (info, session state) is kept unchanged.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html
 */

import * as caps from './capabilities.js';
import { PAYLOAD_BYTES_MAX } from './framing.js';
import { MalformedPacketError, PacketReader } from './packet-reader.js';

export interface OkPacket {
  readonly kind: 'ok';
  /** The whole payload, as the server sent it. */
  readonly payload: Buffer;
  readonly affectedRows: number;
  readonly statusFlags: number;
  readonly warnings: number;
}

export function decodeOk(payload: Buffer): OkPacket {
  const reader = new PacketReader(payload, 'OK_Packet');
  reader.int(1, 'header'); //                                  int<1> 0x00 or 0xFE
  const affectedRows = reader.lenencInt('affected_rows'); //  int<lenenc>
  reader.lenencInt('last_insert_id'); //                      int<lenenc>
  const statusFlags = reader.int(2, 'status_flags'); //       int<2>
  const warnings = reader.int(2, 'warnings'); //              int<2>
  return { kind: 'ok', payload, affectedRows, statusFlags, warnings };
}

/** The packet with another count of warnings. */
export function okWithWarnings({ payload }: OkPacket, warnings: number): Buffer {
  const changed = Buffer.from(payload);
  changed.writeUInt16LE(warnings, statusOffset(payload) + 2);
  return changed;
}

/** The packet with another count of rows. */
export function okWithAffectedRows({ payload }: OkPacket, affectedRows: number): Buffer {
  const reader = new PacketReader(payload, 'OK_Packet');
  const head = reader.int(1, 'header');
  reader.lenencInt('affected_rows');
  const rest = payload.subarray(reader.offset);
  return Buffer.concat([Buffer.from([head]), lenencInt(affectedRows), rest]);
}

/**
 * The packet with an info text made from its present one. The text has its length in front on all
 * servers, also without CLIENT_SESSION_TRACK, where the manual calls it string<EOF>.
 */
export function okWithInfo(payload: Buffer, infoOf: (info: Buffer) => Buffer): Buffer {
  const at = statusOffset(payload) + 4;
  const rest = new PacketReader(payload.subarray(at), 'OK_Packet');
  const info = rest.left > 0 ? rest.lenencBytes('info') : Buffer.alloc(0);
  const state = payload.subarray(at + rest.offset);
  return Buffer.concat([payload.subarray(0, at), lenenc(infoOf(info)), state]);
}

/** The default schema that session tracking reports in an OK; null: it reports none. */
export function trackedSchema(payload: Buffer): Buffer | null {
  const reader = new PacketReader(payload, 'OK_Packet');
  reader.bytes(statusOffset(payload) + 4, 'head');
  reader.lenencBytes('info'); //                              string<lenenc>
  reader.lenencInt('session_state_changes'); //               int<lenenc>
  while (reader.left > 0) {
    const type = reader.int(1, 'type'); //                    int<1>
    const data = reader.lenencBytes('data'); //               string<lenenc>
    if (type !== SESSION_TRACK_SCHEMA) continue;
    return new PacketReader(data, 'OK_Packet').lenencBytes('schema');
  }
  return null;
}

const SESSION_TRACK_SCHEMA = 1;

/** The packet with one more status flag. */
export function okWithStatus(payload: Buffer, flag: number): Buffer {
  const at = statusOffset(payload);
  const changed = Buffer.from(payload);
  changed.writeUInt16LE(changed.readUInt16LE(at) | flag, at);
  return changed;
}

/** `bytes` with their length in front. */
export function lenenc(bytes: Buffer): Buffer {
  return Buffer.concat([lenencInt(bytes.length), bytes]);
}

export function lenencInt(value: number): Buffer {
  if (value < 0xfb) return Buffer.from([value]);
  const size = value <= 0xffff ? 2 : value <= 0xffffff ? 3 : 8;
  const bytes = Buffer.alloc(1 + size);
  bytes[0] = size === 2 ? 0xfc : size === 3 ? 0xfd : 0xfe;
  bytes.writeUIntLE(value, 1, Math.min(size, 6));
  return bytes;
}

function statusOffset(payload: Buffer): number {
  const reader = new PacketReader(payload, 'OK_Packet');
  reader.int(1, 'header');
  reader.lenencInt('affected_rows');
  reader.lenencInt('last_insert_id');
  const { offset } = reader;
  reader.int(4, 'status_flags and warnings');
  return offset;
}

export interface ErrPacket {
  readonly kind: 'err';
  /** The whole payload, as the server sent it. */
  readonly payload: Buffer;
  readonly errno: number;
  /** Empty before the capabilities are agreed. */
  readonly sqlState: string;
  /** In the session's character_set_results. */
  readonly message: Buffer;
}

export function decodeErr(payload: Buffer): ErrPacket {
  if (payload[0] !== 0xff) throw unexpected('ERR_Packet', payload);
  const reader = new PacketReader(payload, 'ERR_Packet');
  reader.int(1, 'header'); //                                 int<1>
  const errno = reader.int(2, 'error_code'); //               int<2>
  const rest = reader.rest();
  const hasState = rest[0] === 0x23; // '#'                   string[1] + string[5]
  return {
    kind: 'err',
    payload,
    errno,
    sqlState: hasState ? rest.subarray(1, 6).toString('latin1') : '',
    message: hasState ? rest.subarray(6) : rest, //           string<EOF>
  };
}

/** An ERR of undrop. Without `sqlState` it has the form of an error before the greeting. */
export function encodeErr(error: {
  readonly errno: number;
  readonly sqlState: string | null;
  readonly message: Uint8Array;
}): Buffer {
  const head = Buffer.alloc(3);
  head[0] = 0xff;
  head.writeUInt16LE(error.errno, 1);
  const state = error.sqlState === null ? '' : `#${error.sqlState}`;
  return Buffer.concat([head, Buffer.from(state, 'latin1'), error.message]);
}

// ── result sets ──────────────────────────────────────────────────────────────────────────────────
// Reads one whole response to a statement of ours out of packets, by the session's own
// capabilities. For our own statements only: no LOCAL INFILE, no cursors, one result set.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response.html
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_prepare.html#sect_protocol_com_stmt_prepare_response
//
// Invariant: a reader says that it is done exactly at the last packet of its response.

export interface RowsResult {
  readonly kind: 'rows';
  /** Names of the columns in character_set_results. */
  readonly columns: readonly Buffer[];
  readonly rows: readonly (readonly (Buffer | null)[])[];
  readonly statusFlags: number;
}

export interface PreparedResult {
  readonly kind: 'prepared';
  readonly statementId: number;
  /** COM_STMT_PREPARE_OK as the server sent it. */
  readonly payload: Buffer;
  /** Columns and parameters together. */
  readonly definitions: number;
}

/** `rows` that came before it. */
export interface ErrResult extends ErrPacket {
  readonly rows?: RowsResult['rows'];
}

export type Result = OkPacket | ErrResult | RowsResult | PreparedResult;

/** The maximum for statements of undrop; more rows are a defect of undrop or of the server. */
const ROWS_MAX = 10_000;
/** The longest EOF packet; a longer packet with this first byte is a row. */
const EOF_BYTES_MAX = 5;
/** The longest OK packet in the place of an EOF. */
const OK_BYTES_MAX = PAYLOAD_BYTES_MAX - 1;

function statusOfEof(payload: Buffer): number {
  const reader = new PacketReader(payload, 'EOF_Packet');
  reader.int(1, 'header'); //           int<1> 0xFE
  reader.int(2, 'warnings'); //         int<2>
  return reader.int(2, 'status_flags'); // int<2>
}

/** Reads the packets of one response in order, and returns the result at the last one. */
export type ResultReader = Generator<undefined, Result, Buffer>;

/** Reads the response to a COM_QUERY. */
export function* readingQueryResult(capabilities: caps.Capabilities): ResultReader {
  const deprecateEof = caps.hasFlag(capabilities, caps.CLIENT_DEPRECATE_EOF);
  let start = yield;
  while (isProgress(start)) start = yield;
  if (start[0] === 0xff) return decodeErr(start);
  if (start[0] === 0x00) return decodeOk(start);
  if (start[0] === undefined || start[0] === 0xfb) throw unexpected('start', start);
  const reader = new PacketReader(start, 'column_count');
  const columnCount = reader.lenencInt('column_count'); //     int<lenenc>
  const mayLackDefinitions =
    caps.hasFlag(capabilities, caps.CLIENT_OPTIONAL_RESULTSET_METADATA) ||
    (capabilities.mariadb & caps.MARIADB_CLIENT_CACHE_METADATA) !== 0;
  const isDescribed =
    !mayLackDefinitions || reader.left === 0 || reader.int(1, 'metadata_follows') === 1;
  const columns: Buffer[] = [];
  while (isDescribed && columns.length < columnCount) {
    const definition = new PacketReader(yield, 'ColumnDefinition41');
    for (const field of ['catalog', 'schema', 'table', 'org_table']) definition.lenencBytes(field);
    columns.push(definition.lenencBytes('name'));
  }
  if (!deprecateEof) {
    const eof = yield;
    if (eof[0] !== 0xfe || eof.length > EOF_BYTES_MAX) throw unexpected('EOF after columns', eof);
  }
  const endBytesMax = deprecateEof ? OK_BYTES_MAX : EOF_BYTES_MAX;
  const rows: (Buffer | null)[][] = [];
  for (;;) {
    const payload = yield;
    if (isProgress(payload)) continue;
    if (payload[0] === 0xff) return { ...decodeErr(payload), rows };
    if (payload[0] === 0xfe && payload.length <= endBytesMax) {
      const statusFlags = deprecateEof ? decodeOk(payload).statusFlags : statusOfEof(payload);
      return { kind: 'rows', columns, rows, statusFlags };
    }
    if (rows.length >= ROWS_MAX) throw new MalformedPacketError(`More than ${ROWS_MAX} rows.`);
    const row = new PacketReader(payload, 'ResultsetRow');
    const values: (Buffer | null)[] = [];
    while (row.left > 0) values.push(row.lenencBytesOrNull('column'));
    rows.push(values);
  }
}

/** Reads the response to a COM_STMT_PREPARE. */
export function* readingPrepareResult(capabilities: caps.Capabilities): ResultReader {
  const payload = yield;
  if (payload[0] === 0xff) return decodeErr(payload);
  if (payload[0] !== 0x00) throw unexpected('status', payload);
  const reader = new PacketReader(payload, 'COM_STMT_PREPARE_OK');
  reader.int(1, 'status'); //                                 int<1>
  const statementId = reader.int(4, 'statement_id'); //       int<4>
  const columns = reader.int(2, 'num_columns'); //            int<2>
  const params = reader.int(2, 'num_params'); //              int<2>
  reader.int(1, 'reserved_1'); //                             int<1>
  if (reader.left >= 2) reader.int(2, 'warning_count'); //    int<2>
  const isDescribed =
    !caps.hasFlag(capabilities, caps.CLIENT_OPTIONAL_RESULTSET_METADATA) ||
    reader.left === 0 ||
    reader.int(1, 'metadata_follows') === 1; //               int<1>
  // A group of definitions ends with an EOF unless that is deprecated, also if it is left out.
  const eofs = caps.hasFlag(capabilities, caps.CLIENT_DEPRECATE_EOF) ? 0 : 1;
  for (const count of [columns, params]) {
    const packets = count === 0 ? 0 : (isDescribed ? count : 0) + eofs;
    for (let read = 0; read < packets; read++) yield;
  }
  return { kind: 'prepared', statementId, payload, definitions: columns + params };
}

/**
 * MariaDB's progress report, which doesn't end a response
 * (https://mariadb.com/kb/en/progress-reporting/).
 */
function isProgress(payload: Buffer): boolean {
  return payload[0] === 0xff && payload[1] === 0xff && payload[2] === 0xff;
}

function unexpected(where: string, payload: Buffer): MalformedPacketError {
  const first = payload[0]?.toString(16) ?? 'nothing';
  return new MalformedPacketError(`Response: unexpected first byte ${first} at ${where}.`);
}
