/**
 * The world of production: runs a statement on the user's session and on the service pool. It owns
 * the tries, the intents, the handles that are left open, and the end of all of them.
 */
import { systemClock } from '../../clock.js';
import { isServiceError } from '../../connections/errors.js';
import { LockWaitBudget } from '../../connections/pool/statement-timeout.js';
import type { ServicePool } from '../../connections/sql.js';
import { type ErrorCode, rootCause, UndropError } from '../../errors.js';
import { blockerOfDrop, type RelocateTable } from '../../held/relocate/blockers.js';
import { keepLonger, renew } from '../../held/relocate/due-times.js';
import * as moving from '../../held/relocate/relocate.js';
import { bindingOf, untilFree } from '../../held/relocate/until-free.js';
import type { PendingWork } from '../../ledger/entry.js';
import { readSessionLocks } from '../../ledger/intents/session-locks.js';
import { type Log, silentLog } from '../../log.js';
import type { QualifiedTable } from '../../names/names.js';
import type { HoldTime } from '../../policy/rules.js';
import { problemsOf } from '../../recycle/make-whole.js';
import { restore } from '../../recycle/restore.js';
import { LATE_MS, PUT_BACK, pauseBefore, STATEMENT_TRIES } from '../../tries.js';
import type { Result } from '../../wire/response.js';
import type { DropOptions, DropResult, DropStatement, OptionsOfTry } from './drop-options.js';
import { Intents, newId } from './intents.js';
import { releaseIntents, renameByService } from './rename/rename-by-service.js';
import { askOnce, operatorOf } from './rules/ask.js';
import { areForDestroying, DestroyHinted, FORGET_HINT } from './rules/hints.js';
import { isEmptyTable } from './rules/rules.js';
import { hidesDirectories } from './session/facts.js';
import type * as steps from './world.js';
import { again, askText, changedMeanwhile, refuse, sentenceStart } from './world.js';

/** Also errors for a missing privilege, without which a server returns fewer rows. */
const UNSEEN: readonly ErrorCode[] = ['UNDROP_SESSION_NOT_FOUND', 'UNDROP_NOT_SEEN'];

/** A statement, from top to bottom. */
export type HoldingStatement = (
  world: ServerWorld,
  request: steps.DropRequest,
) => Promise<steps.Reply>;

/** Rejects if the user's session broke, or with what the statement throws. */
export async function runStatement(
  statement: HoldingStatement,
  drop: DropStatement,
  options: DropOptions,
): Promise<DropResult> {
  // The first try uses up a hint of the session, which counts for later tries.
  const hints = new Set(options.hints);
  const ask = askOnce(operatorOf(options));
  for (let tries = 1; ; tries++) {
    const request: steps.DropRequest = {
      ...drop,
      dropId: newId(),
      ids: drop.statement.names.map(newId),
    };
    const world = new ServerWorld(request, { ...options, ask }, hints);
    const reply = await world.attempt(statement, { isFirst: tries === 1 });
    if (reply.kind === 'again' && tries < STATEMENT_TRIES) continue;
    const answer = reply.kind === 'again' ? gaveUp(reply, drop, tries) : reply;
    const { payload, held, refusal } = answer;
    return {
      payload,
      held,
      audited: world.intents.audited(held),
      hints: [...hints],
      refusal,
      facts: world.facts,
      finish: answer.finish ?? ((onLate) => world.intents.finish(held, onLate)),
    };
  }
}

function gaveUp({ otherwise }: steps.Again, drop: DropStatement, times: number): steps.Answer {
  return refuse(otherwise ?? changedMeanwhile(sentenceStart(drop), times));
}

