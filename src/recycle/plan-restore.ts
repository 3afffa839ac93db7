/**
 * Decides which of the found tables is restored, and its new name. Pure; the
 * refusals are UndropErrors, also those for what an operator can act on: a privilege that the
 * service account lacks, a read-only server, a name that the server doesn't take.
 *
 * Invariants: for several tables of one name the newest complete one is taken. No table gets a name
 * that is undrop's own.
 */
import { UndropError } from '../errors.js';
import type { LedgerRow } from '../ledger/entry.js';
import {
  foldName,
  isUserSchema,
  parseHoldName,
  type QualifiedTable,
  writtenName,
} from '../names/names.js';
import { isServerError, isUnanswered, type ServerError } from '../service/errors.js';
import * as ER from '../wire/server-errors.js';
import { noSuchHeld, parseTableName, qualifiedOrigin } from './find-dropped.js';
import type { ListedTable } from './held-tables.js';

export type RestorePlan =
  | {
      readonly wasBack: false;
      readonly table: ListedTable;
      readonly to: QualifiedTable;
      /** Further held tables of the same name, newest first. */
      readonly others: readonly ListedTable[];
      /** It was requested by its id or time; default: by its name. */
      readonly isExact?: boolean;
    }
  /** The table has its name, but not yet its keys and triggers. */
  | {
      readonly wasBack: true;
      readonly table: Omit<ListedTable, 'holdSchema' | 'holdName' | 'state' | 'due'>;
      readonly row: LedgerRow;
      readonly to: QualifiedTable;
      readonly others: readonly [];
    };

export type HeldPlan = Extract<RestorePlan, { readonly wasBack: false }>;

/**
 * `found`: the tables that `target` means, newest first. `to`: `[schema.]name` as users type it;
 * default: the original name.
 */
export function planRestore(
  found: readonly ListedTable[],
  { target, to: written }: { readonly target: string; readonly to?: string | undefined },
): HeldPlan {
  const table = newestWhole(found);
  if (table === undefined) throw noSuchHeld(target);
  if (table.torn)
    throw new UndropError('UNDROP_TORN', { table: qualifiedOrigin(table) ?? table.id });
  if (table.state !== 'HOLD') {
    throw new UndropError('UNDROP_NOT_RESTORABLE', { id: table.id, state: table.state });
  }
  const to = chooseName(table, written);
  return { wasBack: false, table, to, others: found.filter((other) => other !== table) };
}

/** The first of `found` that can be restored, else the first; `found`: newest first. */
export function newestWhole<T extends Pick<ListedTable, 'state' | 'torn'>>(
  found: readonly T[],
): T | undefined {
  return found.find(canComeBack) ?? found[0];
}

export function canComeBack({ state, torn }: Pick<ListedTable, 'state' | 'torn'>): boolean {
  return state === 'HOLD' && torn !== true;
}

function chooseName(table: ListedTable, to: string | undefined): QualifiedTable {
  const noOrigin = () => new UndropError('UNDROP_NO_ORIGIN', { id: table.id });
  if (to === undefined) {
    if (table.origin === null) throw noOrigin();
    return table.origin;
  }
  const parsed = parseTableName(to);
  if (parsed === null) throw new UndropError('UNDROP_BAD_TARGET', { target: to });
  const schema = parsed.schema ?? table.origin?.schema;
  const isOwn = parsed.table === table.origin?.table;
  if (schema === undefined) throw noOrigin();
  // A hold name may be collected as one, unless it is the table's original name.
  // A table of a user's in a schema of the server goes back to where it was.
  const isHome = isUserSchema(schema) || schema === table.origin?.schema;
  const isOurs = !isHome || (parseHoldName(parsed.table) !== null && !isOwn);
  if (isOurs) throw new UndropError('UNDROP_BAD_TARGET', { target: to });
  return { schema, table: parsed.table };
}

/** Equal for names that are the same on a server that folds their case. */
export function foldedKey({ schema, table }: QualifiedTable): string {
  return JSON.stringify([foldName(schema), foldName(table)]);
}

// ── refusals ─────────────────────────────────────────────────────────────────────────────────────

/**
 * Whether the table may be restored despite this error of `restore`: the connection broke, or the
 * response came too late.
 */
export function isFateUnknown(error: unknown): boolean {
  return error instanceof UndropError && isUnanswered(error) && !isServerError(error.cause);
}

/** Beside the privileges on tables: to log in, to create a routine, to grant. */
export const DENIED = [
  ...ER.SERVICE_DENIED,
  ER.ACCESS_DENIED_ERROR,
  ER.PROCACCESS_DENIED_ERROR,
  ER.CANT_CREATE_USER_WITH_GRANT,
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
  if (isServerError(cause, ...ER.BAD_NAME)) {
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
  return isServerError(error, ...ER.READ_ONLY_SERVER) && /read[-_ ]only/i.test(error.sqlMessage);
}

/** For an error of the server about a privilege that the service account lacks. */
export function missingRight(cause: string, error?: unknown): UndropError {
  const params = { account: 'the service account', cause, instead: SEE_DOCTOR };
  return new UndropError('UNDROP_MISSING_RIGHT', params, error);
}
