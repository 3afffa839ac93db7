/**
 * Performs the steps of next-step.ts: on the user session and, at the same time where it can be, on
 * the service pool. Three round trips one after another where the guesses hold (default schema,
 * charset, binary log), one more where they don't.
 *
 * Invariants: the intent is in the ledger before the RENAME is sent. Once the RENAME was sent, an
 * intent is forgotten only if the server said that it failed, and behind a look: a KILL that meets
 * it at its end is answered with an error, and it is done. What was sent into a connection that
 * broke is left to recovery.
 */
import { assert, assertNever } from '../assert.js';
import { UndropError } from '../errors.js';
import { readSessionLocks, readTablesInUse } from '../ledger/session-locks.js';
import { forgetUnanswered, isIntentWaiting } from '../ledger/waiting-intent.js';
import { forgetIntents, recordOutcome } from '../ledger/write.js';
import { whyItStays } from '../moves/data-directory.js';
import { type LastingStay, STAYS_LOCKED } from '../moves/stays.js';
import { moveHome, takeHome } from '../moves/take-home.js';
import { asksForHosts, type Ruling } from '../policy/decide.js';
import { settleEnded } from '../recovery/settle-intents.js';
import { Patience } from '../service/patience.js';
import type { Result } from '../wire/result-reader.js';
import { askMeanwhile } from './ask-meanwhile.js';
import type { DropOptions, DropResult, DropStatement } from './drop-options.js';
import { hidesDirectories } from './facts.js';
import { innermost } from './innermost.js';
import { lastLook } from './last-look.js';
import { lookAtNames } from './look-at-names.js';
import {
  type Answers,
  broughtBy,
  type HeldTable,
  type Inspection,
  NO_ANSWERS,
  nextStep,
  refuse,
  type Step,
  sentenceStart,
  withBrought,
} from './next-step.js';
import { qualify } from './qualify.js';
import { type Dropper, type RecordedIntent, recordDrop } from './record-drop.js';
import { renameInStead } from './rename-in-stead.js';
import type { DropRequest, UserFacts } from './request.js';
import { runUnseen } from './run-unseen.js';
import { type ServiceNames, serviceNames } from './service-names.js';
import type { UserCommand } from './user-session.js';
import { areForDestroying, DestroyWished, FORGET_WISH } from './wishes.js';
import { FORGET_TRIES_MAX, writeAtLast } from './write-at-last.js';

/** A drop that took longer than this before its RENAME was done gets a due time from then on. */
const LOST_MS_MAX = 1_000;
/** Looks at tables that keep changing are given up after so many; 3 were too few for a crowd. */
const TRIES_MAX = 8;

/** Runs one DROP TABLE to its answer. Rejects where the user session broke, or `DestroyWished`. */
export async function runDrop(drop: DropStatement, options: DropOptions): Promise<DropResult> {
  // A wish of the session is used up by the first look, and counts for those that follow.
  const wishes = new Set(options.wishes);
  for (let tries = 1; ; tries++) {
    const request: DropRequest = {
      ...drop,
      groupId: options.newId(),
      ids: drop.statement.names.map(() => options.newId()),
    };
    const attempt = new Attempt(request, options, wishes);
    const result = await attempt.run();
    if (result !== null) return result;
    if (tries === TRIES_MAX) return attempt.giveUp(tries);
  }
}

/** One look at the tables and, if they hold still, one drop of them. */
class Attempt {
  readonly #request: DropRequest;
  readonly #options: DropOptions;
  #answers: Answers = NO_ANSWERS;
  #renameSent = false;
  /** One was sent, whatever came of it. */
  #wasRenameSent = false;
  /** As the last intent was recorded. */
  #logged = true;
  /** An intent that is on its way. */
  #recording: Promise<RecordedIntent | null> = Promise.resolve(null);
  /** When the due time was fixed, or a moment before. */
  #intendedAtMs = 0;
  /** The refusal, should this have been the last look. */
  #otherwise: UndropError | null = null;
  /**
   * Handles of the client's text, which was prepared to be judged: a DROP that is ready to be
   * executed by whoever knows its number. None outlives the attempt.
   */
  readonly #handles = new Set<number>();
  readonly #wishes: Set<string>;

