/**
 * `Actions` performs the next step of one table, on the lock's connection.
 *
 * Invariant: every action follows a fresh read of its table. If the server refuses an action for
 * one table, that is logged and tried again later; it never stops the others.
 */

import { isServerError, unlessRefused } from '../connections/errors.js';
import { col, hasRows, ident, note, type ServerFacts, sql } from '../connections/sql.js';
import { assert, assertNever } from '../errors.js';
import { UNLESS_PAUSED } from '../ledger/control.js';
import { LEDGER } from '../ledger/tables.js';
import * as names from '../names/names.js';
import * as ER from '../wire/server-errors.js';
import { type ActionContext, type ActionOutcome, PROGRESS } from './action-context.js';
import type { Collectable } from './collectable.js';
import * as ledger from './follow-ledger.js';
import { nextStep, type StateChange, type TableFacts } from './next-step.js';
import { Purger, type WorkOptions } from './purge/purge.js';
import { isLostByEngine, readCachedPages, readPoolFacts, readTableFacts } from './table-facts.js';

/** Multiples of the buffer pool. */
const TURNOVER = 2;

export class Actions {
  readonly #options: ActionContext;
  readonly #purger: Purger;
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

  /** Moves one table as far as it can go at once. `now`: the server's UTC clock. */
  advance(table: Collectable, server: ServerFacts, now: () => Date): Promise<ActionOutcome> {
    return tolerant(this.#advance(table, server, now));
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
    const asked = this.#options.connection.run(
      sql`SELECT ${note('purge')} id, byte_estimate / NULLIF(row_estimate, 0) AS worth
          FROM ${LEDGER} WHERE state = 'PURGE'`,
    );
    const [rows = []] = await unlessRefused(asked, [], ...ER.ABSENT_TABLE);
    const byId = new Map(
      rows.map((row) => [col.text(row, 'id'), col.numberOrNull(row, 'worth') ?? 0]),
    );
    const worthOf = (table: Collectable) =>
      this.#purger.isUnderWay(table) ? Number.POSITIVE_INFINITY : (byId.get(table.id) ?? 0);
    const all = tables.map((table) => ({ table, worth: worthOf(table) }));
    return all.sort((one, other) => other.worth - one.worth).map(({ table }) => table);
  }

  async #purge(table: Collectable, work: WorkOptions): Promise<ActionOutcome> {
    const before = await this.advance(table, work.server, work.now);
    if (before.kind !== 'purge') return before;
    const outcome = await tolerant(this.#purger.work(table, work));
    if (outcome.kind === 'left') this.#purger.forget();
    const isOver = outcome.kind === 'progress' && !this.#purger.isUnderWay(table);
    return isOver ? this.advance(table, work.server, work.now) : outcome;
  }

  async #advance(first: Collectable, server: ServerFacts, now: () => Date): Promise<ActionOutcome> {
    const { settings, throttle } = this.#options;
    let table = first;
    // At most HOLD → PURGE → EVAC → DROP → gone.
    for (let steps = 0; steps < 5; steps += 1) {
      const facts = await this.#readFacts(table, server);
      if (facts === null) return PROGRESS;
      const step = nextStep({ ...table, facts }, { server, settings, now: now() });
      const wait = step.kind === 'move' || step.kind === 'drop' ? await throttle.wait(now()) : null;
      if (wait !== null) return { kind: 'throttled', wait };
      switch (step.kind) {
        case 'wait':
          return { kind: 'wait', until: step.until };
        case 'blocked':
          return { kind: 'left', because: step.because };
        case 'purge':
          return { kind: 'purge', table };
        case 'look':
          return PROGRESS;
        case 'drop':
          await removeTable(this.#options, table, facts);
          return PROGRESS;
        case 'move': {
          this.#readAtEvac.delete(table.id);
          const moved = await this.#moveOrRemove(table, server, { facts, step });
          if (moved === null) return PROGRESS;
          table = moved;
          break;
        }
        default:
          return assertNever(step);
      }
    }
    return PROGRESS;
  }

