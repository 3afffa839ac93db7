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
import { isRenamedBack, renameBack, schemaExists } from './rename-back.js';

/** With their definitions, which may be long. */
const ROWS_OF_QUERY = 100;

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
  /** Tried together with others. */
  readonly #together = new Set<planning.HeldPlan>();
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

  /**
   * The table by its plan. Rejects with UNDROP_SCHEMA_MISSING, UNDROP_NAME_TAKEN,
   * UNDROP_STATISTICS_LEFT, UNDROP_NOT_HELD, UNDROP_BUSY or UNDROP_MISSING_RIGHT; then nothing was
   * changed. If the connection breaks, the same request continues.
   */
  async place(plan: planning.RestorePlan): Promise<Placed> {
    if (plan.wasBack) return this.#goOn(plan);
    return this.placed(plan, await this.#rename(plan));
  }

  /** It has its name. */
  placed(plan: planning.HeldPlan, recorded: Placed['recorded']): Placed {
    const row = this.#rows.get(plan.table.id);
    // Until it is in the recycle schema something may still be detached from it.
    const isSettled = row?.state === 'HOLD' && row.relocated && !this.#taken.has(row.id);
    const isComplete = recorded === true && isSettled && !hasDetached(row.detached);
    return { plan, recorded, isComplete };
  }

  /**
   * Records their targets, and the connection of their RENAME. Resolves to a function that takes
   * this back, if they stay held.
   */
  async mark(
    plans: readonly planning.HeldPlan[],
    owner = this.#owner,
  ): Promise<() => Promise<void>> {
    if (plans.length > 1) for (const plan of plans) this.#together.add(plan);
    const targets = plans.flatMap((plan) => this.#targetOf(plan) ?? []);
    if (targets.length > 0)
      await ledger.isWritten(() => ledger.markRestoring(this.#pool, targets, owner));
    return async () => {
      for (const target of targets)
        await ledger.isWritten(() => ledger.unmarkRestoring(this.#pool, target));
    };
  }

  /** Updates the ledger; the tables stay restored even if this fails. Null: it has none of them. */
  async record(plans: readonly planning.HeldPlan[]): Promise<Placed['recorded']> {
    const targets = plans.flatMap((plan) => this.#targetOf(plan) ?? []);
    return targets.length === 0
      ? null
      : ledger.isWritten(() => ledger.recordRestored(this.#pool, targets, this.#owner));
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
    const recorded = await ledger.isWritten(() =>
      ledger.recordRestored(this.#pool, [{ row, to }], this.#owner),
    );
    return { plan, recorded };
  }

  async #rename(plan: planning.HeldPlan): Promise<Placed['recorded']> {
    await assertPlaced(this.#pool, plan);
    const { table, to } = plan;
    const { id, holdSchema, holdName, logged } = table;
    const takeBack = await this.mark([plan]);
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
    return this.record([plan]);
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
