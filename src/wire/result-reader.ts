/**
 * Reads one whole response to a statement of ours out of packets, by the session's own
 * capabilities. For our own statements only: no LOCAL INFILE, no cursors, one result set.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response.html
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_prepare.html#sect_protocol_com_stmt_prepare_response
 *
 * Invariant: a reader says that it is done exactly at the last packet of its response.
 */
import {
  type Capabilities,
  CLIENT_DEPRECATE_EOF,
  CLIENT_OPTIONAL_RESULTSET_METADATA,
  hasFlag,
  MARIADB_CLIENT_CACHE_METADATA,
} from './capabilities.js';
import { MalformedPacketError, PacketReader } from './packet-reader.js';
import { decodeErr, decodeOk, type ErrPacket, type OkPacket } from './response.js';

export interface RowsResult {
  readonly kind: 'rows';
  /** Names of the columns in character_set_results. */
  readonly columns: readonly Buffer[];
  readonly rows: readonly (readonly (Buffer | null)[])[];
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

/** Rows that our own statements may return; more is a mistake of ours or of the server. */
const ROWS_MAX = 10_000;
/** Errno of MariaDB's report of progress, which ends nothing. */
const PROGRESS = 0xffff;

/** `push` takes the packets of the response in order and returns the result at the last of them. */
export interface ResultReader {
  push(payload: Buffer): Result | null;
}

/** Reader of a COM_QUERY response. */
export function queryResultReader(capabilities: Capabilities): ResultReader {
  const deprecateEof = hasFlag(capabilities, CLIENT_DEPRECATE_EOF);
  const afterColumns = deprecateEof ? 'rows' : 'metadata-eof';
  let state: 'start' | 'columns' | 'metadata-eof' | 'rows' = 'start';
  let columnsLeft = 0;
  const columns: Buffer[] = [];
  const rows: (Buffer | null)[][] = [];

  function push(payload: Buffer): Result | null {
    const first = payload[0];
    if (first === 0xff && (state === 'start' || state === 'rows')) {
      const error = decodeErr(payload);
      // MariaDB's progress report: not the end (https://mariadb.com/kb/en/progress-reporting/).
      if (error.errno === PROGRESS) return null;
      return state === 'start' ? error : { ...error, rows };
    }
    switch (state) {
      case 'start':
        if (first === 0x00) return decodeOk(payload);
        if (first === undefined || first === 0xfb) throw unexpected('start', payload);
        columnsLeft = new PacketReader(payload, 'column_count').lenencInt('column_count');
        state = hasColumnDefinitions(payload, capabilities) ? 'columns' : afterColumns;
        return null;
      case 'columns':
        columns.push(decodeColumnName(payload));
        columnsLeft--;
        if (columnsLeft === 0) state = afterColumns;
        return null;
      case 'metadata-eof':
        if (!isTerminator(payload, false)) throw unexpected('EOF after columns', payload);
        state = 'rows';
        return null;
      case 'rows':
        if (isTerminator(payload, deprecateEof)) return { kind: 'rows', columns, rows };
        if (rows.length >= ROWS_MAX) throw new MalformedPacketError(`More than ${ROWS_MAX} rows.`);
        rows.push(decodeTextRow(payload));
        return null;
    }
  }
  return { push };
}

/** Reader of a COM_STMT_PREPARE response. */
export function prepareResultReader(capabilities: Capabilities): ResultReader {
  const deprecateEof = hasFlag(capabilities, CLIENT_DEPRECATE_EOF);
  let packetsLeft = -1;
  let statementId = 0;
  let first: Buffer = Buffer.alloc(0);
  let definitions = 0;
  return {
    push(payload) {
      if (packetsLeft < 0) {
        if (payload[0] === 0xff) return decodeErr(payload);
        const reader = new PacketReader(payload, 'COM_STMT_PREPARE_OK');
        reader.expectByte(0x00, 'status'); //              int<1>
        statementId = reader.uint32('statement_id'); //    int<4>
        const columns = reader.uint16('num_columns'); //   int<2>
        const params = reader.uint16('num_params'); //     int<2>
        reader.uint8('reserved_1'); //                     int<1>
        if (reader.left >= 2) reader.uint16('warning_count'); // int<2>
        const described =
          !hasFlag(capabilities, CLIENT_OPTIONAL_RESULTSET_METADATA) ||
          reader.left === 0 ||
          reader.uint8('metadata_follows') === 1; //       int<1>
        first = payload;
        definitions = columns + params;
        packetsLeft = groupPackets(columns, described) + groupPackets(params, described);
      } else {
        packetsLeft--;
      }
      if (packetsLeft > 0) return null;
      return { kind: 'prepared', statementId, payload: first, definitions };
    },
  };

  /** A group of definitions ends with an EOF unless deprecated, even if they are left out. */
  function groupPackets(count: number, described: boolean): number {
    if (count === 0) return 0;
    return (described ? count : 0) + (deprecateEof ? 0 : 1);
  }
}

/** The byte after column_count, if one of the two capabilities puts it there. */
function hasColumnDefinitions(payload: Buffer, capabilities: Capabilities): boolean {
  const flagged =
    hasFlag(capabilities, CLIENT_OPTIONAL_RESULTSET_METADATA) ||
    (capabilities.mariadb & MARIADB_CLIENT_CACHE_METADATA) !== 0;
  if (!flagged) return true;
  const reader = new PacketReader(payload, 'column_count');
  reader.lenencInt('column_count');
  return reader.left === 0 || reader.uint8('metadata_follows') === 1;
}

function isTerminator(payload: Buffer, deprecateEof: boolean): boolean {
  if (payload[0] !== 0xfe) return false;
  return deprecateEof ? payload.length < 0xffffff : payload.length <= 5;
}

/** Protocol::ColumnDefinition41: catalog, schema, table, org_table, name, … */
function decodeColumnName(payload: Buffer): Buffer {
  const reader = new PacketReader(payload, 'ColumnDefinition41');
  for (const field of ['catalog', 'schema', 'table', 'org_table']) reader.lenencBytes(field);
  return reader.lenencBytes('name');
}

/** ProtocolText::ResultsetRow */
function decodeTextRow(payload: Buffer): (Buffer | null)[] {
  const reader = new PacketReader(payload, 'ResultsetRow');
  const values: (Buffer | null)[] = [];
  while (reader.left > 0) values.push(reader.lenencBytesOrNull('column'));
  return values;
}

function unexpected(where: string, payload: Buffer): MalformedPacketError {
  const first = payload[0]?.toString(16) ?? 'nothing';
  return new MalformedPacketError(`Response: unexpected first byte ${first} at ${where}.`);
}
