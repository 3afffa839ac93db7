/**
 * One case of test/golden/native_cases.json, run against a server or against the proxy in front of
 * it: the schemas are made anew, the session is brought where the case wants it, the statement is
 * sent by the raw client, and everything that a client or another session could see is kept.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type RawAnswer, RawClient, type RawClientOptions } from './raw-client.js';
import { connect, type Session, type Target } from './servers.js';
import type { Survival } from './survival.js';
import { withoutUndoInfo } from './undo-info.js';

export interface NativeCase {
  readonly name: string;
  /** Default: all. */
  readonly servers?: readonly string[];
  /** As root, in schema d1; `@name` stands for one of `MACROS`. */
  readonly setup: readonly string[];
  /** The session is u1's, who has these; default: root's. */
  readonly grants?: readonly string[];
  /** Default schema of the session; default d1, null for none. */
  readonly schema?: string | null;
  /** In the session, before. */
  readonly session?: readonly string[];
  /** In another session of root's, which stays open. */
  readonly other?: readonly string[];
  readonly sql?: string;
  /** The statement where it is in no UTF-8. */
  readonly sqlHex?: string;
  /** How it is sent; default as a query. */
  readonly via?: 'prepare' | 'execute' | 'execute-twice' | 'execute-elsewhere';
  /** In the session, straight behind: for what any other statement would wipe out. */
  readonly ask?: string;
  /** In the session, afterwards. */
  readonly probe?: readonly string[];
  /** As root, afterwards. */
  readonly root?: readonly string[];
  readonly cleanup?: readonly string[];
  /** How it ends through the proxy where that isn't as it does directly; by server, or for all. */
  readonly ends?: string | Readonly<Record<string, string>>;
  /** Tables that somebody destroyed or renamed in a way that is not protected. */
  readonly unprotected?: readonly string[];
  /** Tables in whose place there is another: through the proxy they are held all the same. */
  readonly replaced?: readonly string[];
}

const MACROS: Readonly<Record<string, readonly string[]>> = {
  '@ab': [
    ...['CREATE TABLE a(id INT PRIMARY KEY, v INT)', 'CREATE TABLE b(id INT PRIMARY KEY, v INT)'],
    ...['INSERT INTO a VALUES(1,1)', 'INSERT INTO b VALUES(1,1)'],
  ],
  '@parent': [
    'CREATE TABLE p(id INT PRIMARY KEY)',
    'CREATE TABLE c(id INT PRIMARY KEY, pid INT, CONSTRAINT fk1 FOREIGN KEY(pid) REFERENCES p(id))',
    'INSERT INTO p VALUES(1)',
    'INSERT INTO c VALUES(1,1)',
  ],
  '@d3': [
    ...['CREATE DATABASE d3', 'CREATE TABLE d3.a(i INT)', 'CREATE TABLE d3.b(i INT)'],
    'CREATE VIEW d3.v AS SELECT 1 x',
  ],
  '@temp': ['CREATE TEMPORARY TABLE a(x INT)', 'CREATE TEMPORARY TABLE tt(x INT)'],
  '@begin': ['SET autocommit=1', 'BEGIN', 'INSERT INTO b VALUES(77,77)'],
  '@rollback': ['ROLLBACK', 'SELECT COUNT(*) n FROM d1.b WHERE id=77'],
};

function expand(texts: readonly string[] = []): readonly string[] {
  return texts.flatMap((text) => MACROS[text] ?? [text]);
}

let number = Date.now();

/** For what may be said only once to a server. */
function nextNumber(): string {
  number++;
  return String(number);
}

/** What there was to see; two of these are compared. */
export type Seen = ReturnType<typeof seenIn>;
export type CaseRun = Awaited<ReturnType<typeof runCase>>;

/** For `CaseOptions.root`: it says several statements in a text, and waits a minute for a lock. */
export async function connectRoot(server: Target): Promise<Session> {
  const root = await connect(server, { multipleStatements: true });
  await root.query('SET lock_wait_timeout = 60');
  return root;
}

export interface CaseOptions {
  readonly target: Target;
  /** On the server itself; see `connectRoot`. */
  readonly root: Session;
  readonly client?: RawClientOptions;
  /** Null: nobody looks for held tables. */
  readonly survival: Survival | null;
}

