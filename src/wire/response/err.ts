/**
 * ERR_Packet.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html
 */
import { PacketReader } from '../packet-reader.js';

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

/** An ERR of our own. Without `sqlState` in the shape of an error before the greeting. */
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
