/**
 * Reads the held tables: their names in each round; in a full round also sizes, files to free and
 * limits.
 */

import { isServerError, unlessRefused } from '../../connections/errors.js';
import { col, hasRows, note, type ServerFacts, sql } from '../../connections/sql.js';
import { readSizes, type Size } from '../../connections/true-sizes.js';
import { readTotals } from '../../ledger/read.js';
import { LEDGER } from '../../ledger/tables.js';
import type { ActionContext } from '../action-context.js';
import { type Look, listCollectable } from '../collectable.js';
import { noteLook } from '../figures.js';
import { FileSteps } from '../file-steps.js';
import { earlyFirst, Limits } from '../limits/limits.js';

/** A check also lists tables that are due this soon, so that they need no check of their own. */
const DUE_SOON_MS = 60_000;

interface LooksOptions extends Omit<ActionContext, 'files' | 'lease' | 'limits'> {
  readonly activeIds: ReadonlySet<string>;
  /** How long the log announces an exceeded limit before tables are removed early. */
  readonly noticeMs: number;
}

export class Looks {
  readonly files: FileSteps;
  readonly limits: Limits;
  readonly #options: LooksOptions;
  readonly #sizes: Sizes;

  constructor(options: LooksOptions) {
    this.#options = options;
    this.files = new FileSteps(options);
    this.limits = new Limits(options);
    this.#sizes = new Sizes(options);
  }

  /**
   * `wallClockMs`: this machine's clock. Limits are checked also while the collector waits, because
   * held tables accumulate nevertheless. `nextDue`: of the tables that aren't due now; null: there
   * are none; `tables`: the due ones, in the order of the work; `againMs`: until more can be read.
   */
  async look(
    server: ServerFacts,
    { isFull, wallClockMs }: { readonly isFull: boolean; readonly wallClockMs: number },
  ) {
    // Tables that limits have chosen are listed as well, whenever they are due.
    const hasEarly = this.limits.early.size > 0;
    const dueSoon = new Date(server.utcNow.getTime() + DUE_SOON_MS);
    const found = await this.#list(hasEarly ? undefined : dueSoon);
    let whole = hasEarly ? found.tables : null;
    const list = async () => (whole ??= (await this.#list()).tables);
    noteLook(this.#options.figures, found, wallClockMs);
    const count = found.tables.length + found.later.count;
    let againMs = isFull ? await this.#sizes.look(server) : Number.POSITIVE_INFINITY;
    if (isFull) await this.files.look();
    // The choice may be outdated.
    if (isFull || hasEarly) {
      const held = { count, list, comingBytes: this.files.bytes };
      againMs = Math.min(againMs, await this.limits.look(held, server.utcNow));
    }
    const { early } = this.limits;
    const tables = async () => (early.size === 0 ? found.tables : earlyFirst(await list(), early));
    return { count, nextDue: found.later.nextDue, tables, againMs };
  }

  /** A lifecycle without HOLD ignores due times in names. */
  #list(dueBy?: Date): Promise<Look> {
    const { connection, activeIds, settings } = this.#options;
    const waits = settings.lifecycle.includes('HOLD');
    return listCollectable(connection, activeIds, waits ? dueBy : undefined);
  }
}

// ── sizes ───────────────────────────────────────────────────────────────────────────────────────

/** InnoDB renews the statistics of one changed table or partition every ten seconds. */
const SETTLED_MS = 60_000;
const AGAIN_MS = 20_000;
/** The maximum of tables in a round; the next continues. */
const TABLES_MAX = 200;
/** Tables that were dropped longer before this collector began had others that read them. */
const READ_BACK_MS = 86_400_000;

/**
 * Updates the sizes of held tables in the ledger: the drop recorded them from the server's
 * statistics at that moment. Each table is read soon after its drop, and a few times more while the
 * server renews its statistics.
 *
 * Invariant: only tables in HOLD are read, because a purge makes others smaller. 0 rows is written
 * only for a table that was seen empty.
 */
class Sizes {
  readonly #options: Pick<ActionContext, 'connection' | 'figures' | 'log'>;
  /** Ids up to this one are up to date; null: none yet. If it is lost, they are read once more. */
  #settled: string | null = null;

  constructor(options: Pick<ActionContext, 'connection' | 'figures' | 'log'>) {
    this.#options = options;
  }

  /**
   * Resolves to the milliseconds until more is to be read; Infinity: nothing is, or it can't be
   * read. The lifecycle needs neither sizes nor their sums.
   */
  async look(server: ServerFacts): Promise<number> {
    const { connection, figures, log } = this.#options;
    try {
      const againMs = await this.#look(server);
      figures.ledger = await readTotals(connection);
      return againMs;
    } catch (error) {
      if (!isServerError(error)) throw error;
      log.debug(
        { event: 'collector', err: error },
        'cannot read the sizes of held tables; will try again',
      );
      return Number.POSITIVE_INFINITY;
    }
  }

  async #look(server: ServerFacts): Promise<number> {
    const nowMs = server.utcNow.getTime();
    const rows = await this.#readRows(this.#settled ?? idAt(nowMs - READ_BACK_MS));
    const sizes = await readSizes(this.#options.connection, server, rows);
    for (const row of rows) await this.#write(row, sizes.get(row.id));
    const isSettled = ({ droppedAt }: Written) => nowMs - droppedAt.getTime() >= SETTLED_MS;
    this.#settled = rows.findLast(isSettled)?.id ?? this.#settled;
    const isOver = rows.every(isSettled) && rows.length < TABLES_MAX;
    return isOver ? Number.POSITIVE_INFINITY : AGAIN_MS;
  }

  /** The tables in HOLD, in the schemas that the ledger has for them. */
  async #readRows(after: string): Promise<readonly Written[]> {
    const [rows = []] = await this.#options.connection.run(
      sql`SELECT ${note('size')} id, hold_schema, hold_name, dropped_at, row_estimate,
            byte_estimate, row_logged
          FROM ${LEDGER} WHERE state = 'HOLD' AND hold_name IS NOT NULL AND id > ${after}
          ORDER BY id LIMIT ${TABLES_MAX}`,
    );
    return rows.map((row) => ({
      id: col.text(row, 'id'),
      schema: col.text(row, 'hold_schema'),
      name: col.text(row, 'hold_name'),
      droppedAt: col.date(row, 'dropped_at'),
      rows: col.numberOrNull(row, 'row_estimate'),
      bytes: col.numberOrNull(row, 'byte_estimate'),
      rowLogged: col.number(row, 'row_logged') !== 0,
    }));
  }

  /** Unknown values keep those that the drop recorded. */
  async #write(before: Written, found: Size | undefined): Promise<void> {
    const { connection } = this.#options;
    const bytes = found?.bytes ?? before.bytes;
    let rows = found?.rows ?? (before.rows || null);
    if (rows === null && !(await unlessRefused(hasRows(connection, before), true))) rows = 0;
    if (rows === before.rows && bytes === before.bytes) return;
    await connection.logging(before.rowLogged).run(
      sql`UPDATE ${note('size', before.id)} ${LEDGER}
          SET row_estimate = ${rows}, byte_estimate = ${bytes} WHERE id = ${before.id}`,
    );
  }
}

interface Written extends Size {
  readonly id: string;
  readonly schema: string;
  readonly name: string;
  readonly droppedAt: Date;
  readonly rowLogged: boolean;
}

/** Ids begin with the time of the drop. */
function idAt(ms: number): string {
  return ms.toString(16).padStart(12, '0');
}
