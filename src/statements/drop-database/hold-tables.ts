/**
 * Holds the tables of a schema that is being dropped: their intents, their RENAMEs to hold names by
 * the service account, and their way into the recycle schema. Each step may be begun again with
 * tables that have come meanwhile.
 *
 * Invariant: a table is renamed only after its intent, and counted as away only if it is in the
 * recycle schema: what stays in its schema would be dropped with it.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { NOT_TRIED, renamesInPieces } from '../../held/relocate/blockers.js';
import type { RelocateTable } from '../../held/relocate/relocate.js';
import type { Failure } from '../../ledger/entry.js';
import type { IntentTable } from '../../ledger/write.js';
import { formatHoldName } from '../../names/hold-name.js';
import { inBatches } from '../../names/names.js';
import { isRecycleSchema, recycleSchemaFor } from '../../names/recycle-schema.js';
import { isFree, saysGone } from '../../steps/ask-to-drop.js';
import { ask } from '../../steps/procedure.js';
import { type Answer, answerWith, type HeldTable, refuse } from '../../steps/refuse.js';
import type { ServiceRenameTable } from '../../steps/rename/rename-by-service.js';
import {
  INNODB_WAIT_S,
  renameGroups,
  SERVICE_TRIES_MAX,
  takeByService,
} from '../../steps/rename/take-by-service.js';
import { turnSql } from '../../steps/session/user-session-sql.js';
import { ER_TRG_IN_WRONG_SCHEMA } from '../../wire/server-errors.js';
import { blockedParents, hasForeignKeys, parentErrorSql } from '../drop-table/parents.js';
import {
  call,
  crowded,
  notDropped,
  type SchemaDropRequest,
  type SchemaEffect,
  type SchemaSteps,
} from './effects.js';

/** The schema as stored, and the request. */
export interface Place {
  readonly schema: string;
  readonly request: SchemaDropRequest;
}

export interface Recorded {
  readonly tables: readonly IntentTable[];
  /** Ids of those that go into the recycle schema at once, because they have one RENAME only. */
  readonly inPieces: ReadonlySet<string>;
}

/** Names in one text of ours. */
const BATCH = 40;
/** Tables that are freed and moved in one go, with a budget of their own for locks. */
const RELOCATE_BATCH = 8;
/** Without one more table moved. */
const RELOCATE_TRIES_MAX = 40;
const RELOCATE_PAUSE_MS = 50;

/** An answer: a table can't be recorded, would not be dropped, or has to stay in its schema. */
export function* recordTables(
  { schema, request }: Place,
  names: readonly string[],
): SchemaSteps<Recorded | Answer> {
  if (names.length === 0) return { tables: [], inPieces: new Set() };
  const { tables, lowerCaseTableNames } = yield* call('recordTables', schema, names);
  const rules = { isAtomic: true, foldsCase: lowerCaseTableNames !== 0, schema };
  const [parent] = request.facts.checksForeignKeys ? blockedParents(tables, rules) : [];
  if (parent !== undefined) {
    const [said] = yield* ask(parentErrorSql(request.server, parent));
    assert(said?.kind === 'err', 'SIGNAL answers with an error');
    return answerWith(said);
  }
  const stays = renamesInPieces(request.server) ? yield* call('stays', tables) : [];
  for (const [index, { table }] of tables.entries()) {
    const why = stays[index];
    if (why?.todo === 'stays_file') return staying(schema, table, why);
  }
  const pieces = tables.filter((_table, index) => stays[index]?.todo === 'stays_partitions');
  return {
    tables: tables.filter(({ holdUntil }) => holdUntil !== null),
    inPieces: new Set(pieces.map(({ id }) => id)),
  };
}

/** All of them into the recycle schema; those that are gone meanwhile are left out. */
export function* holdTables(
  place: Place,
  { tables, inPieces }: Recorded,
): SchemaSteps<readonly HeldTable[] | Answer> {
  const isMariadb = place.request.server.flavour === 'mariadb';
  const groups = renameGroups(tables, ({ triggers }) => isMariadb && triggers.length > 0);
  const renamed: RelocateTable[] = [];
  for (const group of groups.flatMap((one) => inBatches(one, BATCH))) {
    const taken = yield* take(place, group, inPieces);
    if ('kind' in taken) return taken;
    renamed.push(...taken);
  }
  const isBound = ({ id }: RelocateTable) =>
    tables.some((one) => one.id === id && (hasForeignKeys(one) || one.triggers.length > 0));
  const away = renamed.filter(({ fromSchema }) => isRecycleSchema(fromSchema));
  const left = renamed.filter((table) => !away.includes(table));
  const plain = left.filter((table) => !isBound(table));
  const moved = yield* relocate(place.schema, plain, left.filter(isBound));
  if ('kind' in moved) return moved;
  return [...away.map((table) => heldAt(table, table.fromSchema)), ...moved];
}

function heldAt(
  { id, holdName }: Pick<RelocateTable, 'id' | 'holdName'>,
  holdSchema: string,
  failure: Failure | null = null,
): HeldTable {
  return { id, holdSchema, holdName, relocated: failure === null, failure };
}

