/**
 * Protocol::HandshakeV10, the server's greeting, and the product and version in it. Undrop relays
 * it unchanged (thread id, scramble, version) but for its capability bits, which are cut in place,
 * so the packet keeps its length.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html
 * https://mariadb.com/kb/en/connection/#initial-handshake-packet
 */
import * as caps from '../capabilities.js';
import { MalformedPacketError, PacketReader } from '../packet-reader.js';
import { type AuthChallenge, NONCE_BYTES, upToNul } from './auth-packets.js';

export interface HandshakeV10 {
  /** The server's own text; MariaDB before 11 puts `5.5.5-` in front. */
  readonly serverVersion: string;
  readonly threadId: number;
  readonly capabilities: caps.Capabilities;
  /** The nonce lies in two parts. */
  readonly challenge: AuthChallenge;
  /** Offsets of the three capability words, for `relayGreeting`. */
  readonly lowOffset: number;
  readonly highOffset: number;
  readonly mariadbOffset: number;
}

export function decodeHandshakeV10(payload: Buffer): HandshakeV10 {
  const reader = new PacketReader(payload, 'HandshakeV10');
  const version = reader.int(1, 'protocol_version'); //                 int<1>
  if (version !== 10) {
    throw new MalformedPacketError(`HandshakeV10: protocol_version is ${version}, expected 10.`);
  }
  const serverVersion = reader.nulBytes('server_version').toString(); // string<NUL>
  const threadId = reader.int(4, 'thread_id'); //                       int<4>
  const nonce = reader.bytes(8, 'auth_plugin_data_part_1'); //          string[8]
  reader.int(1, 'filler'); //                                            int<1>
  const lowOffset = reader.offset;
  const low = reader.int(2, 'capability_flags_1'); //                   int<2>
  reader.int(1, 'character_set'); //                                     int<1>
  reader.int(2, 'status_flags'); //                                     int<2>
  const highOffset = reader.offset;
  const high = reader.int(2, 'capability_flags_2'); //                  int<2>
  const nonceBytes = reader.int(1, 'auth_plugin_data_len'); //           int<1>
  reader.bytes(6, 'reserved'); //                                       string[6]
  const mariadbOffset = reader.offset;
  const extended = reader.int(4, 'mariadb_capabilities'); //            int<4>
  const rest = reader.rest(); // auth_plugin_data_part_2, auth_plugin_name
  const flags = ((high << 16) | low) >>> 0;
  if ((flags & caps.CLIENT_PROTOCOL_41) === 0) {
    throw new MalformedPacketError('HandshakeV10: the server does not offer CLIENT_PROTOCOL_41.');
  }
  // The word belongs to MariaDB only if bit 0 is clear; MySQL sends zeros there.
  const mariadb = (flags & caps.CLIENT_LONG_PASSWORD) === 0 ? extended : 0;
  return {
    serverVersion,
    threadId,
    capabilities: { flags, mariadb },
    challenge: {
      plugin: upToNul(rest.subarray(Math.max(13, nonceBytes - nonce.length))),
      nonce: Buffer.concat([nonce, rest]).subarray(0, NONCE_BYTES),
    },
    lowOffset,
    highOffset,
    mariadbOffset,
  };
}

/**
 * The greeting for the client: the server's bytes with the capability words cut, and CLIENT_SSL if
 * undrop offers TLS, whatever the server does. A new buffer.
 */
export function relayGreeting(
  payload: Buffer,
  greeting: HandshakeV10,
  offer: { readonly tls: boolean } = { tls: false },
): Buffer {
  const relayed = caps.relayedCapabilities(greeting.capabilities);
  const copy = Buffer.from(payload);
  const low = (relayed.flags & 0xffff) | (offer.tls ? caps.CLIENT_SSL : 0);
  copy.writeUInt16LE(low, greeting.lowOffset);
  copy.writeUInt16LE(relayed.flags >>> 16, greeting.highOffset);
  copy.writeUInt32LE(relayed.mariadb, greeting.mariadbOffset);
  return copy;
}

/** MariaDB before 11 puts `5.5.5-` in front of its version, for old replicas (MDEV-4088). */
export interface ServerVersion {
  readonly flavour: 'mysql' | 'mariadb';
  /** major × 10000 + minor × 100 + patch, as in version comments: 90704, 50624, 101119. */
  readonly versionId: number;
}

/** The name as the product writes it. */
export function productName({ flavour }: Pick<ServerVersion, 'flavour'>): 'MySQL' | 'MariaDB' {
  return flavour === 'mysql' ? 'MySQL' : 'MariaDB';
}

/** MySQL 8.0 or later: one dictionary, atomic DDL. */
export function isMysql8({ flavour, versionId }: ServerVersion): boolean {
  return flavour === 'mysql' && versionId >= 80_000;
}

/** Reads `9.7.4`, `5.6.24-log`, `5.5.5-10.11.19-MariaDB-log`, `11.8.9-MariaDB`. */
export function parseServerVersion(serverVersion: string): ServerVersion {
  const isMariadb = /mariadb/i.test(serverVersion);
  const bare = bareVersion(serverVersion);
  const [, major = '0', minor = '0', patch = '0'] = /^(\d+)\.(\d+)\.(\d+)/.exec(bare) ?? [];
  return {
    flavour: isMariadb ? 'mariadb' : 'mysql',
    versionId: Number(major) * 10_000 + Number(minor) * 100 + Number(patch),
  };
}

/** The version as SQL reports it: `10.11.19-MariaDB-log`. */
export function bareVersion(serverVersion: string): string {
  return /mariadb/i.test(serverVersion) ? serverVersion.replace(/^5\.5\.5-/, '') : serverVersion;
}

/**
 * MariaDB's sessions have a server_id of their own, which the text of mariadb-binlog sets; the
 * global one identifies the server.
 */
const IDENTITY = '@@hostname, @@port, @@datadir, @@global.server_id';

/**
 * An SQL expression, by flavour, for the identity of the server: two sessions with the same value
 * are on one server, whatever proxies are in between.
 */
export const SERVER_IDENTITY_SQL = {
  mysql: `CONCAT_WS('|', ${IDENTITY}, @@server_uuid)`,
  mariadb: `CONCAT_WS('|', ${IDENTITY})`,
} as const;
