/**
 * What is written behind the answer to a DROP DATABASE: that its tables are held, from then on
 * where it had to wait, and that it is over. Nobody collects any of them before.
 */

import { renewHeld } from '../../held/relocate/due-times.js';
import { endSchemaDrop, type SchemaDropKey } from '../../ledger/schema-drops.js';
import { recordOutcome } from '../../ledger/write.js';
import type { HoldTime } from '../../policy/decide.js';
import type { ServicePool } from '../../service/pool/pools.js';
import type { HeldTable } from '../../steps/refuse.js';

export interface DroppedSchema {
  readonly key: SchemaDropKey;
  readonly held: readonly HeldTable[];
  /** Of all intents of the group. */
  readonly ids: readonly string[];
  /** Of the user's session. */
  readonly sqlLogBin: boolean;
  /** Those that the drop has taken time from, by id, and how long they are to be held. */
  readonly lost: ReadonlyMap<string, HoldTime>;
}

/** May run twice. */
export async function finishDropDatabase(pool: ServicePool, dropped: DroppedSchema): Promise<void> {
  const { key, held, ids, sqlLogBin, lost } = dropped;
  const heldIds = new Set(held.map(({ id }) => id));
  const names = lost.size === 0 ? null : await renewHeld(pool, lost);
  await recordOutcome(pool, {
    tables: held.map(({ failure: _none, ...table }) => {
      return { ...table, holdName: names?.get(table.id) ?? table.holdName };
    }),
    forgotten: ids.filter((id) => !heldIds.has(id)),
    sqlLogBin,
  });
  await endSchemaDrop(pool, key);
}
