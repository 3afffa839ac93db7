/**
 * Recognition: bytes in, verdict out; pure. It reads a text statement by statement (next-statement)
 * and puts the small grammars to those that begin like one of ours.
 *
 * Invariant: a statement that could destroy a base table, or write where held tables are, is never
 * `not-ours`. The word DROP directly before TABLE or DATABASE has to be explained, as the body of a
 * stored program or the like; what isn't explained is `unclear`.
 */
import { leavesTable } from './grammar/drop-table.js';
import { type DynamicText, parseExecuteImmediate, parsePrepare } from './grammar/dynamic-sql.js';
import { type Source, TokenCursor } from './grammar/token-cursor.js';
import {
  hasOddHost,
  hypotheses,
  isFullyKnown,
  type KnownMode,
  type LexMode,
  variantsOfVersion,
} from './lex-mode.js';
import { modeAfter } from './mode-changes.js';
import { endOfText, nextStatement, type ReadOptions, type Statement } from './next-statement.js';
import {
  alterVerdict,
  createVerdict,
  dropVerdict,
  truncateVerdict,
  unexplained,
} from './plain-verdict.js';
import { guardOf, unread } from './recycle-guard.js';
import { isRecycleNameIn } from './recycle-name.js';
import { sameVerdict } from './same-verdict.js';
import { mayBeOurs, mentionsRecycle, soughtOf } from './trigger-scan.js';
import { unescapeLiteral } from './unescape-literal.js';
import { guardedIn, NOT_OURS, type Piece, refused, unclear, type Verdict } from './verdict.js';

export type { ReadOptions } from './next-statement.js';
export type {
  Carrier,
  DropTable,
  Dynamic,
  Guarded,
  NotOurs,
  Piece,
  Refused,
  Unclear,
  Verdict,
} from './verdict.js';

/** Statements that run none of the others, whatever words they hold. */
const NEVER_OURS = new Set(['EXPLAIN', 'DESCRIBE', 'DESC']);
const BRANCHES_MAX = 2;
/** A text above this is read once, in the mode that the server names, and not guessed at. */
export const GUESSED_BYTES_MAX = 65536;

/** Classifies a text whose mode is known. What a version does that is in doubt makes it unclear. */
export function classify(bytes: Uint8Array, mode: LexMode, options: ReadOptions): Verdict {
  const verdict = classifyAlike(bytes, variantsOfVersion(mode, bytes), options);
  return verdict.kind === 'disagree' ? unclear('versions of the server differ in it') : verdict;
}

/**
 * Classifies under all modes that `known` leaves open. `disagree`: it depends on the mode; ask the
 * server for it, and classify again with what it says. With everything known, `disagree` is what a
 * version does that is in doubt, and the text must be refused.
 */
export function classifyUnderAll(
  bytes: Uint8Array,
  known: KnownMode,
  options: ReadOptions,
): Verdict | { readonly kind: 'disagree' } {
  if (!isFullyKnown(known) && bytes.length > GUESSED_BYTES_MAX) return { kind: 'disagree' };
  return classifyAlike(bytes, hypotheses(known, bytes), options);
}

function classifyAlike(
  bytes: Uint8Array,
  modes: readonly LexMode[],
  options: ReadOptions,
): Verdict | { readonly kind: 'disagree' } {
  const [first, ...others] = modes;
  if (first === undefined) return { kind: 'disagree' };
  const verdict = classifyNested(bytes, first, options, 0);
  for (const mode of others) {
    const other = classifyNested(bytes, mode, options, 0);
    if (!sameVerdict(other, verdict)) return { kind: 'disagree' };
  }
  return verdict;
}

/**
 * The statements of a text, each with its verdict, up to the one at which the server stops with a
 * syntax error, or behind which only the server knows how the rest is read; or up to the first that
 * `isWanted`.
 */
