/**
 * What the service account does for a TRUNCATE beside its RENAME: the empty copy, and afterwards
 * the foreign keys of what is held.
 *
 * Invariant: a copy that isn't used keeps no foreign key, so that the names of keys stay free.
 */

import { UndropError } from '../../errors.js';
import {
  type FingerprintOptions,
  type GhostRequest,
  type GhostTable,
  leaveGhost,
  leaveGhostsOf,
  makeGhost,
  readFingerprint,
} from '../../held/empty-copy.js';
import type { KeyedTable } from '../../held/foreign-keys/add-keys.js';
import { detach } from '../../held/foreign-keys/detach.js';
import { readTable } from '../../held/foreign-keys/read-table.js';
import { repointForeignKeys } from '../../held/foreign-keys/repointed.js';
import { hasOthers } from '../../held/relocate/spare-schema.js';
import type { Failure } from '../../ledger/entry.js';
import { createSchema } from '../../ledger/tables.js';
import { recycleSchemaFor, spareSchemasFor } from '../../names/recycle-schema.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import { isKilled, LockWaitBudget } from '../../service/pool/statement-timeout.js';
import { rootCause } from '../../steps/refusals/root-cause.js';
import { ABSENT_TABLE, ABSENT_TO_RENAME } from '../../wire/server-errors.js';

export type NotMade =
  /** Somebody has the table locked, or it was changed or gone meanwhile. */
  | { readonly kind: 'busy'; readonly isTimeout?: true }
  /** Why it can't have a copy, as it follows "by TRUNCATE". */
  | { readonly kind: 'none'; readonly why: string }
  /** `failed`: the server said so; `unserved`: the service has lost it. */
  | { readonly kind: 'failed' | 'unserved'; readonly cause: string };

/** What is compared of two tables, and the keys of this one. */
export type SeenTable = NonNullable<Awaited<ReturnType<typeof readFingerprint>>>;

export interface CopyRequest extends GhostRequest {
  /** In so many places a foreign key had the name of one of the table's. */
  readonly taken: number;
}

/** `holdSchema`: where the table is to be held. */
export type Copy = GhostTable & { readonly holdSchema: string };

async function makeCopy(pool: ServicePool, request: CopyRequest): Promise<Copy | NotMade> {
  const { id, logged } = request;
  try {
    const made = await makeGhost(pool, request);
    if (!('none' in made)) return { ...made, holdSchema: await placeFor(pool, made, request) };
    return made.none === 'missing' ? { kind: 'busy' } : { kind: 'none', why: made.none };
  } catch (error) {
    if (!(isServerError(error) || error instanceof UndropError)) throw error;
    await tolerantly(() => leaveGhostsOf(pool, id, { logged }));
    if (isKilled(error) || isServerError(error, ...ABSENT_TABLE, ...ABSENT_TO_RENAME)) {
      return { kind: 'busy' };
    }
    return { kind: isServerError(error) ? 'failed' : 'unserved', cause: rootCause(error) };
  }
}

/** Each time that a name of its keys was taken in one place, it is another, but the copy's own. */
async function placeFor(
  pool: ServicePool,
  { schema }: GhostTable,
  { id, logged, taken }: CopyRequest,
): Promise<string> {
  const spares = spareSchemasFor(logged).filter((spare) => spare !== schema);
  const spare = taken === 0 ? undefined : spares[taken - 1];
  if (spare === undefined || (await hasOthers(pool, spare, id))) return recycleSchemaFor(logged);
  await createSchema(pool, spare);
  return spare;
}

async function leaveCopy(pool: ServicePool, copy: GhostTable): Promise<void> {
  await tolerantly(() => leaveGhost(pool, copy));
}

interface Held {
  readonly place: KeyedTable;
  readonly was: NonNullable<FingerprintOptions['was']>;
  readonly logged: boolean;
  /** The copy that took its name has foreign keys. */
  readonly hasKeys: boolean;
}

/**
 * Reads what is held, then takes off it what binds others. `now` is null if nobody can say how it
 * is; `failure`: why the rest is to be done later.
 */
async function freeHeld(
  pool: ServicePool,
  { place, was, logged, hasKeys }: Held,
): Promise<{ readonly now: SeenTable | null; readonly failure: Failure | null }> {
  const now = await tolerantly(() => readFingerprint(pool, place, { was }));
  const { id, schema: fromSchema, table: holdName } = place;
  const { schema, table } = was;
  const held = { id, fromSchema, holdName, table };
  const [failure = null] = await detach(pool, [held], {
    logged,
    lockWaitBudget: new LockWaitBudget(),
  });
  if (hasKeys) await tolerantly(() => repointForeignKeys(pool, { id, schema, table }));
  return { now, failure };
}

export const SWAP_SERVICE = { readTable, makeCopy, leaveCopy, freeHeld };
export type SwapService = typeof SWAP_SERVICE;

/** What becomes of the table doesn't hang on it; null if the server or the service fails. */
async function tolerantly<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (!isServerError(error) && !(error instanceof UndropError)) throw error;
    return null;
  }
}
