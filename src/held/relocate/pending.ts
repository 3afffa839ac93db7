/**
 * Pending relocations: held tables that could not be moved out of their own schema at once.
 * Recovery tries each again for a moment, once in UNDROP_CHECK_INTERVAL; so does the process that
 * dropped it, from a moment later on, because most of them wait for the next statement of the
 * session, an UNLOCK TABLES or a COMMIT. It may run twice, and at once with another proxy.
 *
 * Invariant: one try at a time; the collector takes over what isn't done in time.
 */
import type { Clock } from '../../clock.js';
import { isServerError } from '../../connections/errors.js';
import { readServerFacts, type ServicePool } from '../../connections/sql.js';
import { howDropped, type LedgerRow, type PendingWork } from '../../ledger/entry.js';
import { writtenElsewhere } from '../../ledger/owner.js';
import { findPage, findRows, type LedgerCursor } from '../../ledger/read.js';
import { recordOutcome, recordState } from '../../ledger/write.js';
import { type Log, silentLog } from '../../log.js';
import { parseHoldName } from '../../names/names.js';
import { PENDING_RELOCATION, pauseBefore } from '../../tries.js';
import { NOT_TRIED } from './blockers.js';
import { detachAndRelocate, readLastingBlockers } from './relocate.js';

/** The maximum read at once, and the maximum of tries in a round; the others wait for the next. */
const ROWS_MAX = 1_000;

export async function retryPending(
  pool: ServicePool,
  options: {
    readonly activeIds: ReadonlySet<string>;
    readonly log: Log;
    /** Ids; default: all. */
    readonly only?: ReadonlySet<string>;
    /** Where the last round stopped; default: from the newest on. */
    readonly cursor?: LedgerCursor;
  },
) {
  const { activeIds, log, only, cursor = { after: null } } = options;
  const relocated: string[] = [];
  const left: { readonly id: string; readonly failure: string }[] = [];
  const filter = { by: 'pending', ...(only === undefined ? {} : { only: [...only] }) } as const;
  let tries = 0;
  do {
    const rows = await findPage(pool, filter, { cursor, rowsMax: ROWS_MAX });
    // On a source that has become a replica, the new source has to move them.
    if (rows.length > 0 && (await readServerFacts(pool)).readOnly) break;
    const elsewhere = await writtenElsewhere(pool, rows);
    for (const row of rows) {
      if (elsewhere.has(row.id)) continue;
      if (activeIds.has(row.id) || isNeverRetried(row)) continue;
      tries++;
      const pendingWork = await retry(pool, row);
      if (pendingWork === null) relocated.push(row.id);
      // It needs a new privilege first, so there is no hurry, and it was reported before.
      else if (pendingWork.todo !== 'blocked_by_triggers')
        left.push({ id: row.id, failure: pendingWork.text });
    }
  } while (cursor.after !== null && tries < ROWS_MAX);
  if (left.length > 0)
    log.warn({ left }, 'cannot move held tables to the recycle schema; will try again');
  return { relocated, left };
}

function isNeverRetried({ pendingWork }: LedgerRow): boolean {
  return pendingWork?.todo === 'blocked_by_file' || pendingWork?.todo === 'blocked_by_partitions';
}

/**
 * Moves tables that stay in a schema because of their partitions out of it by another RENAME,
 * because the schema is about to be dropped. A table that can't be moved stays. May run twice.
 */
export async function takeOut(pool: ServicePool, schema: string): Promise<void> {
  const rows = await findRows(pool, { by: 'pending' }, { texts: false });
  for (const row of rows) {
    if (row.holdSchema !== schema || row.pendingWork?.todo !== 'blocked_by_partitions') continue;
    await retry(pool, row, { leavesForGood: true });
  }
}

/** Null if it is done. Does not affect other tables. */
function retry(...how: Parameters<typeof relocateRow>): Promise<PendingWork | null> {
  return relocateRow(...how).catch((error: unknown) => {
    if (!isServerError(error)) throw error;
    return { todo: 'relocate', text: error.message };
  });
}

