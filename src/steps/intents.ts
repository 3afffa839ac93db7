/**
 * The ledger intents of one try. Those of the statement's tables are recorded early, by what is
 * guessed of the session while the session itself is asked, and recorded again if the guess was
 * wrong; those of partitions, or of the same table once more, are recorded when they are known. At
 * the end each intent becomes a held table, or is forgotten.
 *
 * Invariants: an intent is in the ledger before its RENAME is sent. Once a RENAME was sent, an
 * intent is forgotten only after a look: a KILL that meets a RENAME at its end is answered with an
 * error, and it is done. What was sent into a connection that broke is left to recovery.
 */

import { systemClock } from '../clock.js';
import { UndropError } from '../errors.js';
import { finishRestore } from '../held/finish-restore.js';
import { forgetUnanswered, isIntentWaiting } from '../ledger/intents/waiting-intent.js';
import { forgetIntents, recordOutcome } from '../ledger/write.js';
import { asksForHosts, type Ruling } from '../policy/decide.js';
import { resolveEnded } from '../recovery/resolve-intents.js';
import type { DropOptions } from './drop-options.js';
import { type NamedTable, type ServiceNames, serviceNames } from './names/resolve.js';
import { type Dropper, type RecordedIntent, recordDrop } from './record-intents.js';
import type { HeldTable } from './refuse.js';
import type { DropRequest, UserFacts } from './request.js';
import { FORGET_TRIES_MAX, retryUntilWritten } from './retry-until-written.js';

/** How often it is looked whether an intent waits. */
const LOOK_EVERY_MS = 100;

interface Target {
  readonly name: string;
  readonly ruling: Ruling | undefined;
  /** False: nobody knows whether its intent was written. */
  readonly isAnswered: boolean;
}

export class Intents {
  readonly #request: DropRequest;
  readonly #options: DropOptions;
  readonly #hints: ReadonlySet<string>;
  #guessed: ServiceNames = { tables: [] };
  /** An intent that is on its way; null: none was begun. */
  #recording: Promise<RecordedIntent> | null = null;
  /** Targets whose intents are in the ledger, or may be, by their ids. */
  readonly #targets = new Map<string, Target>();
  #recorded: RecordedIntent | null = null;
  /** Whether the last intent went into the binary log. */
  #logged = true;
  #beganMs = 0;
  /** A RENAME is under way, or done. */
  mayBeRenamed = false;
  /** One was sent, whatever came of it. */
  wasRenameSent = false;

  constructor(request: DropRequest, options: DropOptions, hints: ReadonlySet<string>) {
    this.#request = request;
    this.#options = options;
    this.#hints = hints;
    for (const id of request.ids) options.activeIds.add(id);
  }

  /** When the due time was fixed, or a moment before; by `performance.now`. */
  get beganMs(): number {
    return this.#beganMs;
  }

