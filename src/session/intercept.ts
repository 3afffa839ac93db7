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
import { NO_VERDICT, refuse } from '../drop/next-step.js';
import type { UserFacts } from '../drop/request.js';
import {
  type DropResult,
  type DropStatement,
  runDrop,
  type SessionGuess,
} from '../drop/run-drop.js';
import type { SessionFacts } from '../drop/user-session.js';
import { type ErrorCode, UndropError } from '../errors.js';
import { newHoldId } from '../names/hold-id.js';
import type { ServicePool } from '../service/pools.js';
import { classifyUnderAll } from '../sql/classify.js';
import { crossCheck } from '../sql/cross-check.js';
import type { DropTableStatement } from '../sql/grammar/drop-table.js';
import type { TableName } from '../sql/grammar/table-name.js';
import { clientCharsetOf, modeFromSqlMode } from '../sql/lex-mode.js';
import type { Finding } from '../sql/statement-stream.js';
import { type Carrier, type Refused, tablesOf, type Verdict } from '../sql/verdict.js';
import type { Packet } from '../wire/framing.js';
import type { ErrPacket } from '../wire/response/err.js';
import type { ServerVersion } from '../wire/server-version.js';
import type { CommandSession } from './user-session.js';

/** What undrop protects; a statement of a kind that is left out goes to the server as it is. */
export type Protection = 'drop-table' | 'drop-database' | 'create-or-replace';

/** A statement, or another command, that was taken out of the client's stream. */
export interface Taken {
  readonly packet: Packet;
  readonly carrier: 'query' | 'prepare' | 'drop-database' | 'unknown' | 'handle';
  /** The statement text; empty where the carrier has none. */
  readonly text: Buffer;
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
}

export interface InterceptOptions {
  readonly userSession: CommandSession;
  readonly server: ServerVersion;
  readonly session: SessionFacts;
  readonly service: DropService;
  /** Whether the server takes several statements in one text of this session. */
  readonly multiStatements: boolean;
  /** What the session was last seen in. */
  readonly guess: SessionGuess;
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

/** A PREPARE of a DROP TABLE that nothing speaks against: for intercept-prepared.ts. */
export interface PrepareOfDrop {
  readonly kind: 'prepare-drop';
  readonly statement: DropTableStatement;
}

/** Handles one taken statement to its answer. Rejects where the user session broke. */
export async function intercept(
  taken: Taken,
  options: InterceptOptions,
): Promise<Interception | PrepareOfDrop> {
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
      throw new Error('handles have a way of their own');
  }
}

async function interceptText(
  taken: Taken,
  options: InterceptOptions,
): Promise<Interception | PrepareOfDrop> {
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
): Promise<Interception | PrepareOfDrop> {
  if (!isProtected(verdict, options.service.protect)) return { kind: 'forward', facts };
  switch (verdict.kind) {
    case 'not-ours':
      return { kind: 'forward', facts };
    case 'drop-table':
      return dropTable(taken, verdict.statement, facts, options);
    case 'refused':
      return refused(notDone(HOW[verdict.carrier], namesIn(verdict)), options);
    case 'dynamic':
      return dynamic(taken, verdict, options);
    case 'unclear':
      return unclear(taken, verdict.why, options);
    default:
      return assertNever(verdict);
  }
}

async function dropTable(
  taken: Taken,
  statement: DropTableStatement,
  facts: UserFacts | null,
  options: InterceptOptions,
): Promise<Interception | PrepareOfDrop> {
  if (statement.names.some(({ schema, table }) => isFileName(schema) || isFileName(table))) {
    return unclear(taken, `${FILE_NAME_PREFIX} names a table by its file`, options);
  }
  const secondOpinion = crossCheck(statement);
  if (secondOpinion !== 'agree') {
    return refused(notUnderstood(`the second parser: ${secondOpinion.disagree}`), options);
  }
  if (taken.carrier === 'prepare') return { kind: 'prepare-drop', statement };
  const guess = facts ?? options.guess;
  const charset = clientCharsetOf(guess.charset) ?? 'plain';
  return dropAndHold({ text: taken.text, statement, charset }, guess, options);
}

/** Runs a drop that was understood. */
export async function dropAndHold(
  drop: Omit<DropStatement, 'server' | 'session'>,
  guess: SessionGuess,
  { service, session, server, userSession }: InterceptOptions,
): Promise<Interception> {
  const result = await runDrop(
    { ...drop, server, session },
    {
      userSession,
      pool: service.pool,
      proxyId: service.proxyId,
      holdMs: service.holdMs,
      activeIds: service.activeIds,
      onUnsettled: () => service.onUnsettled(),
      guess,
      newId: () => newHoldId(Date.now(), randomBytes),
    },
  );
  return {
    kind: 'answer',
    payload: result.payload,
    refusal: result.refusal,
    facts: result.facts,
    dropped: result,
  };
}

/**
 * What follows is no name but that of a file: `#mysql50#a` is the table a without its locks. Not
 * even SHOW CREATE may use such a name: on MySQL 5.6 the schema can't be dropped any more then.
 */
