/**
 * Counts what became of tables: every base table of the user's schemas that is gone from under its
 * name has to be held, with all the rows that it had.
 *
 * Invariant: it believes no answer, only what it counts itself on a direct connection.
 */
import { quoted, type Session } from './servers.js';

/** `rows`: null where it can't be read (a MERGE table without its parts). */
type Table = { readonly schema: string; readonly table: string; readonly rows: number | null };

/**
 * Names as `schema.table`. `unprotected`: taken away in a way that is not protected; `replaced`: in
 * their places are others.
 */
type Gone = { readonly unprotected?: readonly string[]; readonly replaced?: readonly string[] };

export class Survival {
  readonly #root: Session;
  readonly #schemas: readonly string[];
  #before: readonly Table[] = [];
  /** Ids of the ledger that were there before. */
  #known: ReadonlySet<string> = new Set();

  constructor(root: Session, schemas: readonly string[]) {
    this.#root = root;
    this.#schemas = schemas;
  }

  /** Counts the rows of every table as it is now; not of what is held, and may yet move. */
  async remember(): Promise<void> {
    const tables: Table[] = [];
    for (const { schema, table } of await this.#list()) {
      if (HELD.test(table)) continue;
      tables.push({ schema, table, rows: await this.#count(schema, table) });
    }
    this.#before = tables;
    this.#known = new Set((await this.#held()).map(({ id }) => id));
  }

  /** What is neither there nor held whole, in words. */
  async findLost(options: Gone = {}): Promise<readonly string[]> {
    for (let look = 1; ; look += 1) {
      try {
        const lost = await this.#lookForLost(options);
        if (lost.length === 0 || look === LOOKS) return lost;
      } catch (error) {
        if (!isErrno(error, MOVED) || look === LOOKS) throw error;
      }
    }
  }

  async #lookForLost({ unprotected = [], replaced = [] }: Gone): Promise<readonly string[]> {
    const live = new Set((await this.#list()).map(({ schema, table }) => `${schema}.${table}`));
    const gone = this.#before.filter(({ schema, table }) => {
      const name = `${schema}.${table}`;
      const isThere = live.has(name) && !replaced.includes(name);
      return !isThere && !unprotected.includes(name);
    });
    if (gone.length === 0) return [];
    const held = (await this.#held()).filter(({ id }) => !this.#known.has(id));
    const lost: string[] = [];
    for (const { schema, table, rows } of gone) {
      const own = held.filter((row) => row.schema === schema && row.table === table);
      const counts = await Promise.all(own.map(({ at, name }) => this.#count(at, name)));
      // An open transaction may have added rows before its DROP committed them.
      // A MERGE table reads again only when it is back in the schema of its parts.
      if (counts.some((count) => count === null || rows === null || count >= rows)) continue;
      lost.push(`${schema}.${table}: had ${rows} rows, held: ${JSON.stringify(counts)}`);
    }
    return lost;
  }

  #list(): Promise<readonly { readonly schema: string; readonly table: string }[]> {
    return this.#root.rows(
      `SELECT table_schema AS 'schema', table_name AS 'table' FROM information_schema.tables
       WHERE table_schema IN (?)
         AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE')`,
      [this.#schemas],
    );
  }

  /** Held tables that are really there: the ledger says whose, the server that they are. */
  async #held(): Promise<readonly HeldRow[]> {
    const names = await this.#root.rows<{ at: string; name: string }>(
      `SELECT table_schema AS at, table_name AS name FROM information_schema.tables
       WHERE (table_schema IN (?) OR table_schema LIKE '\\_undrop%')
         AND LOWER(table_name) LIKE '\\_vt\\_hold\\_%'`,
      [this.#schemas],
    );
    const rows = await this.#root.rows<Owner>(
      "SELECT id, schema_name AS 'schema', table_name AS 'table' FROM _undrop.ledger",
    );
    const owners = new Map(rows.map((row) => [row.id, row]));
    return names.flatMap(({ at, name }) => {
      const owner = owners.get(HELD.exec(name)?.[1] ?? '');
      return owner === undefined ? [] : [{ ...owner, at, name }];
    });
  }

  async #count(schema: string, table: string): Promise<number | null> {
    try {
      return await this.#root.count(quoted(schema, table));
    } catch (error) {
      if (isErrno(error, UNREADABLE)) return null;
      throw error;
    }
  }
}

/** Without regard to case: lower_case_table_names=1 stores lower case. */
const HELD = /^_vt_HOLD_([0-9a-f]{32})_/i;

type Owner = { readonly id: string; readonly schema: string; readonly table: string };

type HeldRow = Owner & { readonly at: string; readonly name: string };

/**
 * 1168: the parts of a MERGE table are in another schema or gone. 1205: its own session has it
 * locked still; it is counted again behind its end.
 */
const UNREADABLE: ReadonlySet<number> = new Set([1168, 1205]);

/** 1146: it was relocated, or got its next name, after the list of names was read. */
const MOVED: ReadonlySet<number> = new Set([1146]);

/** A table may be on its way from one name to the next: what is lost is lost at every look. */
const LOOKS = 3;

function isErrno(error: unknown, numbers: ReadonlySet<number>): boolean {
  return numbers.has((error as { readonly errno: number }).errno);
}
