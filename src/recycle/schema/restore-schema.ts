/**
 * `restoreSchema` restores a dropped schema: the schema, its tables with their keys and triggers,
 * then its views, routines and events. If it is killed at any moment, the same request continues.
 *
 * Invariants: its progress is only in the ledger and in the names of the tables. A live table stays
 * as it is: a table whose name is taken stays held. Only one process at a time restores a schema.
 */

import type { ServicePool } from '../../connections/sql.js';
import { UndropError } from '../../errors.js';
import { liveOwners } from '../../ledger/owner.js';
import type { SchemaPart } from '../../ledger/schema-details.js';
import {
  countSingles,
  type DroppedSchema,
  endSchemaRestore,
  findDroppedSchemas,
  readDetails,
  takeSchemaRestore,
} from '../../ledger/schema-restores.js';
import { asRestorer } from '../../ledger/table-restores.js';
import { isUserSchema } from '../../names/names.js';
import { ambiguousIds, idDigits, isIdPrefix, isNameable } from '../find-dropped.js';
import { restoredEvent } from '../held-tables.js';
import { schemaExists } from '../rename-back.js';
import { type RestoredTable, restoreTables, sortTables } from './restore-tables.js';
import * as schemaParts from './schema-parts.js';

export interface SchemaRequest {
  /** Its original name. */
  readonly schema: string;
  /** It may also be the beginning of an id of its drop, because the caller has all privileges. */
  readonly mayBeId?: boolean;
  /** Another schema, for its tables alone; default: the original schema. */
  readonly to?: string;
  /** Keys are added also where another table has the name of the parent (`--keys`). */
  readonly anyParent?: boolean;
  /** Called with a line of text for each step that is about to begin, and for progress. */
  readonly onProgress?: (line: string) => void;
}

/** `id`: the ledger's row of the drop, which has the definitions. */
export interface SchemaReport
  extends Pick<DroppedSchema, 'id' | 'dropId' | 'schema' | 'droppedAt' | 'user'> {
  readonly restoredAs: string;
  /** It was restored completely before, and nothing was checked. */
  readonly wasBack: boolean;
  /** Everything requested exists unchanged. */
  readonly isComplete: boolean;
  readonly tables: readonly RestoredTable[];
  /** Views, routines, events, packages; with `to` none is created. */
  readonly parts: readonly schemaParts.RestoredPart[];
  /** Why the schema itself differs from the dropped one; null: it doesn't. */
  readonly problem: string | null;
  /** Other drops of a schema of that name with tables that are still held. */
  readonly others: readonly OtherDrop[];
  /** Held tables of a schema of that name that were dropped individually. */
  readonly singles: number;
}

/** For the audit. */
export function restoredEvents({ dropId, schema, restoredAs, tables }: SchemaReport) {
  const restored = tables.filter(({ outcome }) => outcome === 'restored');
  return restored.map(({ id, table }) => {
    const origin = { schema, table };
    return restoredEvent({ id, dropId, origin }, { schema: restoredAs, table });
  });
}

export type OtherDrop = Pick<DroppedSchema, 'dropId' | 'droppedAt' | 'held'>;

/** The plan of a restore. */
export interface SchemaPreview
  extends Pick<SchemaReport, 'dropId' | 'schema' | 'restoredAs' | 'others' | 'singles'> {
  /** In a sentence. */
  readonly plan: string;
  /** Each with the reason if it would not be restored; null: it would. */
  readonly tables: readonly { readonly table: string; readonly problem: string | null }[];
  readonly parts: readonly Pick<SchemaPart, 'kind' | 'name'>[];
}

/** Changes nothing. Rejects as `restoreSchema` does. */
export async function previewSchema(
  pool: ServicePool,
  request: SchemaRequest,
): Promise<SchemaPreview> {
  const { drop, others } = await choose(pool, request);
  const { id, dropId, schema } = drop;
  const singles = await countSingles(pool, schema);
  const to = request.to ?? schema;
  const exists = await schemaExists(pool, to);
  const isBack = isBackAs(drop, { to, exists });
  const { rows, plans, ends } = await sortTables(pool, { dropId, to });
  const { parts } = await readDetails(pool, id);
  const tables = rows.map(({ id: tableId, table }) => {
    if (plans.get(tableId)?.wasBack === false) return { table, problem: null };
    const { outcome = 'left', problems = [] } = ends.get(tableId) ?? {};
    return { table, problem: outcome === 'back' ? 'it was restored' : problems.join('; ') };
  });
  const what = isBack
    ? `${schema} is restored already: nothing to do.`
    : plan(drop, { to, exists, parts: parts.length });
  const made = to === schema ? parts.map(({ kind, name }) => ({ kind, name })) : [];
  return { dropId, schema, restoredAs: to, plan: what, tables, parts: made, others, singles };
}

/**
 * Rejects with UNDROP_NO_SUCH_SCHEMA, UNDROP_SCHEMA_BUSY, UNDROP_BAD_TARGET, or with
 * UNDROP_MISSING_RIGHT if the account may not create the schema; with UNDROP_SERVICE_FAILED or the
 * like if the server can't be reached: then the same request continues.
 */
