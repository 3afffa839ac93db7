/**
 * Runs one TRUNCATE: an empty twin of the table takes its name in the same atomic RENAME in which
 * the table goes to its hold name. The user's session is asked first, as for a drop: whether it may
 * drop, and for its turn at the locks, by a statement that can't succeed; the service account makes
 * the twin and renames (twin-swap.ts).
 *
 * Invariants: nothing that goes to the user's session empties a base table. A table is renamed only
 * where its intent is in the ledger and a twin is there for it; OK is said only behind that.
 */
import { assert } from '../assert.js';
import { UndropError } from '../errors.js';
import { forgetUnanswered } from '../ledger/waiting-intent.js';
import { forgetIntents, type IntentFacts, recordOutcome } from '../ledger/write.js';
import type { Ruling } from '../policy/decide.js';
import { type ErrPacket, encodeErr } from '../wire/response/err.js';
import type { Result } from '../wire/result-reader.js';
import { lockTableSql, UNLOCK_SQL } from './lock-words.js';
import { lookAtNames } from './look-at-names.js';
import { refusalBeforeLooking, refuse, sentenceStart } from './next-step.js';
import { asProgram, NO_VERDICT } from './program-verdict.js';
import { qualify } from './qualify.js';
import { recordDrop } from './record-drop.js';
import type { DropRequest, UserFacts } from './request.js';
import type { DropOptions, DropResult, DropStatement } from './run-drop.js';
import { serviceNames } from './service-names.js';
import { SIGNAL_CHARACTERS_MAX, type Signal, signalSql } from './signal-sql.js';
import { notTruncated, objectionToTruncate, sayMissing, VERSIONED } from './truncate-words.js';
import { type Swapped, TwinSwap } from './twin-swap.js';
import type { UserCommand } from './user-session.js';
import { areForDestroying, DestroyWished, FORGET_WISH } from './wishes.js';
import { cleanSql, ownLockSql, type QualifiedName, truncateOwnSql, turnSql } from './words.js';
import { FORGET_TRIES_MAX, writeAtLast } from './write-at-last.js';

export interface TruncateOptions extends DropOptions {
  /**
   * Whether the session, which is under LOCK TABLES, has nothing else locked than this table, for
   * writing, and nobody waits for it. `table`: in UTF-8.
   */
  readonly mayUnlock: (table: TableInUtf8, intent: IntentFacts) => Promise<boolean>;
}

export interface TableInUtf8 {
  readonly schema: string;
  readonly table: string;
}

/** Nobody waits behind the first try for longer than behind anything else of ours. */
const FIRST_TRY_MS = 200;
/** The session had its turn, so the next is short of a chance only by those who came between. */
const NEXT_TRY_MS = 900;
const TRIES_MAX = 12;

/** Its turn has come: it has no such partition, or none at all. */
const FREE: ReadonlySet<number> = new Set([1505, 1735]);
const UNKNOWN_SCHEMA = 1049;
const NOT_LOCKED = 1100;
const SYNTAX_ERROR = 1064;
/** Of these schemas the server empties what it counts itself, or nothing. */
const OF_THE_SERVER: readonly string[] = ['performance_schema', 'information_schema'];

/** `drop`: a drop of the one table. Rejects where the user session broke, or `DestroyWished`. */
export function runTruncate(drop: DropStatement, options: TruncateOptions): Promise<DropResult> {
  return new Truncation(drop, options).run();
}

/** The answer to the client. */
interface End {
  readonly payload: Buffer;
  readonly refusal: UndropError | null;
}

/** What is known of the table before anything is recorded. */
interface Table extends TableInUtf8 {
  readonly name: QualifiedName;
  readonly isView: boolean;
  readonly facts: UserFacts;
}

interface Look {
  readonly request: DropRequest;
  readonly intent: IntentFacts;
  readonly rulings: readonly Ruling[];
  readonly isLocked: boolean;
}

class Truncation {
  readonly #drop: DropStatement;
  readonly #options: TruncateOptions;
  readonly #groupId: string;
  readonly #wishes: Set<string>;
  /** Ids that recovery leaves alone until the end, with what decided of each. */
  readonly #by = new Map<string, string | null>();
  #facts: UserFacts | null = null;
  #swap: TwinSwap | null = null;
  /** Of the intent, and of the twin: the same in every try until one is held. */
  #id: string;
  /** Intents without a RENAME that could not be forgotten yet, or whose writing had no answer. */
  readonly #unforgotten = new Set<string>();
  /** The lock of LOCK TABLES was given up. */
  #wasUnlocked = false;

