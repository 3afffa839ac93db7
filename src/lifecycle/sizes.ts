/**
 * Keeps the true size of held tables in the ledger: what the drop wrote there is what the server's
 * statistics said at that moment. Each is looked at soon after its drop, and a few times more while
 * the server renews its statistics.
 *
 * Invariant: only tables in HOLD are looked at, because a purge makes others smaller. 0 rows is
 * written only of a table that was seen empty.
 */
import { readTotals } from '../ledger/read.js';
import { LEDGER } from '../ledger/tables.js';
import type { ServicePool } from '../service/pool/pools.js';
import { isServerError, unlessRefused } from '../service/pool/pools.js';
import { hasRows, type ServerFacts } from '../service/server-facts.js';
import { dateOf, note, numberOf, numberOrNullOf, sql, textOf, valueList } from '../service/sql.js';
import { readSizes, type Size } from '../service/true-sizes.js';
import type { Collectable } from './collectable.js';
import type { ActionContext } from './transition.js';

/** InnoDB renews the statistics of one changed table or partition every ten seconds. */
const SETTLED_MS = 60_000;
const AGAIN_MS = 20_000;
/** So many are looked at in a round; the next goes on. */
const TABLES_MAX = 200;

export class Sizes {
  readonly #connection: ServicePool;
  readonly #options: Pick<ActionContext, 'figures' | 'log'>;
  /** Ids of those that need no look any more; if it is lost, they have one more. */
  #settled: ReadonlySet<string> = new Set();

  constructor({ connection, ...options }: Pick<ActionContext, 'connection' | 'figures' | 'log'>) {
    this.#connection = connection;
    this.#options = options;
  }

  /**
   * Resolves to after how many milliseconds there is more to be looked at; Infinity: nothing is, or
   * it can't be read. The lifecycle needs no sizes, nor sums of them.
   */
  async look(tables: readonly Collectable[], server: ServerFacts): Promise<number> {
    const { figures, log } = this.#options;
    let againMs = Number.POSITIVE_INFINITY;
    try {
      againMs = await this.#look(tables, server);
      figures.ledger = await readTotals(this.#connection);
    } catch (error) {
      if (!isServerError(error)) throw error;
      log.debug({ event: 'collector', err: error }, 'sizes of held tables could not be read');
    }
    return againMs;
  }

  async #look(tables: readonly Collectable[], server: ServerFacts): Promise<number> {
    const held = tables.filter(({ state }) => state === 'HOLD');
    const open = held.filter(({ id }) => !this.#settled.has(id));
    const ids = new Set(held.map(({ id }) => id));
    const settled = new Set([...this.#settled].filter((id) => ids.has(id)));
    this.#settled = settled;
    if (open.length === 0) return Number.POSITIVE_INFINITY;
    const batch = open.slice(-TABLES_MAX);
    const sizes = await readSizes(this.#connection, server, batch);
    const rows = await this.#readRows(batch);
    for (const table of batch) {
      const row = rows.get(table.id);
      const ageMs = server.utcNow.getTime() - (row?.droppedAt.getTime() ?? 0);
      if (row !== undefined) await this.#write(table, row, sizes.get(table.id));
      if (ageMs >= SETTLED_MS) settled.add(table.id);
    }
    return settled.size < held.length ? AGAIN_MS : Number.POSITIVE_INFINITY;
  }

  async #readRows(tables: readonly Collectable[]): Promise<ReadonlyMap<string, Written>> {
    const [rows = []] = await this.#connection.run(
      sql`SELECT ${note('size')} id, dropped_at, row_estimate, byte_estimate, row_logged
          FROM ${LEDGER} WHERE id IN (${valueList(tables.map(({ id }) => id))})`,
    );
    const entries = rows.map((row): [string, Written] => [
      textOf(row, 'id'),
      {
        droppedAt: dateOf(row, 'dropped_at'),
        rows: numberOrNullOf(row, 'row_estimate'),
        bytes: numberOrNullOf(row, 'byte_estimate'),
        rowLogged: numberOf(row, 'row_logged') !== 0,
      },
    ]);
    return new Map(entries);
  }

  /** What isn't known any better keeps what the drop has written. */
  async #write(table: Collectable, before: Written, found: Size | undefined): Promise<void> {
    const bytes = found?.bytes ?? before.bytes;
    let rows = found?.rows ?? (before.rows || null);
    if (rows === null && (await unlessRefused(hasRows(this.#connection, table), true)) === false) {
      rows = 0;
    }
    if (rows === before.rows && bytes === before.bytes) return;
    await this.#connection.run(
      sql`UPDATE ${note('size', table.id)} ${LEDGER}
          SET row_estimate = ${rows}, byte_estimate = ${bytes} WHERE id = ${table.id}`,
      { logged: before.rowLogged },
    );
  }
}

interface Written extends Size {
  readonly droppedAt: Date;
  readonly rowLogged: boolean;
}
