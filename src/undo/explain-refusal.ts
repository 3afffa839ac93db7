/** What somebody who restores can act on, where the server refuses. Pure. */
import { UndropError } from '../errors.js';
import { isServerError } from '../service/pool/pools.js';
import {
  ACCESS_DENIED,
  BAD_NAME,
  ER_ACCESS_DENIED_ERROR,
  ER_CANT_CREATE_USER_WITH_GRANT,
  ER_PROCACCESS_DENIED_ERROR,
  ER_SPECIFIC_ACCESS_DENIED_ERROR,
  READ_ONLY_SERVER,
} from '../wire/server-errors.js';
import type { HeldTable, TableName } from './list.js';

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
  { table, to }: { readonly table: HeldTable; readonly to: TableName },
): unknown {
  if (!(error instanceof UndropError) || error.code !== 'UNDROP_SERVICE_FAILED') return error;
  const { cause } = error;
  if (isServerError(cause, ...BAD_NAME)) {
    return new UndropError('UNDROP_BAD_TARGET', { target: `${to.schema}.${to.table}` }, error);
  }
  if (isServerError(cause, ...READ_ONLY_SERVER) && /read[-_ ]only/i.test(cause.sqlMessage)) {
    const params = { id: table.id, cause: cause.sqlMessage };
    return new UndropError('UNDROP_READ_ONLY', params, error);
  }
  if (!isServerError(cause, ...DENIED)) return error;
  const isOfLog = !table.logged && cause.errno === ER_SPECIFIC_ACCESS_DENIED_ERROR;
  const what = { account: 'the service account', cause: cause.sqlMessage };
  const instead = isOfLog ? UNLOGGED : SEE_DOCTOR;
  return new UndropError('UNDROP_MISSING_RIGHT', { ...what, instead }, error);
}
