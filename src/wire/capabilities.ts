/**
 * Capability flags, and the ones that a byte relay may pass on: those whose grammar undrop follows.
 * All others are cleared in the greeting, and again in the client's response.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html
 * https://mariadb.com/kb/en/connection/#capabilities (the upper 32 bits)
 */

/** Both words of capabilities: the 32 bits of MySQL and MariaDB's own 32. */
export interface Capabilities {
  readonly flags: number;
  /** MariaDB's extended capabilities; 0 for MySQL. */
  readonly mariadb: number;
}

/** Bit 0. MariaDB calls it CLIENT_MYSQL and clears it if the extended word counts. */
export const CLIENT_LONG_PASSWORD = 1;
export const CLIENT_FOUND_ROWS = 1 << 1;
export const CLIENT_CONNECT_WITH_DB = 1 << 3;
export const CLIENT_COMPRESS = 1 << 5;
export const CLIENT_LOCAL_FILES = 1 << 7;
export const CLIENT_IGNORE_SPACE = 1 << 8;
export const CLIENT_PROTOCOL_41 = 1 << 9;
export const CLIENT_INTERACTIVE = 1 << 10;
export const CLIENT_SSL = 1 << 11;
export const CLIENT_SECURE_CONNECTION = 1 << 15;
export const CLIENT_MULTI_STATEMENTS = 1 << 16;
export const CLIENT_PLUGIN_AUTH = 1 << 19;
export const CLIENT_CONNECT_ATTRS = 1 << 20;
export const CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA = 1 << 21;
export const CLIENT_SESSION_TRACK = 1 << 23;
export const CLIENT_DEPRECATE_EOF = 1 << 24;
export const CLIENT_OPTIONAL_RESULTSET_METADATA = 1 << 25;
export const CLIENT_ZSTD_COMPRESSION_ALGORITHM = 1 << 26;
export const CLIENT_QUERY_ATTRIBUTES = 1 << 27;
export const CLIENT_REMEMBER_OPTIONS = 1 << 31;

export const MARIADB_CLIENT_PROGRESS = 1;
export const MARIADB_CLIENT_STMT_BULK_OPERATIONS = 1 << 2;
export const MARIADB_CLIENT_EXTENDED_METADATA = 1 << 3;
export const MARIADB_CLIENT_CACHE_METADATA = 1 << 4;
export const MARIADB_CLIENT_BULK_UNIT_RESULTS = 1 << 5;

/** An unknown future grammar. */
const CLIENT_CAPABILITY_EXTENSION = 1 << 29;

/**
 * The only bits of the first word that are cleared, because all 32 have a meaning: undrop can't
 * read compressed packets, and each connection has TLS or not on its own (session/login/login.ts).
 */
const NOT_RELAYED_FLAGS =
  CLIENT_COMPRESS | CLIENT_SSL | CLIENT_ZSTD_COMPRESSION_ALGORITHM | CLIENT_CAPABILITY_EXTENSION;

/** Other bits, such as MariaDB's COM_MULTI (several commands in one packet), are cleared. */
const RELAYED_MARIADB =
  MARIADB_CLIENT_PROGRESS |
  MARIADB_CLIENT_STMT_BULK_OPERATIONS |
  MARIADB_CLIENT_EXTENDED_METADATA |
  MARIADB_CLIENT_CACHE_METADATA |
  MARIADB_CLIENT_BULK_UNIT_RESULTS;

/** The capabilities of a peer that may go on to the other peer. */
export function relayedCapabilities(offered: Capabilities): Capabilities {
  return {
    flags: (offered.flags & ~NOT_RELAYED_FLAGS) >>> 0,
    mariadb: (offered.mariadb & RELAYED_MARIADB) >>> 0,
  };
}

/** The capabilities of both sides, which set the grammar of everything that follows. */
export function agreedCapabilities(server: Capabilities, client: Capabilities): Capabilities {
  return {
    flags: (server.flags & client.flags) >>> 0,
    mariadb: (server.mariadb & client.mariadb) >>> 0,
  };
}

export function hasFlag(capabilities: Capabilities, flag: number): boolean {
  return (capabilities.flags & flag) !== 0;
}

export const SERVER_STATUS_IN_TRANS = 0x0001;
export const SERVER_MORE_RESULTS_EXISTS = 0x0008;
export const SERVER_STATUS_CURSOR_EXISTS = 0x0040;
/** Set after DROP DATABASE, even if the session had no default schema. */
export const SERVER_STATUS_DB_DROPPED = 0x0100;
export const SERVER_PS_OUT_PARAMS = 0x1000;
/** Changes of the session state follow in the OK packet. */
export const SERVER_SESSION_STATE_CHANGED = 0x4000;
