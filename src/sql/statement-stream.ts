/**
 * Looks for a statement of ours in a text that is too long to be held: it takes the text as it
 * comes, says how much of it may go on, and stops where a statement begins that may not.
 *
 * Statements that can't be ours (an INSERT, nearly always) are lexed and let go token by token, up
 * to the name of a recycle schema in what is no read. Those that may be, or that change how what is
 * behind them is read, are kept until they are whole and classified like any other, if they fit
 * into the window.
 *
 * Invariant: what `safe` lets go holds no statement that `classify` would call ours. What can't be
 * judged so is watched for the words of ours instead; where they come, nothing more is let go.
 */
import { classify } from './classify.js';
import type { Source } from './grammar/token-cursor.js';
import { isFullyKnown, type KnownMode, type LexMode, variantsOfVersion } from './lex-mode.js';
import { Lexer } from './lexer.js';
import { modeAfter } from './mode-changes.js';
import { endOfText, nextStatement, type Statement } from './next-statement.js';
import { IN_RECYCLE, NAMED, QUERIES, READS, SEQUENCE_WORDS, TABLELESS } from './recycle-guard.js';
import { LOOKAHEAD_BYTES, type Middle, middleOf } from './shorten.js';
import { FREE, NEVER_OURS, PARTITION, WHOLE, WHOLE_OF_MARIADB } from './stream-words.js';
import { DROPPABLE } from './token-stream.js';
import { judgeTooLong } from './too-long.js';
import { type Sought, soughtOf, TriggerWatch } from './trigger-scan.js';
import { type Guarded, unclear, type Verdict } from './verdict.js';

/** Why the text can't go on as it is. */
export type Finding =
  /** A statement of ours; nothing behind `at`, where the one before it ends, was let go. */
  | { readonly kind: 'ours'; readonly at: number; readonly verdict: Verdict }
  /** Something may be, in the middle of what was let go. */
  | { readonly kind: 'unclear'; readonly why: string; readonly guarded?: Guarded };

export interface StreamOptions extends Sought {
  /** How the text is read; null: nobody knows. */
  readonly mode: LexMode | null;
  /** The default schema may be a recycle schema, where `mode` doesn't say so. */
  readonly inRecycle?: boolean;
  /** Behind a `;` another statement may come. */
  readonly multiStatements: boolean;
  /** Statements up to so many bytes are held until they are whole. */
  readonly heldBytesMax: number;
  /** A token above this is shortened; default 4096. */
  readonly tokenBytesMax?: number;
  /** Whether a statement with this verdict has to be stopped. */
  readonly isOurs: (verdict: Verdict) => boolean;
}

/**
 * `head`: before the first token of a statement. `whole`: in one that has to be seen to its end.
 * `plain`: in one that can't be ours. `watch`: how the rest is read isn't known. `free`: the rest
 * doesn't matter.
 */
type State = 'head' | 'whole' | 'plain' | 'watch' | 'free';

const MULTI = { multiStatements: true };
/** A token above this is shortened. */
const TOKEN_BYTES_MAX = 4096;
const SLICE_BYTES_MAX = 65536;
const NAMED_WHY = 'it names a schema of undrop itself';

export class StatementStream {
  readonly #options: StreamOptions;
  readonly #tokenBytesMax: number;
  #mode: LexMode | null;
  #lexer: Lexer;
  #state: State;
  #finding: Finding | null = null;
  readonly #watch: TriggerWatch;

  /** What isn't done yet: `#bytes[#from, #end)`; its first byte is the text's `#base + #from`. */
  #bytes = Buffer.alloc(2 * SLICE_BYTES_MAX);
  #end = 0;
  #base = 0;
  /** Of the statement under way, in the window. */
  #start = 0;
  #isLast = false;

