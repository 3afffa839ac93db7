/**
 * Runs a procedure: the one place that performs effects, on the user's session and on the service
 * pool. It owns the tries, the intents, the handles that are left open, and the end of all of them.
 */
import { assertNever } from '../assert.js';
import { UndropError } from '../errors.js';
import type { LastingBlocker } from '../held/relocate/blockers.js';
import { detachAndRelocate, moveToRecycleSchema } from '../held/relocate/detach-and-relocate.js';
import { keepLonger } from '../held/relocate/due-times.js';
import { type Relocation, whyItStays } from '../held/relocate/relocate.js';
import { readSessionLocks } from '../ledger/intents/session-locks.js';
import type { IntentTable } from '../ledger/write.js';
import { LockWaitBudget } from '../service/pool/statement-timeout.js';
import type { Result } from '../wire/result-reader.js';
import type { DropOptions, DropResult, DropStatement } from './drop-options.js';
import { Intents } from './intents.js';
import { drive, type Effect, type Steps } from './procedure.js';
import { rootCause } from './refusals/root-cause.js';
import { type Answer, type Reply, refuse, sentenceStart } from './refuse.js';
import {
  renameByService,
  type ServiceRename,
  type ServiceRenameOutcome,
} from './rename/rename-by-service.js';
import type { DropRequest, UserFacts } from './request.js';
import { renewDueTimes } from './rules/renew-due-times.js';
import { runQuietly } from './session/run-quietly.js';
import type { UserCommand } from './session/user-session.js';

/** A drop that took longer than this before its RENAME was done gets a due time from then on. */
const LOST_MS_MAX = 1_000;
/** Tables that keep changing are given up after so many tries; 3 were too few for a crowd. */
const TRIES_MAX = 8;

/** What a procedure begins with in each try. */
export interface Beginning {
  readonly request: DropRequest;
  /** A hint of the session is used up by the first try, and counts for those that follow. */
  readonly hints: Set<string>;
  /** The session has spoken of GTID_NEXT. */
  readonly gtidMayBeSet: boolean;
}

/** Rejects where the user's session broke, or with what the procedure throws. */
export async function run(
  procedure: (beginning: Beginning) => Steps<Reply>,
  drop: DropStatement,
  options: DropOptions,
): Promise<DropResult> {
  const { gtidMayBeSet = false } = options;
  const hints = new Set(options.hints);
  for (let tries = 1; ; tries++) {
    const ids = drop.statement.names.map(() => options.newId());
    const request: DropRequest = { ...drop, groupId: options.newId(), ids };
    const one = new Try(request, options, new Intents(request, options, hints));
    const reply = await one.run(procedure({ request, hints, gtidMayBeSet }));
    if (reply.kind === 'answer') return one.resultOf(reply);
    if (tries < TRIES_MAX) continue;
    const params = { tables: sentenceStart(drop), times: tries };
    return one.resultOf(
      refuse(reply.otherwise ?? new UndropError('UNDROP_CHANGED_MEANWHILE', params)),
    );
  }
}

class Try {
  readonly #request: DropRequest;
  readonly #options: DropOptions;
  readonly #intents: Intents;
  #facts: UserFacts | null = null;
  /**
   * Handles of the client's text, which was prepared to be judged: a DROP that is ready to be
   * executed by whoever knows its number. None outlives the try.
   */
  readonly #handles = new Set<number>();

  constructor(request: DropRequest, options: DropOptions, intents: Intents) {
    this.#request = request;
    this.#options = options;
    this.#intents = intents;
  }

