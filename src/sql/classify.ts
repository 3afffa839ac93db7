/**
 * Recognition: bytes in, verdict out; pure. It reads a text statement by statement (next-statement)
 * and puts the small grammars to those that begin like one of ours.
 *
 * Invariant: a statement that could destroy a base table, or write where held tables are, is never
 * `not-ours`. The word DROP directly before TABLE or DATABASE has to be explained, as the body of a
 * stored program or the like; what isn't explained is `unclear`.
 */
import { isCut } from './block-reader.js';
import { leavesTable } from './grammar/drop-table.js';
import {
  type DynamicText,
  parseExecuteImmediate,
  parsePrepare,
  unescapeLiteral,
} from './grammar/dynamic-sql.js';
import { type Source, TokenCursor } from './grammar/token-cursor.js';
import { isTwoByte } from './lex/client-charset.js';
import {
  hypotheses,
  isFullyKnown,
  type KnownMode,
  type LexMode,
  lastOddHost,
} from './lex/lex-mode.js';
import { modeAfter } from './lex/mode-changes.js';
import {
  endOfText,
  type NextStatement,
  type ReadOptions,
  readingStatement,
  type Statement,
} from './next-statement.js';
import {
  alterVerdict,
  createVerdict,
  dropVerdict,
  truncateVerdict,
  unexplained,
} from './plain-verdict.js';
import {
  KEPT_MAX,
  LONG_SLICE_BYTES,
  NAMES_MAX,
  type Reading,
  STATEMENTS_MAX,
  TooMuchWork,
  Work,
} from './reading.js';
import { isRecycleNameIn } from './recycle-name.js';
import { recycleSchemaWriteOf, unread } from './recycle-schema-write.js';
import { mayBeOurs, mentionsRecycle, soughtOf } from './trigger-scan.js';
import {
  guardedIn,
  isSame,
  NOT_OURS,
  type Piece,
  refused,
  tablesOf,
  tooMany,
  unclear,
  type Verdict,
} from './verdict.js';

/** Statements that run none of the others, whatever words they hold. */
const NEVER_OURS = new Set(['EXPLAIN', 'DESCRIBE', 'DESC']);
const BRANCHES_MAX = 2;
/** A text above this is read once, in the mode that the server names, and not guessed at. */
export const GUESSED_BYTES_MAX = 65536;

const TOO_MANY_WAYS = 'it is too long, or can be read in too many ways';

/** `disagree`: it depends on the mode, or on what versions of the server do. */
export type VerdictUnderAll = Verdict | { readonly kind: 'disagree' };

/**
 * Classifies under all modes that `known` leaves open. `disagree`: it depends on the mode; ask the
 * server for it, and classify again with what it says. With everything known, `disagree` is what a
 * version does that is in doubt, and the text must be refused.
 */
export function* classifying(
  bytes: Uint8Array,
  known: KnownMode,
  options: ReadOptions,
): Reading<VerdictUnderAll> {
  if (!isFullyKnown(known) && bytes.length > GUESSED_BYTES_MAX) return { kind: 'disagree' };
  const modes = hypotheses(known, bytes);
  return yield* withinBounds(classifyAlike(bytes, modes, options, new Work()), known);
}

function* withinBounds(
  reading: Reading<VerdictUnderAll>,
  known: KnownMode,
): Reading<VerdictUnderAll> {
  try {
    return yield* reading;
  } catch (error) {
    if (!(error instanceof TooMuchWork)) throw error;
    return isFullyKnown(known) ? unclear(TOO_MANY_WAYS) : { kind: 'disagree' };
  }
}

function* classifyAlike(
  bytes: Uint8Array,
  modes: readonly LexMode[],
  options: ReadOptions,
  work: Work,
): Reading<VerdictUnderAll> {
  const [first, ...others] = modes;
  if (first === undefined) return { kind: 'disagree' };
  const verdict = yield* classifyNested(bytes, first, { options, work, nested: 0 });
  for (const mode of others) {
    work.readAgain();
    const other = yield* classifyNested(bytes, mode, { options, work, nested: 0 });
    if (!isSame(other, verdict)) return { kind: 'disagree' };
  }
  return verdict;
}

/**
 * The statements of a text, each with its verdict, up to the one at which the server stops with a
 * syntax error, or behind which only the server knows how the rest is read; or up to the first that
 * `isWanted`. Throws `TooMuchWork`, never where there is one mode alone.
 */
export function* classifyingStatements(
  bytes: Uint8Array,
  mode: LexMode,
  options: ReadOptions & { readonly work?: Work },
  isWanted: (verdict: Verdict) => boolean = () => false,
): Reading<readonly Piece[]> {
  const { work = new Work(), ...read } = options;
  const context = { options: read, work, nested: 0 };
  return yield* pieces({ bytes, mode }, context, { offset: 0, branches: 0, isWanted });
}

