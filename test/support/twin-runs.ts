/**
 * One script said twice, to a server and through the proxy in front of it, each time to the same
 * tables with the same rows: what was answered, what is there afterwards, and whether all that was
 * there before is there or held, row by row counted.
 *
 * Invariant: it believes no answer, only what it counts on a connection of root's.
 */
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { FAR, FAR_TABLES, NEAR, NEAR_TABLES, type Script, SEQUENCE, VIEW } from './random-drops.js';
import type { RawAnswer, RawResult } from './raw-client.js';
import { CLIENT, int32, MODERN, RawClient } from './raw-client.js';
import { connect, quoted, type Target, type TestServer } from './servers.js';
import { intentsSettled } from './settled.js';

/** What can be compared of one way. */
export type Outcome = TwinOutcome['direct'];
export type TwinOutcome = Awaited<ReturnType<TwinRuns['run']>>;

export interface TwinOptions {
  readonly server: TestServer;
  readonly proxy: Target;
  /** Statements of ours before a script, where it isn't known what it says. */
  readonly timeLimit: readonly string[];
}

/** `settings`: what was said to it last of this kind. */
type Session = { readonly client: RawClient; readonly settings: readonly string[] };

type Objects = Readonly<Record<string, string>>;

/** An account that can do no harm beyond the two schemas, nor write a program that drops. */
const USER = 'drops';
const GRANTS =
  'SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, ' +
  'CREATE TEMPORARY TABLES, LOCK TABLES, CREATE VIEW, SHOW VIEW';
/** What couldn't be relocated at once is still in its own schema, for others than its owner. */
const HELD = /^_vt_HOLD_[0-9a-f]{32}_\d{14}$/;
/** Held tables that are looked through at most. */
const HELD_MAX = 100;
/** What takes rows or names away without a drop; then only the two outcomes are compared. */
const CHANGES_ROWS = /truncate|delete|rename|alter/i;
/** After these a session isn't what it was. */
const LEAVES_A_TRACE =
  /set|use|lock|begin|start|xa|handler|prepare|execute|temporary|names|flush|database|schema/i;

export class TwinRuns {
  readonly #options: TwinOptions;
  readonly #root: Connection;
  readonly #sessions = new Map<string, Session>();
  /** Rows of the ledger that were looked at. */
  readonly #known = new Set<string>();
  #heldNow = 0;

  private constructor(options: TwinOptions, root: Connection) {
    this.#options = options;
    this.#root = root;
  }

  /** Makes the schemas `near` and `far` on a server that no other test works on meanwhile. */
  static async open(options: TwinOptions): Promise<TwinRuns> {
    const root = await connect(options.server, { multipleStatements: true });
    // MySQL 8 and later start threads for each COUNT(*).
    await root.query('/*!80014 SET innodb_parallel_read_threads = 1 */');
    const runs = new TwinRuns(options, root);
    await root.query('SET foreign_key_checks = 0');
    await runs.#make({});
    const account = `${USER}@'127.0.0.1'`;
    await root.query(`CREATE USER ${account}`);
    for (const schema of [NEAR, FAR]) {
      await root.query(`GRANT ${GRANTS} ON ${schema}.* TO ${account}`);
    }
    return runs;
  }

  async close(): Promise<void> {
    await this.#leave();
    await this.#forgetHeld();
    for (const schema of [NEAR, FAR]) await this.#root.query(`DROP DATABASE ${schema}`);
    await this.#root.query(`DROP USER ${USER}@'127.0.0.1'`);
    await this.#root.end();
  }

