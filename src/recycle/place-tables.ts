/**
 * Gives held tables their names: several of one request in one atomic RENAME, or each in one of its
 * own, or in exchange for the live table of that name.
 *
 * Invariants: the ledger has the target before the RENAME. The loser of a race (against the
 * collector, another restore, a DBA) changes nothing.
 */

import { tolerantly } from '../connections/errors.js';
import type { ServicePool } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import { hasDetached } from '../ledger/detached/detached.js';
import type { LedgerRow, PendingWork } from '../ledger/entry.js';
import { liveOwners } from '../ledger/owner.js';
import { findRows } from '../ledger/read.js';
import * as ledger from '../ledger/table-restores.js';
import { foldName, inBatches, writtenName } from '../names/names.js';
import { RESTORE_RENAME_TRIES } from '../tries.js';
import { namesWithLeftOver, takeLeftOver } from './left-over.js';
import * as planning from './plan-restore.js';
import { isRenamedBack, renameAllBack, renameBack, schemaExists } from './rename-back.js';

/** With their definitions, which may be long. */
const ROWS_OF_QUERY = 100;
/** A RENAME of this many tables locks them for milliseconds. */
const BATCH = 20;

/** How a table of a request has got its name. */
export interface Placed {
  readonly plan: planning.RestorePlan;
  /** False: the ledger could not be updated, recovery will do that; null: it has no row for it. */
  readonly recorded: boolean | null;
  /** Nothing was detached from it. */
  readonly isComplete?: boolean;
  /** The id of the live table that it was exchanged for; null: there was none. */
  readonly swapped?: string | null;
  /** The work that is left on that one, as for a key of a live table; null: none. */
  readonly left?: PendingWork | null;
}

/** The tables of one request, and what the ledger has of them. */
export class Placing {
  readonly #pool: ServicePool;
  readonly #owner: number;
  readonly #rows = new Map<string, LedgerRow>();
  /** Parts of an interrupted statement were added to their rows. */
  readonly #taken = new Set<string>();
  /** Tried together with others. False: it failed, as far as the server said. */
  readonly #together = new Map<planning.HeldPlan, boolean>();
  #busyTries = 1;

  /** `owner`: the connection that restores. */
  constructor(pool: ServicePool, owner: number) {
    this.#pool = pool;
    this.#owner = owner;
  }

