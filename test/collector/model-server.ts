/**
 * A model of a server with held tables, in memory, which holds each statement of a collector to
 * what is legal: the rules of the lifecycle are written down here a second time, apart from
 * `nextStep`. As on a server, a statement is for an exact name, and does nothing if no table has
 * it; names may be folded to lower case; there are tables whose names only look like ours.
 */
import { earlyFirst } from '../../src/collector/limits/limits.js';
import type * as steps from '../../src/collector/next-step.js';
import type { HoldName, TableState } from '../../src/names/names.js';
import { formatHoldName, isPinned, parseHoldName } from '../../src/names/names.js';
import { nearMisses } from './collecting.js';

export const STATES: readonly TableState[] = ['HOLD', 'PURGE', 'EVAC', 'DROP'];
export const HOUR_MS = 3_600_000;
/** Not a whole second: names round it up. */
const BEGIN_MS = Date.UTC(2026, 2, 1, 12) + 123;
const CHUNK_ROWS = 7;
const DECOY_ROWS = 2;

/** As vitess writes the states in its newer names. */
const SHORT = { HOLD: 'hld', PURGE: 'prg', EVAC: 'evc', DROP: 'drp' } as const;

/** A held table at first. */
export interface Seed
  extends Pick<Table, 'rows' | 'pages' | 'purgeable' | 'isInSharedTablespace' | 'obstacle'> {
  readonly state: TableState;
  readonly dueInSeconds: number;
  /** How its name is written: as undrop does, as servers that fold case do, as vitess does. */
  readonly form: 'long' | 'folded' | 'short';
}

export interface ModelStart {
  readonly tables: readonly Seed[];
  /** The server knows names in lower case only. */
  readonly folds: boolean;
  /** It says how many pages of a table are cached. */
  readonly tellsPages: boolean;
  readonly server: steps.RemovalFacts;
}

export interface Table {
  /** Null: it isn't ours. */
  readonly id: string | null;
  readonly purgeable: boolean;
  readonly isInSharedTablespace: boolean;
  readonly rowsAtFirst: number;
  rows: number;
  pages: number;
  obstacle: 'none' | 'passing' | 'lasting';
  name: string;
  /** The last name that no collector gave. */
  given: string;
  /** Before this time its state doesn't end; in its name it may be rounded up. */
  dueMs: number;
  end: 'restored' | 'removed' | null;
}

/** A held table as a collector has listed it. */
export interface Held extends HoldName {
  readonly name: string;
  readonly early?: string;
}

/** What a collector knew when it decided. */
export interface Act {
  readonly table: Held;
  readonly facts: steps.TableFacts;
  readonly server: steps.RemovalFacts;
  readonly settings: steps.StepSettings;
  readonly at: Date;
}

/** What happened in any of the histories, so that none of it is missing in all of them. */
export const met = new Set<string>();

export class ModelServer {
  /** What must not happen, and did. */
  readonly wrong: string[] = [];
  readonly tables: readonly Table[];
  readonly #start: ModelStart;
  server: steps.RemovalFacts;
  /** The server's UTC clock. */
  nowMs = BEGIN_MS;
  monotonicMs = 0;
  isMuchDirty = true;
  /** Which tables limits would take. */
  early: ReadonlySet<string> = new Set();

  constructor(start: ModelStart) {
    this.#start = start;
    this.server = start.server;
    const ours = start.tables.map(({ state, dueInSeconds, form, ...table }, index) => {
      const [id, due] = [idOf(index), wholeSecond(BEGIN_MS + dueInSeconds * 1000)];
      const long = formatHoldName({ state, id, due });
      const short = `_vt_${SHORT[state]}_${id}_${long.slice(-14)}_`;
      const name = form === 'short' ? short : form === 'long' ? long : long.toLowerCase();
      return { ...table, ...this.#named(name), id, dueMs: due.getTime() };
    });
    const decoy = { id: null, rows: DECOY_ROWS, pages: 0, dueMs: 0 };
    const kind = { purgeable: true, isInSharedTablespace: false };
    const decoys = decoysOf(idOf(0)).map((name) => {
      return { ...decoy, ...kind, ...this.#named(name), obstacle: 'none' as const };
    });
    this.tables = [...ours, ...decoys].map((table) => ({ ...table, rowsAtFirst: table.rows }));
  }

  #named(text: string): Pick<Table, 'name' | 'given' | 'end'> {
    const name = this.#stored(text);
    return { name, given: name, end: null };
  }

  /** Servers with lower_case_table_names=1 know names in lower case only. */
  #stored(name: string): string {
    return this.#start.folds ? name.toLowerCase() : name;
  }

