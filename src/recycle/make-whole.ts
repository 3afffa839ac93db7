/**
 * The steps after the RENAME of a restore: the table's CHECKs, foreign keys and triggers, so far as
 * they were detached. The ledger marks the restore before, so that an interrupted one can be
 * finished.
 *
 * Invariant: the table keeps its name and its rows, whatever fails here.
 */

import { tolerantly } from '../connections/errors.js';
import type { ServicePool } from '../connections/sql.js';
import type { Reattached, ReattachedKey, ReattachOptions } from '../held/foreign-keys/reattach.js';
import { mayPass, placeKeys, reattach, reattachOwnKeys } from '../held/foreign-keys/reattach.js';
import { reattachChecks } from '../held/relocate/checks.js';
import {
  missingScript,
  type ReattachedTrigger,
  reattachTriggers,
  withoutTriggers,
} from '../held/triggers/reattach-triggers.js';
import type { ForeignKey } from '../ledger/detached/detached.js';
import type { LedgerRow } from '../ledger/entry.js';
import { liveOwners } from '../ledger/owner.js';
import { findRows, findRowsIfAny, type KeyParents } from '../ledger/read.js';
import { findDroppedSchemas } from '../ledger/schema-restores.js';
import { asRestorer, isWritten, leaveRestore, takeOverRestore } from '../ledger/table-restores.js';
import type { QualifiedTable } from '../names/names.js';
import { findRestoring, isUnfinished } from './rename-back.js';

export interface ReattachReport {
  /** The detached CHECKs, each with its result. */
  readonly checks: readonly Reattached[];
  /** Its own detached foreign keys, each with its result. */
  readonly foreignKeys: readonly ReattachedKey[];
  /** Why its foreign keys aren't known, or null. */
  readonly foreignKeysProblem: string | null;
  /** The same for its triggers. */
  readonly triggers: readonly ReattachedTrigger[];
  readonly triggersProblem: string | null;
  /** Some of it is left for a later try. */
  readonly isToCome: boolean;
  /**
   * The script of the triggers that this account may not create, for a plain client; null: none.
   */
  readonly triggersToMake: string | null;
}

export const NOTHING_REATTACHED: ReattachReport = {
  checks: [],
  foreignKeys: [],
  foreignKeysProblem: null,
  triggers: [],
  triggersProblem: null,
  isToCome: false,
  triggersToMake: null,
};

/** A sentence for each part that could not be reattached. */
export function problemsOf(id: string, cameBack: ReattachReport): readonly string[] {
  const { checks, foreignKeys, foreignKeysProblem, triggers, triggersProblem } = cameBack;
  const named = (kind: string, some: readonly Reattached[]) =>
    some.map(({ name, problem }) => (problem === null ? null : `${kind} ${name}: ${problem}`));
  const others = triggers.filter(({ isMissing }) => !isMissing);
  const missing = withoutTriggers(id, triggers)?.text ?? null;
  const each = [...named('CHECK', checks), ...named('foreign key', foreignKeys)];
  const problems = [missing, foreignKeysProblem, triggersProblem, ...each];
  return [...problems, ...named('trigger', others)].flatMap((problem) => problem ?? []);
}

const NO_ROW = 'the ledger has no row for it';

/** Reattaches the detached parts to a restored table; may run twice. */
export async function makeWhole(
  pool: ServicePool,
  how: Pick<ReattachOptions, 'id' | 'wholeSchema' | 'anyParent'>,
  restoredAs: QualifiedTable,
): Promise<ReattachReport> {
  const found = await tolerantly(() => findRows(pool, { by: 'id', prefix: how.id }));
  const [row] = found.value;
  if (row === undefined) {
    const problem = found.problem ?? NO_ROW;
    const problems = { foreignKeysProblem: problem, triggersProblem: problem };
    return { ...NOTHING_REATTACHED, ...problems, isToCome: true };
  }
  const { schema, table, detached } = row;
  const origin = { schema, table };
  const options: ReattachOptions = { ...how, origin, restoredAs, detached, dropped: row };
  const inLog = pool.logging(row.sqlLogBin);
  const checks = await reattachChecks(inLog, options);
  const keys = await tolerantly(() => reattach(inLog, options));
  // After the keys, because the effect of a trigger on rows can't be checked before they are there.
  const triggers = await tolerantly(() => reattachTriggers(inLog, options));
  const all = [...checks, ...keys.value, ...triggers.value];
  const isUndone = keys.problem !== null || triggers.problem !== null;
  const isToCome = isUndone || all.some(({ problem }) => mayPass(problem));
  const pendingWork = withoutTriggers(row.id, triggers.value);
  const cameBack = {
    checks,
    foreignKeys: keys.value,
    foreignKeysProblem: keys.problem,
    triggers: triggers.value,
    triggersProblem: triggers.problem,
    isToCome,
    triggersToMake: pendingWork === null ? null : scriptOf(row, restoredAs, triggers.value),
  };
  await leave(pool, row, { cameBack, at: restoredAs });
  return cameBack;
}

/** Leaves to recovery what may succeed later; for the rest, records the reason in the row. */
async function leave(
  pool: ServicePool,
  row: LedgerRow,
  { cameBack, at }: { readonly cameBack: ReattachReport; readonly at: QualifiedTable },
): Promise<void> {
  const problems = problemsOf(row.id, cameBack);
  if (problems.length === 0 && !isUnfinished(row)) return;
  const text = problems.join('; ');
  await isWritten(async () => {
    if (problems.length === 0) return leaveRestore(pool, row, null);
    const isLater = cameBack.isToCome || (await isBeingEmptied(pool, at));
    const lacking = withoutTriggers(row.id, cameBack.triggers)?.todo;
    const waiting = cameBack.foreignKeys.some(({ isAwaiting }) => isAwaiting) ? 'keys' : null;
    const todo = isLater ? 'restoring' : (lacking ?? waiting);
    return leaveRestore(pool, row, { todo, text });
  });
}

