/**
 * The ledger intents of one try: those of the statement's own tables, and of others, or of the same
 * table once more, when they are known. At the end each becomes a held table, or is forgotten.
 *
 * Invariants: an intent is in the ledger before its RENAME is sent. Once a RENAME was sent, an
 * intent is forgotten only after a check: a KILL that hits a RENAME at its end returns an error
 * although it is done. A RENAME in a connection that broke is left to recovery.
 */

import { randomBytes } from 'node:crypto';
import type { AuditEvent } from '../../audit.js';
import { systemClock, withinMs } from '../../clock.js';
import { rootCause, UndropError } from '../../errors.js';
import { type LedgerRow, STATEMENT_BYTES_MAX } from '../../ledger/entry.js';
import { entriesOf, insertion, recordHistory } from '../../ledger/history.js';
import {
  forgetUnanswered,
  isIntentWaiting,
  recordIntent,
} from '../../ledger/intents/record-intent.js';
import { mayUnlog } from '../../ledger/tables.js';
import type { IntentTable } from '../../ledger/write.js';
import { forgetIntents, hasForeignKeys, recordOutcome } from '../../ledger/write.js';
import { silentLog } from '../../log.js';
import { newHoldId, type QualifiedTable, shownDue } from '../../names/names.js';
import type { Ruling } from '../../policy/decide.js';
import type { HoldTime } from '../../policy/rules.js';
import { finishRestore } from '../../recycle/make-whole.js';
import { resolveEnded } from '../../recycle/recovery/resolve-intents.js';
import type { Claims } from '../../sql/comment-tags.js';
import { FORGET_TRIES, OUTCOME_PAUSES_MS, pauseBefore } from '../../tries.js';
import type { OptionsOfTry } from './drop-options.js';
import { whyNotHeld } from './inspect-names.js';
import { type ServiceNames, serviceNames } from './names/client-names.js';
import { askFor } from './rules/ask.js';
import { insists, notDestroyed, readHints } from './rules/hints.js';
import { ruleTables } from './rules/rules.js';
import { accountNameOf } from './session/facts.js';
import type * as steps from './world.js';
import { claimsIn, sentenceStart } from './world.js';

/** The id of a drop, or of a statement. */
export function newId(): string {
  return newHoldId(Date.now(), randomBytes);
}

/** How often it is checked whether an intent waits. */
const CHECK_EVERY_MS = 100;

function notRecorded(intentError: UndropError): steps.RecordedIntent {
  return { intent: null, intentError, rulings: [] };
}

interface Target extends QualifiedTable {
  readonly ruling: Ruling | undefined;
  readonly byteEstimate: number | null;
  /** False: it is unknown whether its intent was written. */
  readonly isAnswered: boolean;
}

export class Intents {
  readonly #request: steps.DropRequest;
  readonly #options: OptionsOfTry;
  readonly #hints: ReadonlySet<string>;
  /** The text that the ledger has. */
  readonly #statementText: string;
  readonly #claims: Claims;
  /** The last try; null: none was begun. */
  #recording: Promise<steps.RecordedIntent> | null = null;
  /** Targets whose intents are in the ledger, or may be, by their ids. */
  readonly #targets = new Map<string, Target>();
  #recorded: steps.RecordedIntent | null = null;
  /** Whether the last intent went into the binary log. */
  #logged = true;
  /** The address of the user's session, as the server sees it. */
  #sessionHost: string | null = null;
  /** The user in it. */
  #user = '';
  /** When the due time was fixed, or a moment before; by `performance.now`. */
  beganMs = 0;
  /** A RENAME was sent, or work of the service that may send one, whatever its result. */
  mayBeRenamed = false;

  constructor(request: steps.DropRequest, options: OptionsOfTry, hints: ReadonlySet<string>) {
    this.#request = request;
    this.#options = options;
    this.#hints = hints;
    const { text, session } = request;
    this.#statementText = Buffer.from(text.subarray(0, STATEMENT_BYTES_MAX)).toString();
    this.#claims = claimsIn(text, session);
    for (const id of [request.dropId, ...request.ids]) options.activeIds.add(id);
  }

