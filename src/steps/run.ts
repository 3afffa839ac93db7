/**
 * Runs a procedure: the one place that performs effects, on the user's session and on the service
 * pool. It owns the tries, the intents, the open handles, and the end of all of them.
 */
import { assertNever } from '../assert.js';
import { type ErrorCode, UndropError } from '../errors.js';
import { blockerOfDrop, type RelocateTable } from '../held/relocate/blockers.js';
import { keepLonger, renew } from '../held/relocate/due-times.js';
import {
  detachAndRelocate,
  moveToRecycleSchema,
  type Relocation,
  readLastingBlocker,
} from '../held/relocate/relocate.js';
import { bindingOf, untilFree } from '../held/relocate/until-free.js';
import type { Failure } from '../ledger/entry.js';
import { readSessionLocks } from '../ledger/intents/session-locks.js';
import type { HoldTime } from '../policy/decide.js';
import { isServiceError, type ServicePool } from '../service/pool/pools.js';
import { LockWaitBudget } from '../service/pool/statement-timeout.js';
import type { Result } from '../wire/response.js';
import type { DropOptions, DropResult, DropStatement } from './drop-options.js';
import { Intents, newId } from './intents.js';
import {
  type Again,
  type Answer,
  again,
  drive,
  type Effect,
  type Reply,
  refuse,
  type Steps,
  sentenceStart,
} from './procedure.js';
import { putBack } from './put-back.js';
import { rootCause } from './refusals/refusals.js';
import {
  renameByService,
  type ServiceRename,
  type ServiceRenameOutcome,
} from './rename/rename-by-service.js';
import type { DropRequest, UserFacts } from './request.js';
import { isEmptyTable } from './rules/rules.js';
import { hidesDirectories } from './session/facts.js';
import type { UserCommand } from './session/user-session.js';

/** A drop that took longer than this before its RENAME gets a new due time. */
const LOST_MS_MAX = 1_000;
/** The maximum of tries for tables that keep changing; 3 were too few for a crowd. */
const TRIES_MAX = 8;

/** Also errors for a missing privilege, without which a server returns fewer rows. */
const UNSEEN: readonly ErrorCode[] = ['UNDROP_SESSION_NOT_FOUND', 'UNDROP_NOT_SEEN'];

/** The start of a procedure in each try. */
export interface Beginning {
  readonly request: DropRequest;
  /** The first try uses up a hint of the session, which counts for later tries. */
  readonly hints: Set<string>;
}

/** Rejects if the user's session broke, or with an error of the procedure. */
export async function run(
  procedure: (beginning: Beginning) => Steps<Reply>,
  drop: DropStatement,
  options: DropOptions,
): Promise<DropResult> {
  const hints = new Set(options.hints);
  for (let tries = 1; ; tries++) {
    const request: DropRequest = {
      ...drop,
      groupId: newId(),
      ids: drop.statement.names.map(newId),
    };
    const intents = new Intents(request, options, hints);
    const one = new Try(request, options, intents);
    const reply = await one.run(procedure({ request, hints }), { isFirst: tries === 1 });
    if (reply.kind === 'again' && tries < TRIES_MAX) continue;
    const answer = reply.kind === 'again' ? gaveUp(reply, drop, tries) : reply;
    const { payload, held, refusal } = answer;
    return {
      payload,
      held,
      audited: intents.audited(held),
      hints: [...hints],
      refusal,
      facts: one.facts,
      finish: (onLate) => intents.finish(held, onLate),
    };
  }
}

function gaveUp({ otherwise }: Again, drop: DropStatement, times: number): Answer {
  const params = { tables: sentenceStart(drop), times };
  return refuse(otherwise ?? new UndropError('UNDROP_CHANGED_MEANWHILE', params));
}

class Try {
  readonly #request: DropRequest;
  readonly #options: DropOptions;
  readonly #intents: Intents;
  facts: UserFacts | null = null;
  /**
   * Handles of the client's text, prepared to check its syntax: a DROP that any statement with its
   * number could execute. None outlives the try.
   */
  readonly #handles = new Set<number>();

  constructor(request: DropRequest, options: DropOptions, intents: Intents) {
    this.#request = request;
    this.#options = options;
    this.#intents = intents;
  }

