/**
 * OK_Packet, of which only the fields that we need are read; what follows them (info, session
 * state) is kept as it came.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html
 */
import { PacketReader } from '../packet-reader.js';
import { SERVER_MORE_RESULTS_EXISTS } from '../status.js';

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

/** The same packet, behind which another result follows. */
export function okWithMoreResults(payload: Buffer): Buffer {
  return okWithStatus(payload, SERVER_MORE_RESULTS_EXISTS);
}

/** The same packet with one more flag. */
export function okWithStatus(payload: Buffer, flag: number): Buffer {
  const at = statusOffset(payload);
  const changed = Buffer.from(payload);
  changed.writeUInt16LE(changed.readUInt16LE(at) | flag, at);
  return changed;
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
