/**
 * Commands of a client (the first byte of a packet with sequence id 0 in the command phase), the
 * commands that are relayed, and the offset of the statement text in a COM_QUERY.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/my__command_8h.html
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query.html
 * https://mariadb.com/kb/en/2-text-protocol/ and 3-binary-protocol-prepared-statements/ for 0xFA
 */
import * as caps from './capabilities.js';
import { MalformedPacketError, PacketReader } from './packet-reader.js';

export const COM_SLEEP = 0x00;
export const COM_QUIT = 0x01;
export const COM_INIT_DB = 0x02;
export const COM_QUERY = 0x03;
export const COM_FIELD_LIST = 0x04;
export const COM_CREATE_DB = 0x05;
export const COM_DROP_DB = 0x06;
export const COM_REFRESH = 0x07;
export const COM_SHUTDOWN = 0x08;
export const COM_STATISTICS = 0x09;
export const COM_PROCESS_INFO = 0x0a;
export const COM_PROCESS_KILL = 0x0c;
export const COM_DEBUG = 0x0d;
export const COM_PING = 0x0e;
export const COM_CHANGE_USER = 0x11;
export const COM_BINLOG_DUMP = 0x12;
export const COM_REGISTER_SLAVE = 0x15;
export const COM_STMT_PREPARE = 0x16;
export const COM_STMT_EXECUTE = 0x17;
export const COM_STMT_SEND_LONG_DATA = 0x18;
export const COM_STMT_CLOSE = 0x19;
export const COM_STMT_RESET = 0x1a;
export const COM_SET_OPTION = 0x1b;
export const COM_STMT_FETCH = 0x1c;
export const COM_BINLOG_DUMP_GTID = 0x1e;
export const COM_RESET_CONNECTION = 0x1f;
export const COM_STMT_BULK_EXECUTE = 0xfa;

/** The acknowledgement of a semi-synchronous replica; the server doesn't answer it. */
export const SEMI_SYNC_ACK = 0xef;

/**
 * Commands up to COM_RESET_CONNECTION that undrop answers with error 1047 instead of relaying them:
 * COM_DROP_DB, those that only servers use (COM_CONNECT, COM_TIME, COM_DELAYED_INSERT), and those
 * that change the protocol (COM_TABLE_DUMP, COM_CONNECT_OUT, COM_DAEMON). Later commands change the
 * protocol too, or are unknown.
 */
const NOT_RELAYED: readonly number[] = [COM_DROP_DB, 0x0b, 0x0f, 0x10, 0x13, 0x14, 0x1d];

export function isRelayedCommand(command: number): boolean {
  const isKnown =
    command <= COM_RESET_CONNECTION ||
    command === COM_STMT_BULK_EXECUTE ||
    command === SEMI_SYNC_ACK;
  return isKnown && !NOT_RELAYED.includes(command);
}

/**
 * Offset of the statement text in the payload of a COM_QUERY. The text follows the query
 * attributes: `mysql` since 8.0.23 sends `03 00 01 <text>`.
 */
export function queryTextOffset(payload: Buffer, capabilities: caps.Capabilities): number {
  if (!caps.hasFlag(capabilities, caps.CLIENT_QUERY_ATTRIBUTES)) return 1;
  const reader = new PacketReader(payload, 'COM_QUERY');
  reader.int(1, 'command'); //                                          int<1>
  const count = reader.lenencInt('parameter_count'); //                int<lenenc>
  const sets = reader.lenencInt('parameter_set_count'); //             int<lenenc>
  if (sets !== 1) throw malformed(`parameter_set_count is ${sets}, expected 1`);
  if (count > 0) skipParameters(reader, count);
  return reader.offset;
}

function skipParameters(reader: PacketReader, count: number): void {
  if (count > 0xffff) throw malformed(`parameter_count ${count} is above 65535`);
  const nulls = reader.bytes(Math.floor((count + 7) / 8), 'null_bitmap');
  const bound = reader.int(1, 'new_params_bind_flag');
  if (bound !== 1) throw malformed(`new_params_bind_flag is ${bound}, expected 1`);
  const types: number[] = [];
  for (let index = 0; index < count; index++) {
    types.push(reader.int(2, 'param_type') & ~UNSIGNED); //            int<2>
    reader.lenencBytes('parameter name'); //                           string<lenenc>
  }
  for (const [index, type] of types.entries()) {
    const isNull = (((nulls[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
    if (!isNull) skipBinaryValue(reader, type);
  }
}

/**
 * Skips a value as the server does, not as a row is written: all but six types have a length in
 * front, dates, INT24, YEAR and NULL too. A different idea of where the text begins would let a
 * client hide a statement in a value.
 */
function skipBinaryValue(reader: PacketReader, type: number): void {
  const fixed = FIXED_BYTES[type];
  if (fixed !== undefined) reader.bytes(fixed, 'parameter_value');
  else if (LENENC_TYPES.has(type)) reader.lenencBytes('parameter_value');
  else throw malformed(`unknown parameter type ${type}`);
}

/** In the upper byte of the type; the other bits there are a part of the type. */
const UNSIGNED = 0x8000;

/** TINY, SHORT, LONG, FLOAT, DOUBLE, LONGLONG. */
const FIXED_BYTES: Readonly<Record<number, number>> = { 1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 8: 8 };
/**
 * DECIMAL, NULL, TIMESTAMP, INT24, DATE, TIME, DATETIME, YEAR, VARCHAR, BIT, VECTOR, JSON,
 * NEWDECIMAL, ENUM, SET, BLOBs, VAR_STRING, STRING, GEOMETRY.
 */
const LENENC_TYPES: ReadonlySet<number> = new Set([
  0, 6, 7, 9, 10, 11, 12, 13, 15, 16, 242, 245, 246, 247, 248, 249, 250, 251, 252, 253, 254, 255,
]);

function malformed(problem: string): MalformedPacketError {
  return new MalformedPacketError(`COM_QUERY: ${problem}.`);
}

/** A COM_QUERY without attributes, for a session with these capabilities. */
export function encodeComQuery(text: Uint8Array, capabilities: caps.Capabilities): Buffer {
  const head = caps.hasFlag(capabilities, caps.CLIENT_QUERY_ATTRIBUTES)
    ? [COM_QUERY, 0x00, 0x01]
    : [COM_QUERY];
  return Buffer.concat([Buffer.from(head), text]);
}

const BEFORE_STATEMENTS: readonly number[] = [
  ...[COM_INIT_DB, COM_PING, COM_STMT_PREPARE],
  ...[COM_STMT_RESET, COM_SET_OPTION, COM_RESET_CONNECTION],
];

/** Clients and their pools send it to begin: after its answer they count on the connection. */
export function precedesStatement(command: number): boolean {
  return BEFORE_STATEMENTS.includes(command);
}