  /** Reads their rows. Rejects with UNDROP_LEDGER_ROW if one can't be read. */
  async read(plans: readonly planning.HeldPlan[]): Promise<void> {
    if (plans.length > 1) this.#busyTries = RESTORE_RENAME_TRIES;
    for (const some of inBatches(plans, ROWS_OF_QUERY)) {
      const ids = some.map(({ table }) => table.id);
      const found = await tolerantly(() => findRows(this.#pool, { by: 'ids', ids }));
      const { error } = found;
      if (error instanceof UndropError && error.code === 'UNDROP_LEDGER_ROW') throw error;
      for (const row of found.value) this.#rows.set(row.id, row);
    }
    const schemas = new Set([...this.#rows.values()].map(({ schema }) => schema));
    const isOne = plans.length < 2;
    for (const schema of schemas) {
      const names = isOne ? null : await namesWithLeftOver(this.#pool, schema);
      for (const row of this.#rows.values()) {
        const mayHave = row.schema === schema && names?.has(foldName(row.table)) !== false;
        if (mayHave && (await takeLeftOver(this.#pool, row))) this.#taken.add(row.id);
      }
    }
  }

  /** Several by a few RENAMEs; those that fail are left to `place`, which finds out why. */
  async renameTogether(plans: readonly planning.HeldPlan[]): Promise<void> {
    for (const logged of [true, false]) {
      const some = plans.filter(({ table }) => table.logged === logged && !table.unseen);
      for (const batch of inBatches(some, BATCH)) {
        if (batch.length < 2) continue;
        const isDone = await this.#tryTogether(this.#pool.logging(logged), batch);
        for (const plan of batch) this.#together.set(plan, isDone);
      }
    }
  }

  async #tryTogether(inLog: ServicePool, plans: readonly planning.HeldPlan[]): Promise<boolean> {
    const targets = plans.flatMap((plan) => this.#targetOf(plan) ?? []);
    await ledger.isWritten(() => ledger.markRestoring(this.#pool, targets, this.#owner));
    const all = plans.map(({ table, to }) => ({ ...table, to }));
    const { problem } = await tolerantly(() => renameAllBack(inLog, all));
    if (problem !== null) return false;
    await ledger.isWritten(() => ledger.recordRestored(this.#pool, targets));
    return true;
  }

  /**
   * The table by its plan. Rejects with UNDROP_SCHEMA_MISSING, UNDROP_NAME_TAKEN,
   * UNDROP_STATISTICS_LEFT, UNDROP_NOT_HELD, UNDROP_BUSY or UNDROP_MISSING_RIGHT; then nothing was
   * changed. If the connection breaks, the same request continues.
   */
  async place(plan: planning.RestorePlan): Promise<Placed> {
    if (plan.wasBack) return this.#goOn(plan);
    const isDone = this.#together.get(plan) === true;
    return this.#placed(plan, isDone || (await this.#rename(plan)));
  }

  #placed(plan: planning.HeldPlan, recorded: Placed['recorded']): Placed {
    const row = this.#rows.get(plan.table.id);
    // Until it is in the recycle schema something may still be detached from it.
    const isSettled = row?.state === 'HOLD' && row.relocated && !this.#taken.has(row.id);
    const isComplete = recorded === true && isSettled && !hasDetached(row.detached);
    return { plan, recorded, isComplete };
  }

  /** Records its target. Resolves to a function that takes this back, if the table stays held. */
  async mark(plan: planning.HeldPlan): Promise<() => Promise<void>> {
    const target = this.#targetOf(plan);
    if (target === null) return async () => undefined;
    await ledger.isWritten(() => ledger.markRestoring(this.#pool, [target], this.#owner));
    return async () => {
      await ledger.isWritten(() => ledger.unmarkRestoring(this.#pool, target));
    };
  }

  /** Updates the ledger; the table stays restored even if this fails. */
  async record(plan: planning.HeldPlan): Promise<Placed['recorded']> {
    const target = this.#targetOf(plan);
    return target === null
      ? null
      : ledger.isWritten(() => ledger.recordRestored(this.#pool, [target]));
  }

  #targetOf({ table: { id }, to }: planning.HeldPlan): ledger.Target | null {
    const row = this.#rows.get(id);
    return row === undefined ? null : { row, to };
  }

  /** Continues a restore without an owner. */
  async #goOn(plan: Extract<planning.RestorePlan, { wasBack: true }>): Promise<Placed> {
    const { row, to } = plan;
    const cause = 'its restore is being finished';
    const busy = () => new UndropError('UNDROP_BUSY', { table: writtenName(to), cause });
    if ((await liveOwners(this.#pool, [row])).size > 0) throw busy();
    if (!(await ledger.takeOverRestore(this.#pool, row, this.#owner))) throw busy();
    const recorded = await ledger.isWritten(() => ledger.recordRestored(this.#pool, [{ row, to }]));
    return { plan, recorded };
  }

  async #rename(plan: planning.HeldPlan): Promise<Placed['recorded']> {
    await assertPlaced(this.#pool, plan);
    const { table, to } = plan;
    const { id, holdSchema, holdName, logged } = table;
    const takeBack = await this.mark(plan);
    const what = { id, holdSchema, to };
    for (let tries = 1; ; tries++) {
      try {
        await renameBack(this.#pool.logging(logged), { ...what, holdName });
        break;
      } catch (error) {
        const code = error instanceof UndropError ? error.code : null;
        if (code === 'UNDROP_BUSY' && tries < this.#busyTries) continue;
        // A KILL that hits the RENAME of several at its end returns 1317 although it is done.
        const isRepeated = tries > 1 || this.#together.has(plan);
        const mayBeBack = planning.isFateUnknown(error) || (isRepeated && MAY_BE_BACK.has(code));
        const look = async () => [mayBeBack && (await isRenamedBack(this.#pool, what))];
        if ((await tolerantly(look)).value.includes(true)) break;
        if (!planning.isFateUnknown(error)) await takeBack();
        throw error;
      }
    }
    return this.record(plan);
  }
}

/** MySQL looks for the new name first, MariaDB for the old one. */
const MAY_BE_BACK: ReadonlySet<string | null> = new Set(['UNDROP_NOT_HELD', 'UNDROP_NAME_TAKEN']);

/** The table is seen, and the schema that it gets into exists. */
export async function assertPlaced(
  pool: ServicePool,
  { table, to: { schema } }: Pick<planning.HeldPlan, 'table' | 'to'>,
): Promise<void> {
  if (table.unseen) throw planning.notSeen(table);
  if (await schemaExists(pool, schema)) return;
  throw new UndropError('UNDROP_SCHEMA_MISSING', { id: table.id, schema });
}
