/**
 * Command bytes: the first byte of a packet with sequence id 0 in the command phase.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/my__command_8h.html
 * https://mariadb.com/kb/en/2-text-protocol/ and 3-binary-protocol-prepared-statements/ for 0xFA
 */
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

/**
 * Commands that are relayed. Left out, and answered 1047 by us: COM_DROP_DB (a drop, refused with
 * words of its own), COM_TABLE_DUMP, COM_CONNECT_OUT, COM_DAEMON, COM_CLONE,
 * COM_SUBSCRIBE_GROUP_REPLICATION_STREAM (they change the protocol), COM_MULTI, and whatever a
 * future server may understand.
 */
const RELAYED_COMMANDS: ReadonlySet<number> = new Set([
  COM_SLEEP,
  COM_QUIT,
  COM_INIT_DB,
  COM_QUERY,
  COM_FIELD_LIST,
  COM_CREATE_DB,
  COM_REFRESH,
  COM_SHUTDOWN,
  COM_STATISTICS,
  COM_PROCESS_INFO,
  COM_PROCESS_KILL,
  COM_DEBUG,
  COM_PING,
  COM_CHANGE_USER,
  COM_BINLOG_DUMP,
  COM_REGISTER_SLAVE,
  COM_STMT_PREPARE,
  COM_STMT_EXECUTE,
  COM_STMT_SEND_LONG_DATA,
  COM_STMT_CLOSE,
  COM_STMT_RESET,
  COM_SET_OPTION,
  COM_STMT_FETCH,
  COM_BINLOG_DUMP_GTID,
  COM_RESET_CONNECTION,
  COM_STMT_BULK_EXECUTE,
]);

export function isRelayedCommand(command: number): boolean {
  return RELAYED_COMMANDS.has(command);
}
