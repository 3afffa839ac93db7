/**
 * What a TRUNCATE and an ALTER TABLE … DROP or TRUNCATE PARTITION have in common: one table that is
 * there afterwards, and rows of it that are held. The user's session is asked what the server
 * thinks of the text; the service account does the rest.
 *
 * Invariant: an intent that was written is held at the end, or forgotten, or left to recovery.
 */
import { assert } from '../assert.js';
import { UndropError } from '../errors.js';
import { forgetUnanswered } from '../ledger/intents/waiting-intent.js';
import { forgetIntents, recordOutcome } from '../ledger/write.js';
import { type ErrPacket, encodeErr } from '../wire/response/err.js';
import type { Result } from '../wire/result-reader.js';
import { ER_MAX_PREPARED_STMT_COUNT_REACHED, ER_PARSE_ERROR } from '../wire/server-errors.js';
import type { DropOptions, DropResult, DropStatement } from './drop-options.js';
import { qualify } from './names/qualify.js';
import { serviceNames } from './names/resolve.js';
import { drive } from './procedure.js';
import { type HeldTable, refuse } from './refuse.js';
import type { DropRequest, UserFacts } from './request.js';
import { FORGET_TRIES_MAX, retryUntilWritten } from './retry-until-written.js';
import { areForDestroying, DestroyHinted, FORGET_HINT } from './rules/hints.js';
import { inspectNames } from './session/inspect-names.js';
import { SIGNAL_CHARACTERS_MAX, type Signal, signalSql } from './session/signal.js';
import type { UserCommand } from './session/user-session.js';
import { cleanSql, type QualifiedName } from './session/user-session-sql.js';

export interface TableInUtf8 {
  readonly schema: string;
  readonly table: string;
}

/** The answer to the client. */
export interface End {
  readonly payload: Buffer;
  readonly refusal: UndropError | null;
}

/** What is known of the table before anything is recorded. */
export interface OneTable extends TableInUtf8 {
  readonly name: QualifiedName;
  /** What the session sees under the name. */
  readonly kind: string;
  readonly facts: UserFacts;
}

/** Nobody waits behind the first try for longer than behind anything else of ours. */
export const FIRST_TRY_MS = 200;
/** The session had its turn, so the next is short of a chance only by those who came between. */
export const NEXT_TRY_MS = 900;
export const TRIES_MAX = 12;

export abstract class OneTableStatement {
  protected readonly drop: DropStatement;
  protected readonly options: DropOptions;
  protected readonly groupId: string;
  protected readonly hints: Set<string>;
  /** Ids that recovery leaves alone until the end, with what decided of each. */
  protected readonly by = new Map<string, string | null>();
  /** Intents without a RENAME that could not be forgotten yet, or whose writing had no answer. */
  protected readonly unforgotten = new Set<string>();
  #facts: UserFacts | null = null;

  constructor(drop: DropStatement, options: DropOptions) {
    this.drop = drop;
    this.options = options;
    this.groupId = options.newId();
    this.hints = new Set(options.hints);
  }

  /** Of the intents to come; what looks at the session needs none. */
  protected abstract get ids(): readonly string[];
  protected abstract get held(): readonly HeldTable[];
  /** As it is in the ledger. */
  protected abstract nameOf(held: HeldTable, table: OneTable): string;
  protected abstract act(table: OneTable): Promise<End>;

  async run(): Promise<DropResult> {
    try {
      const looked = await this.#look();
      if ('payload' in looked) return this.#result(looked, null);
      return this.#result(await this.act(looked), looked);
    } catch (error) {
      this.#release();
      if (!(error instanceof DestroyHinted)) this.options.onUnsettled();
      throw error;
    }
  }

