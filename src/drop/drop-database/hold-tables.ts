/**
 * Holds the tables of a schema that is being dropped: their intents, their RENAMEs to hold names by
 * the service account, and their relocation. Each step may be repeated with tables that have come
 * meanwhile.
 *
 * Invariant: a table is renamed only after its intent, and counts as moved only if it is in the
 * recycle schema, because a table that stays in its schema would be dropped with it.
 */
import { assert, UndropError } from '../../errors.js';
import { isRenamedOnce, NOT_TRIED, type RelocateTable } from '../../held/relocate/blockers.js';
import type { PendingWork } from '../../ledger/entry.js';
import { formatHoldName, inBatches, isRecycleSchema, recycleSchemaFor } from '../../names/names.js';
import {
  SCHEMA_RELOCATE_PAUSE_MS,
  SCHEMA_RELOCATE_TRIES,
  SERVICE_RENAME_TRIES,
} from '../../tries.js';
import * as ER from '../../wire/server-errors.js';
import { isBound, parentInSchema, renameGroups } from '../drop-table/decide.js';
import { refusalBeforeInspection } from '../steps/inspect-names.js';
import { takeByService } from '../steps/rename/take-by-service.js';
import { raise, waitForLockSql } from '../steps/session/user-session.js';
import type * as steps from '../steps/world.js';
import { answerWith, ask, heldTable, refuse } from '../steps/world.js';
import { crowded, notDropped, type SchemaDropRequest } from './schema-drop.js';
import type { GroupOwner, SchemaPort } from './schema-port.js';

/** The schema as stored, the request, the ports, and who owns the group. */
export interface SchemaToEmpty {
  readonly world: steps.World;
  readonly port: SchemaPort;
  readonly owner: GroupOwner;
  readonly schema: string;
  readonly request: SchemaDropRequest;
}

/** A table that has an intent. */
interface Recorded extends steps.ServiceRenameTable {
  readonly hasTriggers: boolean;
  /** Keys or triggers are detached before it leaves its schema. */
  readonly isBound: boolean;
}

/** The number of names in one text. */
const BATCH = 40;
/** Tables that are freed and moved together, with a lock-wait budget of their own. */
const FREED_BATCH = 8;

/** An answer: a table can't be recorded, would not be dropped, or has to stay in its schema. */
export async function recordTables(
  { schema, request, world, port }: SchemaToEmpty,
  names: readonly string[],
): Promise<readonly Recorded[] | steps.Answer> {
  if (names.length === 0) return [];
  const { facts } = request;
  const named = names.map((table) => ({ schema, table }));
  const { intent, intentError, rulings } = await world.recordTargets(facts, named);
  if (intent === null) return refuse(intentError);
  const kinds = names.map(() => 'base' as const);
  const refused = refusalBeforeInspection({ request, facts, kinds, rulings }, intent);
  if (refused !== null) return refuse(refused);
  const { tables } = intent;
  const parent = parentInSchema({ request, facts, schema }, intent);
  if (parent !== null) return raise(world, request, parent);
  const isMariadb = request.server.flavour === 'mariadb';
  const blockers = isMariadb ? await port.blockersOf(tables) : [];
  const targets: Recorded[] = [];
  for (const [index, table] of tables.entries()) {
    const blocker = blockers[index] ?? null;
    if (blocker?.todo === 'blocked_by_file') return staying(schema, table.table, blocker);
    const { id, holdUntil: due } = table;
    // It is gone.
    if (due === null) continue;
    // A table with triggers or keys leaves its schema only after these are detached.
    const leavesAtOnce = isRenamedOnce({ blocker, isBound: isBound(table) });
    targets.push({
      ...{ id, schema, table: table.table, holdName: formatHoldName({ state: 'HOLD', id, due }) },
      holdSchema: leavesAtOnce ? recycleSchemaFor(facts.logged) : schema,
      ...{ hasTriggers: table.triggers.length > 0, isBound: isBound(table) },
    });
  }
  return targets;
}

/** Moves all of them into the recycle schema; those that are gone are left out. */
export async function holdTables(
  drop: SchemaToEmpty,
  tables: readonly Recorded[],
): Promise<readonly steps.HeldTable[] | steps.Answer> {
  const isMariadb = drop.request.server.flavour === 'mariadb';
  const groups = renameGroups(tables, ({ hasTriggers }) => isMariadb && hasTriggers);
  const renamed: Recorded[] = [];
  for (const group of groups.flatMap((one) => inBatches(one, BATCH))) {
    const taken = await takeGroup(drop, group);
    if ('kind' in taken) return taken;
    renamed.push(...taken);
  }
  const away = renamed.filter(({ holdSchema }) => isRecycleSchema(holdSchema));
  const held: steps.HeldTable[] = [];
  const places = away.map((table) => ({ ...table, fromSchema: table.holdSchema }));
  for (const [index, freed] of (await drop.port.freed(places)).entries()) {
    const table = away[index];
    assert(table !== undefined && freed.outcome === 'moved', 'it is away');
    const { pendingWork } = freed;
    if (pendingWork?.binds !== undefined) return staying(drop.schema, table.table, pendingWork);
    held.push(heldTable(freed, table));
  }
  const left = renamed.filter((table) => !away.includes(table));
  // Triggers are detached last: if another table has to stay, the schema keeps them.
  for (const isLast of [false, true]) {
    const some = left.filter(({ hasTriggers }) => hasTriggers === isLast);
    const moved = await relocate(drop, some);
    if ('kind' in moved) return moved;
    held.push(...moved);
  }
  return held;
}

