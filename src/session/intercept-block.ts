/**
 * A MariaDB block with drops in it (`BEGIN NOT ATOMIC … END`, `IF … END IF`), planned before it
 * runs: every table is looked at and its way back recorded, then the block goes to the server with
 * a RENAME in the place of each drop (instead-of-drops.ts). Behind its end all are settled.
 *
 * Invariant: the text that goes to the server is recognised once more, and holds nothing of ours. A
 * block of which one drop can't be planned doesn't run at all.
 */
import { assert } from '../assert.js';
import { factsSql, readFacts, readHasOwnKeysOnly, readKind } from '../drop/facts.js';
import { refusalBeforeLooking } from '../drop/next-step.js';
import { blockedParents, hasForeignKeys } from '../drop/parents.js';
import { qualify } from '../drop/qualify.js';
import { recordDrop } from '../drop/record-drop.js';
import type { UserFacts } from '../drop/request.js';
import { askServiceNames } from '../drop/service-names.js';
import { FORGET_WISH } from '../drop/wishes.js';
import { askMoveSql, cleanSql, showCreateSql } from '../drop/words.js';
import { forgetIntents, type IntentFacts, type IntentTable } from '../ledger/write.js';
import { formatHoldName } from '../names/hold-name.js';
import type { Ruling } from '../policy/decide.js';
import { settleEnded } from '../recovery/settle-intents.js';
import { type Block, dropsOfBlock, mayComeToBe, withInstead } from '../sql/block-drops.js';
import { classifying } from '../sql/classify.js';
import type { DropTableStatement } from '../sql/grammar/drop-table.js';
import type { TableName } from '../sql/grammar/table-name.js';
import { type ClientCharset, clientCharsetOf, modeFromSqlMode } from '../sql/lex-mode.js';
import type { Refused } from '../sql/verdict.js';
import type { ErrPacket } from '../wire/response/err.js';
import type { Result } from '../wire/result-reader.js';
import { mayWish } from './drop-wishes.js';
import { inSlices } from './in-slices.js';
import { type BlockName, blockName, countInstead, insteadOf, NO_NAME } from './instead-of-drops.js';
import {
  type Answered,
  answerWith,
  type Interception,
  type InterceptOptions,
  newId,
  refused,
  type Taken,
} from './intercept.js';
import { objectionTo } from './objections.js';
import { HOW, listTables, notDone, notUnderstood } from './refusals.js';

export interface BlockRun {
  readonly kind: 'run';
  /** What goes to the server instead of the client's text. */
  readonly text: Buffer;
  readonly facts: UserFacts;
  /** Once the server has ended the block, in whatever way. Does not reject. */
  settle(): Promise<Answered>;
  /** The session broke: recovery finds what became of it. */
  abandon(): void;
}

/** Looks at the tables; either the block runs as `text`, or its answer is known. */
export async function planBlock(
  taken: Taken,
  verdict: Refused,
  options: InterceptOptions,
): Promise<Interception | BlockRun> {
  if (mayWish(taken.text)) return refuse('with a wish in a comment', verdict.tables, options);
  const block = dropsOfBlock(taken.text, verdict);
  if ('why' in block) {
    // The syntax may be what isn't understood.
    const [judge] = await options.userSession.run([{ kind: 'prepare', text: taken.text }]);
    if (judge?.kind === 'err' && judge.errno === ER_PARSE_ERROR)
      return refusedBy(judge, taken, options);
    if (judge?.kind === 'prepared') {
      await options.userSession.run([{ kind: 'close', statementId: judge.statementId }]);
    }
    return refuse(block.why, verdict.tables, options, block.instead);
  }
  for (const { statement } of block.drops) {
    const objection = objectionTo(statement, options.server);
    if (objection !== null) return refused(notUnderstood(objection.why), options);
  }
  const charset = clientCharsetOf(options.guess.charset) ?? 'plain';
  return new BlockPlan(taken, block, charset, options).make();
}

function refuse(
  why: string,
  tables: readonly TableName[],
  options: InterceptOptions,
  instead?: string,
): Promise<Interception> {
  return refused(notDone(`${HOW.compound} ${why}`, listTables(tables), instead), options);
}

