/**
 * `undrop status` shows on one screen the collector of a server, the held tables, and problems that
 * need attention. It changes nothing. Its exit code is for monitoring: 0, or 1 if something needs
 * attention.
 */

import type { CollectorFigures } from '../../collector/figures.js';
import { readLockState } from '../../collector/leader/collector-lock.js';
import { peekGrace, readLastRound } from '../../collector/leader/grace.js';
import type { LimitSettings, Room } from '../../collector/limits/choose-early.js';
import { readRoom } from '../../collector/limits/limits.js';
import { whyResting } from '../../collector/once.js';
import { findUnfinishedRestores, type Unfinished } from '../../collector/reconcile.js';
import type { Replica } from '../../collector/throttle/throttle.js';
import { isServiceError, isSystemError, tolerantly } from '../../connections/errors.js';
import { readServerFacts, type ServerFacts, type ServicePool } from '../../connections/sql.js';
import { readSizes } from '../../connections/true-sizes.js';
import { timeText } from '../../duration.js';
import { findWithoutTriggers } from '../../held/triggers/reattach-triggers.js';
import { readUses } from '../../ledger/history.js';
import { readOverdue } from '../../ledger/overview.js';
import { findRows, readSettling } from '../../ledger/read.js';
import { findSchemaDrops, hasOwner } from '../../ledger/schema-drops.js';
import { type DroppedSchema, findDroppedSchemas } from '../../ledger/schema-restores.js';
import { isServiceRunning, type RecordedService, readServices } from '../../ledger/services.js';
import { assertLedgerKnown } from '../../ledger/tables.js';
import type { HoldName } from '../../names/names.js';
import { isPinned, shortId, writtenName } from '../../names/names.js';
import { type Field, jsonText, printCard } from '../../printer.js';
import { type DroppedTable, listAll } from '../../recycle/held-tables.js';
import { findLacking, lastDrops } from '../../recycle/schema/restore-schema.js';
import { type Finding, findingsOf, replicationFindings } from './findings.js';
import type { Flags, Shell, StatusSettings } from './settings.js';
import { limitSettings, requestedLifecycle } from './settings.js';
import { withServers } from './with-pool.js';

export function runStatus(
  settings: StatusSettings,
  flags: Flags,
  { stdout }: Shell,
): Promise<number> {
  return withServers(settings, async (pool, replicas) => {
    const tables = await listAll(pool);
    const status = await readStatus(pool, settings, { tables, replicas });
    const report = { ...status, held: await readHeld(pool, tables) };
    stdout.write(flags['json'] === true ? jsonText(report) : printCard(SECTIONS, report));
    return report.attention.length === 0 ? 0 : 1;
  });
}

/**
 * The problems that need attention, and the services, without a list of all held tables, which
 * takes long among very many: only those that are overdue are read.
 */
export async function readStatusView(
  pool: ServicePool,
  settings: StatusSettings,
  { room }: Pick<CollectorFigures, 'room'>,
): Promise<{ readonly attention: readonly string[]; readonly services: readonly string[] }> {
  const tables = await readOverdue(pool);
  const status = await readStatus(pool, settings, { tables, replicas: [] });
  const attention = status.attention.map(({ text }) => text);
  const early = counted(EARLY, room?.early.size ?? 0);
  return { attention: [...attention, ...early], services: serviceLines(status) };
}

async function readHeld(pool: ServicePool, tables: readonly DroppedTable[]) {
  const places = tables.map(({ id, holdSchema: schema, holdName: name }) => ({ id, schema, name }));
  const sizes = await readSizes(pool, await readServerFacts(pool), places);
  const byState: Record<string, { count: number; bytes: number; unknown: number }> = {};
  for (const { id, state, byteEstimate } of tables) {
    byState[state] ??= { count: 0, bytes: 0, unknown: 0 };
    const sum = byState[state];
    const bytes = sizes.get(id)?.bytes ?? byteEstimate;
    sum.count++;
    if (bytes === null) sum.unknown++;
    else sum.bytes += bytes;
  }
  const uses = await readUses(pool);
  const ending = tables.filter(({ due }) => !isPinned(due));
  const [next] = ending.sort((one, other) => one.due.getTime() - other.due.getTime());
  return {
    count: tables.length,
    byState,
    pinned: tables.length - ending.length,
    next: next === undefined ? null : { id: next.id, table: nameOrId(next), due: next.due },
    used: tables.flatMap((table) => {
      const used = uses.get(table.id);
      return used === undefined ? [] : [{ id: table.id, table: nameOrId(table), ...used }];
    }),
  };
}

