/**
 * A random history of a server: what applications do, with drops of every kind through the proxy,
 * restores, and sessions that write nothing to the binary log. The same steps for the same seed,
 * but for what the collector has done meanwhile.
 *
 * Replicas have neither `alone`, which is made under sql_log_bin=0, nor the drops in `kept`.
 */
import type { Connection, RowDataPacket } from 'mysql2/promise';
import type { ServicePool } from '../../src/connections/sql.js';
import { UndropError } from '../../src/errors.js';
import { listAll } from '../../src/recycle/held-tables.js';
import { restore } from '../../src/recycle/restore.js';
import type { Dice } from './dice.js';
import type { Sessions } from './history-sessions.js';
import { ALONE, BESIDE, creation, KEPT, openSessions, SHARED } from './history-sessions.js';
import type { Target, TestServer } from './servers.js';

/**
 * What a server may say to a random statement: something is missing, there, or referred to; with
 * GTIDs, that a table without transactions is changed in one.
 */
const NATIVE = [
  1050, 1051, 1146, 1217, 1451, 1452, 3730, 1005, 1215, 1824, 1347, 1965, 4092, 3822, 1449, 1785,
];
/**
 * What undrop says to a DROP DATABASE around held tables, and to drops of tables with foreign keys
 * that it can't take off: under sql_log_bin=0, and where LOCK TABLES has locked the parent as well.
 */
const OURS =
  /^UNDROP_(SCHEMA_NOT_DROPPED|NOT_DONE_YET): |^UNDROP_HOLD_FAILED: .*sql_log_bin|^UNDROP_LOCKED_TABLES: .*foreign keys/;
/** What a restore may meet. */
const REFUSED = [
  ...['NAME_TAKEN', 'NOT_RESTORABLE', 'NOT_HELD', 'NO_SUCH_HELD', 'SCHEMA_MISSING', 'BUSY'],
];

interface Live {
  readonly schema: string;
  readonly table: string;
  readonly kind: string;
  readonly hasId: boolean;
}

export interface HistoryOptions {
  readonly source: TestServer;
  readonly proxy: Target;
  readonly pool: ServicePool;
  readonly dice: Dice;
  /** Whether the service account may; else nothing brings back what was dropped out of the log. */
  readonly mayUnlog: boolean;
  /** What names begin with: none is taken a second time under `kept`. */
  readonly prefix: string;
}

const NOBODY = { schema: '', table: '' };

export class RandomHistory {
  readonly #options: HistoryOptions;
  readonly #dice: Dice;
  readonly #sessions: Sessions;
  #names = 0;
  #steps = 0;
  /** What was said, in order; the last of it explains a failure. */
  readonly said: string[] = [];
  /** How often what was done. */
  readonly done = new Map<string, number>();

  private constructor(options: HistoryOptions, sessions: Sessions) {
    this.#options = options;
    this.#dice = options.dice;
    this.#sessions = sessions;
  }

  /** Schemas that are missing are made. */
  static async begin(options: HistoryOptions): Promise<RandomHistory> {
    return new RandomHistory(options, await openSessions(options));
  }

  async end(): Promise<void> {
    const { direct, able, limited, unlogged } = this.#sessions;
    for (const one of [...able, limited, unlogged, direct]) await one.end();
  }

  /** One more thing happens; what the server or undrop refuses natively is fine. */
  async step(): Promise<void> {
    const dice = this.#dice;
    const first = this.#steps++ < 1;
    const rolled = dice.roll();
    if (first) return this.#dropOfKept();
    if (rolled < 0.26) return this.#create(dice.of(SHARED));
    if (rolled < 0.34) return this.#change();
    if (rolled < 0.4) return this.#program();
    if (rolled < 0.62) return this.#drop();
    if (rolled < 0.67) return this.#dropSchema();
    if (rolled < 0.72) return this.#replace();
    if (rolled < 0.87) return this.#restore();
    return this.#unloggedStep();
  }