  constructor(drop: DropStatement, options: TruncateOptions) {
    this.#drop = drop;
    this.#options = options;
    this.#groupId = options.newId();
    this.#id = options.newId();
    this.#wishes = new Set(options.wishes);
  }

  async run(): Promise<DropResult> {
    try {
      const looked = await this.#look();
      if ('payload' in looked) return this.#result(looked, null);
      return this.#result(await this.#truncate(looked), looked);
    } catch (error) {
      this.#release();
      if (!(error instanceof DestroyWished)) this.#options.onUnsettled();
      throw error;
    }
  }

  /** What the server thinks of the text, and what the session is in. */
  async #look(): Promise<Table | End> {
    const { gtidMayBeSet = false } = this.#options;
    const request = this.#request();
    const run = (commands: readonly UserCommand[]) => this.#run(commands);
    const look = await lookAtNames(request, run, { gtidMayBeSet });
    const { judge, facts } = look;
    await this.#close(judge);
    if (judge?.kind === 'err') return this.#judged(judge, look.isJudgedAsProgram);
    if ('errno' in facts) return say(facts);
    this.#facts = facts;
    if (facts.wish !== null) await this.#takeWish(facts, facts.wish);
    const [kind] = look.kinds;
    assert(kind !== undefined, 'the name was looked at');
    if (typeof kind === 'object') return say(kind);
    const stored = serviceNames(request, facts);
    if ('error' in stored) return refused(stored.error);
    const [table] = stored.tables;
    const [name] = request.statement.names;
    assert(table !== undefined && name !== undefined, 'it names one table');
    const qualified = qualify(name, facts);
    const isOfServer = OF_THE_SERVER.includes(table.schema.toLowerCase());
    if (kind === 'temporary' || isOfServer) return this.#native(qualified);
    if (facts.gtidNext !== null) return refused(notTruncated(table, 'under a GTID of its session'));
    return { ...table, name: qualified, isView: kind === 'view', facts };
  }

  /** What is emptied is no base table of a user. */
  async #native(name: QualifiedName): Promise<End> {
    const said = { groupId: this.#groupId, charset: this.#drop.charset };
    const [answer] = await this.#run([{ kind: 'query', text: truncateOwnSql(name, said) }]);
    assert(answer?.kind === 'ok' || answer?.kind === 'err', 'TRUNCATE answers OK or ERR');
    return say(answer);
  }

  /** Asked once more, so that its words are the session's last. */
  async #judged(judge: ErrPacket, isJudgedAsProgram: boolean): Promise<End> {
    if (NO_VERDICT.has(judge.errno)) {
      const why = `the server prepares nothing: ${judge.message.toString()}`;
      return refused(new UndropError('UNDROP_NOT_UNDERSTOOD', { why }));
    }
    const { text: own, tail = own } = this.#drop;
    const text = judge.errno === SYNTAX_ERROR ? tail : own;
    const command: UserCommand = isJudgedAsProgram
      ? { kind: 'query', text: asProgram({ text, groupId: this.#groupId }) }
      : { kind: 'prepare', text };
    const [said] = await this.#run([command]);
    await this.#close(said);
    return say(said?.kind === 'err' ? said : judge);
  }

  async #takeWish(facts: UserFacts, wish: string): Promise<void> {
    await this.#run([FORGET_WISH]);
    this.#wishes.add(wish);
    if (areForDestroying(this.#wishes)) throw new DestroyWished(facts);
  }

  async #truncate(table: Table): Promise<End> {
    const { pool } = this.#options;
    const tables = sentenceStart(this.#drop);
    const swap = new TwinSwap({ pool, session: table.facts, tables });
    this.#swap = swap;
    let tried: End | 'again' | 'held' = 'again';
    for (let tries = 1; tried === 'again' && tries <= TRIES_MAX; tries++) {
      tried = await this.#try(table, swap, tries === 1 ? FIRST_TRY_MS : NEXT_TRY_MS);
    }
    // Of a try that came to nothing, however it ended.
    await swap.leave();
    if (this.#by.has(this.#id)) await this.#forget(this.#id);
    const end = await this.#endOf(tried, swap);
    return (await this.#lockAgain(table)) ?? end;
  }

  /** What was emptied once is empty, whatever a later try has met. */
  async #endOf(tried: End | 'again' | 'held', { held }: TwinSwap): Promise<End> {
    if (held.length > 0) return this.#clean();
    if (typeof tried === 'object') return tried;
    const tables = sentenceStart(this.#drop);
    return refused(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times: TRIES_MAX }));
  }

  /** One turn at the locks, and behind it one RENAME. */
  async #try(table: Table, swap: TwinSwap, killAfterMs: number): Promise<End | 'again' | 'held'> {
    const turn = await this.#turn(table);
    if (typeof turn === 'object') return turn;
    const id = this.#id;
    // What a try before has left, which its twin is found by.
    if (this.#by.has(id)) await this.#forget(id);
    this.#options.activeIds.add(id);
    this.#by.set(id, null);
    const request = this.#request();
    const { facts } = table;
    const how = { ...this.#options, wishes: this.#wishes };
    const recorded = await recordDrop(request, serviceNames(request, facts), facts, how);
    if (recorded.intent === null) {
      this.#unforgotten.add(id);
      return refused(recorded.intentError);
    }
    const { intent, rulings } = recorded;
    this.#by.set(id, rulings[0]?.by ?? null);
    const look = { request, intent, rulings, isLocked: turn === 'locked' };
    const objection = await this.#objection(table, look);
    const [seen] = intent.tables;
    let tried: End | 'again' | 'held' = objection ?? 'again';
    if (objection === null && seen !== undefined) {
      const { utcNow } = intent;
      tried = await this.#read(table, await swap.run(seen, { utcNow, killAfterMs }));
    }
    if (swap.held.some((held) => held.id === id)) this.#id = this.#options.newId();
    return tried;
  }

  /** Waits for the table as long as the session's own settings say. */
  async #turn(table: Table): Promise<End | 'free' | 'locked'> {
    const said = { groupId: this.#groupId, charset: this.#drop.charset };
    const text = turnSql(table.name, { ...said, wait: null });
    const [own, turn] = await this.#run([
      { kind: 'prepare', text: ownLockSql(table.name, said) },
      { kind: 'query', text },
    ]);
    assert(turn?.kind === 'err', 'there is no such partition');
    await this.#close(own);
    if (turn.errno === UNKNOWN_SCHEMA) return this.#raise(sayMissing(table));
    if (!FREE.has(turn.errno)) return say(turn);
    if (table.isView) return this.#raise(sayMissing(table));
    return own?.kind === 'err' && own.errno === NOT_LOCKED ? 'locked' : 'free';
  }

  /** Null: nothing speaks against it, and the session has it locked no more. */
  async #objection(
    table: Table,
    { request, intent, rulings, isLocked }: Look,
  ): Promise<End | 'again' | null> {
    const { facts } = table;
    const look = { judge: null, kinds: ['base' as const], names: [table.name], rulings };
    const refusal = refusalBeforeLooking(request, look, intent, facts);
    if (refusal !== null) return refused(refusal);
    const [seen] = intent.tables;
    if (seen?.kind === 'view') return this.#raise(sayMissing(table));
    if (seen === undefined || seen.holdUntil === null) return 'again';
    const { server } = this.#drop;
    const { checksForeignKeys } = facts;
    const context = { checksForeignKeys, server };
    const why = await objectionToTruncate(this.#options.pool, seen, context);
    if (why instanceof UndropError) return refused(why);
    if (why !== null) return this.#raise(why);
    if (intent.hasBackupLock) return refused(notTruncated(seen, 'beside LOCK INSTANCE FOR BACKUP'));
    if (!isLocked) return null;
    if (!(await this.#options.mayUnlock(table, intent))) {
      const how = 'in a session that may have others locked';
      return refused(notTruncated(seen, how, 'UNLOCK TABLES first.'));
    }
    const [unlocked] = await this.#run([{ kind: 'query', text: UNLOCK_SQL }]);
    if (unlocked?.kind === 'err') return say(unlocked);
    this.#wasUnlocked = true;
    return null;
  }

  async #read(table: Table, swapped: Swapped): Promise<End | 'again' | 'held'> {
    const tables = sentenceStart(this.#drop);
    switch (swapped.kind) {
      case 'held':
      case 'again':
        return swapped.kind;
      case 'none':
        if (swapped.why === 'versioned') return this.#raise(VERSIONED);
        return refused(notTruncated(table, `and ${swapped.why}`));
      case 'denied':
        return refused(new UndropError('UNDROP_PRIVILEGES', { tables, cause: swapped.cause }));
      case 'failed':
        return refused(new UndropError('UNDROP_HOLD_FAILED', { tables, cause: swapped.cause }));
    }
  }

  /** The diagnostics and the OK as behind a TRUNCATE. */
  async #clean(): Promise<End> {
    // A KILL QUERY hits one of them, and the table is empty.
    const clean = { kind: 'query', text: cleanSql(this.#groupId) } as const;
    const said = (await this.#run([clean, clean])).find(({ kind }) => kind === 'ok');
    assert(said?.kind === 'ok', 'DO answers OK');
    return { payload: said.payload, refusal: null };
  }

  /** Null, or the answer where the lock can't be had again. */
  async #lockAgain(table: Table): Promise<End | null> {
    if (!this.#wasUnlocked) return null;
    const text = lockTableSql(table.name, this.#drop.charset);
    const [said] = await this.#run([{ kind: 'query', text }]);
    return said?.kind === 'err' ? say(said) : null;
  }

  /** An error of the server's, raised in the session, so that SHOW WARNINGS has it, too. */
  async #raise(signal: Signal): Promise<End> {
    const { server } = this.#drop;
    const isCut =
      server.flavour === 'mysql' && Array.from(signal.message).length > SIGNAL_CHARACTERS_MAX;
    const message = isCut
      ? Array.from(signal.message).slice(0, SIGNAL_CHARACTERS_MAX).join('')
      : signal.message;
    const text = signalSql({ ...signal, message });
    const [said] = await this.#run([{ kind: 'query', text }]);
    if (said?.kind === 'err' && !(isCut && said.errno === signal.errno)) return say(said);
    const { errno, sqlState } = signal;
    const payload = encodeErr({ errno, sqlState, message: Buffer.from(signal.message) });
    return { payload, refusal: null };
  }

  #request(): DropRequest {
    return { ...this.#drop, groupId: this.#groupId, ids: [this.#id] };
  }

  #run(commands: readonly UserCommand[]): Promise<readonly Result[]> {
    return this.#options.userSession.run(commands);
  }

  /** A handle of the client's text, or of a question of ours. */
  async #close(said: Result | null | undefined): Promise<void> {
    if (said?.kind !== 'prepared') return;
    await this.#run([{ kind: 'close', statementId: said.statementId }]);
  }

  /** An intent that stays, whose RENAME did not happen, is forgotten behind the answer. */
  async #forget(id: string): Promise<void> {
    try {
      const sqlLogBin = this.#facts?.logged ?? true;
      await forgetIntents(this.#options.pool, [id], { sqlLogBin });
      this.#by.delete(id);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#unforgotten.add(id);
    }
    this.#options.activeIds.delete(id);
  }

  #result({ payload, refusal }: End, table: Table | null): DropResult {
    const { pool, stopping, onUnsettled } = this.#options;
    const held = this.#swap?.held ?? [];
    const name = table === null ? '' : `${table.schema}.${table.table}`;
    return {
      payload,
      held,
      tables: held.map(() => name),
      by: held.map(({ id }) => this.#by.get(id) ?? null),
      refusal,
      facts: this.#facts,
      finish: async (onLate) => {
        const tables = held.map(({ failure, ...one }) =>
          failure === null ? one : { ...one, failure },
        );
        const sqlLogBin = this.#facts?.logged ?? true;
        const record = () => recordOutcome(pool, { tables, forgotten: [], sqlLogBin });
        const forget = async () => {
          for (const id of this.#unforgotten) await forgetUnanswered(pool, [id], { sqlLogBin });
        };
        try {
          if (held.length > 0) await writeAtLast(record, { stopping, onLate });
          await writeAtLast(forget, { stopping, triesMax: FORGET_TRIES_MAX });
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
    for (const id of this.#by.keys()) this.#options.activeIds.delete(id);
  }
}

function say({ payload }: { readonly payload: Buffer }): End {
  return { payload, refusal: null };
}

function refused(error: UndropError): End {
  return { payload: refuse(error).payload, refusal: error };
}