  #find(name: string): Table | undefined {
    const stored = this.#stored(name);
    return this.tables.find((table) => table.end === null && table.name === stored);
  }

  /** As collectors list them: oldest first, but for those that limits have chosen. */
  list(): readonly Held[] {
    const held = this.tables
      .filter(({ end }) => end === null)
      .flatMap(({ name }): Held[] => {
        const parsed = parseHoldName(name);
        return parsed === null ? [] : [{ ...parsed, name }];
      })
      .sort((a, b) => a.due.getTime() - b.due.getTime() || (a.id < b.id ? -1 : 1));
    // Also one that was pinned after it was chosen.
    const chosen = held.filter(({ id, state }) => this.early.has(id) && state !== 'DROP');
    return earlyFirst(
      held,
      new Map(chosen.map(({ id, due }) => [id, { because: 'limits', from: due }])),
    );
  }

  /** Null: no table has that name any more. */
  factsOf({ name, state }: Held): steps.TableFacts | null {
    const table = this.#find(name);
    if (table === undefined) return null;
    const { purgeable, isInSharedTablespace, obstacle, rows, pages } = table;
    const obstacles = obstacle === 'none' ? [] : [`${obstacle} trigger`];
    const empty = state === 'PURGE' && purgeable && obstacle === 'none' && rows === 0;
    const facts = { purgeable, isInSharedTablespace, obstacles, empty };
    if (state !== 'EVAC') return { ...facts, cachedPages: null };
    if (this.#start.tellsPages) return { ...facts, cachedPages: pages };
    return { ...facts, cachedPages: null, isMuchDirty: this.isMuchDirty };
  }

  /** A collector does nothing about it before `until`. */
  wait({ name, early, due }: Held, until: Date, at: Date): void {
    met.add('wait');
    if (early !== undefined && isPinned(due)) met.add('early, but pinned');
    else if (early !== undefined) this.wrong.push(`${name}: early, and waits`);
    if (until <= at) this.wrong.push(`${name}: waits until ${until.toISOString()}, which is over`);
  }

  /** Null: no table has that name any more. */
  move(act: Act, { to, due, because }: steps.StateChange): Held | null {
    const name = formatHoldName({ state: to, id: act.table.id, due });
    const isFree = this.#find(name) === undefined;
    const table = this.#judged(act, `move to ${to}, ${because}`, (one) => [
      ...whyNotMoved(one, act, to, this.nowMs),
      ...whyMisnamed(one, name, act, to),
      ...(isFree ? [] : ['the name is taken']),
    ]);
    if (table === null) return null;
    met.add(act.table.early === undefined ? `${act.table.state} to ${to}` : 'early');
    table.name = this.#stored(name);
    table.dueMs = due.getTime();
    return { ...act.table, state: to, due, name };
  }

  /** False: there is nothing more to be purged. */
  purge(act: Act): boolean {
    const table = this.#judged(act, 'purge', ({ name, purgeable }) => [
      ...(parseHoldName(name)?.state === 'PURGE' ? [] : ['not in PURGE']),
      ...(purgeable && wants('PURGE', act) ? [] : ['not to be purged']),
      ...(act.table.early === undefined ? [] : ['early, and purged']),
    ]);
    if (table === null) return false;
    table.rows = Math.max(0, table.rows - CHUNK_ROWS);
    return table.rows > 0;
  }

  remove(act: Act): void {
    const isInDrop = ({ name }: Table) => parseHoldName(name)?.state === 'DROP';
    const table = this.#judged(act, 'drop', (one) => (isInDrop(one) ? [] : ['not in DROP']));
    if (table !== null) table.end = 'removed';
  }

  /** The table that a collector's statement is for; null: it comes too late. */
  #judged({ table: known, facts }: Act, what: string, why: (table: Table) => string[]) {
    const table = this.#find(known.name);
    met.add(`${what.split(' ')[0]} of ${table === undefined ? 'nothing' : 'a table'}`);
    if (table === undefined) return null;
    const hasObstacle = facts.obstacles.length > 0 || table.obstacle === 'lasting';
    const wrong = [
      ...why(table),
      ...(table.id === known.id ? [] : ['not that table']),
      ...(hasObstacle ? ['an obstacle'] : []),
    ];
    if (wrong.length > 0) this.wrong.push(`${table.name}: ${what}: ${wrong.join(', ')}`);
    return table;
  }

  /** What people do by a RENAME of their own; `name` may be one that it had before. */
  rename(table: Table, { name, due }: { readonly name: string; readonly due: Date | null }): void {
    if (parseHoldName(name)?.state !== 'HOLD' || table.id === null) return;
    if (this.#find(name) !== table) {
      met.add('somebody came too late');
    } else if (due === null) {
      met.add('restored');
      table.end = 'restored';
    } else {
      met.add(isPinned(due) ? 'pinned' : 'postponed');
      table.name = this.#stored(formatHoldName({ state: 'HOLD', id: table.id, due }));
      table.given = table.name;
      table.dueMs = due.getTime();
    }
  }
}