export function classifyStatements(
  bytes: Uint8Array,
  mode: LexMode,
  options: ReadOptions,
  isWanted: (verdict: Verdict) => boolean = () => false,
): readonly Piece[] {
  return pieces({ bytes, mode }, options, { offset: 0, nested: 0, branches: 0, isWanted });
}

function classifyNested(
  bytes: Uint8Array,
  mode: LexMode,
  options: ReadOptions,
  nested: number,
): Verdict {
  const mayBe = mayBeOurs(bytes, 0, bytes.length, options);
  if (!mayBe && mode.inRecycle !== true) return NOT_OURS;
  const place = { offset: 0, nested, branches: 0, isWanted: () => false };
  const all = pieces({ bytes, mode }, options, place);
  const [first] = all;
  if (first === undefined || all.every(({ verdict }) => verdict.kind === 'not-ours')) {
    return NOT_OURS;
  }
  if (all.length === 1) return first.verdict;
  if (options.multiStatements) return refused('multi-statement', all);
  return unclearOf('there are several statements in a text that may hold one', all);
}

/** A verdict on all of them, where it can't be said of each. */
function unclearOf(why: string, found: readonly Piece[]): Verdict {
  const isGuarded = found.some(({ verdict }) => guardedIn(verdict) !== null);
  return isGuarded ? { kind: 'guarded', how: 'unclear' } : unclear(why);
}

interface Place {
  readonly offset: number;
  readonly nested: number;
  /** How often the mode has already become uncertain on the way here. */
  readonly branches: number;
  /** Of what comes behind such a statement nothing is read. */
  readonly isWanted: (verdict: Verdict) => boolean;
}

/** The statements from `place.offset` on. */
function pieces(source: Source, options: ReadOptions, place: Place): readonly Piece[] {
  const { bytes } = source;
  let { mode } = source;
  let end = endOfText(bytes, mode);
  const read = { ...options, keepsAll: mode.inRecycle === true || mentionsRecycle(bytes) };
  const found: Piece[] = [];
  let stopAt: number | null = null;
  let hostsOf: LexMode | null = null;
  for (let offset: number | null = place.offset; offset !== null; ) {
    if (mode !== hostsOf) {
      hostsOf = mode;
      const rest = bytes.subarray(offset);
      if (hasOddHost(rest, mode) && mayBeOurs(rest, 0, rest.length, options)) {
        const verdict = unread(rest, 'what goes on behind an @ is not known');
        found.push({ start: offset, end: bytes.length, next: null, verdict });
        break;
      }
    }
    const statement = nextStatement(bytes, offset, end, mode, read);
    const context = { nested: place.nested, options };
    const verdict = guardedVerdict(statement, { bytes, mode }, context);
    const { start, next } = statement;
    found.push({ start, end: statement.end, next, verdict });
    offset = next;
    if (offset === null) break;
    if (!statement.isWhole) stopAt ??= found.length - 1;
    if (stopAt === null && place.isWanted(verdict)) break;
    const known = options.multiStatements ? modeAfter(statement, bytes, mode) : mode;
    if (isFullyKnown(known)) {
      if (known.charset !== mode.charset) end = endOfText(bytes, known);
      mode = known;
    } else {
      found.push(...piecesUnderAll(known, source, options, { ...place, offset }));
      break;
    }
  }
  return stopAt === null ? found : cutShort(found, stopAt, bytes.length);
}

/** The statements from `place.offset` on, where a statement before it may have changed the mode. */
function piecesUnderAll(
  known: KnownMode,
  { bytes }: Source,
  options: ReadOptions,
  place: Place,
): readonly Piece[] {
  const whole = { start: place.offset, end: bytes.length, next: null };
  const rest = bytes.subarray(place.offset);
  const isHere = (known.inRecycle ?? false) !== false;
  const mayBe = isHere || mayBeOurs(rest, 0, rest.length, options);
  if (!mayBe) return [{ ...whole, verdict: NOT_OURS }];
  const branches = place.branches + 1;
  const isTooMuch = branches > BRANCHES_MAX || rest.length > GUESSED_BYTES_MAX;
  const modes = isTooMuch ? [] : hypotheses(known, rest);
  const [first, ...others] = modes.map((mode) =>
    pieces({ bytes, mode }, options, { ...place, branches }),
  );
  if (first !== undefined && others.every((other) => areSame(other, first))) return first;
  const why = 'a statement before it may change how it is read';
  const verdict: Verdict = isHere ? { kind: 'guarded', how: 'unclear' } : unread(rest, why);
  return [{ ...whole, verdict }];
}

