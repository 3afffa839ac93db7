/** The scripts of the Node drivers of the matrix: mysql2 and mariadb. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createConnection as createMysql2 } from 'mysql2/promise';
import type { ScriptJob, Transcript } from './client-script.js';
import * as script from './client-script.js';
import { createMariadb } from './mariadb.js';

type Step = readonly [title: string, run: () => Promise<unknown>];

type Rows = (text: string, values?: readonly unknown[]) => Promise<unknown>;

interface Driver {
  readonly rows: Rows;
  /** As a prepared statement. */
  readonly execute: Rows;
  begin(): Promise<unknown>;
  rollback(): Promise<unknown>;
  load(): Promise<unknown>;
}

const INSERT = 'INSERT INTO kept VALUES (?, ?, ?, ?, ?)';
const SELECT = 'SELECT * FROM kept WHERE id = ? AND txt = ?';

/** The first table that is dropped has three rows. */
function stepsOfBoth({ rows, execute, begin, rollback, load }: Driver): readonly Step[] {
  return [
    ['who', () => rows('SELECT CURRENT_USER() AS who, DATABASE() AS here')],
    ['prepared insert', () => execute(INSERT, keptRow(1, Buffer.from([0, 255])))],
    ['prepared select', () => execute(SELECT, [1, script.UNICODE])],
    ['prepared again', () => execute(SELECT, [2, 'none'])],
    ['prepared with an error', () => execute('SELECT * FROM missing WHERE id = ?', [1])],
    ['begin', begin],
    ['insert', () => rows('INSERT INTO kept (id) VALUES (7), (8)')],
    ['rollback', rollback],
    ['rows', () => rows('SELECT COUNT(*) AS n FROM kept')],
    ['several', () => rows("SELECT 1 AS a; SELECT 2 AS b, 'x' AS c; DO 1; SELECT 3 AS d")],
    ['error in the second', () => rows('SELECT 1 AS a; SELECT * FROM missing; SELECT 2')],
    ['call', () => rows('CALL two()')],
    ['unicode', () => rows('SELECT ? AS txt, HEX(?) AS code', [script.UNICODE, script.UNICODE])],
    ['big result', async () => digest(await rows(script.BIG_RESULT))],
    ['big row', async () => digest(await rows(script.BIG_ROW))],
    ['missing table', () => rows('SELECT * FROM missing')],
    ['syntax error', () => rows('SELECT FROM WHERE')],
    ['duplicate', () => rows('INSERT INTO n VALUES (1)')],
    ['infile', load],
    ['loaded', () => rows('SELECT * FROM loaded')],
    ['drop a', () => rows('DROP TABLE a')],
    ['a is gone', () => rows('SELECT * FROM a')],
    ['drop b, if it exists', () => execute('DROP TABLE IF EXISTS b', [])],
    ['no warning', () => rows('SHOW WARNINGS')],
    ['drop what is missing', () => execute('DROP TABLE IF EXISTS missing', [])],
    ['a note', () => rows('SHOW WARNINGS')],
    ['drop what is missing, without asking', () => execute('DROP TABLE missing', [])],
    ['an error', () => rows('SHOW WARNINGS')],
    ['drop two, if they exist', () => rows('DROP TABLE IF EXISTS c, `d`')],
    ['left', () => rows('SHOW TABLES')],
  ];
}

export async function runMysql2({ target, schema, infile, tls }: ScriptJob): Promise<Transcript> {
  const { host, port, user, password } = target;
  const login = { host, port, user, password, database: schema, charset: 'utf8mb4_general_ci' };
  const options = { ...login, multipleStatements: true, dateStrings: true, ...tlsOption(tls) };
  const connection = await createMysql2(options);
  const rows: Rows = async (text, values = []) => (await connection.query(text, [...values]))[0];
  const driver: Driver = {
    rows,
    execute: async (text, values) =>
      (await connection.execute(text, values as (string | number | Buffer | null)[]))[0],
    begin: () => connection.beginTransaction(),
    rollback: () => connection.rollback(),
    load: () =>
      connection.query({
        sql: "LOAD DATA LOCAL INFILE 'x' INTO TABLE loaded FIELDS TERMINATED BY ','",
        infileStreamFactory: () => createReadStream(infile),
      }),
  };
  const lines = await runSteps([
    ...stepsOfBoth(driver),
    ['ping', () => connection.ping()],
    [
      // As one: mysql2 fails with it on 5.6, and the server then closes the connection.
      'change user',
      async () => {
        await connection.changeUser({ user, password, database: schema });
        return rows('SHOW TABLES');
      },
    ],
  ]);
  await connection.end();
  return { code: 0, text: lines };
}