type Status = Awaited<ReturnType<typeof readStatus>>;
type StatusReport = Status & { readonly held: Awaited<ReturnType<typeof readHeld>> };

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** The maximum of early removals that are shown; --json has all of them. */
const EARLY_SHOWN = 5;

function limitLines({ limits, held, server }: StatusReport): readonly string[] {
  const { tablesMax, bytesMax, freeBytesMin, freeBytes, young, early, problem } = limits;
  if (problem !== null) return [`not known: ${problem}`];
  const bytes = Object.values(held.byState).reduce((sum, state) => sum + state.bytes, 0);
  const free = freeBytes === null ? 'not known' : mb(freeBytes);
  const used = [
    `tables ${held.count} of ${tablesMax ?? 'any number'} (UNDROP_MAX_TABLES)`,
    `${mb(bytes)} of ${bytesMax === null ? 'any size' : mb(bytesMax)} (UNDROP_MAX_BYTES)`,
  ];
  if (freeBytesMin !== null) {
    used.push(`free on the disk ${free}, at least ${mb(freeBytesMin)} (UNDROP_MIN_FREE)`);
  }
  return [
    used.join('; '),
    ...counted('kept by UNDROP_MIN_HOLD, despite the limits', early.length === 0 ? 0 : young),
    ...early.slice(0, EARLY_SHOWN).map(({ id, table, user, at, because }) => {
      const by = user === null ? '' : `, dropped by ${user}`;
      return `removed early ${atText(at, server.now)}: ${table} (${shortId(id)}${by}): ${because}`;
    }),
    ...(early.length > EARLY_SHOWN ? [`and ${early.length - EARLY_SHOWN} more (--json)`] : []),
  ];
}

/** The sections of the screen, of some lines each. */
const SECTIONS: readonly Field<StatusReport>[] = [
  {
    title: 'server',
    text: ({ server: { version, readOnly, now } }) =>
      `${version}${readOnly ? ', read-only' : ''}, ${timeText(now)}`,
  },
  {
    title: 'collector',
    text: ({ collector: { lastLook, leader, resting } }) => [
      leader === null ? 'no proxy collects' : `connection ${leader} collects`,
      lastLook === null ? 'no check yet' : `last check ${timeText(lastLook)}`,
      ...(resting === null ? [] : [resting]),
    ],
  },
  { title: 'services', text: serviceLines },
  { title: 'held', text: heldLines },
  { title: 'limits', text: limitLines },
  {
    title: 'open',
    text: ({ open }) => [
      `intents ${open.intents.length}, relocations ${open.relocations.length}, DROP DATABASE ${open.schemaDrops.length}, restores ${open.restores.length}`,
      ...open.settling.map(({ schema, settled, tables }) => {
        return `settling ${settled} of ${tables} tables of ${schema}`;
      }),
    ],
  },
  {
    title: 'attention',
    text: ({ attention }) =>
      attention.length === 0 ? 'nothing needs attention' : attention.map(({ text }) => text),
  },
];

function heldLines({ held }: StatusReport): readonly string[] {
  const { byState, pinned, next, used, count } = held;
  const states = Object.entries(byState).map(([state, sum]) => {
    const unknown = sum.unknown === 0 ? '' : ` and ${sum.unknown} of unknown size`;
    return `${state} ${sum.count} (${mb(sum.bytes)}${unknown})`;
  });
  return [
    count === 0 ? 'no table' : `${states.join(', ')}; pinned ${pinned}`,
    ...(next === null ? [] : [`next ${next.table} (${shortId(next.id)}): ${timeText(next.due)}`]),
    ...used.map((one) => {
      const last = `the last at ${timeText(one.lastAt)} by ${one.who}`;
      return `statements use the held table ${one.table} (${shortId(one.id)}), statements ${one.count}, ${last}`;
    }),
  ];
}

// ── the proxies ──────────────────────────────────────────────────────────────────────────────────
// The section of `undrop status` on services: which ones run in front of the server, which of them
// collects, and whether their versions differ. Pure.

