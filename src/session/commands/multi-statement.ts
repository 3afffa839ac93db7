/**
 * Executes a text of several statements, one of which is for undrop, in parts: the statements
 * before it go to the server as one packet, undrop handles its statement like a text of its own,
 * and the rest is read when its turn comes, because the sql_mode may have changed. The client gets
 * one response with several results, which ends at the first error.
 *
 * Invariant: a part goes to the server only if no statement in it can be undrop's, in every mode
 * that was possible then.
 */

import type { Answered, Intercepted, Interception } from '../../drop/intercepted.js';
import { refused } from '../../drop/intercepted.js';
import { notDone } from '../../drop/steps/refusals/refusals.js';
import { cleanFactsSql, readFacts } from '../../drop/steps/session/facts.js';
import { inSlices } from '../../drop/steps/session/in-slices.js';
import { ask, type UserFacts } from '../../drop/steps/world.js';
import { assert } from '../../errors.js';
import type { ResponseTracker } from '../../relay/response-tracker.js';
import type { KnownMode } from '../../sql/lex/lex-mode.js';
import { readNamedStatement } from '../../sql/named-statement.js';
import { type OwnPart, readingAhead, type Wanted } from '../../sql/read-ahead.js';
import { unread } from '../../sql/recycle-schema-write.js';
import * as caps from '../../wire/capabilities.js';
import * as com from '../../wire/commands.js';
import { encodePacket, packetCount } from '../../wire/framing.js';
import { type ErrPacket, okWithStatus } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import type { SessionConnections } from '../connections.js';
import { isTaken, type LastSeen } from '../gate/classify-packet.js';
import type { Rests } from '../login/auth-exchange.js';
import type { Login } from '../login/login.js';
import type { WireUserSession } from '../user-session/wire-user-session.js';
import { answerTo } from './dispatch.js';
import type { DispatchOptions } from './prepared-drops.js';
import { type PartEnd, StatementRelay } from './relay-part.js';

/** The command phase, as far as a run uses it. */
interface RunOwner {
  readonly login: Login;
  readonly tracker: ResponseTracker;
  readonly connections: SessionConnections;
  readonly lastSeen: LastSeen;
  readonly isClientGone: boolean;
  /** The context for the interception of one statement. */
  context(): Omit<DispatchOptions, 'userSession' | 'multiStatements'>;
  newUserSession(): WireUserSession;
  /** A command goes to the server. */
  onSent(payload: Buffer): void;
  /** Undrop has answered a statement. */
  onAnswer(taken: Intercepted, answer: Answered): void;
}

interface Several {
  readonly taken: Intercepted;
  /** The bytes of the client after it. */
  readonly fromClient: Buffer;
  /** Whether the server is known to take several statements in a text. */
  readonly isSure: boolean;
}

/**
 * The file comes within the responses, and its sequence ids would have to be changed on the way.
 */
const NO_FILE = notDone(
  'in one query with LOAD DATA LOCAL INFILE',
  'A table that it may name was',
  'Send LOAD DATA LOCAL INFILE as a query of its own.',
);

/** Whether a text has the words of LOAD DATA LOCAL INFILE anywhere. */
function mayAskForFile(text: Buffer): boolean {
  const words = text.toString('latin1');
  return [/\bload\b/i, /\blocal\b/i, /\binfile\b/i].every((word) => word.test(words));
}

export class MultiStatementRun {
  readonly #owner: RunOwner;
  readonly #several: Several;
  /** The text after the query attributes. */
  readonly #text: Buffer;
  #sequenceId: number;
  #userSession: WireUserSession | null = null;
  #relay: StatementRelay | null = null;
  #onRelayFailed: (error: Error) => void = () => undefined;
  /** Bytes that the server sent while no statement was outstanding. */
  #unexpected: Buffer[] = [];
  #failure: Error | null = null;