function areSame(one: readonly Piece[], other: readonly Piece[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ start, next, verdict }, index) => {
      const expected = other[index];
      const isHere = expected?.start === start && expected.next === next;
      return isHere && sameVerdict(verdict, expected.verdict);
    })
  );
}

/**
 * The server stops at the piece `stopAt` with a syntax error, as far as can be seen: what follows
 * it isn't run. But that is for the server to say where what follows, or the piece, might be ours.
 */
function cutShort(found: readonly Piece[], stopAt: number, end: number): readonly Piece[] {
  const behind = found.slice(stopAt);
  const start = behind[0]?.start ?? end;
  if (behind.every(({ verdict }) => verdict.kind === 'not-ours')) return found;
  const whole = { start, end, next: null, verdict: unclearOf('it ends in the middle', behind) };
  return [...found.slice(0, stopAt), whole];
}

/** What statements within one another have in common. */
interface Context {
  /** How many texts are around this one. */
  readonly nested: number;
  readonly options: ReadOptions;
}

/** What undrop keeps is spoken of in words of its own by drops of tables and of a schema alone. */
function guardedVerdict(statement: Statement, source: Source, context: Context): Verdict {
  const verdict = statementVerdict(statement, source, context);
  if (verdict.kind === 'drop-table' && !leavesTable(verdict.statement)) {
    const isRecycled = verdict.statement.names.some(({ schema }) =>
      schema === null ? source.mode.inRecycle === true : isRecycleNameIn(schema),
    );
    return isRecycled ? { ...verdict, isRecycled } : verdict;
  }
  if (verdict.kind === 'refused') {
    if (verdict.carrier === 'drop-database' && verdict.schema !== null) return verdict;
    const isText = verdict.source !== undefined;
    const inside = isText ? null : guardedIn(verdict);
    if (inside !== null) return inside;
  }
  return guardOf(statement, source, context.options) ?? verdict;
}

function statementVerdict(statement: Statement, source: Source, context: Context): Verdict {
  switch (statement.shape) {
    case 'program':
      return statement.isWhole || !statement.hasDrop
        ? NOT_OURS
        : unclear('the end of the stored program was not found');
    case 'block':
      return bodyVerdict('compound', statement, source, context);
    case 'wrapped':
      return bodyVerdict('set-statement', statement, source, context);
    case 'plain':
      return plainVerdict(statement, source, context);
  }
}

/** Of a block, and of SET STATEMENT … FOR. */
function bodyVerdict(
  carrier: 'compound' | 'set-statement',
  statement: Statement,
  source: Source,
  context: Context,
): Verdict {
  const inside = statement.body.map((inner) => ({
    start: inner.start,
    end: inner.end,
    next: null,
    verdict: statementVerdict(inner, source, context),
    ...(inner.repeats === true ? { repeats: true } : {}),
  }));
  if (statement.hides === true) return unclear('a part of the block is not understood');
  const isOurs = inside.some(({ verdict }) => verdict.kind !== 'not-ours');
  if (isOurs) return refused(carrier, inside);
  if (!statement.isWhole) return unclear('its end was not found');
  const isExplained = carrier === 'set-statement';
  return statement.hasDrop && !isExplained ? unclear('there is a DROP in the block') : NOT_OURS;
}

