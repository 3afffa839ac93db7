/**
 * What happens to a statement that was taken out of the client's stream: it is understood (asking
 * the server where only the server knows), then dropped-and-held, refused, or sent on after all.
 *
 * Invariant: a statement that would destroy a base table never goes to the server; what can't be
 * understood and might be one is refused, and the table is still there.
 */
import { randomBytes } from 'node:crypto';
import { assert, assertNever } from '../assert.js';
import { factsSql, readFacts } from '../drop/facts.js';
import { refuse } from '../drop/next-step.js';
import { askVerdict, asProgram, NO_VERDICT, readVerdict } from '../drop/program-verdict.js';
import type { UserFacts } from '../drop/request.js';
import {
  type DropResult,
  type DropStatement,
  runDrop,
  type SessionGuess,
} from '../drop/run-drop.js';
import type { SessionFacts } from '../drop/user-session.js';
import { cleanSql } from '../drop/words.js';
import { UndropError } from '../errors.js';
import type { Log } from '../log.js';
import { newHoldId } from '../names/hold-id.js';
import type { ServicePool } from '../service/pools.js';
import { classifyUnderAll } from '../sql/classify.js';
import { crossCheck } from '../sql/cross-check.js';
import type { DropTableStatement } from '../sql/grammar/drop-table.js';
import { clientCharsetOf, modeFromSqlMode } from '../sql/lex-mode.js';
import type { Dynamic, DynamicSource, Refused, Verdict } from '../sql/verdict.js';
import type { Packet } from '../wire/framing.js';
import type { ErrPacket } from '../wire/response/err.js';
import type { ServerVersion } from '../wire/server-version.js';
import { HOW, namesIn, notDone, notUnderstood, schemaAndTables } from './refusals.js';
import type { CommandSession } from './user-session.js';

/** What undrop protects; a statement of a kind that is left out goes to the server as it is. */
export type Protection = 'drop-table' | 'drop-database' | 'create-or-replace';

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
  readonly activeIds: Set<string>;
  /** A drop left something for recovery. */
  onUnsettled(): void;
  /** Aborted: this process is about to end. */
  readonly stopping: AbortSignal;
  /** Default: nobody is told. */
  readonly log?: Log;
}

/** Drops that come in another way than as a text statement: intercept-dynamic.ts. */
export interface Carriers {
  /** COM_STMT_PREPARE of a drop that nothing speaks against. */
  prepare(taken: Taken, statement: DropTableStatement, options: InterceptOptions): Answer;
  /** PREPARE and EXECUTE IMMEDIATE, of a text that may be a drop. */
  dynamic(taken: Taken, verdict: DynamicVerdict, options: InterceptOptions): Answer;
  setStatement(taken: Taken, wrapped: Wrapped, options: InterceptOptions): Answer;
  /** DROP DATABASE: intercept-schema.ts. */
  schema(taken: Taken, named: NamedSchema, options: InterceptOptions): Answer;
}

type Answer = Promise<Interception>;

/** What a DROP DATABASE names. */
export interface NamedSchema {
  /** Unescaped bytes in the client's charset. */
  readonly schema: Uint8Array;
  readonly ifExists: boolean;
  /** Where they were asked for already. */
  readonly facts: UserFacts | null;
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
    };

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
  const mode = modeFromSqlMode(options.server, facts.sqlMode, facts.charset);
  const known = classifyUnderAll(taken.text, mode, options);
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
      return unclear(taken, verdict.why, options);
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
  if (carrier === 'drop-database' && verdict.schema !== null && taken.carrier === 'query') {
    const { schema, ifExists = false } = verdict;
    return options.carriers.schema(taken, { schema, ifExists, facts }, options);
  }
  const isAlone = only !== undefined && second === undefined && taken.carrier === 'query';
  if (carrier === 'set-statement' && isAlone) {
    const wrapped = { verdict: only.verdict, at: only.start, guess: facts ?? options.guess };
    return options.carriers.setStatement(taken, wrapped, options);
  }
  return refused(notDone(HOW[carrier], namesIn(verdict)), options);
}

async function dropTable(
  taken: Taken,
  statement: DropTableStatement,
  facts: UserFacts | null,
  options: InterceptOptions,
): Promise<Interception> {
  const objection = objectionTo(statement, options.server);
  if (objection !== null) {
    if (objection.isOfSyntax) return unclear(taken, objection.why, options);
    return refused(notUnderstood(objection.why), options);
  }
  if (taken.carrier === 'prepare') return options.carriers.prepare(taken, statement, options);
  const guess = facts ?? options.guess;
  const charset = clientCharsetOf(guess.charset) ?? 'plain';
  const { text, tail = text } = taken;
  return dropAndHold({ text, tail, statement, charset }, guess, options);
}

export function newId(): string {
  return newHoldId(Date.now(), randomBytes);
}

/** Runs a drop that was understood. */
export async function dropAndHold(
  drop: Omit<DropStatement, 'server' | 'session'>,
  guess: SessionGuess,
  { service, session, server, userSession, gtidMayBeSet }: InterceptOptions,
): Promise<Interception> {
  const result = await runDrop(
    { ...drop, server, session },
    { ...service, userSession, guess, gtidMayBeSet, newId },
  );
  return {
    kind: 'answer',
    payload: result.payload,
    refusal: result.refusal,
    facts: result.facts,
    dropped: result,
  };
}

