/**
 * Shared by all kinds of drops (dispatch.ts): a statement that was taken out of the client's
 * stream, its context, and the ways to answer it.
 */

import type { ClientWho, HistoryEvent } from '../audit.js';
import { tolerantly } from '../connections/errors.js';
import { UndropError } from '../errors.js';
import { TRIGGERS_LEFT } from '../held/relocate/blockers.js';
import { readTriggerRights } from '../held/triggers/detach-triggers.js';
import { report, silentLog } from '../log.js';
import type { QualifiedTable } from '../names/names.js';
import { bars, mayBar } from '../policy/decide.js';
import { programOf } from '../sql/comment-tags.js';
import type { Protection } from '../sql/destroying.js';
import { dotted } from '../sql/grammar/table-name.js';
import type { CommandOnName } from '../sql/named-statement.js';
import type * as verdict from '../sql/verdict.js';
import type { Capabilities } from '../wire/capabilities.js';
import type { ServerVersion } from '../wire/connection/handshake-v10.js';
import type { Packet } from '../wire/framing.js';
import type { ErrPacket } from '../wire/response.js';
import * as ER from '../wire/server-errors.js';
import { dropTable } from './drop-table/drop-table.js';
import type {
  DropResult,
  DropSettings,
  DropStatement,
  SessionGuess,
} from './steps/drop-options.js';
import type { HeldNames } from './steps/held-names.js';
import { serviceNames } from './steps/names/client-names.js';
import { loggedText, notUnderstood, partitionsNotHeld } from './steps/refusals/refusals.js';
import { areForDestroying, DestroyHinted, notDestroyed } from './steps/rules/hints.js';
import { isEmptyTable } from './steps/rules/rules.js';
import { type HoldingStatement, runStatement } from './steps/run.js';
import { factsSql, readFacts } from './steps/session/facts.js';
import { type Note, type Undoable, withUndoInfo } from './steps/undo-note.js';
import type { CommandSession, SessionFacts, UserFacts } from './steps/world.js';
import { askText, refuse } from './steps/world.js';
import { copyPort } from './truncate/copy-port.js';
import { type Passing, truncate } from './truncate/truncate.js';

/** A statement, or another command, that was taken out of the client's stream. */
export interface Intercepted {
  readonly packet: Packet;
  readonly packetKind: 'query' | 'prepare' | 'unknown' | 'handle' | 'named';
  /** The statement text; empty if a packet of the kind has none. */
  readonly text: Buffer;
  /** Null if there is no text to classify. */
  readonly verdict: verdict.Verdict | { readonly kind: 'disagree' } | null;
  /** For the packet kind `named`: the command on the drop of that name. */
  readonly command?: CommandOnName;
}

/** The context of the interception. */
export interface DropService extends DropSettings {
  readonly protect: ReadonlySet<Protection>;
  /** A TRUNCATE that can't be held passes; default: unless `protect` has it. */
  readonly passesTruncate?: boolean;
  /** UNDROP_ALLOW_DESTROY; default: off. */
  readonly allowDestroy?: 'off' | 'users';
  /** UNDROP_MAX_HOLD, in milliseconds; default: no limit. */
  readonly maxHoldMs?: number;
  /** UNDROP_NOTE: how a session gets the note on its drop; default: off. */
  readonly note?: Note;
  /** Kinds that are reported, and passed on; default: none. */
  readonly observes?: ReadonlySet<Protection>;
  /**
   * Relocates held tables that are still in their own schema, by id; default: left to the
   * collector.
   */
  relocateLater?(ids: readonly string[]): void;
  /** The names of held tables, for the note on ERR 1146; default: there is none. */
  readonly heldNames?: HeldNames;
  /** A statement of the client itself failed with ERR 1146; default: not counted. */
  onNoSuchTable?(payload: Buffer, by: ClientWho): void;
}

/** The schema of a DROP DATABASE. */
export interface NamedSchema {
  /** Unescaped bytes in the client's charset. */
  readonly schema: Uint8Array;
  readonly ifExists: boolean;
  /** If they were read already. */
  readonly facts: UserFacts | null;
}