export async function runMariadb({ target, schema, infile, tls }: ScriptJob): Promise<Transcript> {
  const { host, port, user, password } = target;
  const options = {
    ...{ host, port, user, password, database: schema, charset: 'utf8mb4' },
    ...{ dateStrings: true, multipleStatements: true, allowPublicKeyRetrieval: true },
    ...tlsOption(tls),
  };
  const connection = await createMariadb({ ...options, pipelining: true });
  // The one needs what the other can't have.
  const loading = await createMariadb({ ...options, permitLocalInfile: true });
  const rows: Rows = (text, values) => connection.query({ sql: text }, values);
  const all = (...asked: readonly Promise<unknown>[]) =>
    Promise.allSettled(asked).then((settled) => settled.map(describeSettled));
  const load = `LOAD DATA LOCAL INFILE '${infile}' INTO TABLE loaded FIELDS TERMINATED BY ','`;
  const driver: Driver = {
    rows,
    execute: (text, values) => connection.execute(text, values),
    begin: () => connection.beginTransaction(),
    rollback: () => connection.rollback(),
    load: () => loading.query(load),
  };
  const bulk = [keptRow(11, null), keptRow(12, Buffer.from('two')), keptRow(13, null)];
  const lines = await runSteps([
    ...stepsOfBoth(driver),
    ['bulk', () => connection.batch(INSERT, bulk)],
    [
      'pipelined',
      () =>
        all(
          rows('SELECT 1 AS a'),
          rows('SELECT * FROM missing'),
          rows("SELECT 2 AS b; SELECT 'x' AS c"),
          connection.execute('SELECT id FROM n WHERE id < ?', [3]),
          connection.ping(),
          rows('SELECT 3 AS d'),
        ),
    ],
    [
      'pipelined behind a drop',
      () =>
        all(
          rows('SELECT 1 AS a'),
          rows('DROP TABLE IF EXISTS missing'),
          rows('SHOW WARNINGS'),
          rows('DROP TABLE missing'),
          rows('SELECT 2 AS b'),
        ),
    ],
    ['reset', () => connection.reset()],
    ['tables', () => rows('SHOW TABLES')],
  ]);
  await Promise.all([connection.end(), loading.end()]);
  return { code: 0, text: lines };
}

/** Any certificate will do. */
function tlsOption(tls: boolean): { readonly ssl?: { readonly rejectUnauthorized: false } } {
  return tls ? { ssl: { rejectUnauthorized: false } } : {};
}

function keptRow(id: number, data: Buffer | null): readonly (string | number | Buffer | null)[] {
  return [id, script.UNICODE, '12345.67', '2026-02-28 23:59:59', data];
}

/** Each step with what came of it, an error with everything that a program can see of it. */
async function runSteps(steps: readonly Step[]): Promise<string> {
  const lines: string[] = [];
  for (const [title, run] of steps) {
    const [settled] = await Promise.allSettled([run()]);
    lines.push(`${title}: ${JSON.stringify(describeSettled(settled))}`);
  }
  return [...lines, script.THE_END].join('\n');
}

function describeSettled(settled: PromiseSettledResult<unknown>): unknown {
  if (settled.status === 'fulfilled') return plain(settled.value);
  const { message, errno, sqlState, code } = settled.reason as Record<string, unknown>;
  return { message, errno, sqlState, code };
}

function plain(value: unknown): unknown {
  const text = JSON.stringify(value, (_key, one: unknown) =>
    typeof one === 'bigint' ? `${one}n` : one,
  );
  return text === undefined ? null : (JSON.parse(text) as unknown);
}

function digest(value: unknown): string {
  const text = JSON.stringify(plain(value));
  return `${text.length} characters, ${createHash('sha256').update(text).digest('hex')}`;
}
