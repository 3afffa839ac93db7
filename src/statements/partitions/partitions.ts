/**
 * Runs an ALTER TABLE … DROP or TRUNCATE PARTITION, from top to bottom. The user session runs the
 * same statement for a partition that doesn't exist, which needs the same privileges, waits for the
 * same locks and ends the same transaction; then the service account moves the rows of each
 * partition into a held table (service.ts).
 *
 * Invariant: no statement on the user session destroys a row. A partition is taken only if its
 * intent is in the ledger; OK is sent only after all of them were taken.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import {
  formatHoldName,
  partitionTable,
  type QualifiedTable,
  recycleSchemaFor,
} from '../../names/names.js';
import { type ClientCharset, quoteClientName } from '../../sql/lex/client-charset.js';
import type { PartitionList } from '../../sql/verdict.js';
import {
  inspectOneTable,
  type OneTable,
  refusalBeforeInspection,
} from '../../steps/inspect-names.js';
import { partitionsOf } from '../../steps/refusals/refusals.js';
import { takeByService } from '../../steps/rename/take-by-service.js';
import {
  clean,
  ownLockSql,
  type QualifiedName,
  qualified,
  waitText,
} from '../../steps/session/user-session.js';
import {
  type Answer,
  answerWith,
  ask,
  type DropRequest,
  type HeldTable,
  type Reply,
  refuse,
  type World,
} from '../../steps/world.js';
import { SERVICE_RENAME_TRIES } from '../../tries.js';
import { decodeErr, type OkPacket, okWithInfo, type Result } from '../../wire/response.js';
import {
  ER_DROP_LAST_PARTITION,
  ER_DROP_PARTITION_NON_EXISTENT,
  ER_TABLE_NOT_LOCKED,
  ER_UNKNOWN_PARTITION,
} from '../../wire/server-errors.js';
import type {
  HeldPartition,
  NotExchanged,
  Partition,
  PartitionPort,
  PartitionSwap,
} from './partition-port.js';

/** It got the metadata lock. If the table is no longer partitioned, the client gets the error. */
const FREE: Readonly<Record<PartitionList['verb'], readonly number[]>> = {
  drop: [ER_DROP_PARTITION_NON_EXISTENT, ER_DROP_LAST_PARTITION],
  truncate: [ER_UNKNOWN_PARTITION],
};
/** The maximum in one statement, because other sessions wait for its lock. */
const PARTS_MAX = 16;
/** The server's text for an ALTER TABLE that copies nothing. */
const NOTHING_COPIED = 'Records: 0  Duplicates: 0  Warnings: 0';

export async function alterPartitions(
  world: World,
  port: PartitionPort,
  request: DropRequest,
): Promise<Reply> {
  const table = await inspectOneTable(world, request);
  if ('kind' in table) return table;
  const { partitions } = request.statement;
  assert(partitions !== undefined, 'it names partitions');
  return new Altering({ world, port }, table, partitions).run();
}

interface Ports {
  readonly world: World;
  readonly port: PartitionPort;
}

type End = Answer | 'done' | 'changed';

class Altering {
  readonly #world: World;
  readonly #port: PartitionPort;
  readonly #table: OneTable;
  readonly #list: PartitionList;
  readonly #way: PartitionSwap['way'];
  #held: readonly HeldTable[] = [];
  /** The names of the held partitions in the ledger. */
  readonly #recorded = new Set<string>();
  /** Partitions, by `folded` name, whose rows are held; they may have new rows since. */
  readonly #taken = new Set<string>();

  constructor({ world, port }: Ports, table: OneTable, list: PartitionList) {
    this.#world = world;
    this.#port = port;
    this.#table = table;
    this.#list = list;
    const drops = table.request.server.flavour === 'mysql' ? 'locked' : 'convert';
    this.#way = list.verb === 'drop' ? drops : 'exchange';
  }

