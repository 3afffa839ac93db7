/** Random commands of a client, valid ones and others, from a seed. */
import * as caps from '../../src/wire/capabilities.js';
import * as com from '../../src/wire/commands.js';
import { encodeComQuery } from '../../src/wire/commands.js';
import type { Random } from './dice.js';

export function pick<T>(random: Random, values: readonly [T, ...T[]]): T {
  return values[Math.floor(random() * values.length)] ?? values[0];
}

const FLAGS = [
  caps.CLIENT_DEPRECATE_EOF,
  caps.CLIENT_SESSION_TRACK,
  caps.CLIENT_OPTIONAL_RESULTSET_METADATA,
  caps.CLIENT_QUERY_ATTRIBUTES,
];
const MARIADB = [
  caps.MARIADB_CLIENT_PROGRESS,
  caps.MARIADB_CLIENT_STMT_BULK_OPERATIONS,
  caps.MARIADB_CLIENT_EXTENDED_METADATA,
  caps.MARIADB_CLIENT_CACHE_METADATA,
  caps.MARIADB_CLIENT_BULK_UNIT_RESULTS,
];

export function randomCapabilities(random: Random): caps.Capabilities {
  const some = (bits: readonly number[]) =>
    bits.reduce((sum, bit) => (random() < 0.5 ? sum | bit : sum), 0);
  const always = caps.CLIENT_MULTI_STATEMENTS | caps.CLIENT_LOCAL_FILES;
  return { flags: (always | some(FLAGS)) >>> 0, mariadb: some(MARIADB) };
}

/** What random statements are about; run it once in a schema of its own. */
export const TABLES: readonly string[] = [
  'CREATE TABLE few (id INT PRIMARY KEY, name VARCHAR(20))',
  "INSERT INTO few VALUES (1, 'a'), (2, NULL), (3, '')",
  'CREATE TABLE many (id INT PRIMARY KEY, name VARCHAR(20))',
  `INSERT INTO many VALUES ${Array.from({ length: 300 }, (_, id) => `(${id}, 'n')`).join(', ')}`,
  'CREATE TABLE written (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20))',
  'CREATE PROCEDURE two() BEGIN SELECT 1; SELECT * FROM few; END',
  'CREATE PROCEDURE none() DO 1',
  "CREATE PROCEDURE fails() BEGIN SELECT 1; SIGNAL SQLSTATE '45000'; END",
  'CREATE PROCEDURE fills(OUT a INT, INOUT b INT) BEGIN SET a = 1; SELECT * FROM few; END',
];

const COLUMNS = Array.from({ length: 300 }, (_, column) => column).join(', ');

const TEXTS = [
  ...['SELECT 1', 'SELECT 1, NULL, 2', 'DO 1', "SELECT ''", 'SELECT * FROM few', 'SELECT'],
  ...['SELECT * FROM many', 'SELECT * FROM few WHERE 0', `SELECT ${COLUMNS}`, '', ';', '-- x'],
  ...['SELECT 1; SELECT * FROM few', 'DO 1; DO 2', 'SELECT 1; DO 1; SELECT 2', 'DO 1;;DO 2'],
  ...['SELECT 1; SELECT * FROM missing; SELECT 2', 'DO 1; SELEC', 'CALL two()', 'CALL none()'],
  ...['CALL fails()', 'CALL two(); CALL two()', 'CALL fills(@a, @b)', 'CALL missing()'],
  ...['SELECT IF(id = 50, (SELECT 1 UNION SELECT 2), id) FROM many', 'BEGIN', 'COMMIT', 'ROLLBACK'],
  ...["INSERT INTO written (name) VALUES ('x')", "UPDATE written SET name = 'y' LIMIT 3"],
  ...['INSERT INTO written (name) VALUES (1), (2); SELECT 1', 'DELETE FROM written LIMIT 5'],
  ...["SELECT REPEAT('x', 70000), 1", "SELECT REPEAT('x', 250)", "SELECT REPEAT('x', 251)"],
  ...['SET @v = 1', 'SET NAMES latin1', 'SET NAMES utf8mb4', 'SHOW WARNINGS', 'SELECT 1/0', 'USE'],
  ...['SET autocommit = 0', 'SET autocommit = 1', 'EXPLAIN SELECT 1', 'SELECT 1 INTO @v'],
  ...['SHOW VARIABLES', 'SHOW TABLES', 'KILL QUERY CONNECTION_ID()', 'SELECT SLEEP(0.001)'],
  ...["PREPARE s FROM 'SELECT 1, ?'", 'EXECUTE s USING @v', 'DEALLOCATE PREPARE s', 'XA RECOVER'],
  ...['CREATE TEMPORARY TABLE IF NOT EXISTS temp (id INT)', 'ANALYZE TABLE few', 'CHECK TABLE few'],
  ...['HANDLER few OPEN', 'HANDLER few READ FIRST', 'HANDLER few CLOSE', "SIGNAL SQLSTATE '45000'"],
  ...['SET resultset_metadata = NONE', 'SET resultset_metadata = FULL', "SIGNAL SQLSTATE '01000'"],
  ...["SET session_track_state_change = 1; SET session_track_system_variables = '*'", 'HELP x'],
  ...["SET SESSION session_track_transaction_info = 'CHARACTERISTICS'", 'XA START "x"', 'FLUSH x'],
] as const;

