/**
 * The authentication packets that a bridge between a secure and an insecure connection must read:
 * the plugin and the nonce of each request.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_switch_request.html
 */
import { PacketReader } from '../packet-reader.js';

/** First bytes of the server's packets until its OK or ERR. */
export const AUTH_MORE_DATA = 0x01;
const AUTH_NEXT_FACTOR = 0x02;
const AUTH_SWITCH_REQUEST = 0xfe;

/** Bytes of the nonce that challenge-response plugins and RSA use; a NUL follows it. */
export const NONCE_BYTES = 20;

/** A request of the server to authenticate by a plugin, with a nonce. */
export interface AuthChallenge {
  /** Empty if the server named none. */
  readonly plugin: string;
  readonly nonce: Buffer;
}

/**
 * The challenge in an AuthSwitchRequest or an AuthNextFactor; null in all other packets, including
 * the old switch of one byte.
 */
export function challengeIn(payload: Buffer): AuthChallenge | null {
  const isOne = payload[0] === AUTH_SWITCH_REQUEST || payload[0] === AUTH_NEXT_FACTOR;
  if (!isOne || payload.length === 1) return null;
  const reader = new PacketReader(payload, 'AuthSwitchRequest');
  reader.int(1, 'status'); //                                int<1>
  const plugin = reader.nulBytes('plugin_name').toString(); // string<NUL>
  const nonce = Buffer.from(reader.rest().subarray(0, NONCE_BYTES)); // string<EOF>
  return { plugin, nonce };
}

/** The fields of COM_CHANGE_USER that a bridge reads. */
export interface ComChangeUser {
  /** The first response of the client. */
  readonly authResponse: Buffer;
  /** Empty if the client named none. */
  readonly plugin: string;
  /** Default schema, in the client's charset. */
  readonly schema: Buffer;
}

/** https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_change_user.html */
export function decodeComChangeUser(payload: Buffer): ComChangeUser {
  const reader = new PacketReader(payload, 'COM_CHANGE_USER');
  reader.int(1, 'command'); //                                        int<1>
  reader.nulBytes('user'); //                                        string<NUL>
  const authResponse = reader.bytes(reader.int(1, 'auth_length'), 'auth_response');
  const schema = reader.nulBytes('schema'); //                       string<NUL>
  if (reader.left < 2) return { authResponse, plugin: '', schema };
  reader.int(2, 'character_set'); //                                 int<2>
  return { authResponse, plugin: upToNul(reader.rest()), schema };
}

/** The bytes of a `string<NUL>`, which as the last field of a packet may have no NUL. */
export function upToNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.subarray(0, end < 0 ? bytes.length : end).toString();
}
