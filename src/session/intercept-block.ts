/**
 * A MariaDB block with drops in it (`BEGIN NOT ATOMIC … END`, `IF … END IF`), planned before it
 * runs: every table is looked at and its way back recorded, then the block goes to the server with
 * a RENAME in the place of each drop. What was renamed is settled when the block has ended.
 *
 * Invariant: the text that goes to the server is recognised once more, and holds nothing of ours. A
 * block of which one drop can't be planned doesn't run at all.
 */
import { assert } from '../assert.js';
import { factsSql, readFacts, readKind } from '../drop/facts.js';
import { refusalBeforeLooking } from '../drop/next-step.js';
import { hasForeignKeys } from '../drop/parents.js';
import { NO_VERDICT } from '../drop/program-verdict.js';
import { qualify } from '../drop/qualify.js';
import type { UserFacts } from '../drop/request.js';
import { serviceNames } from '../drop/service-names.js';
import {
  askMoveSql,
  cleanSql,
  type QualifiedName,
  renameSql,
  showCreateSql,
} from '../drop/words.js';
import { UndropError } from '../errors.js';
import { statementTextOf } from '../ledger/statement-text.js';
import {
  forgetIntents,
  type IntentFacts,
  type IntentTable,
  recordIntent,
} from '../ledger/write.js';
import { formatHoldName } from '../names/hold-name.js';
import { settleEnded } from '../recovery/settle-intents.js';
import { type BlockDrop, dropsOfBlock, withInstead } from '../sql/block-drops.js';
import { classifyUnderAll } from '../sql/classify.js';
import type { DropTableStatement } from '../sql/grammar/drop-table.js';
import type { TableName } from '../sql/grammar/table-name.js';
import { type ClientCharset, clientCharsetOf } from '../sql/lex-mode.js';
import type { Refused } from '../sql/verdict.js';
import {
  answerWith,
  type Interception,
  type InterceptOptions,
  newId,
  objectionTo,
  refused,
  type Taken,
} from './intercept.js';
import { HOW, listTables, notDone, notUnderstood } from './refusals.js';

export interface BlockRun {
  readonly kind: 'run';
  /** What goes to the server instead of the client's text. */
  readonly text: Buffer;
  readonly facts: UserFacts;
  /** Once the server has ended the block, in whatever way. Does not reject. */
  settle(): Promise<Extract<Interception, { kind: 'answer' }>>;
  /** The session broke: recovery finds what became of it. */
  abandon(): void;
}

/** Looks at the tables; either the block runs as `text`, or its answer is known. */
export async function planBlock(
  taken: Taken,
  verdict: Refused,
  options: InterceptOptions,
): Promise<Interception | BlockRun> {
  const drops = dropsOfBlock(taken.text, verdict);
  if ('why' in drops) return refuse(drops.why, verdict.tables, options);
  for (const { statement } of drops) {
    const objection = objectionTo(statement, options.server);
    if (objection !== null) return refused(notUnderstood(objection.why), options);
  }
  const charset = clientCharsetOf(options.guess.charset) ?? 'plain';
  return new BlockPlan(taken.text, drops, charset, options).make();
}

function refuse(
  why: string,
  tables: readonly TableName[],
  options: InterceptOptions,
): Promise<Interception> {
  return refused(notDone(`${HOW.compound} ${why}`, listTables(tables)), options);
}

/** The drops of one block. */
class BlockPlan {
  readonly #text: Buffer;
  readonly #drops: readonly BlockDrop[];
  readonly #charset: ClientCharset;
  readonly #options: InterceptOptions;
  readonly #groupId = newId();
  readonly #names: readonly TableName[];
  readonly #ids: readonly string[];
  #logged = true;

  constructor(
    text: Buffer,
    drops: readonly BlockDrop[],
    charset: ClientCharset,
    options: InterceptOptions,
  ) {
    this.#text = text;
    this.#drops = drops;
    this.#charset = charset;
    this.#options = options;
    this.#names = drops.flatMap(({ statement }) => statement.names);
    this.#ids = this.#names.map(() => newId());
  }

