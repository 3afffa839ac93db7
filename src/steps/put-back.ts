/**
 * Undoes the RENAME of a drop whose tables a foreign key would bind to live ones while they are
 * held: all of them get their own names again, with what was taken off them. The intents are
 * forgotten with the answer, which is a refusal.
 *
 * Invariant: what can't be put back stays held, and the answer says so.
 */
import { systemClock } from '../clock.js';
import { UndropError } from '../errors.js';
import { problemsOf } from '../held/finish-restore.js';
import type { Relocation } from '../held/relocate/relocate.js';
import { bindingOf } from '../held/relocate/until-free.js';
import { type Log, silentLog } from '../log.js';
import { isServiceError, type ServicePool } from '../service/pool/pools.js';
import { restore } from '../undo/run-restore.js';

/** Others that have a table locked are waited for so long. */
const WAIT_MS = 5_000;
const PAUSE_MS = 100;

/** `put-back` in place of what is held. In order; does not reject. */
export async function putBack(
  pool: ServicePool,
  relocations: readonly Relocation[],
  log: Log = silentLog,
): Promise<readonly Relocation[]> {
  const why = relocations.flatMap((one) => bindingOf(one)?.text ?? [])[0] ?? '';
  const endMs = performance.now() + WAIT_MS;
  const all = [...relocations];
  // Parents mostly stand behind their children.
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
      if (problems.length === 0) log.info(what, 'a table that could not be held is back');
      else log.warn(what, 'a table that could not be held is back, not whole');
      return true;
    } catch (error) {
      if (!isServiceError(error)) throw error;
      const isBusy = error instanceof UndropError && error.code === 'UNDROP_BUSY';
      if (!isBusy || performance.now() > endMs) {
        log.warn({ id, err: error }, 'a table that should be put back stays held');
        return false;
      }
      await systemClock.sleep(PAUSE_MS);
    }
  }
}
