/**
 * `exchange` brings held tables back where their names are taken: the live tables of these names go
 * into HOLD and the held ones take the names, in one atomic RENAME. It is also the way back after a
 * TRUNCATE and a CREATE OR REPLACE, and it gives many tables their names at once.
 *
 * Invariants: the RENAME follows the live tables' intents in the ledger, which the connection of
 * the RENAME owns. After any interruption, recovery finds all tables: an intent whose RENAME did
 * not happen is forgotten, and what follows one that did is completed.
 */
import { randomBytes } from 'node:crypto';
import { isServerError, type ServerError } from '../connections/errors.js';
import { isHeldAnywhere } from '../connections/hold-tables.js';
import { runWithTimeoutOn, SHORT_INNODB_WAIT } from '../connections/pool/statement-timeout.js';
import type { ServicePool, SQLQuery, TaskConnection } from '../connections/sql.js';
import { ident, note, sql } from '../connections/sql.js';
import { assert, UndropError } from '../errors.js';
import type { RelocateTable } from '../held/relocate/blockers.js';
import { detachChecks } from '../held/relocate/checks.js';
import {
  detachAndRelocate,
  moveToRecycleSchema,
  type Relocation,
} from '../held/relocate/relocate.js';
import { freeMoved, untilFree } from '../held/relocate/until-free.js';
import { reportAndKeep } from '../ledger/history.js';
import { recordIntent } from '../ledger/intents/record-intent.js';
import { createSchema } from '../ledger/tables.js';
import {
  forgetIntents,
  hasForeignKeys,
  type IntentTable,
  recordOutcome,
  shapeOf,
} from '../ledger/write.js';
import { type Log, silentLog } from '../log.js';
import type { QualifiedTable } from '../names/names.js';
import {
  formatHoldName,
  inBatches,
  newHoldId,
  RECYCLE_SCHEMA,
  writtenName,
} from '../names/names.js';
import type { HoldTime } from '../policy/rules.js';
import { someOf } from '../printer.js';
import type { Claims } from '../sql/comment-tags.js';
import * as ER from '../wire/server-errors.js';
import type { Placed, Placing } from './place-tables.js';
import type { HeldPlan } from './plan-restore.js';
import { explainRename, isRenamedBack } from './rename-back.js';

/** The actor of a swap, for the ledger's row of the live table. */
export interface SwapBy {
  readonly proxyId: string;
  readonly user: string;
  /** The name of its account; default: `user`. */
  readonly accountName?: string;
  readonly clientAddress: string;
  readonly statementText: string;
  /** Default: none. */
  readonly claims?: Claims;
  /** How long the live table is held. */
  readonly hold: HoldTime;
  /** Nobody ends its hold sooner; default, and null: operators may. */
  readonly lockMs?: number | null;
  /** Gets the audit line for the live table; default: none. */
  readonly log?: Log;
}

export interface Exchange {
  readonly plans: readonly HeldPlan[];
  /** Whether the name of the plan is taken; a name that isn't is given by the same RENAME. */
  readonly isTaken: (plan: HeldPlan) => boolean;
  readonly by: (live: QualifiedTable) => SwapBy;
  /** Statements that follow the RENAME in its text, so that they happen with it. */
  readonly after?: readonly SQLQuery[];
}

/**
 * All of them by one RENAME, or none. Resolves to null if no live table has any of the names that
 * were taken. Rejects as `Placing.place` does, with UNDROP_NOT_SWAPPED if a live table can't be
 * held, and with UNDROP_LEDGER_UNAVAILABLE; then nothing was renamed. The pool needs four
 * connections.
 */
