/**
 * What a real server does with a statement text: the tables that are gone afterwards. A schema of
 * its own, whose tables are made again as they go. Invariant: every text finds the same tables.
 */
import { type Answer, RawSession } from './raw-session.js';
import { tablesFor, type Variant } from './variants.js';

export interface Truth {
  /** Names that were there before and aren't any more, in the client's charset, as latin1 text. */
  readonly gone: readonly string[];
  readonly answers: readonly Answer[];
  /** `@@sql_mode` as the text found it: some modes stand for several. */
  readonly sqlMode: string;
}

type Target = Parameters<typeof RawSession.open>[0];

export class LiveTruth {
  readonly #server: Target;
  readonly #admin: RawSession;
  #session: RawSession | null = null;
  #isMulti = false;
  #lastText = '';

  private constructor(server: Target, admin: RawSession) {
    this.#server = server;
    this.#admin = admin;
  }

  /** Makes the schema `here` on a server that no other test works on at the same time. */
  static async open(server: Target): Promise<LiveTruth> {
    return new LiveTruth(server, await RawSession.open(server, false));
  }

  /** Runs one text as it is; null where the server has no such charset or sql_mode. */
  async run(variant: Variant, tables = tablesFor(variant.charset)) {
    const isKnown = await this.#prepare(variant, tables);
    if (!isKnown) return null;
    const before = await this.#tables();
    const bytes = Buffer.from(variant.text, 'latin1');
    const session = await this.#sessionFor(variant);
    await must(session, 'USE here');
    await must(session, `SET NAMES ${variant.charset}`);
    await must(session, `SET sql_mode='${variant.sqlMode}'`);
    const [mode] = await session.query('SELECT @@sql_mode');
    const sqlMode = mode?.rows[0]?.[0] ?? '';
    const answers = await session.query(bytes);
    const after = new Set(await this.#tables());
    const gone = before.filter((name) => !after.has(name));
    return { gone, answers, sqlMode } satisfies Truth;
  }

  /** Drops the schema, too. */
  async close(): Promise<void> {
    await must(this.#admin, 'DROP DATABASE IF EXISTS here');
    this.#admin.close();
    this.#session?.close();
  }

  /** The last one again where nothing of it can be left: no temporary table, no transaction. */
  async #sessionFor({ text, multiStatements }: Variant): Promise<RawSession> {
    const isFit = this.#session !== null && this.#isMulti === multiStatements;
    if (isFit && !/temporary|begin/i.test(this.#lastText)) {
      this.#lastText = text;
      const session = this.#session as RawSession;
      await must(session, 'SET NAMES utf8');
      await must(session, "SET sql_mode=''");
      return session;
    }
    this.#session?.close();
    this.#lastText = text;
    this.#isMulti = multiStatements;
    this.#session = await RawSession.open(this.#server, multiStatements);
    // MariaDB runs loops by themselves, and a stray byte makes one endless. MySQL has no such
    // variable, and no such loops.
    await this.#session.query('SET max_statement_time = 2');
    return this.#session;
  }

  async #prepare({ charset, sqlMode }: Variant, tables: readonly string[]): Promise<boolean> {
    const admin = this.#admin;
    await must(admin, 'SET NAMES utf8');
    const [mode] = await admin.query(`SET sql_mode='${sqlMode}'`);
    await must(admin, "SET sql_mode=''");
    const [names] = await admin.query(`SET NAMES ${charset}`);
    if (mode?.errno !== 0 || names?.errno !== 0) return false;
    await must(admin, 'CREATE DATABASE IF NOT EXISTS here CHARACTER SET utf8');
    await must(admin, 'USE here');
    for (const routine of ['PROCEDURE pp', 'FUNCTION ff', 'EVENT ee']) {
      await must(admin, `DROP ${routine.replace(' ', ' IF EXISTS ')}`);
    }
    const there = new Set(await this.#tables());
    for (const name of ['keep', ...tables]) {
      if (there.has(name)) continue;
      const quoted = /[\x80-\xff]/.test(name) ? name : name.replaceAll('`', '``');
      await must(admin, latin1(`CREATE TABLE \`${quoted}\` (a INT) ENGINE=MyISAM`));
    }
    return true;
  }

  /** Base tables only: a sequence or a view under the name of a table is not that table. */
  async #tables(): Promise<string[]> {
    const [answer] = await this.#admin.query('SHOW FULL TABLES FROM here');
    return (answer?.rows ?? []).flatMap(([name, type]) =>
      type === 'BASE TABLE' && name !== null && name !== undefined ? [name] : [],
    );
  }
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

async function must(session: RawSession, sql: string | Buffer): Promise<void> {
  const [answer] = await session.query(sql);
  if (answer?.errno !== 0) throw new Error(`${sql.toString()}: ${answer?.message}`);
}
