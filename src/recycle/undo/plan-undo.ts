/**
 * The plan of an undo of many: what was dropped in a span of time, or by one statement, as it was
 * at the beginning of that. It finds out before the first change what stands in the way.
 *
 * Invariant: of each name one table comes back: the first that was dropped and is still whole.
 * After an exchange for live tables the same request means those, so it turns round.
 */

import { systemClock } from '../../clock.js';
import { col, note, type ServicePool, sql } from '../../connections/sql.js';
import { UndropError } from '../../errors.js';
import { type DroppedDefinition, findDefinitions } from '../../ledger/definitions.js';
import { howDropped, type LedgerRow } from '../../ledger/entry.js';
import { liveOwners } from '../../ledger/owner.js';
import { findRowsIfAny } from '../../ledger/read.js';
import type { SchemaDetails } from '../../ledger/schema-details.js';
import {
  type DroppedSchema,
  findDroppedSchemas,
  readDetails,
} from '../../ledger/schema-restores.js';
import type { Selection } from '../../ledger/selection.js';
import { inBatches, inGroups, keyOf, writtenName } from '../../names/names.js';
import { pauseBefore, SCHEMA_DROP_END } from '../../tries.js';
import { type Asker, OPERATOR } from '../asker.js';
import { ambiguousIds, noSuchHeld } from '../find-dropped.js';
import { listPage } from '../held-tables.js';
import { notSeen, planRestore } from '../plan-restore.js';
import { isUnfinished, schemaExists } from '../rename-back.js';
import { type Choice, planOrRefuse, resume } from '../restore.js';
import { partKey } from '../schema/schema-parts.js';

export interface UndoRequest {
  readonly selection: Selection;
  /** The same, as the user typed it. */
  readonly text: string;
  /** Live tables of these names are held instead. */
  readonly swaps: boolean;
  /** Another schema for all of them; null: their own. */
  readonly toSchema: string | null;
  /** Names that are taken are told by a preview; default: they are refused. */
  readonly explains?: boolean;
  readonly asker: Asker;
}

export interface UndoPlan {
  readonly choices: readonly Choice[];
  /** By `writtenName`: a table has the name. */
  readonly taken: ReadonlySet<string>;
  /** Dropped as a whole: they are created where they are missing, with their views and programs. */
  readonly schemas: readonly (DroppedSchema & {
    readonly details: SchemaDetails;
    /** The name that it gets. */
    readonly to: string;
    readonly isMissing: boolean;
  })[];
  /** Views, routines, triggers and events that went on their own. */
  readonly definitions: readonly DroppedDefinition[];
  /** They get into another schema, and keys among them lead there. */
  readonly isCopy: boolean;
  /** Schemas of tables that the asker may restore. */
  readonly inSight: ReadonlySet<string>;
  /** Held tables of the same schemas that the asker may not restore. */
  readonly hidden: number;
  /** Names of which no table is whole any more. */
  readonly lost: readonly string[];
}

/**
 * Changes nothing. Rejects with UNDROP_NO_SUCH_HELD if there is nothing to bring back, and with
 * UNDROP_SCHEMA_BUSY if one of the schemas is being dropped or restored.
 */