  /** Null: it no longer exists. A due table that can't be renamed may have no rows left. */
  async #moveOrRemove(
    table: Collectable,
    server: ServerFacts,
    { facts, step }: { readonly facts: TableFacts; readonly step: StateChange },
  ): Promise<Collectable | null> {
    try {
      return await moveTable(this.#options, table, step);
    } catch (error) {
      if (!isServerError(error, ER.ERROR_ON_RENAME)) throw error;
      if (!(await isLostByEngine(this.#options.connection, table, server))) throw error;
      await removeTable(this.#options, table, { ...facts, isLost: true });
      return null;
    }
  }

  /** Rows and pages are read only if the step depends on them, because both are costly. */
  async #readFacts(table: Collectable, server: ServerFacts): Promise<TableFacts | null> {
    const { connection } = this.#options;
    const facts = await readTableFacts(connection, table, server);
    if (facts === null) return null;
    const mayPurge = table.state === 'PURGE' && facts.purgeable && facts.obstacles.length === 0;
    const isOpen = mayPurge && !this.#purger.isUnderWay(table);
    const empty = isOpen && !(await hasRows(connection, table));
    if (table.state !== 'EVAC') return { ...facts, empty, cachedPages: null };
    // If the account may not read them, an EVAC lasts its full time.
    this.#cachedPages ??= await unlessRefused(readCachedPages(connection, server), new Map());
    const cachedPages = this.#cachedPages.get(`${table.schema}/${table.name}`.toLowerCase());
    if (cachedPages !== undefined) return { ...facts, empty, cachedPages };
    const { pages, isMuchDirty, read } = await readPoolFacts(connection);
    const isEvacuated = this.#hasTurnedOver(table, pages, read);
    return { ...facts, empty, cachedPages: isEvacuated ? 0 : null, isMuchDirty };
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
    if (error.errno === ER.SUBQUERY_NO_1_ROW) return { kind: 'paused' };
    return { kind: 'left', because: `${error.errno} ${error.sqlMessage}` };
  }
}

// ── transitions ──────────────────────────────────────────────────────────────────────────────────
// `moveTable` performs one transition of the lifecycle: it renames a held table to the same id in
// another state, in the same schema, by one atomic RENAME. `removeTable` is the last: the DROP. The
// ledger follows; it is never needed.
//
// Invariant: if a table no longer has the expected name, it was restored or moved on meanwhile;
// then nothing happens.

const RENAME_DEADLINE_MS = 30_000;

/** Resolves to the table under its new name, or to `null` if it no longer existed. */
async function moveTable(
  context: ActionContext,
  table: Collectable,
  { to, due, because }: StateChange,
): Promise<Collectable | null> {
  const name = names.formatHoldName({ state: to, id: table.id, due });
  const from = ident(table.schema, table.name);
  const rename = sql`RENAME ${note('move', table.id)} TABLE ${from} TO ${ident(table.schema, name)}`;
  const inLog = context.connection.logging(table.logged);
  const renamed = inLog.run([UNLESS_PAUSED, rename], { deadlineMs: RENAME_DEADLINE_MS });
  if ((await unlessRefused(renamed, null, ...ER.ABSENT_TO_RENAME)) === null) return null;
  const row = await ledger.followChange(context, table, { state: to, holdName: name });
  const moved = { ...table, state: to, due, name };
  if (ledger.isOwnTable(moved, row)) return moved;
  const change = { from: table.state, to, because, until: names.shownDue(name) };
  await ledger.reportChange(context, { table: moved, row }, (held) => {
    return { event: 'transition', ...held, ...change };
  });
  return moved;
}

// ── the DROP ────────────────────────────────────────────────────────────────────────────────────

/** A table of terabytes on an old server takes long; other proxies then wait for the lock. */
const DROP_DEADLINE_MS = 600_000;

/**
 * Drops the table for good: the one physical DROP of the whole product. `facts`: read just now. May
 * run twice.
 *
 * Invariant: the dropped table has a strict hold name in state DROP (or a due one, of a table that
 * its engine has lost and that can't be renamed), is in a schema of undrop (or in the schema that
 * the ledger's live row of that id has), and a fresh read finds no obstacle: no foreign key of
 * another table, and in a recycle schema no trigger. The server checks foreign keys, too:
 * foreign_key_checks is on.
 */
async function removeTable(context: ActionContext, table: Collectable, facts: TableFacts) {
  const { connection, files } = context;
  if (!names.isRecycleSchema(table.schema)) {
    const isKnown = await ledger.hasLiveRow(connection, table);
    assert(isKnown, 'a table outside our schemas is removed only on the word of the ledger');
  }
  assert(facts.obstacles.length === 0, 'what live rows depend on is not dropped');
  assertRemovable(table, facts);
  if (facts.isLost !== true) await files.keep(table);
  context.figures.sent.dropsSent++;
  const name = ident(table.schema, table.name);
  const drop = sql`DROP ${note('remove', table.id)} TABLE IF EXISTS ${name}`;
  const texts = [UNLESS_PAUSED, sql`SET SESSION foreign_key_checks = 1`, drop];
  await connection.logging(table.logged).run(texts, { deadlineMs: DROP_DEADLINE_MS });
  const change = { state: 'removed', holdName: table.name } as const;
  const row = await ledger.followChange(context, table, change);
  if (ledger.isOwnTable(table, row)) {
    context.log.debug({ id: table.id }, 'removed a table of undrop itself');
    return;
  }
  await ledger.reportChange(context, { table, row }, (held) => ({ event: 'removal', ...held }));
}

function assertRemovable({ name, id }: Collectable, { isLost = false }: TableFacts): void {
  const parsed = names.parseHoldName(name);
  assert(parsed !== null, `only a hold name is ever dropped, not ${name}`);
  const isOver = parsed.state === 'DROP' || isLost;
  assert(isOver && parsed.id === id, 'only a table in DROP is dropped, or one that is lost');
}
