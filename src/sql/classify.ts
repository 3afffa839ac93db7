/**
 * Recognition: bytes in, verdict out; pure. Reads a text statement by statement (next-statement)
 * and passes statements that begin like one of undrop's to the small grammars.
 *
 * Invariant: a statement that could destroy a base table, or write where held tables are, is never
 * `not-ours`. The word DROP directly before TABLE or DATABASE must be explained, as the body of a
 * stored program or the like; if it isn't, the verdict is `unclear`.
 */
import { isDeepStrictEqual } from 'node:util';
import { holdsTruncate, type Protected } from './destroying.js';
import { alterVerdict, createVerdict, dropVerdict, truncateVerdict } from './grammar/drop-table.js';
import * as dynamic from './grammar/dynamic-sql.js';
import { type Source, takeTexts, unescapeLiteral } from './grammar/table-name.js';
import * as undrop from './grammar/undrop.js';
import type { KnownMode, LexMode } from './lex/lex-mode.js';
import { hypotheses, isFullyKnown, modeAfter } from './lex/lex-mode.js';
import type { Token } from './lex/lexer.js';
import { endOfText, type ReadOptions, readingStatement, type Statement } from './next-statement.js';
import type { Reading } from './reading.js';
import * as bounds from './reading.js';
import { recycleSchemaWriteOf, unread } from './recycle-schema-write.js';
import { mayBeOurs, mentionsRecycle } from './trigger-scan.js';
import type { StatementPart, Verdict } from './verdict.js';
import * as verdicts from './verdict.js';

/** Statements that never run another statement, whatever words they contain. */
const NEVER_OURS = new Set(['DESCRIBE', 'DESC']);
/** A longer text is read once, in the mode that the server reports, without hypotheses. */
export const GUESSED_BYTES_MAX = 65536;

/** The maximum of bytes that are read, in all modes together. */
const WORK_BYTES_MAX = 524_288;
/** The cost of a statement beside its bytes. */
const STATEMENT_BYTES = 48;

/** `disagree`: it depends on the mode. */
export type VerdictUnderAll = Verdict | { readonly kind: 'disagree' };

/**
 * Classifies under all modes that `known` leaves open. `disagree`: it depends on the mode; query
 * the server for it, and classify again.
 */
export function* classifying(
  bytes: Uint8Array,
  known: KnownMode,
  options: ReadOptions,
): Reading<VerdictUnderAll> {
  const verdict = yield* underAllModes(bytes, known, (mode, work) =>
    classifyText({ bytes, mode }, { options, work, nested: 0 }),
  );
  if (verdict !== null) return verdict;
  return isFullyKnown(known)
    ? verdicts.unclear('it is too long, or can be read in too many ways')
    : { kind: 'disagree' };
}

/**
 * The result of `read` in each mode that `known` leaves open. Null if the results differ, or the
 * text can't be read.
 */
export function* underAllModes<T>(
  bytes: Uint8Array,
  known: KnownMode,
  read: (mode: LexMode, work: Work) => Reading<T>,
): Reading<T | null> {
  if (!isFullyKnown(known) && bytes.length > GUESSED_BYTES_MAX) return null;
  const [one, ...others] = hypotheses(known, bytes);
  if (one === undefined) return null;
  try {
    const work = new Work();
    const first = yield* read(one, work);
    for (const mode of others) {
      work.readAgain();
      const other = yield* read(mode, work);
      if (!isDeepStrictEqual(other, first)) return null;
    }
    return first;
  } catch (error) {
    if (error instanceof bounds.Unreadable) return null;
    throw error;
  }
}

/** The amount of text read so far, over all hypotheses. */
export class Work {
  #bytes = 0;
  #sliceBytes = 0;
  #isBounded = false;

  /** From here on the same bytes may be read more than once: `add` may throw. */
  readAgain(): void {
    this.#isBounded = true;
  }

