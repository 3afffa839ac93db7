/**
 * The errors of the server by their names in its manual, and the sets of them that more than one
 * place uses. No other file has such a number.
 *
 * The names are those of the MySQL 9 error reference
 * (https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html). An error that only
 * MariaDB has, or that has another meaning there, has MariaDB's name
 * (https://mariadb.com/kb/en/mariadb-error-code-reference/) and is in the second part: from 1900 to
 * 1999 and from 4000 on the two products give one number to different errors.
 *
 * Invariant: no set counts a table as absent that exists but can't be opened or seen.
 */

// ── MySQL, and MariaDB where it has the same error ──────────────────────────────────────────────

export const DB_CREATE_EXISTS = 1007;
export const DB_DROP_EXISTS = 1008;
export const CANT_OPEN_FILE = 1016;
export const FILE_NOT_FOUND = 1017;
export const DUP_KEY = 1022;
export const ERROR_ON_RENAME = 1025;
export const GET_ERRNO = 1030;
export const ILLEGAL_HA = 1031;
export const NOT_FORM_FILE = 1033;
export const CON_COUNT_ERROR = 1040;
export const DBACCESS_DENIED_ERROR = 1044;
export const ACCESS_DENIED_ERROR = 1045;
export const NO_DB_ERROR = 1046;
export const BAD_DB_ERROR = 1049;
export const TABLE_EXISTS_ERROR = 1050;
export const BAD_TABLE_ERROR = 1051;
export const BAD_FIELD_ERROR = 1054;
export const TOO_LONG_IDENT = 1059;
export const DUP_FIELDNAME = 1060;
export const DUP_KEYNAME = 1061;
export const WRONG_FIELD_SPEC = 1063;
export const PARSE_ERROR = 1064;
export const NONUNIQ_TABLE = 1066;
export const TOO_BIG_FIELDLENGTH = 1074;
export const CANT_DROP_FIELD_OR_KEY = 1091;
export const UPDATE_TABLE_USED = 1093;
export const NO_SUCH_THREAD = 1094;
export const KILL_DENIED_ERROR = 1095;
export const TABLE_NOT_LOCKED_FOR_WRITE = 1099;
export const TABLE_NOT_LOCKED = 1100;
export const WRONG_DB_NAME = 1102;
export const WRONG_TABLE_NAME = 1103;
export const UNKNOWN_ERROR = 1105;
export const UNKNOWN_TABLE = 1109;
export const UNKNOWN_CHARACTER_SET = 1115;
export const TOO_BIG_ROWSIZE = 1118;
export const HOST_IS_BLOCKED = 1129;
export const HOST_NOT_PRIVILEGED = 1130;
export const TABLEACCESS_DENIED_ERROR = 1142;
export const COLUMNACCESS_DENIED_ERROR = 1143;
export const NO_SUCH_TABLE = 1146;
export const WRONG_MRG_TABLE = 1168;
export const LOCK_OR_ACTIVE_TRANSACTION = 1192;
export const UNKNOWN_SYSTEM_VARIABLE = 1193;
export const CRASHED_ON_USAGE = 1194;
export const CRASHED_ON_REPAIR = 1195;
export const LOCK_WAIT_TIMEOUT = 1205;
export const WRONG_ARGUMENTS = 1210;
export const LOCK_DEADLOCK = 1213;
export const ROW_IS_REFERENCED = 1217;
export const WRONG_USAGE = 1221;
export const CANT_UPDATE_WITH_READLOCK = 1223;
export const SPECIFIC_ACCESS_DENIED_ERROR = 1227;
export const SUBQUERY_NO_1_ROW = 1242;
export const UNKNOWN_STMT_HANDLER = 1243;
export const NOT_SUPPORTED_AUTH_MODE = 1251;
export const COLLATION_CHARSET_MISMATCH = 1253;
export const UNKNOWN_COLLATION = 1273;
export const UNKNOWN_STORAGE_ENGINE = 1286;
export const OPTION_PREVENTS_STATEMENT = 1290;
export const UNSUPPORTED_PS = 1295;
export const INVALID_CHARACTER_STRING = 1300;
export const SP_DOES_NOT_EXIST = 1305;
export const EVENT_DOES_NOT_EXIST = 1539;
export const QUERY_INTERRUPTED = 1317;
export const WRONG_OBJECT = 1347;
export const VIEW_INVALID = 1356;
export const TRG_DOES_NOT_EXIST = 1360;
export const PROCACCESS_DENIED_ERROR = 1370;
export const XAER_RMFAIL = 1399;
export const CANT_CREATE_USER_WITH_GRANT = 1410;
export const TOO_BIG_SCALE = 1425;
export const TOO_BIG_PRECISION = 1426;
export const M_BIGGER_THAN_D = 1427;
export const SP_BAD_SQLSTATE = 1407;
export const TRG_IN_WRONG_SCHEMA = 1435;
export const TOO_BIG_DISPLAYWIDTH = 1439;
export const ROW_IS_REFERENCED_2 = 1451;
export const MAX_PREPARED_STMT_COUNT_REACHED = 1461;
export const PARTITION_MGMT_ON_NONPARTITIONED = 1505;
export const DROP_PARTITION_NON_EXISTENT = 1507;
export const DROP_LAST_PARTITION = 1508;
export const ONLY_ON_RANGE_LIST_PARTITION = 1512;
export const CANT_CHANGE_TX_CHARACTERISTICS = 1568;
export const BAD_LOG_STATEMENT = 1580;
export const CANT_RENAME_LOG_TABLE = 1581;
export const FAILED_READ_FROM_PAR_FILE = 1696;
export const ACCESS_DENIED_NO_PASSWORD_ERROR = 1698;
export const TRUNCATE_ILLEGAL_FK = 1701;
export const UNKNOWN_PARTITION = 1735;
export const CANT_EXECUTE_IN_READ_ONLY_TRANSACTION = 1792;
export const TABLESPACE_MISSING = 1812;
export const MUST_CHANGE_PASSWORD = 1820;
export const FK_DUP_NAME = 1826;
export const READ_ONLY_MODE = 1836;
export const ALTER_OPERATION_NOT_SUPPORTED = 1845;
export const ALTER_OPERATION_NOT_SUPPORTED_REASON = 1846;
export const MUST_CHANGE_PASSWORD_LOGIN = 1862;
export const QUERY_TIMEOUT = 3024;
export const FK_CANNOT_DROP_PARENT = 3730;
export const TABLE_WITHOUT_PK = 3750;
export const CHECK_CONSTRAINT_NOT_FOUND = 3821;
export const CHECK_CONSTRAINT_DUP_NAME = 3822;
export const CANNOT_SET_TABLE_ENCRYPTION = 3826;
export const FK_NO_UNIQUE_INDEX_PARENT = 6125;
/** MariaDB gives 4091 to `ER_UNKNOWN_SEQUENCES`. */
export const XA_TEMP_TABLE = 4091;