/** Its words once more, as SHOW WARNINGS is about the last statement; they quote to the end. */
async function refusedBy(
  judge: ErrPacket,
  { text, tail = text }: Taken,
  { userSession }: InterceptOptions,
): Promise<Interception> {
  const asked = judge.errno === ER_PARSE_ERROR ? tail : text;
  const [again] = await userSession.run([{ kind: 'prepare', text: asked }]);
  return answerWith(again?.kind === 'err' ? again : judge);
}

/** The drops of one block. */
class BlockPlan {
  readonly #taken: Taken;
  readonly #text: Buffer;
  readonly #block: Block;
  readonly #charset: ClientCharset;
  readonly #options: InterceptOptions;
  readonly #groupId = newId();
  readonly #names: readonly TableName[];
  readonly #ids: readonly string[];
  #logged = true;

  constructor(taken: Taken, block: Block, charset: ClientCharset, options: InterceptOptions) {
    this.#taken = taken;
    this.#text = taken.text;
    this.#block = block;
    this.#charset = charset;
    this.#options = options;
    this.#names = block.drops.flatMap(({ statement }) => statement.names);
    this.#ids = this.#names.map(() => newId());
  }

  async make(): Promise<Interception | BlockRun> {
    const { userSession, server, service } = this.#options;
    const [judge, transaction, said, beside, ...shown] = await userSession.run([
      { kind: 'prepare', text: this.#text },
      { kind: 'query', text: IN_TRANSACTION_SQL },
      { kind: 'query', text: factsSql(server) },
      ...[this.#beside, ...this.#names].map((name) => ({
        kind: 'query' as const,
        text: showCreateSql(name, this.#charset),
      })),
      { kind: 'query', text: cleanSql(this.#groupId) },
    ]);
    assert(said !== undefined && beside !== undefined, 'each query has an answer');
    if (judge?.kind === 'prepared') {
      await userSession.run([{ kind: 'close', statementId: judge.statementId }]);
    } else if (judge?.kind === 'err' && judge.errno !== 1461) {
      return refusedBy(judge, this.#taken, this.#options);
    }
    const facts = readFacts(said);
    if ('errno' in facts) return answerWith(facts);
    this.#logged = facts.logged;
    if (facts.wish !== null) await userSession.run([FORGET_WISH]);
    const kinds = shown.slice(0, this.#names.length).map(readKind);
    const failed = kinds.find((kind) => typeof kind !== 'string');
    if (typeof failed === 'object') return answerWith(failed);
    // Of what isn't there the server says so, unless the session holds LOCK TABLES.
    if (readKind(beside) === 'unlocked') return refuse(UNDER_LOCKS, this.#names, this.#options);
    const other = kinds.findIndex((kind) => kind !== 'base' && kind !== 'missing');
    if (other >= 0) return refuse(NOT_BASE, this.#names.slice(other, other + 1), this.#options);
    const isFree = transaction?.kind === 'rows' && `${transaction.rows[0]?.[0]}` === '0';
    if (!isFree && this.#block.hasHandler) {
      return refuse('that has a handler, in a transaction', this.#names, this.#options);
    }
    const denied = isFree ? await this.#whyNotRenamed() : null;
    if (denied !== null) return refuse(denied, this.#names, this.#options);
    for (const id of this.#ids) service.activeIds.add(id);
    try {
      const run = await this.#plan(facts, kinds, shown);
      if (run.kind === 'run') return run;
      await this.#forget();
      return run;
    } catch (error) {
      this.#release();
      service.onUnsettled();
      throw error;
    }
  }

  /**
   * What would end the block in its middle, though a drop would not. It commits, so it is asked
   * outside of a transaction only.
   */
  async #whyNotRenamed(): Promise<string | null> {
    const options = { groupId: this.#groupId, charset: this.#charset };
    const texts = this.#names.map((name) => askMoveSql(name, this.#besideName, options));
    // A block that runs nothing leaves the diagnostics as they are.
    const asked = await this.#options.userSession.run(
      [...texts, cleanSql(this.#groupId)].map((text) => ({ kind: 'query' as const, text })),
    );
    const errnos = asked.map((result) => (result.kind === 'err' ? result.errno : 0));
    if (errnos.includes(DENIED)) return 'by a user who may not rename it';
    return errnos.some((errno) => LOCKED.has(errno)) ? UNDER_LOCKS : null;
  }

  async #plan(
    facts: UserFacts,
    kinds: readonly ReturnType<typeof readKind>[],
    shown: readonly Result[],
  ): Promise<Interception | BlockRun> {
    const { server, session, service } = this.#options;
    const names = this.#names.map((name) => qualify(name, facts));
    const request = {
      text: this.#text,
      statement: this.#statement,
      server,
      charset: this.#charset,
      session,
      groupId: this.#groupId,
      ids: this.#ids,
    };
    const known = await askServiceNames(service.pool, request, facts);
    const how = { ...service, mayWaitUnseen: true };
    const { intent, intentError, rulings } = await recordDrop(request, known, facts, how);
    if (intent === null) return refused(intentError, this.#options);
    const look = { judge: null, kinds, names, rulings };
    const refusal = refusalBeforeLooking(request, look, intent, facts);
    if (refusal !== null) return refused(refusal, this.#options);
    const objection =
      this.#objectionTo(intent.tables, kinds) ?? this.#objectionToKeys(intent, shown);
    if (objection !== null) {
      const { at, why } = objection;
      const about = at === null ? this.#names : this.#names.slice(at, at + 1);
      return refuse(why, about, this.#options);
    }
    const named = names.map((name, index) => blockName(name, intent.tables[index]));
    const text = this.#inOtherWords(named);
    const mode = modeFromSqlMode(server, facts.sqlMode, facts.charset);
    const one = await inSlices(classifying(text, mode, { multiStatements: false }));
    const several = await inSlices(classifying(text, mode, { multiStatements: true }));
    if (one.kind !== 'not-ours' || several.kind !== 'not-ours') {
      return refused(notUnderstood('the block is not read to its end'), this.#options);
    }
    return {
      kind: 'run',
      text,
      facts,
      settle: () => this.#settle(facts, rulings),
      abandon: () => {
        this.#release();
        this.#options.service.onUnsettled();
      },
    };
  }

  /** What a RENAME would not do as a drop does, with the name that it is about. */
  #objectionTo(
    tables: readonly IntentTable[],
    kinds: readonly ReturnType<typeof readKind>[],
  ): Objection | null {
    const { drops, hasHandler, hasTriggers } = this.#block;
    const stored = tables.map(({ schema, table }) => `${schema}\0${table}`);
    if (new Set(stored).size < stored.length) {
      return { at: null, why: 'that may drop it more than once' };
    }
    const places = drops.flatMap((drop) => drop.statement.names.map(() => drop));
    for (const [at, table] of tables.entries()) {
      const [drop, name] = [places[at], this.#names[at]];
      assert(drop !== undefined && name !== undefined, 'each table has its name in a drop');
      const isMissing = table.kind === 'missing' && table.holdUntil === null;
      if (isMissing !== (kinds[at] === 'missing')) return { at, why: NOT_BASE };
      if (isMissing && mayComeToBe(this.#text, drop, name)) return { at, why: NOT_BASE };
      if (isMissing) continue;
      if (drop.statement.object === 'sequence' && table.kind !== 'sequence') {
        return { at, why: 'with a DROP SEQUENCE of what is no sequence' };
      }
      if (table.holdUntil === null) return { at, why: NOT_BASE };
      if (table.triggers.length > 0 && hasTriggers) {
        return { at, why: 'that drops a table with triggers and speaks of triggers' };
      }
    }
    const several = hasHandler ? this.#inSeveral(tables) : -1;
    return several < 0 ? null : { at: several, why: 'with a handler, and takes several' };
  }

  /**
   * Held tables keep their keys until the block has ended: rows of a parent might be kept by them,
   * or take held ones along, and their names are taken.
   */
  #objectionToKeys(intent: IntentFacts, shown: readonly Result[]): Objection | null {
    const { tables, lowerCaseTableNames } = intent;
    const { isQuiet, hasKeys } = this.#block;
    const foldsCase = lowerCaseTableNames !== 0;
    const [blocked] = blockedParents(tables, { isAtomic: false, foldsCase });
    if (blocked !== undefined) {
      const at = tables.indexOf(blocked.table);
      return { at, why: 'that drops a parent of foreign keys before its children' };
    }
    const at = tables.findIndex(hasForeignKeys);
    if (at < 0) return null;
    if (!isQuiet) {
      const why = 'that drops a table with foreign keys and does more than drop and create';
      return { at, why };
    }
    const named = tables.findIndex((table, index) => {
      const definition = shown[index];
      const hasOwn = table.foreignKeysOut + table.foreignKeysToItself.length > 0;
      return hasOwn && definition !== undefined && !readHasOwnKeysOnly(definition);
    });
    if (!hasKeys || named < 0) return null;
    const why = 'that makes foreign keys, and drops a table whose keys have names of their own';
    return { at: named, why };
  }

  /** The first of a drop that takes more than one statement: a handler goes on between them. */
  #inSeveral(tables: readonly IntentTable[]): number {
    let at = 0;
    for (const { statement } of this.#block.drops) {
      const own = tables.slice(at, at + statement.names.length);
      const isSeveral = countInstead(own.map((table) => blockName(NO_NAME, table))) > 1;
      if (isSeveral) return at;
      at += own.length;
    }
    return -1;
  }

  /** The block with a RENAME in the place of each drop. */
  #inOtherWords(names: readonly BlockName[]): Buffer {
    const { server } = this.#options;
    const options = { groupId: this.#groupId, charset: this.#charset, server };
    const left = [...names];
    const instead = this.#block.drops.map((drop) =>
      insteadOf(this.#text, drop, left.splice(0, drop.statement.names.length), options),
    );
    return withInstead(this.#text, this.#block.drops, instead);
  }

  async #settle(facts: UserFacts, rulings: readonly Ruling[]): Promise<Answered> {
    const { service } = this.#options;
    const answer = { kind: 'answer', payload: Buffer.alloc(0), refusal: null, facts } as const;
    try {
      const held = await settleEnded(service.pool, this.#ids);
      const dropped = {
        payload: answer.payload,
        held: held.map(({ id, holdSchema, holdName, relocated, failure }) => ({
          id,
          holdSchema: holdSchema ?? '',
          holdName: holdName ?? '',
          relocated,
          failure,
        })),
        tables: held.map(({ schema, table }) => `${schema}.${table}`),
        by: held.map(({ id }) => rulings[this.#ids.indexOf(id)]?.by ?? null),
        refusal: null,
        facts,
        finish: async () => undefined,
      };
      return { ...answer, dropped };
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      service.onUnsettled();
      return { ...answer, dropped: null };
    } finally {
      this.#release();
    }
  }

  /** Nothing was renamed. What can't be forgotten now, recovery forgets. */
  async #forget(): Promise<void> {
    const { service } = this.#options;
    try {
      await forgetIntents(service.pool, this.#ids, { sqlLogBin: this.#logged });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      service.onUnsettled();
    } finally {
      this.#release();
    }
  }

  /** As if one drop named all of them. */
  get #statement(): DropTableStatement {
    const [first] = this.#block.drops;
    assert(first !== undefined, 'a block that is ours has a drop');
    return { ...first.statement, names: this.#names };
  }

  /** A name in the schema of the first, that nothing has. */
  get #beside(): TableName {
    const [first] = this.#names;
    assert(first !== undefined, 'a block that is ours has a drop');
    return { ...first, table: Buffer.from(this.#besideName) };
  }

  get #besideName(): string {
    return formatHoldName({ state: 'HOLD', id: this.#groupId, due: new Date() });
  }

  #release(): void {
    for (const id of this.#ids) this.#options.service.activeIds.delete(id);
  }
}

/** What speaks against a block, and which name; null: all of them. */
interface Objection {
  readonly at: number | null;
  readonly why: string;
}

const IN_TRANSACTION_SQL = Buffer.from('SELECT /* undrop facts */ @@in_transaction + 0 LIMIT 1');
const ER_PARSE_ERROR = 1064;
const DENIED = 1142;
/** Of a RENAME under LOCK TABLES. */
const LOCKED: ReadonlySet<number> = new Set([1099, 1100, 1192]);
const UNDER_LOCKS = 'under LOCK TABLES';
const NOT_BASE = 'with a name that is no base table yet, or not for this user';
