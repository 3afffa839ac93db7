/**
 * Pending relocations: held tables that could not be moved out of their own schema at once. Each is
 * tried again for a moment by recovery, and by the process that dropped them from a moment later
 * on: mostly a table waits for the next statement of the session, an UNLOCK TABLES or a COMMIT, and
 * the proxy that collects looks once in UNDROP_CHECK_INTERVAL. It may run twice, and at once with
 * another proxy.
 *
 * Invariant: one try at a time; what isn't done in time is left to whoever collects.
 */
import type { Clock } from '../../clock.js';
import type { Failure, LedgerRow } from '../../ledger/entry.js';
import { writtenElsewhere } from '../../ledger/owner.js';
import { findRows, type LedgerCursor, nextPage } from '../../ledger/read.js';
import { recordOutcome, recordState } from '../../ledger/write.js';
import { type Log, silentLog } from '../../log.js';
import { parseHoldName } from '../../names/hold-name.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import { readServerFacts } from '../../service/server-facts.js';
import { NOT_TRIED } from './blockers.js';
import { detachAndRelocate } from './detach-and-relocate.js';
import { whyItStays } from './relocate.js';

interface PendingReport {
  readonly paid: readonly string[];
  readonly left: readonly { readonly id: string; readonly failure: string }[];
}

/** So many are read at once, and after so many tries the others wait for the next round. */
const DEBTS_MAX = 1_000;

export async function retryPending(
  pool: ServicePool,
  options: {
    readonly activeIds: ReadonlySet<string>;
    readonly log: Log;
    /** Ids; default: all. */
    readonly only?: ReadonlySet<string>;
    /** Where the last round has stopped; default: from the newest on. */
    readonly cursor?: LedgerCursor;
  },
): Promise<PendingReport> {
  const { activeIds, log, only, cursor = { after: null } } = options;
  const paid: string[] = [];
  const left: { readonly id: string; readonly failure: string }[] = [];
  const filter = { by: 'pending', ...(only === undefined ? {} : { only: [...only] }) } as const;
  let tries = 0;
  for (let isMore = true; isMore && tries < DEBTS_MAX; ) {
    const how = { rowsMax: DEBTS_MAX, after: cursor.after, texts: false };
    const rows = await findRows(pool, filter, how);
    isMore = nextPage(cursor, rows, DEBTS_MAX);
    // A source that has become a replica: its debts are the new source's.
    if (rows.length > 0 && (await readServerFacts(pool)).readOnly) break;
    const elsewhere = await writtenElsewhere(pool, rows);
    for (const row of rows) {
      if (elsewhere.has(row.id)) continue;
      if (activeIds.has(row.id) || staysForGood(row)) continue;
      tries++;
      const failure = await pay(pool, row).catch(wordsOf);
      if (failure === null) paid.push(row.id);
      // It is of use once the account has another right: there is no hurry, and it was said before.
      else if (failure.todo !== 'stays_triggers') left.push({ id: row.id, failure: failure.text });
    }
  }
  if (left.length > 0) log.warn({ left }, 'held tables that are still in their own schema');
  return { paid, left };
}

function staysForGood({ failure }: LedgerRow): boolean {
  return failure?.todo === 'stays_file' || failure?.todo === 'stays_partitions';
}

/**
 * Takes what stays in a schema for its partitions out of it, as the schema is about to be dropped:
 * by another RENAME. What can't be moved is there still. May run twice.
 */
export async function takeOut(pool: ServicePool, schema: string): Promise<void> {
  const rows = await findRows(pool, { by: 'pending' }, { texts: false });
  for (const row of rows) {
    if (row.holdSchema !== schema || row.failure?.todo !== 'stays_partitions') continue;
    await pay(pool, row, { leaves: true }).catch(wordsOf);
  }
}

/** One that fails keeps the others from nothing. */
function wordsOf(error: unknown): Failure {
  if (!isServerError(error)) throw error;
  return { todo: 'relocate', text: error.message };
}

