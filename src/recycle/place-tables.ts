/**
 * Gives held tables their names: several of one request in one atomic RENAME, or each in one of its
 * own, or in exchange for the live table of that name.
 *
 * Invariants: the ledger has the target before the RENAME. The loser of a race (against the
 * collector, another restore, a DBA) changes nothing.
 */
import { UndropError } from '../errors.js';
import { hasDetached } from '../ledger/detached/detached.js';
import type { Failure, LedgerRow } from '../ledger/entry.js';
import { liveOwners } from '../ledger/owner.js';
import { findRows } from '../ledger/read.js';
import {
  markRestoring,
  recordRestored,
  type Target,
  takeOverRestore,
  unmarkRestoring,
  untold,
} from '../ledger/table-restores.js';
import { foldName, inBatches, writtenName } from '../names/names.js';
import { tolerantly } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { runWithTimeout } from '../service/pool/statement-timeout.js';
import { ident, note, sql } from '../service/sql.js';
import { RESTORE_RENAME_TRIES } from '../tries.js';
import { namesWithLeftOver, takeLeftOver } from './left-over.js';
import {
  explainRefusal,
  type HeldPlan,
  isFateUnknown,
  notSeen,
  type RestorePlan,
} from './plan-restore.js';
import { isLiveTable, isRenamedBack, renameBack, schemaExists } from './rename-back.js';

/** With their definitions, which may be long. */
const ROWS_OF_QUERY = 100;
/** A RENAME of this many tables locks them for milliseconds. */
const BATCH = 20;

/** A table of a request that has its name. */
export interface Placed extends Pick<RestorePlan, 'table' | 'to' | 'wasBack'> {
  /** False: the ledger could not be updated, recovery will do that; null: it has no row for it. */
  readonly recorded: boolean | null;
  /** Nothing was detached from it. */
  readonly isComplete?: boolean;
  /** The id of the live table that it was exchanged for; null: there was none. */
  readonly swapped?: string | null;
  /** Why a foreign key still binds that one to live tables; null: none does. */
  readonly bound?: Failure | null;
}

/** The tables of one request, and what the ledger has of them. */
export class Placing {
  readonly #pool: ServicePool;
  readonly #owner: number;
  readonly #rows = new Map<string, LedgerRow>();
  /** Parts of an interrupted statement were added to their rows. */
  readonly #taken = new Set<string>();
  /** Tried together with others. False: it failed, as far as the server said. */
  readonly #together = new Map<HeldPlan, boolean>();
  #busyTries = 1;

  /** `owner`: the connection that restores. */
  constructor(pool: ServicePool, owner: number) {
    this.#pool = pool;
    this.#owner = owner;
  }

