/**
 * `Actions` performs the next step of one table, on the lock's connection.
 *
 * Invariant: every action follows a fresh read of its table. If the server refuses an action for
 * one table, that is logged and tried again later; it never stops the others.
 */

import { isServerError, type ServerError, unlessRefused } from '../connections/errors.js';
import { hasRows, ident, note, type ServerFacts, sql } from '../connections/sql.js';
import { assert, assertNever } from '../errors.js';
import { UNLESS_PAUSED } from '../ledger/control.js';
import * as names from '../names/names.js';
import * as ER from '../wire/server-errors.js';
import { type ActionContext, type ActionOutcome, PROGRESS } from './action-context.js';
import type { Collectable } from './collectable.js';
import * as ledger from './follow-ledger.js';
import { isDropDear, nextStep, type StateChange, type Step, type TableFacts } from './next-step.js';
import { RemovalPace } from './purge/pace.js';
import { Purger, type WorkOptions } from './purge/purge.js';
import {
  isLostByEngine,
  readCachedPages,
  readPoolFacts,
  readTableFacts,
  readWorth,
} from './table-facts.js';

/** Multiples of the buffer pool. */
const TURNOVER = 2;

/** A table, as far as it came. */
interface Advanced {
  readonly table: Collectable;
  readonly outcome: ActionOutcome;
}

interface Known {
  readonly table: Collectable;
  readonly facts: TableFacts;
}

interface AdvanceOptions extends Omit<WorkOptions, 'untilMs'> {
  /** Also for reasons other than the time. */
  isOver(): boolean;
}

interface Move extends Known {
  readonly step: StateChange;
}

export class Actions {
  readonly #options: ActionContext;
  readonly #purger: Purger;
  readonly #pace = new RemovalPace();
  #cachedPages: ReadonlyMap<string, number> | null = null;
  /** By id: pages read when it was first seen in EVAC. If it is lost, EVAC lasts longer. */
  readonly #readAtEvac = new Map<string, number>();

  constructor(options: ActionContext) {
    this.#options = options;
    this.#purger = new Purger(options);
  }

  /** Forgets what is read once for all tables of a round. */
  beginRound(): void {
    this.#cachedPages = null;
  }

