/**
 * Counts statements that fail because the table they name is held: the application still uses it. A
 * failure costs an entry in a map; once a minute, if there were any, undrop reads from the ledger
 * which of the names are held, and writes the result to the log and the history.
 *
 * Invariant: names, and reads of the ledger, are bounded, whatever clients send.
 */
import type { AuditEvent, ClientWho } from '../audit.js';
import type { Clock } from '../clock.js';
import { isServiceError } from '../connections/errors.js';
import { col, note, readServerFacts, type ServicePool, sql } from '../connections/sql.js';
import { entriesOf, recordHistory } from '../ledger/history.js';
import { doesReplicate } from '../ledger/owner.js';
import { LEDGER } from '../ledger/tables.js';
import { type Log, report } from '../log.js';
import { placesOf } from '../names/names.js';
import { decodeErr } from '../wire/response.js';

/** The delay of the first line, and the interval of further lines on the same table. */
const FIRST_MS = 1_000;
const EVERY_MS = 60_000;
/** More names of one minute are not counted, nor are names with more dots. */
const NAMES_MAX = 200;
const DOTS_MAX = 3;

interface Missed {
  count: number;
  by: ClientWho;
}

type Use = AuditEvent<'used-while-held'>;

interface UsedWhileHeldOptions {
  readonly pool: ServicePool;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted: reports the counts, and ends. */
  readonly signal: AbortSignal;
  /** Registers work until all is reported. */
  readonly background: (work: Promise<void>) => void;
}

/** For one server. */
export class UsedWhileHeld {
  readonly #options: UsedWhileHeldOptions;
  /** By `schema.table`, as the server names it. */
  readonly #missed = new Map<string, Missed>();
  #isRunning = false;

  constructor(options: UsedWhileHeldOptions) {
    this.#options = options;
  }

  /** Takes the payload of an ERR 1146. */
  add(payload: Buffer, by: ClientWho): void {
    const name = quotedName(payload);
    if (name === null) return;
    const known = this.#missed.get(name);
    if (known !== undefined) {
      known.count++;
      known.by = by;
    } else if (this.#missed.size < NAMES_MAX) {
      this.#missed.set(name, { count: 1, by });
    }
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#options.background(this.#run());
  }

  async #run(): Promise<void> {
    const { clock, signal } = this.#options;
    await clock.sleep(FIRST_MS, signal);
    while (this.#missed.size > 0) {
      const missed = new Map(this.#missed);
      this.#missed.clear();
      await this.#report(missed);
      await clock.sleep(EVERY_MS, signal);
    }
    this.#isRunning = false;
  }

  async #report(missed: ReadonlyMap<string, Missed>): Promise<void> {
    const { pool, log } = this.#options;
    try {
      const used = await findUsed(pool, missed);
      if (used.length === 0) return;
      report(log, used);
      // A row that is written on a replica is missing on its source.
      const server = await readServerFacts(pool);
      if (server.readOnly || (await doesReplicate(pool, server))) return;
      await recordHistory({ connection: pool, log }, entriesOf(used));
    } catch (error) {
      if (!isServiceError(error)) throw error;
      log.debug(
        { err: error },
        'cannot check or record whether the missing tables are held; the statements are not counted',
      );
    }
  }
}

/**
 * The first quoted `schema.table` of an error's text, which all languages of the server have; null
 * if there is none. A name with a quote in it is cut, and found nowhere.
 */
export function quotedName(payload: Buffer): string | null {
  return /'([^']+\.[^']+)'/.exec(decodeErr(payload).message.toString())?.[1] ?? null;
}

/** The names that are held; for several drops of one name the newest. */
async function findUsed(pool: ServicePool, missed: ReadonlyMap<string, Missed>) {
  const names = [...missed.keys()]
    .flatMap((name) => placesOf(name).slice(0, DOTS_MAX))
    .map(({ schema, table }) => sql`(schema_name = ${schema} AND table_name = ${table})`);
  const [rows = []] = await pool.run(
    sql`SELECT ${note('used')} id, group_id, schema_name, table_name FROM ${LEDGER}
        WHERE state = 'HOLD' AND (${sql.join(names, ' OR ')}) ORDER BY id`,
  );
  const uses = new Map<string, Use>();
  for (const row of rows) {
    const name = `${col.text(row, 'schema_name')}.${col.text(row, 'table_name')}`;
    const found = missed.get(name);
    if (found === undefined) continue;
    uses.set(name, {
      event: 'used-while-held',
      ...found.by,
      id: col.text(row, 'id'),
      dropId: col.text(row, 'group_id'),
      schema: col.text(row, 'schema_name'),
      table: col.text(row, 'table_name'),
      count: found.count,
    });
  }
  return [...uses.values()];
}
