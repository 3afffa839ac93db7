/**
 * The first classification of a packet that may be undrop's, without queries to the server. With
 * UNDROP_MODE=observe a statement that would be held is reported, and passes.
 *
 * Invariant: what passes here is not undrop's in any possible mode.
 */
import { classifying, type VerdictUnderAll } from '../../sql/classify.js';
import { isFreeByHead } from '../../sql/free-text.js';
import { dotted } from '../../sql/grammar/table-name.js';
import { type KnownMode, modeOfSession } from '../../sql/lex/lex-mode.js';
import { readNamedStatement } from '../../sql/named-statement.js';
import { LONG_SLICE_BYTES, type Reading } from '../../sql/reading.js';
import { isRecycleName, mentionsRecycle, readingMayBeOurs } from '../../sql/trigger-scan.js';
import {
  type DropTable,
  hasUndo,
  isProtected,
  type Protection,
  type Refused,
  tablesOf,
  type Verdict,
} from '../../sql/verdict.js';
import type { DropService, Intercepted, InterceptOptions } from '../../statements/intercepted.js';
import type { SessionGuess } from '../../steps/drop-options.js';
import type { UserFacts } from '../../steps/request.js';
import { inSlices } from '../../steps/session/in-slices.js';
import type { Capabilities } from '../../wire/capabilities.js';
import {
  COM_CHANGE_USER,
  COM_INIT_DB,
  COM_QUERY,
  COM_STMT_EXECUTE,
  COM_STMT_PREPARE,
  queryTextOffset,
} from '../../wire/commands.js';
import type { Packet } from '../../wire/framing.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import type { PreparedDrops } from '../commands/prepared-drops.js';
import type { Login } from '../login/login.js';

export interface ClassifyOptions {
  readonly capabilities: Capabilities;
  /** The server, and the known part of the session's mode. */
  readonly server: KnownMode;
  readonly service: DropService;
  /** Whether the server may take several statements in one text. */
  readonly multiStatements: boolean;
  readonly prepared: PreparedDrops;
  onObserved(observed: Observed): void;
}

/** A statement that UNDROP_MODE=observe passes on: it would have been held or refused. */
export interface Observed {
  readonly text: Buffer;
  /** False: it may drop something, but only the server could tell. */
  readonly isClear: boolean;
  /** The tables that it names, as far as it can be read; `schema.*` for all tables of a schema. */
  readonly tables: readonly string[];
}

/**
 * The kinds to look for: those that are held, or only observed. May change while the session lives.
 */
export function protectedKinds({ protect, observes }: DropService): ReadonlySet<Protection> {
  return observes !== undefined && observes.size > 0 ? observes : protect;
}

/** Whether undrop handles it; all else goes to the server, or is only observed. */
export function isTaken(verdict: Verdict, service: DropService): boolean {
  const { protect } = service;
  return isProtected(verdict, hasUndo(verdict) ? protectedKinds(service) : protect);
}

/** Null: the packet may pass. Yields while a long text is read. */
export function* classifyPacket(
  packet: Packet,
  options: ClassifyOptions,
): Reading<Intercepted | null> {
  const { payload } = packet;
  const other = { packet, text: Buffer.alloc(0), verdict: null };
  switch (payload[0]) {
    case COM_QUERY:
      break;
    case COM_STMT_PREPARE:
      return yield* classifyText(packet, 'prepare', payload.subarray(1), options);
    case COM_INIT_DB:
    case COM_CHANGE_USER:
      // Taken only because they change the default schema.
      return null;
    case COM_STMT_EXECUTE:
      return { ...other, packetKind: 'handle' };
    default:
      return { ...other, packetKind: 'unknown' };
  }
  const text = payload.subarray(queryTextOffset(payload, options.capabilities));
  const taken = yield* classifyText(packet, 'query', text, options);
  const { prepared, server, multiStatements } = options;
  if (!prepared.watchesNames || isMultiStatement(taken, options)) return taken;
  const named = readNamedStatement(text, server, options);
  // Its statements are read one by one, because each may change the meaning of the next.
  if (taken === null && multiStatements && named.kind === 'unknown' && text.includes(';')) {
    return { packet, packetKind: 'query', text, verdict: { kind: 'disagree' } };
  }
  const command = prepared.follow(named);
  if (taken !== null || command === null) return taken;
  return { packet, packetKind: 'named', text, verdict: null, command };
}

/** Classifies one statement by the facts of the session; takes turns with other readings. */
export function classifyByFacts(
  text: Buffer,
  facts: UserFacts,
  { isPrepared, multiStatements = false }: { isPrepared: boolean; multiStatements?: boolean },
  { server, service }: Pick<InterceptOptions, 'server' | 'service'>,
): Promise<VerdictUnderAll> {
  const read = { multiStatements, isPrepared, protect: service.protect };
  return inSlices(classifying(text, modeOfSession(server, facts), read));
}