export async function planUndo(pool: ServicePool, request: UndoRequest): Promise<UndoPlan> {
  const { selection, text, swaps, toSchema, asker } = request;
  const meant = { by: 'selection', ...selection, withEnded: true } as const;
  const found = await asker.queued(() => findRowsIfAny(pool, meant, { texts: false }));
  const all = found.toReversed();
  const seen = await asker.filter()(all);
  const drops = new Set(seen.map(({ dropId }) => dropId));
  if (selection.drop !== undefined && drops.size > 1) throw ambiguousIds(text, [...drops]);
  const known = new Set(seen.map(({ id }) => id));
  // The asker isn't told of tables in a schema in which it sees none.
  const inSight = new Set(seen.map(({ schema }) => schema));
  const { schema: only, schemas: named = only === undefined ? undefined : [only] } = selection;
  const asked = new Set([...(named ?? []), ...inSight]);
  const isHidden = ({ id, schema, state }: LedgerRow) =>
    state === 'HOLD' && !known.has(id) && inSight.has(schema);
  const isAll = asker === OPERATOR && named === undefined;
  const meantSchemas = await untilFree(pool, async () => {
    const ofSchemas = await findSchemas(pool, selection, drops);
    return ofSchemas.filter(({ schema }) => isAll || asked.has(schema));
  });
  const rows = await chooseRows(pool, seen, request);
  const turnsRound = rows.length === 0 ? null : rows.some(isSwapped);
  const schemas: UndoPlan['schemas'][number][] = [];
  const names = new Set<string>();
  for (const drop of meantSchemas) {
    const to = toSchema ?? drop.schema;
    const details = await readDetails(pool, drop.id);
    for (const part of details.parts) names.add(nameOfPart({ schema: drop.schema, part }));
    // Its parts are turned round like those of single drops.
    const isExchanged = rows.some((row) => row.schema === drop.schema && isSwapped(row));
    if (!isUndone(drop) || isExchanged) continue;
    schemas.push({ ...drop, to, details, isMissing: !(await schemaExists(pool, to)) });
  }
  // An exchange may put those aside again that lack triggers or keys.
  const begun = seen.filter(({ pendingWork }) =>
    swaps ? pendingWork?.todo === 'restoring' : isUnfinished({ pendingWork }),
  );
  const choices: Choice[] = [];
  for (const row of begun) {
    const plan = await resume(pool, row);
    if (plan !== null) choices.push(plan);
    else if ((await liveOwners(pool, [row])).size > 0) {
      const cause = 'its restore is being finished';
      throw new UndropError('UNDROP_BUSY', { table: writtenName(row), cause });
    }
  }
  const { planned, taken } = await planTables(pool, rows, { ...request, schemas });
  const hidden = all.filter(isHidden).length;
  const isCopy = toSchema !== null;
  const within = isAll ? null : asked;
  const isOne = selection.drop !== undefined || selection.id !== undefined;
  const since = swaps ? (selection.since ?? seen[0]?.droppedAt ?? null) : null;
  const single = { within, since, turnsRound, names: isOne ? names : null };
  const definitions = isCopy ? [] : await findSingle(pool, selection, single);
  const everything = [...choices, ...planned];
  const lost = inGroups(seen, keyOf).flatMap((same) => (same.every(isLost) ? nameOf(same) : []));
  const plan = { choices: everything, taken, schemas, definitions, isCopy, inSight, hidden, lost };
  if (everything.length + schemas.length + definitions.length + hidden === 0)
    throw noSuchHeld(text);
  return plan;
}

/** The views and programs that it creates. */
export function partsOf({ schemas, definitions, isCopy }: UndoPlan) {
  const ofSchemas = schemas.flatMap(({ schema, details }) =>
    isCopy ? [] : details.parts.map((part) => ({ schema, part })),
  );
  return [...ofSchemas, ...definitions];
}

