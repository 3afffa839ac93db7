/**
 * What happens to a statement that was taken out of the client's stream: it is understood (asking
 * the server where only the server knows), then dropped-and-held, refused, or sent on after all.
 *
 * Invariant: a statement that would destroy a base table never goes to the server; what can't be
 * understood and might be one is refused, and the table is still there.
 */
import { randomBytes } from 'node:crypto';
import { assert, assertNever } from '../assert.js';
import type { DropOptions, DropResult, DropStatement, SessionGuess } from '../drop/drop-options.js';
import { factsSql, readFacts } from '../drop/facts.js';
import { inWordsOfDrop, mayNotDrop, refuse } from '../drop/next-step.js';
import type { UserFacts } from '../drop/request.js';
import { runDrop } from '../drop/run-drop.js';
import { runPartitions } from '../drop/run-partitions.js';
import type { SessionFacts } from '../drop/user-session.js';
import { areForDestroying, DestroyWished, notDestroyed } from '../drop/wishes.js';
import { cleanSql, probeSql } from '../drop/words.js';
import { UndropError } from '../errors.js';
import type { Log } from '../log.js';
import { newHoldId } from '../names/hold-id.js';
import type { Rule } from '../policy/rules.js';
import type { ServicePool } from '../service/pools.js';
import { classifying } from '../sql/classify.js';
import type { DropTableStatement } from '../sql/grammar/drop-table.js';
import { clientCharsetOf, modeOfSession } from '../sql/lex-mode.js';
import type {
  Dynamic,
  DynamicSource,
  Refused,
  Replacement,
  TooMany,
  Verdict,
} from '../sql/verdict.js';
import type { Packet } from '../wire/framing.js';
import type { ErrPacket } from '../wire/response/err.js';
import {
  ER_MAX_PREPARED_STMT_COUNT_REACHED,
  ER_PARSE_ERROR,
  ER_UNSUPPORTED_PS,
} from '../wire/server-errors.js';
import type { ServerVersion } from '../wire/server-version.js';
import { inSlices } from './in-slices.js';
import { objectionTo } from './objections.js';
import { isProtected, type Protection, soughtBy } from './protection.js';
import {
  guardedBy,
  HOW,
  namesIn,
  notDone,
  notUnderstood,
  schemaAndTables,
  tooManyOf,
} from './refusals.js';
import type { CommandSession } from './user-session.js';

/** A statement, or another command, that was taken out of the client's stream. */
export interface Taken {
  readonly packet: Packet;
  readonly carrier: 'query' | 'prepare' | 'drop-database' | 'unknown' | 'handle' | 'named';
  /** The statement text; empty where the carrier has none. */
  readonly text: Buffer;
  /** From the statement to the end of the client's text, where it is one of several. */
  readonly tail?: Buffer;
  /** Null where there is no text to be understood. */
  readonly verdict: Verdict | { readonly kind: 'disagree' } | null;
  /** The packet was malformed: the refusal is already known. */
  readonly refusal: UndropError | null;
}

/** What the interception needs of its surroundings. */
export interface DropService {
  /** The service pool for the address that the session was dialled to. */
  readonly pool: ServicePool;
  readonly proxyId: string;
  readonly holdMs: number;
  readonly protect: ReadonlySet<Protection>;
  /** False: undrop's own schemas may be written to, by texts that can be held; default true. */
  readonly guards?: boolean;
  /** UNDROP_RULES; default: none. */
  readonly rules?: readonly Rule[];
  /** UNDROP_ALLOW_DESTROY; default: off. */
  readonly allowDestroy?: 'off' | 'users';
  /** The shortest hold that a wish may ask for; default: `holdMs`. */
  readonly wishMsMin?: number;
  /** What is told of, and passed on; default: nothing. */
  readonly observes?: ReadonlySet<Protection>;
  readonly activeIds: Set<string>;
  /** A drop left something for recovery. */
  onUnsettled(): void;
  /** Held tables that are still in their own schema, by id; default: left to whoever collects. */
  owe?(ids: readonly string[]): void;
  /** Aborted: this process is about to end. */
  readonly stopping: AbortSignal;
  /** Default: nobody is told. */
  readonly log?: Log;
}

