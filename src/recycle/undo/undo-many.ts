/**
 * Does what the plan of an undo of many says: the tables by one RENAME, or none of them; then their
 * keys and triggers, and the views and programs of schemas that were dropped as a whole.
 *
 * Invariant: what follows the RENAME is in the ledger with it, so that recovery finishes it.
 */

import { randomBytes } from 'node:crypto';
import { isServerError } from '../../connections/errors.js';
import type { ServicePool } from '../../connections/sql.js';
import { UndropError } from '../../errors.js';
import { forgetDefinition, recordDefinitions } from '../../ledger/definitions.js';
import type { SchemaPart } from '../../ledger/schema-details.js';
import {
  type DroppedSchema,
  schemaMarks,
  takeSchemaRestore,
} from '../../ledger/schema-restores.js';
import { asRestorer } from '../../ledger/table-restores.js';
import { inGroups, newHoldId, type QualifiedTable, writtenName } from '../../names/names.js';
import { OPERATOR } from '../asker.js';
import type { FailedRestore, ManyReport, RestoreOptions } from '../restore.js';
import { restoreAll } from '../restore.js';
import { lackingOf, type RestoreReport } from '../restore-table.js';
import { restoreRest, type UndoneSchema } from '../schema/restore-schema.js';
import {
  createSchemaAs,
  dropPart,
  partKey,
  type RestoredPart,
  restoreParts,
  showPart,
} from '../schema/schema-parts.js';
import type { SwapBy } from '../swap.js';
import { partsOf, planUndo, type UndoPlan } from './plan-undo.js';

export interface UndoReport {
  readonly tables: ManyReport<RestoreReport>;
  readonly schemas: readonly UndoneSchema[];
}

/** The obstacles, as far as a read can tell. */
export function inTheWay({ choices }: UndoPlan): readonly FailedRestore[] {
  return choices.flatMap((one) => ('error' in one ? one : []));
}

/** The rows and the other versions of more aren't looked at. */
const LOOKED_AT_MAX = 20;

export interface UndoOptions extends Omit<RestoreOptions, 'atOnce' | 'wholeSchema'> {
  /** Kinds of views and programs of which an exchange replaces live ones; default: all. */
  readonly replaces?: readonly string[];
  /** Does what can be done; default: all tables get their names, or none. */
  readonly partial?: boolean;
}

/** An error of the server about one table, or about all of them together, does not reject. */
export function undoMany(
  pool: ServicePool,
  plan: UndoPlan,
  { replaces, partial = false, ...options }: UndoOptions,
): Promise<UndoReport> {
  return asRestorer(pool, async (owner) => {
    const { choices, taken, definitions, schemas, isCopy } = plan;
    for (const { to, sqlLogBin, details, isMissing } of schemas) {
      if (isMissing) await createSchemaAs(pool.logging(sqlLogBin), to, details);
    }
    const { swapBy } = options;
    const room: Room | undefined = swapBy && {
      by: (name) => ({ ...swapBy(name), threadId: owner }),
      ...(replaces && { kinds: replaces }),
    };
    const others = room === undefined ? [] : await findOthers(pool, partsOf(plan), room);
    const isRenaming = choices.some((one) => !('error' in one || one.wasBack));
    const atRename = partial || !isRenaming ? [] : schemas.filter(({ rowLogged }) => rowLogged);
    for (const drop of schemas.filter((one) => !atRename.includes(one))) {
      if (await takeSchemaRestore(pool, drop, { to: drop.to, owner })) continue;
      const why = 'another connection of the server is restoring it';
      throw new UndropError('UNDROP_SCHEMA_BUSY', { schema: drop.schema, why });
    }
    const atOnce = {
      isTaken: ({ to }: { readonly to: QualifiedTable }) => taken.has(writtenName(to)),
      after: await schemaMarks(pool, atRename, owner),
      isAll: !partial,
    };
    const wholeSchema = choices.length > LOOKED_AT_MAX || isCopy;
    const tables = await restoreAll(pool, choices, { ...options, wholeSchema, atOnce });
    const isNone = tables.done.length === 0 && tables.failed.length > 0;
    if (!partial && isNone) return { tables, schemas: [] };
    if (room !== undefined) await makeRoom(pool, others, room);
    const undone: UndoneSchema[] = [];
    for (const drop of schemas) {
      undone.push(await restoreRest(pool, drop, { hasAll: areWhole(tables) }));
    }
    undone.push(...(await restoreSingle(pool, definitions, undone)));
    // Rather the live one than none.
    for (const { schema, part } of others) {
      const isLost = ({ parts }: UndoneSchema) =>
        parts.some((one) => one.isMissing && partKey(one) === partKey(part));
      if (undone.some((one) => one.schema === schema && isLost(one)))
        await restoreParts(pool, schema, { id: owner.toString(16), parts: [part] });
    }
    return { tables, schemas: undone };
  });
}