async function relocateRow(
  pool: ServicePool,
  row: LedgerRow,
  { leavesForGood = false }: { readonly leavesForGood?: boolean } = {},
): Promise<PendingWork | null> {
  const { id, holdSchema, holdName, table, rowLogged, sqlLogBin, pendingWork: known } = row;
  if (holdSchema === null || holdName === null || parseHoldName(holdName)?.id !== id) {
    return { todo: 'relocate', text: 'the ledger has no hold name for it' };
  }
  const [lasting] = await readLastingBlockers(pool, [{ id, holdSchema, holdName }]);
  const mayLeave = leavesForGood && lasting?.todo === 'blocked_by_partitions';
  const blocker = mayLeave ? null : (lasting ?? null);
  const isEmptied = howDropped(row) === 'TRUNCATE';
  const from = { id, fromSchema: holdSchema, holdName, table, blocker, isEmptied };
  const [relocation] = await detachAndRelocate(pool.logging(sqlLogBin), [from]);
  if (relocation?.outcome === 'moved') {
    const { holdSchema: schema, holdName: name } = relocation;
    const moved = { id, holdSchema: schema, holdName: name, relocated: true };
    await recordOutcome(pool, { tables: [moved] });
    return null;
  }
  if (relocation?.outcome === 'put-back') {
    const restoredAs = `${holdSchema}.${table}`;
    await recordState(pool, { id, state: 'restored', restoredAs, rowLogged });
    return null;
  }
  const pendingWork = relocation?.pendingWork ?? NOT_TRIED;
  if (pendingWork.todo !== known?.todo || pendingWork.text !== known?.text) {
    await recordState(pool, { id, state: 'HOLD', onlyFrom: 'HOLD', pendingWork, rowLogged });
  }
  return pendingWork;
}

/** Further ids are left to the collector. */
const IDS_MAX = 1_000;

interface PendingRelocatorOptions {
  readonly pool: ServicePool;
  /** Drops in progress in this process. */
  readonly activeIds: ReadonlySet<string>;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted: no more tries. */
  readonly signal: AbortSignal;
}

/** Tries again for tables that this process has dropped, on one server. */
export class PendingRelocator {
  readonly #options: PendingRelocatorOptions;
  /** By id, when to give up, in milliseconds since the epoch. */
  readonly #givenUpMs = new Map<string, number>();
  #running: Promise<void> | null = null;

  constructor(options: PendingRelocatorOptions) {
    this.#options = options;
  }

  /** Adds held tables with ledger rows. Resolves when none of them is pending. */
  add(ids: readonly string[]): Promise<void> {
    const givenUpMs = this.#options.clock.nowMs() + PENDING_RELOCATION.givenUpMs;
    for (const id of ids) if (this.#givenUpMs.size < IDS_MAX) this.#givenUpMs.set(id, givenUpMs);
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** A series of drops doesn't keep the pauses short, because they share one run. */
  async #run(): Promise<void> {
    const { pool, activeIds, clock, log, signal } = this.#options;
    for (let tries = 0; this.#givenUpMs.size > 0; tries++) {
      await clock.sleep(pauseBefore(PENDING_RELOCATION, tries), signal);
      if (signal.aborted) return;
      const only = new Set(this.#givenUpMs.keys());
      try {
        // Tables that stay for good are not among `left`.
        const { relocated, left } = await retryPending(pool, { activeIds, log: silentLog, only });
        const isLeft = new Set(left.map(({ id }) => id));
        for (const id of only) if (!isLeft.has(id)) this.#givenUpMs.delete(id);
        if (relocated.length > 0)
          log.debug({ relocated }, 'moved held tables to the recycle schema');
      } catch (error) {
        log.debug(
          { err: error },
          'cannot check the held tables outside the recycle schema; will try again',
        );
      }
      for (const [id, givenUpMs] of this.#givenUpMs) {
        if (clock.nowMs() > givenUpMs) this.#givenUpMs.delete(id);
      }
    }
  }
}