  /** Adds `bytes` of one statement; false: other readings should have their turn. */
  add(bytes: number): boolean {
    this.#bytes += bytes + STATEMENT_BYTES;
    if (this.#isBounded && this.#bytes > WORK_BYTES_MAX) throw new bounds.Unreadable();
    this.#sliceBytes += bytes + STATEMENT_BYTES;
    if (this.#sliceBytes < bounds.SLICE_BYTES) return true;
    this.#sliceBytes = 0;
    return false;
  }
}

/** Shared by statements nested in one another. */
interface Context {
  /** The number of texts around this one. */
  readonly nested: number;
  readonly options: ReadOptions;
  readonly work: Work;
}

function* classifyText(source: Source, context: Context): Reading<Verdict> {
  const { bytes } = source;
  const { options } = context;
  // A long text was searched for the words before.
  const mayBe =
    bytes.length > bounds.LONG_SLICE_BYTES || mayBeOurs(bytes, 0, bytes.length, options.protect);
  if (!mayBe) return verdicts.NOT_OURS;
  const all = yield* classifyingStatements(source, context);
  const [first] = all;
  if (first === undefined) return verdicts.NOT_OURS;
  if (all.length === 1) return first.verdict;
  if (all.every(({ verdict }) => verdicts.doesPass(verdict)))
    return verdicts.passingAll(all.map(({ verdict }) => verdict));
  if (options.multiStatements) return verdicts.refusedVerdict('multi-statement', all);
  return unclearOf('a text that may contain one statement contains several', all);
}

/** A verdict on all of them, if the single ones can't be judged. */
function unclearOf(why: string, found: readonly StatementPart[]): Verdict {
  const writesRecycleSchema = found.some(
    ({ verdict }) => verdicts.recycleSchemaWriteIn(verdict) !== null,
  );
  return writesRecycleSchema
    ? { kind: 'recycle-schema-write', how: 'unclear' }
    : verdicts.unclear(why);
}

/**
 * The statements of a text, each with its verdict, up to the one at which the server stops with a
 * syntax error; or up to the first that `isWanted`. If a statement may change how the rest is read,
 * and only the server can tell how, the rest is one part. May throw `Unreadable`.
 */
export function* classifyingStatements(
  { bytes, mode: startMode }: Source,
  context: Context,
  isWanted: (verdict: Verdict) => boolean = () => false,
): Reading<readonly StatementPart[]> {
  const { options, work } = context;
  let mode = startMode;
  const keepsAll = mentionsRecycle(bytes);
  const ends = new Map<LexMode['charset'], number>();
  const found: StatementPart[] = [];
  let stopAt: number | null = null;
  let names = 0;
  let isOurs = false;
  for (let offset: number | null = 0; offset !== null; ) {
    const end = ends.get(mode.charset) ?? endOfText(bytes, mode);
    ends.set(mode.charset, end);
    const text = { bytes, start: offset, end, mode };
    const statement: Statement = yield* readingStatement(text, { ...options, keepsAll });
    const { start, next } = statement;
    if (!work.add((next ?? statement.end) - offset)) yield;
    const verdict = yield* recycleSchemaVerdict(statement, { bytes, mode }, context);
    found.push({ start, end: statement.end, next, verdict });
    if (found.length > bounds.KEPT_MAX) throw new bounds.Unreadable();
    isOurs ||= !verdicts.doesPass(verdict);
    names += verdicts.tablesOf(verdict).length;
    if (names > bounds.NAMES_MAX) return [wholeOf(bytes, verdicts.tooMany('names'))];
    // A text without a statement of undrop may have any number, up to a syntax error.
    const isBounded = isOurs || stopAt !== null;
    if (isBounded && found.length > bounds.STATEMENTS_MAX)
      return [wholeOf(bytes, verdicts.tooMany('statements'))];
    if (next === null) break;
    if (!statement.isComplete) stopAt ??= found.length - 1;
    if (stopAt === null && isWanted(verdict)) break;
    const known = options.multiStatements ? modeAfter(statement, bytes, mode) : mode;
    if (!isFullyKnown(known)) {
      const rest = bytes.subarray(next);
      if (!work.add(rest.length)) yield;
      found.push({ ...wholeOf(bytes, openVerdict(rest, options.protect)), start: next });
      break;
    }
    mode = known;
    offset = next;
  }
  return stopAt === null ? found : cutShort(found, stopAt, bytes.length);
}

function wholeOf(bytes: Uint8Array, verdict: Verdict): StatementPart {
  return { start: 0, end: bytes.length, next: null, verdict };
}

/** The verdict on a rest that a statement before it may have changed. */
function openVerdict(rest: Uint8Array, protect: Protected | undefined): Verdict {
  if (!mayBeOurs(rest, 0, rest.length, protect)) return verdicts.NOT_OURS;
  return unread(rest, 'a statement before it may change how the server reads it');
}

/**
 * The server probably stops at the part `stopAt` with a syntax error, so it doesn't run the rest.
 * If the rest or the part might be undrop's, only the server can decide that.
 */
function cutShort(
  found: readonly StatementPart[],
  stopAt: number,
  end: number,
): readonly StatementPart[] {
  const rest = found.slice(stopAt);
  const start = rest[0]?.start ?? end;
  if (rest.every(({ verdict }) => verdict.kind === 'not-ours')) return found;
  const whole = { start, end, next: null, verdict: unclearOf('it ends in the middle', rest) };
  return [...found.slice(0, stopAt), whole];
}

/** Drops of tables and of a schema have an error of their own for undrop's tables. */
function* recycleSchemaVerdict(
  statement: Statement,
  source: Source,
  context: Context,
): Reading<Verdict> {
  const verdict = yield* statementVerdict(statement, source, context);
  if (verdict.kind === 'drop-table' && verdicts.kindOf(verdict) === 'drop-table') return verdict;
  if (verdict.kind === 'refused') {
    if (verdict.form === 'drop-database' && verdict.schema !== null) return verdict;
    const inside = verdict.source === undefined ? verdicts.recycleSchemaWriteIn(verdict) : null;
    if (inside !== null) return inside;
  }
  return recycleSchemaWriteOf(statement, source) ?? verdict;
}

function* statementVerdict(
  statement: Statement,
  source: Source,
  context: Context,
): Reading<Verdict> {
  const { shape } = statement;
  const { options } = context;
  if (shape === 'compound' || shape === 'set-statement') {
    return dynamic.bodyVerdict({ ...statement, shape }, source, options.protect);
  }
  const [head, ...tokens] = statement.tokens;
  if (shape === 'program') {
    if (!statement.isComplete && statement.hasDrop)
      return verdicts.unclear('the end of the stored program was not found');
    const verdict = head?.text === 'CREATE' ? createVerdict(tokens, statement, source) : null;
    return verdict?.kind === 'drop-definition' ? verdict : verdicts.NOT_OURS;
  }
  switch (head?.text) {
    case 'DROP':
      return dropVerdict(tokens, statement, source);
    case 'CREATE':
      return createVerdict(tokens, statement, source);
    case 'TRUNCATE':
      return truncateOrPass(tokens, statement, { source, protect: options.protect });
    case 'ALTER':
      return options.protect?.has('drop-partition') === true
        ? alterVerdict(tokens, statement, source)
        : verdicts.NOT_OURS;
    case 'PREPARE': {
      const text = statement.isCut ? null : dynamic.parsePrepare(tokens, source);
      if (text === null) return verdicts.unclear('this PREPARE is not understood');
      return yield* dynamicVerdict({ form: 'prepare', ...text }, source, context);
    }
    case 'EXECUTE':
      return yield* executeVerdict(statement, source, context);
    case 'UNDROP':
      return undrop.undropVerdict(tokens, statement, source);
    case 'HOLD':
      return undrop.holdVerdict(tokens, statement, source);
    case 'PURGE':
      return undrop.purgeVerdict(tokens, statement, source);
    case 'EXPLAIN':
      return undrop.explainVerdict(tokens, statement, source);
    case 'SHOW': {
      const verdict = undrop.showVerdict(tokens, statement, source);
      return verdict.kind === 'not-ours' ? verdicts.unexplained(statement) : verdict;
    }
    default:
      return NEVER_OURS.has(head?.text ?? '') ? verdicts.NOT_OURS : verdicts.unexplained(statement);
  }
}

/** A text that isn't understood passes, unless each is to be held. */
function truncateOrPass(
  tokens: Token[],
  statement: Statement,
  { source, protect }: { readonly source: Source; readonly protect: Protected | undefined },
): Verdict {
  const verdict = truncateVerdict(tokens, statement, source);
  const isOurs = protect !== undefined && holdsTruncate(protect);
  if (isOurs && (verdict.kind !== 'unclear' || protect.has('truncate'))) return verdict;
  return verdicts.unexplained(statement);
}

function* executeVerdict(statement: Statement, source: Source, context: Context): Reading<Verdict> {
  const tokens = statement.tokens.slice(1);
  if (!takeTexts(tokens, 'IMMEDIATE')) return verdicts.NOT_OURS;
  const isMySql = source.mode.flavour === 'mysql';
  // MySQL runs the statement that was prepared under the name `immediate`, and accepts no text
  // after it.
  if (isMySql && (tokens.length === 0 || tokens[0]?.text === 'USING')) return verdicts.NOT_OURS;
  const text = isMySql || statement.isCut ? null : dynamic.parseExecuteImmediate(tokens, source);
  if (text === null) return verdicts.unclear('this EXECUTE IMMEDIATE is not understood');
  return yield* dynamicVerdict({ form: 'execute-immediate', ...text }, source, context);
}

function* dynamicVerdict(
  text: dynamic.DynamicText & { readonly form: 'prepare' | 'execute-immediate' },
  source: Source,
  { nested, options: around, work }: Context,
): Reading<Verdict> {
  if (nested > 0) return verdicts.unclear('it prepares a statement that prepares a statement');
  const { form, name, hasUsing } = text;
  if (text.kind !== 'literal') {
    const { kind, sql: expression } = text;
    return { kind: 'dynamic', form, source: { kind, expression, name, hasUsing } };
  }
  const { bytes, mode } = source;
  const inner = unescapeLiteral(bytes, text, mode);
  // The server converts the literal between charsets before it reads it, and earlier statements may
  // change the mode: it must be harmless in every reading.
  const { flavour, versionId } = mode;
  const open = { flavour, versionId };
  const modes = [mode, ...(inner.length > GUESSED_BYTES_MAX ? [] : hypotheses(open, inner))];
  const { protect } = around;
  const options = { multiStatements: false, protect };
  const context = { options, work, nested: nested + 1 };
  for (const one of modes) {
    if (one !== mode) work.readAgain();
    const verdict = yield* classifyText({ bytes: inner, mode: one }, context);
    if (verdict.kind !== 'not-ours') {
      const expression = bytes.subarray(text.start, text.end);
      const from = { kind: 'literal', expression, name, hasUsing } as const;
      return { ...verdicts.refusedVerdict(form, [wholeOf(inner, verdict)]), source: from };
    }
  }
  if (inner.length > GUESSED_BYTES_MAX && mayBeOurs(inner, 0, inner.length, protect)) {
    return verdicts.unclear('the text that it prepares is too long');
  }
  // MySQL 5.6 reads `D@0052OP` as DROP if the client's charset is `filename`.
  const latin1 = Buffer.from(inner).toString('latin1');
  const decoded = latin1.replaceAll(/@([0-9a-f]{4})/gi, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  // Bytes outside ASCII may become others, which end a line or a word.
  const isConverted = mode.charset !== 'utf8' && inner.some((byte) => byte >= 0x80);
  const mayDiffer = isConverted || decoded !== latin1;
  return mayDiffer && mayBeOurs(Buffer.from(decoded, 'latin1'), 0, decoded.length, protect)
    ? verdicts.unclear('its text is converted before it is read')
    : verdicts.NOT_OURS;
}
