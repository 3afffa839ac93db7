/**
 * `readStatus` reads the state of a server for its operator: the collector and its last check, why
 * it waits, open work in the ledger, and which of all that needs attention.
 *
 * Invariant: it writes nothing. `whatNeedsAttention`, which is pure, decides by the server's clock.
 */
import { timeText } from '../duration.js';
import { findWithoutTriggers } from '../held/triggers/reattach-triggers.js';
import type { Todo } from '../ledger/entry.js';
import { findRows, readSettling, type Settling } from '../ledger/read.js';
import { findSchemaDrops, hasOwner } from '../ledger/schema-drops.js';
import { type DroppedSchema, findDroppedSchemas } from '../ledger/schema-restores.js';
import { assertLedgerKnown } from '../ledger/tables.js';
import { isPinned } from '../names/names.js';
import { findUnfinishedRestores, type Unfinished } from '../recovery/reconcile.js';
import { findLacking, lastDrops } from '../restore/schema/restore-schema.js';
import { isServiceError } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, numberOf, processlistOf, sql, textOf } from '../service/sql.js';
import { readLockState } from './leader/collector-lock.js';
import { peekGrace, readLastRound } from './leader/grace.js';
import type { LimitedTable, LimitSettings, Room } from './limits/choose-early.js';
import { isSystemError, readRoom } from './limits/limits.js';
import type { LifecycleSettings } from './next-step.js';
import { whyResting } from './once.js';
import { newThrottle, type Replica } from './throttle/throttle.js';

export interface Status {
  readonly server: { readonly version: string; readonly readOnly: boolean; readonly now: Date };
  readonly collector: {
    /** Id, user and address of the connection of the proxy that collects; null: none does. */
    readonly leader: string | null;
    /** The server's id of that connection. */
    readonly leaderId: number | null;
    readonly lastLook: Date | null;
    /** Why the collector waits; null: it doesn't. */
    readonly resting: string | null;
  };
  readonly proxies: {
    /** The number of connections of the service account from each address. */
    readonly connections: Readonly<Record<string, number>>;
    /** Addresses with open intents. */
    readonly withIntents: readonly string[];
  };
  readonly open: {
    /** Ids of tables and schemas. */
    readonly intents: readonly string[];
    readonly relocations: readonly string[];
    readonly schemaDrops: readonly string[];
    /** Statements whose tables are being recorded. */
    readonly settling: readonly Settling[];
    /** Tables and schemas whose restore was interrupted or is incomplete. */
    readonly restores: readonly string[];
  };
  readonly limits: LimitsStatus;
  /** Sentences without final periods; empty: all is well. */
  readonly attention: readonly string[];
}

/** The used share of the limits, and the tables that are removed early. */
export interface LimitsStatus {
  readonly tablesMax: number | null;
  readonly bytesMax: number | null;
  readonly freeBytesMin: number | null;
  /** Null: not known, or no limit is near. */
  readonly freeBytes: number | null;
  /** Tables in HOLD that UNDROP_MIN_HOLD keeps: they may be more than a limit allows. */
  readonly young: number;
  /** Tables that are removed early, now or within UNDROP_MIN_HOLD; soonest first. */
  readonly early: readonly { readonly id: string; readonly at: Date; readonly because: string }[];
  /** Why all this isn't known; null: it is. */
  readonly problem: string | null;
}

interface Asked {
  /** The service account's name. */
  readonly user: string;
  readonly settings: Pick<
    LifecycleSettings,
    'collect' | 'holdMs' | 'graceMs' | 'checkIntervalMs' | 'throttle' | 'limits'
  >;
  /** The configured replicas. */
  readonly replicas: readonly Replica[];
  /** The held tables. */
  readonly tables: readonly (LimitedTable & { readonly droppedAt: Date | null })[];
  readonly wallClockMs: number;
}