  /**
   * Moves tables on, some at a time, until `isOver`; resolves to the outcomes of the tables that
   * were reached. Many go as fast as others don't feel it.
   */
  async advanceAll(
    tables: readonly Collectable[],
    work: AdvanceOptions,
  ): Promise<readonly Advanced[]> {
    const { server, isOver } = work;
    const { clock, monotonicMs, signal } = this.#options;
    const { gauge } = this.#purger;
    const reached: Advanced[] = [];
    const isPaced = !isDropDear(server) && tables.length > this.#pace.tables;
    this.#pace.begin(tables.length);
    const advanceEach = async () => {
      while (reached.length < tables.length && !isOver()) {
        const left = tables.slice(reached.length);
        const batch = isDropDear(server) ? left.slice(0, 1) : together(left, this.#pace.tables);
        const beganMs = monotonicMs();
        reached.push(...(await gauge.beside(() => this.advance(batch, work))));
        if (isHalted(reached)) return;
        if (!isPaced) continue;
        await gauge.look(server);
        this.#pace.note(monotonicMs() - beganMs, gauge.takeLoad());
        await clock.sleep(this.#pace.pauseMs, signal);
      }
    };
    await (isPaced ? gauge.during(advanceEach) : advanceEach());
    return reached;
  }

  /**
   * Moves tables of one schema as far as they can go at once; if the server refuses that, one after
   * another until `isOver`, because each may wait for others.
   */
  async advance(
    tables: readonly Collectable[],
    work: AdvanceOptions,
  ): Promise<readonly Advanced[]> {
    try {
      return await this.#advance(tables, work);
    } catch (error) {
      const [table] = tables;
      if (!isServerError(error) || table === undefined) throw error;
      if (tables.length === 1) return [{ table, outcome: refusal(error) }];
    }
    const each: Advanced[] = [];
    for (const table of tables) {
      each.push(...(await this.advance([table], work)));
      if (isHalted(each) || work.isOver()) break;
    }
    return each;
  }

  /**
   * Deletes rows of tables in PURGE, one after another until `untilMs` and while the lease is
   * fresh, those first that free most bytes for a row; a table without rows moves on. Resolves to
   * the outcomes of the tables that were reached.
   */
  async purge(tables: readonly Collectable[], work: WorkOptions) {
    const { monotonicMs, signal, lease } = this.#options;
    const reached: { readonly table: Collectable; readonly outcome: ActionOutcome }[] = [];
    for (const table of await this.#byWorth(tables)) {
      const outcome = await this.#purge(table, work);
      reached.push({ table, outcome });
      if (outcome.kind === 'throttled' || outcome.kind === 'paused') break;
      if (signal.aborted || monotonicMs() >= work.untilMs || !lease.isFresh) break;
    }
    return reached;
  }

  /** A scan that has begun would begin anew, so it stays first. */
  async #byWorth(tables: readonly Collectable[]): Promise<readonly Collectable[]> {
    if (tables.length < 2) return tables;
    const byId = await readWorth(this.#options.connection);
    const worthOf = (table: Collectable) =>
      this.#purger.isUnderWay(table) ? Number.POSITIVE_INFINITY : (byId.get(table.id) ?? 0);
    const all = tables.map((table) => ({ table, worth: worthOf(table) }));
    return all.sort((one, other) => other.worth - one.worth).map(({ table }) => table);
  }

  async #purge(table: Collectable, work: WorkOptions): Promise<ActionOutcome> {
    const advance = async () =>
      (await this.advance([table], { ...work, isOver: () => false }))[0]?.outcome;
    const before = (await advance()) ?? PROGRESS;
    if (before.kind !== 'purge') return before;
    const outcome = await tolerant(this.#purger.work(table, work));
    if (outcome.kind === 'left') this.#purger.forget();
    const isOver = outcome.kind === 'progress' && !this.#purger.isUnderWay(table);
    return isOver ? ((await advance()) ?? PROGRESS) : outcome;
  }

  async #advance(
    tables: readonly Collectable[],
    { server, now }: AdvanceOptions,
  ): Promise<readonly Advanced[]> {
    const { settings, throttle } = this.#options;
    const outcomes = new Map<string, ActionOutcome>();
    let left = tables;
    // At most HOLD → PURGE → EVAC → DROP → gone.
    for (let steps = 0; left.length > 0 && steps < 5; steps += 1) {
      const known = await this.#readFacts(left, server);
      const next = known.map((one) => {
        const step = nextStep({ ...one.table, facts: one.facts }, { server, settings, now: now() });
        return { ...one, step };
      });
      const drops = next.filter(({ step }) => step.kind === 'drop');
      const moves = next.flatMap(({ step, ...one }) =>
        step.kind === 'move' ? [{ ...one, step }] : [],
      );
      const isActing = drops.length + moves.length > 0;
      const wait = isActing ? await throttle.wait(now()) : null;
      for (const { table, step } of next) outcomes.set(table.id, outcomeOf(table, step, wait));
      if (wait !== null) break;
      // First, because their facts are fresh.
      await removeTables(this.#options, drops, server);
      left = await this.#move(moves, server);
    }
    return tables.map((table) => ({ table, outcome: outcomes.get(table.id) ?? PROGRESS }));
  }

  /**
   * Resolves to the tables that still exist, under their new names. A due table that can't be
   * renamed may have no rows left.
   */
  async #move(moves: readonly Move[], server: ServerFacts): Promise<readonly Collectable[]> {
    const [first, ...more] = moves;
    if (first === undefined) return [];
    for (const { table } of moves) this.#readAtEvac.delete(table.id);
    try {
      return await moveTables(this.#options, moves);
    } catch (error) {
      if (more.length > 0 || !isServerError(error, ER.ERROR_ON_RENAME)) throw error;
      if (!(await isLostByEngine(this.#options.connection, first.table, server))) throw error;
      const facts = { ...first.facts, isLost: true };
      await removeTables(this.#options, [{ ...first, facts }], server);
      return [];
    }
  }

  /** The facts of the tables that exist. */
  async #readFacts(tables: readonly Collectable[], server: ServerFacts): Promise<Known[]> {
    const all = await readTableFacts(this.#options.connection, tables, server);
    const known: Known[] = [];
    for (const table of tables) {
      const facts = all.get(table.id);
      if (facts === undefined) continue;
      known.push({ table, facts: { ...facts, ...(await this.#readMore(table, facts, server)) } });
    }
    return known;
  }

  /** Rows and pages are read only if the step depends on them, because both are costly. */
  async #readMore(
    table: Collectable,
    { purgeable, obstacles }: Pick<TableFacts, 'purgeable' | 'obstacles'>,
    server: ServerFacts,
  ): Promise<Pick<TableFacts, 'empty' | 'cachedPages' | 'isMuchDirty'>> {
    const { connection } = this.#options;
    const mayPurge = table.state === 'PURGE' && purgeable && obstacles.length === 0;
    const isOpen = mayPurge && !this.#purger.isUnderWay(table);
    const empty = isOpen && !(await hasRows(connection, table));
    if (table.state !== 'EVAC') return { empty, cachedPages: null };
    // If the account may not read them, an EVAC lasts its full time.
    this.#cachedPages ??= await unlessRefused(readCachedPages(connection, server), new Map());
    const cachedPages = this.#cachedPages.get(`${table.schema}/${table.name}`.toLowerCase());
    if (cachedPages !== undefined) return { empty, cachedPages };
    const { pages, isMuchDirty, read } = await readPoolFacts(connection);
    const isEvacuated = this.#hasTurnedOver(table, pages, read);
    return { empty, cachedPages: isEvacuated ? 0 : null, isMuchDirty };
  }

  /**
   * For servers that don't report cached pages: this table isn't read, so after others have read
   * twice the pages of the buffer pool, hardly any of its own is left.
   */
  #hasTurnedOver({ id }: Collectable, pages: number, read: number): boolean {
    const before = this.#readAtEvac.get(id) ?? read;
    // A restarted server counts from 0, with an empty pool.
    const since = read < before ? TURNOVER * pages : read - before;
    this.#readAtEvac.set(id, before);
    return pages > 0 && since >= TURNOVER * pages;
  }
}

async function tolerant(action: Promise<ActionOutcome>): Promise<ActionOutcome> {
  try {
    return await action;
  } catch (error) {
    if (!isServerError(error)) throw error;
    return refusal(error);
  }
}

function refusal({ errno, sqlMessage }: ServerError): ActionOutcome {
  if (errno === ER.SUBQUERY_NO_1_ROW) return { kind: 'paused' };
  return { kind: 'left', because: `${errno} ${sqlMessage}` };
}

/** `wait`: the throttle's. */
function outcomeOf(
  table: Collectable,
  step: Step,
  wait: Awaited<ReturnType<ActionContext['throttle']['wait']>>,
): ActionOutcome {
  switch (step.kind) {
    case 'wait':
      return { kind: 'wait', until: step.until };
    case 'blocked':
      return { kind: 'left', because: step.because };
    case 'purge':
      return { kind: 'purge', table };
    case 'look':
      return PROGRESS;
    case 'move':
    case 'drop':
      return wait === null ? PROGRESS : { kind: 'throttled', wait };
    default:
      return assertNever(step);
  }
}

/** Nothing more is done for now. */
function isHalted(reached: readonly Advanced[]): boolean {
  return ['paused', 'throttled'].includes(reached.at(-1)?.outcome.kind ?? '');
}

/** The first of these, and those behind it that can go in one statement with it. */
function together(tables: readonly Collectable[], most: number): readonly Collectable[] {
  const [first] = tables;
  const ids = new Set<string>();
  const end = tables.findIndex(({ id, schema, logged }, index) => {
    const fits = index < most && schema === first?.schema && logged === first.logged;
    return !fits || ids.size === ids.add(id).size;
  });
  return end < 0 ? tables : tables.slice(0, end);
}

// ── transitions ──────────────────────────────────────────────────────────────────────────────────
// `moveTables` performs one transition of the lifecycle: it renames held tables of one schema to
// the same ids in another state, in the same schema, by one atomic RENAME. `removeTables` is the
// last: the DROP. The ledger follows; it is never needed.
//
// Invariant: if a table no longer has the expected name, it was restored or moved on meanwhile;
// then nothing happens.

const RENAME_DEADLINE_MS = 30_000;

/** Resolves to the tables under their new names; none, if it is one and it no longer existed. */
async function moveTables(
  context: ActionContext,
  moves: readonly Move[],
): Promise<readonly Collectable[]> {
  const named = moves.map(({ table, step: { to: state, due, because } }) => {
    const name = names.formatHoldName({ state, id: table.id, due });
    return { from: table, because, moved: { ...table, state, due, name } };
  });
  const [first] = named;
  if (first === undefined) return [];
  const renames = named.map(
    ({ from, moved }) => sql`${ident(from.schema, from.name)} TO ${ident(from.schema, moved.name)}`,
  );
  const inLog = context.connection.logging(first.from.logged);
  const rename = sql`RENAME ${note('move', first.from.id)} TABLE ${sql.join(renames, ', ')}`;
  const renamed = inLog.run([UNLESS_PAUSED, rename], { deadlineMs: RENAME_DEADLINE_MS });
  const isAlone = moves.length === 1;
  const answers = isAlone ? unlessRefused(renamed, null, ...ER.ABSENT_TO_RENAME) : renamed;
  if ((await answers) === null) return [];
  const byId = new Map(named.map((one) => [one.moved.id, one]));
  const tables = named.map(({ moved }) => moved);
  for (const state of new Set(tables.map((table) => table.state))) {
    const alike = tables.filter((table) => table.state === state);
    await ledger.followChange(context, { tables: alike, state }, ({ id, name }, held) => {
      const { from: { state: from = state } = {}, because = '' } = byId.get(id) ?? {};
      const change = { from, to: state, because, until: names.shownDue(name) };
      return { event: 'transition', ...held, ...change };
    });
  }
  return tables;
}

// ── the DROP ────────────────────────────────────────────────────────────────────────────────────

/** A table of terabytes on an old server takes long; other proxies then wait for the lock. */
const DROP_DEADLINE_MS = 600_000;

/**
 * Drops tables of one schema for good: the one physical DROP of the whole product. Their facts were
 * read just now. May run twice.
 *
 * Invariant: a dropped table has a strict hold name in state DROP (or a due one, of a table that
 * its engine has lost and that can't be renamed), is in a schema of undrop (or in the schema that
 * the ledger's live row of that id has), and a fresh read finds no obstacle: no foreign key of
 * another table, and in a recycle schema no trigger. The server checks foreign keys, too:
 * foreign_key_checks is on.
 */
async function removeTables(context: ActionContext, drops: readonly Known[], server: ServerFacts) {
  const { connection, files, figures } = context;
  const tables = drops.map(({ table }) => table);
  const [first] = tables;
  if (first === undefined) return;
  if (!names.isRecycleSchema(first.schema)) {
    const areKnown = await ledger.haveLiveRows(connection, tables);
    assert(areKnown, 'a table outside our schemas is removed only on the word of the ledger');
  }
  for (const { table, facts } of drops) {
    assert(facts.obstacles.length === 0, 'what live rows depend on is not dropped');
    assertRemovable(table, facts);
  }
  if (!drops.some(({ facts }) => facts.isLost)) await files.keep(tables);
  const removed: Collectable[] = [];
  try {
    // MySQL 8 drops all or none of InnoDB's; MariaDB ends at the first that it refuses.
    const isAtomic = server.flavour === 'mysql' && drops.every(({ facts }) => facts.purgeable);
    for (const part of isAtomic ? [tables] : tables.map((table) => [table])) {
      figures.sent.dropsSent++;
      const listed = part.map(({ schema, name }) => ident(schema, name));
      const drop = sql`DROP ${note('remove', part[0]?.id)} TABLE IF EXISTS ${sql.join(listed, ', ')}`;
      const texts = [UNLESS_PAUSED, sql`SET SESSION foreign_key_checks = 1`, drop];
      await connection.logging(first.logged).run(texts, { deadlineMs: DROP_DEADLINE_MS });
      removed.push(...part);
    }
  } finally {
    await ledger.followChange(context, { tables: removed, state: 'removed' }, (_table, held) => {
      return { event: 'removal', ...held };
    });
  }
}

function assertRemovable({ name, id }: Collectable, { isLost = false }: TableFacts): void {
  const parsed = names.parseHoldName(name);
  assert(parsed !== null, `only a hold name is ever dropped, not ${name}`);
  const isOver = parsed.state === 'DROP' || isLost;
  assert(isOver && parsed.id === id, 'only a table in DROP is dropped, or one that is lost');
}