/** The ways of a drop: carriers.ts. */
export interface Carriers {
  /** As a text: drop-or-pass.ts. */
  table(
    taken: Taken,
    statement: DropTableStatement,
    facts: UserFacts | null,
    options: InterceptOptions,
  ): Answer;
  /** COM_STMT_PREPARE of a drop that nothing speaks against. */
  prepare(taken: Taken, statement: DropTableStatement, options: InterceptOptions): Answer;
  /** PREPARE and EXECUTE IMMEDIATE, of a text that may be a drop. */
  dynamic(taken: Taken, verdict: DynamicVerdict, options: InterceptOptions): Answer;
  setStatement(taken: Taken, wrapped: Wrapped, options: InterceptOptions): Answer;
  /** DROP DATABASE, its COM_STMT_PREPARE, or CREATE OR REPLACE DATABASE: intercept-schema.ts. */
  schema(taken: Taken, named: NamedSchema, options: InterceptOptions): Answer;
  /** CREATE OR REPLACE of a table or a sequence: intercept-replace.ts. */
  replace(taken: Taken, replacing: Replacing, options: InterceptOptions): Answer;
  /** Runs a TRUNCATE that was understood: drop/run-truncate.ts. */
  empty(drop: DropStatement, how: DropOptions): Promise<DropResult>;
}

type Answer = Promise<Interception>;

/** What a DROP DATABASE names, or a CREATE OR REPLACE DATABASE. */
export interface NamedSchema {
  /** Unescaped bytes in the client's charset. */
  readonly schema: Uint8Array;
  readonly ifExists: boolean;
  /** Of CREATE OR REPLACE: where in the text its options begin, or would. */
  readonly optionsAt?: number;
  /** Where they were asked for already. */
  readonly facts: UserFacts | null;
}

/** A CREATE OR REPLACE, with the session's facts where they were asked for already. */
export interface Replacing {
  readonly replacement: Replacement;
  readonly facts: UserFacts | null;
  /** By default those in the text. */
  readonly wishes?: readonly string[];
  /** By EXECUTE IMMEDIATE: what its PREPARE says ends no transaction. */
  readonly isImmediate?: boolean;
}

/** What stands behind SET STATEMENT … FOR. */
export interface Wrapped {
  readonly verdict: Verdict;
  /** Where it begins in the text. */
  readonly at: number;
  /** What the session is in, or was last seen in. */
  readonly guess: SessionGuess;
}

/** Of a text that the server makes of something else. */
export type DynamicVerdict = (Refused | Dynamic) & { readonly source: DynamicSource };

export interface InterceptOptions {
  readonly carriers: Carriers;
  readonly userSession: CommandSession;
  readonly server: ServerVersion;
  readonly session: SessionFacts;
  readonly service: DropService;
  /** Whether the server takes several statements in one text of this session. */
  readonly multiStatements: boolean;
  /** What the session was last seen in. */
  readonly guess: SessionGuess;
  /** It has spoken of GTID_NEXT. */
  readonly gtidMayBeSet: boolean;
  readonly logBinMayBeOff: boolean;
  /** Its client takes reports on the session's state (CLIENT_SESSION_TRACK). */
  readonly takesReports: boolean;
}

export type Interception =
  /** It is none of ours: send the client's packet on. */
  | { readonly kind: 'forward'; readonly facts: UserFacts | null }
  | {
      readonly kind: 'answer';
      readonly payload: Buffer;
      readonly refusal: UndropError | null;
      readonly facts: UserFacts | null;
      readonly dropped: DropResult | null;
      /** What the session has as a warning is a note (note-of-absent.ts). Default: false. */
      readonly isNote?: boolean;
    };

export type Answered = Extract<Interception, { kind: 'answer' }>;

/** Handles one taken statement to its answer. Rejects where the user session broke. */
export async function intercept(taken: Taken, options: InterceptOptions): Promise<Interception> {
  if (taken.refusal !== null) return refused(taken.refusal, options);
  switch (taken.carrier) {
    case 'drop-database':
      return refused(notDone('as a schema (COM_DROP_DB)', schemaAndTables(taken.text)), options);
    case 'unknown': {
      const command = (taken.packet.payload[0] ?? 0).toString(16).padStart(2, '0');
      return refused(new UndropError('UNDROP_UNKNOWN_COMMAND', { command }), options);
    }
    case 'query':
    case 'prepare':
      return interceptText(taken, options);
    case 'handle':
    case 'named':
      throw new Error('what was prepared has a way of its own');
  }
}

async function interceptText(taken: Taken, options: InterceptOptions): Promise<Interception> {
  const { verdict } = taken;
  if (verdict !== null && verdict.kind !== 'disagree') {
    return handle(taken, verdict, null, options);
  }
  const facts = await readUserFacts(options);
  if ('errno' in facts) return answerWith(facts);
  const sought = soughtBy(options.service.protect);
  const read = { ...options, isPrepared: taken.carrier === 'prepare', ...sought };
  const mode = modeOfSession(options.server, facts);
  const known = await inSlices(classifying(taken.text, mode, read));
  if (known.kind === 'disagree') {
    return refused(notUnderstood(`the character set ${facts.charset}`), options);
  }
  return handle(taken, known, facts, options);
}

