/**
 * Runs an ALTER TABLE … DROP or TRUNCATE PARTITION, from top to bottom. The user session is asked
 * by the same statement of a partition that isn't there, which needs the same rights, waits for the
 * same locks and ends the same transaction; then the service account makes a held table of the rows
 * of each partition (service.ts).
 *
 * Invariant: nothing that goes to the user session destroys a row. A partition is taken only if
 * its intent is in the ledger; OK is said only after all of them were.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { IntentFacts } from '../../ledger/write.js';
import { partitionTable } from '../../names/names.js';
import type { PartitionList } from '../../sql/grammar/alter-partition.js';
import { lookAtOneTable, type OneTable, wrongSetting } from '../../steps/first-look.js';
import { refusalBeforeLooking } from '../../steps/preconditions.js';
import { ask, perform, type Steps, serve } from '../../steps/procedure.js';
import { type Answer, answerWith, type HeldTable, type Reply, refuse } from '../../steps/refuse.js';
import { SERVICE_TRIES_MAX, takeByService } from '../../steps/rename/take-by-service.js';
import type { Beginning } from '../../steps/run.js';
import { ownLockSql, waitText } from '../../steps/session/user-session-sql.js';
import { clean, raise } from '../../steps/session-answers.js';
import { decodeErr, type OkPacket, okWithInfo } from '../../wire/response.js';
import type { Result } from '../../wire/result-reader.js';
import {
  ABSENT_TABLE,
  ER_DROP_LAST_PARTITION,
  ER_DROP_PARTITION_NON_EXISTENT,
  ER_TABLE_NOT_LOCKED,
  ER_UNKNOWN_PARTITION,
} from '../../wire/server-errors.js';
import { type FoundPartitions, nameOf, type Partition, whatIsMeant } from './find-partitions.js';
import type { NotTaken, PartitionService, TakeHow } from './service.js';
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
/** As many are taken by one statement; others wait for its lock meanwhile. */
const PARTS_MAX = 16;
/** What the server says of an ALTER TABLE that copies nothing. */
const NOTHING_COPIED = 'Records: 0  Duplicates: 0  Warnings: 0';

/** The procedure, with what the service account does for it. */
export function alterPartitions(service: PartitionService): (beginning: Beginning) => Steps<Reply> {
  return function* (beginning) {
    const table = yield* lookAtOneTable(beginning);
    if ('kind' in table) return table;
    const { statement } = table.request;
    assert(statement.partitions !== undefined, 'it names partitions');
    // MariaDB's ALTER TABLE IF EXISTS says it of the partitions, too.
    const ifExists = statement.partitions.ifExists || statement.ifExists;
    const altering = new Altering(table, { ...statement.partitions, ifExists }, service);
    return yield* altering.run();
  };
}

type MoreWords = Pick<PartitionWords, 'missing'> & Partial<PartitionWords>;
type End = Answer | FoundPartitions | 'changed';

class Altering {
  readonly #table: OneTable;
  readonly #list: PartitionList;
  readonly #service: PartitionService;
  readonly #way: TakeHow['way'];
  #held: readonly HeldTable[] = [];
  /** What they are called in the ledger. */
  readonly #names = new Set<string>();
  /** Those whose rows are held; more may have come since, but into what was converted. */
  readonly #taken = new Set<string>();

  constructor(table: OneTable, list: PartitionList, service: PartitionService) {
    this.#table = table;
    this.#list = list;
    this.#service = service;
    const drops = table.request.server.flavour === 'mysql' ? 'locked' : 'convert';
    this.#way = list.verb === 'drop' ? drops : 'exchange';
  }

