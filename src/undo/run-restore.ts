/**
 * `restore` brings one held table back: it finds the table, gives it its name by one atomic
 * RENAME, tells the ledger, and puts foreign keys and triggers back.
 *
 * Invariant: whoever loses the race (against the collector, another restore, a DBA) changes
 * nothing.
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
  /** Where it came from; null if the ledger had no row of it. */
  readonly origin: QualifiedTable | null;
  readonly restoredAs: QualifiedTable;
  readonly droppedAt: Date | null;
  readonly user: string | null;
  readonly rowEstimate: number | null;
  /** It had its name again; an earlier restore broke off before its keys and triggers were back. */
  readonly wasBack: boolean;
  readonly how: ListedTable['how'];
  /** Foreign keys of the table, and of others to it, that rows break or may break. */
  readonly brokenKeys: readonly BrokenKey[];
  /** After a swap: the id under which the live table is held; null: no table had the name. */
  readonly swapped?: string | null;
  /** False: the ledger could not be told, recovery will notice; null: it never knew the table. */
  readonly recorded: boolean | null;
}

/**
 * Rejects with UNDROP_NO_SUCH_HELD, UNDROP_AMBIGUOUS, UNDROP_NOT_RESTORABLE, UNDROP_TORN,
 * UNDROP_NO_ORIGIN, UNDROP_BAD_TARGET, UNDROP_SCHEMA_MISSING, UNDROP_NAME_TAKEN,
 * UNDROP_STATISTICS_LEFT, UNDROP_NOT_HELD, UNDROP_BUSY or UNDROP_MISSING_RIGHT; then nothing was
 * changed. If the connection breaks, the same request goes on from where it was.
 */
export async function restore(pool: ServicePool, request: RestoreRequest): Promise<RestoreReport> {
  return restoreTable(pool, await planOrResume(pool, await listFor(pool, request.target), request));
}

/** The same for a table that was found already, by a list that may be some seconds old. */
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

/** Its keys and triggers, once it has its name, and the report. */
export async function makeWhole(
  pool: ServicePool,
  done: Pick<Plan, 'table' | 'to' | 'wasBack'> & Pick<RestoreReport, 'recorded'>,
): Promise<RestoreReport> {
  const { table, to, wasBack, recorded } = done;
  const cameBack = await reattachAll(pool, table, to);
  const brokenKeys = await findBrokenRows(pool, to);
  const isLooked = brokenKeys.every(({ isSeen }) => isSeen);
  if (!isLooked && recorded === true) {
    // The collector goes on (lifecycle/late-searches.ts).
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
  /** The table is back, but not yet with its keys and triggers. */
  | {
      readonly wasBack: true;
      readonly table: Omit<ListedTable, 'holdSchema' | 'holdName' | 'state' | 'due'>;
      readonly row: LedgerRow;
      readonly to: QualifiedTable;
      readonly others: readonly [];
    };

/** With a restore that nobody is at any more. */
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
 * Whether the table may be back after this error of `restore`: the connection broke, or there was
 * no answer in time.
 */
export function isFateUnknown(error: unknown): boolean {
  return error instanceof UndropError && isUnanswered(error) && !isServerError(error.cause);
}

/**
 * A name means the table whose restore broke off before it means an older one. Who asks for what is
 * back already, or removed for good, is told so. `held`: by `listAll`.
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

/** The error, with what has become of the table if nothing of that name or id is held. */
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

/** Restores that have begun, and may have broken off. */
export async function readBegun(pool: ServicePool): Promise<readonly LedgerRow[]> {
  const { value } = await tolerantly(() => findRows(pool, { by: 'restoring' }, { texts: false }));
  return value;
}

/**
 * The restore, of these that have begun, that gave a table that name and broke off before it was
 * whole; null: none did.
 */
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
 * For a table that is held no more: the rest of a restore that broke off; null if none did, or if
 * somebody is at it.
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

/** One that died a moment ago may be in the processlist still. */
const [OWNER_TRIES, OWNER_PAUSE_MS] = [20, 50];

/** The refusal, with what has become of the last that is held no more. `found`: newest first. */
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

/** Whether the request has no new name, or the name that the table has by now. */
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
 * Ledger rows of tables that are not held any more, by the name that they were dropped under, else
 * by their id or the beginning of it; newest first.
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
    gone: `was seen to be gone, not by undrop, at ${time} UTC`,
  };
  const { state } = row;
  const fate = ` It ${how[state === 'restored' || state === 'removed' ? state : 'gone']}.`;
  return new UndropError('UNDROP_NO_SUCH_HELD', { target, fate }, cause);
}

/** Tells the ledger; the table is back whatever comes of this. */
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

/** Beside the rights on tables: to log in, to make a routine, to grant. */
export const DENIED = [
  ...ACCESS_DENIED,
  ER_ACCESS_DENIED_ERROR,
  ER_PROCACCESS_DENIED_ERROR,
  ER_CANT_CREATE_USER_WITH_GRANT,
];

const SEE_DOCTOR =
  'See `undrop doctor` for what is missing and `undrop init` for how to grant it; or restore by ' +
  'another account (UNDROP_USER).';

/** The refusal for a table that only the ledger knows to be there. */
export function notSeen({ origin, id, holdSchema, holdName }: ListedTable): UndropError {
  const what = origin === null ? id : `${origin.schema}.${origin.table}`;
  const cause = `it does not see ${holdSchema}.${holdName}, as which ${what} is held`;
  return missingRight(cause);
}

/** What somebody who restores can act on if the server refuses; else `error` itself. */
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

/** These errors have other causes, too, which their texts tell. */
export function isReadOnly(error: unknown): error is ServerError {
  return isServerError(error, ...READ_ONLY_SERVER) && /read[-_ ]only/i.test(error.sqlMessage);
}

/** What the server says of a privilege that the service account lacks. */
export function missingRight(cause: string, error?: unknown): UndropError {
  const params = { account: 'the service account', cause, instead: SEE_DOCTOR };
  return new UndropError('UNDROP_MISSING_RIGHT', params, error);
}