/** The row that is meant of each name. */
async function chooseRows(
  pool: ServicePool,
  seen: readonly LedgerRow[],
  { swaps, selection }: UndoRequest,
): Promise<readonly LedgerRow[]> {
  const meant = new Set(seen.map(({ id }) => id));
  const rows = new Map(seen.map((row) => [row.id, row]));
  // A table that an exchange has put into HOLD may be outside of the span.
  const back = swaps ? seen.filter(({ state }) => state === 'restored') : [];
  const names = new Map(back.map((row) => [keyOf(row), row]));
  for (const some of inBatches([...names.values()], NAMES_OF_QUERY)) {
    const held = { by: 'selection', names: some } as const;
    for (const row of await findRowsIfAny(pool, held, { texts: false })) rows.set(row.id, row);
  }
  const inOrder = [...rows.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  const how = { meant, swaps, isOne: selection.drop !== undefined || selection.id !== undefined };
  return inGroups(inOrder, keyOf).flatMap((same) => chooseRow(same, how) ?? []);
}

const NAMES_OF_QUERY = 500;

interface Choosing {
  /** The ids of those that the request is about. */
  readonly meant: ReadonlySet<string>;
  readonly swaps: boolean;
  /** It is about one statement, perhaps one that has put live tables aside; default: a time. */
  readonly isOne?: boolean;
}

/** `rows`: of one name, oldest first. Pure. */
export function chooseRow(
  rows: readonly LedgerRow[],
  { meant, swaps, isOne = false }: Choosing,
): LedgerRow | null {
  const wasBack = rows.some((row) => meant.has(row.id) && isBack(row));
  const newest = rows.findLast(isHeld);
  if (swaps && wasBack && newest !== undefined && isSwapped(newest)) return newest;
  let backAt: Date | null = null;
  for (const row of rows) {
    // Another table had the name until then.
    if (!meant.has(row.id) || (backAt !== null && row.droppedAt < backAt)) continue;
    if (isBack(row)) backAt = row.endedAt;
    else if (isHeld(row) && (isOne || !isSwapped(row))) return row;
  }
  return null;
}

function isLost({ state }: LedgerRow): boolean {
  return !['intent', 'HOLD', 'restored'].includes(state);
}

function nameOf([row]: readonly LedgerRow[]): readonly string[] {
  return row === undefined ? [] : [writtenName(row)];
}

function isSwapped(row: LedgerRow): boolean {
  return howDropped(row) === 'SWAP';
}

function isHeld({ state, pendingWork }: LedgerRow): boolean {
  return (state === 'HOLD' && pendingWork?.todo !== 'restoring') || state === 'intent';
}

function isBack(row: LedgerRow): boolean {
  return row.state === 'restored' && row.restoredAs === writtenName(row);
}

async function planTables(
  pool: ServicePool,
  rows: readonly LedgerRow[],
  { swaps, explains = false, toSchema, schemas }: UndoRequest & Pick<UndoPlan, 'schemas'>,
): Promise<{ readonly planned: readonly Choice[]; readonly taken: ReadonlySet<string> }> {
  const tables = new Map((await listPage(pool, rows)).map((table) => [table.id, table]));
  const made = new Set(schemas.map(({ to }) => to));
  const there = new Map<string, ReadonlyMap<string, boolean> | null>();
  for (const schema of new Set(rows.map((row) => toSchema ?? row.schema))) {
    const exists = await schemaExists(pool, schema);
    there.set(schema, exists ? await readNames(pool, schema) : null);
  }
  const taken = new Set<string>();
  const given = new Set<string>();
  const planned: Choice[] = [];
  for (const row of rows) {
    const { id } = row;
    const table = tables.get(id);
    const what = writtenName(row);
    const to = toSchema === null ? null : { schema: toSchema, table: row.table };
    const plan = () => {
      if (table?.unseen === true) throw notSeen(table);
      const one = planRestore(table === undefined ? [] : [table], { target: what, to });
      const { schema, table: name } = one.to;
      const [key, inSchema] = [writtenName(one.to), there.get(schema)];
      if (inSchema === null && !made.has(schema))
        throw new UndropError('UNDROP_SCHEMA_MISSING', { id, schema });
      const isView = inSchema?.get(name);
      if (given.has(key) || (isView !== undefined && (isView || !(swaps || explains))))
        throw new UndropError('UNDROP_NAME_TAKEN', { id, table: key });
      given.add(key);
      if (isView === false) taken.add(key);
      return { ...one, isExact: true };
    };
    planned.push(await planOrRefuse(what, plan));
  }
  return { planned, taken };
}

/** The tables and views of a schema, and whether it is a view. */
async function readNames(pool: ServicePool, schema: string): Promise<ReadonlyMap<string, boolean>> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} TABLE_NAME AS name, TABLE_TYPE = 'VIEW' AS isView
        FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${schema}`,
  );
  return new Map(rows.map((row) => [col.text(row, 'name'), col.flag(row, 'isView')]));
}

interface Single {
  /** In these schemas; null: in any. */
  readonly within: ReadonlySet<string> | null;
  /** An exchange puts others aside, and so may one since then; null: it is none. */
  readonly since: Date | null;
  /** Its tables are those that an exchange has put aside; null: it has none. */
  readonly turnsRound: boolean | null;
  /** By `nameOfPart`: of a dropped schema; an exchange means others of one statement. Null: any. */
  readonly names: ReadonlySet<string> | null;
}

/** The first one of each name that is meant; or, to turn round, the last that was put aside. */
async function findSingle(
  pool: ServicePool,
  selection: Selection,
  { within, since, turnsRound, names }: Single,
): Promise<readonly DroppedDefinition[]> {
  const find = async (filter: Selection, swapped: boolean) =>
    (await findDefinitions(pool, filter)).filter(
      ({ schema, isSwapped }) => isSwapped === swapped && (within === null || within.has(schema)),
    );
  const own = await find(selection, false);
  const mine = new Set([...(names ?? []), ...own.map(nameOfPart)]);
  const isMine = (one: DroppedDefinition) => names === null || mine.has(nameOfPart(one));
  const isExchange = since !== null && turnsRound !== false;
  const aside = isExchange ? (await find({ since }, true)).filter(isMine) : [];
  const isBackwards = turnsRound ?? aside.length > 0;
  const meant = isBackwards ? aside : own.toReversed();
  return inGroups(meant, nameOfPart).flatMap(([first]) => first ?? []);
}

function nameOfPart({ schema, part }: Pick<DroppedDefinition, 'schema' | 'part'>): string {
  return `${schema}\n${partKey(part)}`;
}

/** The first drop of each schema that is meant and isn't back; else the first. */
async function findSchemas(
  pool: ServicePool,
  selection: Selection,
  drops: ReadonlySet<string>,
): Promise<readonly DroppedSchema[]> {
  const { drop, id, since, until, user, program } = selection;
  const digits = drop ?? id;
  const isMeant = ({ dropId, droppedAt, user: who, program: by }: DroppedSchema) => {
    if (digits !== undefined) return drops.size === 0 || drops.has(dropId);
    const isInTime = droppedAt >= (since ?? droppedAt) && droppedAt <= (until ?? droppedAt);
    const isSame = (wanted: string | undefined, found: string | null) =>
      wanted === undefined || wanted.toLowerCase() === found?.toLowerCase();
    return isInTime && isSame(user, who) && isSame(program, by);
  };
  const all = await findDroppedSchemas(pool, digits === undefined ? 'all' : { digits });
  const found = all.toReversed().filter(isMeant);
  const bySchema = inGroups(found, ({ schema }) => schema);
  return bySchema.flatMap((same) => same.find(isUndone) ?? same[0] ?? []);
}

function isUndone({ restoredAs, isRestoring }: DroppedSchema): boolean {
  return restoredAs === null || isRestoring;
}

/**
 * Another connection may be at work on one of them: the end of a DROP DATABASE is written after its
 * response.
 */
async function untilFree(
  pool: ServicePool,
  find: () => Promise<readonly DroppedSchema[]>,
): Promise<readonly DroppedSchema[]> {
  for (const endMs = performance.now() + SCHEMA_DROP_END.givenUpMs; ; ) {
    const dropped = await find();
    const begun = dropped.filter(({ isRestoring }) => isRestoring);
    const owned = await liveOwners(pool, begun);
    const busy = dropped.find(({ id, isOpen }) => isOpen || owned.has(id));
    if (busy === undefined) return dropped;
    if (performance.now() > endMs) {
      const { schema, isOpen, threadId } = busy;
      const why = isOpen ? NOT_ENDED : `connection ${threadId} of the server is restoring it`;
      throw new UndropError('UNDROP_SCHEMA_BUSY', { schema, why });
    }
    await systemClock.sleep(pauseBefore(SCHEMA_DROP_END, 0));
  }
}

const NOT_ENDED =
  'its DROP DATABASE has not ended; if it was interrupted, a proxy that collects ends it';
