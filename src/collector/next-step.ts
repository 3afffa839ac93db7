/**
 * `nextStep` is the lifecycle as one pure function: the next step of a held table, from its name,
 * the server and the settings. HOLD → PURGE → EVAC → DROP → gone; a state that is not in the
 * lifecycle, or that this server does not need, ignores its due time and ends at once.
 *
 * Invariant: no table leaves HOLD before its due time, save by a lifecycle without HOLD, or where
 * limits have chosen it; that one goes straight to DROP. A pinned one never does, and a locked one
 * not before its time, whatever its name or the settings say. A table whose
 * removal would reach into live rows (by a trigger, a foreign key from outside) is never purged or
 * dropped; a table that may not be purged is dropped with its rows.
 */
import { assertNever } from '../errors.js';
import { isPinned, type TableState } from '../names/names.js';
import type { LimitSettings } from './limits/choose-early.js';
import type { ThrottleSettings } from './throttle/throttle.js';

/** The fields of the name, and, once read, the table itself. */
export interface StepTable {
  readonly state: TableState;
  /** The time before which the state does not end, by the server's clock. */
  readonly due: Date;
  /** `null`: only the name has been read. */
  readonly facts: TableFacts | null;
  /** The reason for an early removal (limits.ts); default: none. */
  readonly early?: string;
}

/** Facts that must be read from the server before a table is touched. */
export interface TableFacts {
  /** Rows can be deleted one by one without touching anything else: a plain InnoDB table. */
  readonly purgeable: boolean;
  readonly empty: boolean;
  /** Pages of the table in the buffer pool; `null` if the server does not report them. */
  readonly cachedPages: number | null;
  /** The buffer pool has many pages to be written; default: no, or not reported. */
  readonly isMuchDirty?: boolean;
  /** Its pages lie among those of other tables; default: no, or not reported. */
  readonly isInSharedTablespace?: boolean;
  /** Nobody ends its hold before, by the ledger; null: it isn't locked. Default: null. */
  readonly lockedUntil?: Date | null;
  /** Its engine has lost it (table-facts.ts); default: it hasn't. */
  readonly isLost?: boolean;
  /** Why the table must not be touched: triggers on it, foreign keys to it, not a table at all. */
  readonly obstacles: readonly string[];
}

export type Step =
  /** Nothing before `until`. */
  | { readonly kind: 'wait'; readonly until: Date; readonly because: string }
  /** Read the table's facts, then call `nextStep` again. */
  | { readonly kind: 'look' }
  | StateChange
  /** Delete rows. */
  | { readonly kind: 'purge' }
  /** Remove the table. */
  | { readonly kind: 'drop' }
  /** Only an operator can solve it. */
  | { readonly kind: 'blocked'; readonly because: string };

/** Rename to the same id in another state. */
export interface StateChange {
  readonly kind: 'move';
  readonly to: TableState;
  readonly due: Date;
  readonly because: string;
}

export type StepSettings = Pick<LifecycleSettings, 'lifecycle' | 'evacMs' | 'fastDrop'>;

/** The inputs of a step, beside the table. */
export interface StepFacts {
  readonly server: RemovalFacts;
  readonly settings: StepSettings;
  /** The server's own UTC time. */
  readonly now: Date;
}

/** Returns the next action on `table`. */
export function nextStep(table: StepTable, { server, settings, now }: StepFacts): Step {
  const { early, facts } = table;
  const isHeld = settings.lifecycle.includes('HOLD') && now < table.due && early === undefined;
  // Also for a table that limits have chosen, because it may have been pinned since.
  if (table.state === 'HOLD' && (isHeld || isPinned(table.due))) {
    return { kind: 'wait', until: table.due, because: 'held until then' };
  }
  if (facts === null) return { kind: 'look' };
  const { lockedUntil = null } = facts;
  if (table.state === 'HOLD' && lockedUntil !== null && now < lockedUntil) {
    return { kind: 'wait', until: lockedUntil, because: 'locked until then' };
  }
  if (facts.obstacles.length > 0) return { kind: 'blocked', because: facts.obstacles.join('; ') };
  if (early !== undefined && table.state !== 'DROP') {
    return { kind: 'move', to: 'DROP', due: now, because: early };
  }
  const way = wayOf(facts, server, settings);
  const move = (because: string) => moveOn(table.state, way, { now, because, ...settings });
  switch (table.state) {
    case 'HOLD':
      return move(way.hold ? 'due' : 'HOLD is not in the lifecycle');
    case 'PURGE':
      if (!way.purge) return move('no PURGE for this table here');
      return facts.empty ? move('empty') : { kind: 'purge' };
    case 'EVAC': {
      if (!way.evac) return move('no EVAC here');
      if (facts.cachedPages === 0) return move('no page cached');
      const [dueMs, nowMs] = [table.due.getTime(), now.getTime()];
      const isYoung = nowMs < dueMs - settings.evacMs + WRITTEN_WITHIN_MS;
      if (facts.isMuchDirty && isDropDear(server) && isYoung) {
        const until = new Date(Math.max(dueMs, nowMs + WRITTEN_AGAIN_MS));
        return { kind: 'wait', until, because: 'changed pages are being written' };
      }
      if (now >= table.due) return move('due');
      return { kind: 'wait', until: table.due, because: 'its pages are leaving the buffer pool' };
    }
    case 'DROP':
      return { kind: 'drop' };
    default:
      return assertNever(table.state);
  }
}

