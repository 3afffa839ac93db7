/**
 * Runs one TRUNCATE: an empty ghost of the table takes its name in the same atomic RENAME in which
 * the table goes to its hold name. The user's session is asked first, as for a drop: whether it may
 * drop, and for its turn at the locks, by a statement that can't succeed; the service account makes
 * the ghost and renames (swap.ts).
 *
 * Invariants: nothing that goes to the user's session empties a base table. A table is renamed only
 * where its intent is in the ledger and a ghost is there for it; OK is said only behind that.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { IntentFacts } from '../../ledger/write.js';
import type { Ruling } from '../../policy/decide.js';
import type { DropOptions, DropResult, DropStatement } from '../../steps/drop-options.js';
import { serviceNames } from '../../steps/names/resolve.js';
import {
  answer,
  type End,
  FIRST_TRY_MS,
  NEXT_TRY_MS,
  type OneTable,
  OneTableStatement,
  refused,
  TRIES_MAX,
  wrongSetting,
} from '../../steps/one-table.js';
import { refusalBeforeLooking } from '../../steps/preconditions.js';
import { recordDrop } from '../../steps/record-intents.js';
import { type HeldTable, sentenceStart } from '../../steps/refuse.js';
import { InnodbWaits } from '../../steps/rename/innodb-waits.js';
import type { DropRequest } from '../../steps/request.js';
import {
  ownLockSql,
  type QualifiedName,
  truncateOwnSql,
  turnSql,
} from '../../steps/session/user-session-sql.js';
import { decodeErr } from '../../wire/response/err.js';
import {
  ABSENT_TABLE,
  ER_BAD_DB_ERROR,
  ER_TABLE_NOT_LOCKED,
  METADATA_LOCK_GRANTED,
} from '../../wire/server-errors.js';
import { notServed, notTruncated, objectionToTruncate, sayMissing, VERSIONED } from './refusals.js';
import { GhostSwap, type Swapped, tolerantly } from './swap.js';

/** Of these schemas the server empties what it counts itself, or nothing. */
const OF_THE_SERVER: readonly string[] = ['performance_schema', 'information_schema'];

/** `drop`: a drop of the one table. Rejects where the user session broke, or `DestroyHinted`. */
export function runTruncate(drop: DropStatement, options: DropOptions): Promise<DropResult> {
  return new Truncation(drop, options).run();
}

interface Look {
  readonly request: DropRequest;
  readonly intent: IntentFacts;
  readonly rulings: readonly Ruling[];
  readonly isLocked: boolean;
}

/** `waited`: for a lock of InnoDB. */
type Tried = 'again' | 'waited' | 'held';

class Truncation extends OneTableStatement {
  #swap: GhostSwap | null = null;
  /** Of the intent, and of the ghost: the same in every try until one is held. */
  #id: string;
  readonly #waits: InnodbWaits;

  constructor(drop: DropStatement, options: DropOptions) {
    super(drop, options);
    this.#id = options.newId();
    this.#waits = new InnodbWaits({ groupId: this.groupId, run: (commands) => this.say(commands) });
  }

  protected get ids(): readonly string[] {
    return [this.#id];
  }

  protected get held(): readonly HeldTable[] {
    return this.#swap?.held ?? [];
  }

  protected override beforeForgetting(id: string): Promise<void> {
    return this.#swap?.leaveAll(id) ?? Promise.resolve();
  }

  protected nameOf(_held: HeldTable, { schema, table }: OneTable): string {
    return `${schema}.${table}`;
  }

  protected act(table: OneTable): Promise<End> {
    const { kind, name, schema } = table;
    const isOfServer = OF_THE_SERVER.includes(schema.toLowerCase());
    if (kind === 'temporary' || isOfServer) return this.#native(name);
    const under = wrongSetting(table);
    if (under !== null) return Promise.resolve(refused(notTruncated(table, under)));
    return this.#truncate(table);
  }

  /** What is emptied is no base table of a user. */
  async #native(name: QualifiedName): Promise<End> {
    const said = { groupId: this.groupId, charset: this.drop.charset };
    const [done] = await this.say([{ kind: 'query', text: truncateOwnSql(name, said) }]);
    assert(done?.kind === 'ok' || done?.kind === 'err', 'TRUNCATE answers OK or ERR');
    return answer(done);
  }

