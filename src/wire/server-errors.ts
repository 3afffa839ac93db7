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

export const ER_DB_CREATE_EXISTS = 1007;
export const ER_DB_DROP_EXISTS = 1008;
export const ER_CANT_OPEN_FILE = 1016;
export const ER_FILE_NOT_FOUND = 1017;
export const ER_DUP_KEY = 1022;
export const ER_ERROR_ON_RENAME = 1025;
export const ER_GET_ERRNO = 1030;
export const ER_ILLEGAL_HA = 1031;
export const ER_NOT_FORM_FILE = 1033;
export const ER_CON_COUNT_ERROR = 1040;
export const ER_DBACCESS_DENIED_ERROR = 1044;
export const ER_ACCESS_DENIED_ERROR = 1045;
export const ER_NO_DB_ERROR = 1046;
export const ER_BAD_DB_ERROR = 1049;
export const ER_TABLE_EXISTS_ERROR = 1050;
export const ER_BAD_TABLE_ERROR = 1051;
export const ER_BAD_FIELD_ERROR = 1054;
export const ER_TOO_LONG_IDENT = 1059;
export const ER_DUP_FIELDNAME = 1060;
export const ER_DUP_KEYNAME = 1061;
export const ER_WRONG_FIELD_SPEC = 1063;
export const ER_PARSE_ERROR = 1064;
export const ER_NONUNIQ_TABLE = 1066;
export const ER_TOO_BIG_FIELDLENGTH = 1074;
export const ER_CANT_DROP_FIELD_OR_KEY = 1091;
export const ER_UPDATE_TABLE_USED = 1093;
export const ER_NO_SUCH_THREAD = 1094;
export const ER_KILL_DENIED_ERROR = 1095;
export const ER_TABLE_NOT_LOCKED_FOR_WRITE = 1099;
export const ER_TABLE_NOT_LOCKED = 1100;
export const ER_WRONG_DB_NAME = 1102;
export const ER_WRONG_TABLE_NAME = 1103;
export const ER_UNKNOWN_ERROR = 1105;
export const ER_UNKNOWN_TABLE = 1109;
export const ER_UNKNOWN_CHARACTER_SET = 1115;
export const ER_TOO_BIG_ROWSIZE = 1118;
export const ER_HOST_IS_BLOCKED = 1129;
export const ER_HOST_NOT_PRIVILEGED = 1130;
export const ER_TABLEACCESS_DENIED_ERROR = 1142;
export const ER_COLUMNACCESS_DENIED_ERROR = 1143;
export const ER_NO_SUCH_TABLE = 1146;
export const ER_WRONG_MRG_TABLE = 1168;
export const ER_LOCK_OR_ACTIVE_TRANSACTION = 1192;
export const ER_UNKNOWN_SYSTEM_VARIABLE = 1193;
export const ER_CRASHED_ON_USAGE = 1194;
export const ER_CRASHED_ON_REPAIR = 1195;
export const ER_LOCK_WAIT_TIMEOUT = 1205;
export const ER_WRONG_ARGUMENTS = 1210;
export const ER_LOCK_DEADLOCK = 1213;
export const ER_ROW_IS_REFERENCED = 1217;
export const ER_WRONG_USAGE = 1221;
export const ER_CANT_UPDATE_WITH_READLOCK = 1223;
export const ER_SPECIFIC_ACCESS_DENIED_ERROR = 1227;
export const ER_SUBQUERY_NO_1_ROW = 1242;
export const ER_UNKNOWN_STMT_HANDLER = 1243;
export const ER_NOT_SUPPORTED_AUTH_MODE = 1251;
export const ER_COLLATION_CHARSET_MISMATCH = 1253;
export const ER_UNKNOWN_COLLATION = 1273;
export const ER_UNKNOWN_STORAGE_ENGINE = 1286;
export const ER_OPTION_PREVENTS_STATEMENT = 1290;
export const ER_UNSUPPORTED_PS = 1295;
export const ER_INVALID_CHARACTER_STRING = 1300;
export const ER_SP_DOES_NOT_EXIST = 1305;
export const ER_QUERY_INTERRUPTED = 1317;
export const ER_WRONG_OBJECT = 1347;
export const ER_VIEW_INVALID = 1356;
export const ER_TRG_DOES_NOT_EXIST = 1360;
export const ER_PROCACCESS_DENIED_ERROR = 1370;
export const ER_XAER_RMFAIL = 1399;
export const ER_CANT_CREATE_USER_WITH_GRANT = 1410;
export const ER_TOO_BIG_SCALE = 1425;
export const ER_TOO_BIG_PRECISION = 1426;
export const ER_M_BIGGER_THAN_D = 1427;
export const ER_SP_BAD_SQLSTATE = 1407;
export const ER_TRG_IN_WRONG_SCHEMA = 1435;
export const ER_TOO_BIG_DISPLAYWIDTH = 1439;
export const ER_ROW_IS_REFERENCED_2 = 1451;
export const ER_MAX_PREPARED_STMT_COUNT_REACHED = 1461;
export const ER_PARTITION_MGMT_ON_NONPARTITIONED = 1505;
export const ER_DROP_PARTITION_NON_EXISTENT = 1507;
export const ER_DROP_LAST_PARTITION = 1508;
export const ER_ONLY_ON_RANGE_LIST_PARTITION = 1512;
export const ER_CANT_CHANGE_TX_CHARACTERISTICS = 1568;
export const ER_BAD_LOG_STATEMENT = 1580;
export const ER_CANT_RENAME_LOG_TABLE = 1581;
export const ER_FAILED_READ_FROM_PAR_FILE = 1696;
export const ER_ACCESS_DENIED_NO_PASSWORD_ERROR = 1698;
export const ER_TRUNCATE_ILLEGAL_FK = 1701;
export const ER_UNKNOWN_PARTITION = 1735;
export const ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION = 1792;
export const ER_TABLESPACE_MISSING = 1812;
export const ER_MUST_CHANGE_PASSWORD = 1820;
export const ER_FK_DUP_NAME = 1826;
export const ER_READ_ONLY_MODE = 1836;
export const ER_ALTER_OPERATION_NOT_SUPPORTED = 1845;
export const ER_ALTER_OPERATION_NOT_SUPPORTED_REASON = 1846;
export const ER_MUST_CHANGE_PASSWORD_LOGIN = 1862;
export const ER_QUERY_TIMEOUT = 3024;
export const ER_FK_CANNOT_DROP_PARENT = 3730;
export const ER_TABLE_WITHOUT_PK = 3750;
export const ER_CHECK_CONSTRAINT_NOT_FOUND = 3821;
export const ER_CHECK_CONSTRAINT_DUP_NAME = 3822;
export const ER_CANNOT_SET_TABLE_ENCRYPTION = 3826;
export const ER_FK_NO_UNIQUE_INDEX_PARENT = 6125;
/** MariaDB gives 4091 to `ER_UNKNOWN_SEQUENCES`. */
export const ER_XA_TEMP_TABLE = 4091;
/** MySQL 8.0.29 and later. MariaDB gives 4092 to `ER_UNKNOWN_VIEW`. */
export const ER_INNODB_MAX_ROW_VERSION = 4092;

