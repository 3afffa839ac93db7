/**
 * The tour types what a newcomer would type. It drops two tables in one statement through the
 * running proxy, shows both held, restores one with its rows counted before and after, and follows
 * the other until it is gone. It needs no client, and prints each statement and each response.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import { SHOP_ROWS } from './shop.js';

/** A due time further away than this, or past, is printed instead of awaited. */
const WATCH_MS = 180_000;
const POLL_MS = 1_000;

interface TourParts {
  /** Through the proxy. */
  readonly connection: Connection;
  readonly schema: string;
  readonly write: (text: string) => void;
  /** Runs a command of undrop as in a terminal. */
  readonly command: (args: readonly string[]) => Promise<CommandAnswer>;
  /** The command as the user types it. */
  readonly commandName: string;
  readonly signal?: AbortSignal | undefined;
}

interface CommandAnswer {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Resolves to the exit code: 0 if everything went as expected. */
export async function runTour(parts: TourParts): Promise<number> {
  const tour = new Tour(parts);
  const tables = await tour.chooseTables();
  if (tables === null) return 1;
  return tour.run(tables);
}

class Tour {
  readonly #parts: TourParts;

  constructor(parts: TourParts) {
    this.#parts = parts;
  }

  /** The demo's two tables with the most rows: one to restore, one to let go. */
  async chooseTables(): Promise<readonly [string, string] | null> {
    const { connection, schema } = this.#parts;
    const [rows] = await connection.query<RowDataPacket[]>(`SHOW TABLES FROM ${schema}`);
    const names = rows.flatMap((row) => Object.values(row));
    const [gone, kept] = Object.keys(SHOP_ROWS)
      .filter((name) => names.includes(name))
      .slice(-2);
    if (gone !== undefined && kept !== undefined) return [kept, gone];
    this.#say(`The tour needs two tables in the schema ${schema}. The others were dropped before;`);
    this.#say(`restore them (${this.#parts.commandName} list), or start the demo again.`);
    return null;
  }