export async function runCase(one: NativeCase, options: CaseOptions) {
  const { root, target, survival } = options;
  await reset(root, one);
  const sessions: RawClient[] = [];
  const open = async (at: Target, more: RawClientOptions = {}) => {
    const client = await RawClient.open(at, more);
    sessions.push(client);
    return client;
  };
  try {
    const user = one.grants === undefined ? target.user : 'u1';
    const schema = one.schema === undefined ? 'd1' : one.schema;
    const client = await open(target, { ...options.client, user, schema });
    // Before the session may lock a table.
    await survival?.remember();
    await client.run(expand(one.session).map((text) => text.replace('$NUMBER', nextNumber())));
    const before = await listTables(root);
    if (one.other !== undefined) {
      const { host, port } = root.config;
      const at = { host: host ?? '', port: port ?? 0, user: 'root', password: '' };
      const other = await open(at, { schema: 'd1' });
      await other.run(one.other);
    }
    const answer = await send(client, one);
    const diagnostics = [
      ...(one.ask === undefined ? [] : describeAnswer(await client.query(one.ask))),
      ...describeAnswer(await client.query('SHOW WARNINGS')),
      ...describeAnswer(await client.query('SHOW COUNT(*) ERRORS')),
    ];
    const tablesAfter = await listTables(root);
    const lost = survival === null ? [] : await findLostNow(survival, one, root);
    const probes: (readonly string[])[] = [];
    for (const text of expand(one.probe)) probes.push(describeAnswer(await client.query(text)));
    const rootRows: unknown[] = [];
    for (const text of one.root ?? []) rootRows.push(await attempt(root, text));
    for (const session of sessions.splice(0)) await session.quit();
    lost.push(...((await survival?.findLost(one)) ?? []));
    const error = answer.results.findLast((result) => result.kind === 'err');
    const message = error?.kind === 'err' ? error.message.toString() : '';
    return {
      /** The answer to the statement, packet by packet. */
      answer: describeAnswer(answer),
      /** The case's own question, SHOW WARNINGS and SHOW COUNT(*) ERRORS. */
      diagnostics: diagnostics as readonly string[],
      ...{ probes, root: rootRows },
      /** `schema.table kind` of everything in the user's schemas, at the end and before. */
      ...{ tables: await listTables(root), before, tablesAfter },
      /** Of the ERR in `answer`; empty where there is none. */
      message,
      /** Base tables that are neither under their names nor held whole. */
      lost,
    };
  } finally {
    for (const session of sessions) session.close();
    for (const text of one.cleanup ?? []) await attempt(root, text);
  }
}

/** The session may have a held table locked, which is counted after its end. */
async function findLostNow(survival: Survival, one: NativeCase, root: Session): Promise<string[]> {
  await root.query('SET lock_wait_timeout = 1');
  const lost = await survival.findLost(one);
  await root.query('SET lock_wait_timeout = 60');
  return [...lost];
}

/** Everything but what only the proxy's side can say. */
export function seenIn(run: CaseRun) {
  const { answer, diagnostics, root, tables } = run;
  const probes = run.probes.map((told) => told.map((text) => text.replace(HELD_NOTE, '')));
  return { answer, diagnostics, probes, root, tables };
}

/** The end of the error 1146 of a held table. */
const HELD_NOTE = / \(held by undrop until [^)]*\)/g;

async function send(client: RawClient, one: NativeCase): Promise<RawAnswer> {
  const { via } = one;
  const sql = one.sql ?? Buffer.from(one.sqlHex ?? '', 'hex');
  if (via === undefined) return client.query(sql);
  const { id, answer } = await client.prepare(sql);
  if (via === 'prepare' || id === null) return withoutId(answer);
  // In another default schema than that of its PREPARE.
  if (via === 'execute-elsewhere') await client.query('USE d2');
  const first = await client.execute(id);
  return via === 'execute-twice' ? client.execute(id) : first;
}

/** Ids of prepared statements are of the whole server on MariaDB, so each run has another one. */
function withoutId({ packets, results }: RawAnswer): RawAnswer {
  const [first, ...more] = packets;
  if (first === undefined || first.payload[0] !== 0x00) return { packets, results };
  const payload = Buffer.from(first.payload);
  payload.writeUInt32LE(0, 1);
  return { packets: [{ ...first, payload }, ...more], results };
}

async function reset(root: Session, one: NativeCase): Promise<void> {
  await clear(root);
  const texts: string[] = [];
  for (const text of expand(one.setup)) texts.push(await withDirectory(root, text));
  await sayAll(root, texts);
  if (one.grants === undefined) return;
  const accounts = [
    ...[`GRANT USAGE ON *.* TO ${ACCOUNT}`, `DROP USER ${ACCOUNT}`, `CREATE USER ${ACCOUNT}`],
    ...one.grants.map((grant) => `GRANT ${grant} TO ${ACCOUNT}`),
  ];
  for (const text of accounts) await attempt(root, text);
}