  async run(): Promise<Reply> {
    const { request } = this.#table;
    const under = this.#unsupported();
    if (under !== null) return this.#refuse(under);
    const end = await takeByService<End>(this.#world, request, {
      wait: () => this.#waitForMetadataLock(),
      take: (killAfterMs) => this.#findAndTake(killAfterMs),
    });
    if (end === 'done') return { ...(await this.#done()), held: this.#held };
    const params = { tables: partitionsOf(this.#table), times: SERVICE_RENAME_TRIES };
    const answer =
      end === 'changed' ? refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', params)) : end;
    return this.#held.length === 0 ? answer : this.#leave(answer);
  }

  /** Rare forms, as a continuation of "by ALTER TABLE … PARTITION"; null: none. */
  #unsupported(): string | null {
    const names = this.#names() ?? [];
    if (this.#list.ifExists || this.#table.request.statement.ifExists) return 'with IF EXISTS';
    // Each server folds the case of other letters in its own way: ß and ẞ are two names, or one.
    if (names.some((name) => /[^\0-\x7f]/.test(name))) return 'of names that are not ASCII';
    return new Set(names.map(folded)).size < names.length ? 'of one partition twice' : null;
  }

  /** Null: all. */
  #names(): readonly string[] | null {
    const { names } = this.#list;
    if (names === 'all') return null;
    return names.map(({ partition }) => Buffer.from(partition).toString('latin1'));
  }

  /** Partitions taken before a failure are held, and the client gets an error for that. */
  async #leave({ refusal, payload }: Answer): Promise<Answer> {
    const { schema, table, facts } = this.#table;
    const { logged } = facts;
    const held = await this.#world.keepLonger(this.#held, { logged });
    const cause = refusal?.message ?? decodeErr(payload).message.toString();
    const names = [...this.#recorded].join(', ');
    const params = { table: `${schema}.${table}`, names, cause };
    return { ...refuse(new UndropError('UNDROP_PARTITIONS_LEFT', params)), held };
  }

  /**
   * Checks the privileges of the statement; then waits for the table as long as the session's own
   * settings allow, which DROP PARTITION does after its check of the names, TRUNCATE PARTITION
   * before it.
   */
  async #waitForMetadataLock(): Promise<Answer | null> {
    const { name, request } = this.#table;
    const own = ownLockSql(name, request);
    const [locks] = await this.#world.run([{ kind: 'prepare', text: own }]);
    const { verb: wanted } = this.#list;
    const verbs = wanted === 'drop' ? (['drop', 'truncate'] as const) : (['truncate'] as const);
    for (const verb of verbs) {
      const turn = await this.#ask({ missing: 1, verb });
      assert(turn.kind === 'err', 'there is no such partition');
      if (!FREE[verb].includes(turn.errno)) return answerWith(turn);
    }
    const isLocked = locks?.kind === 'err' && locks.errno === ER_TABLE_NOT_LOCKED;
    return isLocked ? this.#refuse('under LOCK TABLES', 'Run UNLOCK TABLES first.') : null;
  }

  async #findAndTake(killAfterMs: number): Promise<End | 'busy'> {
    const all = await this.#port.readPartitions(this.#table);
    if (all instanceof UndropError) return refuse(all);
    if (all.length === 0) return 'busy';
    if (all.some(({ isDivided }) => isDivided))
      return this.#refuse('of a table with subpartitions');
    const wanted = this.#names()?.map(folded) ?? all.map(({ name }) => folded(name));
    const open = new Set(wanted.filter((name) => !this.#taken.has(name)));
    const parts = all.filter(({ name }) => open.has(folded(name)));
    const leavesNone = this.#list.verb === 'drop' && all.length <= open.size;
    if (parts.length < open.size || leavesNone) return this.#fail();
    if (parts.length > PARTS_MAX) {
      return this.#refuse(`of more than ${PARTS_MAX} partitions`, 'Name fewer in one statement.');
    }
    const drops =
      this.#way === 'locked' ? all.filter(({ name }) => wanted.includes(folded(name))) : [];
    return this.#take(
      parts,
      drops.map(({ name }) => name),
      killAfterMs,
    );
  }

  /**
   * The server's error for a partition that doesn't exist, or is the last one; `busy`: it exists
   * again.
   */
  async #fail(): Promise<Answer | 'busy'> {
    const names = this.#names() ?? [];
    // DROP counts the names first, whatever they are; TRUNCATE reports which one is missing.
    const isDrop = this.#list.verb === 'drop';
    const words = isDrop ? { missing: names.length } : { missing: 1, names };
    const answer = answerWith(await this.#ask(words));
    return !isDrop && answer.payload.includes(NONE) ? 'busy' : answer;
  }

  /** The response to the statement that takes no row. */
  async #ask(words: {
    readonly missing: number;
    readonly verb?: PartitionList['verb'];
    readonly names?: readonly string[];
  }): Promise<Result> {
    const { name, request } = this.#table;
    const { groupId, charset, statement } = request;
    const wait = waitText(statement);
    const all = { groupId, charset, wait, verb: this.#list.verb, names: [], ...words };
    const [said] = await ask(this.#world, alterPartitionSql(name, all));
    assert(said !== undefined, 'ALTER TABLE has an answer');
    return said;
  }

  /** `busy`: others have locked the table, or changed it. */
  async #take(
    parts: readonly Partition[],
    drops: readonly string[],
    killAfterMs: number,
  ): Promise<End | 'busy'> {
    const { logged } = this.#table.facts;
    const { schema, table } = this.#table;
    const nothing = { schema, table, utcNow: new Date(0), parts: [] };
    const recorded = parts.length === 0 ? nothing : await this.#record(parts);
    if (recorded === 'busy' || 'kind' in recorded) return recorded;
    if (drops.length + parts.length === 0) return 'done';
    const holdSchema = recycleSchemaFor(logged);
    const swap = { ...recorded, way: this.#way, drops, killAfterMs, holdSchema, logged };
    this.#world.mayRename();
    const { held, outcome } = await this.#port.takePartitions(swap);
    this.#held = [...this.#held, ...held];
    for (const { id, name } of recorded.parts) {
      if (!held.some((one) => one.id === id)) continue;
      this.#taken.add(folded(name));
      this.#recorded.add(partitionTable(table, name));
    }
    if (outcome.kind === 'renamed') return 'done';
    // Some have rows again.
    if (outcome.kind === 'gone' && this.#way === 'locked') this.#taken.clear();
    return this.#whyNot(outcome);
  }

  /** Their intents, with the table's name as the server stores it; `busy`: it is gone. */
  async #record(
    parts: readonly Partition[],
  ): Promise<Pick<PartitionSwap, 'schema' | 'table' | 'utcNow' | 'parts'> | Answer | 'busy'> {
    const { schema, table, facts, request } = this.#table;
    const targets = parts.map(({ name: part, rowEstimate, byteEstimate }) => {
      const partition = { table: partitionTable(table, part), rowEstimate, byteEstimate };
      return { schema, table, partition };
    });
    const recorded = await this.#world.recordTargets(facts, targets);
    const { intent, intentError, rulings } = recorded;
    if (intent === null) return refuse(intentError);
    const kinds = parts.map(() => 'base' as const);
    const refusal = refusalBeforeInspection({ request, facts, kinds, rulings }, intent);
    if (refusal !== null) return refuse(refusal);
    if (intent.hasBackupLock) return this.#refuse('beside LOCK INSTANCE FOR BACKUP');
    const held: HeldPartition[] = [];
    for (const [index, { id, holdUntil, kind, engine }] of intent.tables.entries()) {
      if (holdUntil === null || kind !== 'base' || engine === null) return 'busy';
      if (engine.toLowerCase() !== 'innodb') return this.#refuse('of another engine than InnoDB');
      const part = parts[index];
      assert(part !== undefined, 'each partition has an intent');
      const holdName = formatHoldName({ state: 'HOLD', id, due: holdUntil });
      held.push({ id, name: part.name, holdName });
    }
    const [stored = { schema, table }] = intent.tables;
    return { schema: stored.schema, table: stored.table, utcNow: intent.utcNow, parts: held };
  }

  #refuse(how: string, instead?: string): Answer {
    return refuse(notHeld({ ...this.#table, verb: this.#list.verb }, how, instead));
  }

  #whyNot(outcome: NotExchanged): Answer | 'busy' {
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

  /** The response to the statement itself. */
  async #done(): Promise<Answer> {
    const said = await clean(this.#world, this.#table.request);
    return answerWith(this.#list.verb === 'drop' ? withInfo(said) : said);
  }
}

/** The same for two names that only differ in the case of ASCII letters. */
function folded(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function withInfo(ok: OkPacket): OkPacket {
  return { ...ok, payload: okWithInfo(ok.payload, () => Buffer.from(NOTHING_COPIED)) };
}

// ── statements and refusals ──────────────────────────────────────────────────────────────────────
// The statements and refusals of an ALTER TABLE … DROP or TRUNCATE PARTITION in the user's session.
//
// Invariant: no statement built here takes a row. Each names a partition that no table has, so that
// it fails before it begins.

/** The beginning of a partition name that no table has. */
const NONE = '_undrop_none_';

interface AlterPartitionOptions {
  readonly groupId: string;
  readonly charset: ClientCharset;
  readonly verb: PartitionList['verb'];
  /** MariaDB's WAIT n or NOWAIT. */
  readonly wait: string | null;
  /** Names, in ASCII, before those that no table has. */
  readonly names: readonly string[];
  /** How many that no table has; at least 1. */
  readonly missing: number;
}

function alterPartitionSql(name: QualifiedName, words: AlterPartitionOptions): Buffer {
  const { groupId, charset, verb, wait, names, missing } = words;
  const none = Array.from({ length: missing }, () => `${NONE}${groupId}`);
  const quoted = (one: string) => Buffer.from(quoteClientName(Buffer.from(one), charset));
  const list = [...names, ...none].map((one) => quoted(one).toString()).join(', ');
  return Buffer.concat([
    Buffer.from(`ALTER /* undrop wait-for-lock ${groupId} */ TABLE `),
    qualified(name, charset),
    Buffer.from(`${wait === null ? '' : ` ${wait}`} ${verb.toUpperCase()} PARTITION ${list}`),
  ]);
}

/** `how`: continues the sentence "a table that is dropped by ALTER TABLE … DROP PARTITION …". */
export function notHeld(
  { verb, ...table }: QualifiedTable & { readonly verb: PartitionList['verb'] },
  how: string,
  instead = 'Use a direct connection.',
): UndropError {
  const statement = `by ALTER TABLE … ${verb.toUpperCase()} PARTITION`;
  const params = { tables: partitionsOf(table), how: `${statement} ${how}`, instead };
  return new UndropError('UNDROP_NOT_DONE_YET', params);
}

/** `cause`: the server's error. */
function notExchanged(
  table: QualifiedTable,
  verb: PartitionList['verb'],
  cause: string,
): UndropError {
  const instead = cause.includes('INSTANT')
    ? 'Run ALTER TABLE … FORCE first, because columns of the table were added instantly; or use a direct connection.'
    : undefined;
  return notHeld({ ...table, verb }, `and the server says: ${cause}`, instead);
}