  constructor(request: DropRequest, options: DropOptions, wishes: Set<string>) {
    this.#request = request;
    this.#options = options;
    this.#wishes = wishes;
  }

  /** The result, or null where the tables changed meanwhile. */
  async run(): Promise<DropResult | null> {
    for (const id of this.#request.ids) this.#options.activeIds.add(id);
    try {
      for (;;) {
        const step = nextStep(this.#request, this.#answers);
        if (step.do === 'answer' || step.do === 'again') await this.#closeHandles();
        if (step.do === 'answer') return this.#result(await this.#unlessKilled(step));
        if (step.do === 'again') {
          this.#otherwise = step.otherwise;
          if (!(await this.#tryToForget())) this.#options.onUnsettled();
          this.#release();
          return null;
        }
        await this.#perform(step);
      }
    } catch (error) {
      const isForgotten = !this.#renameSent && (await this.#tryToForget());
      this.#release();
      if (!isForgotten) this.#options.onUnsettled();
      throw error;
    }
  }

  /** A session that the service doesn't see may have been killed: then that is what is heard. */
  async #unlessKilled(step: AnswerStep): Promise<AnswerStep> {
    if (step.refusal?.code !== 'UNDROP_SESSION_NOT_FOUND') return step;
    const [said] = await this.#runOnSession([{ kind: 'query', text: Buffer.from('DO 0') }]);
    return said?.kind === 'err' ? { ...step, payload: said.payload, refusal: null } : step;
  }

  giveUp(times: number): DropResult {
    const tables = sentenceStart(this.#request);
    const changed = new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times });
    return this.#result(refuse(this.#otherwise ?? changed));
  }

  async #perform(step: Exclude<Step, { do: 'answer' } | { do: 'again' }>): Promise<void> {
    switch (step.do) {
      case 'inspect': {
        // Behind it: what ended the drop meanwhile is among the answers.
        const inspection = await this.#inspect();
        this.#answers = { ...this.#answers, inspection };
        return;
      }
      case 'user': {
        if (step.brings === 'rename') this.#sendsRename();
        const results = await this.#runOnSession(step.commands);
        const answer = broughtBy(step.brings, results);
        if (step.brings === 'rename' && answer.kind === 'err') this.#renameSent = false;
        this.#answers = withBrought(this.#answers, step.brings, answer);
        return;
      }
      case 'stead': {
        const sentBefore = this.#renameSent;
        this.#renameSent = true;
        const outcome = await renameInStead(this.#options.pool, step).catch((error: unknown) => {
          const tables = sentenceStart(this.#request);
          throw new UndropError('UNDROP_FATE_UNKNOWN', { tables, cause: innermost(error) }, error);
        });
        this.#renameSent = sentBefore || outcome.kind === 'renamed';
        const stead = [...this.#answers.stead, outcome];
        this.#answers = { ...this.#answers, stead, turns: [] };
        return;
      }
      case 'locks': {
        const { threadId } = this.#request.session;
        const known = await readSessionLocks(this.#options.pool, threadId);
        this.#answers = { ...this.#answers, locks: { known } };
        return;
      }
      case 'used': {
        const { threadId } = this.#request.session;
        const used = await readTablesInUse(this.#options.pool, threadId);
        this.#answers = { ...this.#answers, used };
        return;
      }
      case 'round': {
        const sentBefore = this.#renameSent;
        if (step.renames) this.#sendsRename();
        const results = await this.#runOnSession(step.commands);
        if (step.renames && results.at(-1)?.kind === 'err') this.#renameSent = sentBefore;
        this.#answers = { ...this.#answers, rounds: [...this.#answers.rounds, results] };
        return;
      }
      case 'relocate': {
        const { pool, holdMs } = this.#options;
        const isLate = performance.now() - this.#intendedAtMs > LOST_MS_MAX;
        const late = { isLate, holdMs, rulingOf: (id: string) => this.#rulingOf(id) };
        const tables = await lastLook(pool, step.tables, late);
        // Behind a long wait it may have keys and triggers that it had not when it was looked at.
        const mayHaveMore = isLate && step.tables.every(({ stays }) => stays !== STAYS_LOCKED);
        const move = step.detach || mayHaveMore ? takeHome : moveHome;
        const patience = new Patience();
        const { lowerCaseTableNames } = this.#answers.inspection?.intent ?? {};
        assert(lowerCaseTableNames !== undefined, 'what was renamed has an intent');
        const server = { ...this.#request.server, lowerCaseTableNames };
        const relocations = await move(pool, tables, { logged: step.logged, patience, server });
        this.#answers = { ...this.#answers, relocations };
        return;
      }
      default:
        assertNever(step);
    }
  }

  #sendsRename(): void {
    this.#renameSent = true;
    this.#wasRenameSent = true;
  }

  async #runOnSession(commands: readonly UserCommand[]): Promise<readonly Result[]> {
    const facts = this.#answers.inspection?.facts;
    const known = facts === undefined || 'errno' in facts ? null : facts;
    const results = await runUnseen(this.#options.userSession, commands, known);
    for (const command of commands) {
      if (command.kind === 'close') this.#handles.delete(command.statementId);
    }
    for (const result of results) {
      if (result.kind === 'prepared') this.#handles.add(result.statementId);
    }
    return results;
  }

  async #closeHandles(): Promise<void> {
    if (this.#handles.size === 0) return;
    const handles = [...this.#handles];
    await this.#runOnSession(handles.map((statementId) => ({ kind: 'close', statementId })));
  }

  /** The first round trip: the user session and the service at once. */
  async #inspect(): Promise<Inspection> {
    const { guess, gtidMayBeSet = false, logBinMayBeOff = false } = this.#options;
    const { statement } = this.#request;
    const guessed = serviceNames(this.#request, guess);
    this.#intendedAtMs = performance.now();
    // A wrong guess of that kind leaves nothing in the binary log.
    this.#logged = !logBinMayBeOff;
    const dropper = { logged: this.#logged, ...guess };
    const recording = this.#recordIntent(guessed, dropper);
    this.#recording = recording;
    const run = (commands: readonly UserCommand[]) => this.#runOnSession(commands);
    const found = await lookAtNames(this.#request, run, { gtidMayBeSet });
    const { facts } = found;
    if (!('errno' in facts) && facts.wish !== null) await this.#takeWish(facts, facts.wish);
    const look = { ...found, names: statement.names.map((name) => qualify(name, facts)) };
    const isWaiting = () => isIntentWaiting(this.#options.pool, this.#request.ids[0] ?? '');
    const asked = await askMeanwhile(this.#request, look, { recording, isWaiting, run });
    if (asked.kind === 'ended') {
      const { inspection } = asked.answers;
      assert(inspection !== null, 'it was asked with one');
      this.#answers = asked.answers;
      return inspection;
    }
    let intent = await recording;
    const mayBeFree = asked.kind === 'waited' && intent.intent === null;
    if (mayBeFree) intent = await this.#recordIntent(guessed, dropper);
    if (!('errno' in facts)) intent = await this.#correctIntent(intent, guessed, facts);
    const stay = await this.#seenToStay(look, intent);
    return { ...look, ...stay, ...intent };
  }

  /** Whether tables are to stay in their schemas, where the session can't tell. */
  async #seenToStay(
    { facts }: Pick<Inspection, 'facts'>,
    { intent }: RecordedIntent,
  ): Promise<Pick<Inspection, 'stay'> | null> {
    const { server } = this.#request;
    if ('errno' in facts || intent === null || !hidesDirectories(facts, server)) return null;
    const stay: (LastingStay | null)[] = [];
    for (const { id, schema, table, holdUntil } of intent.tables) {
      const asked = { id, schema, name: table };
      stay.push(holdUntil === null ? null : await whyItStays(this.#options.pool, asked));
    }
    return { stay };
  }

  /** Uses up what the session wishes, for this drop. */
  async #takeWish(facts: UserFacts, wish: string): Promise<void> {
    await this.#runOnSession([FORGET_WISH]);
    this.#wishes.add(wish);
    if (!areForDestroying(this.#wishes)) return;
    await this.#closeHandles();
    throw new DestroyWished(facts);
  }

  /** Records again what was recorded under a wrong guess. */
  async #correctIntent(
    first: RecordedIntent,
    guessed: ServiceNames,
    facts: UserFacts,
  ): Promise<RecordedIntent> {
    const { guess } = this.#options;
    const names = serviceNames(this.#request, facts);
    const isSame = facts.logged === this.#logged && facts.user === guess.user;
    const isRight = isSame && this.#isRuledAlike(facts);
    if (isRight && JSON.stringify(names) === JSON.stringify(guessed)) return first;
    // What the server refused once it would refuse again, with words about the second try.
    if (first.intent === null && !('error' in guessed)) return first;
    // A row that stays is in the way of the new one, and then nothing is dropped.
    if (first.intent !== null) await this.#tryToForget();
    this.#logged = facts.logged;
    return this.#recordIntent(names, facts);
  }

  /** What was decided by the guess would be decided so again. */
  #isRuledAlike({ account, wish }: UserFacts): boolean {
    const { guess, rules = [] } = this.#options;
    return wish === null && (!asksForHosts(rules) || guess.account === account);
  }

  #rulingOf(id: string): Ruling | undefined {
    return this.#answers.inspection?.rulings?.[this.#request.ids.indexOf(id)];
  }

  #recordIntent(names: ServiceNames, session: Dropper): Promise<RecordedIntent> {
    return recordDrop(this.#request, names, session, { ...this.#options, wishes: this.#wishes });
  }

  #result(step: AnswerStep): DropResult {
    const { inspection } = this.#answers;
    const facts = inspection?.facts;
    const heldIds = new Set(step.held.map(({ id }) => id));
    const forgotten = this.#request.ids.filter((id) => !heldIds.has(id));
    return {
      payload: step.payload,
      held: step.held,
      tables: (inspection?.intent?.tables ?? [])
        .filter(({ id }) => heldIds.has(id))
        .map(({ schema, table }) => `${schema}.${table}`),
      by: step.held.map(({ id }) => this.#rulingOf(id)?.by ?? null),
      refusal: step.refusal,
      facts: facts === undefined || 'errno' in facts ? null : facts,
      finish: async (onLate) => {
        try {
          const write = () => this.#record(step.held, forgotten);
          const triesMax = step.held.length === 0 ? FORGET_TRIES_MAX : Number.POSITIVE_INFINITY;
          await writeAtLast(write, { stopping: this.#options.stopping, onLate, triesMax });
        } catch (error) {
          this.#options.onUnsettled();
          throw error;
        } finally {
          this.#release();
        }
      },
    };
  }

  async #record(held: readonly HeldTable[], forgotten: readonly string[]): Promise<void> {
    if (held.length === 0) return this.#forget(forgotten);
    await recordOutcome(this.#options.pool, {
      tables: held.map(({ failure, ...table }) =>
        failure === null ? table : { ...table, failure },
      ),
      forgotten: [],
    });
    await this.#forget(forgotten);
  }

  /** Nothing was recorded for a name that doesn't exist, so mostly there is nothing to forget. */
  async #forget(ids: readonly string[]): Promise<void> {
    // What is still on its way could not be forgotten.
    const first = await this.#recording;
    const { inspection } = this.#answers;
    const tables = inspection?.intent?.tables;
    const recorded = ids.filter(
      (id) => tables?.some((table) => table.id === id && table.holdUntil !== null) ?? true,
    );
    if (recorded.length === 0) return;
    if (this.#wasRenameSent) {
      await settleEnded(this.#options.pool, recorded);
      // Recovery has what could not be settled.
      return this.#options.onUnsettled();
    }
    const forget = first?.intent === null ? forgetUnanswered : forgetIntents;
    await forget(this.#options.pool, recorded, { sqlLogBin: this.#logged });
  }

  /** An intent that stays, whose RENAME did not happen, is forgotten by recovery. */
  async #tryToForget(): Promise<boolean> {
    try {
      await this.#forget(this.#request.ids);
      return true;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return false;
    }
  }

  #release(): void {
    for (const id of this.#request.ids) this.#options.activeIds.delete(id);
  }
}

type AnswerStep = Extract<Step, { do: 'answer' }>;
