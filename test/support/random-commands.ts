/**
 * Random sequences of commands, all from one seed: every command that is relayed, in text and in
 * binary, alone and pipelined, with results of every shape. They change nothing but temporary
 * tables and the session, so that two sessions on one server that say the same hear the same.
 */
import * as caps from '../../src/wire/capabilities.js';
import * as com from '../../src/wire/commands.js';
import { encodePacket } from '../../src/wire/framing.js';
import { Dice, type Random } from './dice.js';
import { int32 } from './raw-client.js';
import * as talks from './wire-talk.js';

/** The account of both sessions: it may read, call, and make temporary tables. */
const FUZZ_USER = 'fuzz';

/** What the sequences find on the server; run once as root. */
export const FUZZ_SETUP = [
  ...['CREATE DATABASE fuzz CHARACTER SET utf8mb4', 'CREATE TABLE fuzz.n (id INT PRIMARY KEY)'],
  `INSERT INTO fuzz.n VALUES ${Array.from({ length: 300 }, (_, index) => `(${index + 1})`)}`,
  `CREATE TABLE fuzz.w (id INT PRIMARY KEY, s VARCHAR(20), d DECIMAL(10,3), f DOUBLE, b BLOB,
     t DATETIME, e ENUM('x','y'), big BIGINT UNSIGNED)`,
  `INSERT INTO fuzz.w VALUES (1, 'one', 1.5, 2.5, 'blob', '2026-01-02 03:04:05', 'x', 1),
     (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (3, 'été', -7, 1e30, '', '1999-12-31', 'y', 7)`,
  'CREATE PROCEDURE fuzz.two() BEGIN SELECT 1; SELECT 2, 3; END',
  "CREATE PROCEDURE fuzz.half() BEGIN SELECT 1; SIGNAL SQLSTATE '45000'; SELECT 2; END",
  'CREATE PROCEDURE fuzz.outs(IN a INT, OUT b INT, INOUT c INT) BEGIN SET b = a + 1, c = c * 2; SELECT a; END',
  ...['CREATE PROCEDURE fuzz.none() BEGIN END', `CREATE USER ${FUZZ_USER}@'%'`],
  `GRANT SELECT, EXECUTE, LOCK TABLES, CREATE TEMPORARY TABLES ON fuzz.* TO ${FUZZ_USER}@'%'`,
  `SET GLOBAL local_infile = 1, max_allowed_packet = ${48 * 1024 * 1024}`,
] as const;

const TEMPORARY =
  'CREATE TEMPORARY TABLE IF NOT EXISTS tt (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b TEXT)';
/** The file that the server asks for; what is sent is no file of anybody. */
const INFILE = 'undrop-fuzz.csv';

