/**
 * Runs one ALTER TABLE … DROP or TRUNCATE PARTITION: the rows of each partition become a held
 * table. The user's session is asked first, by the same statement of a partition that isn't there,
 * which has the same rights, locks and transaction; the service does the rest (exchange.ts).
 *
 * Invariant: nothing that goes to the user's session destroys a row. A partition is taken only if
 * its intent is in the ledger; OK is said after all of them.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { detachAndRelocate } from '../../held/relocate/detach-and-relocate.js';
import { keepLonger } from '../../held/relocate/due-times.js';
import type { IntentFacts } from '../../ledger/write.js';
import { partitionTable } from '../../names/names.js';
import { isServerError } from '../../service/pool/pools.js';
import type { PartitionList } from '../../sql/grammar/alter-partition.js';
import type { DropOptions, DropResult, DropStatement } from '../../steps/drop-options.js';
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
import { rootCause } from '../../steps/refusals/root-cause.js';
import type { HeldTable } from '../../steps/refuse.js';
import type { ServiceRenameOutcome } from '../../steps/rename/rename-by-service.js';
import { ownLockSql, waitText } from '../../steps/session/user-session-sql.js';
import { decodeErr } from '../../wire/response/err.js';
import { okWithInfo } from '../../wire/response/ok.js';
import {
  ABSENT_TABLE,
  ER_DROP_LAST_PARTITION,
  ER_DROP_PARTITION_NON_EXISTENT,
  ER_TABLE_NOT_LOCKED,
  ER_UNKNOWN_PARTITION,
} from '../../wire/server-errors.js';
import {
  findFilled,
  findTaken,
  leaveEmptyTables,
  makeEmptyTables,
  type PartitionSwap,
  planSwap,
  type SwapHow,
  type SwapWay,
  swapPartitions,
  type Taken,
  tryLock,
} from './exchange.js';
import {
  type FoundPartitions,
  type Meant,
  nameOf,
  type Partition,
  readPartitions,
  whatIsMeant,
  withoutThose,
} from './find-partitions.js';
import {
  alterPartitionSql,
  NONE,
  notExchanged,
  notTaken,
  type PartitionWords,
  partitionsOf,
} from './sql.js';

/** It got the metadata lock. If the table isn't partitioned any more, the client gets the error. */
const FREE: Readonly<Record<PartitionList['verb'], readonly number[]>> = {
  drop: [ER_DROP_PARTITION_NON_EXISTENT, ER_DROP_LAST_PARTITION],
  truncate: [ER_UNKNOWN_PARTITION],
};
/** What of these is waited for is waited for by the turn; but no more often than this in a row. */
const ROUNDS_MAX = TRIES_MAX;
/** As many are exchanged under the lock that others wait for; more only before. */
const LOCKED_MAX = 4;
/** One set of intents. */
const SET_MAX = 16;
/** What the server says of an ALTER TABLE that copies nothing. */
const NOTHING_COPIED = 'Records: 0  Duplicates: 0  Warnings: 0';

/** `drop`: of partitions of one table. Rejects where the user session broke, or `DestroyHinted`. */
export function runPartitions(drop: DropStatement, options: DropOptions): Promise<DropResult> {
  const { partitions } = drop.statement;
  assert(partitions !== undefined, 'it names partitions');
  return new PartitionsStatement(drop, options, partitions).run();
}

type Swapped = Awaited<ReturnType<typeof swapPartitions>>;
type MoreWords = Pick<PartitionWords, 'missing'> & Partial<PartitionWords>;

class PartitionsStatement extends OneTableStatement {
  readonly #list: PartitionList;
  readonly #way: SwapWay;
  #held: readonly HeldTable[] = [];
  /** In the ledger, by id. */
  readonly #names = new Map<string, string>();
  /** Those whose rows are held; more may have come since, but into what was converted. */
  readonly #taken = new Set<string>();
  #ids: readonly string[] = [];

  constructor(drop: DropStatement, options: DropOptions, list: PartitionList) {
    super(drop, options);
    // MariaDB's ALTER TABLE IF EXISTS says it of the partitions, too.
    this.#list = { ...list, ifExists: list.ifExists || drop.statement.ifExists };
    const drops = drop.server.flavour === 'mysql' ? 'locked' : 'convert';
    this.#way = list.verb === 'drop' ? drops : 'exchange';
  }

  protected get ids(): readonly string[] {
    return this.#ids;
  }