  async make(): Promise<Interception | BlockRun> {
    const { userSession, server, service } = this.#options;
    const [judge, transaction, said, ...shown] = await userSession.run([
      { kind: 'prepare', text: this.#text },
      { kind: 'query', text: IN_TRANSACTION_SQL },
      { kind: 'query', text: factsSql(server) },
      ...this.#names.map((name) => ({
        kind: 'query' as const,
        text: showCreateSql(name, this.#charset),
      })),
    ]);
    assert(said !== undefined, 'the facts of the session have an answer');
    if (judge?.kind === 'prepared') {
      await userSession.run([{ kind: 'close', statementId: judge.statementId }]);
    } else if (judge?.kind === 'err' && !NO_VERDICT.has(judge.errno)) {
      // Once more, as SHOW WARNINGS is about the last statement.
      const [again] = await userSession.run([{ kind: 'prepare', text: this.#text }]);
      return answerWith(again?.kind === 'err' ? again : judge);
    }
    const facts = readFacts(said);
    if ('errno' in facts) return answerWith(facts);
    this.#logged = facts.logged;
    const kinds = shown.map(readKind);
    const failed = kinds.find((kind) => typeof kind !== 'string');
    if (typeof failed === 'object') return answerWith(failed);
    const absent = kinds.findIndex((kind) => kind !== 'base');
    if (absent >= 0) {
      const why = 'with a name that is no base table yet, or not for this user';
      return refuse(why, this.#names.slice(absent, absent + 1), this.#options);
    }
    const isFree = transaction?.kind === 'rows' && `${transaction.rows[0]?.[0]}` === '0';
    const denied = isFree ? await this.#whyNotRenamed() : null;
    if (denied !== null) return refuse(denied, this.#names, this.#options);
    for (const id of this.#ids) service.activeIds.add(id);
    try {
      const run = await this.#plan(facts, kinds);
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
    const beside = formatHoldName({ state: 'HOLD', id: this.#groupId, due: new Date() });
    const texts = this.#names.map((name) => askMoveSql(name, beside, options));
    // A block that runs nothing leaves the diagnostics as they are.
    const asked = await this.#options.userSession.run(
      [...texts, cleanSql(this.#groupId)].map((text) => ({ kind: 'query' as const, text })),
    );
    const errnos = asked.map((result) => (result.kind === 'err' ? result.errno : 0));
    if (errnos.includes(DENIED)) return 'by a user who may not rename it';
    return errnos.some((errno) => LOCKED.has(errno)) ? 'under LOCK TABLES' : null;
  }

  async #plan(
    facts: UserFacts,
    kinds: readonly ReturnType<typeof readKind>[],
  ): Promise<Interception | BlockRun> {
    const intent = await this.#record(facts);
    if (intent instanceof UndropError) return refused(intent, this.#options);
    const names = this.#names.map((name) => qualify(name, facts));
    const { server, session } = this.#options;
    const statement = this.#statement;
    const refusal = refusalBeforeLooking(
      {
        text: this.#text,
        statement,
        server,
        charset: this.#charset,
        session,
        groupId: this.#groupId,
        ids: this.#ids,
      },
      { judge: null, kinds, names },
      intent,
      facts,
    );
    if (refusal !== null) return refused(refusal, this.#options);
    const objects = this.#drops.flatMap(({ statement: { names: own, object } }) =>
      own.map(() => object),
    );
    const other = intent.tables.findIndex(
      ({ kind }, index) => objects[index] === 'sequence' && kind !== 'sequence',
    );
    if (other >= 0) {
      const why = 'with a DROP SEQUENCE of what is no sequence';
      return refuse(why, this.#names.slice(other, other + 1), this.#options);
    }
    const odd = intent.tables.findIndex((table) => !isPlain(table));
    if (odd >= 0) {
      const why = 'that drops a table with foreign keys or triggers, or what only the user sees';
      return refuse(why, this.#names.slice(odd, odd + 1), this.#options);
    }
    const stored = intent.tables.map(({ schema, table }) => `${schema}\0${table}`);
    if (new Set(stored).size < stored.length) {
      return refuse('that may drop it more than once', this.#names, this.#options);
    }
    const text = this.#inOtherWords(names, intent.tables);
    const isInnocent = [false, true].every(
      (multiStatements) => classifyUnderAll(text, server, { multiStatements }).kind === 'not-ours',
    );
    if (!isInnocent) {
      return refused(notUnderstood('the block is not read to its end'), this.#options);
    }
    return {
      kind: 'run',
      text,
      facts,
      settle: () => this.#settle(facts),
      abandon: () => {
        this.#release();
        this.#options.service.onUnsettled();
      },
    };
  }

  /** The block with a RENAME in the place of each drop. */
  #inOtherWords(names: readonly QualifiedName[], tables: readonly IntentTable[]): Buffer {
    let at = 0;
    const instead = this.#drops.map(({ start, end, statement: { names: own, wait, ifExists } }) => {
      const moves = own.map(() => {
        const [name, seen] = [names[at], tables[at]];
        const due = seen?.holdUntil ?? null;
        assert(name !== undefined && seen !== undefined && due !== null, 'each has an intent');
        at++;
        return { name, holdName: formatHoldName({ state: 'HOLD', id: seen.id, due }) };
      });
      const waitText =
        wait?.kind === 'wait' ? `WAIT ${wait.text}` : wait === null ? null : 'NOWAIT';
      const options = { groupId: this.#groupId, charset: this.#charset };
      const rename = renameSql({
        ...options,
        moves,
        wait: waitText,
        ifExists: ifExists && this.#options.server.versionId >= RENAMES_IF_EXISTS,
      });
      // Errors of the block name lines.
      const lines = this.#text.subarray(start, end).filter((byte) => byte === NEWLINE);
      return Buffer.concat([rename, lines]);
    });
    return withInstead(this.#text, this.#drops, instead);
  }

  async #record(facts: UserFacts): Promise<IntentFacts | UndropError> {
    const { service, session } = this.#options;
    const statement = this.#statement;
    const known = serviceNames({ statement }, facts);
    if ('error' in known) return known.error;
    try {
      return await recordIntent(service.pool, {
        groupId: this.#groupId,
        proxyId: service.proxyId,
        threadId: session.threadId,
        user: facts.user,
        clientAddress: session.clientAddress,
        statementText: statementTextOf(this.#text),
        holdMs: service.holdMs,
        sqlLogBin: facts.logged,
        tables: known.tables.map((name, index) => ({ id: this.#ids[index] ?? '', ...name })),
      });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const details = { tables: listTables(this.#names), cause: error.message };
      return new UndropError('UNDROP_NOT_RECORDED', details, error);
    }
  }

  async #settle(facts: UserFacts): Promise<Extract<Interception, { kind: 'answer' }>> {
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
    const [first] = this.#drops;
    assert(first !== undefined, 'a block that is ours has a drop');
    return { ...first.statement, names: this.#names };
  }

  #release(): void {
    for (const id of this.#ids) this.#options.service.activeIds.delete(id);
  }
}

const NEWLINE = 0x0a;
const IN_TRANSACTION_SQL = Buffer.from('SELECT /* undrop facts */ @@in_transaction + 0 LIMIT 1');
const DENIED = 1142;
/** Of a RENAME under LOCK TABLES. */
const LOCKED: ReadonlySet<number> = new Set([1099, 1100, 1192]);
/** The version of MariaDB that took RENAME TABLE IF EXISTS up. */
const RENAMES_IF_EXISTS = 100_502;

/**
 * What a RENAME leaves as a drop does, until the block has ended: without a key of its own or of a
 * child the live tables are as free of it, and without a trigger it can be moved away.
 */
function isPlain(table: IntentTable): boolean {
  return table.holdUntil !== null && table.triggers.length === 0 && !hasForeignKeys(table);
}