/** With an error behind some rows, several results, none, many, wide and long ones. */
const QUERIES = [
  ...["SELECT 'a' AS x, NULL AS y", 'SELECT id FROM n WHERE id < 0', 'SELECT * FROM w'],
  ...['SELECT id FROM n', 'SELECT n.id, w.* FROM n, w LIMIT 200', 'DO 1', 'SELECT FROM'],
  ...['SELECT * FROM missing', 'SELECT missing FROM n', 'CALL two()', 'CALL half()', 'CALL none()'],
  ...['CALL outs(1, @b, @c)', 'SELECT @b, @c', 'CALL missing()', `SELECT ${Array(252).fill(1)}`],
  'SELECT id, (SELECT m.id FROM n AS m WHERE m.id <= n.id) FROM n WHERE n.id <= 3',
  "SELECT REPEAT('x', 251), REPEAT('y', 70000)",
  'SELECT REPEAT(id, 900) FROM n',
  "SELECT 1/0, CAST('x' AS SIGNED), '1' + 'a'",
  ...['SHOW WARNINGS', 'SHOW COUNT(*) WARNINGS', 'SELECT @@warning_count', 'SHOW ERRORS'],
  ...['BEGIN', 'COMMIT', 'ROLLBACK', 'START TRANSACTION READ ONLY', 'SAVEPOINT s'],
  ...['SET autocommit = 0', 'SET autocommit = 1', 'START TRANSACTION WITH CONSISTENT SNAPSHOT'],
  ...['ROLLBACK TO s', 'LOCK TABLES n READ'],
  ...['UNLOCK TABLES', 'FLUSH TABLES', 'USE fuzz', 'USE information_schema', 'USE missing'],
  ...[TEMPORARY, TEMPORARY, TEMPORARY, 'INSERT INTO tt (a) VALUES (1), (2), (3)'],
  ...["INSERT INTO tt (a, b) VALUES (1, 'b')", 'UPDATE tt SET a = 1', 'DELETE FROM tt WHERE a = 1'],
  ...['INSERT INTO tt (id) VALUES (1)', 'REPLACE INTO tt (id, a) VALUES (1, 2), (1, 3)'],
  ...['INSERT INTO tt (a) SELECT id FROM n', 'SELECT * FROM tt', 'INSERT INTO n VALUES (1)'],
  ...['SELECT LAST_INSERT_ID(), ROW_COUNT()', 'TRUNCATE TABLE tt', 'SELECT COUNT(*) FROM tt'],
  ...['SELECT SQL_CALC_FOUND_ROWS id FROM n LIMIT 2', 'SET @a = 7', 'SELECT @a, @missing'],
  ...['SET NAMES utf8mb4', 'SET NAMES latin1', 'SET NAMES gbk', 'SET NAMES sjis'],
  ...['SET character_set_results = NULL', 'SET character_set_results = latin2'],
  'SELECT @@sql_mode',
  ...["SET sql_mode = ''", "SET sql_mode = 'ANSI_QUOTES'", "SET time_zone = '+03:00'"],
  ...["SET sql_mode = 'NO_BACKSLASH_ESCAPES'", 'SET @@missing = 1'],
  'SET SESSION lock_wait_timeout=5',
  ...['SET sql_select_limit = 2', 'SET sql_select_limit = DEFAULT', 'SET max_error_count = 0'],
  ...['EXPLAIN SELECT * FROM n', 'SHOW COLUMNS FROM w', 'SHOW TABLES', 'HELP x', 'ANALYZE TABLE n'],
  ...['HANDLER n OPEN', 'HANDLER n READ FIRST', 'HANDLER n CLOSE', 'KILL 4294967290', ''],
  ...['KILL QUERY CONNECTION_ID()', '/* nothing */', ';', '\0', 'SELECT 1;', 'SELECT 1;;'],
] as const;

/** What only some servers know; the others have an error for it. */
const OF_SOME = [
  ...["SET resultset_metadata = 'NONE'", "SET resultset_metadata = 'FULL'"],
  ...['SET session_track_schema = 1, session_track_state_change = 1'],
  "SET session_track_transaction_info = 'CHARACTERISTICS'",
  "SET session_track_transaction_info = 'STATE'",
  "SET session_track_system_variables = 'autocommit,sql_mode,time_zone'",
  ...['SET session_track_gtids = OWN_GTID', 'TABLE n', 'VALUES ROW(1), ROW(2)', 'VALUES (1), (2)'],
  ...['SELECT seq FROM seq_1_to_1000', 'SET STATEMENT x=1 FOR DO 1'],
  'INSERT INTO tt (a) VALUES (9) RETURNING id, a',
  'BEGIN NOT ATOMIC SELECT 1; SELECT 2; END',
] as const;

/** Words of drops where none is. */
const INNOCENT = [
  ...["SELECT 'drop table n'", '/* drop table n */ SELECT 1', 'SELECT 1 -- drop table n'],
  ...["SELECT 'x' AS `drop table`", 'SELECT "drop database fuzz"', '# drop table n\nSELECT 2'],
  'DROP VIEW missing',
  ...["INSERT INTO tt (b) VALUES ('drop table n; drop table w')", 'DROP PROCEDURE missing'],
  ...['DROP PREPARE missing', 'DROP INDEX x ON tt', 'ALTER TABLE tt DROP COLUMN missing'],
] as const;

/** What the proxy looks at more closely, in a text of its own. */
const ALONE = [
  ...["EXECUTE IMMEDIATE 'SELECT 1'", "PREPARE p FROM 'SELECT FROM'", 'DEALLOCATE PREPARE p'],
  ...["PREPARE p FROM 'SELECT ?, id FROM n LIMIT 3'", 'EXECUTE p USING @a', 'EXECUTE p'],
] as const;

