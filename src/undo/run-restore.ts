/**
 * `restore` restores one held table: it finds the table, gives it its name by one atomic RENAME,
 * updates the ledger, and reattaches foreign keys and triggers.
 *
 * Invariant: the loser of a race (against the collector, another restore, a DBA) changes nothing.
 */
import { systemClock } from '../clock.js';
import { UndropError } from '../errors.js';
import {
  findUnfinished,
  markRestoring,
  type ReattachReport,
  reattachAll,
  tolerantly,
  writtenName,
} from '../held/finish-restore.js';
import { type BrokenKey, findBrokenRows } from '../held/foreign-keys/broken-rows.js';
import { isRenamedBack, renameBack, schemaExists } from '../held/rename-back.js';
import { type LedgerRow, LOOKING } from '../ledger/entry.js';
import { readWhoEnded } from '../ledger/history.js';
import { findRows } from '../ledger/read.js';
import { asRestorer, recordLook, takeOverRestore } from '../ledger/table-restores.js';
import { recordState } from '../ledger/write.js';
import { liveOwners } from '../recovery/live-owners.js';
import { isUnanswered } from '../service/errors.js';
import {
  isServerError,
  isServiceError,
  type ServerError,
  type ServicePool,
} from '../service/pool/pools.js';
import {
  ACCESS_DENIED,
  BAD_NAME,
  ER_ACCESS_DENIED_ERROR,
  ER_CANT_CREATE_USER_WITH_GRANT,
  ER_PROCACCESS_DENIED_ERROR,
  READ_ONLY_SERVER,
} from '../wire/server-errors.js';
import { describeRow, type ListedTable, listFor, type QualifiedTable } from './list.js';
import {
  idDigits,
  isIdPrefix,
  parseTableName,
  planRestore,
  type RestorePlan,
  type RestoreRequest,
} from './plan-restore.js';
import { readVersions, type Versions } from './versions.js';

export interface RestoreReport extends ReattachReport, Versions {
  readonly id: string;
  /** Its original name; null if the ledger had no row for it. */
  readonly origin: QualifiedTable | null;
  readonly restoredAs: QualifiedTable;
  readonly droppedAt: Date | null;
  readonly user: string | null;
  readonly rowEstimate: number | null;
  /**
   * It had its name already; an earlier restore was interrupted before its keys and triggers were
   * reattached.
   */
  readonly wasBack: boolean;
  readonly how: ListedTable['how'];
  /** Foreign keys of the table, and of others to it, that rows break or may break. */
  readonly brokenKeys: readonly BrokenKey[];
  /** After a swap: the id under which the live table is held; null: no table had the name. */
  readonly swapped?: string | null;
  /**
   * False: the ledger could not be updated, recovery will do that; null: it has no row for the
   * table.
   */
  readonly recorded: boolean | null;
}

/**
 * Rejects with UNDROP_NO_SUCH_HELD, UNDROP_AMBIGUOUS, UNDROP_NOT_RESTORABLE, UNDROP_TORN,
 * UNDROP_NO_ORIGIN, UNDROP_BAD_TARGET, UNDROP_SCHEMA_MISSING, UNDROP_NAME_TAKEN,
 * UNDROP_STATISTICS_LEFT, UNDROP_NOT_HELD, UNDROP_BUSY or UNDROP_MISSING_RIGHT; then nothing was
 * changed. If the connection breaks, the same request continues.
 */
export async function restore(pool: ServicePool, request: RestoreRequest): Promise<RestoreReport> {
  return restoreTable(pool, await planOrResume(pool, await listFor(pool, request.target), request));
}

/** The same for a table from a list that may be some seconds old. */
export function restoreTable(pool: ServicePool, plan: Plan): Promise<RestoreReport> {
  const { table, to, wasBack } = plan;
  return asRestorer(pool, async (owner) => {
    const recorded = plan.wasBack
      ? await goOn(pool, plan, owner)
      : await renameAndRecord(pool, plan, owner).catch((error: unknown) => {
          throw explainRefusal(error, plan);
        });
    return makeWhole(pool, { table, to, wasBack, recorded });
  });
}

/** Reattaches its keys and triggers, once it has its name, and makes the report. */
export async function makeWhole(
  pool: ServicePool,
  done: Pick<Plan, 'table' | 'to' | 'wasBack'> & Pick<RestoreReport, 'recorded'>,
): Promise<RestoreReport> {
  const { table, to, wasBack, recorded } = done;
  const cameBack = await reattachAll(pool, table, to);
  const brokenKeys = await findBrokenRows(pool, to);
  const isLooked = brokenKeys.every(({ isSeen }) => isSeen);
  if (!isLooked && recorded === true) {
    // The collector continues (lifecycle/late-searches.ts).
    const { id, rowLogged } = table;
    const look = { id, failure: LOOKING, rowLogged: rowLogged !== false };
    await tolerantly(async () => [await recordLook(pool, look)]);
  }
  const versions = await readVersions(pool, table, to);
  const { id, origin, droppedAt, how, user, rowEstimate } = table;
  const what = { id, origin, restoredAs: to, droppedAt, how, user, rowEstimate };
  return { ...cameBack, ...what, ...versions, brokenKeys, recorded, wasBack };
}

