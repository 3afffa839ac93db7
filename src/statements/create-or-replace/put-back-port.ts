/**
 * The service account's work for a CREATE OR REPLACE that fails: it gives the old table its name
 * back.
 */

import { systemClock } from '../../clock.js';
import { UndropError } from '../../errors.js';
import type { Log } from '../../log.js';
import { resolveEnded } from '../../recovery/resolve-intents.js';
import { problemsOf } from '../../recycle/make-whole.js';
import { isFateUnknown } from '../../recycle/plan-restore.js';
import { restore } from '../../recycle/restore.js';
import { isServiceError } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { triggersOfDrop } from '../../steps/definitions-to-make.js';
import type { DefinitionToMake } from '../../steps/make-definitions.js';
import { rootCause } from '../../steps/refusals/refusals.js';
import { REPLACE_PAUSE_MS } from '../../tries.js';

export interface PutBackPort {
  pause(): Promise<void>;
  /** Triggers of a table that was put back that the service account may not make. */
  triggersToMake(drop: Dropped): Promise<readonly DefinitionToMake[]>;
  /**
   * False: it stays held, because another table has its name or the server refuses. Rejects with
   * UNDROP_FATE_UNKNOWN. `tables`: the start of a sentence.
   */
  putBack(table: { readonly id: string; readonly tables: string }): Promise<boolean>;
}

type Dropped = Parameters<typeof triggersOfDrop>[1];

export function putBackPort(pool: ServicePool, log: Log | undefined): PutBackPort {
  return {
    pause: () => systemClock.sleep(REPLACE_PAUSE_MS),

    triggersToMake: (drop) => triggersOfDrop(pool, drop),

    async putBack({ id, tables }) {
      try {
        const report = await restore(pool, { target: id });
        const problems = problemsOf(id, report);
        const what = { id, table: report.restoredAs, problems };
        if (problems.length === 0) log?.info(what, 'put back a table that was not replaced');
        else log?.warn(what, 'put back a table that was not replaced, but not completely');
        return true;
      } catch (error) {
        if (!isServiceError(error)) throw error;
        if (isFateUnknown(error)) {
          const cause = rootCause(error);
          throw new UndropError('UNDROP_FATE_UNKNOWN', { tables, cause }, error);
        }
        log?.warn(
          { id, err: error },
          'cannot put back a table that was not replaced; it stays held',
        );
        // The ledger may still have it as being restored.
        await resolveEnded(pool, [id]);
        return false;
      }
    },
  };
}