  /** Their audit lines; the names as they are in the ledger. */
  audited(held: readonly steps.HeldTable[]): readonly AuditEvent<'held'>[] {
    const { session, dropId, statement, how } = this.#request;
    const { threadId, clientAddress: client } = session;
    const { program, tags, attributes } = this.#claims;
    const kind = statement.empties ? 'TRUNCATE' : 'DROP TABLE';
    const recorded = this.#recorded?.intent?.tables ?? [];
    return held.map(({ id, holdSchema, holdName }) => {
      const named = recorded.find((one) => one.id === id) ?? this.#targets.get(id);
      return {
        event: 'held',
        ...{ user: this.#user, client, threadId, program, id, dropId },
        schema: named?.schema ?? null,
        table: named?.table ?? null,
        ...{ holdSchema, holdName, how: how ?? kind, bytes: named?.byteEstimate ?? null },
        until: shownDue(holdName),
        because: this.rulingOf(id)?.by ?? null,
        ...{ tags, attributes },
      };
    });
  }

  /** How long each is held; `isLate`: the client had to wait for its response. */
  holdsOf(held: readonly steps.HeldTable[], isLate: boolean): ReadonlyMap<string, HoldTime> {
    const holds = held.map(({ id }) => {
      const ruling = this.rulingOf(id);
      const late = isLate ? ruling?.holdIfLate : null;
      return [id, late ?? ruling?.hold ?? this.#options.holdMs] as const;
    });
    return new Map(holds);
  }

  rulingOf(id: string): Ruling | undefined {
    const target = this.#targets.get(id);
    if (target !== undefined) return target.ruling;
    return this.#recorded?.rulings[this.#request.ids.indexOf(id)];
  }

  /** Records the intents of the statement's own tables. */
  async record<T>(
    facts: steps.UserFacts,
    meanwhile: () => Promise<T>,
  ): Promise<steps.Recording<T>> {
    this.beganMs = performance.now();
    this.#logged = facts.logged;
    const names = serviceNames(this.#request, facts);
    const tried = () => this.#record(names, this.#request.ids, facts);
    const first = tried();
    this.#recording = first;
    const [done, isStuck] = await Promise.all([meanwhile(), this.#isStuck(first)]);
    const recorded = async () => {
      const { intent } = await first;
      if (isStuck && intent === null) this.#recording = tried();
      this.#recorded = (await this.#recording) ?? (await first);
      return this.#recorded;
    };
    return { done, isStuck, recorded };
  }

  /** Resolves once the intents are seen to wait, or are done. */
  async #isStuck(recording: Promise<steps.RecordedIntent>): Promise<boolean> {
    const ending = recording.then(() => false);
    while ((await withinMs(CHECK_EVERY_MS, ending)) === null) {
      const isWaiting = isIntentWaiting(this.#options.pool, this.#request.ids[0] ?? '');
      if (await Promise.race([isWaiting, ending])) return true;
    }
    return false;
  }

  async recordTargets(
    facts: steps.UserFacts,
    tables: readonly QualifiedTable[],
  ): Promise<steps.RecordedIntent> {
    this.beganMs = performance.now();
    this.#logged = facts.logged;
    const ids = tables.map(newId);
    for (const id of ids) this.#options.activeIds.add(id);
    const recorded = await this.#record({ tables }, ids, facts);
    for (const [index, name] of tables.entries()) {
      this.#targets.set(ids[index] ?? '', {
        ...name,
        ruling: recorded.rulings[index],
        byteEstimate: recorded.intent?.tables[index]?.byteEstimate ?? null,
        isAnswered: recorded.intent !== null,
      });
    }
    return recorded;
  }

  /** The facts for a decision about the same statement; nothing is written. */
  inspect(
    facts: steps.UserFacts,
    tables: readonly QualifiedTable[],
  ): Promise<steps.RecordedIntent> {
    return this.#record({ tables }, this.#request.ids, { ...facts, isDryRun: true });
  }

  /** Does not reject for errors of the ledger: then there is no intent. */
  async #record(
    names: ServiceNames,
    ids: readonly string[],
    facts: steps.UserFacts & { readonly isDryRun?: boolean },
  ): Promise<steps.RecordedIntent> {
    const { logged, user, account, isDryRun = false } = facts;
    const { session, dropId } = this.#request;
    const { pool, proxyId, holdMs, rules = [] } = this.#options;
    this.#user = user;
    const isInsisted = insists(this.#hints);
    const requireIdleMs = isInsisted ? null : (this.#options.requireIdleMs ?? null);
    if ('error' in names) return notRecorded(names.error);
    const hint = readHints(this.#hints, this.#request, this.#options);
    if (hint instanceof UndropError) return notRecorded(hint);
    if (hint?.destroys === true) return notRecorded(notDestroyed(this.#request));
    try {
      const isRuled = rules.length > 0 || this.#hints.size > 0 || requireIdleMs !== null;
      const claims = this.#claims;
      const ruled = { rules, hint, holdMs, account, claims, requireIdleMs };
      const found = isRuled ? await ruleTables(pool, names.tables, ruled) : [];
      const by = isInsisted ? 'hint insist' : null;
      const rulings = found.map((ruling) => ({ ...ruling, by: ruling.by ?? by }));
      const tables = names.tables.map((name, index) => {
        const { hold = holdMs, lockMs = null } = rulings[index] ?? {};
        return { id: ids[index] ?? '', ...name, hold, lockMs };
      });
      const { threadId, clientAddress } = session;
      const statementText = this.#statementText;
      const accountName = accountNameOf(account);
      const who = { threadId, user, accountName, clientAddress, dropId, proxyId, statementText };
      const written = { holdMs, sqlLogBin: logged, isDryRun, claims };
      const intent = await recordIntent(pool, { ...who, ...written, tables });
      this.#sessionHost = intent.sessionHost;
      const isKeyed = intent.tables.some(hasForeignKeys);
      const mayDetach = logged || !isKeyed || (await mayUnlog(pool));
      const { flavour } = this.#request.server;
      const why = whyNotHeld(intent, { flavour, mayDetach });
      if (why !== null) {
        const params = { tables: sentenceStart(this.#request), cause: why };
        return notRecorded(new UndropError('UNDROP_HOLD_FAILED', params));
      }
      const about = rulings.map((ruling, index) => ofBase(ruling, intent.tables[index]));
      const subject = sentenceStart(this.#request);
      const what = { text: this.#request.text, session, tables: names.tables };
      const how = { ...what, subject, rulings: about, facts, hints: this.#hints };
      const asked = isDryRun ? about : await askFor(how, this.#options.ask);
      if (asked instanceof UndropError) return notRecorded(asked);
      return { intent, intentError: null, rulings: asked };
    } catch (error) {
      const params = { tables: sentenceStart(this.#request), cause: rootCause(error) };
      return notRecorded(new UndropError('UNDROP_NOT_RECORDED', params, error));
    }
  }

  /** Writes the outcome until it is written, after the response; notifies recovery if it can't. */
  async finish(held: readonly steps.HeldTable[], onLate?: (error: Error) => void): Promise<void> {
    const { stopping } = this.#options;
    const triesMax = held.length === 0 ? FORGET_TRIES : Number.POSITIVE_INFINITY;
    const history = entriesOf(this.audited(held));
    let isKept = false;
    try {
      const write = () => this.#write(held, history);
      isKept = await retryUntilWritten(write, { stopping, onLate, triesMax });
    } catch (error) {
      this.#options.onUnsettled();
      throw error;
    } finally {
      this.release();
    }
    if (isKept) return;
    const { pool, log = silentLog } = this.#options;
    // The same as for the ledger's rows of them.
    const rowLogged = this.#logged || mayUnlog(pool).then((may) => !may);
    await recordHistory({ connection: pool, log }, history, { rowLogged });
  }

  /** False: some of the history is still to be written. */
  async #write(
    held: readonly steps.HeldTable[],
    entries: ReturnType<typeof entriesOf> = [],
  ): Promise<boolean> {
    const { pool, activeIds } = this.#options;
    const heldIds = new Set(held.map(({ id }) => id));
    const history = (ids: readonly string[], rowLogged: boolean) => {
      const own = entries.filter(({ event }) => 'id' in event && ids.includes(event.id));
      return insertion(own, rowLogged);
    };
    const isKept = await recordOutcome(pool, { tables: held, owner: this.#owner, history });
    await this.#forget(this.#request.ids.filter((id) => !heldIds.has(id)));
    for (const [id, { isAnswered }] of this.#targets) {
      if (heldIds.has(id)) continue;
      // A target without a held table may have left something beside its intent.
      if (isAnswered) await this.#resolveTarget(id);
      else await forgetUnanswered(pool.logging(this.#logged), [id]);
      this.#targets.delete(id);
      activeIds.delete(id);
    }
    return isKept;
  }

  /** Null: the service doesn't see the session. */
  get #owner(): Pick<LedgerRow, 'threadId' | 'upstreamPort'> | null {
    if (this.#sessionHost === null) return null;
    const [, port] = /:(\d+)$/.exec(this.#sessionHost) ?? [];
    const { threadId } = this.#request.session;
    return { threadId, upstreamPort: port === undefined ? null : Number(port) };
  }

  async #resolveTarget(id: string): Promise<void> {
    const { pool } = this.#options;
    await resolveEnded(pool, [id]);
    // It may have been put back.
    if (await finishRestore(pool, id)) return;
    const cause = 'its keys and triggers are still to come';
    const target = this.#targets.get(id);
    const table = target === undefined ? id : `${target.schema}.${target.table}`;
    throw new UndropError('UNDROP_BUSY', { table, cause });
  }

  /** False: recovery has to forget them. */
  async tryToForget(): Promise<boolean> {
    try {
      await this.#write([]);
      return true;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return false;
    }
  }

  /** Nothing was recorded for a name that doesn't exist, so mostly there is nothing to forget. */
  async #forget(ids: readonly string[]): Promise<void> {
    if (this.#recording === null) return;
    // An intent that is still being written could not be forgotten.
    const { intent } = await this.#recording;
    const recorded = ids.filter(
      (id) => intent?.tables.some((table) => table.id === id && table.holdUntil !== null) ?? true,
    );
    if (recorded.length === 0) return;
    if (this.mayBeRenamed) {
      await resolveEnded(this.#options.pool, recorded);
      // Recovery resolves the rest.
      return this.#options.onUnsettled();
    }
    const forget = intent === null ? forgetUnanswered : forgetIntents;
    await forget(this.#options.pool.logging(this.#logged), recorded);
  }

  release(): void {
    const { dropId, ids } = this.#request;
    for (const id of [dropId, ...ids, ...this.#targets.keys()]) {
      this.#options.activeIds.delete(id);
    }
  }
}

/** A rule doesn't apply to a name that doesn't exist, or isn't a base table. */
function ofBase(ruling: Ruling, table: IntentTable | undefined): Ruling {
  const isBase = table?.kind === 'base' || table?.kind === 'sequence';
  return isBase ? ruling : { ...ruling, refusedBy: null, asks: false };
}

interface RetryOptions {
  /** Aborted: this process is about to end, and unwritten outcomes are left to recovery. */
  readonly stopping: AbortSignal;
  /** Called once if it takes longer. */
  readonly onLate?: ((error: Error) => void) | undefined;
  /** The number of tries, from 1; default: no limit. */
  readonly triesMax?: number;
}

/**
 * Writes the outcome of a drop until it is written: no other process resolves an intent while the
 * user's session is there, which may be for days, and the service account may be refused for hours.
 * Rejects with the error of `write`, if it is time to stop, or at its last try.
 */
export async function retryUntilWritten<T>(
  write: () => Promise<T>,
  { stopping, onLate, triesMax = Number.POSITIVE_INFINITY }: RetryOptions,
): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof Error) || stopping.aborted || tries + 1 >= triesMax) throw error;
      if (tries === OUTCOME_PAUSES_MS.length - 1) onLate?.(error);
      await systemClock.sleep(pauseBefore({ pausesMs: OUTCOME_PAUSES_MS }, tries), stopping);
    }
  }
}