/**
 * Whether a table that was dropped there has still to be moved out: until then it may have the name
 * of a key or trigger, as the other table of a swap.
 */
async function isBeingEmptied(pool: ServicePool, { schema }: QualifiedTable): Promise<boolean> {
  const how = { texts: false };
  const intents = await findRows(pool, { by: 'intent' }, how);
  const pending = await findRows(pool, { by: 'pending' }, how);
  return [...intents, ...pending].some(
    (row) =>
      (row.holdSchema ?? row.schema) === schema && !row.pendingWork?.todo?.startsWith('blocked'),
  );
}

function scriptOf(
  { detached }: LedgerRow,
  at: QualifiedTable,
  found: readonly ReattachedTrigger[],
): string {
  const missing = new Set(found.flatMap(({ name, isMissing }) => (isMissing ? [name] : [])));
  const triggers = detached.triggers.filter(({ name }) => missing.has(name));
  return missingScript({ at, triggers });
}

/** Rows whose table may be restored but incomplete. */
const MAY_BE_BACK: readonly LedgerRow['state'][] = ['HOLD', 'restored', 'gone'];

/** The name of a table that is no longer held, if its restore was interrupted. */
export async function unfinishedName(
  pool: ServicePool,
  { id, state }: LedgerRow,
): Promise<QualifiedTable | null> {
  if (!MAY_BE_BACK.includes(state)) return null;
  const [row] = await findRows(pool, { by: 'id', prefix: id });
  return row === undefined ? null : findRestoring(pool, row);
}

/** Continues an interrupted restore. False: some of it is left for a later try. */
export async function finishRestore(pool: ServicePool, id: string): Promise<boolean> {
  const [row] = await findRows(pool, { by: 'id', prefix: id });
  const at = row === undefined ? null : await findRestoring(pool, row);
  if (row === undefined || at === null) return true;
  // A table of an intent is put back, and so are those that were dropped with it.
  const how = { ...(await ofItsSchema(pool, row, at)), anyParent: row.state === 'intent' };
  await makeWhole(pool, { id, ...how }, at);
  const [now] = await findRows(pool, { by: 'id', prefix: id }, { texts: false });
  return now?.pendingWork?.todo !== 'restoring';
}

/**
 * If the table came back with its whole schema, perhaps under another name, its keys lead there.
 */
async function ofItsSchema(
  pool: ServicePool,
  { dropId }: LedgerRow,
  { schema }: QualifiedTable,
): Promise<Pick<ReattachOptions, 'wholeSchema'>> {
  const [drop] = await findDroppedSchemas(pool, { dropId });
  return { wholeSchema: drop?.restoredAs === schema };
}

// ── keys that wait for their parent ──────────────────────────────────────────────────────────────
// A key is left out while another table has the name of its parent (held/foreign-keys/reattach.ts),
// and added when the parent has its name again: by the restore of the parent, or by recovery.
//
// Invariant: it is added only to the table that was restored, if that has not been altered since.

/**
 * Adds those to `parents`, or all (null), if their parents are back; the results. A few may be left
 * to recovery, which adds all. May run twice.
 */
export async function addWaitingKeys(
  pool: ServicePool,
  parents: KeyParents | null,
): Promise<readonly ReattachedKey[]> {
  const found = await findRowsIfAny(pool, { by: 'keys', parents });
  const isMeant = ({ parentSchema, parentTable }: ForeignKey) =>
    parents === null ||
    (parents.schemas.includes(parentSchema) && parents.tables.includes(parentTable));
  const rows = found.filter(({ detached }) => detached.keysOut.some(isMeant));
  const owned = await liveOwners(pool, rows);
  const free = rows.filter(({ id }) => !owned.has(id));
  if (free.length === 0) return [];
  return asRestorer(pool, async (owner) => {
    const added: ReattachedKey[] = [];
    for (const row of free) {
      // Recovery tries a failed one again.
      const { value } = await tolerantly(() => addKeysOf(pool, row, owner));
      added.push(...value);
    }
    return added;
  });
}

async function addKeysOf(
  pool: ServicePool,
  row: LedgerRow,
  owner: number,
): Promise<readonly ReattachedKey[]> {
  const { id, schema, table, detached, sqlLogBin, pendingWork } = row;
  const restoredAs = await findRestoring(pool, row);
  if (restoredAs === null) return [];
  const how = { id, ...(await ofItsSchema(pool, row, restoredAs)) };
  const options = { ...how, origin: { schema, table }, restoredAs, detached, dropped: row };
  const places = await placeKeys(pool, options);
  const isReady = ({ isThere, isAwaiting }: (typeof places)[number]) => !isThere && !isAwaiting;
  const ready = new Set(places.filter(isReady).map(({ key }) => key.name));
  if (ready.size === 0 || !(await takeOverRestore(pool, row, owner))) return [];
  const keys = await reattachOwnKeys(pool.logging(sqlLogBin), options);
  const isLeft = keys.some(({ isAwaiting, problem }) => isAwaiting || mayPass(problem));
  const text = problemsOf(id, { ...NOTHING_REATTACHED, foreignKeys: keys }).join('; ');
  const now = text === '' ? null : { todo: isLeft ? ('keys' as const) : null, text };
  await leaveRestore(pool, row, pendingWork?.todo === 'triggers' ? pendingWork : now);
  return keys.filter(({ name }) => ready.has(name));
}