export async function exchange(
  pool: ServicePool,
  placing: Placing,
  request: Exchange,
): Promise<readonly Placed[] | null> {
  const { plans, isTaken, by } = request;
  // A RENAME that isn't in the binary log would remove the live table on the source alone.
  const unlogged = plans.find(({ table }) => !table.logged);
  if (unlogged !== undefined) throw notSwapped(unlogged, 'it was dropped under sql_log_bin = 0');
  const taken = plans.filter(isTaken);
  const [first] = taken;
  return pool.task(async (connection) => {
    // Its end ends the ownership of the intents.
    connection.discard();
    const found =
      first === undefined ? [] : await recordLive(pool, connection, { first, taken, by });
    const lives = new Map(taken.map((plan, index) => [plan, found[index]]));
    const moves = plans.map((plan) => moveOf(plan, lives.get(plan)));
    const wrong = moves.find(({ why }) => why !== null);
    const isNothing = first !== undefined && plans.length === 1 && moves[0]?.live === null;
    const intents = found.map(({ id }) => id);
    if (wrong !== undefined || isNothing) await forgetIntents(pool, intents);
    if (wrong !== undefined) throw notSwapped(wrong.plan, wrong.why ?? '');
    if (isNothing) return null;
    const isAway = await renameAll(connection, pool, { ...request, placing, moves });
    const held = moves.flatMap((move) => {
      const { live, holdName } = move;
      if (live === null) return [];
      const fromSchema = isAway && mayPass(live) ? RECYCLE_SCHEMA : live.schema;
      return { id: live.id, fromSchema, holdName, table: live.table };
    });
    const bound = moves.flatMap(({ live }) =>
      live !== null && (hasForeignKeys(live) || live.triggers.length > 0) ? live.id : [],
    );
    const relocations = await settle(pool, held, new Set(bound));
    const outcomes = relocations.map((one, index) => {
      const { id = '', fromSchema: holdSchema = '', holdName = '' } = held[index] ?? {};
      const pendingWork = one.outcome === 'put-back' ? null : (one.pendingWork ?? null);
      const place = one.outcome === 'moved' ? one : { id, holdSchema, holdName };
      const { holdSchema: at, holdName: as } = place;
      return { id, holdSchema: at, holdName: as, relocated: one.outcome === 'moved', pendingWork };
    });
    await recordOutcome(pool, { tables: outcomes });
    const outcomeOf = new Map(outcomes.map((one) => [one.id, one]));
    const events = moves.flatMap(({ live }) => {
      const outcome = live === null ? undefined : outcomeOf.get(live.id);
      if (live === null || outcome === undefined) return [];
      return { ...heldEvent(live, outcome, by(live)), dropId: found[0]?.id ?? live.id };
    });
    const { log = silentLog } = first === undefined ? {} : by(first.to);
    if (events.length > 0) await reportAndKeep({ connection: pool, log }, events);
    const recorded = await placing.record(plans);
    return moves.map(({ plan, live }): Placed => {
      const left = live === null ? null : (outcomeOf.get(live.id)?.pendingWork ?? null);
      const placed = placing.placed(plan, recorded);
      return first === undefined ? placed : { ...placed, swapped: live?.id ?? null, left };
    });
  });
}

/** The most in one text. */
const TABLES_OF_MOVE = 50;

/** In their order. `bound`: had foreign keys or triggers when they were recorded. */
async function settle(
  pool: ServicePool,
  held: readonly RelocateTable[],
  bound: ReadonlySet<string>,
): Promise<readonly Relocation[]> {
  const away = held.filter(({ fromSchema }) => fromSchema === RECYCLE_SCHEMA);
  const here = held.filter((one) => !away.includes(one));
  const keyed = here.filter(({ id }) => bound.has(id));
  const plain = here.filter(({ id }) => !bound.has(id));
  const server = await shapeOf(pool);
  const tried: Relocation[] = [];
  for (const some of inBatches(keyed, TABLES_OF_MOVE))
    tried.push(...(await detachAndRelocate(pool, some)));
  for (const some of inBatches(plain, TABLES_OF_MOVE))
    tried.push(...(await moveToRecycleSchema(pool, some, { server })));
  const settled = await untilFree(pool, [...keyed, ...plain], tried);
  const byId = new Map([...(await freeMoved(pool, away)), ...settled].map((one) => [one.id, one]));
  return held.flatMap(({ id }) => byId.get(id) ?? []);
}

type Move = ReturnType<typeof moveOf>;

/**
 * `live`: null: no table has the name. `why`: the reason that the live table can't be held; null:
 * it can.
 */
function moveOf(plan: HeldPlan, found: IntentTable | undefined) {
  if (found === undefined || found.kind === 'missing')
    return { plan, live: null, holdName: '', why: null };
  const { id, holdUntil, crash } = found;
  if (holdUntil === null) {
    return { plan, live: null, holdName: '', why: `${writtenName(plan.to)} is a view` };
  }
  const holdName = formatHoldName({ state: 'HOLD', id, due: holdUntil });
  return { plan, live: found, holdName, why: crash };
}

/** A text of more takes the server long to parse. */
const TABLES_OF_INTENT = 500;

/** The live tables, whose intents are in the ledger then, all of one drop. */
async function recordLive(
  pool: ServicePool,
  { threadId }: TaskConnection,
  { first, taken, by }: Pick<Exchange, 'by'> & { first: HeldPlan; taken: readonly HeldPlan[] },
): Promise<readonly IntentTable[]> {
  const { hold: _own, lockMs: _lock, log: _log, ...who } = by(first.to);
  const wanted = taken.map(({ to }) => {
    const { hold, lockMs = null } = by(to);
    return { id: newHoldId(Date.now(), randomBytes), ...to, hold, lockMs };
  });
  const intent = { ...who, dropId: wanted[0]?.id ?? '', threadId, holdMs: 0 };
  const found: IntentTable[] = [];
  for (const tables of inBatches(wanted, TABLES_OF_INTENT)) {
    found.push(...(await recordIntent(pool, { ...intent, tables })).tables);
  }
  return found;
}