export type Plan =
  | (RestorePlan & { readonly wasBack: false })
  /** The table has its name, but not yet its keys and triggers. */
  | {
      readonly wasBack: true;
      readonly table: Omit<ListedTable, 'holdSchema' | 'holdName' | 'state' | 'due'>;
      readonly row: LedgerRow;
      readonly to: QualifiedTable;
      readonly others: readonly [];
    };

/** Continues a restore without an owner. */
async function goOn(
  pool: ServicePool,
  { table, row, to }: Extract<Plan, { wasBack: true }>,
  owner: number,
): Promise<boolean | null> {
  if (await takeOverRestore(pool, row, owner)) return tellRestored(pool, table, to);
  const cause = 'its restore is being finished';
  throw new UndropError('UNDROP_BUSY', { table: writtenName(to), cause });
}

async function renameAndRecord(
  pool: ServicePool,
  { table, to }: RestorePlan,
  owner: number,
): Promise<boolean | null> {
  if (table.unseen) throw notSeen(table);
  if (!(await schemaExists(pool, to.schema))) {
    throw new UndropError('UNDROP_SCHEMA_MISSING', { id: table.id, schema: to.schema });
  }
  const { id, holdSchema, holdName, logged } = table;
  const takeBack = await markRestoring(pool, id, { to, owner });
  const target = { toSchema: to.schema, toTable: to.table };
  try {
    await renameBack(pool, { id, holdSchema, holdName, ...target, logged });
  } catch (error) {
    if (!isFateUnknown(error)) {
      await takeBack();
      throw error;
    }
    const at = { id, holdSchema, ...target };
    const { value } = await tolerantly(async () => [await isRenamedBack(pool, at)]);
    if (!value.includes(true)) throw error;
  }
  return tellRestored(pool, table, to);
}

/**
 * Whether the table may be restored despite this error of `restore`: the connection broke, or the
 * response came too late.
 */
export function isFateUnknown(error: unknown): boolean {
  return error instanceof UndropError && isUnanswered(error) && !isServerError(error.cause);
}

/**
 * A name means a table with an interrupted restore before an older one. The error for a table that
 * is restored already, or removed for good, says so. `held`: from `listAll`.
 */
export async function planOrResume(
  pool: ServicePool,
  held: readonly ListedTable[],
  request: RestoreRequest,
): Promise<Plan> {
  try {
    const plan = planRestore(held, request);
    const isNamed = !plan.table.id.startsWith(idDigits(request.target));
    const begun = isNamed ? await findBegun(pool, plan.to, await readBegun(pool)) : null;
    return begun ?? { ...plan, wasBack: false };
  } catch (error) {
    if (!isAbsent(error)) throw error;
    const { value: found } = await tolerantly(() => findHeldOnce(pool, request.target));
    const [newest] = found;
    const plan = newest === undefined ? null : await resume(pool, newest);
    if (newest !== undefined && plan !== null && isMeant(request, newest, plan.to)) return plan;
    throw await withFate(pool, request.target, { found, error });
  }
}

/** The error, with the fate of the table if nothing of that name or id is held. */
export async function explainAbsent(
  pool: ServicePool,
  target: string,
  error: unknown,
): Promise<unknown> {
  if (!isAbsent(error)) return error;
  const { value: found } = await tolerantly(() => findHeldOnce(pool, target));
  return withFate(pool, target, { found, error });
}

function isAbsent(error: unknown): error is UndropError {
  return error instanceof UndropError && error.code === 'UNDROP_NO_SUCH_HELD';
}

/** Restores that have begun, and may have been interrupted. */
export async function readBegun(pool: ServicePool): Promise<readonly LedgerRow[]> {
  const { value } = await tolerantly(() => findRows(pool, { by: 'restoring' }, { texts: false }));
  return value;
}

/** The interrupted restore among `begun` that gave a table that name; null: none. */
export async function findBegun(
  pool: ServicePool,
  to: QualifiedTable,
  begun: readonly LedgerRow[],
): Promise<Plan | null> {
  for (const row of begun) {
    const plan = row.restoredAs === writtenName(to) ? await resume(pool, row) : null;
    if (plan !== null) return plan;
  }
  return null;
}

/**
 * For a table that is no longer held: the rest of an interrupted restore; null if there is none, or
 * if it has an owner.
 */
export async function resume(pool: ServicePool, row: LedgerRow): Promise<Plan | null> {
  const to = await findUnfinished(pool, row);
  if (to === null) return null;
  for (let tries = 1; (await liveOwners(pool, [row])).size > 0; tries++) {
    if (tries === OWNER_TRIES) return null;
    await systemClock.sleep(OWNER_PAUSE_MS);
  }
  const table = { ...describeRow(row.id, row), logged: row.sqlLogBin, rowLogged: row.rowLogged };
  return { wasBack: true, table, row, to, others: [] };
}