/** Beside the server's data, and gone with it: a held table has its file there. */
async function withDirectory(root: Session, text: string): Promise<string> {
  if (!text.includes('$DIRECTORY')) return text;
  const [folder = ''] = await root.column('SELECT @@datadir AS folder');
  const directory = join(folder, '../tables');
  await mkdir(directory, { recursive: true });
  return text.replace('$DIRECTORY', directory);
}

/**
 * Empties d1 and d2, which is cheaper than to make them anew; d3 is of the cases that make it. What
 * was held in its own schema may be on its way out of it.
 */
export async function clear(root: Session): Promise<void> {
  const schemas = await root.column(
    `SELECT schema_name AS name FROM information_schema.schemata
     WHERE schema_name IN ${USER_SCHEMAS}`,
  );
  const there = new Set(schemas);
  const texts = ['SET foreign_key_checks=0'];
  if (there.has('d3')) texts.push('DROP DATABASE d3');
  for (const name of ['d1', 'd2']) if (!there.has(name)) texts.push(`CREATE DATABASE ${name}`);
  const tables = await root.column(
    `SELECT CONCAT(IF(table_type = 'VIEW', 'VIEW', 'TABLE'), ' IF EXISTS ', table_schema, '.\`',
       REPLACE(table_name, '\`', '\`\`'), '\`') AS what
     FROM information_schema.tables WHERE table_schema IN ('d1', 'd2')
     UNION ALL SELECT CONCAT(routine_type, ' d1.', routine_name)
     FROM information_schema.routines WHERE routine_schema = 'd1'`,
  );
  for (const what of tables) texts.push(`DROP ${what}`);
  texts.push('SET foreign_key_checks=1', 'USE d1');
  await sayAll(root, texts);
}

/** In one text, because each round trip costs as much as a small statement. */
async function sayAll(root: Session, texts: readonly string[]): Promise<void> {
  if (texts.length > 0) await root.query(texts.join(';\n'));
}

const ACCOUNT = "u1@'127.0.0.1'";
const USER_SCHEMAS = "('d1','d2','d3')";

export function listTables(root: Session): Promise<readonly string[]> {
  return root.column(
    `SELECT CONCAT(table_schema, '.', table_name, ' ', table_type) AS name
     FROM information_schema.tables WHERE table_schema IN ${USER_SCHEMAS} ORDER BY 1`,
  );
}

/** The rows, or the error, of a statement that may fail. */
async function attempt(root: Session, text: string): Promise<unknown> {
  try {
    const [rows] = await root.query({ sql: text, rowsAsArray: true });
    return rows;
  } catch (error) {
    const { errno, message } = error as { readonly errno: number; readonly message: string };
    return `${errno} ${message}`;
  }
}

/**
 * Every byte of every packet, those of OK, ERR and text rows in a form that can be read; the text
 * of undrop's in an OK is left out (UNDROP_NOTE).
 */
export function describeAnswer({ packets }: RawAnswer): readonly string[] {
  return packets.map(
    ({ sequenceId, payload }) => `${sequenceId} ${describePayload(withoutUndoInfo(payload))}`,
  );
}

function describePayload(payload: Buffer): string {
  if (payload[0] === 0xff) return `ERR ${payload.readUInt16LE(1)} ${readable(payload.subarray(3))}`;
  if (payload[0] === 0x00 && payload.length >= 7 && payload[1] === 0 && payload[2] === 0) {
    const [status, warnings] = [payload.readUInt16LE(3), payload.readUInt16LE(5)];
    return `OK status ${status} warnings ${warnings} ${readable(payload.subarray(7))}`;
  }
  return readable(payload);
}

/** What a session tracker says of the count of statements, with the lengths before it. */
const COUNTED = new RegExp(
  [
    '.\\x03.\\x00.[0-9a-f-]{36}:\\d+(-\\d+)?',
    '..\\x00..last_gtid.\\d+-\\d+-\\d+',
    '..\\x00..statement_id.\\d+',
  ].join('|'),
  'gs',
);

/** GTIDs of the cases, of which each run has others. */
const GTID = /([ab])\1{7}(-\1{4}){3}-\1{12}:\d+/g;

function readable(raw: Buffer): string {
  const bytes = Buffer.from(raw.toString('latin1').replaceAll(GTID, '<gtid>'), 'latin1');
  const text = bytes.toString().replaceAll(COUNTED, '<counted>');
  if (text.includes('<counted>')) return JSON.stringify(text);
  const isText = Buffer.from(text).equals(bytes);
  return isText ? JSON.stringify(text) : `0x${bytes.toString('hex')}`;
}