const PREPARABLE = [
  ...['DO 1', 'SELECT 1', 'SELECT id FROM n LIMIT 7', 'SELECT ?, ?'],
  'SELECT * FROM w WHERE id < ?',
  ...['INSERT INTO tt (a, b) VALUES (?, ?)', 'CALL two()', 'CALL half()', 'CALL outs(?, ?, ?)'],
  ...['SELECT id, ? FROM n', 'SELECT FROM', 'SELECT * FROM missing', 'SET @a = ?'],
  'SELECT 1; DO 2',
  ...['SELECT LENGTH(?), ?', TEMPORARY, 'SHOW WARNINGS', 'USE fuzz', 'SELECT * FROM tt', 'BEGIN'],
  'SELECT id, (SELECT m.id FROM n AS m WHERE m.id <= n.id + ?) FROM n',
  "SELECT 'drop table n', ?",
] as const;

const LOAD = `LOAD DATA LOCAL INFILE '${INFILE}' INTO TABLE tt (a)`;

/** Schemas, users and lengths that a command may name. */
const SCHEMAS = ['fuzz', 'information_schema', 'missing', '', 'f\0z'] as const;
const PART_BYTES = 0xffffff;
const LITERAL_BYTES_MAX = 16 * 1024 * 1024;

const CHOSEN_FLAGS = [
  ...[caps.CLIENT_FOUND_ROWS, caps.CLIENT_LOCAL_FILES, caps.CLIENT_MULTI_STATEMENTS],
  ...[caps.CLIENT_SESSION_TRACK, caps.CLIENT_DEPRECATE_EOF, caps.CLIENT_QUERY_ATTRIBUTES],
  ...[caps.CLIENT_OPTIONAL_RESULTSET_METADATA, caps.CLIENT_INTERACTIVE, caps.CLIENT_IGNORE_SPACE],
  ...[caps.CLIENT_LOCAL_FILES, caps.CLIENT_MULTI_STATEMENTS, caps.CLIENT_DEPRECATE_EOF],
] as const;

const CHOSEN_MARIADB = [
  ...[caps.MARIADB_CLIENT_STMT_BULK_OPERATIONS, caps.MARIADB_CLIENT_EXTENDED_METADATA],
  ...[caps.MARIADB_CLIENT_CACHE_METADATA, caps.MARIADB_CLIENT_BULK_UNIT_RESULTS],
  caps.MARIADB_CLIENT_PROGRESS,
] as const;

/** One thing to say, with words for whoever has to read why it failed. */
export interface Step extends talks.Utterance {
  readonly title: string;
  /** Why answers may differ: `pipelined` STATISTICS and ids; a list of `rows`; a `nonce`. */
  readonly varies?: 'pipelined' | 'rows' | 'nonce';
  /** The number that the statement gets which is prepared here. */
  readonly prepares?: number;
  /** Takes the direct answer. */
  readonly onHeard?: (packets: readonly Buffer[]) => void;
}

/** `long`: parameters whose value was sent by COM_STMT_SEND_LONG_DATA. */
type Statement = { readonly id: number; readonly parameters: number; readonly long: Set<number> };

/** Capabilities of a connection; those that its server hasn't got count for nothing. */
export function randomLogin(random: Random): talks.TalkOptions {
  const sum = (flags: readonly number[]) =>
    flags.reduce((all, flag) => (random() < 0.6 ? all | flag : all), 0);
  return { user: FUZZ_USER, flags: sum(CHOSEN_FLAGS), mariadb: sum(CHOSEN_MARIADB) };
}

export class CommandMaker {
  readonly #dice: Dice;
  readonly #flags: number;
  readonly #plugin: string;
  #statements: Statement[] = [];
  #prepared = 0;
  /** From then on the facts that undrop asks a session for, before a long text, can be seen. */
  #tracksTransactions = false;
  /** From then on undrop asks the session if a query with words of a drop is several statements. */
  #isAskedIfSeveral = false;

