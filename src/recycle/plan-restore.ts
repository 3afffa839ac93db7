/**
 * Decides which of the found tables is restored, and its new name. Pure; the
 * refusals are UndropErrors, also those for what an operator can act on: a privilege that the
 * service account lacks, a read-only server, a name that the server doesn't take.
 *
 * Invariants: for several tables of one name the newest complete one is taken. No table gets a name
 * that is undrop's own.
 */

import { isServerError, isUnanswered, type Refusal } from '../connections/errors.js';
import { UndropError } from '../errors.js';
import type { LedgerRow } from '../ledger/entry.js';
import { isUserSchema, parseHoldName, type QualifiedTable, writtenName } from '../names/names.js';
import * as ER from '../wire/server-errors.js';
import * as finder from './find-dropped.js';
import { type DroppedTable, describeRow } from './held-tables.js';

export type RestorePlan = {
  /** The requested name or id, else `schema.table` with its id. */
  readonly what: string;
} & (
  | {
      readonly wasBack: false;
      readonly table: DroppedTable;
      readonly to: QualifiedTable;
      /** Further held tables of the same name, newest first. */
      readonly others: readonly DroppedTable[];
      /** It was requested by its id or time; default: by its name. */
      readonly isExact?: boolean;
    }
  /** The table has its name, but not yet its keys and triggers. */
  | {
      readonly wasBack: true;
      readonly table: Omit<DroppedTable, 'holdSchema' | 'holdName' | 'state' | 'due'>;
      readonly row: LedgerRow;
      readonly to: QualifiedTable;
      readonly others: readonly [];
    }
);

export type HeldPlan = Extract<RestorePlan, { readonly wasBack: false }>;

/** `found`: the tables that `target` means, newest first. `to`: null: the original name. */
export function planRestore(
  found: readonly DroppedTable[],
  { target, to: renamed }: { readonly target: string; readonly to: finder.WrittenName | null },
): HeldPlan {
  const table = newestWhole(found);
  if (table === undefined) throw finder.noSuchHeld(target);
  if (table.torn) throw new UndropError('UNDROP_TORN', { table: finder.nameOrId(table) });
  if (table.state !== 'HOLD') {
    throw new UndropError('UNDROP_NOT_RESTORABLE', { id: table.id, state: table.state });
  }
  const to = chooseName(table, renamed);
  const others = found.filter((other) => other !== table);
  return { what: target, wasBack: false, table, to, others };
}

/** The rest of a restore that was interrupted. */
export function planRest(row: LedgerRow, to: QualifiedTable): RestorePlan {
  const { id, sqlLogBin: logged, rowLogged } = row;
  const table = { ...describeRow(id, row), logged, rowLogged };
  // With its id, as several tables may have had one name.
  return { what: `${writtenName(row)} (${id})`, wasBack: true, table, row, to, others: [] };
}

/** The first of `found` that can be restored, else the first; `found`: newest first. */
export function newestWhole<T extends Pick<DroppedTable, 'state' | 'torn'>>(
  found: readonly T[],
): T | undefined {
  return found.find(canComeBack) ?? found[0];
}

export function canComeBack({ state, torn }: Pick<DroppedTable, 'state' | 'torn'>): boolean {
  return state === 'HOLD' && torn !== true;
}

/** `[schema.]name` as users type it. Rejects with UNDROP_BAD_TARGET. */
export function parseNewName(target: string): finder.WrittenName {
  const name = finder.parseTableName(target);
  if (name === null) throw new UndropError('UNDROP_BAD_TARGET', { target });
  return name;
}

function chooseName({ id, origin }: DroppedTable, to: finder.WrittenName | null): QualifiedTable {
  if (to === null && origin !== null) return origin;
  const schema = to?.schema ?? origin?.schema;
  if (to === null || schema === undefined) throw new UndropError('UNDROP_NO_ORIGIN', { id });
  const { table } = to;
  // A hold name may be collected as one, unless it is the table's original name.
  // A table of a user's in a schema of the server goes back to where it was.
  const isHome = isUserSchema(schema) || schema === origin?.schema;
  const isFree = parseHoldName(table) === null || table === origin?.table;
  if (isHome && isFree && finder.isNameable(schema) && finder.isNameable(table))
    return { schema, table };
  throw new UndropError('UNDROP_BAD_TARGET', { target: writtenName({ schema, table }) });
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
const DENIED = [
  ...ER.SERVICE_DENIED,
  ER.ACCESS_DENIED_ERROR,
  ER.PROCACCESS_DENIED_ERROR,
  ER.CANT_CREATE_USER_WITH_GRANT,
];

const SEE_DOCTOR = {
  account: 'the service account',
  instead:
    '`undrop doctor` lists what is missing, and `undrop init` prints the grants; or restore with another account (UNDROP_USER).',
};

/** The service account lacks a privilege. */
export function ifDenied(params: Record<string, string> = SEE_DOCTOR): Refusal {
  return [DENIED, 'UNDROP_MISSING_RIGHT', params];
}

/** The refusal for a table that only the ledger has. */
export function notSeen(table: DroppedTable): UndropError {
  const { holdSchema, holdName } = table;
  const cause = `it cannot see ${holdSchema}.${holdName}, as which ${finder.nameOrId(table)} is held`;
  return new UndropError('UNDROP_MISSING_RIGHT', { ...SEE_DOCTOR, cause });
}