/** Continues an interrupted restore of a schema. Null: another process does. */
export async function finishSchemaRestore(
  pool: ServicePool,
  { dropId, schema, restoredAs }: Pick<DroppedSchema, 'dropId' | 'schema' | 'restoredAs'>,
): Promise<UndoneSchema | null> {
  const toSchema = restoredAs === schema ? null : restoredAs;
  const selection = { id: dropId, schemas: [schema] };
  const request = { selection, text: schema, swaps: false, toSchema, asker: OPERATOR };
  try {
    const plan = await planUndo(pool, request);
    const { schemas } = await undoMany(pool, plan, { partial: true });
    return schemas.find((one) => one.dropId === dropId) ?? null;
  } catch (error) {
    if (error instanceof UndropError && error.code === 'UNDROP_SCHEMA_BUSY') return null;
    throw error;
  }
}

function areWhole({ done, failed, untried }: ManyReport<RestoreReport>): boolean {
  return (
    failed.length + untried.length === 0 && done.every((report) => lackingOf(report).length === 0)
  );
}

interface Room {
  by(name: QualifiedTable): SwapBy & { readonly threadId: number };
  /** Live ones of other kinds stay; default: none does. */
  readonly kinds?: readonly string[];
  /** Default: the service drops it. */
  drop?(other: PartOf): Promise<void>;
}

interface PartOf {
  readonly schema: string;
  readonly part: SchemaPart;
}

/** Live views and programs that differ from these; read before their tables are others. */
async function findOthers(
  pool: ServicePool,
  wanted: readonly PartOf[],
  { kinds }: Pick<Room, 'kinds'>,
): Promise<readonly PartOf[]> {
  const others: PartOf[] = [];
  for (const { schema, part } of wanted) {
    const { kind, name, statement } = part;
    if (statement === null || kinds?.includes(kind) === false) continue;
    const live = await showPart(pool, schema, part);
    const isOther = live !== null && live.statement !== null && live.statement !== statement;
    if (isOther) others.push({ schema, part: { kind, name, ...live } });
  }
  return others;
}

/** They are recorded, as if they were dropped, and make room. */
export async function makeRoom(
  pool: ServicePool,
  others: readonly PartOf[],
  { by, drop = ({ schema, part }) => dropPart(pool, schema, part) }: Room,
): Promise<void> {
  for (const other of others) {
    const { schema, part } = other;
    const id = newHoldId(Date.now(), randomBytes);
    const who = { ...by({ schema, table: part.name }), dropId: id, schema };
    try {
      await recordDefinitions(pool, { ...who, parts: [{ id, part }] });
      await drop(other);
    } catch (error) {
      // Without an answer it may be dropped, and this is all that is left of it.
      const isRefused = isServerError(error) || (error instanceof Error && 'said' in error);
      if (isRefused) await forgetDefinition(pool, id);
      // It stays, and is reported as one that differs.
      if (!isServerError(error)) throw error;
    }
  }
}

/** The missing ones that aren't among the parts of a schema. */
async function restoreSingle(
  pool: ServicePool,
  definitions: UndoPlan['definitions'],
  undone: readonly UndoneSchema[],
): Promise<readonly UndoneSchema[]> {
  const reports: UndoneSchema[] = [];
  for (const same of inGroups(definitions, ({ schema }) => schema)) {
    const { schema = '', id = '' } = same[0] ?? {};
    const ofSchema = undone.filter((one) => one.schema === schema);
    const covered = new Set(ofSchema.flatMap(({ parts }) => parts.map(partKey)));
    const parts = same.map(({ part }) => part).filter((part) => !covered.has(partKey(part)));
    const missing: SchemaPart[] = [];
    const there: RestoredPart[] = [];
    for (const part of parts) {
      const { kind, name, statement } = part;
      const live = await showPart(pool, schema, part);
      if (live === null) missing.push(part);
      else if (live.statement !== statement) {
        const problem = `it exists, but differs: UNDROP ${kind} ${schema}.${name} SWAP`;
        there.push({ kind, name, statement, problem, isMissing: false });
      }
    }
    const made = await restoreParts(pool, schema, { id, parts: missing });
    const all = [...there, ...made];
    const isComplete = all.every(({ problem }) => problem === null);
    const what = { id, dropId: id, schema, restoredAs: schema };
    reports.push({ ...what, problem: null, parts: all, isComplete });
  }
  return reports;
}