  async run(steps: Steps<Reply>, { isFirst }: { readonly isFirst: boolean }): Promise<Reply> {
    try {
      const found = await this.#unlessKilled(await drive(steps, (effect) => this.#perform(effect)));
      const reply = isFirst ? await this.#unlessUnseen(found) : found;
      await this.#runOnSession([]);
      if (reply.kind === 'again') {
        if (!(await this.#intents.tryToForget())) this.#options.onUnsettled();
        this.#intents.release();
      }
      return reply;
    } catch (error) {
      // An error of the procedure in a living session, as DestroyHinted.
      await this.#runOnSession([]).catch(() => undefined);
      const isForgotten = !this.#intents.mayBeRenamed && (await this.#intents.tryToForget());
      this.#intents.release();
      if (!isForgotten) this.#options.onUnsettled();
      throw error;
    }
  }

  /** A session that the service can't find may have been killed: then that is the error. */
  async #unlessKilled(reply: Reply): Promise<Reply> {
    if (reply.kind === 'again' || reply.refusal?.code !== 'UNDROP_SESSION_NOT_FOUND') return reply;
    const [said] = await this.#runOnSession([{ kind: 'query', text: Buffer.from('DO 0') }]);
    return said?.kind === 'err' ? { ...reply, payload: said.payload, refusal: null } : reply;
  }

  /** A privilege to see it may have been granted since the service's connections were opened. */
  async #unlessUnseen(reply: Reply): Promise<Reply> {
    const error = reply.kind === 'again' ? reply.otherwise : reply.refusal;
    if (error === null || !UNSEEN.includes(error.code)) return reply;
    await this.#options.pool.task(async () => undefined, { fresh: true });
    return again('a new service connection may see it', error);
  }

  async #perform(effect: Effect): Promise<unknown> {
    switch (effect.do) {
      case 'user':
        return this.#runOnSession(effect.commands, effect.renames);
      case 'both':
        this.#intents.begin();
        return this.#runOnSession(effect.commands);
      case 'know':
        this.facts = effect.facts;
        return undefined;
      case 'isRecordingStuck':
        return this.#intents.isStuck();
      case 'record':
        return this.#intents.record(effect.facts, effect.wasStuck);
      case 'locks':
        return readSessionLocks(this.#options.pool, {
          threadId: this.#request.session.threadId,
          server: this.#request.server,
        });
      case 'take':
        return this.#take(effect.rename);
      case 'relocate':
        return this.#relocate(effect);
      case 'recordTargets':
        return this.#intents.recordTargets(effect.facts, effect.targets);
      case 'keepLonger': {
        const { holdMs, pool } = this.#options;
        return keepLonger(pool, effect.held, { holdMs, logged: effect.logged });
      }
      case 'serve':
        this.#intents.mayBeRenamed = true;
        return effect.work(this.#options.pool);
      default:
        return assertNever(effect);
    }
  }

  /** Closes the handles as well, so it has work to do without a command, too. */
  async #runOnSession(
    commands: readonly UserCommand[],
    renames = false,
  ): Promise<readonly Result[]> {
    if (renames) this.#intents.mayBeRenamed = true;
    const closing = [...this.#handles].map((statementId) => {
      return { kind: 'close' as const, statementId };
    });
    this.#handles.clear();
    const all = [...closing, ...commands];
    const results = all.length === 0 ? [] : await this.#options.userSession.run(all);
    for (const result of results) {
      if (result.kind === 'prepared') this.#handles.add(result.statementId);
    }
    return results;
  }

  #take(rename: ServiceRename): Promise<ServiceRenameOutcome> {
    // A RENAME of several tables that fails may leave one of them renamed (MariaDB).
    this.#intents.mayBeRenamed = true;
    return renameByService(this.#options.pool, rename).catch((error: unknown) => {
      const tables = sentenceStart(this.#request);
      throw new UndropError('UNDROP_FATE_UNKNOWN', { tables, cause: rootCause(error) }, error);
    });
  }

  async #relocate({
    tables: renamed,
    logged,
    detach,
  }: Effect<'relocate'>): Promise<readonly Relocation[]> {
    const { pool, holdMs } = this.#options;
    const { server } = this.#request;
    const isLate = performance.now() - this.#intents.beganMs > LOST_MS_MAX;
    const isHidden = this.facts !== null && hidesDirectories(this.facts, server);
    const inspected = isHidden ? await this.#withBlockers(renamed) : renamed;
    const tables = await renewDueTimes(pool, inspected, { isLate, holdMs, intents: this.#intents });
    // After a long wait it may have new keys and triggers.
    const mayHaveMore = isLate && renamed.every(({ blocker }) => blocker?.todo !== 'unlock');
    const move = detach || mayHaveMore ? detachAndRelocate : moveToRecycleSchema;
    const how = { logged, lockWaitBudget: new LockWaitBudget(), server };
    const all = await untilFree(pool, tables, { logged, first: await move(pool, tables, how) });
    const isBound = all.some((one) => bindingOf(one) !== null);
    return isBound ? putBack(pool, all, this.#options.log) : all;
  }

  async #withBlockers(tables: readonly RelocateTable[]): Promise<readonly RelocateTable[]> {
    const all: RelocateTable[] = [];
    for (const table of tables) {
      all.push({ ...table, blocker: table.blocker ?? (await this.#readBlocker(table)) });
    }
    return all;
  }

  /** Why it has to stay in its own schema, which the session's SHOW CREATE didn't show. */
  async #readBlocker({ id, fromSchema, holdName }: RelocateTable): Promise<Failure | null> {
    try {
      const held = { id, schema: fromSchema, name: holdName };
      return blockerOfDrop(await readLastingBlocker(this.#options.pool, held));
    } catch (error) {
      if (!isServiceError(error)) throw error;
      // It is held; a completed drop must not fail because of this. Recovery checks again.
      return { todo: 'relocate', text: rootCause(error) };
    }
  }
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