export async function readStatus(pool: ServicePool, asked: Asked): Promise<Status> {
  const server = await readServerFacts(pool);
  const { settings, replicas, tables, wallClockMs, user } = asked;
  const lock = await readLockState(pool, server);
  const leader = lock.leader === null ? null : (lock.row?.holder ?? null);
  const lastLook = (await readLastRound(pool, server))?.at ?? null;
  const seen = { heldCount: tables.length, wallClockMs };
  const grace = leader === null ? null : await peekGrace(pool, { ...seen, server }, settings);
  const throttle = newThrottle({ pool, settings, replicas }, () => performance.now());
  const resting = (await whyResting(pool, server, { settings, throttle })) ?? grace;
  const ledger = await readLedger(pool, new Date(server.utcNow.getTime() - LACKING_MS));
  const [found = []] = await pool.run(
    sql`SELECT ${note('status')} SUBSTRING_INDEX(HOST, ':', 1) AS host, COUNT(*) AS count
        FROM ${processlistOf(server)} WHERE USER = ${user} AND ID <> CONNECTION_ID() GROUP BY 1`,
  );
  const connections = found.map((row) => [textOf(row, 'host'), numberOf(row, 'count')] as const);
  const { intents, relocations, schemaDrops, settling, withoutTriggers, restores, problem } =
    ledger;
  const { version, readOnly, utcNow: now } = server;
  const limits = await readLimits(pool, tables, { limits: settings.limits, now });
  const { early } = limits;
  const unsettled = intents.filter(({ groupId }) => !ledger.underWay.has(groupId));
  const open = { intents: unsettled, relocations, restores, withoutTriggers };
  const facts = { now, lastLook, leader, resting, problem, ...open, tables, early };
  return {
    server: { version, readOnly, now },
    collector: { leader, leaderId: lock.leader, lastLook, resting },
    proxies: {
      connections: Object.fromEntries(connections),
      withIntents: [...new Set(intents.map(({ proxyId }) => proxyId))],
    },
    open: {
      intents: intents.map(({ id }) => id),
      relocations: relocations.map(({ id }) => id),
      schemaDrops: schemaDrops.map(({ id }) => id),
      settling,
      restores: restores.map(({ id }) => id),
    },
    limits,
    attention: whatNeedsAttention(facts, settings),
  };
}

async function readLimits(
  pool: ServicePool,
  tables: Asked['tables'],
  { limits, now }: { readonly limits: LimitSettings; readonly now: Date },
): Promise<LimitsStatus> {
  const { tablesMax, bytesMax, freeBytesMin, minHoldMs } = limits;
  const isYoung = ({ state, droppedAt }: Asked['tables'][number]) =>
    state === 'HOLD' && droppedAt !== null && droppedAt.getTime() + minHoldMs > now.getTime();
  const status = { tablesMax, bytesMax, freeBytesMin, young: tables.filter(isYoung).length };
  const held = { count: tables.length, list: async () => tables };
  try {
    const room = await readRoom(pool, held, { limits, now });
    const then = new Date(now.getTime() + minHoldMs);
    const later = await readRoom(pool, held, { limits, now: then });
    const early = whatGoesEarly(tables, { now, room, later });
    return { ...status, freeBytes: room?.freeBytes ?? null, early, problem: null };
  } catch (error) {
    if (!isServiceError(error) && !isSystemError(error)) throw error;
    const problem = error instanceof Error ? error.message : String(error);
    return { ...status, freeBytes: null, early: [], problem };
  }
}

/** `later`: once all of today's tables are older than UNDROP_MIN_HOLD. */
function whatGoesEarly(
  tables: Asked['tables'],
  {
    now,
    room,
    later,
  }: { readonly now: Date; readonly room: Room | null; readonly later: Room | null },
): LimitsStatus['early'] {
  const byId = new Map(tables.map((table) => [table.id, table]));
  const whole = new Map([...(later?.early ?? []), ...(room?.early ?? [])]);
  const isNow = (id: string) => room?.early.has(id) === true;
  const others = [...whole].filter(([id, { from }]) => !isNow(id) && from > now);
  // Further removals become possible when the next table is old enough.
  const nextMs = Math.min(...others.map(([, { from }]) => from.getTime()));
  return [...whole]
    .map(([id, { because, from }]) => {
      const at = isNow(id) ? now : new Date(Math.max(from.getTime(), nextMs));
      return { id, at, because };
    })
    .filter(({ id, at }) => byId.get(id)?.state === 'HOLD' && (byId.get(id)?.due ?? at) > at)
    .sort((one, other) => one.at.getTime() - other.at.getTime());
}

/** A schema that came back without a part is named for a week: nobody may want it any more. */
const LACKING_MS = 7 * 86_400_000;

async function findLackingRestores(pool: ServicePool, since: Date): Promise<readonly Unfinished[]> {
  const isMeant = ({ restoredAs, droppedAt }: DroppedSchema) =>
    restoredAs !== null && droppedAt > since;
  const drops = lastDrops(await findDroppedSchemas(pool, 'all'));
  const lacking = await findLacking(pool, drops.filter(isMeant));
  return lacking.map(({ id, schema, parts }) => {
    const how = `UNDROP DATABASE ${schema} by a user who may create them adds them`;
    return { id, what: `schema ${schema}`, missing: `without ${parts.join(', ')}; ${how}` };
  });
}

