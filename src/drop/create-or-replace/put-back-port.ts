/**
 * The service account's work for a CREATE OR REPLACE that fails: it gives the old table its name
 * back.
 */

import { systemClock } from '../../clock.js';
import { isServiceError } from '../../connections/errors.js';
import type { ServicePool } from '../../connections/sql.js';
import { rootCause, UndropError } from '../../errors.js';
import { type Log, silentLog } from '../../log.js';
import { isFateUnknown } from '../../recycle/plan-restore.js';
import { resolveEnded } from '../../recycle/recovery/resolve-intents.js';
import { REPLACE_PAUSE_MS } from '../../tries.js';
import { triggersOfDrop } from '../steps/definitions-to-make.js';
import { restoreHeld } from '../steps/run.js';

export type PutBackPort = ReturnType<typeof putBackPort>;

export function putBackPort(pool: ServicePool, log: Log = silentLog) {
  return {
    pause: () => systemClock.sleep(REPLACE_PAUSE_MS),

    /** Triggers of a table that was put back that the service account may not make. */
    triggersToMake: (drop: Parameters<typeof triggersOfDrop>[1]) => triggersOfDrop(pool, drop),

    /**
     * False: it stays held, because another table has its name or the server refuses. Rejects with
     * UNDROP_FATE_UNKNOWN. `tables`: the start of a sentence.
     */
    async putBack({ id, tables }: { readonly id: string; readonly tables: string }) {
      try {
        await restoreHeld(pool, id, { log, why: 'was not replaced' });
        return true;
      } catch (error) {
        if (!isServiceError(error)) throw error;
        if (isFateUnknown(error)) {
          const cause = rootCause(error);
          throw new UndropError('UNDROP_FATE_UNKNOWN', { tables, cause }, error);
        }
        const what = { id, err: error };
        log.warn(what, 'cannot put back a table that was not replaced; it stays held');
        // The ledger may still have it as being restored.
        await resolveEnded(pool, [id]);
        return false;
      }
    },
  };
}
