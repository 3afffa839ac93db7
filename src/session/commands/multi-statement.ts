/**
 * Executes a text of several statements with one of ours among them in pieces: what stands before
 * ours goes to the server as one packet, ours is taken like a text of its own, and the rest is read
 * when its turn comes, because the sql_mode may be another then. The client gets one answer with
 * several results, which ends at the first error.
 *
 * Invariant: a piece goes to the server only where everything in it was seen to be none of ours, in
 * every mode that was possible then.
 */
import { assert } from '../../assert.js';
import type { ResponseTracker } from '../../relay/response-tracker.js';
import { classifying, type VerdictUnderAll } from '../../sql/classify.js';
import type { KnownMode } from '../../sql/lex/lex-mode.js';
import { isPrepare } from '../../sql/named-statement.js';
import { type Ahead, type OwnPiece, readingAhead, type Wanted } from '../../sql/read-ahead.js';
import { unread } from '../../sql/recycle-schema-write.js';
import { enabledKinds, isProtected } from '../../sql/verdict.js';
import { type Interception, refused, type Taken } from '../../statements/intercepted.js';
import { notDone } from '../../steps/refusals/refusals.js';
import type { UserFacts } from '../../steps/request.js';
import { cleanFactsSql, readFacts } from '../../steps/session/facts.js';
import { inSlices } from '../../steps/session/in-slices.js';
import { SERVER_MORE_RESULTS_EXISTS } from '../../wire/capabilities.js';
import { COM_QUERY } from '../../wire/commands.js';
import { encodePacket } from '../../wire/framing.js';
import { decodeErr, type ErrPacket, okWithStatus } from '../../wire/response.js';
import { ER_PARSE_ERROR } from '../../wire/server-errors.js';
import { HELD_BYTES_MAX } from '../gate/command-gate.js';
import type { LastSeen } from '../gate/session-guess.js';
import type { Login } from '../login/login.js';
import { WireUserSession } from '../user-session/wire-user-session.js';
import { intercept } from './dispatch.js';
import { type DispatchOptions, noticeForwarded } from './prepared-drops.js';
import { type PieceEnd, StatementRelay } from './relay-piece.js';
import { commandOnName } from './text-protocol.js';

/** The two connections of the session, and who is told of answers. */
export interface MultiStatementOwner {
  toServer(bytes: Buffer): void;
  toClient(bytes: Buffer): void;
  /** A statement was answered by us. */
  onAnswer(taken: Taken, answer: Extract<Interception, { kind: 'answer' }>): void;
}

export interface MultiStatementOptions {
  readonly taken: Taken;
  readonly login: Login;
  /** Follows the session, as ever. */
  readonly tracker: ResponseTracker;
  /** Whether the server is known to take several statements in a text. */
  readonly isSure: boolean;
  readonly owner: MultiStatementOwner;
  /** What the interception of one statement needs. */
  readonly context: () => Omit<DispatchOptions, 'userSession' | 'multiStatements'>;
  readonly isClientGone: () => boolean;
  readonly lastSeen: LastSeen;
}

/** How many statements are tried for having caused a syntax error; what CALL says is one result. */
const CULPRITS_MAX = 8;

/** The file comes amid the answers, and its sequence ids would have to be changed on their way. */
const NO_FILE = notDone(
  'in one query with LOAD DATA LOCAL INFILE',
  'A table that it may name was',
  'Send LOAD DATA LOCAL INFILE as a query of its own.',
);

/** Whether a text has the words of LOAD DATA LOCAL INFILE, wherever they are. */
function mayAskForFile(text: Buffer): boolean {
  const words = text.toString('latin1');
  return [/\bload\b/i, /\blocal\b/i, /\binfile\b/i].every((word) => word.test(words));
}

export class MultiStatementRun {
  readonly #options: MultiStatementOptions;
  /** The text after the query attributes. */
  readonly #text: Buffer;
  /** What the client sent after its text. */
  readonly #rest: Buffer;
  #sequenceId: number;
  #userSession: WireUserSession | null = null;
  #relay: StatementRelay | null = null;
  #onRelayFailed: (error: Error) => void = () => undefined;
  /** What came from the server while nobody waited for it. */
  #unexpected: Buffer[] = [];
  #failure: Error | null = null;

  constructor(options: MultiStatementOptions, rest: Buffer) {
    const { taken } = options;
    this.#options = options;
    this.#text = taken.text;
    this.#rest = rest;
    this.#sequenceId = (taken.packet.sequenceId + 1) & 0xff;
  }

  /** A response of the server's is on its way to the client. */
  get isRelaying(): boolean {
    return this.#relay !== null;
  }

  /** Sequence id of an error of ours; null in the middle of a response. */
  get errorSequenceId(): number | null {
    return this.#relay === null ? this.#sequenceId : null;
  }

