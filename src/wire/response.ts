/**
 * OK_Packet and ERR_Packet. Only the fields that we need are read; what follows them in an OK
 * (info, session state) is kept as it came.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html
 */
import { PacketReader } from './packet-reader.js';

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
  reader.uint8('header'); //                                  int<1> 0x00 or 0xFE
  const affectedRows = reader.lenencInt('affected_rows'); //  int<lenenc>
  reader.lenencInt('last_insert_id'); //                      int<lenenc>
  const statusFlags = reader.uint16('status_flags'); //       int<2>
  const warnings = reader.uint16('warnings'); //              int<2>
  return { kind: 'ok', payload, affectedRows, statusFlags, warnings };
}

/** The same packet with another count of warnings. */
export function okWithWarnings({ payload }: OkPacket, warnings: number): Buffer {
  const changed = Buffer.from(payload);
  changed.writeUInt16LE(warnings, statusOffset(payload) + 2);
  return changed;
}

/** The same packet with another count of rows. */
export function okWithAffectedRows({ payload }: OkPacket, affectedRows: number): Buffer {
  const reader = new PacketReader(payload, 'OK_Packet');
  const head = reader.uint8('header');
  reader.lenencInt('affected_rows');
  const rest = payload.subarray(reader.offset);
  return Buffer.concat([Buffer.from([head]), lenencInt(affectedRows), rest]);
}

/** The same packet with other words of the server's on what it did. */
export function okWithInfo({ payload }: Pick<OkPacket, 'payload'>, info: string): Buffer {
  const at = statusOffset(payload) + 4;
  const rest = new PacketReader(payload.subarray(at), 'OK_Packet');
  if (rest.left > 0) rest.lenencBytes('info');
  const state = payload.subarray(at + rest.offset);
  return Buffer.concat([payload.subarray(0, at), lenenc(Buffer.from(info)), state]);
}

/** The same packet with one more flag. */
export function okWithStatus(payload: Buffer, flag: number): Buffer {
  const at = statusOffset(payload);
  const changed = Buffer.from(payload);
  changed.writeUInt16LE(changed.readUInt16LE(at) | flag, at);
  return changed;
}

/** With its length in front. */
function lenenc(bytes: Buffer): Buffer {
  return Buffer.concat([lenencInt(bytes.length), bytes]);
}

function lenencInt(value: number): Buffer {
  if (value < 0xfb) return Buffer.from([value]);
  const size = value <= 0xffff ? 2 : value <= 0xffffff ? 3 : 8;
  const bytes = Buffer.alloc(1 + size);
  bytes[0] = size === 2 ? 0xfc : size === 3 ? 0xfd : 0xfe;
  bytes.writeUIntLE(value, 1, Math.min(size, 6));
  return bytes;
}

function statusOffset(payload: Buffer): number {
  const reader = new PacketReader(payload, 'OK_Packet');
  reader.uint8('header');
  reader.lenencInt('affected_rows');
  reader.lenencInt('last_insert_id');
  const { offset } = reader;
  reader.uint32('status_flags and warnings');
  return offset;
}

export interface ErrPacket {
  readonly kind: 'err';
  /** The whole payload, as the server sent it. */
  readonly payload: Buffer;
  readonly errno: number;
  /** Empty before the capabilities are agreed. */
  readonly sqlState: string;
  /** The text as bytes: it is in the session's character_set_results. */
  readonly message: Buffer;
}

export function decodeErr(payload: Buffer): ErrPacket {
  const reader = new PacketReader(payload, 'ERR_Packet');
  reader.expectByte(0xff, 'header'); //                       int<1>
  const errno = reader.uint16('error_code'); //               int<2>
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

/** An ERR of our own. Without `sqlState` it has the shape of an error before the greeting. */
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
