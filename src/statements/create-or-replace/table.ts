/**
 * MariaDB's CREATE OR REPLACE TABLE, and SEQUENCE: the server judges the client's own text by a
 * PREPARE; what is there under the name is held like a dropped table; then the text runs without
 * the words OR REPLACE, and its answer is the client's. Where another session was faster to take
 * the name, what it has made is held as well.
 *
 * Invariant: the text that runs replaces nothing: without these words CREATE fails where anything
 * has the name.
 */

import { assert } from '../../assert.js';
import { systemClock } from '../../clock.js';
import { UndropError } from '../../errors.js';
import { classifying } from '../../sql/classify.js';
import type { DropTableStatement } from '../../sql/grammar/drop-table.js';
import { type ClientCharset, clientCharsetOf, modeFromSqlMode } from '../../sql/lex/lex-mode.js';
import type { Replacement } from '../../sql/verdict.js';
import type { DropResult } from '../../steps/drop-options.js';
import { qualify } from '../../steps/names/qualify.js';
import { serviceNames } from '../../steps/names/resolve.js';
import {
  listTables,
  notDone,
  notUnderstood,
  SET_IF_EXISTS,
} from '../../steps/refusals/refusals.js';
import { rootCause } from '../../steps/refusals/root-cause.js';
import { objectionTo } from '../../steps/refusals/unsupported.js';
import { refuse } from '../../steps/refuse.js';
import type { UserFacts } from '../../steps/request.js';
import { FORGET_HINT } from '../../steps/rules/hints.js';
import { hintsIn } from '../../steps/rules/hints-of-text.js';
import { readKind } from '../../steps/session/facts.js';
import { inSlices } from '../../steps/session/in-slices.js';
import { signalSql } from '../../steps/session/signal.js';
import {
  ownLockSql,
  probeSql,
  type QualifiedName,
  showCreateSql,
} from '../../steps/session/user-session-sql.js';
import type { OkPacket } from '../../wire/response.js';
import { decodeErr, type ErrPacket } from '../../wire/response.js';
import {
  DDL_FORBIDDEN,
  ER_BAD_TABLE_ERROR,
  ER_MAX_PREPARED_STMT_COUNT_REACHED,
  ER_NO_SUCH_TABLE,
  ER_PARSE_ERROR,
  ER_TABLE_EXISTS_ERROR,
  ER_TABLE_NOT_LOCKED,
  ER_UPDATE_TABLE_USED,
  ER_VIEW_INVALID,
  GAVE_UP,
  SAID_BY_PARSER,
} from '../../wire/server-errors.js';
import { readSchemaFacts, schemaFactsSql } from '../drop-database/sql.js';
import {
  answerWith,
  dropAndHold,
  type Interception,
  type InterceptOptions,
  newId,
  type Replacing,
  readUserFacts,
  refused,
  type Taken,
  unclear,
} from '../intercepted.js';
import { ReplacedTables } from './replaced-tables.js';

/** What is there is a table for CREATE, and none for DROP. */
const SERVERS_OWN = 'performance_schema';
/** Others that take the name are held as well: so often, and while a lock is waited for. */
const TRIES_MIN = 8;
const CROWD_MS_MAX = 60_000;
const CROWD_PAUSE_MS = 20;

/**
 * Errors behind which the server has the old table still, or may have it: of a source that isn't
 * there (the old table itself, or a view of it), of a lock that isn't had, of a KILL or a time that
 * is over. Behind others that come so late it is gone.
 */
const KEEPS_THE_OLD: readonly number[] = [...GAVE_UP, ER_NO_SUCH_TABLE, ER_VIEW_INVALID];
const OF_PARSER: ReadonlySet<number> = new Set(SAID_BY_PARSER);

/** Statements of ours come between. */
const ASKS_FOR_COUNTS = /row_count|found_rows|warning_count|error_count/i;

const LEFT = 'tables are held, and their session ended before what replaces them was made';