  /** `talk` is one of the two that will say it; both agreed on the same. */
  constructor(random: Random, talk: talks.WireTalk) {
    this.#dice = new Dice(random);
    this.#flags = talk.flags;
    this.#plugin = talk.plugin;
  }

  /** The steps that every connection begins with. */
  opening(): readonly Step[] {
    return [
      { title: 'INIT_DB fuzz', bytes: command(com.COM_INIT_DB, 'fuzz') },
      { title: 'a temporary table', bytes: this.#query(TEMPORARY) },
    ];
  }

  /** The next thing to say; `isLast` ones are rare. */
  next(): Step {
    const roll = this.#dice.roll();
    if (roll < 0.3) return this.#text();
    if (roll < 0.4) return this.#several();
    if (roll < 0.6) return this.#pipeline();
    if (roll < 0.87) return this.#binary();
    if (roll < 0.92) return this.#infile();
    if (roll < 0.93) return this.#changeUser();
    if (roll < 0.995) return this.#plain();
    if (roll < 0.9975) return this.#big();
    return this.#end();
  }

  // ── text ─────────────────────────────────────────────────────────────────────────────────────

  #sql(): string {
    const roll = this.#dice.roll();
    if (roll < 0.15) {
      const sql = this.#dice.of(OF_SOME);
      this.#tracksTransactions ||= sql.includes('session_track_transaction_info');
      return sql;
    }
    if (roll >= 0.25) return this.#dice.of(QUERIES);
    // Before a definition goes it is read in the session, and the report on a transaction is lost.
    const isRead = (sql: string) => /^DROP (VIEW|PROCEDURE)/.test(sql);
    return this.#dice.of(INNOCENT.filter((sql) => !this.#tracksTransactions || !isRead(sql)));
  }

  #text(): Step {
    const sql = this.#dice.roll() < 0.08 ? this.#dice.of(ALONE) : this.#sql();
    return { title: `QUERY ${sql}`, bytes: this.#query(sql) };
  }

  #several(): Step {
    const all = this.#times(2, 5, () => this.#sql());
    // A compound statement reaches to the end of its text, and with words of a drop it is refused.
    const at = all.findIndex((sql) => sql.startsWith('BEGIN NOT ATOMIC'));
    // Where undrop asks for sql_mode before it reads one, the report on a transaction is lost.
    const mayDrop = (index: number) => !this.#tracksTransactions && (at < 0 || index <= at);
    const kept = all.filter((one, index) => mayDrop(index) || !/drop/i.test(one));
    // That question ends in an error, and these would show it.
    const isAsked = this.#isAskedIfSeveral && kept.some((one) => /drop/i.test(one));
    const sql = kept
      .filter((one) => !(isAsked && /WARNINGS|ERRORS|@@warning/.test(one)))
      .join('; ');
    return { title: `QUERY ${sql}`, bytes: this.#query(sql) };
  }

  #query(sql: string): Buffer {
    if ((this.#flags & caps.CLIENT_QUERY_ATTRIBUTES) === 0) return command(com.COM_QUERY, sql);
    const attributes =
      this.#dice.roll() < 0.7
        ? [0, 1]
        : [1, 1, 0, 1, 0xfd, 0, 1, 0x61, 3, ...Buffer.from(this.#dice.of(['abc', 'xyz']))];
    return command(com.COM_QUERY, attributes, sql);
  }

  /** Several commands in one write, whatever they are; none that needs an answer to go on. */
  #pipeline(): Step {
    const steps = this.#times(2, 7, () => {
      const roll = this.#dice.roll();
      if (roll < 0.5) return this.#text();
      if (roll < 0.65) return this.#lastPrepared();
      return roll < 0.85 ? this.#onStatement() : this.#harmless();
    });
    const title = steps.map((step) => step.title).join(' | ');
    return { title, bytes: Buffer.concat(steps.map(({ bytes }) => bytes)), varies: 'pipelined' };
  }

  // ── prepared statements ──────────────────────────────────────────────────────────────────────

  #binary(): Step {
    if (this.#statements.length > 0 && this.#dice.roll() < 0.7) return this.#onStatement();
    return this.#prepare();
  }