function* classifyNested(bytes: Uint8Array, mode: LexMode, context: Context): Reading<Verdict> {
  const { options } = context;
  // A long text was searched for the words before.
  const mayBe = bytes.length > LONG_SLICE_BYTES || mayBeOurs(bytes, 0, bytes.length, options);
  if (!mayBe && mode.inRecycle !== true) return NOT_OURS;
  const place = { offset: 0, branches: 0, isWanted: () => false };
  const all = yield* pieces({ bytes, mode }, context, place);
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
  /** How often the mode has already become uncertain on the way here. */
  readonly branches: number;
  /** Of what comes behind such a statement nothing is read. */
  readonly isWanted: (verdict: Verdict) => boolean;
}

/** The statements from `place.offset` on. */
function* pieces(source: Source, context: Context, place: Place): Reading<readonly Piece[]> {
  const { bytes } = source;
  const { options } = context;
  let { mode } = source;
  const end = endsOfText(bytes);
  const mayGoOddly = oddHosts(bytes, options);
  const read = { ...options, keepsAll: mode.inRecycle === true || mentionsRecycle(bytes) };
  const found: Piece[] = [];
  let stopAt: number | null = null;
  let names = 0;
  let isOurs = false;
  for (let offset: number | null = place.offset; offset !== null; ) {
    if (mayGoOddly(offset, mode)) {
      const rest = bytes.subarray(offset);
      const verdict = unread(rest, 'what goes on behind an @ is not known');
      found.push({ start: offset, end: bytes.length, next: null, verdict });
      break;
    }
    const statement: NextStatement = yield* readingStatement(bytes, offset, end(mode), mode, read);
    const { start, next } = statement;
    if (!context.work.add((next ?? statement.end) - offset)) yield;
    const verdict = yield* guardedVerdict(statement, { bytes, mode }, context);
    found.push({ start, end: statement.end, next, verdict });
    if (found.length > KEPT_MAX) throw new TooMuchWork();
    isOurs ||= verdict.kind !== 'not-ours';
    names += tablesOf(verdict).length;
    // Behind a syntax error nothing is run; there nobody reads on for ever.
    const bound = boundOf({ names, statements: found.length, isOurs: isOurs || stopAt !== null });
    if (bound !== null)
      return [{ start: place.offset, end: bytes.length, next: null, verdict: bound }];
    offset = next;
    if (offset === null) break;
    if (!statement.isWhole) stopAt ??= found.length - 1;
    if (stopAt === null && place.isWanted(verdict)) break;
    const known = options.multiStatements ? modeAfter(statement, bytes, mode) : mode;
    if (isFullyKnown(known)) {
      mode = known;
    } else {
      const rest = yield* piecesUnderAll(known, source, context, { ...place, offset });
      for (const piece of rest) found.push(piece);
      break;
    }
  }
  return stopAt === null ? found : cutShort(found, stopAt, bytes.length);
}

/** Of a text that has more than may be in one; a text with nothing of ours may have any number. */
function boundOf(found: {
  readonly names: number;
  readonly statements: number;
  readonly isOurs: boolean;
}): Verdict | null {
  if (found.names > NAMES_MAX) return tooMany('names');
  return found.isOurs && found.statements > STATEMENTS_MAX ? tooMany('statements') : null;
}

/** `endOfText` of the same bytes under one mode and another. */
function endsOfText(bytes: Uint8Array): (mode: LexMode) => number {
  const known = new Map<LexMode['charset'], number>();
  return (mode) => {
    const end = known.get(mode.charset) ?? endOfText(bytes, mode);
    known.set(mode.charset, end);
    return end;
  };
}

/**
 * Whether what may be ours from an offset on has an @ behind which nobody knows how it goes on.
 * Offsets only grow, so that each is looked for once.
 */
function oddHosts(bytes: Uint8Array, options: ReadOptions) {
  let mayBe = true;
  let last: number | null = null;
  return (offset: number, mode: LexMode): boolean => {
    if (!mayBe || !isTwoByte(mode.charset)) return false;
    last ??= lastOddHost(bytes);
    if (last < offset) return false;
    mayBe = mayBeOurs(bytes, offset, bytes.length, options);
    return mayBe;
  };
}

/** The statements from `place.offset` on, where a statement before it may have changed the mode. */
function* piecesUnderAll(
  known: KnownMode,
  { bytes }: Source,
  context: Context,
  place: Place,
): Reading<readonly Piece[]> {
  const { options, work } = context;
  const whole = { start: place.offset, end: bytes.length, next: null };
  const rest = bytes.subarray(place.offset);
  if (!work.add(rest.length)) yield;
  const isHere = (known.inRecycle ?? false) !== false;
  const mayBe = isHere || mayBeOurs(rest, 0, rest.length, options);
  if (!mayBe) return [{ ...whole, verdict: NOT_OURS }];
  const branches = place.branches + 1;
  const isTooMuch = branches > BRANCHES_MAX || rest.length > GUESSED_BYTES_MAX;
  const modes = isTooMuch ? [] : hypotheses(known, rest);
  let first: readonly Piece[] | null = null;
  let areAlike = modes.length > 0;
  for (const mode of modes) {
    if (first !== null) work.readAgain();
    const found = yield* pieces({ bytes, mode }, context, { ...place, branches });
    first ??= found;
    areAlike = areSame(found, first);
    if (!areAlike) break;
  }
  if (first !== null && areAlike) return first;
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
      return isHere && isSame(verdict, expected.verdict);
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
  readonly work: Work;
}

