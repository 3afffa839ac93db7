/**
 * Writes the end of a DROP DATABASE into the ledger after its answer: its tables are held, for the
 * whole time from now on if it had to wait, and then the drop is over.
 */
import { renewHeld } from '../../held/relocate/due-times.js';
import { endSchemaDrop, type SchemaDropKey } from '../../ledger/schema-drops.js';
import type { HoldTime } from '../../policy/decide.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { type Intents, type RetryOptions, retryUntilWritten } from '../../steps/intents.js';
import type { HeldTable } from '../../steps/procedure.js';

interface Ended {
  readonly pool: ServicePool;
  readonly key: SchemaDropKey;
  readonly intents: Intents;
  readonly held: readonly HeldTable[];
  /** How long each of them is to be held from now on. */
  readonly holds: ReadonlyMap<string, HoldTime>;
}

/** Rejects if it is time to stop: recovery has the rest then. */
export async function finishSchemaDrop(
  { pool, key, intents, held, holds }: Ended,
  options: Pick<RetryOptions, 'stopping' | 'onLate'>,
): Promise<void> {
  let names: ReadonlyMap<string, string> = new Map();
  await retryUntilWritten(async () => {
    names = await renewHeld(pool, holds);
  }, options);
  const renewed = held.map((table) => {
    return { ...table, holdName: names.get(table.id) ?? table.holdName };
  });
  await intents.finish(renewed, options.onLate);
  // Nobody collects any of them before.
  await retryUntilWritten(() => endSchemaDrop(pool, key), options);
}