/** Why a DROP TABLE isn't run although its grammar is clear; null: nothing speaks against it. */
export function objectionTo(
  statement: DropTableStatement,
  server: ServerVersion,
): { readonly why: string; readonly isOfSyntax: boolean } | null {
  const names = statement.names.flatMap(({ schema, table }) => [schema, table]);
  if (hasFileNames(server) && names.some(isFileName)) {
    return { why: `${FILE_NAME_PREFIX} names a table by its file`, isOfSyntax: true };
  }
  const secondOpinion = crossCheck(statement);
  if (secondOpinion === 'agree') return null;
  return { why: `the second parser: ${secondOpinion.disagree}`, isOfSyntax: false };
}

/**
 * What follows is no name but that of a file: `#mysql50#a` is the table a without its locks. Not
 * even SHOW CREATE may use such a name: on MySQL 5.6 the schema can't be dropped any more then.
 */
export const FILE_NAME_PREFIX = '#mysql50#';
/** From here on MySQL finds its tables in a dictionary: there it is a name like any other. */
const FILE_NAMES_UNTIL = 80_000;

/** Whether a name that begins so is that of a file. */
export function hasFileNames({ flavour, versionId }: ServerVersion): boolean {
  return flavour === 'mariadb' || versionId < FILE_NAMES_UNTIL;
}

export function isFileName(name: Uint8Array | null): boolean {
  return (
    name !== null && Buffer.from(name).toString('latin1').toLowerCase().startsWith(FILE_NAME_PREFIX)
  );
}

/** The server judges the syntax, by a PREPARE that executes nothing. */
export async function unclear(
  taken: Taken,
  why: string,
  options: InterceptOptions,
): Promise<Interception> {
  const { userSession } = options;
  const [judge] = await userSession.run([{ kind: 'prepare', text: taken.text }]);
  if (judge?.kind === 'prepared') {
    await userSession.run([{ kind: 'close', statementId: judge.statementId }]);
  } else if (judge?.kind === 'err') {
    // Of a PREPARE it is the whole answer: nothing was prepared.
    if (taken.carrier === 'prepare') return answerWith(await alone(judge, taken, userSession));
    if (judge.errno === 1064 && taken.tail !== undefined) {
      // Its words quote the text to the end.
      const [whole] = await userSession.run([{ kind: 'prepare', text: taken.tail }]);
      return answerWith(whole?.kind === 'err' ? whole : judge);
    }
    if (!NO_VERDICT.has(judge.errno)) return answerWith(judge);
    const words = await wordsUnprepared(taken, options);
    if (words !== null) return answerWith(words);
  }
  return refused(notUnderstood(why), options);
}

/** A PREPARE that isn't even begun leaves what was said before, which was to us. */
async function alone(
  judge: ErrPacket,
  { text }: Taken,
  userSession: CommandSession,
): Promise<ErrPacket> {
  if (!NO_VERDICT.has(judge.errno)) return judge;
  const clean = { kind: 'query', text: cleanSql(newId()) } as const;
  const [, again] = await userSession.run([clean, { kind: 'prepare', text }]);
  return again?.kind === 'err' ? again : judge;
}

/** The server's words for a drop that it doesn't take; null: nobody can tell. */
async function wordsUnprepared(
  { text, tail = text }: Taken,
  { userSession, gtidMayBeSet }: InterceptOptions,
): Promise<ErrPacket | null> {
  // An error would use the GTID up.
  if (gtidMayBeSet || !/^\s*(DROP|ANALYZE|EXPLAIN)\s/i.test(text.toString('latin1'))) return null;
  const groupId = newId();
  const verdict = readVerdict(await userSession.run(askVerdict({ text, groupId })), groupId);
  if (verdict === null || verdict.taken) return null;
  const isSyntax = verdict.why.errno === 1064;
  const said = asProgram({ text: isSyntax ? tail : text, groupId });
  const [words] = await userSession.run([{ kind: 'query', text: said }]);
  return words?.kind === 'err' ? words : null;
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

export function answerWith({ payload }: { readonly payload: Buffer }): Interception {
  return { kind: 'answer', payload, refusal: null, facts: null, dropped: null };
}

/** Whether `verdict` has a part of a kind that UNDROP_PROTECT names. */
export function isProtected(verdict: Verdict, protect: ReadonlySet<Protection>): boolean {
  switch (verdict.kind) {
    case 'not-ours':
      return false;
    case 'drop-table':
    case 'dynamic':
    case 'unclear':
      return protect.has('drop-table');
    case 'refused':
      if (verdict.carrier === 'drop-database' || verdict.carrier === 'create-or-replace') {
        return protect.has(verdict.carrier);
      }
      return verdict.statements.some((piece) => isProtected(piece.verdict, protect));
    default:
      return assertNever(verdict);
  }
}

/**
 * Whether it holds several statements, or may do so: it is executed piece by piece. A block is
 * executed as one piece, in other words.
 */
export function isOfPieces(
  { carrier, verdict, refusal }: Taken,
  { multiStatements }: { readonly multiStatements: boolean },
): boolean {
  if (carrier !== 'query' || verdict === null || refusal !== null) return false;
  if (verdict.kind === 'refused' && verdict.carrier === 'compound') return true;
  if (!multiStatements) return false;
  if (verdict.kind === 'refused') return verdict.carrier === 'multi-statement';
  return verdict.kind === 'disagree';
}

/** For the gate: what a text is, by everything that is known without asking. */
export function recognise(
  text: Buffer,
  server: ServerVersion,
  options: { readonly multiStatements: boolean },
): Verdict | { readonly kind: 'disagree' } {
  return classifyUnderAll(text, server, options);
}