/** `leaderId`: the connection that collects. */
export function reportServices(
  found: readonly RecordedService[],
  { now, leaderId }: { readonly now: Date; readonly leaderId: number | null },
) {
  const services = found.map(({ collectorId, ...service }) => ({
    ...service,
    // It has renewed its row within two minutes.
    isRunning: isServiceRunning(service, now),
    collects: leaderId !== null && collectorId === leaderId,
  }));
  const running = services.filter(({ isRunning }) => isRunning);
  // The versions that run, if they differ.
  const versions = [...new Set(running.map(({ version }) => version))].sort();
  return { services, versions: versions.length > 1 ? versions : [] };
}

export function serviceLines({
  services,
  versions,
}: ReturnType<typeof reportServices>): readonly string[] {
  if (services.length === 0) return ['none is listed'];
  return [
    ...services.map((service) => {
      const { host, listen, version, processes, startedAt, seenAt, isRunning } = service;
      return [
        `${host} ${listen}: version ${version}, processes ${processes}`,
        `started ${timeText(startedAt)}`,
        `${isRunning ? 'seen' : 'not seen since'} ${timeText(seenAt)}`,
        ...(service.collects ? ['collects'] : []),
      ].join(', ');
    }),
    ...(versions.length === 0 ? [] : [`their versions differ: ${versions.join(', ')}`]),
  ];
}

// ── reading ──────────────────────────────────────────────────────────────────────────────────────
// `readStatus` reads the state of a server for its operator: the collector and its last check, why
// it waits, open work in the ledger, the proxies, the limits, and what of it needs attention.
//
// Invariant: it writes nothing, and decides by the server's clock.

/** A held table. */
type StatusTable = HoldName &
  Pick<DroppedTable, 'droppedAt'> &
  Partial<Pick<DroppedTable, 'origin' | 'user'>>;

interface HeldNow {
  /** All that are held, or those that are overdue. */
  readonly tables: readonly StatusTable[];
  /** The replicas of the settings. */
  readonly replicas: readonly Replica[];
}

async function readStatus(pool: ServicePool, settings: StatusSettings, held: HeldNow) {
  const server = await readServerFacts(pool);
  const { version, readOnly, utcNow: now } = server;
  const lock = await readLockState(pool, server);
  const leader = lock.leader === null ? null : (lock.row?.holder ?? null);
  const lastLook = (await readLastRound(pool, server))?.at ?? null;
  const resting = await readResting(pool, settings, { ...held, server, leader });
  const ledger = await readLedger(pool);
  const limits = await readLimits(pool, held.tables, { limits: limitSettings(settings), now });
  const services = reportServices(await readServices(pool), { now, leaderId: lock.leader });
  const collector = { leader, leaderId: lock.leader, lastLook, resting };
  const late = whatIsLate(held.tables, collector, { now, checkIntervalMs: settings.checkInterval });
  return {
    server: { version, readOnly, now },
    collector,
    ...services,
    limits,
    // Ids of tables and schemas; `settling`: statements whose tables are being recorded.
    open: {
      intents: ledger.intents.map(({ id }) => id),
      relocations: ledger.relocations.map(({ id }) => id),
      schemaDrops: ledger.schemaDrops.map(({ id }) => id),
      settling: ledger.settling,
      restores: ledger.restores.map(({ id }) => id),
    },
    // A decision of an operator (a pause) needs none.
    attention: [
      ...findingsOf('collector', 'warning', late),
      ...whatIsOpen(ledger, now),
      ...findingsOf('limits', 'warning', formatEarly(limits, now)),
      ...(await replicationFindings(pool)),
    ],
  };
}

async function readResting(
  pool: ServicePool,
  settings: StatusSettings,
  how: HeldNow & { readonly server: ServerFacts; readonly leader: string | null },
): Promise<string | null> {
  const { tables, replicas, server, leader } = how;
  const lifecycle = requestedLifecycle(settings);
  const why = await whyResting(pool, server, { settings: lifecycle, replicas });
  if (why !== null || leader === null) return why;
  const seen = { heldCount: tables.length, wallClockMs: Date.now(), server };
  return peekGrace(pool, seen, lifecycle);
}

// ── the limits ──────────────────────────────────────────────────────────────────────────────────