const PREPARED = [
  ...[
    'SELECT 1',
    'SELECT ?',
    'SELECT ?, ? FROM many',
    'DO 1',
    'DO ?',
    'SELECT * FROM few',
    'SELEC',
  ],
  ...['INSERT INTO written (name) VALUES (?)', 'CALL two()', 'CALL fails()', 'CALL fills(?, ?)'],
  ...[`SELECT ${COLUMNS}`, 'SELECT * FROM many', 'SELECT * FROM few WHERE 0', 'SELECT 1; SELECT 2'],
  ...['UPDATE written SET name = ? LIMIT 1', 'SHOW TABLES', 'SELECT * FROM many WHERE id > ?', ''],
  ...['SELECT IF(id = 50, (SELECT 1 UNION SELECT 2), id) FROM many', 'CALL none()'],
] as const;

/** A statement that the server has prepared. */
export interface Prepared {
  readonly id: number;
  readonly parameters: number;
}

export interface RandomOptions {
  readonly agreed: caps.Capabilities;
  readonly isMariadb: boolean;
  readonly schema: string;
  readonly prepared: readonly Prepared[];
}

/** A COM_STMT_PREPARE; its answer says what to add to `prepared`. */
export function randomPrepare(random: Random): Buffer {
  return Buffer.from(`\x16${pick(random, PREPARED)}`);
}

/** One command that needs nothing of the client but itself. */
export function randomCommand(random: Random, options: RandomOptions): Buffer {
  if (random() < 0.45) return encodeComQuery(Buffer.from(pick(random, TEXTS)), options.agreed);
  return pick<() => Buffer>(random, [
    () => Buffer.from([com.COM_PING]),
    () => Buffer.from([com.COM_STATISTICS]),
    () => Buffer.from([com.COM_DEBUG]),
    () => Buffer.from([com.COM_SET_OPTION, pick(random, [0, 0, 0, 9]), 0]),
    () => Buffer.from(`\x02${pick(random, [options.schema, 'missing', ''])}`),
    () =>
      Buffer.from(
        `\x04${pick(random, ['few', 'many', 'missing'])}\0${pick(random, ['', '%', 'n%'])}`,
      ),
    () => Buffer.from([com.COM_PROCESS_INFO]),
    () => Buffer.from([com.COM_PROCESS_KILL, 0xfe, 0xff, 0xff, 0x7f]),
    () => Buffer.from([com.COM_RESET_CONNECTION]),
    () => Buffer.from('\x05made'),
    () => Buffer.from([com.COM_REFRESH, 1]),
    () => Buffer.alloc(0),
    () => Buffer.from([com.COM_SLEEP]),
    () => randomPrepare(random),
    ...statementCommands(random, options),
    ...statementCommands(random, options),
  ])();
}

function statementCommands(random: Random, options: RandomOptions): readonly (() => Buffer)[] {
  const [first, ...others] = options.prepared;
  const statement =
    first === undefined || random() < 0.1
      ? { id: options.isMariadb && random() < 0.5 ? 0xffff_ffff : 77, parameters: 0 }
      : pick(random, [first, ...others]);
  return [
    () => execute(statement),
    () => execute(statement),
    () => execute(statement),
    () => withId(com.COM_STMT_FETCH, statement.id, [pick(random, [1, 2, 200]), 0, 0, 0]),
    () => withId(com.COM_STMT_FETCH, statement.id, [pick(random, [1, 2, 200]), 0, 0, 0]),
    () => withId(com.COM_STMT_RESET, statement.id, []),
    () => withId(com.COM_STMT_SEND_LONG_DATA, statement.id, [0, 0, 0x61, 0x62]),
    () => withId(com.COM_STMT_CLOSE, random() < 0.8 ? 78 : statement.id, []),
    () => (options.isMariadb ? bulkExecute(random, statement) : execute(statement)),
  ];
}

function withId(command: number, id: number, rest: readonly number[]): Buffer {
  const head = Buffer.alloc(5);
  head[0] = command;
  head.writeUInt32LE(id, 1);
  return Buffer.concat([head, Buffer.from(rest)]);
}

/**
 * With a cursor or without, always the same for a statement: MySQL 9.7 ends the answer to one that
 * is executed without while its cursor is open by an OK where an EOF belongs (0x00 for 0xFE), which
 * no client can tell from a row.
 */
function execute({ id, parameters }: Prepared): Buffer {
  const cursor = id % 2;
  if (parameters === 0) return withId(com.COM_STMT_EXECUTE, id, [cursor, 1, 0, 0, 0]);
  const types = Array.from({ length: parameters }, () => [0xfd, 0]).flat();
  const values = Array.from({ length: parameters }, () => [2, 0x34, 0x32]).flat();
  const rest = [cursor, 1, 0, 0, 0, 0, 1, ...types, ...values];
  return withId(com.COM_STMT_EXECUTE, id, rest);
}

/** Two rows of parameters, with the answer of each where that is agreed and asked for. */
function bulkExecute(random: Random, { id, parameters }: Prepared): Buffer {
  const flags = 128 | (random() < 0.5 ? 64 : 0);
  const types = Array.from({ length: parameters }, () => [0xfd, 0]).flat();
  const row = Array.from({ length: parameters }, () => [0, 2, 0x34, 0x32]).flat();
  return withId(com.COM_STMT_BULK_EXECUTE, id, [flags, 0, ...types, ...row, ...row]);
}