function* classifyText(
  packet: Packet,
  packetKind: 'query' | 'prepare',
  text: Buffer,
  { server, service, multiStatements, onObserved }: ClassifyOptions,
): Reading<Intercepted | null> {
  const kinds = protectedKinds(service);
  const isInRecycle = (server.inRecycle ?? false) !== false;
  if (text.length > LONG_SLICE_BYTES && !isInRecycle) {
    if (!(yield* readingMayBeOurs(text, kinds))) return null;
  }
  const { protectsRecycleSchema = true } = service;
  const mayWriteRecycleSchema = protectsRecycleSchema && (isInRecycle || mentionsRecycle(text));
  if (kinds.size === 0 && !mayWriteRecycleSchema) return null;
  // PREPARE accepts one statement only.
  const isSeveral = multiStatements && packetKind === 'query';
  const isPrepared = packetKind === 'prepare';
  const read = { multiStatements: isSeveral, isPrepared, protect: kinds };
  const verdict = yield* classifying(text, server, read);
  if (verdict.kind !== 'disagree' && !isProtected(verdict, kinds)) return null;
  // The schemas of undrop are protected in the mode observe, too.
  const isOwn = verdict.kind === 'disagree' ? mayWriteRecycleSchema : isProtected(verdict, NOTHING);
  const isUndo = verdict.kind !== 'disagree' && hasUndo(verdict);
  if (kinds === service.protect || isOwn || isUndo) return { packet, packetKind, text, verdict };
  const isClear = verdict.kind === 'drop-table' || verdict.kind === 'refused';
  onObserved({ text, isClear, tables: isClear ? namesOf(verdict) : [] });
  return null;
}

const NOTHING: ReadonlySet<Protection> = new Set();

/** Whether the first bytes of a command show that its text isn't undrop's, whatever follows. */
export function isFree(
  head: Buffer,
  { capabilities, server, multiStatements }: ClassifyOptions,
): boolean {
  const isQuery = head[0] === COM_QUERY;
  if (isQuery && multiStatements) return false;
  try {
    return isFreeByHead(head.subarray(isQuery ? queryTextOffset(head, capabilities) : 1), server);
  } catch (error) {
    // Query attributes before the text may be longer than the head.
    if (!(error instanceof MalformedPacketError)) throw error;
    return false;
  }
}

/** Whether it contains several statements, or may do so: they are executed one by one. */
export function isMultiStatement(
  taken: Intercepted | null,
  { multiStatements }: { readonly multiStatements: boolean },
): boolean {
  if (!multiStatements || taken?.packetKind !== 'query') return false;
  const { verdict } = taken;
  if (verdict?.kind === 'refused') return verdict.form === 'multi-statement';
  return verdict?.kind === 'disagree';
}

function namesOf(verdict: DropTable | Refused): readonly string[] {
  if (verdict.kind === 'refused' && verdict.schema !== null && verdict.tables.length === 0) {
    return [`${Buffer.from(verdict.schema)}.*`];
  }
  return tablesOf(verdict).map(dotted);
}

// ── the last known state of a session ────────────────────────────────────────────────────────────
// The state of a session without a query to the server: guesses that save round trips, and are
// compared with the session's own facts before anything depends on them.

/** The longest name that is searched for, which a slice may cut. */
const NAME_BYTES_MAX = 'sql_log_bin'.length;

export class LastSeen {
  readonly #server: Login['server'];
  /** Default schema, charset and user. */
  guess: SessionGuess;
  /** A text named SQL_LOG_BIN; from then on it may be off at any time. */
  logBinMayBeOff = false;
  /**
   * The default schema may be a recycle schema, because a text named one. Every way there contains
   * the name; a statement that is prepared and executed later never leads there.
   */
  mayBeInRecycle: boolean;
  /** The last command contained such a name, and may lead there. */
  #mentionsRecycle = false;

  constructor({ schema, user, server }: Pick<Login, 'schema' | 'user' | 'server'>) {
    this.guess = { schema: schema?.toString() ?? null, charset: 'utf8mb4', user };
    this.#server = server;
    this.mayBeInRecycle = schema !== null && mentionsRecycle(schema);
  }

  /** How its texts are read by these facts; null: the modes that are possible without a query. */
  known(facts: UserFacts | null): KnownMode {
    if (facts !== null) return modeOfSession(this.#server, facts);
    return this.mayBeInRecycle ? { ...this.#server, inRecycle: 'perhaps' } : this.#server;
  }

  /** The client requests another default schema; the server may refuse it. */
  inSchema(schema: Uint8Array): void {
    this.guess = { ...this.guess, schema: Buffer.from(schema).toString() };
    this.mayBeInRecycle ||= mentionsRecycle(schema);
  }

  /** Reads a command before it goes on. */
  *readingCommand(payload: Uint8Array): Reading<void> {
    if (payload[0] === COM_INIT_DB) this.inSchema(payload.subarray(1));
    let mentions = false;
    let mayLead = payload[0] !== COM_QUERY && payload[0] !== COM_STMT_PREPARE;
    for (let at = 0; at < payload.length; at += LONG_SLICE_BYTES) {
      if (at > 0) yield;
      const slice = payload.subarray(Math.max(0, at - NAME_BYTES_MAX), at + LONG_SLICE_BYTES);
      const text = Buffer.from(slice).toString('latin1');
      this.logBinMayBeOff ||= /sql_log_bin/i.test(text);
      mentions ||= mentionsRecycle(slice);
      // In a text, only the word USE changes the schema.
      mayLead ||= /use/i.test(text);
    }
    this.#mentionsRecycle = mentions && mayLead;
    this.mayBeInRecycle ||= this.#mentionsRecycle;
  }

  /** The facts as of before the last command. */
  inFacts({ schema, charset, user, account, logged }: UserFacts): void {
    this.guess = { schema, charset, user, account };
    this.logBinMayBeOff ||= !logged;
    const isInRecycle = schema !== null && isRecycleName(schema);
    this.mayBeInRecycle = isInRecycle || this.#mentionsRecycle;
  }
}