/** An owner that died a moment ago may still be in the processlist. */
const [OWNER_TRIES, OWNER_PAUSE_MS] = [20, 50];

/** The refusal, with the fate of the last table that is no longer held. `found`: newest first. */
export async function withFate(
  pool: ServicePool,
  target: string,
  { found, error }: { readonly found: readonly LedgerRow[]; readonly error: UndropError },
): Promise<UndropError> {
  const last = found.find(({ endedAt }) => endedAt !== null);
  if (last === undefined) return error;
  const { id, state } = last;
  const isByUs = state === 'restored' || state === 'removed';
  const { value } = await tolerantly(async () =>
    isByUs ? [await readWhoEnded(pool, { id, state })] : [],
  );
  return ended(target, { ...last, by: value[0] ?? null }, error);
}

/** Whether the request has no new name, or the present name of the table. */
function isMeant(
  { to }: RestoreRequest,
  { schema }: LedgerRow,
  restoredAs: QualifiedTable,
): boolean {
  if (to === undefined) return true;
  const wanted = parseTableName(to);
  return wanted?.table === restoredAs.table && (wanted.schema ?? schema) === restoredAs.schema;
}

/**
 * Ledger rows of tables that are no longer held, by their original name, else by their id or the
 * beginning of it; newest first.
 */
export async function findHeldOnce(
  pool: ServicePool,
  target: string,
): Promise<readonly LedgerRow[]> {
  const options = { texts: false };
  const name = parseTableName(target);
  const named = name === null ? [] : await findRows(pool, { by: 'name', ...name }, options);
  if (named.length > 0) return named;
  const prefix = idDigits(target);
  return isIdPrefix(prefix) ? findRows(pool, { by: 'id', prefix }, options) : [];
}

function ended(
  target: string,
  row: LedgerRow & { readonly by: string | null },
  cause: unknown,
): UndropError {
  const by = row.by === null ? '' : ` by ${row.by}`;
  const time = row.endedAt?.toISOString().slice(0, 19).replace('T', ' ');
  const how = {
    restored: `was restored at ${time} UTC as ${row.restoredAs ?? 'before'}${by}`,
    removed: `was removed for good at ${time} UTC${by}`,
    gone: `was found to be removed past undrop, at ${time} UTC`,
  };
  const { state } = row;
  const fate = ` It ${how[state === 'restored' || state === 'removed' ? state : 'gone']}.`;
  return new UndropError('UNDROP_NO_SUCH_HELD', { target, fate }, cause);
}

/** Updates the ledger; the table stays restored even if this fails. */
export async function tellRestored(
  pool: ServicePool,
  table: Pick<ListedTable, 'id' | 'rowLogged'>,
  to: QualifiedTable,
): Promise<boolean | null> {
  if (table.rowLogged === null) return null;
  const state: LedgerRow['state'] = 'restored';
  const restoredAs = writtenName(to);
  try {
    await recordState(pool, { id: table.id, state, restoredAs, rowLogged: table.rowLogged });
    return true;
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return false;
  }
}

/** Beside the privileges on tables: to log in, to create a routine, to grant. */
export const DENIED = [
  ...ACCESS_DENIED,
  ER_ACCESS_DENIED_ERROR,
  ER_PROCACCESS_DENIED_ERROR,
  ER_CANT_CREATE_USER_WITH_GRANT,
];

const SEE_DOCTOR =
  '`undrop doctor` lists what is missing, and `undrop init` prints the grants; or restore with ' +
  'another account (UNDROP_USER).';

/** The refusal for a table that only the ledger has. */
export function notSeen({ origin, id, holdSchema, holdName }: ListedTable): UndropError {
  const what = origin === null ? id : `${origin.schema}.${origin.table}`;
  const cause = `it cannot see ${holdSchema}.${holdName}, as which ${what} is held`;
  return missingRight(cause);
}

/** An error that the user can act on if the server refuses; else `error` itself. */
function explainRefusal(error: unknown, { table, to }: Pick<RestorePlan, 'table' | 'to'>): unknown {
  if (!(error instanceof UndropError) || error.code !== 'UNDROP_SERVICE_FAILED') return error;
  const { cause } = error;
  if (isServerError(cause, ...BAD_NAME)) {
    return new UndropError('UNDROP_BAD_TARGET', { target: `${to.schema}.${to.table}` }, error);
  }
  if (isReadOnly(cause)) {
    const params = { id: table.id, cause: cause.sqlMessage };
    return new UndropError('UNDROP_READ_ONLY', params, error);
  }
  return isServerError(cause, ...DENIED) ? missingRight(cause.sqlMessage, error) : error;
}

/** These errors have other causes, too, which their texts show. */
export function isReadOnly(error: unknown): error is ServerError {
  return isServerError(error, ...READ_ONLY_SERVER) && /read[-_ ]only/i.test(error.sqlMessage);
}

/** For an error of the server about a privilege that the service account lacks. */
export function missingRight(cause: string, error?: unknown): UndropError {
  const params = { account: 'the service account', cause, instead: SEE_DOCTOR };
  return new UndropError('UNDROP_MISSING_RIGHT', params, error);
}
