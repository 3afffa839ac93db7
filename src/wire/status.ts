/**
 * Server status flags of OK and EOF packets.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html#a1d854e841086925be1883e4d7b4e8cad
 */
export const SERVER_STATUS_IN_TRANS = 0x0001;
export const SERVER_MORE_RESULTS_EXISTS = 0x0008;
export const SERVER_STATUS_CURSOR_EXISTS = 0x0040;
/** Behind DROP DATABASE, also where there was none. */
export const SERVER_STATUS_DB_DROPPED = 0x0100;
export const SERVER_STATUS_NO_BACKSLASH_ESCAPES = 0x0200;
export const SERVER_PS_OUT_PARAMS = 0x1000;
export const SERVER_SESSION_STATE_CHANGED = 0x4000;