  async #truncate(table: OneTable): Promise<End> {
    const { pool } = this.options;
    const tables = sentenceStart(this.drop);
    const swap = new GhostSwap({ pool, session: table.facts, tables });
    this.#swap = swap;
    let tried: End | Tried = 'again';
    for (let tries = 1; (tried === 'again' || tried === 'waited') && tries <= TRIES_MAX; tries++) {
      tried = await this.#try(table, swap, tries === 1 ? FIRST_TRY_MS : NEXT_TRY_MS);
      // As often as the session's own time allows.
      if (tried === 'waited') tries--;
    }
    // Of a try that came to nothing, however it ended.
    // What can't be done now is done before the intent is forgotten.
    await tolerantly(() => swap.leave());
    if (this.by.has(this.#id)) await this.forget(this.#id);
    return this.#endOf(tried, swap);
  }

  /** What was emptied once is empty, whatever a later try has met; it lacks an ALTER then. */
  async #endOf(tried: End | Tried, swap: GhostSwap): Promise<End> {
    const { length } = swap.altered;
    // What took the name last was made after the last of them, or only the next.
    const followed = length - (tried === 'held' ? 1 : 2);
    const isLost = (_one: HeldTable, index: number) => index !== followed;
    const isDone = tried === 'held' && !swap.altered.some(isLost);
    // What was emptied has been dropped since, with whatever it lacked.
    const isGone = length > 0 && saysGone(tried);
    if (isDone || isGone) return answer({ payload: await this.clean() });
    await swap.keep(this.options.holdMs);
    const lost = swap.altered.filter(isLost);
    const tables = sentenceStart(this.drop);
    if (lost.length > 0) {
      const held = lost.map(({ holdSchema, holdName }) => `${holdSchema}.${holdName}`).join(', ');
      const params = { tables, held, why: whyOf(tried) };
      return refused(new UndropError('UNDROP_TRUNCATED_BEFORE_ALTER', params));
    }
    if (typeof tried === 'object') return tried;
    return refused(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times: TRIES_MAX }));
  }

  /** One turn at the locks, and behind it one RENAME. */
  async #try(table: OneTable, swap: GhostSwap, killAfterMs: number): Promise<End | Tried> {
    const turn = await this.#turn(table);
    if (typeof turn === 'object') return turn;
    const id = this.#id;
    // What a try before has left, which its ghost is found by.
    if (this.by.has(id)) await this.forget(id);
    this.begin(id);
    const request = this.request();
    const { facts } = table;
    const how = { ...this.options, hints: this.hints };
    const recorded = await recordDrop(request, serviceNames(request, facts), facts, how);
    if (recorded.intent === null) {
      this.unforgotten.add(id);
      return refused(recorded.intentError);
    }
    const { intent, rulings } = recorded;
    this.by.set(id, rulings[0]?.by ?? null);
    const look = { request, intent, rulings, isLocked: turn === 'locked' };
    const objection = await this.#objection(table, look);
    const [seen] = intent.tables;
    let tried: End | Tried = objection ?? 'again';
    if (objection === null && seen !== undefined) {
      const { utcNow } = intent;
      tried = await this.#read(table, await swap.run(seen, { utcNow, killAfterMs }));
    }
    if (swap.held.some((held) => held.id === id)) this.#id = this.options.newId();
    return tried;
  }

  /** Waits for the table as long as the session's own settings say. */
  async #turn(table: OneTable): Promise<End | 'free' | 'locked'> {
    const said = { groupId: this.groupId, charset: this.drop.charset };
    const text = turnSql(table.name, { ...said, wait: null });
    const [own, turn] = await this.say([
      { kind: 'prepare', text: ownLockSql(table.name, said) },
      { kind: 'query', text },
    ]);
    assert(turn?.kind === 'err', 'there is no such partition');
    await this.close(own);
    if (turn.errno === ER_BAD_DB_ERROR) return this.raise(sayMissing(table));
    if (!METADATA_LOCK_GRANTED.includes(turn.errno)) return answer(turn);
    if (table.kind === 'view') return this.raise(sayMissing(table));
    return own?.kind === 'err' && own.errno === ER_TABLE_NOT_LOCKED ? 'locked' : 'free';
  }

  /** Null: nothing speaks against it. */
  async #objection(
    table: OneTable,
    { request, intent, rulings, isLocked }: Look,
  ): Promise<End | 'again' | null> {
    const { facts } = table;
    const look = { judge: null, kinds: ['base' as const], names: [table.name], rulings };
    const refusal = refusalBeforeLooking(request, look, intent, facts);
    if (refusal !== null) return refused(refusal);
    const [seen] = intent.tables;
    if (seen?.kind === 'view') return this.raise(sayMissing(table));
    if (seen === undefined || seen.holdUntil === null) return 'again';
    // It went while it was looked at.
    if (seen.engine === null) return 'again';
    const { server } = this.drop;
    const { checksForeignKeys } = facts;
    const context = { checksForeignKeys, server };
    const why = await objectionToTruncate(this.options.pool, seen, context);
    if (why instanceof UndropError) return refused(why);
    if (why !== null) return this.raise(why);
    if (intent.hasBackupLock) return refused(notTruncated(seen, 'beside LOCK INSTANCE FOR BACKUP'));
    if (!isLocked) return null;
    return refused(notTruncated(seen, 'under LOCK TABLES', 'UNLOCK TABLES first.'));
  }

  async #read(table: OneTable, swapped: Swapped): Promise<End | Tried> {
    const tables = sentenceStart(this.drop);
    switch (swapped.kind) {
      case 'held':
        return 'held';
      case 'again': {
        if (swapped.isTimeout !== true) return 'again';
        const over = await this.#waits.another();
        return over === null ? 'waited' : answer(over);
      }
      case 'none':
        if (swapped.why === 'versioned') return this.raise(VERSIONED);
        return refused(notTruncated(table, `and ${swapped.why}`));
      case 'denied':
        return refused(new UndropError('UNDROP_PRIVILEGES', { tables, cause: swapped.cause }));
      case 'unserved':
        return refused(notServed(table, swapped.cause));
      case 'failed':
        return refused(new UndropError('UNDROP_HOLD_FAILED', { tables, cause: swapped.cause }));
    }
  }
}

function saysGone(tried: End | Tried): boolean {
  if (typeof tried !== 'object' || tried.refusal !== null) return false;
  return ABSENT_TABLE.includes(decodeErr(tried.payload).errno);
}

function whyOf(tried: End | Tried): string {
  if (tried === 'held') return 'another ALTER TABLE came right behind that';
  if (typeof tried === 'string') return `it could not be made like that in ${TRIES_MAX} tries`;
  return tried.refusal?.message ?? decodeErr(tried.payload).message.toString();
}