/** The used share of the limits, and the tables that are removed early, as far as it is known. */
async function readLimits(
  pool: ServicePool,
  tables: readonly StatusTable[],
  { limits, now }: { readonly limits: LimitSettings; readonly now: Date },
) {
  const { tablesMax, bytesMax, freeBytesMin, minHoldMs } = limits;
  const isYoung = ({ state, droppedAt }: StatusTable) =>
    state === 'HOLD' && droppedAt !== null && droppedAt.getTime() + minHoldMs > now.getTime();
  // Tables in HOLD that UNDROP_MIN_HOLD keeps: they may be more than a limit allows.
  const status = { tablesMax, bytesMax, freeBytesMin, young: tables.filter(isYoung).length };
  const held = { count: tables.length, list: async () => tables };
  try {
    const room = await readRoom(pool, held, { limits, now });
    const then = new Date(now.getTime() + minHoldMs);
    const later = await readRoom(pool, held, { limits, now: then });
    const early = whatGoesEarly(tables, now, { room, later });
    return { ...status, freeBytes: room?.freeBytes ?? null, early, problem: null };
  } catch (error) {
    if (!isServiceError(error) && !isSystemError(error)) throw error;
    const problem = error instanceof Error ? error.message : String(error);
    return { ...status, freeBytes: null, early: [], problem };
  }
}

/**
 * Soonest first, now or within UNDROP_MIN_HOLD. `later`: once all of today's tables are older than
 * that.
 */
function whatGoesEarly(
  tables: readonly StatusTable[],
  now: Date,
  { room, later }: Readonly<Record<'room' | 'later', Room | null>>,
) {
  const byId = new Map(tables.map((table) => [table.id, table]));
  const whole = new Map([...(later?.early ?? []), ...(room?.early ?? [])]);
  const isNow = (id: string) => room?.early.has(id) === true;
  const others = [...whole].filter(([id, { from }]) => !isNow(id) && from > now);
  // Further removals become possible when the next table is old enough.
  const nextMs = Math.min(...others.map(([, { from }]) => from.getTime()));
  return [...whole]
    .flatMap(([id, { because, from }]) => {
      const at = isNow(id) ? now : new Date(Math.max(from.getTime(), nextMs));
      const table = byId.get(id);
      if (table?.state !== 'HOLD' || table.due <= at) return [];
      return [{ id, table: nameOrId(table), user: table.user ?? null, at, because }];
    })
    .sort((one, other) => one.at.getTime() - other.at.getTime());
}

function nameOrId({ origin, id }: Pick<StatusTable, 'origin' | 'id'>): string {
  return origin ? writtenName(origin) : id;
}

function formatEarly(
  { early }: Awaited<ReturnType<typeof readLimits>>,
  now: Date,
): readonly string[] {
  const [first] = early;
  if (first === undefined) return [];
  const pin = `\`undrop hold ${shortId(first.id)} --pin\` keeps it`;
  return [`${EARLY}: ${early.length}, the first ${atText(first.at, now)}; ${pin}`];
}

const EARLY = 'tables that are removed early because of a limit';

/** A minute after the warning about it in the log. */
function atText(at: Date, now: Date): string {
  return at > now ? `from ${timeText(at)} on` : 'at the next check of the collector';
}

// ── the ledger ──────────────────────────────────────────────────────────────────────────────────

type Ledger = Awaited<ReturnType<typeof readOpen>> & {
  /** Why it can't be used; null: it can. */
  readonly problem: string | null;
};

async function readLedger(pool: ServicePool): Promise<Ledger> {
  const { value, problem } = await tolerantly(async () =>
    (await assertLedgerKnown(pool)) === null ? [] : [await readOpen(pool)],
  );
  const [open] = value;
  if (open !== undefined) return { ...open, problem: null };
  return { ...NOTHING, problem: problem ?? 'there is none on this server' };
}

async function readOpen(pool: ServicePool) {
  const pending = await findRows(pool, { by: 'pending' }, { texts: false });
  const intents = await findRows(pool, { by: 'intent' }, { texts: false });
  const schemaDrops = await findSchemaDrops(pool);
  const underWay = new Set<string>();
  for (const { dropId } of schemaDrops) {
    if (await hasOwner(pool, dropId)) underWay.add(dropId);
  }
  return {
    intents,
    unsettled: intents.filter(({ dropId }) => !underWay.has(dropId)),
    // Blocked ones need no action.
    relocations: pending.filter(({ pendingWork }) => !pendingWork?.todo?.startsWith('blocked')),
    schemaDrops,
    settling: await readSettling(pool),
    /** Restored tables that lack triggers, with their names. */
    withoutTriggers: await findWithoutTriggers(pool),
    restores: [...(await findUnfinishedRestores(pool)), ...(await findLackingRestores(pool))],
  };
}

