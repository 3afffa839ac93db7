/**
 * Undoes the RENAME of a drop whose tables a foreign key would bind to live ones while they are
 * held: all of them get their own names again, with their detached parts. The intents are forgotten
 * with the response, which is a refusal.
 *
 * Invariant: a table that can't be put back stays held, and the response names it.
 */
import { systemClock } from '../clock.js';
import { UndropError } from '../errors.js';
import type { Relocation } from '../held/relocate/relocate.js';
import { bindingOf } from '../held/relocate/until-free.js';
import { type Log, silentLog } from '../log.js';
import { problemsOf } from '../restore/make-whole.js';
import { restore } from '../restore/restore.js';
import { isServiceError } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { PUT_BACK, pauseBefore } from '../tries.js';

/** `put-back` in place of held tables. In order; does not reject. */
export async function putBack(
  pool: ServicePool,
  relocations: readonly Relocation[],
  log: Log = silentLog,
): Promise<readonly Relocation[]> {
  const why = relocations.flatMap((one) => bindingOf(one)?.text ?? [])[0] ?? '';
  const endMs = performance.now() + PUT_BACK.givenUpMs;
  const all = [...relocations];
  // Parents mostly come after their children.
  for (let index = all.length - 1; index >= 0; index--) {
    const relocation = all[index];
    if (relocation === undefined || relocation.outcome === 'put-back') continue;
    const { id } = relocation;
    const isBack = await tryToRestore(pool, id, { endMs, log });
    if (isBack) all[index] = { id, outcome: 'put-back', why };
  }
  return all;
}

async function tryToRestore(
  pool: ServicePool,
  id: string,
  { endMs, log }: { readonly endMs: number; readonly log: Log },
): Promise<boolean> {
  for (;;) {
    try {
      const report = await restore(pool, { target: id });
      const problems = problemsOf(id, report);
      const what = { id, table: report.restoredAs, problems };
      if (problems.length === 0) log.info(what, 'put back a table that could not be held');
      else log.warn(what, 'put back a table that could not be held, but not completely');
      return true;
    } catch (error) {
      if (!isServiceError(error)) throw error;
      const isBusy = error instanceof UndropError && error.code === 'UNDROP_BUSY';
      if (!isBusy || performance.now() > endMs) {
        log.warn({ id, err: error }, 'cannot put back a table; it stays held');
        return false;
      }
      await systemClock.sleep(pauseBefore(PUT_BACK, 0));
    }
  }
}