/** A CREATE OR REPLACE, with the session's facts if they were read already. */
export interface Replacing {
  readonly replacement: verdict.Replacement;
  readonly facts: UserFacts | null;
}

/** A text that the server computes from an expression. */
export type DynamicVerdict = (verdict.Refused | verdict.Dynamic) & {
  readonly source: verdict.DynamicSource;
};

export interface InterceptOptions {
  readonly userSession: CommandSession;
  readonly server: ServerVersion;
  readonly session: SessionFacts;
  readonly service: DropService;
  /** Whether the server takes several statements in one text of this session. */
  readonly multiStatements: boolean;
  /** The last known state of the session. */
  readonly guess: SessionGuess;
  /** The format in which the client reads responses. */
  readonly capabilities: Capabilities;
  /** Another statement of the same text follows; default: false. */
  readonly moreResults?: boolean;
}

export type Interception =
  /** Not a statement of undrop: send the client's packet. */
  | { readonly kind: 'forward'; readonly facts: UserFacts | null }
  | {
      readonly kind: 'answer';
      readonly payload: Buffer;
      /** The packets after it, for a result set. */
      readonly more?: readonly Buffer[];
      readonly refusal: UndropError | null;
      readonly facts: UserFacts | null;
      readonly dropped: DropResult | null;
      /** The changes to held tables, for the log and the history. */
      readonly changes?: readonly HistoryEvent[];
      /** The affected rows of a DROP DATABASE; default: it is another statement, or an error. */
      readonly schemaRows?: number;
    };

export type Answered = Extract<Interception, { kind: 'answer' }>;

/** sql_mode, charset and default schema, read when they are needed. */
export async function readUserFacts(options: InterceptOptions): Promise<UserFacts | ErrPacket> {
  return readFacts(await askText(options.userSession, factsSql(options.server)));
}

interface DropHow {
  /** The hints in its comments. */
  readonly hints: readonly string[];
  /** Runs for the hint `destroy`; `facts`: of a session that hints it; default: a refusal. */
  readonly destroy?: (facts: UserFacts | null) => Promise<Interception>;
  /** Default: the one for the statement. */
  readonly run?: HoldingStatement;
}

/** Runs a parsed drop. */
export async function dropAndHold(
  drop: Omit<DropStatement, 'server' | 'session'>,
  options: InterceptOptions,
  how: DropHow,
): Promise<Interception> {
  const { hints, destroy = () => refused(notDestroyed(drop), options) } = how;
  const { empties, partitions } = drop.statement;
  if (hints.length > 0 && areForDestroying(hints)) return destroy(null);
  if (partitions) return refused(partitionsNotHeld(drop.statement), options);
  const { service, session, server, userSession } = options;
  const { pool } = service;
  let { run = dropTable } = how;
  const copies = (logged: boolean) => copyPort(pool.logging(logged));
  const passing = isStrict(drop, options) ? null : passingOf(options);
  if (empties) run = (world, request) => truncate(world, { copies, passing }, request);
  const isPlain = run === dropTable;
  const request = { ...drop, server, session };
  const requireIdleMs = isPlain ? (service.requireIdleMs ?? null) : null;
  let result: DropResult;
  try {
    result = await runStatement(run, request, { ...service, requireIdleMs, userSession, hints });
  } catch (error) {
    if (error instanceof DestroyHinted) return destroy(error.facts);
    throw error;
  }
  const { refusal, facts, audited } = result;
  const names = audited.map(({ schema, table }) => [schema ?? '', table ?? '']);
  // A table that was emptied or replaced has its name again.
  const undoable = { held: audited, names, what: 'TABLE', swaps: !isPlain } as const;
  const payload = await withNote(result, { ...undoable, facts }, options);
  return { kind: 'answer', payload, refusal, facts, dropped: result };
}

/**
 * A TRUNCATE that can't be held is refused: by UNDROP_PROTECT, or where a rule may refuse or lock
 * what it empties.
 */