  *run(): Steps<Reply> {
    const under = wrongSetting(this.#table);
    if (under !== null) return this.#refuse(under);
    const end = yield* takeByService<End>(this.#table.request, {
      wait: () => this.#waitForTurn(),
      take: (killAfterMs) => this.#findAndTake(killAfterMs),
    });
    if (typeof end === 'object' && end.kind === 'found') {
      return { ...(yield* this.#done(end.missing)), held: this.#held };
    }
    const params = { tables: partitionsOf(this.#table), times: SERVICE_TRIES_MAX };
    const answer =
      end === 'changed' ? refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', params)) : end;
    return this.#held.length === 0 ? answer : yield* this.#leave(answer);
  }

  /** What was taken before it failed is held, and the client is told. */
  *#leave({ refusal, payload }: Answer): Steps<Answer> {
    const { schema, table, facts } = this.#table;
    const { logged } = facts;
    const held = yield* perform('keepLonger', { held: this.#held, logged });
    const cause = refusal?.message ?? decodeErr(payload).message.toString();
    const params = { table: `${schema}.${table}`, names: [...this.#names].join(', '), cause };
    return { ...refuse(new UndropError('UNDROP_PARTITIONS_LEFT', params)), held };
  }

  /**
   * The rights of the statement; then the table is waited for as long as the session's own settings
   * say, which DROP PARTITION does after its look at the names, TRUNCATE PARTITION before it.
   */
  *#waitForTurn(): Steps<Answer | null> {
    const { name, request } = this.#table;
    const own = ownLockSql(name, request);
    const [locks] = yield* perform('user', {
      commands: [{ kind: 'prepare', text: own }],
      renames: false,
    });
    const { verb: wanted } = this.#list;
    const verbs = wanted === 'drop' ? (['drop', 'truncate'] as const) : (['truncate'] as const);
    for (const verb of verbs) {
      const turn = yield* this.#ask({ missing: 1, verb });
      assert(turn.kind === 'err', 'there is no such partition');
      if (ABSENT_TABLE.includes(turn.errno) && request.statement.ifExists) {
        return answerWith(yield* this.#ask({ missing: 1, ifTableExists: true }));
      }
      if (!FREE[verb].includes(turn.errno)) return answerWith(turn);
    }
    const isLocked = locks?.kind === 'err' && locks.errno === ER_TABLE_NOT_LOCKED;
    return isLocked ? this.#refuse('under LOCK TABLES', 'UNLOCK TABLES first.') : null;
  }

  *#findAndTake(killAfterMs: number): Steps<End | 'busy'> {
    const { facts, request } = this.#table;
    const { charset } = facts;
    const all = yield* serve((pool) => this.#service.readPartitions(pool, this.#table));
    if (all instanceof UndropError) return refuse(all);
    if (all.length === 0) return 'busy';
    const gone = this.#way === 'convert' ? this.#taken : new Set<string>();
    const meant = whatIsMeant(this.#list, all, { charset, server: request.server, gone });
    switch (meant.kind) {
      case 'found':
        return (yield* this.#take(meant, killAfterMs)) ?? meant;
      case 'refused':
        return refuse(meant.error);
      case 'error':
        return yield* raise(request, meant.signal);
      case 'fails':
        return yield* this.#fail(meant);
    }
  }

  /** In the server's words; `busy`: what was missing is there. */
  *#fail(meant: { readonly missing: number; readonly saysWhich: boolean }): Steps<Answer | 'busy'> {
    const { missing, saysWhich } = meant;
    const { names } = this.#list;
    const said = saysWhich && names !== 'all' ? names.map(({ partition }) => partition) : [];
    const { payload, refusal, ...end } = answerWith(yield* this.#ask({ missing, names: said }));
    return saysWhich && payload.includes(NONE) ? 'busy' : { ...end, payload, refusal };
  }

  /** The answer to what takes no row. */
  *#ask(more: MoreWords): Steps<Result> {
    const { name, request } = this.#table;
    const { groupId, charset, statement } = request;
    const { verb } = this.#list;
    const words = { groupId, charset, verb, wait: waitText(statement), ...more };
    const [said] = yield* ask(alterPartitionSql(name, words));
    assert(said !== undefined, 'ALTER TABLE has an answer');
    return said;
  }

  /** Null: done; `busy`: others have locked the table, or changed it. */
  *#take({ parts: all }: FoundPartitions, killAfterMs: number): Steps<Answer | 'busy' | null> {
    const { schema, table, facts } = this.#table;
    const parts = all.filter((part) => !this.#taken.has(nameOf(part)));
    if (parts.length > PARTS_MAX) {
      return this.#refuse(`of more than ${PARTS_MAX} partitions`, 'Name fewer in one statement.');
    }
    const intent = parts.length === 0 ? null : yield* this.#record(parts);
    if (intent !== null && 'kind' in intent) return intent;
    const isLocked = this.#way === 'locked';
    const drops = isLocked ? [...new Set(all.map(({ partition }) => partition))] : [];
    if (drops.length + parts.length === 0) return null;
    const how = { way: this.#way, drops, killAfterMs };
    const request = { schema, table, logged: facts.logged, parts, intent, ...how };
    const { held, outcome } = yield* serve((pool) => this.#service.takePartitions(pool, request));
    this.#held = [...this.#held, ...held];
    for (const [index, part] of parts.entries()) {
      const id = intent?.tables[index]?.id;
      if (!held.some((one) => one.id === id)) continue;
      this.#taken.add(nameOf(part));
      this.#names.add(recordedAs(table, part));
    }
    if (outcome.kind === 'renamed') return null;
    // Some have rows again.
    if (outcome.kind === 'gone' && isLocked) this.#taken.clear();
    return this.#whyNot(outcome);
  }

  *#record(parts: readonly Partition[]): Steps<IntentFacts | Answer> {
    const { schema, table, facts, name, request } = this.#table;
    const targets = parts.map((part) => {
      const { rowEstimate, byteEstimate } = part;
      const partition = { table: recordedAs(table, part), rowEstimate, byteEstimate };
      return { schema, table, partition };
    });
    const recorded = yield* perform('recordTargets', { facts, targets });
    const { intent, intentError, rulings } = recorded;
    if (intent === null) return refuse(intentError);
    const kinds = parts.map(() => 'base' as const);
    const look = { judge: null, kinds, names: [name], rulings };
    const refusal = refusalBeforeLooking(request, look, intent, facts);
    if (refusal !== null) return refuse(refusal);
    if (intent.hasBackupLock) return this.#refuse('beside LOCK INSTANCE FOR BACKUP');
    // None: it went while it was looked at.
    const isInnoDb = intent.tables.every(({ engine }) => /^innodb$/i.test(engine ?? 'InnoDB'));
    return isInnoDb ? intent : this.#refuse('of another engine than InnoDB');
  }

  #refuse(how: string, instead?: string): Answer {
    return refuse(notTaken(this.#table, this.#list.verb, how, instead));
  }

  #whyNot(outcome: NotTaken): Answer | 'busy' {
    switch (outcome.kind) {
      case 'gone':
      case 'busy':
        return 'busy';
      case 'denied': {
        const params = { tables: partitionsOf(this.#table), cause: outcome.cause };
        return refuse(new UndropError('UNDROP_PRIVILEGES', params));
      }
      case 'versioned':
        return this.#refuse('of a table with system versions');
      case 'failed':
        return refuse(notExchanged(this.#table, this.#list.verb, outcome.cause));
    }
  }

  /** As after the statement itself; a note for each that isn't there. */
  *#done(missing: number): Steps<Answer> {
    const { request } = this.#table;
    const noted = missing === 0 ? null : yield* this.#ask({ missing, ifExists: true });
    // What is held is gone: an error of the notes alone would say otherwise.
    const isError = noted?.kind === 'err' && this.#held.length > 0;
    const said = noted === null || isError ? yield* clean(request) : noted;
    const hasInfo = said.kind === 'ok' && this.#list.verb === 'drop' && this.#taken.size > 0;
    return answerWith(hasInfo ? withInfo(said) : said);
  }
}

function recordedAs(table: string, { partition, subpartition }: Partition): string {
  return partitionTable(table, partition, subpartition);
}

function withInfo(ok: OkPacket): OkPacket {
  return { ...ok, payload: okWithInfo(ok, NOTHING_COPIED) };
}