  #prepare(): Step {
    const sql = this.#dice.of(PREPARABLE);
    const prepares = this.#prepared++;
    return {
      title: `PREPARE ${prepares} ${sql}`,
      prepares,
      bytes: command(com.COM_STMT_PREPARE, sql),
      onHeard: ([first]) => {
        if (first === undefined || first[4] !== 0x00 || first.length < 16) return;
        const id = talks.idOfPrepared(prepares);
        this.#statements.push({ id, parameters: first.readUInt16LE(11), long: new Set() });
      },
    };
  }

  /** MariaDB: an EXECUTE behind its PREPARE, without waiting for the id. The others refuse. */
  #lastPrepared(): Step {
    const sql = this.#dice.of(['SELECT 1, 2', 'SELECT id FROM n LIMIT 3', 'SELECT FROM', 'DO 3']);
    const statement = { id: 0xffff_ffff, parameters: 0, long: new Set<number>() };
    const bytes = [command(com.COM_STMT_PREPARE, sql), this.#execute(statement, 0)];
    return { title: `PREPARE+EXECUTE(-1) ${sql}`, bytes: Buffer.concat(bytes) };
  }

  #onStatement(): Step {
    const nobody: Statement = { id: 4_000_000, parameters: 0, long: new Set() };
    const isKnown = this.#statements.length > 0 && this.#dice.roll() < 0.95;
    const statement = isKnown ? this.#dice.of(this.#statements) : nobody;
    const { id, parameters, long } = statement;
    const roll = this.#dice.roll();
    if (roll < 0.55) {
      const cursor = this.#dice.roll() < 0.3 ? 1 : 0;
      const bytes = this.#execute(statement, cursor);
      long.clear();
      return { title: `EXECUTE ${id} cursor ${cursor}`, bytes };
    }
    if (roll < 0.75) {
      const rows = this.#dice.of([0, 1, 2, 5, 1000]);
      return { title: `FETCH ${rows} of ${id}`, bytes: command(com.COM_STMT_FETCH, id, rows) };
    }
    if (roll < 0.85 && parameters > 0) {
      const index = this.#dice.below(parameters);
      const data = Buffer.alloc(this.#dice.of([0, 3, 5000]), 'l');
      long.add(index);
      const bytes = command(com.COM_STMT_SEND_LONG_DATA, id, [index, 0], data);
      return { title: `SEND_LONG_DATA ${data.length} to ${index} of ${id}`, bytes };
    }
    if (roll < 0.93) {
      long.clear();
      return { title: `RESET ${id}`, bytes: command(com.COM_STMT_RESET, id) };
    }
    this.#statements = this.#statements.filter((other) => other !== statement);
    return { title: `CLOSE ${id}`, bytes: command(com.COM_STMT_CLOSE, id) };
  }

  #execute({ id, parameters, long }: Statement, cursor: number): Buffer {
    if (parameters === 0) return command(com.COM_STMT_EXECUTE, id, [cursor], 1);
    const named = (this.#flags & caps.CLIENT_QUERY_ATTRIBUTES) !== 0;
    const nulls = Buffer.alloc(Math.ceil(parameters / 8));
    const types: Buffer[] = [];
    const values: Buffer[] = [];
    for (let index = 0; index < parameters; index++) {
      const { type, value } = long.has(index) ? LONG_BLOB : this.#dice.of(VALUES);
      types.push(Buffer.from([type, 0, ...(named ? [0] : [])]));
      if (type === TYPE_NULL) nulls[index >> 3] = (nulls[index >> 3] ?? 0) | (1 << (index & 7));
      values.push(Buffer.from(value));
    }
    const count = named ? [parameters] : [];
    const head = command(com.COM_STMT_EXECUTE, id, [cursor], 1, count, nulls, [1]).subarray(4);
    return encodePacket(Buffer.concat([head, ...types, ...values]), 0);
  }

  // ── what goes on by what the server says ──────────────────────────────────────────────────────

  #infile(): Step {
    const sql = this.#dice.roll() < 0.7 ? LOAD : `SELECT 1; ${LOAD}; SELECT 2`;
    const parts = this.#times(0, 4, () => this.#dice.of([5, 400, 70_000]));
    const title = `QUERY ${sql} with ${parts.join('+')} bytes`;
    return { title, bytes: this.#query(sql), replier: () => sendsFile(parts) };
  }

  #changeUser(): Step {
    const user = this.#dice.roll() < 0.85 ? FUZZ_USER : 'nobody';
    const schema = this.#dice.of(['fuzz', 'fuzz', '', 'missing']);
    this.#statements = [];
    this.#isAskedIfSeveral = true;
    const rest = [`${user}\0\0${schema}\0`, [45, 0], `${this.#plugin}\0`] as const;
    return {
      title: `CHANGE_USER ${user} ${schema}`,
      bytes: command(com.COM_CHANGE_USER, ...rest),
      varies: 'nonce',
      replier: provesNothing,
    };
  }

  // ── the small ones, the big ones, and the end ─────────────────────────────────────────────────

  #harmless(): Step {
    const schema = this.#dice.of(SCHEMAS);
    const option = this.#dice.of([0, 1, 0, 7]);
    // Always with the NUL behind the name: without it MariaDB reads on in what was there before.
    const table = this.#dice.of(['n\0%', 'w\0', 'tt\0', 'missing\0', 'n\0i%']);
    const step = this.#dice.of<Step>([
      { title: 'PING', bytes: command(com.COM_PING) },
      { title: 'STATISTICS', bytes: command(com.COM_STATISTICS), varies: 'pipelined' },
      { title: `INIT_DB ${schema}`, bytes: command(com.COM_INIT_DB, schema) },
      { title: `SET_OPTION ${option}`, bytes: command(com.COM_SET_OPTION, [option, 0]) },
      { title: `FIELD_LIST ${table}`, bytes: command(com.COM_FIELD_LIST, table) },
      { title: 'an empty packet', bytes: encodePacket(Buffer.alloc(0), 0) },
      { title: 'SLEEP', bytes: command(com.COM_SLEEP) },
      { title: 'DEBUG', bytes: command(com.COM_DEBUG) },
      { title: 'REFRESH', bytes: command(com.COM_REFRESH, [1]) },
      { title: 'PROCESS_KILL', bytes: command(com.COM_PROCESS_KILL, 0x7fff_fff0) },
      { title: 'CREATE_DB', bytes: command(com.COM_CREATE_DB, 'x') },
    ]);
    this.#isAskedIfSeveral ||= step.title.startsWith('SET_OPTION');
    return step;
  }

  #plain(): Step {
    const roll = this.#dice.roll();
    if (roll < 0.1) {
      this.#statements = [];
      return { title: 'RESET_CONNECTION', bytes: command(com.COM_RESET_CONNECTION) };
    }
    if (roll < 0.15) {
      const bytes = command(com.COM_PROCESS_INFO);
      return { title: 'PROCESS_INFO', bytes, varies: 'rows' };
    }
    if (roll < 0.35) return this.#bulk();
    return this.#harmless();
  }

  /** MariaDB: rows of one parameter each, for a statement that may have another number. */
  #bulk(): Step {
    const statement = this.#statements.find(({ parameters }) => parameters === 1);
    if (statement === undefined) return this.#prepare();
    const rows = this.#times(1, 5, () => Buffer.from([0, ...int32(this.#dice.below(9))]));
    const flags = this.#dice.of([0x80, 0xc0]);
    const head = command(com.COM_STMT_BULK_EXECUTE, statement.id, [flags, 0, 3, 0]).subarray(4);
    const bytes = encodePacket(Buffer.concat([head, ...rows]), 0);
    return { title: `BULK_EXECUTE ${rows.length} rows of ${statement.id}`, bytes };
  }

  /** At and around the size at which a packet is continued by the next. */
  #big(): Step {
    const size = PART_BYTES + this.#dice.of([-1, 0, 1, 70_000]);
    if (this.#tracksTransactions || this.#dice.roll() < 0.5) {
      const sql = `SELECT REPEAT('x', ${size - this.#dice.of([4, 0])})`;
      return { title: `QUERY ${sql}`, bytes: this.#query(sql) };
    }
    const head = this.#query("SELECT LENGTH('").subarray(4);
    // Above 16 MiB no literal with such words is read.
    const words = size > LITERAL_BYTES_MAX ? 'x' : this.#dice.of(['x', 'drop table ']);
    const filler = Buffer.alloc(size - head.length - 2, words);
    const bytes = encodePacket(Buffer.concat([head, filler, Buffer.from("')")]), 0);
    return { title: `QUERY of ${size} bytes`, bytes };
  }

  #end(): Step {
    return this.#dice.of<Step>([
      { title: 'QUIT', bytes: command(com.COM_QUIT), isLast: true },
      { title: 'BINLOG_DUMP', bytes: command(com.COM_BINLOG_DUMP, 4, [0, 0], 4711, 'x') },
      { title: 'BINLOG_DUMP_GTID', bytes: command(com.COM_BINLOG_DUMP_GTID, [0, 0], 4711) },
      { title: 'REGISTER_SLAVE', bytes: command(com.COM_REGISTER_SLAVE, 4711, '\0\0\0', [0, 0]) },
      { title: 'KILL itself', bytes: this.#query('KILL CONNECTION_ID()') },
      { title: 'SHUTDOWN', bytes: command(com.COM_SHUTDOWN) },
      { title: 'a packet out of order', bytes: encodePacket(Buffer.from([com.COM_PING]), 9) },
    ]);
  }

  // ── chances ───────────────────────────────────────────────────────────────────────────────────

  /** Where to cut a write of `length` bytes into pieces; mostly nowhere. */
  cuts(length: number): readonly number[] {
    if (this.#dice.roll() < 0.7) return [];
    const few = this.#times(1, 4, () => this.#dice.below(Math.min(length, 40)));
    return [...few, this.#dice.below(length)].sort((a, b) => a - b);
  }

  #times<T>(least: number, most: number, make: () => T): T[] {
    return Array.from({ length: least + this.#dice.below(most - least + 1) }, make);
  }
}

/** Sends the parts of a file, once, when the server asks for it; or goes on when it refuses. */
function sendsFile(parts: readonly number[]): (packet: Buffer) => talks.Reply | null {
  let isOver = false;
  return (packet) => {
    const asks = packet[4] === 0xfb && packet.includes(INFILE);
    if (isOver || (!asks && packet[4] !== 0xff)) return null;
    isOver = true;
    if (!asks) return { bytes: Buffer.alloc(0) };
    const first = (packet[3] ?? 0) + 1;
    const data = [...parts.map((size) => Buffer.alloc(size, '7\n')), Buffer.alloc(0)];
    const framed = data.map((payload, index) => encodePacket(payload, (first + index) & 0xff));
    return { bytes: Buffer.concat(framed) };
  };
}

/** Whatever the plugin: the proof of an empty password is empty. */
function provesNothing(): (packet: Buffer) => talks.Reply | null {
  let isOver = false;
  return (packet) => {
    if (isOver) return null;
    isOver = packet[4] !== 0xfe;
    if (isOver) return { bytes: Buffer.alloc(0) };
    return { bytes: encodePacket(Buffer.alloc(0), (packet[3] ?? 0) + 1), more: true };
  };
}

const TYPE_NULL = 6;
/** Its value went ahead. */
const LONG_BLOB = { type: 0xfc, value: [] } as const;
const VALUES = [
  { type: 3, value: [7, 0, 0, 0] },
  { type: 3, value: [0xff, 0xff, 0xff, 0xff] },
  { type: TYPE_NULL, value: [] },
  { type: 8, value: [1, 2, 3, 4, 5, 6, 7, 0] },
  { type: 5, value: [0, 0, 0, 0, 0, 0, 0xf0, 0x3f] },
  { type: 0xfd, value: [3, 0x61, 0x62, 0x63] },
  { type: 0xfd, value: [0xfc, 0x2c, 0x01, ...Buffer.alloc(300, 'y')] },
  { type: 12, value: [4, 0xea, 0x07, 3, 1] },
] as const;

/** Numbers are four bytes, least first. */
function command(
  byte: number,
  ...parts: readonly (string | number | readonly number[] | Buffer)[]
): Buffer {
  const rest = parts.map((part) =>
    typeof part === 'number' ? int32(part) : Buffer.from(part as string),
  );
  return encodePacket(Buffer.concat([Buffer.from([byte]), ...rest]), 0);
}