function idOf(index: number): string {
  return `0199${'0'.repeat(8)}7abc8${index.toString(16).padStart(15, '0')}`;
}

function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000);
}

/** Names that are nearly ours; all would be due. */
function decoysOf(id: string): readonly string[] {
  return [
    ...nearMisses(id),
    `_vt_DROP_${id}_20200101240000`,
    `_vt_DROP_${id}_2020010100000`,
    `_vt_PURGE_${id}_202001010000000`,
    `_vt_HOLD_${id}0_20200101000000`,
    `_vt_HOLD_${id.slice(1)}g_20200101000000`,
    `_vt_HLD_${id}_20200101000000`,
    `_vt_DROP_${id}_20200101000000#p0`,
    `_vt_DROP_${id}_20200101000000\n`,
    `vt_EVAC_${id}_20200101000000`,
    `!undrop_${id}`,
  ];
}

// ── what is legal ────────────────────────────────────────────────────────────────────────────────

/** Whether the server is one whose DROP goes through the buffer pool. */
function isDear({ flavour, versionId }: steps.RemovalFacts): boolean {
  return flavour === 'mysql' ? versionId < 80023 : versionId < 100600;
}

/** Whether a table has to be in that state for a while. */
function wants(state: TableState, { server, settings, facts }: Omit<Act, 'table' | 'at'>): boolean {
  if (!settings.lifecycle.includes(state)) return state === 'DROP';
  if (state === 'HOLD' || state === 'DROP') return true;
  if (settings.fastDrop === 'always' || (state === 'PURGE' && !facts.purgeable)) return false;
  const isSlow = settings.fastDrop === 'never' || isDear(server);
  return (
    isSlow || (state === 'EVAC' ? server.adaptiveHashIndex : facts.isInSharedTablespace === true)
  );
}

/** Reasons against a move of `table`, as it is at that moment; none: it is legal. */
function whyNotMoved(table: Table, act: Act, to: TableState, nowMs: number): string[] {
  const from = parseHoldName(table.name)?.state ?? 'DROP';
  const between = STATES.slice(STATES.indexOf(from) + 1, STATES.indexOf(to));
  const isKept = from === 'HOLD' && isPinned(new Date(table.dueMs));
  const first = [
    ...(STATES.indexOf(to) > STATES.indexOf(from) ? [] : ['backwards']),
    ...(isKept ? ['it is pinned'] : []),
  ];
  if (act.table.early !== undefined) return [...first, ...(to === 'DROP' ? [] : ['not early'])];
  return [
    ...first,
    ...between.filter((state) => wants(state, act)).map((state) => `${state} is left out`),
    ...(wants(to, act) ? [] : [`${to} is not needed`]),
    ...(wants(from, act) && !isOver(from, table, act, nowMs) ? [`${from} is not over`] : []),
  ];
}

function isOver(state: TableState, table: Table, act: Act, nowMs: number): boolean {
  const { facts, server, settings } = act;
  if (state !== 'EVAC') return state === 'HOLD' ? nowMs >= table.dueMs : table.rows === 0;
  if (facts.cachedPages === 0) return true;
  const isWritten = !facts.isMuchDirty || !isDear(server);
  const beganMs = act.table.due.getTime() - settings.evacMs;
  return nowMs >= table.dueMs && (isWritten || nowMs >= beganMs + HOUR_MS);
}

/** Reasons against the name that a table gets. */
function whyMisnamed(table: Table, name: string, act: Act, to: TableState): string[] {
  const parsed = parseHoldName(name);
  const lastsMs = to === 'EVAC' ? act.settings.evacMs : 0;
  const roundedMs = (parsed?.due.getTime() ?? 0) - (act.at.getTime() + lastsMs);
  return [
    ...(parsed?.id === table.id ? [] : ['another id']),
    ...(parsed?.state === to ? [] : ['another state']),
    ...(roundedMs >= 0 && roundedMs < 1000 ? [] : [`due is off by ${roundedMs} ms`]),
  ];
}
