/**
 * The collector in commands: `collectOnce` runs the same rounds, under the same lock, as a proxy,
 * for an uninstall; `planOnce` returns what they would do.
 *
 * Invariant: `planOnce` writes nothing, and takes no lock. It decides by `nextStep`, as the rounds
 * do.
 */

import type { ServerFacts, ServicePool } from '../connections/sql.js';
import { hasRows, readServerFacts } from '../connections/sql.js';
import { readControl } from '../ledger/control.js';
import { hasSource } from '../ledger/owner.js';
import { type Collectable, listCollectable } from './collectable.js';
import type { CollectorOptions } from './collector.js';
import { newCollectorFigures, pauseText, READ_ONLY, REPLICATES, throttleText } from './figures.js';
import { peekGrace } from './leader/grace.js';
import { leadOnce, Wakeup } from './leader/leader.js';
import { earlyFirst, readRoom } from './limits/limits.js';
import { type LifecycleSettings, nextStep, type TableFacts } from './next-step.js';
import { Rounds } from './rounds/rounds.js';
import { readTableFacts } from './table-facts.js';
import { type Replica, Throttle } from './throttle/throttle.js';

type OnceOptions = Pick<
  CollectorOptions,
  'pool' | 'proxyId' | 'settings' | 'replicas' | 'clock' | 'log' | 'reconcile'
>;

/** Resolves to the reason if it did nothing, else to null. */
export async function collectOnce(options: OnceOptions): Promise<string | null> {
  const monotonicMs = () => performance.now();
  let resting: string | null = null;
  const notLed = await leadOnce(options, async (leadership) => {
    const rounds = new Rounds({
      ...options,
      leadership,
      throttle: new Throttle(options),
      figures: newCollectorFigures(),
      activeIds: new Set(),
      lastSeen: new Map(),
      monotonicMs,
      wakeup: new Wakeup(),
      // The operator requested it.
      noticeMs: 0,
      signal: new AbortController().signal,
    });
    resting = await rounds.runOnce();
  });
  return notLed === null ? resting : notLed.what;
}

/** The steps that one table would take at once. */
export interface TablePlan {
  readonly table: Collectable;
  /** The steps in order, each in a few words; empty: none. */
  readonly steps: readonly string[];
  /** The next wait; null: the table would be gone. */
  readonly left: { readonly until: Date | null; readonly because: string } | null;
}

export interface CollectPlan {
  /** Why nothing would be done now; null: it would. */
  readonly resting: string | null;
  readonly tables: readonly TablePlan[];
}

/** The steps that the collector would take now. */
export async function planOnce(
  options: Pick<OnceOptions, 'pool' | 'settings' | 'replicas' | 'clock'>,
): Promise<CollectPlan> {
  const { pool, settings, clock } = options;
  const server = await readServerFacts(pool);
  const { tables } = await listCollectable(pool, new Set());
  const seen = { heldCount: tables.length, wallClockMs: clock.nowMs() };
  const resting =
    (await whyResting(pool, server, options)) ??
    (await peekGrace(pool, { ...seen, server }, settings));
  const plans: TablePlan[] = [];
  const held = { count: tables.length, list: async () => tables };
  const room = await readRoom(pool, held, { limits: settings.limits, now: server.utcNow });
  for (const table of earlyFirst(tables, room?.early ?? new Map()))
    plans.push(await planTable(pool, table, { server, settings }));
  return { resting, tables: plans };
}

type Replicas = readonly Replica[];

/** Why the collector waits on this server now, apart from UNDROP_GRACE; null: it doesn't. */
export async function whyResting(
  pool: ServicePool,
  server: ServerFacts,
  options: { settings: Pick<LifecycleSettings, 'collect' | 'throttle'>; replicas?: Replicas },
): Promise<string | null> {
  if (server.readOnly) return READ_ONLY;
  const isAuto = options.settings.collect === 'auto';
  if (isAuto && (await hasSource(pool, server))) return REPLICATES;
  const { pause } = await readControl(pool);
  if (pause !== null) return pauseText(pause);
  const wait = await new Throttle({ ...options, pool }).wait(server.utcNow);
  return wait === null ? null : throttleText(wait.because);
}

/** At most HOLD → PURGE → EVAC → DROP → gone, and the rows in between. */
const STEPS_MAX = 6;

async function planTable(
  pool: ServicePool,
  table: Collectable,
  { server, settings }: { readonly server: ServerFacts; readonly settings: LifecycleSettings },
): Promise<TablePlan> {
  const steps: string[] = [];
  const stays = (because: string, until: Date | null = null) => {
    return { table, steps, left: { until, because } };
  };
  let { state, due } = table;
  let facts: TableFacts | null = null;
  for (let count = 0; count < STEPS_MAX; count++) {
    const step = nextStep(
      { ...table, state, due, facts },
      { server, settings, now: server.utcNow },
    );
    switch (step.kind) {
      case 'wait':
        return stays(step.because, step.until);
      case 'blocked':
        return stays(step.because);
      case 'look': {
        const found = (await readTableFacts(pool, [table], server)).get(table.id);
        if (found === undefined) return { table, steps, left: null };
        const empty = found.purgeable && !(await hasRows(pool, table));
        facts = { ...found, empty, cachedPages: null };
        break;
      }
      case 'purge':
        steps.push('its rows are purged');
        facts = facts === null ? null : { ...(facts as TableFacts), empty: true };
        break;
      case 'move':
        steps.push(`${state} → ${step.to}${table.early === undefined ? '' : ` (${table.early})`}`);
        [state, due] = [step.to, step.due];
        break;
      case 'drop':
        return { table, steps: [...steps, 'removed for good'], left: null };
    }
  }
  return stays('it needs more steps');
}