  /**
   * Runs the text to its end, its first error, or the end of the client. Resolves with how its only
   * statement is settled, where nothing of it was answered here; rejects where the session broke.
   */
  async run(): Promise<Interception | null> {
    const { tracker, isSure } = this.#options;
    if (!isSure && !(await this.#isSeveral())) return this.#interceptWhole();
    // Where the answer to the first piece begins is known where none is owed.
    if (!tracker.idle) await this.#session().run([]);
    let known = this.#options.lastSeen.known(null);
    let isAsked = false;
    for (let at = 0; !this.#options.isClientGone(); ) {
      const rest = this.#text.subarray(at);
      const ahead = await inSlices(readingAhead(rest, known, this.#wanted));
      if (ahead === null) {
        if (isAsked) return this.#refuseRest(rest);
        const facts = await this.#askFacts();
        if ('errno' in facts) return this.#say(facts.payload);
        known = this.#options.lastSeen.known(facts);
        isAsked = true;
        continue;
      }
      if (isAsked && at === 0) {
        const verdict = await this.#readWhole(known);
        if (verdict.kind === 'unclear' && verdict.tooMany !== undefined) {
          return intercept({ ...this.#options.taken, verdict }, this.#one());
        }
      }
      const { ours } = ahead;
      if (ours === null && at === 0) return { kind: 'forward', facts: null };
      if (at === 0 && mayAskForFile(this.#text)) return refused(NO_FILE, this.#one());
      isAsked = false;
      if (ours === null || ours.at > 0) {
        const isWhole = await this.#execute(rest, ahead, ours?.at ?? null);
        if (!isWhole || ours === null) return null;
        at += ours.at;
        known = this.#options.lastSeen.known(null);
      } else {
        const facts = await this.#take(rest, ours);
        if (facts === 'over' || ours.next === null) return null;
        at += ours.next;
        known = this.#options.lastSeen.known(facts);
      }
    }
    return null;
  }

  /** The server's next bytes. */
  feed(chunk: Buffer): void {
    if (this.#userSession !== null) return this.#userSession.feed(chunk);
    if (this.#relay === null) {
      this.#unexpected.push(Buffer.from(chunk));
      return;
    }
    this.#options.tracker.feed(chunk);
    this.#relay.feed(chunk);
  }

  /** The connection ended: whoever waits gets `error`. */
  fail(error: Error): void {
    this.#failure = error;
    this.#userSession?.fail(error);
    this.#onRelayFailed(error);
  }

  /** Gives the streams back: what came after the text, and after its answer. */
  end(): { readonly fromServer: Buffer; readonly fromClient: Buffer } {
    this.#closeSession();
    return { fromServer: Buffer.concat(this.#unexpected), fromClient: this.#rest };
  }

  get #wanted(): Wanted {
    const { service, prepared } = this.#options.context();
    const { protect } = service;
    const names = prepared.watchesNames;
    return { isOurs: (verdict) => isProtected(verdict, protect), names, ...enabledKinds(protect) };
  }

  // ── pieces ─────────────────────────────────────────────────────────────────────────────────

  /** Executes what is none of ours, up to `end`; null: to the end of the text. False: an error. */
  async #execute(rest: Buffer, ahead: Ahead, end: number | null): Promise<boolean> {
    const piece = rest.subarray(0, end ?? rest.length);
    const done = await this.#send(piece, end === null);
    if (done.error !== null) {
      const error = decodeErr(done.error);
      this.#say(await this.#inWordsOfTail(error, rest, piece.length, ahead.before, done.results));
    }
    return !done.hasFailed;
  }

  /** One of ours: dropped and held, refused, or executed after all. */
  async #take(rest: Buffer, ours: OwnPiece): Promise<UserFacts | null | 'over'> {
    const { next, verdict } = ours;
    const text = rest.subarray(0, next === null ? rest.length : next - 1);
    const { taken, owner } = this.#options;
    const packet = { ...taken.packet, payload: this.#payload(text) };
    const piece: Taken = { ...taken, packet, text, tail: rest, verdict };
    const one = this.#one();
    const interception = this.#wanted.isOurs(verdict)
      ? await intercept(piece, one)
      : await commandOnName({ ...piece, carrier: 'named' }, one);
    if (interception.facts !== null) this.#options.lastSeen.inFacts(interception.facts);
    if (interception.kind === 'forward') {
      noticeForwarded(text, interception.facts, one);
      const isWhole = await this.#execute(rest, { before: [0], ours: null }, next);
      return isWhole ? null : 'over';
    }
    const isError = interception.payload[0] === 0xff;
    const isLast = isError || next === null;
    this.#say(
      isLast
        ? interception.payload
        : okWithStatus(interception.payload, SERVER_MORE_RESULTS_EXISTS),
    );
    owner.onAnswer(piece, interception);
    return isError ? 'over' : interception.facts;
  }

  /** A piece as a packet of its own; resolves when its response is with the client. */
  #send(piece: Buffer, isLast: boolean): Promise<PieceEnd> {
    this.#closeSession();
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const { login, tracker, owner } = this.#options;
    return new Promise((resolve, reject) => {
      this.#onRelayFailed = reject;
      const relay = new StatementRelay({
        capabilities: login.capabilities,
        sequenceId: this.#sequenceId,
        isLast,
        toClient: (bytes) => owner.toClient(bytes),
        onDone: (end) => {
          this.#relay = null;
          this.#sequenceId = end.sequenceId;
          if (end.rest.length > 0) this.#unexpected.push(end.rest);
          resolve(end);
        },
      });
      this.#relay = relay;
      tracker.expect(COM_QUERY);
      owner.toServer(encodePacket(this.#payload(piece), 0));
      for (const early of this.#unexpected.splice(0)) this.feed(early);
    });
  }

  #payload(text: Buffer): Buffer {
    const { payload } = this.#options.taken.packet;
    return Buffer.concat([payload.subarray(0, payload.length - this.#text.length), text]);
  }

  /** Writes an answer of one packet in its place. */
  #say(payload: Buffer): null {
    this.#options.owner.toClient(encodePacket(payload, this.#sequenceId));
    this.#sequenceId = (this.#sequenceId + 1) & 0xff;
    return null;
  }

  // ── questions to the server ────────────────────────────────────────────────────────────────

  /** A COM_SET_OPTION that the server refused, or one that took it back: then it is a 1064. */
  async #isSeveral(): Promise<boolean> {
    const text = Buffer.from("SIGNAL /* undrop several */ SQLSTATE '45000'; DO 0");
    const [answer] = await this.#session().run([{ kind: 'query', text }]);
    assert(answer?.kind === 'err', 'a SIGNAL is an error');
    return answer.errno !== ER_PARSE_ERROR;
  }

  /** What there is more of than may be in a text is told before anything of it is executed. */
  #readWhole(known: KnownMode): Promise<VerdictUnderAll> {
    const { protect } = this.#options.context().service;
    const options = { multiStatements: true, ...enabledKinds(protect) };
    return inSlices(classifying(this.#text, known, options));
  }

  async #interceptWhole(): Promise<Interception> {
    return intercept({ ...this.#options.taken, verdict: null }, this.#one());
  }

  /** For one statement by itself. */
  #one(): DispatchOptions {
    return { ...this.#options.context(), userSession: this.#session(), multiStatements: false };
  }

  async #askFacts(): Promise<UserFacts | ErrPacket> {
    const text = cleanFactsSql(this.#options.login.server);
    const [answer] = await this.#session().run([{ kind: 'query', text }]);
    assert(answer !== undefined, 'the facts of the session have an answer');
    const facts = readFacts(answer);
    if (!('errno' in facts)) this.#options.lastSeen.inFacts(facts);
    return facts;
  }

  /** How the rest is read is open even with the mode: it isn't executed. */
  async #refuseRest(rest: Buffer): Promise<null> {
    const verdict = unread(rest, 'how it is read differs');
    await this.#take(rest, { at: 0, next: null, verdict });
    return null;
  }

  /**
   * A syntax error quotes the text from where it is up to its end, which here is the end of the
   * piece. The statement that it is about, prepared with everything after it, gets the words that
   * it would have got in the whole text: PREPARE takes no second statement, and executes nothing.
   */
  async #inWordsOfTail(
    error: ErrPacket,
    rest: Buffer,
    end: number,
    starts: readonly number[],
    results: number,
  ): Promise<Buffer> {
    if (error.errno !== ER_PARSE_ERROR || rest.length > HELD_BYTES_MAX) return error.payload;
    const last = Math.min(results, starts.length - 1);
    for (let index = last; index >= 0 && index > last - CULPRITS_MAX; index--) {
      const from = starts[index] ?? 0;
      if (index === last && isPrepare(rest.subarray(from, end))) break;
      const alike = await this.#errorOf(rest.subarray(from, end));
      if (alike?.payload.equals(error.payload) !== true) continue;
      return (await this.#errorOf(rest.subarray(from)))?.payload ?? error.payload;
    }
    return error.payload;
  }

  async #errorOf(text: Buffer): Promise<ErrPacket | null> {
    const userSession = this.#session();
    const [answer] = await userSession.run([{ kind: 'prepare', text }]);
    if (answer?.kind === 'err') return answer;
    if (answer?.kind === 'prepared') {
      await userSession.run([{ kind: 'close', statementId: answer.statementId }]);
    }
    return null;
  }

  /** The session as ours, from where nothing is owed to the client any more. */
  #session(): WireUserSession {
    if (this.#userSession !== null) return this.#userSession;
    const { login, tracker, owner } = this.#options;
    const userSession = new WireUserSession({
      capabilities: login.capabilities,
      tracker,
      failsPrepare: false,
      toServer: (bytes) => owner.toServer(bytes),
      toClient: (bytes) => owner.toClient(bytes),
    });
    if (this.#failure !== null) userSession.fail(this.#failure);
    this.#userSession = userSession;
    for (const early of this.#unexpected.splice(0)) userSession.feed(early);
    return userSession;
  }

  #closeSession(): void {
    const rest = this.#userSession?.end() ?? Buffer.alloc(0);
    this.#userSession = null;
    if (rest.length > 0) this.#unexpected.push(rest);
  }
}