/** The world of one try on a server. */
export class ServerWorld implements steps.World {
  readonly intents: Intents;
  facts: steps.UserFacts | null = null;
  isBroken = false;
  readonly #request: steps.DropRequest;
  readonly #options: OptionsOfTry;
  readonly #hints: Set<string>;
  /**
   * Handles of the client's text, prepared to check its syntax: a DROP that any statement with its
   * number could execute. None outlives the try.
   */
  readonly #handles = new Set<number>();
  /** Intents that a service connection owns until the outcome. */
  readonly #owned: (() => Promise<void>)[] = [];

  constructor(request: steps.DropRequest, options: OptionsOfTry, hints: Set<string>) {
    this.#request = request;
    this.#options = options;
    this.#hints = hints;
    this.intents = new Intents(request, options, hints);
  }

  /** Runs the statement to its reply, and cleans up after it. */
  async attempt(
    statement: HoldingStatement,
    { isFirst }: { readonly isFirst: boolean },
  ): Promise<steps.Reply> {
    try {
      const found = await this.#unlessKilled(await statement(this, this.#request));
      const reply = isFirst ? await this.#unlessUnseen(found) : found;
      await this.run([]);
      if (reply.kind === 'again') {
        if (!(await this.intents.tryToForget())) this.#options.onUnsettled();
        this.intents.release();
      }
      return reply;
    } catch (error) {
      // A statement can throw on a session that is there, as DestroyHinted.
      if (!this.isBroken) await this.run([]).catch(() => undefined);
      const isForgotten = !this.intents.mayBeRenamed && (await this.intents.tryToForget());
      for (const release of this.#owned) await release();
      this.intents.release();
      if (!isForgotten) this.#options.onUnsettled();
      throw error;
    }
  }

  /** A session that the service doesn't see may have been killed: then it returns that error. */
  async #unlessKilled(reply: steps.Reply): Promise<steps.Reply> {
    if (reply.kind === 'again' || reply.refusal?.code !== 'UNDROP_SESSION_NOT_FOUND') return reply;
    const said = await askText(this, Buffer.from('DO 0'));
    return said.kind === 'err' ? { ...reply, payload: said.payload, refusal: null } : reply;
  }

