/**
 * The first classification of a packet that may be ours: what it is, by all that is known without
 * asking the server. With UNDROP_MODE=observe the same is done for what is not held, and only told.
 *
 * Invariant: what goes through from here is none of ours in any mode that is possible.
 */
import { UndropError } from '../../errors.js';
import { classifying } from '../../sql/classify.js';
import { isFreeByHead } from '../../sql/free-text.js';
import type { KnownMode } from '../../sql/lex/lex-mode.js';
import { type NamedStatement, readNamedStatement } from '../../sql/named-statement.js';
import { LONG_SLICE_BYTES, type Reading } from '../../sql/reading.js';
import { isRecycleNameIn } from '../../sql/recycle-name.js';
import { mentionsRecycle, type Sought, TriggerWatch } from '../../sql/trigger-scan.js';
import {
  enabledKinds,
  isProtected,
  type Protection,
  tablesOf,
  type Verdict,
} from '../../sql/verdict.js';
import type { Taken } from '../../statements/intercepted.js';
import type { Capabilities } from '../../wire/capabilities.js';
import {
  COM_CHANGE_USER,
  COM_DROP_DB,
  COM_INIT_DB,
  COM_QUERY,
  COM_STMT_BULK_EXECUTE,
  COM_STMT_EXECUTE,
  COM_STMT_PREPARE,
  COM_STMT_RESET,
  queryTextOffset,
} from '../../wire/commands.js';
import type { Packet } from '../../wire/framing.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import { namedStatementEffect, PreparedDrops } from '../commands/prepared-drops.js';

export interface ClassifyOptions {
  readonly capabilities: Capabilities;
  /** The server, and what is known of the session. */
  readonly server: KnownMode;
  readonly protect: ReadonlySet<Protection>;
  /** Whether writes to undrop's own schemas are ours; default true. */
  readonly guards?: boolean;
  /** Whether the server may take several statements in one text. */
  readonly multiStatements: boolean;
  readonly prepared: PreparedDrops;
}

/** Null where the packet may go through. It yields where others may have their turn. */
export function* classifyPacket(packet: Packet, options: ClassifyOptions): Reading<Taken | null> {
  const { payload } = packet;
  const other = { packet, text: payload.subarray(1), verdict: null, refusal: null };
  switch (payload[0]) {
    case COM_QUERY:
      return yield* classifyQuery(packet, options);
    case COM_STMT_PREPARE:
      return yield* classifyText(packet, 'prepare', payload.subarray(1), options);
    case COM_DROP_DB:
      return options.protect.has('drop-database') ||
        (options.guards !== false && isRecycleNameIn(other.text))
        ? { ...other, carrier: 'drop-database' }
        : null;
    case COM_INIT_DB:
    case COM_CHANGE_USER:
      // Shown for what they say of the session.
      return null;
    case COM_STMT_EXECUTE:
    case COM_STMT_BULK_EXECUTE:
    case COM_STMT_RESET:
      return { ...other, carrier: 'handle', text: Buffer.alloc(0) };
    default:
      return { ...other, carrier: 'unknown' };
  }
}

function* classifyQuery(packet: Packet, options: ClassifyOptions): Reading<Taken | null> {
  try {
    const offset = queryTextOffset(packet.payload, options.capabilities);
    const text = packet.payload.subarray(offset);
    const taken = yield* classifyText(packet, 'query', text, options);
    const { prepared, server } = options;
    if (!prepared.watchesNames) return taken;
    const named = readNamedStatement(text, server, options);
    if (isOneOfSeveral(named, text, options)) {
      if (taken === null) return { packet, carrier: 'query', text, verdict: OPEN, refusal: null };
      if (isMultiStatement(taken, options)) return taken;
    }
    // What only the session's own mode can say is asked for, where it isn't taken anyway.
    const isOpen = named.kind === 'disagree';
    if (!isOpen && namedStatementEffect(named, prepared) === null) return taken;
    return taken ?? { packet, carrier: 'named', text, verdict: null, refusal: null };
  } catch (error) {
    if (!(error instanceof MalformedPacketError)) throw error;
    const refusal = new UndropError('UNDROP_MALFORMED_PACKET', { problem: error.message });
    return { packet, carrier: 'query', text: Buffer.alloc(0), verdict: null, refusal };
  }
}

/** Its statements are read one by one, as each may change what the next one means. */
const OPEN = { kind: 'disagree' } as const;

function isOneOfSeveral(
  { kind }: NamedStatement,
  text: Buffer,
  { multiStatements }: ClassifyOptions,
): boolean {
  return multiStatements && (kind === 'unknown' || kind === 'disagree') && text.includes(';');
}