/** sql_mode, charset and default schema, asked for at the moment of need. */
export async function readUserFacts(options: InterceptOptions): Promise<UserFacts | ErrPacket> {
  const [result] = await options.userSession.run([
    { kind: 'query', text: factsSql(options.server) },
  ]);
  assert(result !== undefined, 'the facts of the session have an answer');
  return readFacts(result);
}

async function handle(
  taken: Taken,
  verdict: Verdict,
  facts: UserFacts | null,
  options: InterceptOptions,
): Promise<Interception> {
  if (!isProtected(verdict, options.service.protect)) return { kind: 'forward', facts };
  switch (verdict.kind) {
    case 'not-ours':
      return { kind: 'forward', facts };
    case 'drop-table':
      return dropTable(taken, verdict.statement, facts, options);
    case 'refused':
      return byOtherCarrier(taken, verdict, facts, options);
    case 'dynamic':
      return options.carriers.dynamic(taken, verdict, options);
    case 'unclear':
      if (verdict.tooMany !== undefined) return refuseTooMany(verdict.tooMany, options);
      return unclear(taken, verdict.why, options);
    case 'guarded':
      return refused(guardedBy(verdict), options);
    default:
      return assertNever(verdict);
  }
}

function byOtherCarrier(
  taken: Taken,
  verdict: Refused,
  facts: UserFacts | null,
  options: InterceptOptions,
): Promise<Interception> {
  const { carrier, source, statements } = verdict;
  if (source !== undefined) return options.carriers.dynamic(taken, { ...verdict, source }, options);
  const [only, second] = statements;
  const { schema, ifExists = false, optionsAt, replacement } = verdict;
  if (schema !== null && (carrier === 'drop-database' || optionsAt !== undefined)) {
    const named = { schema, ifExists, facts, ...(optionsAt === undefined ? {} : { optionsAt }) };
    return options.carriers.schema(taken, named, options);
  }
  if (replacement !== undefined) {
    return options.carriers.replace(taken, { replacement, facts }, options);
  }
  const isAlone = only !== undefined && second === undefined && taken.carrier === 'query';
  if (carrier === 'set-statement' && isAlone) {
    const wrapped = { verdict: only.verdict, at: only.start, guess: facts ?? options.guess };
    return options.carriers.setStatement(taken, wrapped, options);
  }
  if (carrier !== 'compound') return refused(notDone(HOW[carrier], namesIn(verdict)), options);
  const isUnseen = statements.some((piece) => piece.verdict.kind === 'dynamic');
  const error = notDone(
    isUnseen ? `${HOW.compound} that executes ${UNSEEN_TEXT}` : HOW.compound,
    namesIn(verdict),
    isUnseen ? SEND_LITERAL : undefined,
  );
  // MariaDB calls a PREPARE of IF, LOOP and the like a syntax error, so the answer says nothing.
  const isJudged = /^\s*begin\b/i.test(taken.text.toString('latin1', 0, FIRST_WORD_BYTES));
  return isJudged ? refusedIfValid(taken, error, options) : refused(error, options);
}

/** Enough of a text to read its first word. */
const FIRST_WORD_BYTES = 100;

/** `PREPARE … FROM @v` and the like: its value then is not the one that could be asked for now. */
const UNSEEN_TEXT =
  'a text which only the server knows, as it comes to it, and which may be a drop';
const SEND_LITERAL =
  'Write that text as a literal in the statement, or send its PREPARE as a statement of its own, or use a direct connection.';

async function dropTable(
  taken: Taken,
  statement: DropTableStatement,
  facts: UserFacts | null,
  options: InterceptOptions,
): Promise<Interception> {
  const objection = objectionTo(statement, options.server, taken.text);
  if (objection !== null) {
    if (objection.isOfSyntax) return unclear(taken, objection.why, options);
    return refused(notUnderstood(objection.why), options);
  }
  if (taken.carrier === 'prepare') return options.carriers.prepare(taken, statement, options);
  return options.carriers.table(taken, statement, facts, options);
}

export function newId(): string {
  return newHoldId(Date.now(), randomBytes);
}

/** What the statement wishes, and what is done where that is `destroy`. */
export interface Wishes {
  readonly wishes: readonly string[];
  /** `facts`: of a session that wishes it. Default: it is refused. */
  readonly destroy?: (facts: UserFacts | null) => Promise<Interception>;
}