function heldEvent(
  { id, schema, table, byteEstimate: bytes, holdUntil }: IntentTable,
  { holdSchema, holdName }: { readonly holdSchema: string; readonly holdName: string },
  by: SwapBy,
) {
  const {
    user,
    clientAddress: client,
    claims: { program = null, attributes = {}, tags = null } = {},
  } = by;
  const who = { user, client, program };
  const where = { id, schema, table, holdSchema, holdName };
  const until = holdUntil?.toISOString() ?? null;
  const what = { how: 'SWAP', bytes, until, because: null, tags, attributes };
  return { event: 'held', ...who, ...where, ...what } as const;
}

interface Moving extends Exchange {
  readonly placing: Placing;
  readonly moves: readonly Move[];
}

/**
 * On MySQL 8 and later a CHECK of the same name is in the schema of the live table and in that of
 * the held one: then the live one passes through a third, in the same RENAME.
 */
const PASSED_THROUGH = '_undrop_2';

/** A trigger can't leave its schema: then the held table goes without its CHECKs for a moment. */
function mayPass({ triggers }: IntentTable): boolean {
  return triggers.length === 0;
}

/** The live tables go first; `through`: the schema that they pass through, if any. */
function pairsOf(moves: readonly Move[], through: string | null): readonly SQLQuery[] {
  const away: SQLQuery[] = [];
  const back: SQLQuery[] = [];
  const on: SQLQuery[] = [];
  for (const { plan, live, holdName } of moves) {
    const { table, to } = plan;
    const own = live === null ? ident(to.schema, to.table) : ident(live.schema, live.table);
    back.push(sql`${ident(table.holdSchema, table.holdName)} TO ${own}`);
    if (live === null) continue;
    const passes = through !== null && mayPass(live);
    away.push(sql`${own} TO ${ident(passes ? through : live.schema, holdName)}`);
    if (!passes) continue;
    on.push(sql`${ident(through, holdName)} TO ${ident(RECYCLE_SCHEMA, holdName)}`);
  }
  return [...away, ...back, ...on];
}

/**
 * On the intents' own connection, so that recovery skips them while the RENAME may happen. Rejects
 * with the server's refusal as an `UndropError`; then all tables are unchanged. Whether live tables
 * have passed into the recycle schema.
 */
async function renameAll(
  connection: TaskConnection,
  pool: ServicePool,
  { placing, plans, moves, after = [] }: Moving,
): Promise<boolean> {
  // A server goes on with a RENAME whose client is gone.
  const takeBack = await placing.mark(plans, connection.threadId);
  const intents = moves.flatMap(({ live }) => live?.id ?? []);
  const [intent] = intents;
  const step = intent ? note('swap', intent) : note('put-back', plans[0]?.table.id);
  const run = (through: string | null) => {
    const rename = sql`RENAME ${step} TABLE ${sql.join([...pairsOf(moves, through)], ', ')}`;
    const texts = [SHORT_INNODB_WAIT, rename, ...after];
    return runWithTimeoutOn({ connection, pool }, texts, { deadlineMs: RENAME_DEADLINE_MS });
  };
  let isAway = false;
  try {
    await run(null).catch(async (error: unknown) => {
      if (!isServerError(error, ER.CHECK_CONSTRAINT_DUP_NAME)) throw error;
      await createSchema(pool, PASSED_THROUGH);
      isAway = true;
      for (const { plan, live: other } of moves) {
        if (other === null || mayPass(other)) continue;
        const { id, holdSchema: fromSchema, holdName } = plan.table;
        const held = { id, fromSchema, holdName, table: other.table };
        if ((await detachChecks(pool, held, {})) !== null) throw error;
      }
      await run(PASSED_THROUGH);
    });
    return isAway;
  } catch (error) {
    if (!isServerError(error)) throw error;
    // A KILL that hits the RENAME at its end returns 1317 although it is done.
    if (await isDone(pool, moves)) return isAway;
    await takeBack();
    await forgetIntents(pool, intents);
    throw explain(moves, error);
  }
}

/** There may be thousands. */
const RENAME_DEADLINE_MS = 600_000;

async function isDone(pool: ServicePool, [first]: readonly Move[]): Promise<boolean> {
  if (first === undefined) return true;
  const { plan, live } = first;
  if (live !== null) return isHeldAnywhere(pool, [live.schema], live.id);
  const { id, holdSchema } = plan.table;
  return isRenamedBack(pool, { id, holdSchema, to: plan.to });
}

function explain(moves: readonly Move[], error: ServerError): UndropError {
  const [first] = moves;
  assert(first !== undefined, 'a RENAME has a table');
  const { table, to } = first.plan;
  const held = `${table.holdSchema}.${table.holdName}`;
  const busy = someOf(moves.map(({ plan }) => writtenName(plan.to)));
  const what = { id: table.id, schema: to.schema, busy, held };
  const why = error.sqlMessage.replace(/\.$/, '');
  return explainRename(error, what) ?? notSwapped(first.plan, why, error);
}

function notSwapped(
  { table: { id }, to }: Pick<HeldPlan, 'table' | 'to'>,
  why: string,
  cause?: Error,
): UndropError {
  return new UndropError('UNDROP_NOT_SWAPPED', { id, table: writtenName(to), why }, cause);
}