/**
 * A costly DROP scans all changed pages of the pool, including those of rows that were purged a
 * moment ago. An EVAC waits so long for them to be written; one of hours doesn't depend on it.
 */
const WRITTEN_WITHIN_MS = 3_600_000;
/** Minimum time between two checks of a table. */
const WRITTEN_AGAIN_MS = 5_000;

interface Way {
  readonly hold: boolean;
  readonly purge: boolean;
  readonly evac: boolean;
}

/**
 * The configured lifecycle without the states that this table does not need on this server. A DROP
 * scans the buffer pool before MySQL 8.0.23 and MariaDB 10.6, so there a table is emptied and its
 * pages are waited for. Later servers drop at once, but with the adaptive hash index on they still
 * stall while they clear it (MySQL bug 113312), so there EVAC stays, without a purge. A table in a
 * shared tablespace is purged everywhere: a DROP frees its pages one by one under a latch that all
 * tables need (MySQL bug 118335).
 */
function wayOf(
  { purgeable, isInSharedTablespace = false }: TableFacts,
  server: RemovalFacts,
  { lifecycle, fastDrop }: StepSettings,
): Way {
  const isAuto = fastDrop === 'auto';
  const isDear = fastDrop === 'never' || (isAuto && isDropDear(server));
  const isPurgeNeeded = isDear || (isAuto && isInSharedTablespace);
  const isEvacNeeded = isDear || (isAuto && server.adaptiveHashIndex);
  return {
    hold: lifecycle.includes('HOLD'),
    purge: isPurgeNeeded && purgeable && lifecycle.includes('PURGE'),
    evac: isEvacNeeded && lifecycle.includes('EVAC'),
  };
}

/** PURGE and DROP have no waiting time: their due time is the time of the transition. */
function moveOn(
  from: TableState,
  way: Way,
  how: { readonly now: Date; readonly because: string; readonly evacMs: number },
): StateChange {
  const { now, because, evacMs } = how;
  if (from === 'HOLD' && way.purge) return { kind: 'move', to: 'PURGE', due: now, because };
  if (from === 'EVAC' || !way.evac) return { kind: 'move', to: 'DROP', due: now, because };
  return { kind: 'move', to: 'EVAC', due: new Date(now.getTime() + evacMs), because };
}

/** The facts that the states between HOLD and DROP depend on. */
export interface RemovalFacts {
  readonly flavour: 'mysql' | 'mariadb';
  /** 90704 for 9.7.4, 101119 for 10.11.19. */
  readonly versionId: number;
  readonly adaptiveHashIndex: boolean;
}

const CHEAP_DROP_SINCE = { mysql: 80023, mariadb: 100600 } as const;

/** Whether a DROP scans the buffer pool. */
export function isDropDear({ flavour, versionId }: RemovalFacts): boolean {
  return versionId < CHEAP_DROP_SINCE[flavour];
}

/** The operator's settings of the lifecycle, in the collector's form. */
export interface LifecycleSettings {
  /** Any subset of the states; DROP is always implied, the order is fixed. */
  readonly lifecycle: readonly TableState[];
  /** How long a table can be restored whole. Its due time is already in its name. */
  readonly holdMs: number;
  /** The longest time that an emptied table waits for its pages to leave the buffer pool. */
  readonly evacMs: number;
  /** The longest time between two rounds. */
  readonly checkIntervalMs: number;
  /** The longest time between two rounds while rows are still to be deleted. */
  readonly purgeCheckIntervalMs: number;
  /** Rows of the first DELETE in a table. */
  readonly purgeChunkRows: number;
  /** The intended duration of a DELETE. */
  readonly purgeChunkMs: number;
  /** How much later others' reads may come because of a purge. */
  readonly purgeImpactMs: number;
  /**
   * `auto` and `on` collect if the server is writable, one proxy at a time; `auto` doesn't if the
   * server replicates from another, which may collect, too. `off` never does.
   */
  readonly collect: 'auto' | 'on' | 'off';
  /** How long a collector waits if the server may be a restored backup; 0: no wait. */
  readonly graceMs: number;
  /** `auto`: the states that the server needs; `always`: neither PURGE nor EVAC; `never`: both. */
  readonly fastDrop: 'auto' | 'always' | 'never';
  /** How long ledger rows are kept after the end of their table. */
  readonly ledgerKeepMs: number;
  /** How much of the file of a removed table is freed at a time. */
  readonly fileStepBytes: number;
  /** The room that held tables may take. */
  readonly limits: LimitSettings;
  /** When the collector waits although a table is due. */
  readonly throttle: ThrottleSettings;
}
