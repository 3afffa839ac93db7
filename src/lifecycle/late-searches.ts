/**
 * Continues the check for rows that break foreign keys where an UNDROP had no time for it: one
 * table after another, beside the rounds of the collector. The result is in the ledger, where
 * `undrop show` reads it, and in the log.
 *
 * Invariants: it only reads. It gives way as soon as any session waits for a lock, because that
 * session may wait for it; then the next full round starts over.
 */

import { type BrokenKey, searchBrokenRows } from '../held/foreign-keys/broken-rows.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { recordLook } from '../ledger/table-restores.js';
import type { Log } from '../log.js';
import { placesOf } from '../names/names.js';
import { isServiceError } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { WAITS_FOR_LOCK } from '../service/pool/statement-timeout.js';
import { note, numberOf, sql } from '../service/sql.js';
import { LATE_SEARCH_TRIES } from '../tries.js';

const SEARCH_MS_MAX = 3_600_000;
const TABLES_MAX = 100;

interface LateSearchesOptions {
  readonly connection: ServicePool;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export class LateSearches {
  readonly #options: LateSearchesOptions;
  /** By id. */
  readonly #tries = new Map<string, number>();
  #running: Promise<void> | null = null;

  constructor(options: LateSearchesOptions) {
    this.#options = options;
  }

  /** Resolves when no check is running. */
  get ended(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  /** Does nothing while a check is running. */
  begin(): void {
    this.#running ??= this.#searchAll().then(() => {
      this.#running = null;
    });
  }

  async #searchAll(): Promise<void> {
    const { connection, log, signal } = this.#options;
    try {
      const how = { texts: false, rowsMax: TABLES_MAX };
      for (const row of await findRows(connection, { by: 'looking' }, how)) {
        if (!signal.aborted) await this.#search(row);
      }
    } catch (error) {
      if (!isServiceError(error)) throw error;
      log.warn(
        { event: 'broken-rows', err: error },
        'cannot check for rows that break foreign keys; will try again',
      );
    }
  }

  async #search(row: LedgerRow): Promise<void> {
    const { connection, log, signal } = this.#options;
    const bound = { withinMs: SEARCH_MS_MAX, givesWay: () => this.#givesWay() };
    const broken: BrokenKey[] = [];
    for (const place of placesOf(row.restoredAs ?? '')) {
      broken.push(...(await searchBrokenRows(connection, place, bound)));
    }
    const tries = (this.#tries.get(row.id) ?? 0) + 1;
    this.#tries.set(row.id, tries);
    const isLooked = broken.every(({ isSeen }) => isSeen);
    if (signal.aborted || (!isLooked && tries < LATE_SEARCH_TRIES)) return;
    const text = resultOf(broken);
    const { id, rowLogged, restoredAs: table } = row;
    await recordLook(connection, { id, failure: { todo: null, text }, rowLogged });
    const queries = broken.map(({ query }) => query);
    const level = broken.length === 0 ? 'info' : 'warn';
    log[level]({ event: 'broken-rows', id, table, queries }, `${table}: ${text}`);
  }

  async #givesWay(): Promise<boolean> {
    const { connection, signal } = this.#options;
    if (signal.aborted) return true;
    const [[row = {}] = []] = await connection.run(
      sql`SELECT ${note('look')} COUNT(*) AS n FROM information_schema.PROCESSLIST
          WHERE ${WAITS_FOR_LOCK}`,
    );
    return numberOf(row, 'n') > 0;
  }
}

function resultOf(broken: readonly BrokenKey[]): string {
  if (broken.length === 0) return 'no rows break its foreign keys';
  const said = broken.map(({ name, table, isSeen, query }) =>
    isSeen
      ? `rows break foreign key ${name} of ${table}: ${query}`
      : `did not check whether rows break foreign key ${name} of ${table}`,
  );
  return said.join(' ');
}