// ── MariaDB alone ───────────────────────────────────────────────────────────────────────────────

export const CONNECTION_KILLED = 1927;
export const NO_SUCH_TABLE_IN_ENGINE = 1932;
export const IT_IS_A_VIEW = 1965;
/** MySQL's is `ER_QUERY_TIMEOUT`. */
export const STATEMENT_TIMEOUT = 1969;
export const SEQUENCE_INVALID_DATA = 4085;
export const NOT_SEQUENCE2 = 4090;
/** MySQL gives 4092 to `ER_INNODB_MAX_ROW_VERSION`. */
export const UNKNOWN_VIEW = 4092;
export const VERS_NOT_SUPPORTED = 4137;
export const BACKUP_LOCK_IS_ACTIVE = 4145;
export const UNKNOWN_DATA_TYPE = 4161;

// ── sets ────────────────────────────────────────────────────────────────────────────────────────

/**
 * There is no such table, or no such schema. `ER_FILE_NOT_FOUND` is not included: all four servers
 * return it for a MyISAM table that has lost one of its files and has its rows in the other. Only a
 * RENAME of MySQL 5.6 returns it for a table that is absent.
 */
export const ABSENT_TABLE: readonly number[] = [NO_SUCH_TABLE, BAD_DB_ERROR];

/**
 * A RENAME didn't find the table. `ER_BAD_DB_ERROR` is not included, because MySQL 8 and later also
 * return it for the target schema. A RENAME of a table that has lost a file succeeds, or fails with
 * other errors.
 */
export const ABSENT_TO_RENAME: readonly number[] = [NO_SUCH_TABLE, FILE_NOT_FOUND];

/** The table can't be opened because a part of it is missing or damaged; it may have rows. */
export const CANT_BE_OPENED: readonly number[] = [
  ...[CANT_OPEN_FILE, FILE_NOT_FOUND, NOT_FORM_FILE, TABLESPACE_MISSING, NO_SUCH_TABLE_IN_ENGINE],
];

/** The statement gave up waiting for InnoDB or a metadata lock; it changed nothing. */
export const LOCK_NOT_GRANTED: readonly number[] = [LOCK_WAIT_TIMEOUT, LOCK_DEADLOCK];

/** A KILL QUERY or a time limit ended the statement. */
export const INTERRUPTED: readonly number[] = [QUERY_INTERRUPTED, STATEMENT_TIMEOUT, QUERY_TIMEOUT];