  async run(steps: Steps<Reply>): Promise<Reply> {
    try {
      const reply = await drive(steps, (effect) => this.#perform(effect));
      await this.#closeHandles();
      if (reply.kind === 'again') {
        if (!(await this.#intents.tryToForget())) this.#options.onUnsettled();
        this.#intents.release();
      }
      return reply;
    } catch (error) {
      // What is thrown by a session that is there, as DestroyHinted.
      await this.#closeHandles().catch(() => undefined);
      const isForgotten = !this.#intents.mayBeRenamed && (await this.#intents.tryToForget());
      this.#intents.release();
      if (!isForgotten) this.#options.onUnsettled();
      throw error;
    }
  }

  resultOf({ payload, held, refusal }: Answer): DropResult {
    return {
      payload,
      held,
      tables: held.flatMap(({ id }) => this.#intents.nameOf(id) ?? []),
      by: held.map(({ id }) => this.#intents.rulingOf(id)?.by ?? null),
      refusal,
      facts: this.#facts,
      finish: (onLate) => this.#intents.finish(held, onLate),
    };
  }

  async #perform(effect: Effect): Promise<unknown> {
    switch (effect.do) {
      case 'user':
        return this.#runOnSession(effect.commands, effect.renames);
      case 'both':
        this.#intents.begin();
        return this.#runOnSession(effect.commands, false);
      case 'know':
        this.#facts = effect.facts;
        return undefined;
      case 'isRecordingStuck':
        return this.#intents.isStuck();
      case 'record':
        return this.#intents.record(effect.facts, effect.wasStuck);
      case 'stays':
        return this.#stays(effect.tables);
      case 'locks':
        return readSessionLocks(this.#options.pool, this.#request.session.threadId);
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
        return this.#serve(effect.work);
      default:
        return assertNever(effect);
    }
  }

  async #runOnSession(
    commands: readonly UserCommand[],
    renames: boolean,
  ): Promise<readonly Result[]> {
    const wasRenamed = this.#intents.mayBeRenamed;
    if (renames) {
      this.#intents.mayBeRenamed = true;
      this.#intents.wasRenameSent = true;
    }
    const closing = [...this.#handles].map((statementId) => {
      return { kind: 'close' as const, statementId };
    });
    this.#handles.clear();
    const sent = [...closing, ...commands];
    const results = await runQuietly(this.#options.userSession, sent, this.#facts);
    for (const result of results) {
      if (result.kind === 'prepared') this.#handles.add(result.statementId);
    }
    if (renames && results.at(-1)?.kind === 'err') this.#intents.mayBeRenamed = wasRenamed;
    return results;
  }

  async #closeHandles(): Promise<void> {
    if (this.#handles.size > 0) await this.#runOnSession([], false);
  }

  async #stays(tables: readonly IntentTable[]): Promise<readonly (LastingBlocker | null)[]> {
    const stays: (LastingBlocker | null)[] = [];
    for (const { id, schema, table, holdUntil } of tables) {
      const asked = { id, schema, name: table };
      stays.push(holdUntil === null ? null : await whyItStays(this.#options.pool, asked));
    }
    return stays;
  }

  async #take(rename: ServiceRename): Promise<ServiceRenameOutcome> {
    const wasRenamed = this.#intents.mayBeRenamed;
    this.#intents.mayBeRenamed = true;
    // A RENAME of several tables that fails may leave one of them renamed (MariaDB).
    this.#intents.wasRenameSent = true;
    const outcome = await renameByService(this.#options.pool, rename).catch((error: unknown) => {
      const tables = sentenceStart(this.#request);
      throw new UndropError('UNDROP_FATE_UNKNOWN', { tables, cause: rootCause(error) }, error);
    });
    this.#intents.mayBeRenamed = wasRenamed || outcome.kind === 'renamed';
    return outcome;
  }

  /** Rows may be under a hold name if it throws. */
  async #serve(work: Effect<'serve'>['work']): Promise<unknown> {
    const wasRenamed = this.#intents.mayBeRenamed;
    this.#intents.mayBeRenamed = true;
    const result = await work(this.#options.pool);
    this.#intents.mayBeRenamed = wasRenamed;
    return result;
  }

  async #relocate({
    tables: renamed,
    logged,
    detach,
    lowerCaseTableNames,
  }: Effect<'relocate'>): Promise<readonly Relocation[]> {
    const { pool, holdMs } = this.#options;
    const isLate = performance.now() - this.#intents.beganMs > LOST_MS_MAX;
    const rulingOf = (id: string) => this.#intents.rulingOf(id);
    const tables = await renewDueTimes(pool, renamed, { isLate, holdMs, rulingOf });
    // After a long wait it may have keys and triggers that it had not when it was looked at.
    const mayHaveMore = isLate && renamed.every(({ stays }) => stays?.todo !== 'unlock');
    const move = detach || mayHaveMore ? detachAndRelocate : moveToRecycleSchema;
    const server = { ...this.#request.server, lowerCaseTableNames };
    return move(pool, tables, { logged, lockWaitBudget: new LockWaitBudget(), server });
  }
}