  /** As it is in the ledger, for the log; null: it is no table of the statement. */
  nameOf(id: string): string | null {
    const table = this.#recorded?.intent?.tables.find((one) => one.id === id);
    return table === undefined
      ? (this.#targets.get(id)?.name ?? null)
      : `${table.schema}.${table.table}`;
  }

  rulingOf(id: string): Ruling | undefined {
    const target = this.#targets.get(id);
    if (target !== undefined) return target.ruling;
    return this.#recorded?.rulings[this.#request.ids.indexOf(id)];
  }

  /** Begins to record under the guess; does not wait for it. */
  begin(): void {
    const { guess, logBinMayBeOff = false } = this.#options;
    this.#guessed = serviceNames(this.#request, guess);
    this.#beganMs = performance.now();
    // A wrong guess of that kind leaves nothing in the binary log.
    this.#logged = !logBinMayBeOff;
    this.#recording = this.#record(this.#guessed, { logged: this.#logged, ...guess });
  }

  /** Resolves with true once the intents are seen to wait, with false once they are done. */
  async isStuck(): Promise<boolean> {
    const done = new AbortController();
    const ending = Promise.resolve(this.#recording).then(() => {
      done.abort();
      return false;
    });
    for (;;) {
      await systemClock.sleep(LOOK_EVERY_MS, done.signal);
      if (done.signal.aborted) return ending;
      const isWaiting = isIntentWaiting(this.#options.pool, this.#request.ids[0] ?? '');
      if (await Promise.race([isWaiting, ending])) return true;
    }
  }

  /** The intents as the session's own facts want them. */
  async record(facts: UserFacts, wasStuck: boolean): Promise<RecordedIntent> {
    const { guess } = this.#options;
    let first = await this.#recording;
    if (first === null || (wasStuck && first.intent === null)) {
      first = await this.#record(this.#guessed, { logged: this.#logged, ...guess });
    }
    this.#recorded = first;
    const names = serviceNames(this.#request, facts);
    const isSame = facts.logged === this.#logged && facts.user === guess.user;
    const isRight = isSame && this.#isRuledAlike(facts);
    if (isRight && JSON.stringify(names) === JSON.stringify(this.#guessed)) return first;
    // What the server refused once it would refuse again, with words about the second try.
    if (first.intent === null && !('error' in this.#guessed)) return first;
    // A row that stays is in the way of the new one, and then nothing is dropped.
    if (first.intent !== null) await this.tryToForget();
    this.#logged = facts.logged;
    this.#recorded = await this.#record(names, facts);
    return this.#recorded;
  }

  async recordTargets(facts: UserFacts, tables: readonly NamedTable[]): Promise<RecordedIntent> {
    this.#beganMs = performance.now();
    this.#logged = facts.logged;
    const ids = tables.map(() => this.#options.newId());
    const names = tables.map(({ schema, table, partition }) => {
      return `${schema}.${partition?.table ?? table}`;
    });
    const isAnswered = false;
    for (const [index, id] of ids.entries()) {
      this.#options.activeIds.add(id);
      this.#targets.set(id, { name: names[index] ?? '', ruling: undefined, isAnswered });
    }
    const how = { ...this.#options, hints: this.#hints };
    const recorded = await recordDrop({ ...this.#request, ids }, { tables }, facts, how);
    if (recorded.intent === null) return recorded;
    for (const [index, id] of ids.entries()) {
      const ruling = recorded.rulings[index];
      this.#targets.set(id, { name: names[index] ?? '', ruling, isAnswered: true });
    }
    return recorded;
  }

  /** What was decided by the guess would be decided so again. */
  #isRuledAlike({ account, hint }: UserFacts): boolean {
    const { guess, rules = [] } = this.#options;
    return hint === null && (!asksForHosts(rules) || guess.account === account);
  }

  #record(names: ServiceNames, session: Dropper): Promise<RecordedIntent> {
    return recordDrop(this.#request, names, session, { ...this.#options, hints: this.#hints });
  }

  /** Writes the outcome until it is written, after the answer; tells recovery if it can't. */
  async finish(held: readonly HeldTable[], onLate?: (error: Error) => void): Promise<void> {
    const { stopping } = this.#options;
    const triesMax = held.length === 0 ? FORGET_TRIES_MAX : Number.POSITIVE_INFINITY;
    try {
      await retryUntilWritten(() => this.#write(held), { stopping, onLate, triesMax });
    } catch (error) {
      this.#options.onUnsettled();
      throw error;
    } finally {
      this.release();
    }
  }

  async #write(held: readonly HeldTable[]): Promise<void> {
    const ids = this.#request.ids.filter((id) => !held.some((table) => table.id === id));
    if (held.length > 0) {
      await recordOutcome(this.#options.pool, { tables: held });
    }
    await this.#forget(ids);
    await this.#settleTargets((id) => held.some((table) => table.id === id));
  }

  /** A target of which nothing is held may have left something beside its intent. */
  async #settleTargets(isHeld: (id: string) => boolean): Promise<void> {
    const { pool } = this.#options;
    for (const [id, { isAnswered }] of this.#targets) {
      if (isHeld(id)) continue;
      if (isAnswered) await this.#settleTarget(id);
      else await forgetUnanswered(pool, [id], { sqlLogBin: this.#logged });
      this.#targets.delete(id);
      this.#options.activeIds.delete(id);
    }
  }

  async #settleTarget(id: string): Promise<void> {
    const { pool } = this.#options;
    await resolveEnded(pool, [id]);
    // It may have been put back.
    if (await finishRestore(pool, id)) return;
    const cause = 'its keys and triggers are still to come';
    throw new UndropError('UNDROP_BUSY', { table: this.nameOf(id) ?? id, cause });
  }

  /** False where recovery has to forget them. */
  async tryToForget(): Promise<boolean> {
    try {
      await this.#forget(this.#request.ids);
      await this.#settleTargets(() => false);
      return true;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return false;
    }
  }

  /** Nothing was recorded for a name that doesn't exist, so mostly there is nothing to forget. */
  async #forget(ids: readonly string[]): Promise<void> {
    if (this.#recording === null) return;
    // What is still on its way could not be forgotten.
    const first = await this.#recording;
    const tables = (this.#recorded ?? first).intent?.tables;
    const recorded = ids.filter(
      (id) => tables?.some((table) => table.id === id && table.holdUntil !== null) ?? true,
    );
    if (recorded.length === 0) return;
    if (this.wasRenameSent) {
      await resolveEnded(this.#options.pool, recorded);
      // Recovery has what could not be settled.
      return this.#options.onUnsettled();
    }
    const forget = first.intent === null ? forgetUnanswered : forgetIntents;
    await forget(this.#options.pool, recorded, { sqlLogBin: this.#logged });
  }

  release(): void {
    for (const id of [...this.#request.ids, ...this.#targets.keys()]) {
      this.#options.activeIds.delete(id);
    }
  }
}