export const NO_WISHES: Wishes = { wishes: [] };

/** Runs a drop that was understood. */
export async function dropAndHold(
  drop: Omit<DropStatement, 'server' | 'session'>,
  guess: SessionGuess,
  options: InterceptOptions,
  { wishes, destroy = () => refused(notDestroyed(drop), options) }: Wishes,
): Promise<Interception> {
  if (areForDestroying(wishes)) return destroy(null);
  const { service, session, server, userSession, gtidMayBeSet, logBinMayBeOff } = options;
  const request = { ...drop, server, session };
  const seen = { guess, gtidMayBeSet, logBinMayBeOff };
  const how = { ...service, ...seen, userSession, newId, wishes };
  let result: DropResult;
  try {
    const { empties = false, partitions } = drop.statement;
    if (empties) result = await options.carriers.empty(request, how);
    else if (partitions !== undefined) result = await runPartitions(request, how);
    else result = await runDrop(request, how);
  } catch (error) {
    if (error instanceof DestroyWished) return destroy(error.facts);
    throw error;
  }
  const { payload, refusal, facts } = result;
  return { kind: 'answer', payload, refusal, facts, dropped: result };
}

/** The server judges the syntax, by a PREPARE that executes nothing. */
export function unclear(
  taken: Taken,
  why: string,
  options: InterceptOptions,
): Promise<Interception> {
  return refusedIfValid(taken, notUnderstood(why), options);
}

/** The server's own words for what it doesn't take; `error` for what it does. */
async function refusedIfValid(
  taken: Taken,
  error: UndropError,
  options: InterceptOptions,
): Promise<Interception> {
  const { userSession } = options;
  const [judge] = await userSession.run([{ kind: 'prepare', text: taken.text }]);
  if (judge?.kind === 'prepared') {
    await userSession.run([{ kind: 'close', statementId: judge.statementId }]);
  } else if (judge?.kind === 'err') {
    // Of a PREPARE it is the whole answer: nothing was prepared.
    if (taken.carrier === 'prepare') return answerWith(await alone(judge, taken, userSession));
    if (judge.errno === ER_PARSE_ERROR && taken.tail !== undefined) {
      // Its words quote the text to the end.
      const [whole] = await userSession.run([{ kind: 'prepare', text: taken.tail }]);
      return answerWith(whole?.kind === 'err' ? whole : judge);
    }
    if (judge.errno === ER_MAX_PREPARED_STMT_COUNT_REACHED) {
      return refused(new UndropError('UNDROP_NOT_JUDGED', {}), options);
    }
    if (judge.errno !== ER_UNSUPPORTED_PS) return answerWith(judge);
  }
  return refused(error, options);
}

/**
 * Who may not drop the first name is told so by the server. The text itself doesn't go there, as
 * the server, too, takes long over it.
 */
async function refuseTooMany(tooMany: TooMany, options: InterceptOptions): Promise<Interception> {
  const { userSession, guess, gtidMayBeSet } = options;
  const { first } = tooMany;
  // An error would use the GTID up.
  if (first !== undefined && !gtidMayBeSet) {
    const charset = clientCharsetOf(guess.charset) ?? 'plain';
    const text = probeSql(first, { groupId: newId(), charset });
    const [said] = await userSession.run([{ kind: 'query', text }]);
    if (said?.kind === 'err' && mayNotDrop(said)) return answerWith(inWordsOfDrop(said));
  }
  return refused(tooManyOf(tooMany), options);
}

/** A PREPARE that isn't even begun leaves what was said before, which was to us. */
async function alone(
  judge: ErrPacket,
  { text }: Taken,
  userSession: CommandSession,
): Promise<ErrPacket> {
  if (judge.errno !== ER_UNSUPPORTED_PS && judge.errno !== ER_MAX_PREPARED_STMT_COUNT_REACHED)
    return judge;
  const clean = { kind: 'query', text: cleanSql(newId()) } as const;
  const [, again] = await userSession.run([clean, { kind: 'prepare', text }]);
  return again?.kind === 'err' ? again : judge;
}

/** The place of the refusal is found by the marker, which is all that is run. */
export async function refused(
  error: UndropError,
  options: InterceptOptions,
): Promise<Interception> {
  await options.userSession.run([]);
  const { payload } = refuse(error);
  return { kind: 'answer', payload, refusal: error, facts: null, dropped: null };
}

export function answerWith({
  payload,
  isNote = false,
}: Pick<Answered, 'payload' | 'isNote'>): Interception {
  return { kind: 'answer', payload, refusal: null, facts: null, dropped: null, isNote };
}