  /** What the server thinks of the text, and what the session is in. */
  async #look(): Promise<OneTable | End> {
    const { gtidMayBeSet = false } = this.options;
    const request = this.request();
    const look = await drive(inspectNames(request, { gtidMayBeSet }), (effect) => {
      assert(effect.do === 'user' || effect.do === 'both', 'only the session is asked');
      return this.say(effect.commands);
    });
    const { judge, facts } = look;
    await this.close(judge);
    if (judge?.kind === 'err') return this.#judged(judge);
    if ('errno' in facts) return answer(facts);
    this.#facts = facts;
    if (facts.hint !== null) await this.#takeHint(facts, facts.hint);
    const [kind] = look.kinds;
    assert(kind !== undefined, 'the name was looked at');
    if (typeof kind === 'object') return answer(kind);
    const stored = serviceNames(request, facts);
    if ('error' in stored) return refused(stored.error);
    const [table] = stored.tables;
    const [name] = request.statement.names;
    assert(table !== undefined && name !== undefined, 'it names one table');
    return { ...table, name: qualify(name, facts), kind, facts };
  }

  /** Asked once more, so that its words are the session's last. */
  async #judged(judge: ErrPacket): Promise<End> {
    if (judge.errno === ER_MAX_PREPARED_STMT_COUNT_REACHED)
      return refused(new UndropError('UNDROP_NOT_JUDGED', {}));
    const { text: own, tail = own } = this.drop;
    const text = judge.errno === ER_PARSE_ERROR ? tail : own;
    const [said] = await this.say([{ kind: 'prepare', text }]);
    await this.close(said);
    return answer(said?.kind === 'err' ? said : judge);
  }

  async #takeHint(facts: UserFacts, hint: string): Promise<void> {
    await this.say([FORGET_HINT]);
    this.hints.add(hint);
    if (areForDestroying(this.hints)) throw new DestroyHinted(facts);
  }

  protected request(): DropRequest {
    return { ...this.drop, groupId: this.groupId, ids: this.ids };
  }

  /** In the user's session. */
  protected say(commands: readonly UserCommand[]): Promise<readonly Result[]> {
    return this.options.userSession.run(commands);
  }

  /** A handle of the client's text, or of a question of ours. */
  protected async close(said: Result | null | undefined): Promise<void> {
    if (said?.kind !== 'prepared') return;
    await this.say([{ kind: 'close', statementId: said.statementId }]);
  }

  /** The diagnostics and the OK as behind a statement without rows. */
  protected async clean(): Promise<Buffer> {
    // A KILL QUERY hits one of them, and the rows are held.
    const clean = { kind: 'query', text: cleanSql(this.groupId) } as const;
    const said = (await this.say([clean, clean])).find(({ kind }) => kind === 'ok');
    assert(said?.kind === 'ok', 'DO answers OK');
    return said.payload;
  }

  /** An error of the server's, raised in the session, so that SHOW WARNINGS has it, too. */
  protected async raise(signal: Signal): Promise<End> {
    const { server } = this.drop;
    const isCut =
      server.flavour === 'mysql' && Array.from(signal.message).length > SIGNAL_CHARACTERS_MAX;
    const message = isCut
      ? Array.from(signal.message).slice(0, SIGNAL_CHARACTERS_MAX).join('')
      : signal.message;
    const text = signalSql({ ...signal, message });
    const [said] = await this.say([{ kind: 'query', text }]);
    if (said?.kind === 'err' && !(isCut && said.errno === signal.errno)) return answer(said);
    const { errno, sqlState } = signal;
    const payload = encodeErr({ errno, sqlState, message: Buffer.from(signal.message) });
    return { payload, refusal: null };
  }

  /** Recovery leaves it alone from here on. */
  protected begin(id: string): void {
    this.options.activeIds.add(id);
    this.by.set(id, null);
  }

  /** What only the intent tells of is done away with. May run twice. */
  protected beforeForgetting(_id: string): Promise<void> {
    return Promise.resolve();
  }

  /** An intent that stays, whose RENAME did not happen, is forgotten behind the answer. */
  protected async forget(id: string): Promise<void> {
    try {
      const sqlLogBin = this.#facts?.logged ?? true;
      await this.beforeForgetting(id);
      await forgetIntents(this.options.pool, [id], { sqlLogBin });
      this.by.delete(id);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.unforgotten.add(id);
    }
    this.options.activeIds.delete(id);
  }

  #result({ payload, refusal }: End, table: OneTable | null): DropResult {
    const { pool, stopping, onUnsettled } = this.options;
    const { held } = this;
    return {
      payload,
      held,
      tables: held.map((one) => (table === null ? '' : this.nameOf(one, table))),
      by: held.map(({ id }) => this.by.get(id) ?? null),
      refusal,
      facts: this.#facts,
      finish: async (onLate) => {
        const tables = held.map(({ failure, ...one }) =>
          failure === null ? one : { ...one, failure },
        );
        const sqlLogBin = this.#facts?.logged ?? true;
        const record = () => recordOutcome(pool, { tables, forgotten: [], sqlLogBin });
        const forget = async () => {
          for (const id of this.unforgotten) {
            await this.beforeForgetting(id);
            await forgetUnanswered(pool, [id], { sqlLogBin });
          }
        };
        try {
          if (held.length > 0) await retryUntilWritten(record, { stopping, onLate });
          await retryUntilWritten(forget, { stopping, triesMax: FORGET_TRIES_MAX });
        } catch (error) {
          onUnsettled();
          throw error;
        } finally {
          this.#release();
        }
      },
    };
  }

  #release(): void {
    for (const id of this.by.keys()) this.options.activeIds.delete(id);
  }
}

/** What of the session's settings the ways of these statements don't know; null: nothing. */
export function wrongSetting({ facts }: OneTable): string | null {
  if (facts.gtidNext !== null) return 'under a GTID of its session';
  return facts.addsIfExists ? 'under sql_if_exists' : null;
}

export function answer({ payload }: { readonly payload: Buffer }): End {
  return { payload, refusal: null };
}

export function refused(error: UndropError): End {
  return { payload: refuse(error).payload, refusal: error };
}