/** The same statement may succeed a moment later. */
export const GAVE_UP: readonly number[] = [...LOCK_NOT_GRANTED, ...INTERRUPTED];

/** A privilege on the schema, the table or a column, or a global one, is missing. */
export const ACCESS_DENIED: readonly number[] = [
  ...[DBACCESS_DENIED_ERROR, TABLEACCESS_DENIED_ERROR, COLUMNACCESS_DENIED_ERROR],
  SPECIFIC_ACCESS_DENIED_ERROR,
];

/**
 * The same for the service account, whose sessions may set `sql_require_primary_key` and pass
 * `table_encryption_privilege_check` if it has the privileges.
 */
export const SERVICE_DENIED: readonly number[] = [
  ...ACCESS_DENIED,
  TABLE_WITHOUT_PK,
  CANNOT_SET_TABLE_ENCRYPTION,
];

/** `read_only`, `super_read_only`, `innodb_read_only` and the like. */
export const READ_ONLY_SERVER: readonly number[] = [OPTION_PREVENTS_STATEMENT, READ_ONLY_MODE];

/** The name of a schema or table is too long, has invalid characters, or isn't in its charset. */
export const BAD_NAME: readonly number[] = [
  ...[TOO_LONG_IDENT, WRONG_DB_NAME, WRONG_TABLE_NAME, INVALID_CHARACTER_STRING],
];

/** An ALTER TABLE can't be done with the ALGORITHM that it names. */
export const ALGORITHM_NOT_SUPPORTED: readonly number[] = [
  ALTER_OPERATION_NOT_SUPPORTED,
  ALTER_OPERATION_NOT_SUPPORTED_REASON,
];

/** A DROP VIEW found no such view or schema, so the session has the privilege to drop it. */
export const ABSENT_TO_DROP_VIEW: readonly number[] = [BAD_DB_ERROR, BAD_TABLE_ERROR, UNKNOWN_VIEW];

/**
 * An ALTER TABLE named a partition that doesn't exist: it got the metadata lock, and changed
 * nothing.
 */
export const METADATA_LOCK_GRANTED: readonly number[] = [
  PARTITION_MGMT_ON_NONPARTITIONED,
  UNKNOWN_PARTITION,
];

/** An ALTER TABLE found that the partition to drop doesn't exist. */
export const NO_PARTITION_TO_DROP: readonly number[] = [
  ...METADATA_LOCK_GRANTED,
  DROP_PARTITION_NON_EXISTENT,
  DROP_LAST_PARTITION,
  ONLY_ON_RANGE_LIST_PARTITION,
];

/** The session itself has FLUSH TABLES WITH READ LOCK or a BACKUP STAGE, which forbids DDL. */
export const OWN_GLOBAL_LOCK: readonly number[] = [
  CANT_UPDATE_WITH_READLOCK,
  BACKUP_LOCK_IS_ACTIVE,
];

/** The session itself has LOCK TABLES, which forbids this statement. */
export const UNDER_LOCK_TABLES: readonly number[] = [
  TABLE_NOT_LOCKED_FOR_WRITE,
  TABLE_NOT_LOCKED,
  LOCK_OR_ACTIVE_TRANSACTION,
];

/**
 * The state of the session or the server forbids every DDL statement: read-only, an XA transaction,
 * SET TRANSACTION before its transaction, an expired password.
 */
export const DDL_FORBIDDEN: readonly number[] = [
  ...READ_ONLY_SERVER,
  ...[XAER_RMFAIL, CANT_CHANGE_TX_CHARACTERISTICS, CANT_EXECUTE_IN_READ_ONLY_TRANSACTION],
  MUST_CHANGE_PASSWORD,
];

/**
 * MariaDB's parser returns these for a schema, name, byte, type, length, charset, collation,
 * sequence or variable in a CREATE TABLE or CREATE SEQUENCE. They leave the transaction open.
 */
export const SAID_BY_PARSER: readonly number[] = [
  ...BAD_NAME,
  ...[DBACCESS_DENIED_ERROR, NO_DB_ERROR, WRONG_FIELD_SPEC, PARSE_ERROR, NONUNIQ_TABLE],
  ...[TOO_BIG_FIELDLENGTH, UNKNOWN_CHARACTER_SET, UNKNOWN_SYSTEM_VARIABLE, WRONG_USAGE],
  ...[COLLATION_CHARSET_MISMATCH, UNKNOWN_COLLATION, TOO_BIG_SCALE, TOO_BIG_PRECISION],
  ...[M_BIGGER_THAN_D, TOO_BIG_DISPLAYWIDTH, SEQUENCE_INVALID_DATA, UNKNOWN_DATA_TYPE],
];