export async function restoreSchema(
  pool: ServicePool,
  request: SchemaRequest,
): Promise<SchemaReport> {
  const { to, anyParent = false, onProgress = () => undefined } = request;
  if (to !== undefined && !(isUserSchema(to) && isNameable(to))) {
    throw new UndropError('UNDROP_BAD_TARGET', { target: to });
  }
  const { drop: seen, others } = await choose(pool, request);
  const { dropId, schema } = seen;
  const how = { to: to ?? schema, anyParent, onProgress };
  const end = await bringBackAlone(pool, { dropId, schema, ...how });
  if ('done' in end) return { ...end.done, others, singles: await countSingles(pool, schema) };
  const why = `connection ${end.owner} of the server is restoring it`;
  throw new UndropError('UNDROP_SCHEMA_BUSY', { schema, why });
}

/** Continues an interrupted restore, as it was requested. Null: another process does. */
export async function finishSchemaRestore(
  pool: ServicePool,
  { dropId, schema, restoredAs }: DroppedSchema,
): Promise<SchemaReport['isComplete'] | null> {
  const how = { to: restoredAs ?? schema, onProgress: () => undefined };
  const end = await bringBackAlone(pool, { dropId, schema, ...how });
  return 'done' in end ? end.done.isComplete : null;
}

/** `owner`: nothing is done, because that connection of the server restores it. */
function bringBackAlone(
  pool: ServicePool,
  { dropId, schema, ...how }: BringBackOptions & Pick<DroppedSchema, 'dropId' | 'schema'>,
): Promise<{ readonly done: BroughtBack } | { readonly owner: number }> {
  return asRestorer(pool, async (owner) => {
    // Read again, because another process may have restored it meanwhile.
    const drop = chosen(schema, await findDroppedSchemas(pool, { dropId }), how.to);
    const exists = await schemaExists(pool, how.to);
    if (isBackAs(drop, { to: how.to, exists })) {
      const none = { tables: [], parts: [], problem: null };
      return { done: { ...known(drop, how.to), wasBack: true, isComplete: true, ...none } };
    }
    // Before it begins, the row names the session of the DROP DATABASE.
    const isOwned = drop.isRestoring && (await liveOwners(pool, [drop])).size > 0;
    const isTaken = !isOwned && (await takeSchemaRestore(pool, drop, { to: how.to, owner }));
    if (!isTaken) return { owner: drop.threadId };
    return { done: await bringBack(pool, drop, { ...how, exists }) };
  });
}

async function choose(
  pool: ServicePool,
  { schema, to = schema, mayBeId = false }: SchemaRequest,
): Promise<{ readonly drop: DroppedSchema; readonly others: readonly OtherDrop[] }> {
  const named = await findDroppedSchemas(pool, { name: schema });
  const found = named.length === 0 && mayBeId ? await findSchemaDropsById(pool, schema) : [];
  if (found.length > 0) {
    const ids = found.map(({ dropId }) => dropId);
    if (ids.length > 1) throw ambiguousIds(schema, ids);
    return { drop: chosen(schema, found, found[0]?.restoredAs ?? to), others: [] };
  }
  const drop = chosen(schema, named, to);
  const others = named.filter((other) => other !== drop && !other.isOpen && other.held > 0);
  return { drop, others };
}

/** Drops with an id, or a table's id, that begins or ends with `text`, if that can be one. */
export async function findSchemaDropsById(
  pool: ServicePool,
  text: string,
): Promise<readonly DroppedSchema[]> {
  const digits = idDigits(text);
  return isIdPrefix(digits) ? findDroppedSchemas(pool, { digits }) : [];
}

function chosen(schema: string, found: readonly DroppedSchema[], to: string): DroppedSchema {
  const drop = chooseDrop(found, to);
  if (drop === null) {
    const fate = found.length === 0 ? '' : ' Its tables were removed for good.';
    throw new UndropError('UNDROP_NO_SUCH_SCHEMA', { schema, fate });
  }
  if (!drop.isOpen) return drop;
  const why =
    'its DROP DATABASE has not ended; if it was interrupted, a proxy that collects ends it';
  throw new UndropError('UNDROP_SCHEMA_BUSY', { schema, why });
}

/**
 * The newest drop that can be restored as `to`. A drop without tables comes last, because it was
 * probably created empty and dropped; but not after one that is restored elsewhere, for which there
 * is a specific error. `found`: newest first. Pure.
 */
export function chooseDrop(found: readonly DroppedSchema[], to: string): DroppedSchema | null {
  const [newest] = found;
  // A drop that is restored already is meant only if the schema wasn't dropped again since.
  const isBack = (drop: DroppedSchema) => drop === newest && drop.restoredAs !== null;
  const mayComeBack = (drop: DroppedSchema) =>
    drop.isOpen ||
    drop.isRestoring ||
    (drop.restoredAs === null ? drop.kept > 0 : isBack(drop) && drop.restoredAs === to);
  const isEmpty = ({ tables, restoredAs }: DroppedSchema) => tables === 0 && restoredAs === null;
  return found.find(mayComeBack) ?? found.find(isEmpty) ?? found.find(isBack) ?? null;
}