// ── MariaDB alone ───────────────────────────────────────────────────────────────────────────────

export const ER_CONNECTION_KILLED = 1927;
export const ER_NO_SUCH_TABLE_IN_ENGINE = 1932;
export const ER_IT_IS_A_VIEW = 1965;
/** MySQL's is `ER_QUERY_TIMEOUT`. */
export const ER_STATEMENT_TIMEOUT = 1969;
export const ER_SEQUENCE_INVALID_DATA = 4085;
export const ER_NOT_SEQUENCE2 = 4090;
/** MySQL gives 4092 to `ER_INNODB_MAX_ROW_VERSION`. */
export const ER_UNKNOWN_VIEW = 4092;
export const ER_VERS_NOT_SUPPORTED = 4137;
export const ER_BACKUP_LOCK_IS_ACTIVE = 4145;
export const ER_UNKNOWN_DATA_TYPE = 4161;

// ── sets ────────────────────────────────────────────────────────────────────────────────────────

/**
 * There is no such table, or no such schema. `ER_FILE_NOT_FOUND` is not included: all four servers
 * return it for a MyISAM table that has lost one of its files and has its rows in the other. Only a
 * RENAME of MySQL 5.6 returns it for a table that is absent.
 */
export const ABSENT_TABLE: readonly number[] = [ER_NO_SUCH_TABLE, ER_BAD_DB_ERROR];

/**
 * A RENAME didn't find the table. `ER_BAD_DB_ERROR` is not included, because MySQL 8 and later also
 * return it for the target schema. A RENAME of a table that has lost a file succeeds, or fails with
 * other errors.
 */
export const ABSENT_TO_RENAME: readonly number[] = [ER_NO_SUCH_TABLE, ER_FILE_NOT_FOUND];

/** The table can't be opened because a part of it is missing or damaged; it may have rows. */
export const CANT_BE_OPENED: readonly number[] = [
  ER_CANT_OPEN_FILE,
  ER_FILE_NOT_FOUND,
  ER_NOT_FORM_FILE,
  ER_TABLESPACE_MISSING,
  ER_NO_SUCH_TABLE_IN_ENGINE,
];

/** The statement gave up waiting for InnoDB or a metadata lock; it changed nothing. */
export const LOCK_NOT_GRANTED: readonly number[] = [ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK];

/** A KILL QUERY or a time limit ended the statement. */
export const INTERRUPTED: readonly number[] = [
  ER_QUERY_INTERRUPTED,
  ER_STATEMENT_TIMEOUT,
  ER_QUERY_TIMEOUT,
];

/** The same statement may succeed a moment later. */
export const GAVE_UP: readonly number[] = [...LOCK_NOT_GRANTED, ...INTERRUPTED];