function* classifyText(
  packet: Packet,
  carrier: 'query' | 'prepare',
  text: Buffer,
  { server, protect, multiStatements, guards = true }: ClassifyOptions,
): Reading<Taken | null> {
  const isInRecycle = (server.inRecycle ?? false) !== false;
  if (text.length > LONG_SLICE_BYTES && !isInRecycle) {
    if (!(yield* mayHoldOurs(text, protect))) return null;
  }
  const mayBeGuarded = guards && (isInRecycle || mentionsRecycle(text));
  if (protect.size === 0 && !mayBeGuarded) return null;
  // A PREPARE takes no second statement.
  const isSeveral = multiStatements && carrier === 'query';
  const isPrepared = carrier === 'prepare';
  const read = { multiStatements: isSeveral, isPrepared, ...enabledKinds(protect) };
  const verdict = yield* classifying(text, server, read);
  if (verdict.kind !== 'disagree' && !isProtected(verdict, protect)) return null;
  return { packet, carrier, text, verdict, refusal: null };
}

/** Whether the first bytes of a command show that its text isn't ours, however it goes on. */
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

/** Whether the words of a statement of ours are somewhere in a long text. */
function* mayHoldOurs(text: Buffer, protect: ReadonlySet<Protection>): Reading<boolean> {
  const watch = new TriggerWatch(enabledKinds(protect));
  for (let at = 0; at < text.length; at += LONG_SLICE_BYTES) {
    if (watch.push(text.subarray(at, at + LONG_SLICE_BYTES))) return true;
    yield;
  }
  return false;
}

/**
 * Whether it holds several statements, or may do so: it is executed piece by piece.
 */
export function isMultiStatement(
  { carrier, verdict, refusal }: Taken,
  { multiStatements }: { readonly multiStatements: boolean },
): boolean {
  if (carrier !== 'query' || verdict === null || refusal !== null) return false;
  if (!multiStatements) return false;
  if (verdict.kind === 'refused') return verdict.carrier === 'multi-statement';
  return verdict.kind === 'disagree';
}

/** What is observed, and who is told of it. */
export interface Observing {
  readonly protect: ReadonlySet<Protection>;
  tell(observed: Observed): void;
}

/** A statement that would have been held or refused. */
export interface Observed {
  readonly text: Buffer;
  /** False: it may drop something, and only the server knows. */
  readonly isClear: boolean;
  /** What it names, as far as it can be read; `schema.*` for all tables of a schema. */
  readonly tables: readonly string[];
}

/** `observing` null: nothing is looked at. */
export function* observing(
  packet: Parameters<typeof classifyPacket>[0],
  told: Observing | null,
  options: ClassifyOptions,
): Reading<void> {
  if (told === null) return;
  const { protect, tell } = told;
  const prepared = new PreparedDrops(options.server);
  const server = { ...options.server, inRecycle: false };
  const taken = yield* classifyPacket(packet, { ...options, server, protect, prepared });
  // A malformed packet, or a command without a text, is not told.
  if (taken === null || taken.refusal !== null) return;
  const { carrier, text, verdict } = taken;
  // What is undrop's own is refused in this mode, too.
  if (carrier === 'drop-database') {
    if (!isRecycleNameIn(text)) tell({ text, isClear: true, tables: [`${text}.*`] });
    return;
  }
  if (verdict === null || verdict.kind === 'guarded' || isUndropsOwn(verdict)) return;
  const isClear = verdict.kind === 'drop-table' || verdict.kind === 'refused';
  tell({ text, isClear, tables: isClear ? namesOf(verdict) : [] });
}

function isUndropsOwn(verdict: NonNullable<Taken['verdict']>): boolean {
  if (verdict.kind === 'drop-table') return verdict.isRecycled === true;
  return verdict.kind === 'refused' && verdict.schema !== null && isRecycleNameIn(verdict.schema);
}

/** What the gate looks for by itself, in this mode or in that of holding. */
export function soughtNow(owner: {
  readonly service: () => { readonly protect: ReadonlySet<Protection> };
  observing(): Observing | null;
}): Sought {
  const isNamed = (kind: Protection) =>
    owner.service().protect.has(kind) || owner.observing()?.protect.has(kind) === true;
  return {
    get truncates() {
      return isNamed('truncate');
    },
    get partitions() {
      return isNamed('drop-partition');
    },
  };
}

function namesOf(verdict: Verdict): readonly string[] {
  if (verdict.kind === 'refused' && verdict.schema !== null && verdict.tables.length === 0) {
    return [`${Buffer.from(verdict.schema)}.*`];
  }
  return tablesOf(verdict).map(({ schema, table }) =>
    (schema === null ? [table] : [schema, table]).map((part) => Buffer.from(part)).join('.'),
  );
}