  /** A privilege to see it may have been granted since the service's connections were opened. */
  async #unlessUnseen(reply: steps.Reply): Promise<steps.Reply> {
    const error = reply.kind === 'again' ? reply.otherwise : reply.refusal;
    if (error === null || !UNSEEN.includes(error.code)) return reply;
    await this.#options.pool.task(async () => undefined, { fresh: true });
    return again('a new service connection may see it', error);
  }

  /** Closes the handles as well, so it has work to do without a command, too. */
  async run(commands: readonly steps.UserCommand[]): Promise<readonly Result[]> {
    const closing = [...this.#handles].map((statementId) => {
      return { kind: 'close' as const, statementId };
    });
    this.#handles.clear();
    const all = [...closing, ...commands];
    if (all.length === 0) return [];
    const results = await this.#options.userSession.run(all).catch((error: unknown) => {
      this.isBroken = true;
      throw error;
    });
    for (const result of results) {
      if (result.kind === 'prepared') this.#handles.add(result.statementId);
    }
    return results;
  }

  async rename(text: Uint8Array): Promise<Result> {
    this.mayRename();
    return askText(this, text);
  }

  mayRename(): void {
    this.intents.mayBeRenamed = true;
  }

  async know(facts: steps.UserFacts): Promise<void> {
    this.facts = facts;
    if (facts.hint === null) return;
    await this.run([FORGET_HINT]);
    this.#hints.add(facts.hint);
    if (areForDestroying(this.#hints)) throw new DestroyHinted(facts);
  }

  get isUnruled(): boolean {
    const { rules = [], requireIdleMs = null } = this.#options;
    return rules.length === 0 && requireIdleMs === null && this.#hints.size === 0;
  }

  record<T>(facts: steps.UserFacts, meanwhile: () => Promise<T>): Promise<steps.Recording<T>> {
    return this.intents.record(facts, meanwhile);
  }

  recordTargets(
    facts: steps.UserFacts,
    targets: readonly QualifiedTable[],
  ): Promise<steps.RecordedIntent> {
    return this.intents.recordTargets(facts, targets);
  }

  locks(): Promise<readonly QualifiedTable[] | null> {
    const { session, server } = this.#request;
    return readSessionLocks(this.#options.pool, { threadId: session.threadId, server });
  }

  async take(rename: steps.ServiceRename): Promise<steps.ServiceRenameOutcome> {
    // A RENAME of several tables that fails may leave one of them renamed (MariaDB).
    this.mayRename();
    const sessionId = this.#request.session.threadId;
    const pool = this.#options.pool.logging(rename.logged);
    try {
      const outcome = await renameByService(pool, { ...rename, sessionId });
      if (outcome.kind === 'renamed' && rename.isLast === true) {
        const ids = rename.tables.map(({ id }) => id);
        this.#owned.push(() => releaseIntents(pool, { ids, sessionId }));
      }
      return outcome;
    } catch (error) {
      const params = { tables: sentenceStart(this.#request), cause: rootCause(error) };
      throw new UndropError('UNDROP_FATE_UNKNOWN', params, error);
    }
  }

  async relocate(
    renamed: readonly RelocateTable[],
    { logged, detach, mustLeave = false, isFree = false }: steps.RelocateHow,
  ): Promise<readonly moving.Relocation[]> {
    const { pool, log } = this.#options;
    const { server } = this.#request;
    const isLate = performance.now() - this.intents.beganMs > LATE_MS;
    const tables = mustLeave ? renamed : await this.#withDueTimes(renamed, isLate);
    // After a long wait it may have new keys and triggers.
    const mayHaveMore = isLate && tables.every(({ blocker }) => blocker?.todo !== 'unlock');
    const unlessMore = isFree ? moving.relocate : moving.moveToRecycleSchema;
    const move = detach || mayHaveMore ? moving.detachAndRelocate : unlessMore;
    const inLog = pool.logging(logged);
    const moved = await move(inLog, tables, { lockWaitBudget: new LockWaitBudget(), server });
    // The statement itself tries again with a table that has to leave its schema still.
    if (mustLeave && !moved.some(isMovedAndBound)) return moved;
    const all = await untilFree(inLog, tables, moved);
    const isBound = !mustLeave && all.some((one) => bindingOf(one) !== null);
    return isBound ? putBack(pool, all, log) : all;
  }

  async #withDueTimes(
    renamed: readonly RelocateTable[],
    isLate: boolean,
  ): Promise<readonly RelocateTable[]> {
    const { pool, holdMs } = this.#options;
    const isHidden = this.facts !== null && hidesDirectories(this.facts, this.#request.server);
    const inspected = isHidden ? await this.#withBlockers(renamed) : renamed;
    return renewDueTimes(pool, inspected, { isLate, holdMs, intents: this.intents });
  }

  /** Why each has to stay in its own schema, which the session's SHOW CREATE left out. */
  async #withBlockers(tables: readonly RelocateTable[]): Promise<readonly RelocateTable[]> {
    const places = tables.map((table) => ({ ...table, holdSchema: table.fromSchema }));
    const read = moving.readLastingBlockers(this.#options.pool, places);
    const lasting = await read.catch((error: unknown) => {
      if (!isServiceError(error)) throw error;
      // They are held; a completed drop must not fail because of this. Recovery checks again.
      return tables.map((): PendingWork => ({ todo: 'relocate', text: rootCause(error) }));
    });
    return tables.map((table, index) => {
      return { ...table, blocker: table.blocker ?? blockerOfDrop(lasting[index] ?? null) };
    });
  }

  keepLonger(held: readonly steps.HeldTable[]): Promise<readonly steps.HeldTable[]> {
    const { holdMs, pool } = this.#options;
    const { logged = true } = this.facts ?? {};
    return keepLonger(pool.logging(logged), held, holdMs);
  }
}

function isMovedAndBound(relocation: moving.Relocation): boolean {
  return relocation.outcome === 'moved' && bindingOf(relocation) !== null;
}

interface RenewOptions {
  /** The due time was fixed long before the RENAME. */
  readonly isLate: boolean;
  /** UNDROP_HOLD. */
  readonly holdMs: number;
  readonly intents: Pick<Intents, 'rulingOf'>;
}

/**
 * New due times for tables that were just renamed to their hold names: later ones if time was lost
 * meanwhile, earlier ones for empty tables if a rule sets that. No session can write to a table
 * under its hold name; a table that isn't empty there, or can't be read, keeps its time.
 */
export async function renewDueTimes(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  { isLate, holdMs, intents }: RenewOptions,
): Promise<readonly RelocateTable[]> {
  const sooner = new Map<string, HoldTime>();
  for (const { id, fromSchema, holdName } of tables) {
    const hold = intents.rulingOf(id)?.holdIfEmpty ?? null;
    if (hold === null || (await isEmptyTable(pool, fromSchema, holdName)) !== true) continue;
    sooner.set(id, hold);
  }
  if (!isLate && sooner.size === 0) return tables;
  const holdOf = (id: string) => {
    const ruling = intents.rulingOf(id);
    const late = isLate ? ruling?.holdIfLate : null;
    return sooner.get(id) ?? late ?? ruling?.hold ?? holdMs;
  };
  return renew(pool, tables, { holdOf, maySooner: (id) => sooner.has(id) });
}

// ── put back ─────────────────────────────────────────────────────────────────────────────────────
// Undoes the RENAME of a drop whose tables a foreign key would bind to live ones while they are
// held: all of them get their own names again, with their detached parts. The intents are forgotten
// with the response, which is a refusal.
//
// Invariant: a table that can't be put back stays held, and the response names it.

/** `put-back` in place of held tables. In order; does not reject. */
export async function putBack(
  pool: ServicePool,
  relocations: readonly moving.Relocation[],
  log: Log = silentLog,
): Promise<readonly moving.Relocation[]> {
  const why = relocations.flatMap((one) => bindingOf(one)?.text ?? [])[0] ?? '';
  const endMs = performance.now() + PUT_BACK.givenUpMs;
  const all = [...relocations];
  // Parents mostly come after their children.
  for (let index = all.length - 1; index >= 0; index--) {
    const relocation = all[index];
    if (relocation === undefined || relocation.outcome === 'put-back') continue;
    const { id } = relocation;
    const isBack = await tryToRestore(pool, id, { endMs, log });
    if (isBack) all[index] = { id, outcome: 'put-back', why };
  }
  return all;
}

/** The table has its own name again; `why`: the end of the sentence "a table that …". */
export async function restoreHeld(
  pool: ServicePool,
  id: string,
  { log, why }: { readonly log: Log; readonly why: string },
): Promise<void> {
  const report = await restore(pool, { target: id });
  const problems = problemsOf(id, report);
  const what = { id, table: report.restoredAs, problems };
  if (problems.length === 0) log.info(what, `put back a table that ${why}`);
  else log.warn(what, `put back a table that ${why}, but not completely`);
}

async function tryToRestore(
  pool: ServicePool,
  id: string,
  { endMs, log }: { readonly endMs: number; readonly log: Log },
): Promise<boolean> {
  for (;;) {
    try {
      await restoreHeld(pool, id, { log, why: 'could not be held' });
      return true;
    } catch (error) {
      if (!isServiceError(error)) throw error;
      const isBusy = error instanceof UndropError && error.code === 'UNDROP_BUSY';
      if (!isBusy || performance.now() > endMs) {
        log.warn({ id, err: error }, 'cannot put back a table; it stays held');
        return false;
      }
      await systemClock.sleep(pauseBefore(PUT_BACK, 0));
    }
  }
}