/** `problem`: why the ledger can't be used. */
async function readLedger(pool: ServicePool, since: Date) {
  try {
    const version = await assertLedgerKnown(pool);
    if (version === null) return { ...NO_LEDGER, problem: 'there is none on this server' };
    const pending = await findRows(pool, { by: 'pending' }, { texts: false });
    const schemaDrops = await findSchemaDrops(pool);
    const underWay = new Set<string>();
    for (const { groupId } of schemaDrops) {
      if (await hasOwner(pool, groupId)) underWay.add(groupId);
    }
    return {
      problem: null,
      intents: await findRows(pool, { by: 'intent' }, { texts: false }),
      relocations: pending.filter(({ failure }) => !BLOCKED.has(failure?.todo ?? null)),
      schemaDrops,
      settling: await readSettling(pool),
      underWay,
      withoutTriggers: await findWithoutTriggers(pool),
      restores: [
        ...(await findUnfinishedRestores(pool)),
        ...(await findLackingRestores(pool, since)),
      ],
    };
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return { ...NO_LEDGER, problem: error.message };
  }
}

interface OpenRow {
  readonly id: string;
  readonly groupId: string;
  readonly proxyId: string;
  readonly droppedAt: Date;
}

/** These need no action. */
const BLOCKED: ReadonlySet<Todo | null> = new Set<Todo>([
  'blocked_by_file',
  'blocked_by_partitions',
  'blocked_by_triggers',
]);

const NO_ROWS: readonly OpenRow[] = [];
const NO_TABLES: readonly string[] = [];
const NO_SETTLING: readonly Settling[] = [];
const NO_RESTORES: readonly Unfinished[] = [];
const NO_LEDGER = {
  ...{ intents: NO_ROWS, relocations: NO_ROWS, schemaDrops: NO_ROWS },
  ...{ settling: NO_SETTLING, underWay: new Set<string>(), withoutTriggers: NO_TABLES },
  restores: NO_RESTORES,
};

/** How long a due table may wait for its turn, and for the end of a running removal. */
const LATE_MS = 600_000;
const INTENT_MS = 60_000;
const RELOCATION_MS = 3_600_000;

export interface AttentionFacts {
  readonly now: Date;
  readonly lastLook: Date | null;
  readonly leader: string | null;
  readonly resting: string | null;
  /** Why the ledger can't be used; null: it can. */
  readonly problem: string | null;
  readonly intents: readonly { readonly droppedAt: Date }[];
  readonly relocations: readonly { readonly droppedAt: Date }[];
  /** Restored tables that lack triggers, with their names. */
  readonly withoutTriggers: readonly string[];
  readonly restores: readonly Unfinished[];
  readonly tables: readonly Pick<LimitedTable, 'state' | 'due'>[];
  /** Tables that are removed early because of limits. */
  readonly early: readonly { readonly at: Date }[];
}

/** The problems that need attention. A decision of an operator (a pause) isn't one. */
export function whatNeedsAttention(
  facts: AttentionFacts,
  { checkIntervalMs }: { readonly checkIntervalMs: number },
): readonly string[] {
  const { now, lastLook, leader, resting, problem } = facts;
  const agoMs = (time: Date) => now.getTime() - time.getTime();
  const older = (rows: readonly { readonly droppedAt: Date }[], ms: number) =>
    rows.filter(({ droppedAt }) => agoMs(droppedAt) > ms).length;
  const overdue = facts.tables.filter(({ due }) => !isPinned(due) && agoMs(due) > LATE_MS);
  const late = overdue.length;
  // A purge takes its time, and so does an EVAC.
  const left = overdue.filter(({ state }) => state === 'HOLD' || state === 'DROP').length;
  const isLookOld = lastLook === null || agoMs(lastLook) > checkIntervalMs + LATE_MS;
  const [intents, relocations] = [
    older(facts.intents, INTENT_MS),
    older(facts.relocations, RELOCATION_MS),
  ];
  const [early] = facts.early;
  const noLook = leader === null ? 'no proxy collects' : 'the collector has not checked them';
  return [
    ...(problem === null ? [] : [`the ledger is not ready: ${problem}`]),
    ...(late === 0 || resting !== null || !isLookOld
      ? []
      : [`tables that are due, but not collected: ${late}; ${noLook}`]),
    ...(left === 0 || resting !== null || isLookOld
      ? []
      : [
          `tables that are due, but cannot be removed: ${left}; the log has the reasons (event left)`,
        ]),
    ...(intents === 0 ? [] : [`drops that are not settled after more than a minute: ${intents}`]),
    ...(relocations === 0
      ? []
      : [`tables that could not move to the recycle schema for more than an hour: ${relocations}`]),
    ...(early === undefined
      ? []
      : [
          `tables that are removed early because of a limit: ${facts.early.length}, the first ${atText(early.at, now)}`,
        ]),
    ...facts.withoutTriggers.map((table) => `restored without its triggers: ${table}`),
    ...facts.restores.map(({ what, missing }) => `${what} is not restored whole: ${missing}`),
  ];
}

/** A minute after the warning about it in the log. */
export function atText(at: Date, now: Date): string {
  return at > now ? `from ${timeText(at)} on` : 'at the next check of the collector';
}