/** In one RENAME; none if one of them is gone. */
function* take(
  place: Place,
  group: readonly IntentTable[],
  inPieces: ReadonlySet<string>,
): SchemaSteps<readonly RelocateTable[] | Answer> {
  const { schema, request } = place;
  const { logged, checksForeignKeys } = request.facts;
  // No table goes to another schema with its triggers.
  const isRelocated = ({ id, triggers }: IntentTable) =>
    inPieces.has(id) && logged && triggers.length === 0;
  const tables: readonly ServiceRenameTable[] = group.map((table) => {
    const { id, holdUntil } = table;
    assert(holdUntil !== null, 'a table that is renamed has an intent');
    const holdName = formatHoldName({ state: 'HOLD', id, due: holdUntil });
    const holdSchema = isRelocated(table) ? recycleSchemaFor(logged) : schema;
    return { id, schema, table: table.table, holdName, holdSchema };
  });
  let isFirst = true;
  const taken = yield* takeByService<Answer | 'gone' | 'held' | 'triggers', SchemaEffect>(request, {
    *wait() {
      const ended = isFirst ? null : yield* waitForLocks(place, tables);
      isFirst = false;
      return ended;
    },
    *take(killAfterMs) {
      const how = { logged, checksForeignKeys, killAfterMs, innodbWaitS: INNODB_WAIT_S };
      const outcome = yield* call('take', { tables, ...how });
      switch (outcome.kind) {
        case 'renamed':
          return 'held';
        case 'gone':
          return 'gone';
        case 'busy':
          return outcome.isTimeout === true ? 'timeout' : 'busy';
        case 'denied':
        case 'failed': {
          const hasTriggers = outcome.kind === 'failed' && outcome.errno === ER_TRG_IN_WRONG_SCHEMA;
          if (hasTriggers && group.some(isRelocated)) return 'triggers';
          const why = `the service account of undrop can’t rename ${tables[0]?.table}: ${outcome.cause}`;
          return refuse(notDropped(schema, why, outcome.kind === 'denied' ? GRANT : MEND));
        }
      }
    },
  });
  switch (taken) {
    case 'held':
      return tables.map(({ id, holdSchema: fromSchema = schema, holdName, table }) => {
        return { id, fromSchema, holdName, table };
      });
    case 'gone':
      // Somebody else has dropped or renamed one of them. The next look finds the others.
      return [];
    case 'triggers':
      return yield* take(place, group, new Set());
    case 'changed':
      return crowded(schema, SERVICE_TRIES_MAX);
    default:
      return taken;
  }
}

/** The session waits for the others' locks, as its DROP would. */
function* waitForLocks(
  { request: { groupId, charset, schema, facts } }: Place,
  tables: readonly ServiceRenameTable[],
): SchemaSteps<Answer | 'gone' | null> {
  for (const { table } of tables) {
    const bytes = yield* call('encode', table);
    if (bytes === null) {
      return refuse(new UndropError('UNDROP_NAME_CHARSET', { charset: facts.charset }));
    }
    const name = { schema, table: bytes };
    const [said] = yield* ask(turnSql(name, { groupId, charset, wait: null }));
    assert(said?.kind === 'err', 'there is no such partition');
    if (saysGone(said, name)) return 'gone';
    if (!isFree(said)) return answerWith(said);
  }
  return null;
}

interface Moved {
  readonly held: readonly HeldTable[];
  readonly failed: readonly RelocateTable[];
  /** Why the last of them was not moved. */
  readonly why: Failure;
}

/** `bound`: keys or triggers are taken off them first. */
function* relocate(
  schema: string,
  plain: readonly RelocateTable[],
  bound: readonly RelocateTable[],
): SchemaSteps<readonly HeldTable[] | Answer> {
  const first = yield* move(inBatches(plain, BATCH), false);
  const held = [...first.held];
  let left: readonly RelocateTable[] = [...bound, ...first.failed];
  for (let tries = 0; left.length > 0; tries++) {
    const moved = yield* move(inBatches(left, RELOCATE_BATCH), true);
    held.push(...moved.held);
    if (moved.failed.length < left.length) tries = 0;
    left = moved.failed;
    const [stuck] = left;
    if (stuck === undefined) break;
    if (tries > RELOCATE_TRIES_MAX || moved.why.todo === 'stays_triggers') {
      return staying(schema, stuck.table, moved.why);
    }
    yield* call('pause', RELOCATE_PAUSE_MS);
  }
  return held;
}

function* move(
  batches: readonly (readonly RelocateTable[])[],
  detach: boolean,
): SchemaSteps<Moved> {
  const held: HeldTable[] = [];
  const failed: RelocateTable[] = [];
  let why = NOT_TRIED;
  for (const batch of batches) {
    const relocations = yield* call('relocate', batch, detach);
    for (const [index, table] of batch.entries()) {
      const relocation = relocations[index];
      assert(relocation !== undefined, 'one report for each table');
      if (relocation.outcome === 'failed') {
        why = relocation.failure;
        failed.push(table);
      } else if (relocation.outcome === 'moved') {
        held.push(heldAt(relocation, relocation.holdSchema, relocation.failure));
      }
    }
  }
  return { held, failed, why };
}

const GRANT = 'Grant ALTER, DROP, CREATE and INSERT on the schema to the service account.';
const MEND =
  'Mend what the server says of that table, or drop it on a direct connection; then drop the schema.';
const ALONE =
  'Drop that table by itself and wait until it is removed, or restore it elsewhere; then drop the schema.';

function staying(schema: string, table: string, why: Failure): Answer {
  return refuse(notDropped(schema, `its table ${table} can’t leave it (${why.text})`, ALONE));
}