/** What is to be done, as far as it is known before. */
interface Plan {
  readonly statement: DropTableStatement;
  readonly name: QualifiedName;
  /** The same in UTF-8. */
  readonly table: { readonly schema: string; readonly table: string };
  readonly charset: ClientCharset;
  readonly facts: UserFacts;
  /** What it hints in its comments. */
  readonly hints: readonly string[];
  /** The client's text. */
  readonly text: Buffer;
  /** The same without OR REPLACE. */
  readonly create: Buffer;
}

export async function replaceTable(
  taken: Taken,
  { replacement, facts: known }: Replacing,
  options: InterceptOptions,
): Promise<Interception> {
  const statement = dropOf(replacement);
  const objection = objectionTo(statement, options.server);
  if (objection !== null) {
    if (objection.isOfSyntax) return unclear(taken, objection.why, options);
    return refused(notUnderstood(objection.why), options);
  }
  const { text } = taken;
  if (ASKS_FOR_COUNTS.test(text.toString('latin1'))) {
    const how = 'by CREATE OR REPLACE that asks for counts of the statement before';
    return refused(notDone(how, listTables(statement.names)), options);
  }
  const facts = known ?? (await readUserFacts(options));
  if ('errno' in facts) return answerWith(facts);
  if (facts.addsIfExists) {
    const how = 'by CREATE OR REPLACE under sql_if_exists';
    return refused(notDone(how, listTables(statement.names), SET_IF_EXISTS), options);
  }
  const create = blankWords(text, replacement.words);
  const mode = modeFromSqlMode(options.server, facts.sqlMode, facts.charset);
  const charset = clientCharsetOf(facts.charset);
  const created = await inSlices(classifying(create, mode, { multiStatements: false }));
  const isPlain = created.kind === 'not-ours';
  if (!isPlain || charset === null) {
    return refused(notUnderstood('CREATE OR REPLACE in a form that is not known'), options);
  }
  const [named] = statement.names;
  assert(named !== undefined, 'one table is replaced');
  const name = qualify(named, facts);
  const judged = await judge(taken, { name, charset }, options);
  if (judged !== null) return judged;
  const stored = serviceNames({ statement }, facts);
  if ('error' in stored) return refused(stored.error, options);
  const [table] = stored.tables;
  assert(table !== undefined, 'each name is decoded');
  const found = hintsIn(text, facts, options.server);
  if (found === null) return refused(notUnderstood('its hints'), options);
  const { hint } = facts;
  // Also where nothing is there to be replaced, it is used up.
  if (hint !== null) await options.userSession.run([FORGET_HINT]);
  const hints = hint === null ? found : [...found, hint];
  const plan = { statement, name, table, charset, facts: { ...facts, hint: null }, hints };
  return new Attempt({ ...plan, text, create }, options).run();
}

/** What is dropped; the server judges the name with the rest of the text. */
export function dropOf({ table }: Replacement): DropTableStatement {
  return {
    kind: 'drop-table',
    object: 'table',
    temporary: false,
    ifExists: false,
    names: [{ ...table, isDoubtful: false }],
    wait: null,
    restrict: false,
    cascade: false,
    isDoubtful: false,
  };
}

/** The server's error for the text, or null where it takes it. Nothing is left prepared. */
async function judge(
  { text, tail }: Taken,
  { name, charset }: Pick<Plan, 'name' | 'charset'>,
  options: InterceptOptions,
): Promise<Interception | null> {
  const { userSession } = options;
  const said = await prepare(text, options);
  if (said === null) return null;
  if (said.errno === ER_MAX_PREPARED_STMT_COUNT_REACHED) {
    return refused(new UndropError('UNDROP_NOT_JUDGED', {}), options);
  }
  if (!OF_PARSER.has(said.errno)) {
    // The server looks at tables after it has ended the transaction, and so does this.
    const ending = probeSql(name, { groupId: newId(), charset });
    const [ended] = await userSession.run([{ kind: 'query', text: ending }]);
    if (ended?.kind === 'err' && DDL_FORBIDDEN.includes(ended.errno)) return answerWith(ended);
  }
  // The words are the session's last; those of the parser quote the text to the end.
  const isSyntax = said.errno === ER_PARSE_ERROR;
  const again = await prepare((isSyntax ? tail : null) ?? text, options);
  return again === null ? null : answerWith(again);
}