const FILE_NAME_PREFIX = '#mysql50#';

function isFileName(name: Uint8Array | null): boolean {
  return (
    name !== null && Buffer.from(name).toString('latin1').toLowerCase().startsWith(FILE_NAME_PREFIX)
  );
}

/** PREPARE … FROM @v: the server knows the text; what it says is looked at like any other. */
async function dynamic(
  taken: Taken,
  verdict: Extract<Verdict, { kind: 'dynamic' }>,
  options: InterceptOptions,
): Promise<Interception> {
  if (!verdict.variable) {
    return refused(notUnderstood('the text that it executes is an expression'), options);
  }
  const facts = await readUserFacts(options);
  if ('errno' in facts) return answerWith(facts);
  const [value] = await options.userSession.run([
    {
      kind: 'query',
      text: Buffer.concat([
        Buffer.from('SELECT /* undrop text */ CAST(CONVERT('),
        verdict.expression,
        Buffer.from(' USING utf8mb4) AS BINARY) LIMIT 1'),
      ]),
    },
  ]);
  if (value?.kind === 'err') return answerWith(value);
  const text = value?.kind === 'rows' ? (value.rows[0]?.[0] ?? Buffer.alloc(0)) : Buffer.alloc(0);
  const mode = modeFromSqlMode(options.server, facts.sqlMode, 'utf8mb4');
  const inner = classifyUnderAll(text, mode, { multiStatements: false });
  const isOpen = inner.kind === 'disagree' || inner.kind === 'dynamic' || inner.kind === 'unclear';
  if (isOpen) return unclear(taken, 'the text in the variable', options);
  if (inner.kind === 'not-ours' || !isProtected(inner, options.service.protect)) {
    return { kind: 'forward', facts };
  }
  return refused(notDone(HOW[verdict.carrier], listTables(tablesOf(inner))), options);
}

/** The server judges the syntax, by a PREPARE that executes nothing. */
async function unclear(
  taken: Taken,
  why: string,
  options: InterceptOptions,
): Promise<Interception> {
  const { userSession } = options;
  const [judge] = await userSession.run([{ kind: 'prepare', text: taken.text }]);
  if (judge?.kind === 'prepared') {
    await userSession.run([{ kind: 'close', statementId: judge.statementId }]);
  } else if (judge?.kind === 'err' && !NO_VERDICT.has(judge.errno)) {
    return answerWith(judge);
  }
  return refused(notUnderstood(why), options);
}

/** Why a long text is refused, or what is left of it from a statement of ours on. */
export function refusalOf(finding: Finding, isOneOfSeveral: boolean): UndropError {
  if (finding.kind === 'unclear') return notUnderstood(finding.why);
  const { verdict } = finding;
  if (verdict.kind === 'drop-table') {
    const how = isOneOfSeveral ? HOW['multi-statement'] : 'in so long a text';
    return notDone(how, listTables(verdict.statement.names));
  }
  if (verdict.kind === 'refused') return notDone(HOW[verdict.carrier], namesIn(verdict));
  return notUnderstood(verdict.kind === 'unclear' ? verdict.why : 'it executes another text');
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

/** The sentence "cannot hold a table that is dropped …" ends so. */
const HOW: Readonly<Record<Carrier, string>> = {
  'multi-statement': 'in a text of several statements',
  'drop-database': 'with its schema (DROP DATABASE)',
  'create-or-replace': 'by CREATE OR REPLACE',
  prepare: 'by a text PREPARE',
  'execute-immediate': 'by EXECUTE IMMEDIATE',
  compound: 'in a compound statement',
  'set-statement': 'under SET STATEMENT',
};

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

/** The tables of a refused statement, or the schema that would have gone with all of them. */
function namesIn(verdict: Refused): string {
  if (verdict.schema === null || verdict.tables.length > 0) return listTables(verdict.tables);
  return schemaAndTables(verdict.schema);
}

function schemaAndTables(schema: Uint8Array): string {
  return `Schema ${Buffer.from(schema)} and its tables were`;
}

export function notDone(how: string, tables: string): UndropError {
  const instead =
    'Send it as DROP TABLE, alone in a text statement of its own, or use a direct connection.';
  return new UndropError('UNDROP_NOT_DONE_YET' satisfies ErrorCode, { tables, how, instead });
}

function notUnderstood(why: string): UndropError {
  return new UndropError('UNDROP_NOT_UNDERSTOOD', { why });
}

export function listTables(names: readonly TableName[]): string {
  if (names.length === 0) return 'A table that it may name was';
  const listed = names.map(({ schema, table }) =>
    (schema === null ? [table] : [schema, table]).map((part) => Buffer.from(part)).join('.'),
  );
  return names.length === 1 ? `Table ${listed[0]} was` : `Tables ${listed.join(', ')} were`;
}

/** For the gate: what a text is, by everything that is known without asking. */
export function recognise(
  text: Buffer,
  server: ServerVersion,
  options: { readonly multiStatements: boolean },
): Verdict | { readonly kind: 'disagree' } {
  return classifyUnderAll(text, server, options);
}