  constructor(owner: RunOwner, several: Several) {
    const { text, packet } = several.taken;
    this.#owner = owner;
    this.#several = several;
    this.#text = text;
    this.#sequenceId = (packet.sequenceId + 1) & 0xff;
  }

  /** A response of the server is on its way to the client. */
  get isRelaying(): boolean {
    return this.#relay !== null;
  }

  /** Sequence id for an error of undrop; null within a response. */
  get errorSequenceId(): number | null {
    return this.#relay === null ? this.#sequenceId : null;
  }

  /**
   * Runs the text to its end, its first error, or the end of the client. Resolves with the outcome
   * of its only statement, if undrop sent no response to any of it; rejects if the session broke.
   */
  async run(): Promise<Interception | null> {
    const { lastSeen, tracker } = this.#owner;
    const { taken, isSure } = this.#several;
    if (!isSure && !(await this.#isSeveral())) {
      return answerTo({ ...taken, verdict: null }, this.#one());
    }
    // The response to the first part begins after all outstanding ones.
    if (!tracker.idle) await this.#session().run([]);
    let known = lastSeen.known(null);
    let isAsked = false;
    for (let at = 0; !this.#owner.isClientGone; ) {
      const rest = this.#text.subarray(at);
      const ahead = await inSlices(readingAhead(rest, known, this.#wanted));
      if (ahead === null) {
        if (isAsked) {
          // Still ambiguous although the mode is known, so it isn't executed.
          const verdict = unread(rest, 'the server may read it in different ways');
          await this.#take(rest, { at: 0, next: null, verdict }, known);
          return null;
        }
        const facts = await this.#readFacts();
        if ('errno' in facts) return this.#say(facts.payload);
        known = lastSeen.known(facts);
        isAsked = true;
        continue;
      }
      const { ours } = ahead;
      if (ours === null && at === 0) return { kind: 'forward', facts: null };
      if (at === 0 && mayAskForFile(this.#text)) return refused(NO_FILE, this.#one());
      isAsked = false;
      if (ours === null || ours.at > 0) {
        const end = await this.#send(rest.subarray(0, ours?.at), ours === null);
        if (end.hasFailed || ours === null) return null;
        at += ours.at;
        known = lastSeen.known(null);
      } else {
        const facts = await this.#take(rest, ours, known);
        if (facts === 'over' || ours.next === null) return null;
        at += ours.next;
        known = lastSeen.known(facts);
      }
    }
    return null;
  }

  /** The server's next bytes. */
  feed(chunk: Buffer): void {
    if (this.#userSession !== null) return this.#userSession.feed(chunk);
    if (this.#relay === null) return void this.#unexpected.push(Buffer.from(chunk));
    this.#owner.tracker.feed(chunk);
    this.#relay.feed(chunk);
  }

  /** The connection ended: rejects what waits with `error`. */
  fail(error: Error): void {
    this.#failure = error;
    this.#userSession?.fail(error);
    this.#onRelayFailed(error);
  }

  /** Returns the streams: the bytes after the text, and after its response. */
  end(): Rests {
    this.#closeSession();
    const { fromClient } = this.#several;
    return { fromServer: Buffer.concat(this.#unexpected), fromClient };
  }

  get #wanted(): Wanted {
    const { service, prepared } = this.#owner.context();
    const { protect } = service;
    const names = prepared.watchesNames;
    return { isOurs: (verdict) => isTaken(verdict, service), names, protect };
  }

  // ── parts ─────────────────────────────────────────────────────────────────────────────────

  /** A statement of undrop: dropped and held, refused, or executed after all. */
  async #take(
    rest: Buffer,
    { next, verdict }: OwnPart,
    known: KnownMode,
  ): Promise<UserFacts | null | 'over'> {
    const text = rest.subarray(0, next === null ? rest.length : next - 1);
    const { taken } = this.#several;
    const packet = { ...taken.packet, payload: this.#payload(text) };
    const part: Intercepted = { ...taken, packet, text, verdict };
    const one = { ...this.#one(), moreResults: next !== null };
    const interception = this.#wanted.isOurs(verdict)
      ? await answerTo(part, one)
      : await this.#followNames(part, known, one);
    if (interception.facts !== null) this.#owner.lastSeen.inFacts(interception.facts);
    if (interception.kind === 'forward') {
      const end = await this.#send(text, next === null);
      return end.hasFailed ? 'over' : null;
    }
    const isError = interception.payload[0] === 0xff;
    const isLast = isError || next === null;
    const { payload, more = [] } = interception;
    const isRows = more.length > 0;
    this.#say(isLast || isRows ? payload : okWithStatus(payload, caps.SERVER_MORE_RESULTS_EXISTS));
    for (const packet of more) this.#say(packet);
    this.#owner.onAnswer(part, interception);
    return isError ? 'over' : interception.facts;
  }

  /** Not a statement of undrop, but it may prepare, execute or deallocate a drop by name. */
  async #followNames(
    part: Intercepted,
    known: KnownMode,
    one: DispatchOptions,
  ): Promise<Interception> {
    const command = one.prepared.follow(readNamedStatement(part.text, known, one));
    if (command === null) return { kind: 'forward', facts: null };
    return answerTo({ ...part, packetKind: 'named', command }, one);
  }

  /** Sends a part as a packet of its own; resolves when the client has its response. */
  #send(part: Buffer, isLast: boolean): Promise<PartEnd> {
    this.#closeSession();
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const { login, tracker, connections } = this.#owner;
    const payload = this.#payload(part);
    return new Promise((resolve, reject) => {
      this.#onRelayFailed = reject;
      const relay = new StatementRelay({
        capabilities: login.capabilities,
        sequenceId: this.#sequenceId,
        sentPackets: packetCount(payload.length),
        isLast,
        connections,
        onDone: (end) => {
          this.#relay = null;
          this.#sequenceId = end.sequenceId;
          if (end.rest.length > 0) this.#unexpected.push(end.rest);
          resolve(end);
        },
      });
      this.#relay = relay;
      tracker.expect(com.COM_QUERY);
      this.#owner.onSent(payload);
      connections.toServer(encodePacket(payload, 0));
      for (const early of this.#unexpected.splice(0)) this.feed(early);
    });
  }

  #payload(text: Buffer): Buffer {
    const { payload } = this.#several.taken.packet;
    return Buffer.concat([payload.subarray(0, payload.length - this.#text.length), text]);
  }

  /** Writes a response of one packet in its place. */
  #say(payload: Buffer): null {
    this.#owner.connections.toClient(encodePacket(payload, this.#sequenceId));
    this.#sequenceId = (this.#sequenceId + 1) & 0xff;
    return null;
  }

  // ── queries to the server ──────────────────────────────────────────────────────────────────

  /**
   * False after a COM_SET_OPTION that the server refused, or one that switched it off: then the
   * text is a 1064.
   */
  async #isSeveral(): Promise<boolean> {
    const text = Buffer.from("SIGNAL /* undrop several */ SQLSTATE '45000'; DO 0");
    const [answer] = await ask(this.#session(), text);
    assert(answer?.kind === 'err', 'a SIGNAL is an error');
    return answer.errno !== ER.PARSE_ERROR;
  }

  /** The options for one statement by itself. */
  #one(): DispatchOptions {
    return { ...this.#owner.context(), userSession: this.#session(), multiStatements: false };
  }

  async #readFacts(): Promise<UserFacts | ErrPacket> {
    const { login, lastSeen } = this.#owner;
    const [answer] = await ask(this.#session(), cleanFactsSql(login.server));
    assert(answer !== undefined, 'the facts of the session have an answer');
    const facts = readFacts(answer);
    if (!('errno' in facts)) lastSeen.inFacts(facts);
    return facts;
  }

  /** The session for undrop's statements, after all outstanding responses. */
  #session(): WireUserSession {
    if (this.#userSession !== null) return this.#userSession;
    const userSession = this.#owner.newUserSession();
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