  /** Reads their rows. Rejects with UNDROP_LEDGER_ROW if one can't be read. */
  async read(plans: readonly HeldPlan[]): Promise<void> {
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
  async renameTogether(plans: readonly HeldPlan[]): Promise<void> {
    for (const logged of [true, false]) {
      const some = plans.filter(({ table }) => table.logged === logged && !table.unseen);
      for (const batch of inBatches(some, BATCH)) {
        if (batch.length < 2) continue;
        const isDone = await this.#tryTogether(batch, logged);
        for (const plan of batch) this.#together.set(plan, isDone);
      }
    }
  }

  async #tryTogether(plans: readonly HeldPlan[], logged: boolean): Promise<boolean> {
    const targets = plans.flatMap((plan) => this.#targetOf(plan) ?? []);
    await untold(() => markRestoring(this.#pool, targets, this.#owner));
    const pairs = plans.map(({ table: { holdSchema, holdName }, to }) => {
      return sql`${ident(holdSchema, holdName)} TO ${ident(to.schema, to.table)}`;
    });
    const rename = sql`RENAME ${note('put-back', plans[0]?.table.id)} TABLE ${sql.join(pairs, ', ')}`;
    const { problem } = await tolerantly(() => runWithTimeout(this.#pool, rename, { logged }));
    if (problem !== null) return false;
    await untold(() => recordRestored(this.#pool, targets));
    return true;
  }

  /**
   * The table by its plan. Rejects with UNDROP_SCHEMA_MISSING, UNDROP_NAME_TAKEN,
   * UNDROP_STATISTICS_LEFT, UNDROP_NOT_HELD, UNDROP_BUSY or UNDROP_MISSING_RIGHT; then nothing was
   * changed. If the connection breaks, the same request continues.
   */
  async place(plan: RestorePlan): Promise<Placed> {
    if (plan.wasBack) return this.#goOn(plan);
    if (this.#together.get(plan) === true) return this.#placed(plan, true);
    try {
      return this.#placed(plan, await this.#rename(plan));
    } catch (error) {
      throw explainRefusal(error, plan);
    }
  }

  #placed(plan: HeldPlan, recorded: Placed['recorded']): Placed {
    const row = this.#rows.get(plan.table.id);
    // Until it is in the recycle schema something may still be detached from it.
    const isSettled = row?.state === 'HOLD' && row.relocated && !this.#taken.has(row.id);
    const isComplete = recorded === true && isSettled && !hasDetached(row.detached);
    return { ...plan, recorded, isComplete };
  }

  /** Records its target. Resolves to a function that takes this back, if the table stays held. */
  async mark(plan: HeldPlan): Promise<() => Promise<void>> {
    const target = this.#targetOf(plan);
    if (target === null) return async () => undefined;
    await untold(() => markRestoring(this.#pool, [target], this.#owner));
    return async () => {
      await untold(() => unmarkRestoring(this.#pool, target));
    };
  }

  /** Updates the ledger; the table stays restored even if this fails. */
  async record(plan: HeldPlan): Promise<Placed['recorded']> {
    const target = this.#targetOf(plan);
    return target === null ? null : untold(() => recordRestored(this.#pool, [target]));
  }

  #targetOf({ table: { id }, to }: HeldPlan): Target | null {
    const row = this.#rows.get(id);
    return row === undefined ? null : { row, to };
  }

  /** Continues a restore without an owner. */
  async #goOn(plan: Extract<RestorePlan, { wasBack: true }>): Promise<Placed> {
    const { row, to } = plan;
    const cause = 'its restore is being finished';
    const busy = () => new UndropError('UNDROP_BUSY', { table: writtenName(to), cause });
    if ((await liveOwners(this.#pool, [row])).size > 0) throw busy();
    if (!(await takeOverRestore(this.#pool, row, this.#owner))) throw busy();
    const recorded = await untold(() => recordRestored(this.#pool, [{ row, to }]));
    return { ...plan, recorded };
  }

  async #rename(plan: HeldPlan): Promise<Placed['recorded']> {
    await assertPlaced(this.#pool, plan);
    const { table, to } = plan;
    const { id, holdSchema, holdName, logged } = table;
    const takeBack = await this.mark(plan);
    const what = { id, holdSchema, to };
    for (let tries = 1; ; tries++) {
      try {
        await renameBack(this.#pool, { ...what, holdName, logged });
        break;
      } catch (error) {
        const code = error instanceof UndropError ? error.code : null;
        if (code === 'UNDROP_BUSY' && tries < this.#busyTries) continue;
        // A KILL that hits the RENAME of several at its end returns 1317 although it is done.
        const isRepeated = tries > 1 || this.#together.has(plan);
        const mayBeBack = isFateUnknown(error) || (isRepeated && MAY_BE_BACK.has(code));
        const look = async () => [mayBeBack && (await isRenamedBack(this.#pool, what))];
        if ((await tolerantly(look)).value.includes(true)) break;
        if (!isFateUnknown(error)) await takeBack();
        throw error;
      }
    }
    return this.record(plan);
  }
}

/** MySQL looks for the new name first, MariaDB for the old one. */
const MAY_BE_BACK: ReadonlySet<string | null> = new Set(['UNDROP_NOT_HELD', 'UNDROP_NAME_TAKEN']);

/** The table is seen, and the schema that it gets into exists. */
async function assertPlaced(
  pool: ServicePool,
  { table, to: { schema } }: Pick<HeldPlan, 'table' | 'to'>,
): Promise<void> {
  if (table.unseen) throw notSeen(table);
  if (await schemaExists(pool, schema)) return;
  throw new UndropError('UNDROP_SCHEMA_MISSING', { id: table.id, schema });
}

/**
 * For a dry run: returns the plan, or its refusal, as far as a read can tell.
 */
export function previewing(
  pool: ServicePool,
  { swaps }: { readonly swaps: boolean },
): (plan: RestorePlan) => Promise<RestorePlan> {
  const given = new Set<string>();
  return async (plan) => {
    if (plan.wasBack) return plan;
    const { id } = plan.table;
    const { schema, table } = plan.to;
    await assertPlaced(pool, plan);
    const isLive = !swaps && (await isLiveTable(pool, { id, ...plan.to }));
    const name = `${schema}.${table}`;
    if (isLive || given.has(name)) throw new UndropError('UNDROP_NAME_TAKEN', { id, table: name });
    given.add(name);
    return plan;
  };
}