  /** `lost`, in words: what is neither there nor held; `held`: base tables gone, and held. */
  async run(script: Script) {
    if (this.#heldNow > HELD_MAX) await this.#forgetHeld();
    const { server, proxy } = this.#options;
    const direct = await this.#outcome(script, server);
    await this.#make(direct.objects);
    const proxied = await this.#outcome(script, proxy);
    const found = await this.#findLost(proxied.objects);
    const { held } = found;
    const lost = script.texts.some((text) => CHANGES_ROWS.test(text.toString('latin1')))
      ? []
      : found.lost;
    await this.#make(proxied.objects);
    this.#heldNow += held;
    return { direct, proxied, lost, held };
  }

  // ── what is said ───────────────────────────────────────────────────────────────────────────

  /**
   * `OK`, `ROWS` or the error, for each result; the temporary tables that the session still has;
   * and `schema.name` of all that is there, with its kind and its rows.
   */
  async #outcome(script: Script, target: Target) {
    const { client, settings } = await this.#session(script, target);
    for (const name of script.temporaries) {
      await client.run([`CREATE TEMPORARY TABLE ${NEAR}.${name} (temp INT)`]);
    }
    const wanted = settingsFor(script);
    for (const text of wanted) if (!settings.includes(text)) await client.query(text);
    const answers: string[] = [];
    const temporaries: string[] = [];
    try {
      for (const text of script.texts) answers.push(...(await say(client, text, script)));
      for (const name of script.temporaries) {
        const { results } = await client.query(`SELECT temp FROM ${NEAR}.${name}`);
        if (results[0]?.kind === 'rows') temporaries.push(name);
      }
      if (isAsBefore(script))
        this.#sessions.set(keyOf(script, target), { client, settings: wanted });
      else await client.quit();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      answers.push(`the session ended: ${error.message}`);
      client.close();
    }
    return { answers, temporaries, objects: await this.#objects() };
  }

  /** The last one again where nothing can be left in it. */
  async #session(script: Script, target: Target): Promise<Session> {
    const key = keyOf(script, target);
    const last = this.#sessions.get(key);
    this.#sessions.delete(key);
    if (last !== undefined) return last;
    const flags = MODERN | (script.multiStatements ? CLIENT.MULTI_STATEMENTS : 0);
    const client = await RawClient.open({ ...target, user: USER }, { flags });
    await client.run(this.#options.timeLimit);
    return { client, settings: [] };
  }

  async #leave(): Promise<void> {
    for (const { client } of this.#sessions.values()) await client.quit();
    this.#sessions.clear();
  }

  // ── what is there ──────────────────────────────────────────────────────────────────────────

  get #wanted(): Objects {
    const tables = [
      ...NEAR_TABLES.map((name) => `${NEAR}.${name}`),
      ...FAR_TABLES.map((name) => `${FAR}.${name}`),
      `${NEAR}.keep`,
    ];
    const isMariadb = this.#options.server.flavour === 'mariadb';
    return Object.fromEntries([
      // Rows differ, so that one isn't taken for the other.
      ...tables.map((name, index) => [name, `BASE TABLE ${index + 1}`]),
      [`${NEAR}.${VIEW}`, 'VIEW'],
      ...(isMariadb ? [[`${NEAR}.${SEQUENCE}`, 'SEQUENCE']] : []),
    ]) as Objects;
  }

  async #objects(): Promise<Objects> {
    const [rows] = await this.#root.query<RowDataPacket[]>(
      `SELECT table_schema AS s, table_name AS t, table_type AS kind
       FROM information_schema.tables WHERE table_schema IN (?) ORDER BY 1, 2`,
      [[NEAR, FAR]],
    );
    const names = rows
      .map(({ s, t, kind }) => ({ name: `${s}.${t}`, s, t, kind: String(kind) }))
      .filter(({ t }) => !HELD.test(t));
    const base = names.filter(({ kind }) => kind === 'BASE TABLE');
    const counts = await this.#counts(base.map(({ s: schema, t: table }) => [schema, table]));
    const countOf = new Map(base.map(({ name }, index) => [name, counts[index]]));
    return Object.fromEntries(
      names.map(({ name, kind }) => [name, `${kind} ${countOf.get(name) ?? ''}`.trim()]),
    );
  }

  /** Rows of each table, in the same order; or why they can't be counted. */
  async #counts(
    tables: readonly (readonly [string, string])[],
  ): Promise<readonly (number | string)[]> {
    if (tables.length === 0) return [];
    const parts = tables.map(
      (names, index) => `SELECT ${index} AS i, COUNT(*) AS n FROM ${quoted(...names)}`,
    );
    try {
      const [rows] = await this.#root.query<RowDataPacket[]>(parts.join(' UNION ALL '));
      return [...rows].sort((a, b) => a['i'] - b['i']).map(({ n }) => Number(n));
    } catch (error) {
      // A mutant may begin with an ALTER TABLE … DISCARD TABLESPACE.
      const [first, ...more] = tables;
      if (first === undefined || !isDiscarded(error)) throw error;
      if (more.length === 0) return ['discarded'];
      return (await Promise.all(tables.map((one) => this.#counts([one])))).flat();
    }
  }

  /** Makes all as it is wanted, of what is there. */
  async #make(there: Objects): Promise<void> {
    const wanted = this.#wanted;
    const texts = [NEAR, FAR].flatMap((schema) => {
      const isThere = Object.keys(there).some((name) => split(name)[0] === schema);
      return isThere ? [] : [`CREATE DATABASE IF NOT EXISTS ${schema} CHARACTER SET utf8`];
    });
    for (const [name, kind] of Object.entries(there)) {
      if (wanted[name] === kind) continue;
      const word = /^(VIEW|SEQUENCE)/.exec(kind)?.[1] ?? 'TABLE';
      texts.push(`DROP ${word} ${quoted(...split(name))}`);
    }
    for (const [name, kind] of Object.entries(wanted)) {
      if (there[name] !== kind) texts.push(...creation(quoted(...split(name)), kind));
    }
    if (texts.length > 0) await this.#root.query(texts.join('; '));
  }

  // ── what is held ───────────────────────────────────────────────────────────────────────────

  async #findLost(objects: Objects) {
    const gone = Object.entries(this.#wanted).filter(([name, kind]) => {
      if (kind === 'VIEW' || objects[name] === kind) return false;
      const [rows, live] = [rowsIn(kind), rowsIn(objects[name] ?? '')];
      return (live ?? -1) < (rows ?? 0);
    });
    if (gone.length === 0) return { lost: [], held: 0 };
    const found = await this.#newlyHeld();
    const lost = gone.flatMap(([name, kind]) => {
      const counts = found.filter((one) => one.name === name).map(({ rows }) => rows);
      if (counts.some((count) => count >= (rowsIn(kind) ?? 0))) return [];
      return [`${name}, ${kind}, is ${objects[name]} now, held: ${JSON.stringify(counts)}`];
    });
    return { lost, held: gone.length - lost.length };
  }

  /** What is held since this was asked last, each with its name and its rows. */
  async #newlyHeld(): Promise<readonly { readonly name: string; readonly rows: number }[]> {
    const [rows] = await this.#root.query<RowDataPacket[]>(
      `SELECT id, CONCAT(schema_name, '.', table_name) AS name FROM _undrop.ledger
       WHERE schema_name IN (?)`,
      [[NEAR, FAR]],
    );
    const fresh = rows.filter(({ id }) => !this.#known.has(String(id)));
    for (const { id } of fresh) this.#known.add(String(id));
    const names = new Map(fresh.map(({ id, name }) => [String(id), String(name)]));
    const places = (await this.#heldTables()).filter(({ id }) => names.has(id));
    const counts = await this.#counts(places.map(({ at, held }) => [at, held]));
    return places.map(({ id }, index) => {
      const count = counts[index];
      return { name: names.get(id) ?? '', rows: typeof count === 'number' ? count : 0 };
    });
  }

  async #heldTables(): Promise<
    readonly { readonly id: string; readonly at: string; readonly held: string }[]
  > {
    const [rows] = await this.#root.query<RowDataPacket[]>(
      `SELECT table_schema AS at, table_name AS held FROM information_schema.tables
       WHERE table_schema IN (?) AND table_name LIKE '\\_vt\\_HOLD\\_%'`,
      [['_undrop', '_undrop_local', NEAR, FAR]],
    );
    return rows.map(({ at, held }) => ({ id: String(held).slice(9, 41), at, held }));
  }

  /** Takes away what was counted, so that a long run stays as fast as a short one. */
  async #forgetHeld(): Promise<void> {
    await intentsSettled(this.#root, [NEAR, FAR]);
    await this.#newlyHeld();
    const own = (await this.#heldTables()).filter(({ id }) => this.#known.has(id));
    for (const { at, held } of own) await this.#root.query(`DROP TABLE ${quoted(at, held)}`);
    await this.#root.query('DELETE FROM _undrop.ledger WHERE schema_name IN (?)', [[NEAR, FAR]]);
    this.#known.clear();
    this.#heldNow = 0;
  }
}