  #wasDrop = false;
  /** What must not stand behind a DROP, of an ALTER behind a TRUNCATE, too. */
  #droppable: readonly string[] = DROPPABLE;
  /** It is no read; it names a recycle schema, or has one as default schema. */
  #mayWrite = false;
  #isGuarded = false;
  /** Behind the statement under way the mode isn't known. */
  #changesMode = false;
  #wantedBytes = 0;
  #inRecycle: boolean;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#tokenBytesMax = options.tokenBytesMax ?? TOKEN_BYTES_MAX;
    this.#mode = options.mode;
    this.#watch = new TriggerWatch(options);
    this.#inRecycle = (options.mode ?? options).inRecycle === true;
    this.#state = options.mode === null ? 'watch' : 'head';
    this.#lexer = new Lexer(this.#bytes, 0, 0, options.mode ?? UNKNOWN);
  }

  /** How many bytes of the text may go on. */
  get safe(): number {
    if (this.#state === 'head' || this.#state === 'whole') return this.#base + this.#start;
    return this.#base + (this.#state === 'plain' ? this.#lexer.at : this.#end);
  }

  /** Nothing of what is to come has to be looked at any more. */
  get isFree(): boolean {
    return this.#state === 'free';
  }

  /** Takes the next bytes. After a finding nothing more may be pushed. */
  push(bytes: Buffer): Finding | null {
    for (let at = 0; at < bytes.length && this.#finding === null; at += SLICE_BYTES_MAX) {
      this.#append(bytes.subarray(at, at + SLICE_BYTES_MAX));
      this.#run();
    }
    return this.#finding;
  }

  /** The text is over. */
  finish(): Finding | null {
    this.#isLast = true;
    if (this.#finding === null) this.#run();
    if (this.#finding === null) this.#state = 'free';
    return this.#finding;
  }

  #append(slice: Buffer): void {
    if (this.#state === 'free') {
      this.#base += slice.length;
      return;
    }
    const from = this.#state === 'plain' ? this.#lexer.at : this.#start;
    const kept = this.#end - from;
    const into =
      kept + slice.length > this.#bytes.length
        ? Buffer.alloc(2 * (kept + slice.length))
        : this.#bytes;
    this.#bytes.copy(into, 0, from, this.#end);
    slice.copy(into, kept);
    this.#bytes = into;
    this.#base += from;
    this.#start -= from;
    this.#end = kept + slice.length;
    this.#lexer.moveTo(into, this.#lexer.at - from, this.#end);
  }

  #run(): void {
    let goesOn = true;
    while (goesOn && this.#finding === null) {
      switch (this.#state) {
        case 'head':
          goesOn = this.#readHead();
          break;
        case 'whole':
          goesOn = this.#readWhole();
          break;
        case 'plain':
          goesOn = this.#readPlain();
          break;
        case 'watch':
          this.#watchRest();
          goesOn = false;
          break;
        case 'free':
          this.#base += this.#end;
          this.#end = 0;
          goesOn = false;
      }
    }
  }

  /** Before the first token: from it on nothing is let go before it is known what it begins. */
  #readHead(): boolean {
    const hasToken = this.#next();
    if (this.#state !== 'head') return true;
    if (!hasToken) return false;
    if (this.#lexer.kind === 'end') return this.#setFree();
    if (this.#lexer.isSymbol(';')) {
      this.#begin(this.#lexer.end);
    } else if (this.#isWord(WHOLE) || (this.#isMariaDb && this.#isWord(WHOLE_OF_MARIADB))) {
      this.#wantedBytes = Math.min(this.#tokenBytesMax, this.#options.heldBytesMax);
      this.#state = 'whole';
    } else {
      const isQuery = this.#lexer.isSymbol('(') || this.#isWord(QUERIES);
      const isRead = isQuery || this.#isWord(READS);
      const isAlone = !this.#options.multiStatements && !this.#isMariaDb;
      if (isAlone && this.#isWord(FREE)) return this.#setFree();
      if (this.#inRecycle && !isRead && !this.#isWord(TABLELESS)) return this.#findOurs(IN_RECYCLE);
      this.#isGuarded = this.#inRecycle && isRead;
      this.#mayWrite = !isRead;
      this.#droppable = this.#isWord(NEVER_OURS) ? [] : DROPPABLE;
      // A stored program may run SET NAMES.
      this.#changesMode = this.#lexer.isWord('CALL');
      this.#wasDrop = false;
      this.#state = 'plain';
    }
    return true;
  }

  /** A statement that is judged when it is there to its end. */
  #readWhole(): boolean {
    const mode = this.#mode;
    const bytes = this.#bytes.subarray(this.#start, this.#end);
    if (mode === null || (!this.#isLast && bytes.length < this.#wantedBytes)) return false;
    const end = this.#isLast ? endOfText(bytes, mode) : bytes.length;
    const sought = soughtOf(this.#options);
    const statement = nextStatement(bytes, 0, end, mode, { ...MULTI, ...sought });
    const isThere = statement.next !== null && statement.next <= bytes.length - LOOKAHEAD_BYTES;
    if (!isThere && !this.#isLast) {
      if (bytes.length >= this.#options.heldBytesMax) {
        return this.#readTooLong({ bytes, mode }, statement);
      }
      this.#wantedBytes = Math.min(2 * bytes.length, this.#options.heldBytesMax);
      return true;
    }
    const text = bytes.subarray(0, statement.end);
    const isInDoubt = variantsOfVersion(mode, text).some(
      (one) => nextStatement(bytes, 0, end, one, MULTI).next !== statement.next,
    );
    if (isInDoubt) return this.#giveUp();
    const verdict = classify(text, mode, { multiStatements: false, isPrepared: true, ...sought });
    if (this.#options.isOurs(verdict)) return this.#findOurs(verdict);
    if (statement.next === null || !this.#options.multiStatements) return this.#setFree();
    const known: KnownMode = modeAfter(statement, bytes, mode);
    this.#begin(this.#start + statement.next);
    this.#inRecycle = (known.inRecycle ?? false) !== false;
    if (!isFullyKnown(known)) return this.#giveUp();
    this.#mode = known;
    if (known !== mode) this.#lexer = new Lexer(this.#bytes, this.#start, this.#end, known);
    return true;
  }

  /** It doesn't end within what can be held. */
  #readTooLong(source: Source, statement: Statement): boolean {
    const look = { ...soughtOf(this.#options), inRecycle: this.#inRecycle };
    const way = judgeTooLong(source, statement, look);
    if (way === 'guarded') return this.#findOurs(IN_RECYCLE);
    const tooLong = unclear('it is too long');
    if (way === 'stop' && this.#options.isOurs(tooLong)) return this.#findOurs(tooLong);
    if (way === 'stop' || way === 'watch') return this.#giveUp();
    this.#begin(this.#start);
    this.#isGuarded = false;
    this.#mayWrite = true;
    this.#droppable = way.droppable;
    this.#changesMode = way.changesMode;
    this.#wasDrop = false;
    this.#state = 'plain';
    return true;
  }

  /** Up to the `;`; nothing of it can be ours, as far as is known. */
  #readPlain(): boolean {
    while (this.#next()) {
      const lexer = this.#lexer;
      if (lexer.kind === 'end' || lexer.kind === 'error') return this.#setFree();
      if (lexer.isSymbol(';')) {
        if (!this.#options.multiStatements) return this.#setFree();
        this.#begin(lexer.end);
        return this.#changesMode ? this.#giveUp() : true;
      }
      if (this.#wasDrop && this.#isWord(this.#droppable)) {
        const why = 'there is a DROP where none is expected';
        if (this.#options.isOurs(unclear(why))) return this.#findUnclear(why);
      }
      this.#isGuarded ||= lexer.isRecycleName;
      this.#mayWrite ||= this.#isMariaDb && this.#isWord(SEQUENCE_WORDS);
      if (this.#isGuarded && this.#mayWrite) return this.#findUnclear(NAMED_WHY, NAMED);
      this.#wasDrop = lexer.isWord('DROP') || (this.#alters && lexer.isWord('TRUNCATE'));
    }
    return this.#state !== 'plain';
  }

  /** Where nobody knows how the rest is read, the words of ours must not come at all. */
  #watchRest(): void {
    const rest = this.#bytes.subarray(this.#start, this.#end);
    const why = 'it is not known how the rest of it is read';
    const verdict = this.#verdictOn(rest, this.#watch, why);
    if (verdict !== null) this.#findUnclear(why, verdict.kind === 'guarded' ? verdict : undefined);
    this.#start = this.#end;
  }

  /** Of what isn't lexed; null: it may go on. */
  #verdictOn(rest: Buffer, watch: TriggerWatch, why: string): Verdict | null {
    const mayBeOurs = watch.push(rest);
    if (watch.mentionsRecycle || this.#inRecycle) return { kind: 'guarded', how: 'unclear' };
    const verdict = unclear(why);
    return mayBeOurs && this.#options.isOurs(verdict) ? verdict : null;
  }

  /** A statement begins at `start`, in the window. */
  #begin(start: number): void {
    this.#start = start;
    this.#state = 'head';
    if (this.#mode !== null) {
      this.#lexer = new Lexer(this.#bytes, start, this.#end, this.#mode);
    }
  }

  /** From here on, or from `at` in a plain statement, the text is watched. */
  #giveUp(at = this.#start): boolean {
    const isBetween = this.#state !== 'plain';
    if (!isBetween) this.#start = at;
    // Of the statement under way its beginning has gone on already.
    if (!isBetween && this.#alters) this.#watch.push(Buffer.from('ALTER DROP '));
    const rest = Buffer.from(this.#bytes.subarray(this.#start, this.#end));
    const why = 'it is not known how it is read';
    const verdict = isBetween ? this.#verdictOn(rest, new TriggerWatch(this.#options), why) : null;
    if (verdict !== null) return this.#findOurs(verdict);
    this.#mode = null;
    this.#state = 'watch';
    return true;
  }

  #findOurs(verdict: Verdict): boolean {
    this.#finding = { kind: 'ours', at: this.safe, verdict };
    return true;
  }

  #findUnclear(why: string, guarded?: Guarded): boolean {
    this.#finding = { kind: 'unclear', why, ...(guarded === undefined ? {} : { guarded }) };
    return true;
  }

  #setFree(): boolean {
    this.#state = 'free';
    return true;
  }

  /** A statement under way is an ALTER, of which partitions are sought. */
  get #alters(): boolean {
    return this.#droppable === PARTITION;
  }

  get #isMariaDb(): boolean {
    return this.#mode?.flavour === 'mariadb';
  }

  #isWord(words: readonly string[]): boolean {
    return words.some((word) => this.#lexer.isWord(word));
  }

  /**
   * Goes on to the next token. False where it has to wait for more, or where the text isn't lexed
   * any more.
   */
  #next(): boolean {
    const before = this.#lexer.at;
    for (;;) {
      const limit = this.#isLast ? Number.POSITIVE_INFINITY : this.#end - LOOKAHEAD_BYTES;
      const isThere = this.#lexer.tryNext(limit);
      if (this.#lexer.isInDoubt) return this.#stopLexing(before);
      if (this.#state === 'head') this.#start = Math.max(this.#start, this.#lexer.outsideAt);
      if (isThere) return true;
      const { at, outsideAt, isAtStart } = this.#lexer;
      if (this.#end - at <= this.#tokenBytesMax || this.#mode === null) return false;
      const isPlace = isAtStart && (this.#state === 'plain' || at === outsideAt);
      const middle = isPlace ? middleOf(this.#bytes, at, this.#end, this.#mode) : null;
      if (middle === null || middle.from >= middle.to) return this.#stopLexing(at);
      this.#takeOut(middle);
    }
  }

  #stopLexing(at: number): false {
    this.#giveUp(at);
    return false;
  }

  #takeOut({ from, to }: Middle): void {
    this.#bytes.copyWithin(from, to, this.#end);
    this.#base += to - from;
    this.#end -= to - from;
    this.#lexer.moveTo(this.#bytes, this.#lexer.at, this.#end);
  }
}

/** A text that is watched isn't lexed; this only fills the place. */
const UNKNOWN: LexMode = {
  flavour: 'mysql',
  versionId: 0,
  ansiQuotes: false,
  noBackslashEscapes: false,
  squareBrackets: false,
  charset: 'plain',
};
