/**
 * The first classification of a packet that may be undrop's, without queries to the server. With
 * UNDROP_MODE=observe a statement that would be held is reported, and passes.
 *
 * Invariant: what passes here is not undrop's in any possible mode.
 */

import type { DropService, Intercepted, InterceptOptions } from '../../drop/intercepted.js';
import type { SessionGuess } from '../../drop/steps/drop-options.js';
import { inSlices } from '../../drop/steps/session/in-slices.js';
import type { UserFacts } from '../../drop/steps/world.js';
import { UndropError } from '../../errors.js';
import { classifying, type VerdictUnderAll } from '../../sql/classify.js';
import type { Protection } from '../../sql/destroying.js';
import { isFreeByHead } from '../../sql/free-text.js';
import { dotted } from '../../sql/grammar/table-name.js';
import { type KnownMode, modeFromSqlMode } from '../../sql/lex/lex-mode.js';
import { readNamedStatement } from '../../sql/named-statement.js';
import { LONG_SLICE_BYTES, type Reading } from '../../sql/reading.js';
import { USE_OF_RECYCLE } from '../../sql/recycle-schema-write.js';
import { isRecycleName, mentionsRecycle, readingMayBeOurs } from '../../sql/trigger-scan.js';
import * as verdicts from '../../sql/verdict.js';
import * as com from '../../wire/commands.js';
import { decodeComChangeUser } from '../../wire/connection/auth-packets.js';
import type { Packet } from '../../wire/framing.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import { trackedSchema } from '../../wire/response.js';
import type { DispatchOptions } from '../commands/prepared-drops.js';
import type { Login } from '../login/login.js';

/** `multiStatements`: whether the server may take several statements in one text. */
export interface ClassifyOptions
  extends Pick<DispatchOptions, 'capabilities' | 'service' | 'multiStatements' | 'prepared'> {
  /** The server, and the known part of the session's mode. */
  readonly server: KnownMode;
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
export function isTaken(verdict: verdicts.Verdict, service: DropService): boolean {
  const kinds = verdicts.hasUndo(verdict) ? protectedKinds(service) : service.protect;
  return verdicts.isProtected(verdict, kinds);
}

/** Null: the packet may pass. Yields while a long text is read. */
export function* classifyPacket(
  packet: Packet,
  options: ClassifyOptions,
): Reading<Intercepted | null> {
  const { payload } = packet;
  const other = { packet, text: Buffer.alloc(0), verdict: null };
  switch (payload[0]) {
    case com.COM_QUERY:
      break;
    case com.COM_STMT_PREPARE:
      return yield* classifyText(
        { packet, packetKind: 'prepare', text: payload.subarray(1) },
        options,
      );
    case com.COM_INIT_DB:
    case com.COM_CHANGE_USER: {
      const text = schemaIn(payload);
      if (!isRecycleName(text)) return null;
      return { packet, packetKind: 'query', text, verdict: USE_OF_RECYCLE };
    }
    case com.COM_STMT_EXECUTE:
      return { ...other, packetKind: 'handle' };
    default:
      return { ...other, packetKind: 'unknown' };
  }
  const text = payload.subarray(com.queryTextOffset(payload, options.capabilities));
  const taken = yield* classifyText({ packet, packetKind: 'query', text }, options);
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

/** The default schema that a command requests; empty: it is none of undrop's own. */
function schemaIn(payload: Buffer): Buffer {
  if (payload[0] === com.COM_INIT_DB) return payload.subarray(1);
  return mentionsRecycle(payload) ? decodeComChangeUser(payload).schema : Buffer.alloc(0);
}

/**
 * Ends the session if `ok` reports a schema of undrop's own as its default schema: a stored program
 * of MariaDB can execute a USE whose text no client has sent.
 */
export function checkTrackedSchema(ok: Buffer): void {
  if (!mentionsRecycle(ok)) return;
  if (isRecycleName(trackedSchema(ok) ?? '')) throw new UndropError('UNDROP_RECYCLE_SCHEMA_USE');
}

/** Classifies one statement by the facts of the session; takes turns with other readings. */
export function classifyByFacts(
  text: Buffer,
  { sqlMode, charset }: UserFacts,
  options: Pick<InterceptOptions, 'server' | 'service' | 'multiStatements'>,
): Promise<VerdictUnderAll> {
  const { server, service, multiStatements } = options;
  const read = { multiStatements, protect: service.protect };
  return inSlices(classifying(text, modeFromSqlMode(server, sqlMode, charset), read));
}

function* classifyText(
  { packet, packetKind, text }: { packet: Packet; packetKind: 'query' | 'prepare'; text: Buffer },
  { server, service, multiStatements, onObserved }: ClassifyOptions,
): Reading<Intercepted | null> {
  const kinds = protectedKinds(service);
  if (text.length > LONG_SLICE_BYTES && !(yield* readingMayBeOurs(text, kinds))) return null;
  const mayWriteRecycleSchema = mentionsRecycle(text);
  if (kinds.size === 0 && !mayWriteRecycleSchema) return null;
  // PREPARE accepts one statement only.
  const isSeveral = multiStatements && packetKind === 'query';
  const read = { multiStatements: isSeveral, protect: kinds };
  const verdict = yield* classifying(text, server, read);
  if (verdict.kind !== 'disagree' && !verdicts.isProtected(verdict, kinds)) return null;
  // The schemas of undrop are protected in the mode observe, too.
  const isOwn =
    verdict.kind === 'disagree' ? mayWriteRecycleSchema : verdicts.isProtected(verdict, NOTHING);
  const isUndo = verdict.kind !== 'disagree' && verdicts.hasUndo(verdict);
  if (kinds === service.protect || isOwn || isUndo) return { packet, packetKind, text, verdict };
  if (verdict.kind === 'drop-definition') return null;
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
  const isQuery = head[0] === com.COM_QUERY;
  if (isQuery && multiStatements) return false;
  try {
    const start = isQuery ? com.queryTextOffset(head, capabilities) : 1;
    return isFreeByHead(head.subarray(start), server);
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

function namesOf(verdict: verdicts.DropTable | verdicts.Refused): readonly string[] {
  if (verdict.kind === 'refused' && verdict.schema !== null && verdict.tables.length === 0) {
    return [`${Buffer.from(verdict.schema)}.*`];
  }
  return verdicts.tablesOf(verdict).map(dotted);
}

// ── the last known state of a session ────────────────────────────────────────────────────────────
// The state of a session without a query to the server: guesses that save round trips, and are
// compared with the session's own facts before anything depends on them.

export class LastSeen {
  readonly #server: Login['server'];
  /** Default schema, charset and user. */
  guess: SessionGuess;

  constructor({ schema, user, server }: Pick<Login, 'schema' | 'user' | 'server'>) {
    this.guess = { schema: schema?.toString() ?? null, charset: 'utf8mb4', user };
    this.#server = server;
  }

  /** How its texts are read by these facts; null: the modes that are possible without a query. */
  known(facts: UserFacts | null): KnownMode {
    if (facts === null) return this.#server;
    return modeFromSqlMode(this.#server, facts.sqlMode, facts.charset);
  }

  /** The client requests another default schema; the server, or undrop, may refuse it. */
  inSchema(schema: Uint8Array): void {
    if (isRecycleName(schema)) return;
    this.guess = { ...this.guess, schema: Buffer.from(schema).toString() };
  }

  /** The facts as of before the last command. */
  inFacts({ schema, charset, user, account }: UserFacts): void {
    this.guess = { schema, charset, user, account };
  }
}
