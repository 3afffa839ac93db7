/**
 * What a CREATE OR REPLACE has taken its name from, one table after the other, until it is known
 * whether they are replaced: they go their way then, or the first is put back.
 *
 * Invariant: until then their intents stay intents, so that the collector leaves them, however soon
 * they are due; and what isn't replaced and isn't back is held for UNDROP_HOLD at least.
 */
import type { DropResult } from '../drop/drop-options.js';
import type { HeldTable } from '../drop/next-step.js';
import { UndropError } from '../errors.js';
import { recordOutcome } from '../ledger/write.js';
import { keepLonger } from '../moves/renew.js';
import { isServerError } from '../service/pools.js';
import { problemsOf } from '../undo/come-back.js';
import { restore } from '../undo/run-restore.js';
import type { InterceptOptions } from './intercept.js';

interface Replaced {
  readonly result: DropResult;
  /** As they are held by now. */
  readonly held: readonly HeldTable[];
  readonly isBack: boolean;
}

export class ReplacedTables {
  readonly #service: InterceptOptions['service'];
  #all: readonly Replaced[] = [];

  constructor(service: InterceptOptions['service']) {
    this.#service = service;
  }

  add(result: DropResult): void {
    this.#all = [...this.#all, { result, held: result.held, isBack: false }];
  }

  /** Those that stay held. */
  get dropped(): readonly Pick<Replaced, 'result' | 'held'>[] {
    return this.#all.filter(({ isBack }) => !isBack);
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
  async putBack(): Promise<boolean> {
    const first = this.#all.find(({ held }) => held.length > 0);
    const [held] = first?.held ?? [];
    if (first === undefined || held === undefined) return false;
    const { pool, log } = this.#service;
    try {
      const report = await restore(pool, { target: held.id });
      const what = { id: held.id, tables: first.result.tables };
      const problems = problemsOf(report);
      if (problems.length === 0) log?.info(what, 'a table that was not replaced is back');
      else log?.warn({ ...what, problems }, 'a table that was not replaced is back, not whole');
    } catch (error) {
      if (!isServerError(error) && !(error instanceof UndropError)) throw error;
      log?.warn({ id: held.id, err: error }, 'a table that was not replaced stays held');
      return false;
    }
    this.#all = this.#all.map((one) => (one === first ? { ...one, isBack: true } : one));
    return true;
  }

  /** Writes what became of each; of one that is back the ledger knows it by now. */
  async finish(onLate?: (error: Error) => void): Promise<void> {
    await Promise.all(this.#all.map((one) => this.#finishOne(one, onLate)));
  }

  async #finishOne(
    { result, held }: Replaced,
    onLate: ((error: Error) => void) | undefined,
  ): Promise<void> {
    await result.finish(onLate);
    if (held === result.held) return;
    const tables = held.map(({ failure, ...table }) =>
      failure === null ? table : { ...table, failure },
    );
    await recordOutcome(this.#service.pool, { tables, forgotten: [] });
  }
}