/** A privilege on the schema, the table or a column, or a global one, is missing. */
export const ACCESS_DENIED: readonly number[] = [
  ER_DBACCESS_DENIED_ERROR,
  ER_TABLEACCESS_DENIED_ERROR,
  ER_COLUMNACCESS_DENIED_ERROR,
  ER_SPECIFIC_ACCESS_DENIED_ERROR,
];

/**
 * The same for the service account, whose sessions may set `sql_require_primary_key` and pass
 * `table_encryption_privilege_check` if it has the privileges.
 */
export const SERVICE_DENIED: readonly number[] = [
  ...ACCESS_DENIED,
  ER_TABLE_WITHOUT_PK,
  ER_CANNOT_SET_TABLE_ENCRYPTION,
];

/** `read_only`, `super_read_only`, `innodb_read_only` and the like. */
export const READ_ONLY_SERVER: readonly number[] = [
  ER_OPTION_PREVENTS_STATEMENT,
  ER_READ_ONLY_MODE,
];

/** The name of a schema or table is too long, has invalid characters, or isn't in its charset. */
export const BAD_NAME: readonly number[] = [
  ER_TOO_LONG_IDENT,
  ER_WRONG_DB_NAME,
  ER_WRONG_TABLE_NAME,
  ER_INVALID_CHARACTER_STRING,
];

/** An ALTER TABLE can't be done with the ALGORITHM that it names. */
export const ALGORITHM_NOT_SUPPORTED: readonly number[] = [
  ER_ALTER_OPERATION_NOT_SUPPORTED,
  ER_ALTER_OPERATION_NOT_SUPPORTED_REASON,
];

/** A DROP VIEW found no such view or schema, so the session has the privilege to drop it. */
export const ABSENT_TO_DROP_VIEW: readonly number[] = [
  ER_BAD_DB_ERROR,
  ER_BAD_TABLE_ERROR,
  ER_UNKNOWN_VIEW,
];

/**
 * An ALTER TABLE named a partition that doesn't exist: it got the metadata lock, and changed
 * nothing.
 */
export const METADATA_LOCK_GRANTED: readonly number[] = [
  ER_PARTITION_MGMT_ON_NONPARTITIONED,
  ER_UNKNOWN_PARTITION,
];

/** An ALTER TABLE found that the partition to drop doesn't exist. */
export const NO_PARTITION_TO_DROP: readonly number[] = [
  ...METADATA_LOCK_GRANTED,
  ER_DROP_PARTITION_NON_EXISTENT,
  ER_DROP_LAST_PARTITION,
  ER_ONLY_ON_RANGE_LIST_PARTITION,
];

/** The session itself has FLUSH TABLES WITH READ LOCK or a BACKUP STAGE, which forbids DDL. */
export const OWN_GLOBAL_LOCK: readonly number[] = [
  ER_CANT_UPDATE_WITH_READLOCK,
  ER_BACKUP_LOCK_IS_ACTIVE,
];

/** The session itself has LOCK TABLES, which forbids this statement. */
export const UNDER_LOCK_TABLES: readonly number[] = [
  ER_TABLE_NOT_LOCKED_FOR_WRITE,
  ER_TABLE_NOT_LOCKED,
  ER_LOCK_OR_ACTIVE_TRANSACTION,
];

/**
 * The state of the session or the server forbids every DDL statement: read-only, an XA transaction,
 * SET TRANSACTION before its transaction, an expired password.
 */
export const DDL_FORBIDDEN: readonly number[] = [
  ...READ_ONLY_SERVER,
  ER_XAER_RMFAIL,
  ER_CANT_CHANGE_TX_CHARACTERISTICS,
  ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION,
  ER_MUST_CHANGE_PASSWORD,
];

/**
 * MariaDB's parser returns these for a schema, name, byte, type, length, charset, collation,
 * sequence or variable in a CREATE TABLE or CREATE SEQUENCE. They leave the transaction open.
 */
export const SAID_BY_PARSER: readonly number[] = [
  ...BAD_NAME,
  ER_DBACCESS_DENIED_ERROR,
  ER_NO_DB_ERROR,
  ER_WRONG_FIELD_SPEC,
  ER_PARSE_ERROR,
  ER_NONUNIQ_TABLE,
  ER_TOO_BIG_FIELDLENGTH,
  ER_UNKNOWN_CHARACTER_SET,
  ER_UNKNOWN_SYSTEM_VARIABLE,
  ER_WRONG_USAGE,
  ER_COLLATION_CHARSET_MISMATCH,
  ER_UNKNOWN_COLLATION,
  ER_TOO_BIG_SCALE,
  ER_TOO_BIG_PRECISION,
  ER_M_BIGGER_THAN_D,
  ER_TOO_BIG_DISPLAYWIDTH,
  ER_SEQUENCE_INVALID_DATA,
  ER_UNKNOWN_DATA_TYPE,
];
