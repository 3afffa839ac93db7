/**
 * A program: has real conversations with each server of the set and writes them down, packet by
 * packet, under test/packets/<server>/. The tests of decoders and of the response tracker are fed
 * with these, so what they know of the wire comes from servers, not from us.
 *
 *   node build/test/support/capture-packets.js [server …]
 *
 * Invariant: nothing of src/ decides here where an answer ends; an answer is over when the server
 * has been silent for a while.
 */
import { createHash, publicEncrypt, constants as rsa } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import * as caps from '../../src/wire/capabilities.js';
import * as com from '../../src/wire/commands.js';
import { encodePacket } from '../../src/wire/framing.js';
import { projectFolder } from './folders.js';
import { SERVER_NAMES } from './server-set.js';
import { query, startServer, type Target } from './servers.js';

/** A server that has said nothing for so long has said all; far more than it needs here. */
const SILENCE_MS = 120;

interface Variant {
  readonly file: string;
  readonly title: string;
  readonly flags: number;
  readonly mariadb?: number;
  readonly user?: string;
  readonly password?: string;
  readonly plugin?: string;
}

const BASE =
  caps.CLIENT_LONG_FLAG |
  caps.CLIENT_LOCAL_FILES |
  caps.CLIENT_PROTOCOL_41 |
  caps.CLIENT_TRANSACTIONS |
  caps.CLIENT_RESERVED |
  caps.CLIENT_SECURE_CONNECTION |
  caps.CLIENT_MULTI_STATEMENTS |
  caps.CLIENT_MULTI_RESULTS |
  caps.CLIENT_PS_MULTI_RESULTS |
  caps.CLIENT_PLUGIN_AUTH;
const MODERN = BASE | caps.CLIENT_DEPRECATE_EOF | caps.CLIENT_SESSION_TRACK;
const MYSQL = caps.CLIENT_LONG_PASSWORD;

/** One connection whose packets are written down as they come and go. */
class Recorder {
  readonly #socket: net.Socket;
  readonly #lines: string[] = [];
  #pending: Buffer = Buffer.alloc(0);
  #lastAt = 0;
  #answersAtSend = 0;
  /** Payloads of the server's packets of the current exchange. */
  answer: Buffer[] = [];
  isClosed = false;

  private constructor(socket: net.Socket, title: string) {
    this.#socket = socket;
    this.#lines.push(`# ${title}`);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.isClosed = true;
    });
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  static async open(server: Target, title: string): Promise<Recorder> {
    const socket = net.connect({ host: server.host, port: server.port, noDelay: true });
    const recorder = new Recorder(socket, title);
    await once(socket, 'connect');
    return recorder;
  }

  get text(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  exchange(title: string): void {
    this.#lines.push(`## ${title}`);
    this.answer = [];
    this.#answersAtSend = 0;
  }

  send(...packets: readonly Buffer[]): void {
    for (const packet of packets) this.#lines.push(`> ${packet.toString('hex')}`);
    this.#answersAtSend = this.answer.length;
    this.#socket.write(Buffer.concat(packets));
  }

  /** Waits until the server has said something that `isComplete` accepts, and is silent. */
  async listen(isComplete: (answer: readonly Buffer[]) => boolean = () => true): Promise<void> {
    while (!this.isClosed) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      const isAnswered = this.answer.length > this.#answersAtSend;
      const isSilent = Date.now() - this.#lastAt > SILENCE_MS;
      if (isAnswered && isSilent && isComplete(this.answer)) return;
    }
  }

  end(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#lastAt = Date.now();
    this.#pending = Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= 4) {
      const size = 4 + this.#pending.readUIntLE(0, 3);
      if (this.#pending.length < size) return;
      this.#lines.push(`< ${this.#pending.toString('hex', 0, size)}`);
      this.answer.push(this.#pending.subarray(4, size));
      this.#pending = this.#pending.subarray(size);
    }
  }
}

/** A capture under way: commands on one logged in connection. */
class Talk {
  readonly recorder: Recorder;
  readonly #attributes: boolean;

  constructor(recorder: Recorder, flags: number) {
    this.recorder = recorder;
    this.#attributes = (flags & caps.CLIENT_QUERY_ATTRIBUTES) !== 0;
  }

  query(sql: string): Buffer {
    const head = this.#attributes ? [com.COM_QUERY, 0, 1] : [com.COM_QUERY];
    return encodePacket(Buffer.concat([Buffer.from(head), Buffer.from(sql)]), 0);
  }