function settingsFor({ schema, sqlMode, charset }: Script): readonly string[] {
  return [`USE ${schema}`, `SET sql_mode = '${sqlMode}'`, `SET NAMES ${charset}`];
}

async function say(client: RawClient, text: Buffer, script: Script): Promise<readonly string[]> {
  if (script.way === 'query') return describe(await client.query(text));
  const { id, answer } = await client.prepare(text);
  if (id === null) return describe(answer);
  // What has columns is no drop, and its rows are in the binary protocol.
  if (answer.packets[0]?.payload.readUInt16LE(5) !== 0) return ['columns'];
  const said: string[] = ['prepared'];
  for (let count = 0; count < script.executions; count++) {
    said.push(...describe(await client.execute(id)));
  }
  client.write([Buffer.concat([Buffer.from([0x19]), int32(id)])]);
  return said;
}

function describe({ results }: RawAnswer): readonly string[] {
  return results.map((result: RawResult) => {
    if (result.kind !== 'err') return result.kind === 'ok' ? 'OK' : 'ROWS';
    return `ERR ${result.errno} ${result.sqlState} ${result.message.toString('latin1')}`;
  });
}

/** Texts that make one of the objects. */
function creation(name: string, kind: string): readonly string[] {
  const rows = rowsIn(kind);
  if (kind === 'VIEW') return [`CREATE VIEW ${name} AS SELECT 1 AS x`];
  if (rows === null) return [`CREATE SEQUENCE ${name}`];
  const engine = rows % 2 === 0 ? 'InnoDB' : 'MyISAM';
  const values = Array.from({ length: rows }, (_, row) => `(${row})`).join(', ');
  return [`CREATE TABLE ${name} (id INT) ENGINE=${engine}`, `INSERT INTO ${name} VALUES ${values}`];
}

/** Of a base table; null for what has none. */
function rowsIn(kind: string): number | null {
  const [, rows] = /^BASE TABLE (\d+)$/.exec(kind) ?? [];
  return rows === undefined ? null : Number(rows);
}

function split(name: string): readonly [string, string] {
  const dot = name.indexOf('.');
  return [name.slice(0, dot), name.slice(dot + 1)];
}

function keyOf({ multiStatements }: Script, { port }: Target): string {
  return `${port} ${multiStatements}`;
}

/** Whether the session is afterwards what it was. */
function isAsBefore({ texts, temporaries }: Script): boolean {
  return (
    temporaries.length === 0 && !texts.some((text) => LEAVES_A_TRACE.test(text.toString('latin1')))
  );
}

/** ER_TABLESPACE_DISCARDED: the table is there, without its rows. */
function isDiscarded(error: unknown): boolean {
  return error instanceof Error && 'errno' in error && error.errno === 1814;
}
