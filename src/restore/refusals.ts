/**
 * The refusals of restores and changed holds that an operator can act on: a privilege that the
 * service account lacks, a read-only server, a name that the server doesn't take. Pure.
 */
import { UndropError } from '../errors.js';
import { writtenName } from '../names/names.js';
import { isServerError, isUnanswered, type ServerError } from '../service/errors.js';
import {
  ACCESS_DENIED,
  BAD_NAME,
  ER_ACCESS_DENIED_ERROR,
  ER_CANT_CREATE_USER_WITH_GRANT,
  ER_PROCACCESS_DENIED_ERROR,
  READ_ONLY_SERVER,
} from '../wire/server-errors.js';
import { qualifiedOrigin } from './find-dropped.js';
import type { ListedTable } from './held-tables.js';
import type { HeldPlan } from './plan-restore.js';

/**
 * Whether the table may be restored despite this error of `restore`: the connection broke, or the
 * response came too late.
 */
export function isFateUnknown(error: unknown): boolean {
  return error instanceof UndropError && isUnanswered(error) && !isServerError(error.cause);
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
export function notSeen(table: ListedTable): UndropError {
  const { id, holdSchema, holdName } = table;
  const what = qualifiedOrigin(table) ?? id;
  const cause = `it cannot see ${holdSchema}.${holdName}, as which ${what} is held`;
  return missingRight(cause);
}

/** An error that the user can act on if the server refuses; else `error` itself. */
export function explainRefusal(error: unknown, { table, to }: HeldPlan): unknown {
  if (!(error instanceof UndropError) || error.code !== 'UNDROP_SERVICE_FAILED') return error;
  const { cause } = error;
  if (isServerError(cause, ...BAD_NAME)) {
    return new UndropError('UNDROP_BAD_TARGET', { target: writtenName(to) }, error);
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