/** Null when paid, else what stands in the way. */
async function pay(
  pool: ServicePool,
  row: LedgerRow,
  { leaves = false }: { readonly leaves?: boolean } = {},
): Promise<Failure | null> {
  const { id, holdSchema, holdName, table, rowLogged } = row;
  if (holdSchema === null || holdName === null || parseHoldName(holdName)?.id !== id) {
    return { todo: 'relocate', text: 'the ledger has no hold name of it' };
  }
  const stays = await whyItStays(pool, { id, schema: holdSchema, name: holdName });
  const from = {
    ...{ id, fromSchema: holdSchema, holdName, table },
    stays: leaves && stays?.todo === 'stays_partitions' ? null : stays,
  };
  const [relocation] = await detachAndRelocate(pool, [from], { logged: row.sqlLogBin });
  switch (relocation?.outcome) {
    case 'moved':
      await recordOutcome(pool, {
        tables: [
          { id, holdSchema: relocation.holdSchema, holdName: relocation.holdName, relocated: true },
        ],
      });
      return null;
    case 'put-back': {
      const restoredAs = `${holdSchema}.${table}`;
      await recordState(pool, { id, state: 'restored', restoredAs, rowLogged });
      return null;
    }
    default: {
      const failure = relocation?.failure ?? NOT_TRIED;
      if (failure.todo !== row.failure?.todo || failure.text !== row.failure.text) {
        await recordState(pool, { id, state: 'HOLD', onlyFrom: 'HOLD', failure, rowLogged });
      }
      return failure;
    }
  }
}

/** Before each try; from then on the last. */
const PAUSES_MS: readonly number[] = [50, 100, 200, 400, 1_000, 2_000];
const LAST_PAUSE_MS = 5_000;
const GIVEN_UP_MS = 600_000;
/** What is more is left to whoever collects. */
const OWED_MAX = 1_000;

interface PendingRelocatorOptions {
  readonly pool: ServicePool;
  /** Drops that this process is in the middle of. */
  readonly activeIds: ReadonlySet<string>;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted: nothing more is tried. */
  readonly signal: AbortSignal;
}

/** For one server. */
export class PendingRelocator {
  readonly #options: PendingRelocatorOptions;
  /** When each is given up, in milliseconds since the epoch, by id. */
  readonly #owed = new Map<string, number>();
  #tries = 0;
  #paying: Promise<void> | null = null;

  constructor(options: PendingRelocatorOptions) {
    this.#options = options;
  }

  /** Held tables that are in the ledger as such. Resolves when nothing is owed any more. */
  owe(ids: readonly string[]): Promise<void> {
    const givenUpMs = this.#options.clock.nowMs() + GIVEN_UP_MS;
    // A series of drops that owe something each must not keep the pauses short.
    if (this.#owed.size === 0) this.#tries = 0;
    for (const id of ids) if (this.#owed.size < OWED_MAX) this.#owed.set(id, givenUpMs);
    this.#paying ??= this.#pay().finally(() => {
      this.#paying = null;
    });
    return this.#paying;
  }

  async #pay(): Promise<void> {
    const { clock, log, signal } = this.#options;
    while (this.#owed.size > 0) {
      await clock.sleep(PAUSES_MS[this.#tries++] ?? LAST_PAUSE_MS, signal);
      if (signal.aborted) return;
      try {
        await this.#try();
      } catch (error) {
        log.debug({ err: error }, 'what is still in its own schema could not be looked at');
      }
      for (const [id, givenUpMs] of this.#owed) {
        if (clock.nowMs() > givenUpMs) this.#owed.delete(id);
      }
    }
  }

  async #try(): Promise<void> {
    const { pool, activeIds, log } = this.#options;
    const only = new Set(this.#owed.keys());
    // What stays for good is not among `left`.
    const { paid, left } = await retryPending(pool, { activeIds, log: silentLog, only });
    const isLeft = new Set(left.map(({ id }) => id));
    for (const id of only) if (!isLeft.has(id)) this.#owed.delete(id);
    if (paid.length > 0) log.debug({ paid }, 'held tables were taken into the recycle schema');
  }
}
