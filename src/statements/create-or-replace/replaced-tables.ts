/**
 * What a CREATE OR REPLACE has taken its name from, one table after the other, until it is known
 * whether they are replaced: they go their way then, or the first is put back.
 *
 * Invariant: until then their intents stay intents, so that the collector leaves them, however soon
 * they are due; and what isn't replaced and isn't back is held for UNDROP_HOLD at least.
 */

import { UndropError } from '../../errors.js';
import { finishRestore, problemsOf } from '../../held/finish-restore.js';
import { keepLonger } from '../../held/relocate/due-times.js';
import { findRows } from '../../ledger/read.js';
import { recordOutcome } from '../../ledger/write.js';
import { resolveEnded } from '../../recovery/resolve-intents.js';
import { isServerError } from '../../service/pool/pools.js';
import type { DropResult } from '../../steps/drop-options.js';
import type { HeldTable } from '../../steps/refuse.js';
import { retryUntilWritten } from '../../steps/retry-until-written.js';
import { isFateUnknown, restore } from '../../undo/run-restore.js';
import type { InterceptOptions } from '../intercepted.js';

interface Replaced {
  readonly result: DropResult;
  /** As they are held by now. */
  readonly held: readonly HeldTable[];
  readonly fate: PutBackEnd['fate'];
  /** Whether it was to be put back: then the ledger may say that more is to come. */
  readonly wasTried: boolean;
}

/** Unknown: the connection broke, or there was no answer in time. */
export type PutBackEnd =
  | { readonly fate: 'back' | 'held' }
  | { readonly fate: 'unknown'; readonly error: unknown };

export class ReplacedTables {
  readonly #service: InterceptOptions['service'];
  #all: readonly Replaced[] = [];

  constructor(service: InterceptOptions['service']) {
    this.#service = service;
  }

  add(result: DropResult): void {
    this.#all = [...this.#all, { result, held: result.held, fate: 'held', wasTried: false }];
  }

  /** Those that stay held, as far as anybody knows. */
  get dropped(): readonly Pick<Replaced, 'result' | 'held'>[] {
    return this.#all.filter(({ fate }) => fate === 'held');
  }

  /** They are not replaced: none of them goes sooner than by UNDROP_HOLD. */
  async keep(): Promise<void> {
    const { pool, holdMs } = this.#service;
    const kept: Replaced[] = [];
    for (const one of this.#all) {
      const { facts } = one.result;
      const how = { holdMs, logged: facts?.logged ?? true };
      kept.push({ ...one, held: await keepLonger(pool, one.held, how) });
    }
    this.#all = kept;
  }

  /**
   * Under its own name, where that is free; else it stays held. It is the first that had the name:
   * who took it meanwhile would natively have waited.
   */
  async renameBack(): Promise<PutBackEnd> {
    const first = this.#all.find(({ held }) => held.length > 0);
    const [held] = first?.held ?? [];
    if (first === undefined || held === undefined) return { fate: 'held' };
    const end = await this.#restore(first.result, held);
    const tried = { ...first, fate: end.fate, wasTried: true };
    this.#all = this.#all.map((one) => (one === first ? tried : one));
    return end;
  }

  async #restore(result: DropResult, held: HeldTable): Promise<PutBackEnd> {
    const { pool, log } = this.#service;
    const what = { id: held.id, tables: result.tables };
    try {
      const report = await restore(pool, { target: held.id });
      const problems = problemsOf(report);
      if (problems.length === 0) log?.info(what, 'a table that was not replaced is back');
      else log?.warn({ ...what, problems }, 'a table that was not replaced is back, not whole');
    } catch (error) {
      if (!isServerError(error) && !(error instanceof UndropError)) throw error;
      const isUnknown = isFateUnknown(error);
      const where = isUnknown ? 'is back, or held' : 'stays held';
      log?.warn({ ...what, err: error }, `a table that was not replaced ${where}`);
      return isUnknown ? { fate: 'unknown', error } : { fate: 'held' };
    }
    return { fate: 'back' };
  }

  /** Writes what became of each. */
  async finish(onLate?: (error: Error) => void): Promise<void> {
    await Promise.all(this.#all.map((one) => this.#finishOne(one, onLate)));
  }

  async #finishOne(
    { result, held, fate, wasTried }: Replaced,
    onLate: ((error: Error) => void) | undefined,
  ): Promise<void> {
    const { stopping } = this.#service;
    try {
      if (wasTried)
        await retryUntilWritten(() => this.#endRestore(result, fate), { stopping, onLate });
    } finally {
      await result.finish(onLate);
    }
    if (held === result.held || fate !== 'held') return;
    await recordOutcome(this.#service.pool, { tables: held, forgotten: [] });
  }

  /** Looks where it is, unless that is known, and ends what was begun. */
  async #endRestore({ held, tables }: DropResult, fate: PutBackEnd['fate']): Promise<void> {
    const { pool } = this.#service;
    const ids = held.map(({ id }) => id);
    const intents = await findRows(pool, { by: 'intent', only: ids }, { texts: false });
    const unsure = intents.filter(
      ({ failure }) => fate !== 'held' || failure?.todo === 'restoring',
    );
    await resolveEnded(
      pool,
      unsure.map(({ id }) => id),
    );
    for (const id of ids) {
      if (await finishRestore(pool, id)) continue;
      const cause = 'what belongs to it is still to come';
      throw new UndropError('UNDROP_BUSY', { table: tables.join(', '), cause });
    }
  }
}