function isStrict(
  { statement }: Pick<DropStatement, 'statement'>,
  { service, guess }: InterceptOptions,
): boolean {
  const { protect, rules = [], passesTruncate = !protect.has('truncate') } = service;
  const names = serviceNames({ statement }, guess);
  const isBarred = (name: QualifiedTable) => mayBar(rules, name, { foldsCase: true });
  return !passesTruncate || ('error' in names ? rules.some(bars) : names.tables.some(isBarred));
}

/** A TRUNCATE that can't be held goes to the server, and leaves a line in the log. */
function passingOf({ service, session, guess }: InterceptOptions): Passing {
  const { pool, log = silentLog } = service;
  const { clientAddress: client, threadId, attributes } = session;
  const by = { user: guess.user, client, threadId, program: programOf(attributes) };
  return {
    isEmpty: async ({ schema, table }) => (await isEmptyTable(pool, schema, table)) === true,
    said: ({ text, statement }, why) => {
      const tables = statement.names.map(dotted);
      const what = { tables, statement: loggedText(Buffer.from(text)) };
      report(log, [{ event: 'native', by: [`not held: a table ${why}`], ...by, ...what }]);
    },
  };
}

/** The payload of a drop with the note on its undo. */
export async function withNote(
  { payload, held }: DropResult,
  { facts, ...undoable }: Undoable & Pick<DropResult, 'facts'>,
  options: InterceptOptions,
): Promise<Buffer> {
  const remark = await remarkOn(held, options);
  return withUndoInfo(payload, { ...undoable, remark }, { note: options.service.note, facts });
}

/** The info text on triggers that the service account may not create; null: none. */
async function remarkOn(
  held: DropResult['held'],
  { service: { pool, note }, server }: InterceptOptions,
): Promise<string | null> {
  if (note !== 'info' || !held.some(({ hadTriggers }) => hadTriggers)) return null;
  const { value } = await tolerantly(async () => [await readTriggerRights(pool, server)]);
  return value[0]?.mayMake === false ? TRIGGERS_LEFT : null;
}

/** The server checks the syntax, by a PREPARE that executes nothing. */
export function refuseUnclear(
  taken: Intercepted,
  why: string,
  options: InterceptOptions,
): Promise<Interception> {
  return refusedIfValid(taken, { error: notUnderstood(why) }, options);
}

/**
 * The server's own error for a text that it doesn't accept; `error` for one that it does.
 * `mayBeSeveral`: a syntax error may only mean that several statements can't be prepared.
 */
export async function refusedIfValid(
  taken: Intercepted,
  { error, mayBeSeveral = false }: { readonly error: UndropError; readonly mayBeSeveral?: boolean },
  options: InterceptOptions,
): Promise<Interception> {
  const { userSession } = options;
  const [prepared] = await userSession.run([{ kind: 'prepare', text: taken.text }]);
  if (prepared?.kind === 'prepared') {
    await userSession.run([{ kind: 'close', statementId: prepared.statementId }]);
  } else if (prepared?.kind === 'err') {
    // For a PREPARE this is the whole response: nothing was prepared.
    if (taken.packetKind === 'prepare') return answeredWith(prepared);
    if (prepared.errno === ER.MAX_PREPARED_STMT_COUNT_REACHED) {
      return refused(new UndropError('UNDROP_SYNTAX_NOT_CHECKED', {}), options);
    }
    const isInVain = mayBeSeveral && prepared.errno === ER.PARSE_ERROR;
    if (!isInVain && prepared.errno !== ER.UNSUPPORTED_PS) return answeredWith(prepared);
  }
  return refused(error, options);
}

/** The marker finds the position of the refusal; nothing else is run. */
export async function refused(error: UndropError, options: InterceptOptions): Promise<Answered> {
  await options.userSession.run([]);
  return { ...answeredWith(refuse(error)), refusal: error };
}

export function answeredWith({ payload }: Pick<Answered, 'payload'>): Answered {
  return { kind: 'answer', payload, refusal: null, facts: null, dropped: null };
}