/**
 * Whether it is restored completely as `to`. Throws UNDROP_NO_SUCH_SCHEMA if it is restored under
 * another name.
 */
function isBackAs(
  { schema, restoredAs, isRestoring }: DroppedSchema,
  { to, exists }: { readonly to: string; readonly exists: boolean },
): boolean {
  if (restoredAs === null || isRestoring) return false;
  if (restoredAs === to && exists) return true;
  const fate = ` It was restored as ${restoredAs}.`;
  throw new UndropError('UNDROP_NO_SUCH_SCHEMA', { schema, fate });
}

interface BringBackOptions extends Pick<SchemaRequest, 'anyParent'> {
  readonly to: string;
  readonly onProgress: (line: string) => void;
}

type BroughtBack = Omit<SchemaReport, 'others' | 'singles'>;

function known({ id, dropId, schema, droppedAt, user }: DroppedSchema, restoredAs: string) {
  return { id, dropId, schema, restoredAs, droppedAt, user };
}

async function bringBack(
  pool: ServicePool,
  drop: DroppedSchema,
  { to, exists, onProgress, anyParent }: BringBackOptions & { readonly exists: boolean },
): Promise<BroughtBack> {
  const { id, dropId, schema } = drop;
  const inLog = pool.logging(drop.sqlLogBin);
  const details = await readDetails(pool, id);
  const isCopy = to !== schema;
  onProgress(plan(drop, { to, exists, parts: details.parts.length }));
  if (!exists) await schemaParts.createSchemaAs(inLog, to, details);
  const tables = await restoreTables(pool, { dropId, to, onProgress, anyParent });
  const parts = isCopy
    ? partsLeft(details.parts, tables, schema)
    : await schemaParts.restoreParts(inLog, schema, { id, parts: details.parts });
  const problem = await schemaParts.schemaDifference(pool, to, details);
  const isComplete =
    problem === null &&
    tables.every(({ outcome, problems }) => outcome !== 'left' && problems.length === 0) &&
    (isCopy || parts.every((part) => part.problem === null));
  await endSchemaRestore(pool, drop, { isComplete });
  return { ...known(drop, to), wasBack: false, isComplete, tables, parts, problem };
}

/** Views and programs that a schema lacks since its last drop, so that only the ledger has them. */
export interface Lacking extends Pick<DroppedSchema, 'id' | 'schema'> {
  /** Each with its kind. */
  readonly parts: readonly string[];
}

/** The last of each schema. `dropped`: newest first. */
export function lastDrops(dropped: readonly DroppedSchema[]): readonly DroppedSchema[] {
  return [...new Map(dropped.toReversed().map((drop) => [drop.schema, drop])).values()];
}

/** Looks at those of these drops whose schema exists again, and changes nothing. */
export async function findLacking(
  pool: ServicePool,
  drops: readonly DroppedSchema[],
): Promise<readonly Lacking[]> {
  const found: Lacking[] = [];
  for (const { id, schema, restoredAs, isRestoring, isOpen } of drops) {
    const isComplete = restoredAs !== null && !(isRestoring && restoredAs === schema);
    if (isOpen || isComplete || !(await schemaExists(pool, schema))) continue;
    const wanted = (await readDetails(pool, id)).parts;
    const there = wanted.length === 0 ? [] : await schemaParts.listParts(pool, schema);
    const keys = new Set(there.map(schemaParts.partKey));
    const parts = wanted.map(schemaParts.partKey).filter((key) => !keys.has(key));
    if (parts.length > 0) found.push({ id, schema, parts });
  }
  return found;
}

/** Another schema gets the tables alone, because a definition may name the old one. */
function partsLeft(
  parts: readonly SchemaPart[],
  tables: readonly RestoredTable[],
  schema: string,
): readonly schemaParts.RestoredPart[] {
  const names = tables.flatMap(({ triggersLeft }) => triggersLeft);
  const triggers = names.map((name) => ({ kind: 'TRIGGER', name, statement: null }));
  const problem = `not created in another schema, because its text may name ${schema}`;
  return [...parts, ...triggers].map((part) => ({ ...part, problem, isMissing: false }));
}

/** The plan in words, before it begins. */
function plan(
  { schema, tables, isRestoring }: DroppedSchema,
  { to, exists, parts }: { readonly to: string; readonly exists: boolean; readonly parts: number },
): string {
  const beside = to === schema ? ` and ${parts} views and programs` : ' alone';
  const place = exists
    ? `into ${to}, which exists: its objects stay, and a table whose name is taken stays held`
    : `into ${to}, which is created`;
  const how = isRestoring ? 'Continues to restore' : 'Restores';
  const what = tables === 1 ? '1 table' : `${tables} tables`;
  return `${how} ${schema}: ${what}${beside}, ${place}.`;
}
