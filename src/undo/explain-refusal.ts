/** What somebody who restores can act on, where the server refuses. Pure. */
import { UndropError } from '../errors.js';
import { isServerError } from '../service/pools.js';
import type { Held, HeldTable, TableName } from './list.js';

/** Of a schema or a table that no server takes, or that is too long, or in no such charset. */
export const BAD_NAMES: ReadonlySet<number> = new Set([1059, 1102, 1103, 1300]);

/** Denied: a schema, a statement, a table, a column, a right on everything, a routine, a grant. */
export const DENIED = [1044, 1045, 1142, 1143, 1227, 1370, 1410] as const;
const NO_SUCH_RIGHT = 1227;

/** ER_OPTION_PREVENTS_STATEMENT, ER_READ_ONLY_MODE. */
const READ_ONLY = [1290, 1836] as const;

const SEE_DOCTOR =
  'See `undrop doctor` for what is missing and `undrop init` for how to grant it; or restore by ' +
  'another account (UNDROP_USER).';
const UNLOGGED =
  'The table was dropped with sql_log_bin=0 and comes back so: restore it by an account that may ' +
  'set that (UNDROP_USER), such as one of the tier full; `undrop doctor` names the right.';

const GIVE_RIGHTS =
  'Give it rights on that schema (`undrop init` says which), or restore by another account ' +
  '(UNDROP_USER).';

/** Of a table that only the ledger knows to be there. */
export function notSeen({ origin, id, holdSchema, holdName }: HeldTable): UndropError {
  const what = origin === null ? id : `${origin.schema}.${origin.table}`;
  const cause = `it does not see ${holdSchema}.${holdName}, as which ${what} is held`;
  const params = { account: 'the service account', cause, instead: GIVE_RIGHTS };
  return new UndropError('UNDROP_MISSING_RIGHT', params);
}

/** `error` itself where there is no more to say. */
export function explainRefusal(
  error: unknown,
  { table, to }: { readonly table: Held; readonly to: TableName },
): unknown {
  if (!(error instanceof UndropError) || error.code !== 'UNDROP_SERVICE_FAILED') return error;
  const { cause } = error;
  if (isServerError(cause, ...BAD_NAMES)) {
    return new UndropError('UNDROP_BAD_TARGET', { target: `${to.schema}.${to.table}` }, error);
  }
  if (isServerError(cause, ...READ_ONLY) && /read[-_ ]only/i.test(cause.sqlMessage)) {
    const params = { id: table.id, cause: cause.sqlMessage };
    return new UndropError('UNDROP_READ_ONLY', params, error);
  }
  if (!isServerError(cause, ...DENIED)) return error;
  const isOfLog = !table.logged && cause.errno === NO_SUCH_RIGHT;
  const what = { account: 'the service account', cause: cause.sqlMessage };
  const instead = isOfLog ? UNLOGGED : SEE_DOCTOR;
  return new UndropError('UNDROP_MISSING_RIGHT', { ...what, instead }, error);
}
