/**
 * Finds the drop of a schema that a request means, creates its views and programs again after its
 * tables, and ends its restore (undo/undo-many.ts).
 *
 * Invariant: the progress of a restore is only in the ledger and in the names of the tables.
 */

import type { ServicePool } from '../../connections/sql.js';
import { UndropError } from '../../errors.js';
import type { SchemaDetails } from '../../ledger/schema-details.js';
import {
  countOthers,
  type DroppedSchema,
  endSchemaRestore,
  findDroppedSchemas,
  readDetails,
} from '../../ledger/schema-restores.js';
import { formatCount, printable } from '../../printer.js';
import { ambiguousIds, idDigits, isIdPrefix } from '../find-dropped.js';
import { schemaExists } from '../rename-back.js';
import * as schemaParts from './schema-parts.js';

export interface SchemaRequest {
  /** Its original name. */
  readonly schema: string;
  /** It may also be the beginning of an id of its drop, because the caller has all privileges. */
  readonly mayBeId?: boolean;
  /** Another schema, for its tables alone; default: the original schema. */
  readonly to?: string | null;
}

/** The views and programs of a schema, after a restore. */
export interface UndoneSchema extends Pick<DroppedSchema, 'id' | 'dropId' | 'schema'> {
  readonly restoredAs: string;
  /** Another schema than its own gets none. */
  readonly parts: readonly schemaParts.RestoredPart[];
  /** Why the schema itself differs from the dropped one; null: it doesn't. */
  readonly problem: string | null;
  /** Everything requested exists unchanged. */
  readonly isComplete: boolean;
}

/** The drop, and whether all of it is back. Rejects with UNDROP_NO_SUCH_SCHEMA. */
export async function findSchemaDrop(
  pool: ServicePool,
  { schema, to, mayBeId = false }: SchemaRequest,
): Promise<{ readonly drop: DroppedSchema; readonly isBack: boolean }> {
  const named = await findDroppedSchemas(pool, { name: schema });
  const found = named.length === 0 && mayBeId ? await findSchemaDropsById(pool, schema) : named;
  const ids = found.map(({ dropId }) => dropId);
  if (named.length === 0 && ids.length > 1) throw ambiguousIds(schema, ids);
  const at = to ?? found[0]?.schema ?? schema;
  const drop = chooseDrop(found, at);
  if (drop === null) {
    const fate = found.length === 0 ? '' : ' Its tables were removed for good.';
    throw new UndropError('UNDROP_NO_SUCH_SCHEMA', { schema, fate });
  }
  const { restoredAs, isRestoring } = drop;
  if (restoredAs === null || isRestoring) return { drop, isBack: false };
  if (restoredAs === at && (await schemaExists(pool, at))) return { drop, isBack: true };
  const fate = ` It was restored as ${restoredAs}.`;
  throw new UndropError('UNDROP_NO_SUCH_SCHEMA', { schema, fate });
}

/** A sentence about other held tables of that schema; null: there are none. */
export async function othersHeld(
  pool: ServicePool,
  drop: Pick<DroppedSchema, 'schema' | 'dropId'>,
): Promise<string | null> {
  const count = await countOthers(pool, drop);
  const which = `SHOW DROPPED TABLES FROM ${drop.schema}, or \`undrop list --schema ${drop.schema}\``;
  const text = `${formatCount(count)} other dropped tables of ${drop.schema} are held: ${which}.`;
  return count === 0 ? null : printable(text);
}

/** Drops with an id, or a table's id, that begins or ends with `text`, if that can be one. */
export async function findSchemaDropsById(
  pool: ServicePool,
  text: string,
): Promise<readonly DroppedSchema[]> {
  const digits = idDigits(text);
  return isIdPrefix(digits) ? findDroppedSchemas(pool, { digits }) : [];
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
 * Its views and programs, after its tables, and the end of its restore as `to`. `hasAll`: its
 * tables are back with all their parts.
 */
export async function restoreRest(
  pool: ServicePool,
  drop: DroppedSchema & { readonly to: string; readonly details: SchemaDetails },
  { hasAll }: { readonly hasAll: boolean },
): Promise<UndoneSchema> {
  const { id, dropId, schema, sqlLogBin, to, details } = drop;
  const inLog = pool.logging(sqlLogBin);
  const isCopy = to !== schema;
  const parts = isCopy
    ? details.parts.map((part) => ({ ...part, problem: NOT_COPIED, isMissing: false }))
    : await schemaParts.restoreParts(inLog, schema, { id, parts: details.parts });
  const problem = await schemaParts.schemaDifference(pool, to, details);
  const areBack = isCopy || parts.every((part) => part.problem === null);
  const isComplete = problem === null && hasAll && areBack;
  await endSchemaRestore(pool, drop, { isComplete });
  return { id, dropId, schema, restoredAs: to, parts, problem, isComplete };
}

const NOT_COPIED = 'not created in another schema';

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