  /** Of a table that replicas keep. */
  async #dropOfKept(): Promise<void> {
    await this.#create(KEPT);
    const table = await this.#some(KEPT);
    if (table === null) return;
    await this.#say(this.#sessions.unlogged, 'unlogged drop', `DROP TABLE ${quoted(table)}`);
  }

  async #create(schema: string, session = this.#session()): Promise<void> {
    const dice = this.#dice;
    const tables = await this.#live(schema);
    const parents = tables.filter(({ hasId }) => hasId);
    const name = `\`${schema}\`.\`${this.#name('t')}${dice.chance(0.1) ? ' ß`` x' : ''}\``;
    const columns = ['n INT', "note VARCHAR(60) DEFAULT 'x'"];
    const id = 'id INT AUTO_INCREMENT PRIMARY KEY';
    const withId = [id, ...columns].join(', ');
    // Of what is dropped out of the log replicas keep the CHECK, and its name.
    const check = `CONSTRAINT ${schema === KEPT ? this.#name('c') : 'c'} CHECK (n > -9)`;
    const key = `CONSTRAINT ${this.#name('fk')} FOREIGN KEY (pid)
      REFERENCES ${quoted(parents.length > 0 ? dice.of(parents) : NOBODY)} (id) ON DELETE SET NULL`;
    const keyed = `(${withId}, pid INT, ${key}) ENGINE=InnoDB`;
    const definition = dice.of([
      ...(parents.length > 0 ? [keyed, keyed, keyed, keyed] : []),
      `(${columns.join(', ')}) ENGINE=InnoDB`,
      ...[`(${withId}) PARTITION BY HASH (id) PARTITIONS 3`, `(${withId}) ENGINE=MyISAM`],
      ...[`(${withId}, m INT AS (n + 1) STORED, KEY (n))`, `(${withId}, ${check})`],
      ...[`(${withId}, UNIQUE KEY (note, id))`, `(${withId})`],
    ]);
    if (!(await this.#say(session, 'create', `CREATE TABLE ${name} ${definition}`))) return;
    const rows = Array.from(
      { length: 1 + dice.below(20) },
      () => `(${dice.below(99)}, 'é ${dice.below(999)}')`,
    );
    await this.#say(session, 'rows', `INSERT INTO ${name} (n, note) VALUES ${rows.join(', ')}`);
  }

  /** Rows, in transactions; definitions. */
  async #change(): Promise<void> {
    const dice = this.#dice;
    const session = this.#session();
    const table = await this.#some(dice.of(SHARED));
    const move = `UPDATE ${BESIDE}.account SET n = n + 1 WHERE id = 1;
      UPDATE ${BESIDE}.account SET n = n - 1 WHERE id = 2`;
    const end = dice.chance(0.8) ? 'COMMIT' : 'ROLLBACK';
    const format = dice.of(['ROW', 'STATEMENT', 'MIXED']);
    if (dice.chance(0.3)) await session.query(`SET SESSION binlog_format = '${format}'`);
    await this.#say(session, 'transaction', `BEGIN; ${move}; ${end}`);
    if (table === null) return;
    const name = quoted(table);
    const isDone = await this.#say(
      session,
      'change',
      dice.of([
        `INSERT INTO ${name} (n, note) VALUES (7, 'more'), (8, '')`,
        `UPDATE ${name} SET n = n + 1`,
        `BEGIN; DELETE FROM ${name} WHERE n > 50; ${move}; COMMIT`,
        `ALTER TABLE ${name} ADD COLUMN ${this.#name('x')} INT DEFAULT 3`,
        `RENAME TABLE ${name} TO \`${table.schema}\`.${this.#name('renamed')}`,
        `TRUNCATE TABLE ${BESIDE}.log`,
      ]),
    );
    if (!isDone) await session.query('ROLLBACK');
  }

  /** Triggers and views. */
  async #program(): Promise<void> {
    const dice = this.#dice;
    const table = await this.#some(dice.of(SHARED));
    if (table === null) return;
    const what = `\`${table.schema}\`.\`${this.#name('p')}\``;
    await this.#say(
      this.#session(),
      'program',
      dice.of([
        `CREATE TRIGGER ${what} BEFORE INSERT ON ${quoted(table)} FOR EACH ROW SET NEW.n = NEW.n + 1`,
        `CREATE DEFINER = 'nobody'@'%' TRIGGER ${what} BEFORE UPDATE ON ${quoted(table)}
        FOR EACH ROW SET NEW.note = 'by trigger'`,
        `CREATE TRIGGER ${what} AFTER DELETE ON ${quoted(table)}
        FOR EACH ROW INSERT INTO ${BESIDE}.log VALUES (OLD.n, OLD.note)`,
        `CREATE VIEW ${what} AS SELECT n, note FROM ${quoted(table)}`,
      ]),
    );
  }

  async #drop(): Promise<void> {
    const dice = this.#dice;
    const schema = dice.of(SHARED);
    const all = await this.#live(schema, ['BASE TABLE', 'SYSTEM VERSIONED', 'VIEW']);
    if (all.length === 0) return this.#create(schema);
    const [one, other] = [dice.of(all), dice.of(all)];
    const both = one === other ? quoted(one) : `${quoted(one)}, ${quoted(other)}`;
    const log = `INSERT INTO ${BESIDE}.log VALUES (1, 'beside')`;
    const isView = [one, other].some(({ kind }) => kind === 'VIEW');
    if (one.kind === 'VIEW' && dice.chance(0.5)) {
      await this.#say(this.#session(), 'drop view', `DROP VIEW ${quoted(one)}`);
      return;
    }
    const { able, limited } = this.#sessions;
    const session = dice.of([...able, limited]);
    const text = dice.of([
      `DROP TABLE ${quoted(one)}`,
      `DROP TABLE ${both}`,
      `DROP TABLE IF EXISTS ${both}, \`${schema}\`.missing`,
      `SET foreign_key_checks = 0; DROP TABLE ${both}`,
      `BEGIN; ${log}; DROP TABLE ${quoted(one)}`,
      `${log}; DROP TABLE IF EXISTS ${both}; ${log}`,
      `USE \`${schema}\`; DROP TABLE ${quoted(one)} /* a comment */`,
      `DROP TABLE IF EXISTS \`${schema}\`.missing`,
      ...(isView || session === limited ? [] : [locked(one)]),
      ...(isView || session !== able[0] ? [] : [shadowed(one)]),
    ]);
    await this.#say(session, 'drop', text);
    await session.query('SET foreign_key_checks = 1; UNLOCK TABLES');
  }

  async #dropSchema(): Promise<void> {
    const schema = this.#dice.of(SHARED);
    const session = this.#session();
    if (!(await this.#say(session, 'drop schema', `DROP DATABASE \`${schema}\``))) return;
    await this.#say(session, 'create schema', creation(schema));
  }

  async #replace(): Promise<void> {
    const table = await this.#some(this.#dice.of(SHARED));
    if (this.#options.source.flavour !== 'mariadb' || table === null) return this.#drop();
    const text = this.#dice.of([
      `CREATE OR REPLACE TABLE ${quoted(table)} (id INT AUTO_INCREMENT PRIMARY KEY, n INT,
        note VARCHAR(60))`,
      `CREATE OR REPLACE TABLE ${quoted(table)} SELECT 5 AS n, 'selected' AS note`,
      `CREATE OR REPLACE TABLE ${quoted(table)} LIKE ${BESIDE}.log`,
    ]);
    await this.#say(this.#sessions.able[0], 'replace', text);
  }

  /** What is out of the log stays where it was: elsewhere replicas would not have it. */
  async #restore(): Promise<void> {
    const { pool } = this.#options;
    const held = (await listAll(pool)).filter(
      ({ state, origin, logged }) =>
        state === 'HOLD' && origin !== null && (logged || this.#options.mayUnlog),
    );
    if (held.length === 0) return this.#drop();
    const { id, origin, logged } = this.#dice.of(held);
    const elsewhere = { schema: this.#dice.of(SHARED), table: this.#name('back') };
    const to = logged && this.#dice.chance(0.4) ? elsewhere : null;
    const request = to === null ? { target: id } : { target: id, to: `${to.schema}.${to.table}` };
    this.said.push(`restore ${id} of ${origin?.schema}.${origin?.table} ${request.to ?? ''}`);
    try {
      await restore(pool, request);
      this.#count('restore');
    } catch (error) {
      if (!(error instanceof UndropError)) throw error;
      const isTaken = /Duplicate check constraint|Trigger in wrong schema/.test(error.message);
      if (!REFUSED.includes(error.code.replace(/^UNDROP_/, '')) && !isTaken) throw error;
      this.#refused('restore', error.code);
    }
  }

  /** Under sql_log_bin=0. What is dropped in `kept` replicas keep. */
  async #unloggedStep(): Promise<void> {
    const dice = this.#dice;
    const session = this.#sessions.unlogged;
    const rolled = dice.roll();
    if (rolled < 0.3) return this.#create(ALONE, session);
    if (rolled < 0.45) return this.#create(KEPT);
    if (rolled < 0.52) {
      const anew = `DROP DATABASE ${ALONE}; CREATE DATABASE ${ALONE}`;
      await this.#say(session, 'unlogged schema', anew);
      return;
    }
    const table = await this.#some(rolled < 0.75 ? KEPT : ALONE);
    if (table === null) return this.#create(ALONE, session);
    const trigger = `CREATE TRIGGER ${ALONE}.${this.#name('p')} BEFORE INSERT ON ${quoted(table)}
      FOR EACH ROW SET NEW.n = 1; `;
    const first = table.schema === ALONE && dice.chance(0.5) ? trigger : '';
    await this.#say(session, 'unlogged drop', `${first}DROP TABLE ${quoted(table)}`);
  }

  #name(kind: string): string {
    this.#names++;
    return `${kind}_${this.#options.prefix}_${this.#names}`;
  }

  #session(): Connection {
    return this.#dice.of(this.#sessions.able);
  }

  /** False: the server refused it, as it does without undrop. */
  async #say(session: Connection, what: string, text: string): Promise<boolean> {
    this.said.push(text);
    try {
      await session.query(text);
      this.#count(what);
      return true;
    } catch (error) {
      const { errno = 0, message } = error as { readonly errno?: number; readonly message: string };
      if (!NATIVE.includes(errno) && !OURS.test(message)) throw error;
      this.#refused(what, message);
      return false;
    }
  }

  #refused(what: string, why: string): void {
    this.said.push(`-- ${why}`);
    this.#count(`${what} (refused)`);
  }

  #count(what: string): void {
    this.done.set(what, (this.done.get(what) ?? 0) + 1);
  }

  async #some(schema: string): Promise<Live | null> {
    const tables = await this.#live(schema);
    return tables.length === 0 ? null : this.#dice.of(tables);
  }

  async #live(schema: string, kinds = ['BASE TABLE', 'SYSTEM VERSIONED']) {
    const [rows] = await this.#sessions.direct.query<RowDataPacket[]>(
      `SELECT t.TABLE_SCHEMA AS s, t.TABLE_NAME AS t, t.TABLE_TYPE AS kind, t.ENGINE AS engine,
         t.CREATE_OPTIONS AS options, (SELECT COUNT(*) FROM information_schema.COLUMNS AS c
           WHERE c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
             AND c.COLUMN_NAME = 'id') AS ids
       FROM information_schema.TABLES AS t
       WHERE t.TABLE_SCHEMA = ? AND t.TABLE_TYPE IN (?) AND t.TABLE_NAME NOT LIKE '\\_vt\\_%'
       ORDER BY 2`,
      [schema, kinds],
    );
    return rows.map((row) => ({
      schema: String(row['s']),
      table: String(row['t']),
      kind: String(row['kind']),
      hasId:
        Number(row['ids']) > 0 &&
        row['engine'] === 'InnoDB' &&
        !String(row['options']).includes('partitioned'),
    }));
  }
}

function quoted({ schema, table }: Pick<Live, 'schema' | 'table'>): string {
  return `\`${schema}\`.\`${table.replaceAll('`', '``')}\``;
}

function locked(table: Live): string {
  return `LOCK TABLES ${quoted(table)} WRITE; DROP TABLE ${quoted(table)}; UNLOCK TABLES`;
}

/** A temporary table of its name, which is what is dropped. */
function shadowed(table: Live): string {
  const name = quoted(table);
  return `CREATE TEMPORARY TABLE ${name} (x INT); INSERT INTO ${name} VALUES (1); DROP TABLE ${name}`;
}