/** The held tables; none if one of them is gone: the next check finds the others. */
async function takeGroup(
  drop: SchemaToEmpty,
  group: readonly Recorded[],
): Promise<readonly Recorded[] | steps.Answer> {
  const taken = await take(drop, group);
  if (taken === 'held') return group;
  if (taken === 'gone') return [];
  if (taken === 'alone') {
    const all: Recorded[] = [];
    for (const table of group) {
      const one = await takeGroup(drop, [table]);
      if ('kind' in one) return one;
      all.push(...one);
    }
    return all;
  }
  if (taken !== 'unmoved') return taken;
  // The name of a CHECK is taken in the recycle schema, or a file has its own place.
  const inPlace = group.map((table) => ({ ...table, holdSchema: drop.schema }));
  return takeGroup(drop, inPlace);
}

/**
 * `gone`: one of them is gone. `unmoved`: one of them can't leave its schema in that RENAME.
 * `alone`: one of them needs a statement of its own.
 */
type Taken = 'held' | 'gone' | 'unmoved' | 'alone';

/** Renames them in one RENAME. */
async function take(
  drop: SchemaToEmpty,
  tables: readonly Recorded[],
): Promise<steps.Answer | Taken> {
  const { schema, request, world } = drop;
  const { logged, checksForeignKeys } = request.facts;
  let isFirst = true;
  const taken = await takeByService<steps.Answer | Taken>(world, request, {
    async wait() {
      const ended = isFirst ? null : await waitForLocks(drop, tables);
      isFirst = false;
      return ended;
    },
    async take(killAfterMs) {
      const how = { logged, checksForeignKeys, killAfterMs };
      const outcome = await world.take({ tables, ...how });
      switch (outcome.kind) {
        case 'renamed':
          return 'held';
        case 'gone':
          return 'gone';
        case 'busy':
          return outcome.isTimeout === true ? 'timeout' : 'busy';
        case 'denied':
        case 'failed': {
          const isTooLong = outcome.kind === 'failed' && outcome.errno === ER.TOO_LONG_IDENT;
          if (isTooLong && tables.length > 1) return 'alone';
          if (tables.some(({ holdSchema }) => isRecycleSchema(holdSchema))) return 'unmoved';
          const why = `the service account of undrop cannot rename ${tables[0]?.table}: ${outcome.cause}`;
          return refuse(notDropped(schema, why, outcome.kind === 'denied' ? GRANT : MEND));
        }
      }
    },
  });
  return taken === 'changed' ? crowded(schema, SERVICE_RENAME_TRIES) : taken;
}

/** The session waits for others' locks, as its DROP would. */
async function waitForLocks(
  { world, request: { dropId, charset, schema, facts } }: SchemaToEmpty,
  tables: readonly steps.ServiceRenameTable[],
): Promise<steps.Answer | null> {
  for (const { table } of tables) {
    // Other charsets may turn these bytes into another name.
    if (!facts.charset.startsWith('utf8') && !/^\w*$/.test(table)) {
      return refuse(new UndropError('UNDROP_NAME_CHARSET', { charset: facts.charset }));
    }
    const name = { schema, table: Buffer.from(table) };
    const [said] = await ask(world, waitForLockSql(name, { dropId, charset }));
    assert(said?.kind === 'err', 'there is no such partition');
    if (![...ER.METADATA_LOCK_GRANTED, ...ER.ABSENT_TO_RENAME].includes(said.errno)) {
      return answerWith(said);
    }
  }
  return null;
}

/** Relocates them; locked tables are tried again, in small batches. */
async function relocate(
  { schema, request, world, port }: SchemaToEmpty,
  tables: readonly Recorded[],
): Promise<readonly steps.HeldTable[] | steps.Answer> {
  const held: steps.HeldTable[] = [];
  let left = tables;
  let batchMax = BATCH;
  for (let tries = 0; left.length > 0; tries++) {
    const failed: Recorded[] = [];
    let why = NOT_TRIED;
    for (const batch of inBatches(left, batchMax)) {
      const detach = batchMax < BATCH || batch.some((table) => table.isBound);
      const moving = batch.map((table): RelocateTable => ({ ...table, fromSchema: schema }));
      const how = { logged: request.facts.logged, detach, mustLeave: true };
      const relocations = await world.relocate(moving, how);
      for (const [index, table] of batch.entries()) {
        const relocation = relocations[index];
        assert(relocation !== undefined, 'one report for each table');
        if (relocation.outcome === 'failed') {
          why = relocation.pendingWork;
          failed.push(table);
        } else if (relocation.outcome === 'moved') {
          const { pendingWork } = relocation;
          if (pendingWork?.binds !== undefined) return staying(schema, table.table, pendingWork);
          held.push({ ...heldTable(relocation, table), hadTriggers: table.hasTriggers });
        }
      }
    }
    const [stuck] = failed;
    if (stuck === undefined) break;
    if (failed.length < left.length) tries = 0;
    if (tries > SCHEMA_RELOCATE_TRIES || why.todo === 'blocked_by_triggers') {
      return staying(schema, stuck.table, why);
    }
    [left, batchMax] = [failed, FREED_BATCH];
    await port.pause(SCHEMA_RELOCATE_PAUSE_MS);
  }
  return held;
}

const GRANT = 'Grant ALTER, DROP, CREATE and INSERT on the schema to the service account.';
const MEND = 'Fix the error of that table, or ask an operator of undrop; then drop the schema.';
const ALONE =
  'Drop that table by itself and wait until it is removed, or restore it elsewhere; then drop the schema.';

const TRIGGERS =
  'Grant the service account the missing privileges (`undrop doctor`), or drop those triggers; then drop the schema.';

function staying(schema: string, table: string, why: PendingWork): steps.Answer {
  const instead = why.todo === 'blocked_by_triggers' ? TRIGGERS : ALONE;
  const cause = `its table ${table} cannot be moved out of it (${why.text})`;
  return refuse(notDropped(schema, cause, instead));
}