/** What undrop keeps is spoken of in words of its own by drops of tables and of a schema alone. */
function* guardedVerdict(statement: Statement, source: Source, context: Context): Reading<Verdict> {
  const verdict = yield* statementVerdict(statement, source, context);
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
  return recycleSchemaWriteOf(statement, source, context.options) ?? verdict;
}

function* statementVerdict(
  statement: Statement,
  source: Source,
  context: Context,
): Reading<Verdict> {
  switch (statement.shape) {
    case 'program':
      return statement.isWhole || !statement.hasDrop
        ? NOT_OURS
        : unclear('the end of the stored program was not found');
    case 'block':
      return bodyVerdict('compound', statement, source);
    case 'wrapped':
      return bodyVerdict('set-statement', statement, source);
    case 'plain':
      return yield* plainVerdict(statement, source, context);
  }
}

/** The verdict on a block, or on SET STATEMENT … FOR: nothing in it can be run by itself. */
function bodyVerdict(
  carrier: 'compound' | 'set-statement',
  { start, end, isWhole, hasOpening }: Statement,
  { bytes }: Source,
): Verdict {
  if (!hasOpening) return isWhole ? NOT_OURS : unclear('its end was not found');
  return mentionsRecycle(bytes.subarray(start, end))
    ? { kind: 'guarded', how: 'unclear' }
    : refused(carrier, []);
}

function* plainVerdict(statement: Statement, source: Source, context: Context): Reading<Verdict> {
  const cursor = new TokenCursor(statement.tokens);
  const head = cursor.take();
  if (head.kind !== 'word') return unexplained(statement);
  switch (head.text) {
    case 'DROP':
      return dropVerdict(cursor, statement, source);
    case 'CREATE':
      return createVerdict(cursor, statement, source);
    case 'TRUNCATE':
      return truncateVerdict(cursor, statement, source, context.options);
    case 'ALTER':
      return alterVerdict(cursor, statement, source, context.options);
    case 'PREPARE': {
      const text = isCut(statement.tokens) ? null : parsePrepare(cursor, source);
      return text === null
        ? unclear('this PREPARE is not understood')
        : yield* dynamicVerdict('prepare', text, source, context);
    }
    case 'EXECUTE':
      return yield* executeVerdict(cursor, statement, source, context);
    default:
      return NEVER_OURS.has(head.text) ? NOT_OURS : unexplained(statement);
  }
}

function* executeVerdict(
  cursor: TokenCursor,
  statement: Statement,
  source: Source,
  context: Context,
): Reading<Verdict> {
  if (!cursor.takeWords('IMMEDIATE')) return NOT_OURS;
  // MySQL runs what was prepared under the name `immediate`, and knows no text behind it.
  if (source.mode.flavour === 'mysql') {
    return cursor.isAtEnd || cursor.isWord('USING')
      ? NOT_OURS
      : unclear('this EXECUTE IMMEDIATE is not understood');
  }
  const text = isCut(statement.tokens) ? null : parseExecuteImmediate(cursor, source);
  return text === null
    ? unclear('this EXECUTE IMMEDIATE is not understood')
    : yield* dynamicVerdict('execute-immediate', text, source, context);
}

function* dynamicVerdict(
  carrier: 'prepare' | 'execute-immediate',
  text: DynamicText,
  source: Source,
  { nested, options: around, work }: Context,
): Reading<Verdict> {
  if (nested > 0) return unclear('it prepares a statement that prepares a statement');
  const { name, hasUsing } = text;
  if (text.kind !== 'literal') {
    const { kind, sql: expression } = text;
    return { kind: 'dynamic', carrier, source: { kind, expression, name, hasUsing } };
  }
  const { bytes, mode } = source;
  const inner = unescapeLiteral(bytes, text, mode);
  // The server converts the literal between charsets before it reads it, and what runs before may
  // change the mode: however it is read, it must be innocent.
  const { flavour, versionId, inRecycle = false } = mode;
  const open = { flavour, versionId, inRecycle };
  const modes = [mode, ...(inner.length > GUESSED_BYTES_MAX ? [] : hypotheses(open, inner))];
  const options = { multiStatements: false, isPrepared: true, ...soughtOf(around) };
  for (const one of modes) {
    if (one !== mode) work.readAgain();
    const verdict = yield* classifyNested(inner, one, { options, work, nested: nested + 1 });
    if (verdict.kind !== 'not-ours') {
      const expression = bytes.subarray(text.start, text.end);
      const from = { kind: 'literal', expression, name, hasUsing } as const;
      const piece = { start: 0, end: inner.length, next: null, verdict };
      return { ...refused(carrier, [piece]), source: from };
    }
  }
  if (inner.length > GUESSED_BYTES_MAX && mayBeOurs(inner, 0, inner.length, options)) {
    return unclear('the text that it prepares is too long');
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
  const isUnchanged = mode.charset === 'utf8' || inner.every((byte) => byte < 0x80);
  if (converted === inner && isUnchanged) return false;
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
