/**
 * `readStatus` reads what an operator asks of a server: who collects and when it last looked, why
 * it waits, what is open in the ledger, and what of all that needs attention.
 *
 * Invariant: it writes nothing. What needs attention is decided by `whatNeedsAttention`, which is
 * pure, by the server's clock.
 */
import type { Todo } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { findSchemaDrops } from '../ledger/schema-drops.js';
import { assertLedgerKnown } from '../ledger/tables.js';
import { isPinned, type TableState } from '../names/names.js';
import { isServiceError, type ServicePool } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, numberOf, processlistOf, sql, textOf } from '../service/sql.js';
import { newThrottle } from './collector.js';
import { readLockState } from './leader/collector-lock.js';
import { peekGrace, readLastRound } from './leader/grace.js';
import type { LifecycleSettings } from './next-step.js';
import { whyResting } from './once.js';
import type { Replica } from './throttle/replica-lag.js';

export interface Status {
  readonly server: { readonly version: string; readonly readOnly: boolean; readonly now: Date };
  readonly collector: {
    /** Id, user and address of the connection of the proxy that collects; null: none does. */
    readonly leader: string | null;
    readonly lastLook: Date | null;
    /** Why nothing is collected now; null: what is due is. */
    readonly resting: string | null;
  };
  readonly proxies: {
    /** How many connections of the service account there are from each address. */
    readonly connections: Readonly<Record<string, number>>;
    /** Those that have open intents. */
    readonly withIntents: readonly string[];
  };
  readonly open: {
    /** Ids of tables and schemas. */
    readonly intents: readonly string[];
    readonly relocations: readonly string[];
    readonly schemaDrops: readonly string[];
  };
  /** Sentences without their end; empty: all is well. */
  readonly attention: readonly string[];
}

interface Asked {
  /** The service account's. */
  readonly user: string;
  readonly settings: Pick<
    LifecycleSettings,
    'collect' | 'holdMs' | 'graceMs' | 'checkIntervalMs' | 'throttle'
  >;
  /** Those of the settings. */
  readonly replicas: readonly Replica[];
  /** What is held. */
  readonly tables: readonly { readonly state: TableState; readonly due: Date }[];
  readonly wallClockMs: number;
}

export async function readStatus(pool: ServicePool, asked: Asked): Promise<Status> {
  const server = await readServerFacts(pool);
  const { settings, replicas, tables, wallClockMs, user } = asked;
  const lock = await readLockState(pool, server);
  const leader = lock.leader === null ? null : (lock.row?.holder ?? null);
  const lastLook = (await readLastRound(pool, server))?.at ?? null;
  const seen = { heldCount: tables.length, wallClockMs };
  const grace = leader === null ? null : await peekGrace(pool, server, seen, settings);
  const throttle = newThrottle({ pool, settings, replicas }, () => performance.now());
  const resting = (await whyResting(pool, server, { settings, throttle })) ?? grace;
  const ledger = await readLedger(pool);
  const [found = []] = await pool.run(
    sql`SELECT ${note('status')} SUBSTRING_INDEX(HOST, ':', 1) AS host, COUNT(*) AS count
        FROM ${processlistOf(server)} WHERE USER = ${user} AND ID <> CONNECTION_ID() GROUP BY 1`,
  );
  const connections = found.map((row) => [textOf(row, 'host'), numberOf(row, 'count')] as const);
  const { intents, relocations, schemaDrops, problem } = ledger;
  const { version, readOnly, utcNow: now } = server;
  const facts = { now, lastLook, leader, resting, problem, intents, relocations, tables };
  return {
    server: { version, readOnly, now },
    collector: { leader, lastLook, resting },
    proxies: {
      connections: Object.fromEntries(connections),
      withIntents: [...new Set(intents.map(({ proxyId }) => proxyId))],
    },
    open: {
      intents: intents.map(({ id }) => id),
      relocations: relocations.map(({ id }) => id),
      schemaDrops: schemaDrops.map(({ id }) => id),
    },
    attention: whatNeedsAttention(facts, settings),
  };
}

/** `problem`: why the ledger can't be used. */
async function readLedger(pool: ServicePool) {
  try {
    const version = await assertLedgerKnown(pool);
    if (version === null) return { ...NO_LEDGER, problem: 'there is none on this server' };
    const pending = await findRows(pool, { by: 'pending' }, { texts: false });
    return {
      problem: null,
      intents: await findRows(pool, { by: 'intent' }, { texts: false }),
      relocations: pending.filter(({ failure }) => !BLOCKED.has(failure?.todo ?? null)),
      schemaDrops: await findSchemaDrops(pool),
    };
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return { ...NO_LEDGER, problem: error.message };
  }
}

interface OpenRow {
  readonly id: string;
  readonly proxyId: string;
  readonly droppedAt: Date;
}

/** Nothing is to be done about these. */
const BLOCKED: ReadonlySet<Todo | null> = new Set<Todo>([
  'blocked_by_file',
  'blocked_by_partitions',
  'blocked_by_triggers',
]);

const NO_ROWS: readonly OpenRow[] = [];
const NO_LEDGER = { intents: NO_ROWS, relocations: NO_ROWS, schemaDrops: NO_ROWS };

/** What is due may wait so long for its turn, and for the end of a removal that is under way. */
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
  readonly tables: Asked['tables'];
}

/** Why somebody should look here. What an operator has decided (a pause) is no reason. */
export function whatNeedsAttention(
  facts: AttentionFacts,
  { checkIntervalMs }: { readonly checkIntervalMs: number },
): readonly string[] {
  const { now, lastLook, leader, resting, problem } = facts;
  const agoMs = (time: Date) => now.getTime() - time.getTime();
  const older = (rows: readonly { readonly droppedAt: Date }[], ms: number) =>
    rows.filter(({ droppedAt }) => agoMs(droppedAt) > ms).length;
  const late = facts.tables.filter(({ due }) => !isPinned(due) && agoMs(due) > LATE_MS).length;
  const isLookOld = lastLook === null || agoMs(lastLook) > checkIntervalMs + LATE_MS;
  const [intents, relocations] = [
    older(facts.intents, INTENT_MS),
    older(facts.relocations, RELOCATION_MS),
  ];
  const noLook = leader === null ? 'no proxy collects' : 'the proxy that collects has not looked';
  return [
    ...(problem === null ? [] : [`the ledger is not ready: ${problem}`]),
    ...(late === 0 || resting !== null || !isLookOld
      ? []
      : [`tables that are due, and not collected: ${late}; ${noLook}`]),
    ...(intents === 0 ? [] : [`drops that are not settled after more than a minute: ${intents}`]),
    ...(relocations === 0
      ? []
      : [`tables in their own schema that are to be moved, for more than an hour: ${relocations}`]),
  ];
}