  async run([kept, gone]: readonly [string, string]): Promise<number> {
    const { schema } = this.#parts;
    this.#title('The shop, with its rows counted');
    await this.#statement(`USE ${schema}`);
    await this.#statement('SHOW TABLES');
    const before = await this.#count(kept);
    await this.#count(gone);

    const heldBefore = new Set((await this.#readHeld()).map(({ id }) => id));
    this.#title('Two tables dropped in one statement: the response is that of a MySQL server');
    if (!(await this.#statement(`DROP TABLE ${kept}, ${gone}`))) return 1;
    await this.#statement('SHOW TABLES');
    await this.#count(kept);

    const held = (await this.#readHeld()).filter(({ id }) => !heldBefore.has(id));
    if (held.length < 2) {
      this.#say('Neither is held, because of UNDROP_MODE, UNDROP_PROTECT or UNDROP_RULES.');
      this.#say('The terminal of the demo shows which.');
      return 1;
    }
    this.#title('Both are held, not gone');
    if (!(await this.#undrop('list', '--tables'))) return 1;

    this.#title(`${kept} comes back, with all its rows`);
    if (!(await this.#undrop('restore', `${schema}.${kept}`))) return 1;
    const after = await this.#count(kept);
    if (before === null || before !== after) {
      this.#say(`Expected ${before} rows as before the drop, found ${after}.`);
      return 1;
    }
    this.#say(`${before} rows before the drop, ${after} after it came back.`);

    this.#title(`${gone} stays dropped`);
    return this.#follow(gone, heldBefore);
  }

  /** Runs a statement and prints it with its response; false if the server refused it. */
  async #statement(sql: string): Promise<boolean> {
    return (await this.#answer(sql)) !== null;
  }

  async #count(table: string): Promise<number | null> {
    const rows = await this.#answer(`SELECT COUNT(*) AS rows_now FROM ${table}`);
    return rows === null ? null : Number(rows[0]?.['rows_now']);
  }

  async #answer(sql: string): Promise<readonly RowDataPacket[] | null> {
    this.#say(`sql> ${sql};`);
    const began = performance.now();
    try {
      const [result] = await this.#parts.connection.query<RowDataPacket[] | ResultSetHeader>(sql);
      const took = `(${(performance.now() - began).toFixed(1)} ms)`;
      if (Array.isArray(result)) {
        this.#say(formatRows(result));
        this.#say(`${result.length} ${result.length === 1 ? 'row' : 'rows'} in set ${took}\n`);
        return result;
      }
      const told = result.info === '' ? '' : `\n${result.info}`;
      this.#say(`Query OK, ${result.affectedRows} rows affected ${took}${told}\n`);
      return [];
    } catch (error) {
      const { errno, sqlState, sqlMessage } = error as Partial<ServerError>;
      if (errno === undefined || sqlMessage === undefined) throw error;
      this.#say(`ERROR ${errno} (${sqlState}): ${sqlMessage}\n`);
      return null;
    }
  }

  async #undrop(...args: readonly string[]): Promise<boolean> {
    this.#say(`$ ${this.#parts.commandName} ${args.join(' ')}`);
    const { code, stdout, stderr } = await this.#parts.command(args);
    this.#say(`${stdout}${stderr}`);
    if (code !== 0) this.#say(`It ended with exit code ${code}.`);
    return code === 0;
  }

  /** Prints each name of the table until it is gone, if that is soon. */
  async #follow(table: string, heldBefore: ReadonlySet<string>): Promise<number> {
    const { signal } = this.#parts;
    let last = '';
    for (;;) {
      const held = (await this.#readHeld()).find(({ id }) => !heldBefore.has(id));
      if (held === undefined) {
        this.#say(last === '' ? `${table} is gone already.` : `${table} is gone.`);
        return 0;
      }
      const { state, holdSchema, holdName, until } = held;
      if (holdName !== last) this.#say(`${state.padEnd(5)}  ${holdSchema}.${holdName}`);
      last = holdName;
      const inMs = Date.parse(until) - Date.now();
      if (inMs < -WATCH_MS) {
        this.#say(`${table} has been due since ${until}, and is still there.`);
        this.#say('The terminal of the demo shows why.');
        return 1;
      }
      if (state === 'HOLD' && inMs > WATCH_MS) {
        this.#sayWhen(table, { until, inMs });
        return 0;
      }
      if (signal?.aborted) return 0;
      await sleep(POLL_MS);
    }
  }

  #sayWhen(table: string, { until, inMs }: { until: string; inMs: number }): void {
    const when = `${until.slice(0, 19).replace('T', ' ')} UTC`;
    const minutes = Math.round(inMs / 60_000);
    this.#say(`${table} can be brought back until ${when}, for ${minutes} minutes more.`);
    this.#say(
      'Then the collector removes it, in small steps where one big step would slow the server down.',
    );
    this.#say('To watch that: UNDROP_HOLD=20s npm start, then this tour again.\n');
  }

  async #readHeld(): Promise<readonly Held[]> {
    const { code, stdout, stderr } = await this.#parts.command(['list', '--json']);
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as readonly Held[];
  }

  #title(text: string): void {
    this.#parts.write(`\n--- ${text} ---\n\n`);
  }

  #say(text: string): void {
    this.#parts.write(`${text}\n`);
  }
}

interface ServerError {
  readonly errno: number;
  readonly sqlState: string;
  readonly sqlMessage: string;
}

/** An entry of `undrop list --json`. */
interface Held {
  readonly id: string;
  readonly state: string;
  /** When this state ends. */
  readonly until: string;
  readonly holdSchema: string;
  readonly holdName: string;
}

/** Rows as a table of text, as MySQL's own clients print them; empty for no rows. */
function formatRows(rows: readonly Readonly<Record<string, unknown>>[]): string {
  const [first] = rows;
  if (first === undefined) return '';
  const names = Object.keys(first);
  const cells = rows.map((row) => names.map((name) => cellText(row[name])));
  const widths = names.map((name, column) =>
    Math.max(name.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const rule = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+`;
  const line = (texts: readonly string[]): string =>
    `|${texts.map((text, column) => ` ${text.padEnd(widths[column] ?? 0)} `).join('|')}|`;
  return [rule, line(names), rule, ...cells.map(line), rule].join('\n');
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  return value instanceof Date ? value.toISOString() : String(value);
}