  async run(title: string, ...packets: readonly Buffer[]): Promise<readonly Buffer[]> {
    this.recorder.exchange(title);
    this.recorder.send(...packets);
    await this.recorder.listen();
    return this.recorder.answer;
  }

  text(title: string, sql: string): Promise<readonly Buffer[]> {
    return this.run(title, this.query(sql));
  }
}

function command(byte: number, ...parts: readonly (Buffer | string | readonly number[])[]): Buffer {
  const rest = parts.map((part) =>
    typeof part === 'string' ? Buffer.from(part) : Buffer.from(part),
  );
  return encodePacket(Buffer.concat([Buffer.from([byte]), ...rest]), 0);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** COM_STMT_EXECUTE without parameters. */
function execute(id: number, cursor = 0): Buffer {
  return command(com.COM_STMT_EXECUTE, int32(id), [cursor], int32(1));
}

// ── the connection phase ───────────────────────────────────────────────────────────────────────

async function logIn(server: Target, variant: Variant): Promise<Talk> {
  const recorder = await Recorder.open(server, variant.title);
  recorder.exchange('login');
  await recorder.listen();
  const greeting = recorder.answer[0] ?? Buffer.alloc(0);
  const { user = 'root', password = '', plugin = pluginOf(greeting) } = variant;
  const nonce = nonceOf(greeting);
  const response = Buffer.concat([
    int32(variant.flags),
    int32(0x4000_0000),
    Buffer.from([45]),
    Buffer.alloc(19),
    int32(variant.mariadb ?? 0),
    Buffer.from(`${user}\0`),
    prefixed(scramble(plugin, password, nonce)),
    Buffer.from(`${plugin}\0`),
  ]);
  recorder.send(encodePacket(response, 1));
  await recorder.listen();
  let sequenceId = 2;
  while (!isDone(recorder.answer.at(-1))) {
    sequenceId += 1;
    const asked = recorder.answer.at(-1) ?? Buffer.alloc(0);
    recorder.send(encodePacket(replyTo(asked, password, nonce), sequenceId));
    await recorder.listen();
    sequenceId += 1;
  }
  return new Talk(recorder, variant.flags);
}

function isDone(payload: Buffer | undefined): boolean {
  return payload === undefined || payload[0] === 0x00 || payload[0] === 0xff;
}

/** What a client answers to AuthSwitchRequest and to the rounds of caching_sha2_password. */
function replyTo(asked: Buffer, password: string, nonce: Buffer): Buffer {
  if (asked[0] === 0xfe) {
    const end = asked.indexOf(0, 1);
    const plugin = asked.subarray(1, end).toString();
    asked.copy(nonce, 0, end + 1, end + 21);
    return scramble(plugin, password, nonce);
  }
  if (asked[0] === 0x01 && asked[1] === 0x04) return Buffer.from([2]);
  const clear = Buffer.from(`${password}\0`).map((byte, index) => byte ^ (nonce[index % 20] ?? 0));
  const key = asked.subarray(1).toString();
  return publicEncrypt({ key, padding: rsa.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, clear);
}

function nonceOf(greeting: Buffer): Buffer {
  const at = greeting.indexOf(0, 1) + 5;
  return Buffer.concat([greeting.subarray(at, at + 8), greeting.subarray(at + 27, at + 39)]);
}

function pluginOf(greeting: Buffer): string {
  return greeting.subarray(greeting.indexOf(0, 1) + 45, -1).toString();
}

function scramble(plugin: string, password: string, nonce: Buffer): Buffer {
  if (password === '') return Buffer.alloc(0);
  const hash = (...parts: Buffer[]) =>
    parts.reduce(
      (sum, part) => sum.update(part),
      createHash(plugin === 'mysql_native_password' ? 'sha1' : 'sha256'),
    );
  const once = hash(Buffer.from(password)).digest();
  const twice = hash(once).digest();
  const mask = plugin === 'mysql_native_password' ? hash(nonce, twice) : hash(twice, nonce);
  const bytes = mask.digest();
  return once.map((byte, index) => byte ^ (bytes[index] ?? 0)) as Buffer;
}

function prefixed(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

// ── the command phase ──────────────────────────────────────────────────────────────────────────

async function textResults(talk: Talk): Promise<void> {
  await talk.text('one row of two columns, one of them NULL', "SELECT 'a' AS x, NULL AS y");
  await talk.text('no rows', 'SELECT 1 AS x FROM p.t WHERE 1 = 0');
  await talk.text('more rows than sequence ids', 'SELECT id FROM p.n WHERE id <= 300');
  await talk.text('more columns than one byte counts', `SELECT ${Array(252).fill('1').join(',')}`);
  await talk.text('an OK', 'DO 1');
  await talk.text('an OK with counts', 'INSERT INTO p.t (a) VALUES (1), (2)');
  await talk.text('an OK with a warning', 'DROP TABLE IF EXISTS p.missing');
  await talk.text('in a transaction', 'BEGIN');
  await talk.text('out of it', 'ROLLBACK');
  await talk.text('an ERR', 'SELECT * FROM p.missing');
  await talk.text('a syntax error', 'undrop_0123456789abcdef01234567');
  await talk.text(
    'an ERR behind a row',
    'SELECT id, (SELECT m.id FROM p.n AS m WHERE m.id <= n.id) FROM p.n AS n WHERE n.id <= 3',
  );
  await talk.text('two result sets and an OK', 'SELECT 1; SELECT 2, 3; DO 1');
  await talk.text(
    'an error in the second statement',
    'SELECT 1; SELECT * FROM p.missing; SELECT 3',
  );
  await talk.text('a CALL with two result sets', 'CALL p.two()');
  await talk.text('wide session tracking', "SET NAMES utf8mb4, @@time_zone = '+03:00'");
}

async function otherCommands(talk: Talk): Promise<void> {
  await talk.run('COM_PING', command(com.COM_PING));
  await talk.run('COM_STATISTICS', command(com.COM_STATISTICS));
  await talk.run('COM_INIT_DB', command(com.COM_INIT_DB, 'p'));
  await talk.run('COM_INIT_DB of a schema that is missing', command(com.COM_INIT_DB, 'nowhere'));
  await talk.run('COM_FIELD_LIST', command(com.COM_FIELD_LIST, 't\0%'));
  await talk.run('COM_FIELD_LIST of a table that is missing', command(com.COM_FIELD_LIST, 'x\0'));
  await talk.run('COM_SET_OPTION', command(com.COM_SET_OPTION, [0, 0]));
  await talk.run('COM_DEBUG', command(com.COM_DEBUG));
  await talk.run('COM_PROCESS_INFO', command(com.COM_PROCESS_INFO));
  await talk.run('COM_PROCESS_KILL of nobody', command(com.COM_PROCESS_KILL, int32(0x7fff_fff0)));
  await talk.run('an unknown command', command(0x7f));
  await talk.run('an empty packet', Buffer.from('00000000', 'hex'));
}

/** CHANGE_USER to root without a password, whatever plugin the server takes. */
async function resets(talk: Talk, plugin: string): Promise<void> {
  await talk.run('COM_RESET_CONNECTION', command(com.COM_RESET_CONNECTION));
  await talk.run(
    'COM_CHANGE_USER',
    command(com.COM_CHANGE_USER, 'root\0', [0], 'p\0', [45, 0], `${plugin}\0`),
  );
  if (isDone(talk.recorder.answer.at(-1))) return;
  talk.recorder.send(encodePacket(Buffer.alloc(0), 2));
  await talk.recorder.listen();
}

async function preparedStatements(talk: Talk): Promise<void> {
  const prepare = async (title: string, sql: string): Promise<number> => {
    const [first] = await talk.run(title, command(com.COM_STMT_PREPARE, sql));
    return first?.[0] === 0 ? first.readUInt32LE(1) : 0;
  };
  await prepare('PREPARE without columns and parameters', 'DO 1');
  await prepare('PREPARE of two parameters', 'INSERT INTO p.t (a, b) VALUES (?, ?)');
  await prepare('PREPARE that fails', 'SELECT FROM');
  const rows = await prepare('PREPARE of columns and a parameter', 'SELECT id, ? FROM p.n LIMIT 3');
  await talk.run(
    'EXECUTE with a parameter',
    command(com.COM_STMT_EXECUTE, int32(rows), [0], int32(1), [0, 1, 3, 0], int32(7)),
  );
  await talk.run(
    'SEND_LONG_DATA, which has no answer',
    command(com.COM_STMT_SEND_LONG_DATA, int32(rows), [0, 0], 'long'),
    command(com.COM_PING),
  );
  await talk.run('STMT_RESET', command(com.COM_STMT_RESET, int32(rows)));
  const plain = await prepare('PREPARE of columns', 'SELECT id FROM p.n LIMIT 5');
  await talk.run('EXECUTE', execute(plain));
  await talk.run('EXECUTE with a cursor', execute(plain, 1));
  await talk.run('FETCH of two rows', command(com.COM_STMT_FETCH, int32(plain), int32(2)));
  await talk.run('FETCH of the rest', command(com.COM_STMT_FETCH, int32(plain), int32(100)));
  await talk.run('FETCH without a cursor', command(com.COM_STMT_FETCH, int32(rows), int32(1)));
  const call = await prepare('PREPARE of a CALL', 'CALL p.two()');
  await talk.run('EXECUTE of a CALL', execute(call));
  await talk.run('EXECUTE of an unknown statement', execute(4_000_000));
  await talk.run(
    'CLOSE, which has no answer, and commands behind it in one write',
    command(com.COM_STMT_CLOSE, int32(plain)),
    talk.query('SELECT 1; SELECT 2'),
    command(com.COM_STMT_PREPARE, 'SELECT ?'),
    talk.query('SELECT * FROM p.missing'),
    command(com.COM_PING),
    command(com.COM_STATISTICS),
    talk.query('SELECT id FROM p.n LIMIT 3'),
  );
}

async function localInfile(talk: Talk): Promise<void> {
  const sql = "LOAD DATA LOCAL INFILE 'x' INTO TABLE p.loaded (a)";
  await talk.text('LOCAL INFILE of three packets, one of which looks like a command', sql);
  talk.recorder.send(
    encodePacket(Buffer.from('1\n2\n'), 2),
    encodePacket(Buffer.from('\x03DROP TABLE p.t\n'), 3),
    encodePacket(Buffer.from('3\n'), 4),
    encodePacket(Buffer.alloc(0), 5),
  );
  await talk.recorder.listen();
  await talk.text('LOCAL INFILE of nothing', sql);
  talk.recorder.send(encodePacket(Buffer.alloc(0), 2));
  await talk.recorder.listen();
  await talk.text('LOCAL INFILE between two others', `SELECT 1; ${sql}; SELECT 2`);
  const asked = talk.recorder.answer.length;
  talk.recorder.send(
    encodePacket(Buffer.from('9\n'), asked + 1),
    encodePacket(Buffer.alloc(0), asked + 2),
  );
  await talk.recorder.listen();
}

/** What the server sends to a replica, up to the end of its log. */
async function binlogDump(talk: Talk, file: string): Promise<void> {
  for (const name of ['master', 'source']) {
    await talk.text(`checksums are known (${name})`, `SET @${name}_binlog_checksum = 'NONE'`);
  }
  await talk.run(
    'COM_BINLOG_DUMP up to the end',
    command(com.COM_BINLOG_DUMP, int32(4), [1, 0], int32(4711), file),
  );
}

// ── the captures ───────────────────────────────────────────────────────────────────────────────

async function capture(name: string, server: Target, version: string): Promise<void> {
  const isMysql = name.startsWith('mysql');
  const isModern = name !== 'mysql-5.6';
  const own = isMysql ? MYSQL : 0;
  const folder = join(projectFolder, 'test/packets', name);
  mkdirSync(folder, { recursive: true });
  const write = (file: string, recorder: Recorder): void => {
    recorder.end();
    writeFileSync(join(folder, `${file}.hex`), recorder.text);
  };
  const titled = (title: string): string => `${name} (${version}): ${title}`;
  const record: Recording = async (variant, talks) => {
    const flags = variant.flags | own;
    const talk = await logIn(server, { ...variant, title: titled(variant.title), flags });
    if (!talk.recorder.isClosed) await talks(talk);
    write(variant.file, talk.recorder);
  };
  await prepareServer(server);
  const plugin = name === 'mysql-9.7' ? 'caching_sha2_password' : 'mysql_native_password';
  const everything = async (talk: Talk): Promise<void> => {
    await textResults(talk);
    await preparedStatements(talk);
    await localInfile(talk);
    await otherCommands(talk);
    await resets(talk, plugin);
  };
  await record({ file: 'eof', title: 'EOF packets', flags: BASE }, everything);
  if (isModern) {
    const title = 'CLIENT_DEPRECATE_EOF and CLIENT_SESSION_TRACK';
    await record({ file: 'deprecate-eof', title, flags: MODERN }, everything);
  }
  await record({ file: 'binlog', title: 'a replica', flags: BASE }, async (talk) => {
    const reset = name === 'mysql-9.7' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER';
    await talk.text('its log is emptied', reset);
    const status = name === 'mysql-9.7' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS';
    const [row] = await query<Record<string, string>>(server, status);
    await binlogDump(talk, row?.['File'] ?? '');
  });
  await logins(server, { record, plugin, own });
  if (name === 'mysql-9.7') await onlyMysql(record);
  if (!isMysql) await onlyMariadb(record);
  await goodbyes(record, name === 'mysql-9.7');
  write('too-many', await refused(server, titled('too many connections')));
}

type Recording = (variant: Variant, talks: (talk: Talk) => Promise<void>) => Promise<void>;

async function prepareServer(server: Target): Promise<void> {
  await query(
    server,
    'CREATE DATABASE p CHARACTER SET utf8mb4',
    'CREATE TABLE p.t (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(20))',
    'CREATE TABLE p.loaded (id INT AUTO_INCREMENT PRIMARY KEY, a TEXT)',
    'CREATE TABLE p.n (id INT PRIMARY KEY)',
    `INSERT INTO p.n VALUES ${Array.from({ length: 300 }, (_, index) => `(${index + 1})`)}`,
    'CREATE PROCEDURE p.two() BEGIN SELECT 1; SELECT 2, 3; END',
  );
}

async function logins(
  server: Target,
  options: { readonly record: Recording; readonly plugin: string; readonly own: number },
): Promise<void> {
  const { record, plugin, own } = options;
  await query(server, "CREATE USER 'pass'@'%' IDENTIFIED BY 'captured'");
  const login = { flags: MODERN | own, user: 'pass', password: 'captured', plugin };
  const other = { password: 'captured', plugin: 'mysql_clear_password' };
  for (const [file, title, more] of [
    ['login', 'a login with a password', {}],
    ['login-again', 'the second login', {}],
    ['login-denied', 'a wrong password', { password: 'no' }],
    ['login-switched', 'a login with another plugin than the server takes', other],
  ] as const) {
    await record({ ...login, file, title, ...more }, async () => undefined);
  }
}

async function onlyMysql(record: Recording): Promise<void> {
  const optional = caps.CLIENT_OPTIONAL_RESULTSET_METADATA;
  const withoutMetadata = async (talk: Talk): Promise<void> => {
    await talk.text('a result set with its metadata', 'SELECT 1, 2');
    await talk.text('metadata is switched off', "SET resultset_metadata = 'NONE'");
    await talk.text('a result set without metadata', 'SELECT id, id FROM p.n LIMIT 2');
    await talk.text('no rows without metadata', 'SELECT id FROM p.n WHERE 1 = 0');
    await preparedStatements(talk);
  };
  const title = 'CLIENT_OPTIONAL_RESULTSET_METADATA';
  await record(
    { file: 'optional-eof', title: `${title} and EOF`, flags: BASE | optional },
    withoutMetadata,
  );
  await record({ file: 'optional', title, flags: MODERN | optional }, withoutMetadata);
  const flags = MODERN | caps.CLIENT_QUERY_ATTRIBUTES;
  await record({ file: 'attributes', title: 'CLIENT_QUERY_ATTRIBUTES', flags }, async (talk) => {
    await talk.text('no attributes', 'SELECT 1');
    for (const [title, hex] of ATTRIBUTES) {
      const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
      const payload = Buffer.concat([bytes, Buffer.from('SELECT 1')]);
      await talk.run(title, command(com.COM_QUERY, payload));
    }
  });
  await record({ file: 'track', title: 'wide session tracking', flags: MODERN }, async (talk) => {
    await talk.text(
      'everything is tracked',
      "SET session_track_system_variables = '*', session_track_schema = 1, session_track_state_change = 1, session_track_transaction_info = 'CHARACTERISTICS'",
    );
    await talk.text(
      'a wide OK',
      "SET NAMES latin1, @@time_zone = '+03:00', @@sql_mode = 'ANSI_QUOTES'",
    );
    await talk.text('a transaction', 'START TRANSACTION WITH CONSISTENT SNAPSHOT');
    await talk.text('a result set in it', 'SELECT id FROM p.n LIMIT 2');
    await talk.text('its end', 'COMMIT');
    await talk.text('another schema', 'USE p');
  });
}

/** Behind 0x03: counts, null bitmap, bind flag, types and names, values. */
const ATTRIBUTES = [
  ['one string', '0101 00 01 fe00 0161 0131'],
  ['one NULL', '0101 01 01 0600 0161'],
  ['a TINY and a BIGINT', '0201 00 01 0100 0161 0800 0162 07 0807060504030201'],
  ['a DOUBLE and a FLOAT', '0201 00 01 0500 0161 0400 0162 000000000000f03f 0000803f'],
  ['a DATETIME and a TIME', '0201 00 01 0c00 0161 0b00 0162 07ea0703010c0000 080000000000010203'],
  [
    'a SHORT, a LONG and a string',
    '0301 00 01 0200 0161 0300 0162 fd00 0163 0100 01000000 03616263',
  ],
] as const;

async function onlyMariadb(record: Recording): Promise<void> {
  const mariadb =
    caps.MARIADB_CLIENT_CACHE_METADATA |
    caps.MARIADB_CLIENT_STMT_BULK_OPERATIONS |
    caps.MARIADB_CLIENT_BULK_UNIT_RESULTS |
    caps.MARIADB_CLIENT_EXTENDED_METADATA;
  const cached = async (talk: Talk): Promise<void> => {
    await talk.text('a text result set', 'SELECT 1, 2');
    await preparedStatements(talk);
    await talk.run(
      'PREPARE and EXECUTE of the last prepared, in one write',
      command(com.COM_STMT_PREPARE, 'SELECT id FROM p.n LIMIT 2'),
      execute(0xffff_ffff),
    );
    const [first] = await talk.run(
      'PREPARE for bulk',
      command(com.COM_STMT_PREPARE, 'INSERT INTO p.t (a) VALUES (?)'),
    );
    const id = first?.readUInt32LE(1) ?? 0;
    const rows = [[3, 0], [0], int32(1), [0], int32(2)];
    const bulk = (flags: number) =>
      command(com.COM_STMT_BULK_EXECUTE, int32(id), [flags, 0], ...rows);
    await talk.run('BULK_EXECUTE', bulk(0x80));
    await talk.run('BULK_EXECUTE with a result for each row', bulk(0xc0));
  };
  const title = 'metadata is cached';
  await record(
    { file: 'cached-eof', title: `${title}, EOF packets`, flags: BASE, mariadb },
    cached,
  );
  await record({ file: 'cached', title, flags: MODERN, mariadb }, cached);
  await record(
    {
      file: 'progress',
      title: 'progress reports',
      flags: MODERN,
      mariadb: caps.MARIADB_CLIENT_PROGRESS,
    },
    async (talk) => {
      await talk.text('reports every second', 'SET progress_report_time = 1');
      await talk.text('a schema', 'USE p');
      await talk.text(
        'many rows',
        'CREATE TABLE p.many ENGINE=MyISAM AS SELECT seq, REPEAT(seq, 20) AS x FROM seq_1_to_2500000',
      );
      talk.recorder.exchange('an ALTER that takes its time');
      talk.recorder.send(talk.query('ALTER TABLE p.many ENGINE=InnoDB'));
      await talk.recorder.listen((answer) => answer.at(-1)?.[1] !== 0xff);
    },
  );
}

async function goodbyes(record: Recording, isMysql97: boolean): Promise<void> {
  const own = { title: 'the end of an idle session', flags: BASE, file: 'goodbye' };
  await record(own, async (talk) => {
    await talk.text('a short lockWaitBudget', 'SET wait_timeout = 1');
    if (isMysql97) talk.recorder.exchange('an ERR that nobody asked for');
    while (!talk.recorder.isClosed) await new Promise((resolve) => setTimeout(resolve, 50));
  });
  await record({ ...own, file: 'quit', title: 'COM_QUIT' }, async (talk) => {
    await talk.run('COM_QUIT', command(com.COM_QUIT));
  });
}

/** One that the server refuses before its greeting, as there are too many already. */
async function refused(server: Target, title: string): Promise<Recorder> {
  await query(server, 'SET GLOBAL max_connections = 10');
  const crowd: Recorder[] = [];
  for (;;) {
    const one = await Recorder.open(server, title);
    one.exchange('a connection too many');
    await one.listen();
    if (one.answer[0]?.[0] === 0xff) {
      for (const other of crowd) other.end();
      return one;
    }
    crowd.push(one);
  }
}

const wanted = process.argv.slice(2);
for (const name of SERVER_NAMES) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  await using server = await startServer(name);
  await capture(name, server, server.version);
}