  protected get held(): readonly HeldTable[] {
    return this.#held;
  }

  protected nameOf({ id }: HeldTable, { schema }: OneTable): string {
    return `${schema}.${this.#names.get(id) ?? ''}`;
  }

  protected async act(table: OneTable): Promise<End> {
    const under = wrongSetting(table);
    if (under !== null) return refused(notTaken(table, this.#list.verb, under));
    for (let round = 1; round <= ROUNDS_MAX; round++) {
      const turn = await this.#turn(table);
      if (turn !== 'free') return this.#endWith(table, turn);
      const meant = await this.#find(table);
      if (meant === 'again') continue;
      const killAfterMs = round === 1 ? FIRST_TRY_MS : NEXT_TRY_MS;
      const end =
        meant.kind === 'found'
          ? await this.#takeAll(table, meant, killAfterMs)
          : await this.#fail(table, meant);
      if (end === 'taken' && meant.kind === 'found') return this.#done(table, meant.missing);
      if (typeof end === 'object') return this.#endWith(table, end);
    }
    const params = { tables: partitionsOf(table), times: ROUNDS_MAX };
    return this.#endWith(table, refused(new UndropError('UNDROP_CHANGED_MEANWHILE', params)));
  }

  /** What was taken before it failed is held, and the client is told. */
  async #endWith({ schema, table, facts: { logged } }: OneTable, end: End): Promise<End> {
    if (this.#held.length === 0) return end;
    const { pool, holdMs } = this.options;
    this.#held = await keepLonger(pool, this.#held, { holdMs, logged });
    const names = new Set(this.#held.map(({ id }) => this.#names.get(id)));
    const cause = end.refusal?.message ?? decodeErr(end.payload).message.toString();
    const params = { table: `${schema}.${table}`, names: [...names].join(', '), cause };
    return refused(new UndropError('UNDROP_PARTITIONS_LEFT', params));
  }

  /**
   * The rights of the statement; then waits for the table as long as the session's own settings
   * say, which DROP PARTITION does behind its look at the names, TRUNCATE PARTITION before it.
   */
  async #turn(table: OneTable): Promise<End | 'free'> {
    const own = ownLockSql(table.name, { groupId: this.groupId, charset: this.drop.charset });
    const [locks] = await this.say([{ kind: 'prepare', text: own }]);
    await this.close(locks);
    const isLocked = locks?.kind === 'err' && locks.errno === ER_TABLE_NOT_LOCKED;
    const verbs =
      this.#list.verb === 'drop' ? (['drop', 'truncate'] as const) : (['truncate'] as const);
    for (const verb of verbs) {
      const text = alterPartitionSql(table.name, this.#words({ missing: 1, verb }));
      const [turn] = await this.say([{ kind: 'query', text }]);
      assert(turn?.kind === 'err', 'there is no such partition');
      if (ABSENT_TABLE.includes(turn.errno) && this.drop.statement.ifExists) {
        return this.#ask(table, { missing: 1, ifTableExists: true });
      }
      if (!FREE[verb].includes(turn.errno)) return answer(turn);
    }
    if (!isLocked) return 'free';
    return refused(notTaken(table, this.#list.verb, 'under LOCK TABLES', 'UNLOCK TABLES first.'));
  }

  async #find(table: OneTable): Promise<Meant | 'again'> {
    const { charset } = table.facts;
    try {
      const all = await readPartitions(this.options.pool, table);
      if (all.length === 0) return 'again';
      const list =
        this.#way === 'convert' ? withoutThose(this.#list, this.#taken, charset) : this.#list;
      return whatIsMeant(list, all, { charset, server: this.drop.server });
    } catch (error) {
      if (!isServerError(error) && !(error instanceof UndropError)) throw error;
      const params = { tables: partitionsOf(table), cause: rootCause(error) };
      return { kind: 'refused', error: new UndropError('UNDROP_NOT_RECORDED', params, error) };
    }
  }

  /** In the server's words; `again`: what was missing is there. */
  async #fail(
    table: OneTable,
    meant: Exclude<Meant, { readonly kind: 'found' }>,
  ): Promise<End | 'again'> {
    if (meant.kind === 'refused') return refused(meant.error);
    if (meant.kind === 'error') return this.raise(meant.signal);
    const { names } = this.#list;
    const said = meant.saysWhich && names !== 'all' ? names.map(({ partition }) => partition) : [];
    const end = await this.#ask(table, { missing: meant.missing, names: said });
    return meant.saysWhich && end.payload.includes(NONE) ? 'again' : end;
  }

  /** The answer to what takes no row. */
  async #ask(table: OneTable, more: MoreWords): Promise<End & { readonly isOk: boolean }> {
    const text = alterPartitionSql(table.name, this.#words(more));
    const [said] = await this.say([{ kind: 'query', text }]);
    assert(said?.kind === 'err' || said?.kind === 'ok', 'ALTER TABLE answers OK or ERR');
    return { ...answer(said), isOk: said.kind === 'ok' };
  }

  /** All of them; for an end of MySQL's DROP PARTITION few at once, as others wait for the lock. */
  async #takeAll(
    table: OneTable,
    { parts, resets }: FoundPartitions,
    killAfterMs: number,
  ): Promise<End | 'again' | 'taken'> {
    const way = this.#way;
    const left = parts.filter((part) => !this.#taken.has(nameOf(part)));
    if (way !== 'locked' || left.length > LOCKED_MAX) {
      if (way === 'locked' && this.#held.length === 0) {
        const lock = await tryLock(this.options.pool, { ...table, killAfterMs });
        if (lock.kind !== 'renamed') return this.#why(table, lock);
      }
      const earlyWay = way === 'locked' ? 'exchange' : way;
      const early = { way: earlyWay, drops: [], resets, killAfterMs } as const;
      for (let at = 0; at < left.length; at += SET_MAX) {
        const end = await this.#take(table, left.slice(at, at + SET_MAX), early);
        if (end !== 'taken') return end;
      }
    }
    if (way !== 'locked' || parts.length === 0) return 'taken';
    const { pool } = this.options;
    const filled =
      this.#taken.size === 0 ? parts : await this.#orUnknown(findFilled(pool, table, parts));
    if (filled === 'gone') return 'again';
    if (filled.length > LOCKED_MAX) {
      // Others write to them all the time.
      for (const part of filled) this.#taken.delete(nameOf(part));
      return 'again';
    }
    const drops = [...new Set(parts.map(({ partition }) => partition))];
    return this.#take(table, filled, { way, drops, resets, killAfterMs });
  }

  /** One set of intents, to its end; `again`: others have the table locked, or changed it. */
  async #take(
    table: OneTable,
    parts: readonly Partition[],
    how: SwapHow,
  ): Promise<End | 'again' | 'taken'> {
    const { pool } = this.options;
    const recorded = parts.length === 0 ? null : await this.#record(table, parts);
    if (recorded !== null && 'payload' in recorded) return recorded;
    const { logged } = table.facts;
    const swap = planSwap({ ...table, logged }, parts, recorded, how);
    if (swap === null) return this.#giveUp();
    const made = await makeEmptyTables(pool, swap).catch((error: unknown) => {
      if (!(error instanceof UndropError)) throw error;
      return { kind: 'failed', cause: rootCause(error) } as const;
    });
    if (made.kind === 'versioned') {
      await this.#settle(swap);
      return refused(notTaken(table, this.#list.verb, 'of a table with system versions'));
    }
    const { outcome, taken }: Swapped =
      made.kind === 'renamed'
        ? await this.#orUnknown(swapPartitions(pool, swap))
        : { outcome: made, taken: new Map() };
    if (outcome.kind !== 'renamed') {
      await this.#settle(swap);
      return this.#why(table, outcome);
    }
    await this.#hold(swap, taken);
    return 'taken';
  }

  async #record(table: OneTable, parts: readonly Partition[]): Promise<IntentFacts | End> {
    this.#ids = parts.map(() => this.options.newId());
    const names = parts.map(({ partition, subpartition, ...estimates }, index) => {
      const recorded = partitionTable(table.table, partition, subpartition);
      const id = this.#ids[index] ?? '';
      this.begin(id);
      this.#names.set(id, recorded);
      const { schema, table: own } = table;
      return { schema, table: own, partition: { table: recorded, ...estimates } };
    });
    const how = { ...this.options, hints: this.hints };
    const request = this.request();
    const recorded = await recordDrop(request, { tables: names }, table.facts, how);
    if (recorded.intent === null) {
      for (const id of this.#ids) this.unforgotten.add(id);
      return refused(recorded.intentError);
    }
    const { intent, rulings } = recorded;
    for (const [index, id] of this.#ids.entries()) this.by.set(id, rulings[index]?.by ?? null);
    const kinds = parts.map(() => 'base' as const);
    const look = { judge: null, kinds, names: [table.name], rulings };
    // None: it went while it was looked at, see `planSwap`.
    const isInnoDb = intent.tables.every(({ engine }) => /^innodb$/i.test(engine ?? 'InnoDB'));
    const refusal =
      refusalBeforeLooking(request, look, intent, table.facts) ??
      (intent.hasBackupLock
        ? notTaken(table, this.#list.verb, 'beside LOCK INSTANCE FOR BACKUP')
        : null) ??
      (isInnoDb ? null : notTaken(table, this.#list.verb, 'of another engine than InnoDB'));
    if (refusal === null) return intent;
    await this.#giveUp();
    return refused(refusal);
  }

  /** What nobody can say of rows is never said to be otherwise. */
  #orUnknown<T>(asked: Promise<T>): Promise<T> {
    return asked.catch((error: unknown) => {
      throw this.#unknown(error);
    });
  }

  #unknown(error: unknown): UndropError {
    const params = { tables: 'Some partitions were perhaps', cause: rootCause(error) };
    return new UndropError('UNDROP_FATE_UNKNOWN', params, error);
  }

  /** Nothing of them was taken: the intents are forgotten. */
  async #giveUp(): Promise<'again'> {
    for (const id of this.#ids) if (this.by.has(id)) await this.forget(id);
    return 'again';
  }

  /** Behind what failed: what of it was taken all the same is held, the rest is left. */
  async #settle(swap: PartitionSwap): Promise<void> {
    const { pool } = this.options;
    const which = swap.way === 'convert' ? 'all' : 'filled';
    const taken = await this.#orUnknown(findTaken(pool, swap, which));
    await this.#hold(swap, taken);
    const left = swap.parts.filter(({ id }) => !taken.has(id));
    for (const { id } of left) await this.forget(id);
    await leaveEmptyTables(pool, { ...swap, parts: left });
  }

  /** Those that are in the table's own schema, as it has triggers, go home like any other. */
  async #hold(swap: PartitionSwap, taken: Taken): Promise<void> {
    const { logged, parts } = swap;
    const away = parts.filter(({ id }) => taken.get(id) === swap.schema);
    const moves = away.map(({ id, holdName }) => {
      return { id, holdName, fromSchema: swap.schema, table: this.#names.get(id) ?? '' };
    });
    const relocations = await detachAndRelocate(this.options.pool, moves, { logged });
    for (const { id, name, holdName } of parts) {
      const holdSchema = taken.get(id);
      if (holdSchema === undefined) continue;
      this.#taken.add(name);
      const move = relocations.find((one) => one.id === id);
      const place = move?.outcome === 'moved' ? move.holdSchema : holdSchema;
      const failure = move === undefined || move.outcome === 'moved' ? null : move.failure;
      const held = { id, holdSchema: place, holdName, relocated: failure === null, failure };
      this.#held = [...this.#held, held];
    }
  }

  #why(
    table: OneTable,
    outcome: Exclude<ServiceRenameOutcome, { kind: 'renamed' }>,
  ): End | 'again' {
    switch (outcome.kind) {
      case 'gone':
      case 'busy':
        return 'again';
      case 'denied': {
        const params = { tables: partitionsOf(table), cause: outcome.cause };
        return refused(new UndropError('UNDROP_PRIVILEGES', params));
      }
      case 'failed':
        return refused(notExchanged(table, this.#list.verb, outcome.cause));
    }
  }

  /** As behind the statement itself; a note for each that isn't there. */
  async #done(table: OneTable, missing: number): Promise<End> {
    const { payload, isOk } =
      missing === 0
        ? { payload: await this.clean(), isOk: true }
        : await this.#ask(table, { missing, ifExists: true });
    // What is held is gone: an error of the notes alone would say otherwise.
    const clean = isOk || this.#held.length === 0 ? payload : await this.clean();
    const hasInfo = clean[0] === 0x00 && this.#list.verb === 'drop' && this.#taken.size > 0;
    return answer({ payload: hasInfo ? okWithInfo({ payload: clean }, NOTHING_COPIED) : clean });
  }

  #words(more: MoreWords): PartitionWords {
    const { statement, charset } = this.drop;
    const { verb } = this.#list;
    return { groupId: this.groupId, charset, verb, wait: waitText(statement), ...more };
  }
}
