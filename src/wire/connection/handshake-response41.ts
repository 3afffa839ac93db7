/**
 * Protocol::HandshakeResponse41, the client's response to the greeting, and Protocol::SSLRequest,
 * its head alone, which TLS follows. Undrop relays the response with its capability words cut in
 * place, because clients send bits that weren't offered. Only session/login/auth-bridge.ts reads
 * the auth response, if one connection is secure and the other isn't.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_response.html
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_ssl_request.html
 */
import * as caps from '../capabilities.js';
import { MalformedPacketError, PacketReader } from '../packet-reader.js';
import { upToNul } from './auth-packets.js';

export interface HandshakeResponse41 {
  readonly capabilities: caps.Capabilities;
  readonly user: string;
  /** Default schema as bytes in the client's charset, or null. */
  readonly schema: Buffer | null;
  /** The plugin that the client begins with; empty if it names none. */
  readonly plugin: string;
  /** The first response of the client. */
  readonly authResponse: Buffer;
  /** The connection attributes that say which program it is; those of `TOLD` alone. */
  readonly attributes: Attributes;
}

/** The client chooses them, and the server only shows them. */
export type Attributes = Readonly<Record<string, string>>;

/** https://dev.mysql.com/doc/refman/9.7/en/performance-schema-connection-attribute-tables.html */
const TOLD: ReadonlySet<string> = new Set(['program_name', '_client_name', '_pid', '_os_user']);
const VALUE_CHARACTERS_MAX = 128;

/** True if the client speaks the protocol of 4.1 and later, the only one that is relayed. */
export function isProtocol41(payload: Buffer): boolean {
  return (
    payload.length >= SSL_REQUEST_BYTES && (payload.readUInt32LE(0) & caps.CLIENT_PROTOCOL_41) !== 0
  );
}

export function decodeHandshakeResponse41(payload: Buffer): HandshakeResponse41 {
  const reader = new PacketReader(payload, 'HandshakeResponse41');
  const flags = reader.int(4, 'client_flag'); //                       int<4>
  reader.int(4, 'max_packet_size'); //                                 int<4>
  reader.int(1, 'character_set'); //                                    int<1>
  reader.bytes(19, 'filler'); //                                       string[19]
  const extended = reader.int(4, 'mariadb_capabilities'); //           int<4>
  const user = reader.nulBytes('username').toString(); //              string<NUL>
  const authResponse = readAuthResponse(reader, flags);
  // A driver that sets the flag and ends the packet here means no schema.
  const named = (flags & caps.CLIENT_CONNECT_WITH_DB) !== 0 && reader.left > 0;
  const schema = named ? reader.nulBytes('database') : null; //        string<NUL>
  const isNamed = (flags & caps.CLIENT_PLUGIN_AUTH) !== 0 && reader.left > 0;
  const rest = reader.rest();
  const plugin = isNamed ? upToNul(rest) : ''; //                      string<NUL>
  const after = isNamed ? rest.subarray(Buffer.byteLength(plugin) + 1) : rest;
  const attributes = (flags & caps.CLIENT_CONNECT_ATTRS) === 0 ? {} : readAttributes(after);
  const mariadb = (flags & caps.CLIENT_LONG_PASSWORD) === 0 ? extended : 0;
  return { capabilities: { flags, mariadb }, user, schema, plugin, authResponse, attributes };
}

/** Broken ones end the list: the server decides about the login, and nothing depends on them. */
function readAttributes(bytes: Buffer): Attributes {
  const found: [name: string, value: string][] = [];
  try {
    const all = new PacketReader(bytes, 'HandshakeResponse41').lenencBytes('attributes');
    const reader = new PacketReader(all, 'connection attributes');
    while (reader.left > 0) {
      const name = reader.lenencBytes('name').toString(); //           string<lenenc>
      const value = reader.lenencBytes('value').toString(); //         string<lenenc>
      if (TOLD.has(name)) found.push([name, value.slice(0, VALUE_CHARACTERS_MAX)]);
    }
  } catch (error) {
    if (!(error instanceof MalformedPacketError)) throw error;
  }
  return Object.fromEntries(found);
}

function readAuthResponse(reader: PacketReader, flags: number): Buffer {
  if ((flags & caps.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) !== 0) {
    return reader.lenencBytes('auth_response'); //                     string<lenenc>
  }
  if ((flags & caps.CLIENT_SECURE_CONNECTION) !== 0) {
    return reader.bytes(reader.int(1, 'auth_response_length'), 'auth_response'); // string<length>
  }
  return reader.nulBytes('auth_response'); //                          string<NUL>
}

/**
 * The response for the server: the client's bytes with the capability words cut, and CLIENT_SSL as
 * on this connection. A new buffer.
 */
export function relayResponse(
  payload: Buffer,
  response: HandshakeResponse41,
  upstream: { readonly tls: boolean } = { tls: false },
): Buffer {
  const relayed = caps.relayedCapabilities(response.capabilities);
  const copy = Buffer.from(payload);
  copy.writeUInt32LE((relayed.flags | (upstream.tls ? caps.CLIENT_SSL : 0)) >>> 0, 0);
  if ((response.capabilities.flags & caps.CLIENT_LONG_PASSWORD) === 0) {
    copy.writeUInt32LE(relayed.mariadb, 28);
  }
  return copy;
}

/**
 * A response without a user. Undrop sends it if a client leaves before its own response (such as a
 * health check of a load balancer): the server then counts a refused login instead of a broken
 * handshake, which after max_connect_errors would lock out the proxy's address (error 1129,
 * MDEV-21456).
 */
export function anonymousResponse(): Buffer {
  const payload = Buffer.alloc(SSL_REQUEST_BYTES + 2);
  payload.writeUInt32LE(
    caps.CLIENT_LONG_PASSWORD |
      caps.CLIENT_PROTOCOL_41 |
      caps.CLIENT_SECURE_CONNECTION |
      caps.CLIENT_PLUGIN_AUTH,
    0,
  );
  payload.writeUInt32LE(0x1000000, 4);
  payload[8] = 8; // latin1_swedish_ci, known to every server
  return Buffer.concat([payload, Buffer.from('mysql_native_password\0')]);
}

/** Payload bytes of an SSLRequest. */
export const SSL_REQUEST_BYTES = 32;

/** First byte of every TLS handshake: a record of content type 22. */
const TLS_HANDSHAKE = 0x16;

/** True for a client that continues with TLS after this packet, whatever was offered. */
export function isSslRequest(payload: Buffer): boolean {
  return payload.length === SSL_REQUEST_BYTES && (payload.readUInt32LE(0) & caps.CLIENT_SSL) !== 0;
}

/** The request that goes before `response`, which is a HandshakeResponse41 with CLIENT_SSL set. */
export function sslRequestFor(response: Buffer): Buffer {
  return Buffer.from(response.subarray(0, SSL_REQUEST_BYTES));
}

/**
 * The response with the head of the request in front of it. Servers read capabilities, packet size
 * and character set from the request and skip them in the response, where some drivers change them;
 * a reader of the response must do the same.
 */
export function withHeadOf(request: Buffer, response: Buffer): Buffer {
  return Buffer.concat([request, response.subarray(SSL_REQUEST_BYTES)]);
}

/** True if `bytes` is empty or may be the beginning of a ClientHello. */
export function mayBeClientHello(bytes: Buffer): boolean {
  return bytes.length === 0 || bytes[0] === TLS_HANDSHAKE;
}