/** The error of a PREPARE; null: there is none. */
export async function prepare(
  text: Buffer,
  { userSession }: Pick<InterceptOptions, 'userSession'>,
): Promise<ErrPacket | null> {
  const [said] = await userSession.run([{ kind: 'prepare', text }]);
  if (said?.kind === 'prepared') {
    await userSession.run([{ kind: 'close', statementId: said.statementId }]);
    return null;
  }
  assert(said?.kind === 'err', 'a PREPARE is answered by an id or an error');
  return said;
}

/** One statement on its way. */
class Attempt {
  readonly #plan: Plan;
  readonly #options: InterceptOptions;
  readonly #replaced: ReplacedTables;
  readonly #startMs = performance.now();

  constructor(plan: Plan, options: InterceptOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#replaced = new ReplacedTables(options.service);
  }

  async run(): Promise<Interception> {
    try {
      for (let tries = 1; ; tries++) {
        const said = await this.#create();
        if (said.kind === 'ok') return this.#answer(said.payload);
        if (said.errno !== ER_TABLE_EXISTS_ERROR) {
          const { payload, refusal } = await this.#failed(said);
          return this.#answer(payload, refusal);
        }
        const wrong = (await this.#crowded(said, tries)) ?? (await this.#hold());
        if (wrong === null) continue;
        await this.#replaced.keep();
        return this.#answer(wrong.payload, wrong.refusal);
      }
    } catch (error) {
      await this.#leave();
      throw error;
    }
  }

  async #create(): Promise<OkPacket | ErrPacket> {
    const [said] = await this.#options.userSession.run([
      { kind: 'query', text: this.#plan.create },
    ]);
    assert(said?.kind === 'ok' || said?.kind === 'err', 'CREATE answers OK or ERR');
    return said;
  }

  /** Null: the name is free, or was a moment ago. */
  async #hold(): Promise<Wrong | null> {
    const { userSession } = this.#options;
    const { name, charset, facts, statement, text } = this.#plan;
    const own = ownLockSql(name, { groupId: newId(), charset });
    const [shown, lock] = await userSession.run([
      { kind: 'query', text: showCreateSql(name, charset) },
      { kind: 'prepare', text: own },
    ]);
    assert(shown !== undefined && lock !== undefined, 'both have an answer');
    if (lock.kind === 'prepared') {
      await userSession.run([{ kind: 'close', statementId: lock.statementId }]);
    }
    if (readKind(shown) === 'temporary') {
      const why = 'a temporary table has the name of the table that it replaces';
      return wrongBy(notUnderstood(why));
    }
    if (lock.kind === 'err' && lock.errno === ER_TABLE_NOT_LOCKED) {
      const tables = listTables(statement.names);
      const how = 'by CREATE OR REPLACE under LOCK TABLES';
      const instead = 'UNLOCK TABLES first.';
      return wrongBy(new UndropError('UNDROP_NOT_DONE_YET', { tables, how, instead }));
    }
    const drop = { text, statement, charset, wasJudged: true };
    const { hints } = this.#plan;
    const held = await dropAndHold(drop, facts, this.#options, { hints });
    assert(held.kind === 'answer', 'what replaces is not passed on');
    const { dropped: result } = held;
    if (result === null) return held;
    this.#replaced.add(result);
    const isOver = result.payload[0] !== 0x00 && !this.#isInPassing(result);
    return isOver ? result : null;
  }

  /** What had the name is gone, or changes: what has it now is for CREATE to say. */
  #isInPassing({ payload, refusal }: DropResult): boolean {
    if (refusal !== null) return refusal.code === 'UNDROP_CHANGED_MEANWHILE';
    return decodeErr(payload).errno === ER_BAD_TABLE_ERROR && !this.#isServersOwn;
  }

  get #isServersOwn(): boolean {
    return this.#plan.table.schema.toLowerCase() === SERVERS_OWN;
  }

  /** The new table could not be made, and it wasn't for another one. */
  async #failed(error: ErrPacket): Promise<Wrong> {
    const failed = { payload: error.payload, refusal: null };
    if (!KEEPS_THE_OLD.includes(error.errno)) return failed;
    // Before all else, as nothing but this statement's life keeps it from being collected.
    await this.#replaced.keep();
    const end = await this.#replaced.renameBack();
    if (end.fate === 'unknown') {
      const tables = listTables(this.#plan.statement.names);
      const cause = rootCause(end.error);
      return wrongBy(new UndropError('UNDROP_FATE_UNKNOWN', { tables, cause }, end.error));
    }
    if (end.fate === 'held') return failed;
    const readsItself = error.errno === ER_NO_SUCH_TABLE && this.#isOfTheOld(error);
    if (!readsItself) return failed;
    const message = `Table '${this.#plan.table.table}' is specified twice, both as a target for 'CREATE' and as a separate source for data`;
    const text = signalSql({ errno: ER_UPDATE_TABLE_USED, sqlState: 'HY000', message });
    const [said] = await this.#options.userSession.run([{ kind: 'query', text }]);
    return said?.kind === 'err' ? { payload: said.payload, refusal: null } : failed;
  }

  /** Whether the table that is missing is the one that was moved away. */
  #isOfTheOld({ message }: ErrPacket): boolean {
    const { schema, table } = this.#plan.table;
    return message.includes(`'${schema}.${table}'`);
  }

  /** Others take the name again and again. Null: natively it would wait for them still. */
  async #crowded({ payload }: ErrPacket, times: number): Promise<Wrong | null> {
    if (times > 1 && this.#isServersOwn) return { payload, refusal: null };
    if (times < TRIES_MIN) return null;
    await systemClock.sleep(CROWD_PAUSE_MS);
    const [said] = await this.#options.userSession.run([{ kind: 'query', text: schemaFactsSql() }]);
    assert(said !== undefined, 'the session says how long it waits');
    const facts = readSchemaFacts(said);
    if ('errno' in facts) return { payload: facts.payload, refusal: null };
    const withinMs = Math.min(facts.lockWaitS * 1_000, CROWD_MS_MAX);
    if (performance.now() - this.#startMs < withinMs) return null;
    const tables = listTables(this.#plan.statement.names);
    return wrongBy(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times }));
  }

  /** The session broke; nobody reads an answer. */
  async #leave(): Promise<void> {
    const { log } = this.#options.service;
    try {
      await this.#replaced.keep();
      for (const { result, held } of this.#replaced.dropped) {
        const names = held.map(({ holdSchema, holdName }) => `${holdSchema}.${holdName}`);
        if (held.length > 0) log?.warn({ tables: result.tables, held: names }, LEFT);
      }
    } finally {
      // What it can't write it leaves to recovery.
      this.#replaced.finish().catch(() => undefined);
    }
  }

  #answer(payload: Buffer, refusal: UndropError | null = null): Interception {
    const { facts } = this.#plan;
    const all = this.#replaced.dropped;
    const dropped: DropResult = {
      payload,
      refusal,
      facts,
      held: all.flatMap(({ held }) => held),
      tables: all.flatMap(({ result }) => result.tables),
      by: all.flatMap(({ result: { held, by } }) => by ?? held.map(() => null)),
      finish: (onLate) => this.#replaced.finish(onLate),
    };
    return { kind: 'answer', payload, refusal, facts, dropped };
  }
}

/** Why it goes no further. */
type Wrong = Pick<DropResult, 'payload' | 'refusal'>;

function wrongBy(error: UndropError): Wrong {
  return { payload: refuse(error).payload, refusal: error };
}

const BLANK = 0x20;

/** A copy of `text` with blanks at `words`. */
export function blankWords(
  text: Uint8Array,
  words: readonly { readonly start: number; readonly end: number }[],
): Buffer {
  const changed = Buffer.from(text);
  for (const { start, end } of words) changed.fill(BLANK, start, end);
  return changed;
}
