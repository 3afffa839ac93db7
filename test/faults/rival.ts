/** A session that creates tables in a schema, each with a row, until it is told to stop. */
import type { Connection } from 'mysql2/promise';

/** Then a drop of the schema has its way. */
const TABLES_MAX = 150;

export class Rival {
  readonly #session: Connection;
  readonly #schema: string;
  readonly #pauseMs: number;
  #stopped = false;
  /** Those that it was told are there, with their rows. */
  readonly made = new Map<string, number>();

  constructor(session: Connection, schema: string, pauseMs: number) {
    this.#session = session;
    this.#schema = schema;
    this.#pauseMs = pauseMs;
  }

  async run(): Promise<void> {
    await this.#session.query('SET lock_wait_timeout = 3');
    for (let n = 1; !this.#stopped && n <= TABLES_MAX; n++) {
      const table = `rival_${n}`;
      await this.#session.query(`DO SLEEP(${this.#pauseMs / 1_000})`);
      if (!(await this.#did(`CREATE TABLE ${this.#schema}.${table} (a INT) ENGINE=InnoDB`))) {
        continue;
      }
      this.made.set(table, 0);
      // It may be held by now; then its row is not there either.
      if (await this.#did(`INSERT INTO ${this.#schema}.${table} VALUES (1)`)) {
        this.made.set(table, 1);
      }
    }
    await this.#session.query('SET lock_wait_timeout = DEFAULT');
  }

  stop(): void {
    this.#stopped = true;
  }

  async #did(text: string): Promise<boolean> {
    try {
      await this.#session.query(text);
      return true;
    } catch (error) {
      if (typeof (error as { readonly errno?: number }).errno !== 'number') throw error;
      return false;
    }
  }
}
