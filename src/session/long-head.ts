/**
 * The first look at a text that is too long to be held: where it begins, whether it needs a second
 * one, and with what. Invariant: a text that goes on unseen holds one statement, and its first word
 * says that it can't be ours, however the text is read.
 */
import { hypotheses, type KnownMode, type LexMode } from '../sql/lex-mode.js';
import { type Finding, StatementStream } from '../sql/statement-stream.js';
import type { Capabilities } from '../wire/capabilities.js';
import { queryTextOffset } from '../wire/command/com-query.js';
import { COM_QUERY } from '../wire/commands.js';
import { HEADER_BYTES } from '../wire/framing.js';
import { MalformedPacketError } from '../wire/packet-reader.js';
import { HELD_BYTES_MAX } from './command-gate.js';
import { isProtected, type Protection, soughtBy } from './protection.js';

/** So much of a long text may show that it needs no second look. */
const FREE_BYTES_MAX = 256;

export interface LongHead {
  readonly command: number;
  /** Where the text begins in the payload. */
  readonly textOffset: number;
  /** Whether other statements may stand in the text. */
  readonly isOneOfSeveral: boolean;
  /** Its packet is malformed. */
  readonly refusal: Finding | null;
}

export interface LongTextOptions {
  readonly capabilities: Capabilities;
  readonly server: KnownMode;
  readonly protect: ReadonlySet<Protection>;
  readonly multiStatements: boolean;
}

/**
 * `framed`: the beginning of its packet. 'free': the text goes on unseen; 'more': all that is ever
 * held of it has to be there.
 */
export function readLongHead(framed: Buffer, options: LongTextOptions): LongHead | 'free' | 'more' {
  const payload = framed.subarray(HEADER_BYTES);
  const command = payload[0] ?? 0;
  const isOneOfSeveral = options.multiStatements && command === COM_QUERY;
  let textOffset = 1;
  try {
    if (command === COM_QUERY) textOffset = queryTextOffset(payload, options.capabilities);
  } catch (error) {
    if (!(error instanceof MalformedPacketError)) throw error;
    // Of values in front of it; whether they are malformed can't be told from a part of them.
    if (payload.length < HELD_BYTES_MAX) return 'more';
    const refusal: Finding = { kind: 'unclear', why: error.message };
    return { command, textOffset, isOneOfSeveral, refusal };
  }
  const text = payload.subarray(textOffset, textOffset + FREE_BYTES_MAX);
  const isFree = hypotheses(options.server, text).every((mode) => {
    const statements = newStatementStream(mode, isOneOfSeveral, options.protect);
    return statements.push(text) === null && statements.isFree;
  });
  return isFree ? 'free' : { command, textOffset, isOneOfSeveral, refusal: null };
}

/** `mode`: null where nobody knows how the text is read; then `inRecycle` counts. */
export function newStatementStream(
  mode: LexMode | null,
  multiStatements: boolean,
  protect: ReadonlySet<Protection>,
  { inRecycle = false }: { readonly inRecycle?: boolean } = {},
): StatementStream {
  return new StatementStream({
    mode,
    inRecycle,
    multiStatements,
    heldBytesMax: HELD_BYTES_MAX,
    ...soughtBy(protect),
    isOurs: (verdict) => isProtected(verdict, protect),
  });
}