/** A schema that came back without a part is named for a week: nobody may want it any more. */
const LACKING_MS = 7 * 86_400_000;

async function findLackingRestores(pool: ServicePool): Promise<readonly Unfinished[]> {
  const { utcNow } = await readServerFacts(pool);
  const isMeant = ({ restoredAs, droppedAt }: DroppedSchema) =>
    restoredAs !== null && utcNow.getTime() - droppedAt.getTime() < LACKING_MS;
  const drops = lastDrops(await findDroppedSchemas(pool, 'all')).filter(isMeant);
  const lacking = await findLacking(pool, drops);
  return lacking.map(({ id, schema, parts }) => {
    const how = `UNDROP DATABASE ${schema} by a user who may create them adds them`;
    return { id, what: `schema ${schema}`, missing: `without ${parts.join(', ')}; ${how}` };
  });
}

const NOTHING: Omit<Ledger, 'problem'> = {
  ...{ intents: [], unsettled: [], relocations: [], schemaDrops: [] },
  ...{ settling: [], withoutTriggers: [], restores: [] },
};

// ── what needs attention ────────────────────────────────────────────────────────────────────────

/** How long a due table may wait for its turn, and for the end of a running removal. */
const LATE_MS = 600_000;
const INTENT_MS = 60_000;
const RELOCATION_MS = 3_600_000;

function whatIsOpen(ledger: Ledger, now: Date): readonly Finding[] {
  const { problem, unsettled, relocations, withoutTriggers, restores } = ledger;
  const older = (rows: readonly { readonly droppedAt: Date }[], ms: number) =>
    rows.filter(({ droppedAt }) => now.getTime() - droppedAt.getTime() > ms).length;
  const open = [
    ...counted(UNSETTLED, older(unsettled, INTENT_MS), DOCTOR),
    ...counted(UNMOVED, older(relocations, RELOCATION_MS), DOCTOR),
  ];
  const broken = [
    ...withoutTriggers.map(
      (table) => `restored without its triggers: ${table}; \`undrop show\` has them`,
    ),
    ...restores.map(({ what, missing }) => `${what} is not restored whole: ${missing}`),
  ];
  return [
    ...findingsOf('ledger', 'warning', problem ? [`the ledger is not ready: ${problem}`] : []),
    ...findingsOf('drops', 'warning', open),
    ...findingsOf('restores', 'warning', broken),
  ];
}

const UNSETTLED = 'drops that are not settled after more than a minute';
const UNMOVED = 'tables that could not move to the recycle schema for more than an hour';
const DOCTOR = 'run `undrop doctor`';

/** `more`: what mends it, or the reason. */
function counted(what: string, count: number, more?: string): readonly string[] {
  const clause = more === undefined ? '' : `; ${more}`;
  return count === 0 ? [] : [`${what}: ${count}${clause}`];
}

/** Tables that are long due, unless the collector has a reason to wait. */
function whatIsLate(
  tables: readonly StatusTable[],
  how: Readonly<Record<'leader' | 'resting', string | null>> & { readonly lastLook: Date | null },
  { now, checkIntervalMs }: { readonly now: Date; readonly checkIntervalMs: number },
): readonly string[] {
  const { lastLook, leader, resting } = how;
  if (resting !== null) return [];
  const agoMs = (time: Date) => now.getTime() - time.getTime();
  const overdue = tables.filter(({ due }) => !isPinned(due) && agoMs(due) > LATE_MS);
  if (lastLook === null || agoMs(lastLook) > checkIntervalMs + LATE_MS) {
    const why =
      leader === null
        ? 'no proxy collects: set UNDROP_COLLECT=on for one'
        : 'the collector has not checked them: restart its proxy';
    return counted('tables that are due, but not collected', overdue.length, why);
  }
  // A purge takes its time, and so does an EVAC.
  const left = overdue.filter(({ state }) => state === 'HOLD' || state === 'DROP').length;
  const reasons = 'the log has the reasons (event left)';
  return counted('tables that are due, but cannot be removed', left, reasons);
}