function plainVerdict(statement: Statement, source: Source, context: Context): Verdict {
  const cursor = new TokenCursor(statement.tokens);
  const head = cursor.take();
  if (head.kind !== 'word') return unexplained(statement);
  switch (head.text) {
    case 'DROP':
      return dropVerdict(cursor, statement, source, context.options);
    case 'CREATE':
      return createVerdict(cursor, statement, source);
    case 'TRUNCATE':
      return truncateVerdict(cursor, statement, source, context.options);
    case 'ALTER':
      return alterVerdict(cursor, statement, source, context.options);
    case 'PREPARE': {
      const text = parsePrepare(cursor, source);
      return text === null
        ? unclear('this PREPARE is not understood')
        : dynamicVerdict('prepare', text, source, context);
    }
    case 'EXECUTE':
      return executeVerdict(cursor, source, context);
    default:
      return NEVER_OURS.has(head.text) ? NOT_OURS : unexplained(statement);
  }
}

function executeVerdict(cursor: TokenCursor, source: Source, context: Context): Verdict {
  if (!cursor.takeWords('IMMEDIATE')) return NOT_OURS;
  // MySQL runs what was prepared under the name `immediate`, and knows no text behind it.
  if (source.mode.flavour === 'mysql') {
    return cursor.isAtEnd || cursor.isWord('USING')
      ? NOT_OURS
      : unclear('this EXECUTE IMMEDIATE is not understood');
  }
  const text = parseExecuteImmediate(cursor, source);
  return text === null
    ? unclear('this EXECUTE IMMEDIATE is not understood')
    : dynamicVerdict('execute-immediate', text, source, context);
}

function dynamicVerdict(
  carrier: 'prepare' | 'execute-immediate',
  text: DynamicText,
  source: Source,
  { nested, options: around }: Context,
): Verdict {
  if (text.kind === 'expression' && nested === 0) {
    const { sql: expression, variable, isPure, name, using } = text;
    const kind = variable ? 'variable' : isPure ? 'pure' : 'expression';
    const from = { kind, expression, name, using } as const;
    return { kind: 'dynamic', carrier, expression, variable, source: from };
  }
  if (nested > 0 || text.kind === 'expression')
    return unclear('it prepares a statement that prepares a statement');
  const { bytes, mode } = source;
  const inner = unescapeLiteral(bytes, text, mode);
  // The server converts the literal between charsets before it reads it, and what runs before may
  // change the mode: however it is read, it must be innocent.
  const { flavour, versionId, inRecycle = false } = mode;
  const modes = [mode, ...hypotheses({ flavour, versionId, inRecycle }, inner)];
  const options = { multiStatements: false, isPrepared: true, ...soughtOf(around) };
  for (const one of modes) {
    const verdict = classifyNested(inner, one, options, nested + 1);
    if (verdict.kind !== 'not-ours') {
      const { name, using } = text;
      const expression = bytes.subarray(text.start, text.end);
      const from = { kind: 'literal', expression, name, using } as const;
      const piece = { start: 0, end: inner.length, next: null, verdict };
      return { ...refused(carrier, [piece]), source: from };
    }
  }
  return [inner, fromFilename(inner)].some((one) => isReadOtherwise(one, inner, source, options))
    ? unclear('its text is converted before it is read')
    : NOT_OURS;
}

/** What isn't ASCII may be other bytes then, which break a line or a word. */
function isReadOtherwise(
  converted: Uint8Array,
  inner: Uint8Array,
  { mode }: Source,
  options: ReadOptions,
): boolean {
  const isSame = mode.charset === 'utf8' || inner.every((byte) => byte < 0x80);
  if (converted === inner && isSame) return false;
  return mayBeOurs(converted, 0, converted.length, options);
}

/** As MySQL 5.6 reads it where a client says that it speaks in `filename`: `D@0052OP`. */
function fromFilename(text: Uint8Array): Uint8Array {
  if (!text.includes(0x40)) return text;
  const latin1 = Buffer.from(text).toString('latin1');
  const read = latin1.replaceAll(/@([0-9a-f]{4})/gi, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return read === latin1 ? text : Buffer.from(read, 'latin1');
}
