/**
 * The command phase of one session: commands go through the gate, responses past the tracker, and a
 * statement that is ours is intercepted: the client's stream waits, the user session is ours from
 * the marker on, the answer is written, and the stream goes on.
 */
import { assert } from '../../assert.js';
import type { UndropError } from '../../errors.js';
import { ResponseTracker } from '../../relay/response-tracker.js';
import { isFreeByHead } from '../../sql/free-text.js';
import type { Reading } from '../../sql/reading.js';
import type { DropService, Interception, Taken } from '../../statements/intercepted.js';
import { inSlices } from '../../steps/session/in-slices.js';
import type { SessionFacts } from '../../steps/session/user-session.js';
import { CLIENT_MULTI_STATEMENTS, hasFlag } from '../../wire/capabilities.js';
import {
  COM_CHANGE_USER,
  COM_QUERY,
  COM_SET_OPTION,
  COM_STMT_PREPARE,
  queryTextOffset,
} from '../../wire/commands.js';
import { encodePacket, HEADER_BYTES, type Packet } from '../../wire/framing.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import { classifyPacket, isMultiStatement, type LookOptions } from '../gate/classify-packet.js';
import { CommandGate, longBytesMax } from '../gate/command-gate.js';
import { type Observing, observing, soughtNow } from '../gate/observe.js';
import { LastSeen } from '../gate/session-guess.js';
import { type Place, textRoom } from '../gate/text-room.js';
import { ChangeUser } from '../login/change-user.js';
import type { Login } from '../login/login.js';
import { newLoginCheck } from '../login/login-check.js';
import { WireUserSession } from '../user-session/wire-user-session.js';
import { commandOnDrop } from './binary-protocol.js';
import { intercept } from './dispatch.js';
import { MultiStatementRun } from './multi-statement.js';
import { noticeForwarded } from './named-statements.js';
import { type DispatchOptions, PreparedDrops } from './prepared-drops.js';
import { commandOnName } from './text-protocol.js';

export interface CommandPhaseOwner {
  readonly service: DropService;
  readonly session: SessionFacts;
  toClient(bytes: Buffer): void;
  toServer(bytes: Buffer): void;
  /** Calls back when the server's socket has taken everything that was sent. */
  whenSent(run: () => void): void;
  /** Stops reading the client, until `releaseClient`. */
  holdClient(): void;
  releaseClient(): void;
  observing(): Observing | null;
  /** A statement was answered by us. */
  onAnswer(taken: Taken, answer: Extract<Interception, { kind: 'answer' }>): void;
  /** An interception is over; nothing of it is under way any more. */
  onSettled(): void;
  onFailure(error: unknown): void;
}

interface Looking {
  readonly packet: Packet;
  readonly reading: Reading<Taken | null>;
}

export class CommandPhase {
  readonly #owner: CommandPhaseOwner;
  readonly #login: Login;
  readonly #gate: CommandGate;
  readonly #tracker: ResponseTracker;
  readonly #prepared: PreparedDrops;
  #taken: Taken | null = null;
  /** A text of which only the beginning was read when the gate stopped; and it is being read. */
  #looking: Looking | null = null;
  #isLooking = false;
  /** A COM_CHANGE_USER that the gate has stopped at, and one that is under way. */
  #takenChange: Packet | null = null;
  #changing: ChangeUser | null = null;
  /** Bytes of the long text before which the gate has stopped, as it needs room. */
  #longBytes: number | null = null;
  /** The room of a long text that is held, or under way. */
  #place: Place | null = null;
  readonly #over = new AbortController();
  #intercepting: WireUserSession | MultiStatementRun | null = null;
  #ended = false;
  #clientIsGone = false;
  /** Once on, on for good: what might be several statements is several. */
  #multiStatements: boolean;
  #isSureOfMulti = true;
  readonly #lastSeen: LastSeen;

  constructor(login: Login, owner: CommandPhaseOwner) {
    this.#login = login;
    this.#owner = owner;
    this.#lastSeen = new LastSeen(login);
    this.#multiStatements = hasFlag(login.capabilities, CLIENT_MULTI_STATEMENTS);
    this.#prepared = new PreparedDrops(login.server);
    const tracker = new ResponseTracker(login.capabilities);
    this.#tracker = tracker;
    const isAllAnswered = () => tracker.idle;
    this.#gate = new CommandGate(
      {
        forward: (bytes) => owner.toServer(bytes),
        onCommand: (command) => this.#onCommand(command),
        letThrough: (packet) => this.#letThrough(packet),
        letLongPass: (head) => this.#letLongPass(head),
      },
      {
        handles: this.#prepared,
        session: this.#lastSeen,
        enabled: soughtNow(owner),
        isAllAnswered,
      },
    );
  }

  /** Nothing is under way: no response owed, no command half sent, no statement of ours. */
  get isIdle(): boolean {
    if (this.#intercepting !== null || this.#changing !== null || this.#isLooking) return false;
    return this.#tracker.idle && this.#gate.atCommandEdge;
  }

  /**
   * Sequence id of an error of ours; null where one would not be read as what it is, in the middle
   * of a response.
   */
  get errorSequenceId(): number | null {
    if (this.#changing !== null) return this.#changing.nextToClient;
    if (this.#intercepting instanceof MultiStatementRun) return this.#intercepting.errorSequenceId;
    return this.#tracker.idle ? 1 : null;
  }

  get isIntercepting(): boolean {
    const it = this.#intercepting;
    return it instanceof MultiStatementRun ? !it.takesFile : it !== null;
  }

  /** The client's socket is gone. True: what is under way is brought to its end first. */
  clientGone(): boolean {
    this.#clientIsGone = true;
    const it = this.#intercepting;
    return it instanceof MultiStatementRun ? !it.isRelaying : it !== null;
  }

  get inTransaction(): boolean {
    return this.#tracker.inTransaction;
  }

  /** Who the session is, as last seen: at the login, or by a drop. */
  get user(): string {
    return this.#lastSeen.guess.user;
  }

  get untracked(): boolean {
    return this.#tracker.untracked;
  }

  feedServer(chunk: Buffer): void {
    if (this.#intercepting !== null) return this.#intercepting.feed(chunk);
    if (this.#changing !== null) return this.#changing.feedServer(chunk);
    this.#tracker.feed(chunk);
    this.#owner.toClient(chunk);
  }

  feedClient(chunk: Buffer): void {
    if (this.#changing !== null) return this.#changing.feedClient(chunk);
    const it = this.#intercepting;
    if (it instanceof MultiStatementRun && it.takesFile) return it.feedClient(chunk);
    const behind = this.#gate.feed(chunk);
    if (behind === null) return this.#leaveRoom();
    this.#owner.holdClient();
    this.#take(behind).catch((error: unknown) => this.#owner.onFailure(error));
  }

  #take(behind: Buffer): Promise<void> {
    const [taken, change] = [this.#taken, this.#takenChange];
    const [longBytes, looking] = [this.#longBytes, this.#looking];
    this.#taken = null;
    this.#looking = null;
    this.#takenChange = null;
    this.#longBytes = null;
    if (change !== null) return this.#changeUser(change, behind);
    if (looking !== null) return this.#lookOn(looking, behind);
    if (longBytes !== null) return this.#makeRoom(longBytes, behind);
    assert(taken !== null, 'the gate stops only at a statement that was taken');
    return this.#intercept(taken, behind);
  }

  /** The session ended: whoever waits on the user session is told, and nothing new begins. */
  fail(error: Error): void {
    this.#ended = true;
    this.#over.abort();
    this.#place?.leave();
    this.#prepared.forgetAll();
    this.#intercepting?.fail(error);
    this.#changing?.leave();
  }

  #onCommand(command: number): void {
    const mayChangeMulti = command === COM_SET_OPTION || command === COM_CHANGE_USER;
    this.#multiStatements ||= mayChangeMulti;
    this.#isSureOfMulti &&= !mayChangeMulti;
    this.#prepared.onCommand(command);
    this.#tracker.expect(command);
  }

  #letThrough(packet: Packet): boolean {
    if (packet.payload[0] === COM_CHANGE_USER && this.#login.bridge !== null) {
      this.#takenChange = packet;
      return false;
    }
    this.#place?.arrived();
    const reading = this.#look(packet);
    const { done, value } = reading.next();
    if (done === true) this.#taken = value;
    else this.#looking = { packet, reading };
    return done === true && value === null;
  }

  *#look(packet: Packet): Reading<Taken | null> {
    yield* this.#lastSeen.readingCommand(packet.payload);
    const options = this.#lookOptions;
    yield* observing(packet, this.#owner.observing(), options);
    return yield* classifyPacket(packet, options);
  }

  /** A text that takes long to read: what is behind it waits, and what is not ours goes on. */
  async #lookOn({ packet, reading }: Looking, behind: Buffer): Promise<void> {
    this.#isLooking = true;
    const taken = await inSlices(reading);
    this.#isLooking = false;
    if (this.#ended) return;
    if (taken !== null) return this.#intercept(taken, behind);
    this.#onCommand(packet.payload[0] ?? 0);
    this.#owner.toServer(encodePacket(packet.payload, 0));
    this.#goOn(Buffer.alloc(0), behind);
  }

  /** The session as ours, behind whatever is under way. */
  #openUserSession({ failsPrepare = false } = {}): WireUserSession {
    const userSession = new WireUserSession({
      capabilities: this.#login.capabilities,
      tracker: this.#tracker,
      failsPrepare,
      toServer: (bytes) => this.#owner.toServer(bytes),
      toClient: (bytes) => this.#owner.toClient(bytes),
    });
    this.#intercepting = userSession;
    return userSession;
  }

  /** Where it stands in the stream is found by the marker; then it goes over the bridge. */
  async #changeUser(packet: Packet, behind: Buffer): Promise<void> {
    const { bridge } = this.#login;
    assert(bridge !== null, 'without a bridge it goes through unread');
    const userSession = this.#openUserSession();
    await userSession.run([]);
    this.#intercepting = null;
    const changing = new ChangeUser({
      packet,
      bridge,
      check: newLoginCheck(this.#login),
      toClient: (bytes) => this.#owner.toClient(bytes),
      toServer: (bytes) => this.#owner.toServer(bytes),
      onDone: ({ last, fromServer, fromClient }) => {
        this.#changing = null;
        this.#lastSeen.inSchema(changing.schema);
        this.#onCommand(COM_CHANGE_USER);
        this.#tracker.feed(last);
        this.#goOn(fromServer, fromClient);
      },
    });
    this.#changing = changing;
    changing.begin();
    this.#goOn(userSession.end(), behind);
  }

  get #lookOptions(): LookOptions {
    const { capabilities } = this.#login;
    const { protect, guards = true } = this.#owner.service;
    const [server, multiStatements] = [this.#lastSeen.known(null), this.#multiStatements];
    return { capabilities, server, protect, guards, multiStatements, prepared: this.#prepared };
  }

  /** Otherwise it is held as soon as there is room. */
  #letLongPass(head: Buffer): boolean {
    if (this.#isFree(head.subarray(HEADER_BYTES))) return true;
    this.#longBytes = longBytesMax(head.readUIntLE(0, 3));
    return false;
  }

  #isFree(head: Buffer): boolean {
    const { capabilities, server, multiStatements } = this.#lookOptions;
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

  async #makeRoom(bytes: number, behind: Buffer): Promise<void> {
    const onOverdue = (error: UndropError) => this.#owner.onFailure(error);
    this.#place = await textRoom.take(bytes, this.#over.signal, onOverdue);
    if (this.#ended) return this.#place.leave();
    this.#gate.holdLong();
    this.#goOn(Buffer.alloc(0), behind);
  }

  /** Gives back the room of a long text that is done with. */
  #leaveRoom(): void {
    const place = this.#place;
    if (place === null || this.#gate.holdsLong) return;
    this.#place = null;
    this.#owner.whenSent(() => place.leave());
  }

  #context(): Omit<DispatchOptions, 'userSession' | 'multiStatements'> {
    return {
      prepared: this.#prepared,
      server: this.#login.server,
      session: this.#owner.session,
      service: this.#owner.service,
      guess: this.#lastSeen.guess,
      gtidMayBeSet: this.#lastSeen.gtidMayBeSet,
      logBinMayBeOff: this.#lastSeen.logBinMayBeOff,
    };
  }

  async #runPieces(taken: Taken, behind: Buffer): Promise<void> {
    const multiStatement = new MultiStatementRun(
      {
        taken,
        login: this.#login,
        tracker: this.#tracker,
        isSure: this.#isSureOfMulti,
        owner: this.#owner,
        context: () => this.#context(),
        isClientGone: () => this.#clientIsGone,
        known: (facts) => this.#lastSeen.known(facts),
        onFacts: (facts) => this.#lastSeen.inFacts(facts),
        prepared: this.#prepared,
      },
      behind,
    );
    this.#intercepting = multiStatement;
    const interception = await multiStatement.run();
    this.#intercepting = null;
    const { fromServer, fromClient } = multiStatement.end();
    if (interception === null) return this.#goOn(fromServer, fromClient);
    if (interception.kind === 'forward') this.#prepared.doubtNames();
    this.#settle(taken, interception, fromServer, fromClient);
  }

  async #intercept(taken: Taken, behind: Buffer): Promise<void> {
    const read = { multiStatements: this.#multiStatements };
    if (isMultiStatement(taken, read)) return this.#runPieces(taken, behind);
    const userSession = this.#openUserSession({ failsPrepare: taken.carrier === 'prepare' });
    const context = { ...this.#context(), ...read, userSession };
    const interception = await this.#answerTo(taken, context);
    this.#intercepting = null;
    this.#settle(taken, interception, userSession.end(), behind);
  }

  async #answerTo(taken: Taken, options: DispatchOptions): Promise<Interception> {
    const prepared = this.#prepared;
    if (taken.carrier === 'handle') {
      const drop = prepared.find(taken.packet.payload.readUInt32LE(1));
      assert(drop !== null, 'the gate takes no other handle');
      return commandOnDrop(taken.packet, drop, options);
    }
    if (taken.carrier === 'named') return commandOnName(taken, options);
    // Whatever becomes of this one, it is the last that was prepared.
    if (taken.carrier === 'prepare') prepared.onCommand(COM_STMT_PREPARE);
    const interception = await intercept(taken, options);
    if (taken.carrier === 'query' && interception.kind === 'forward') {
      noticeForwarded(taken.text, interception.facts, { ...options, prepared });
    }
    return interception;
  }

  /**
   * The statement is settled: its answer, or the statement itself, goes out; the stream goes on.
   */
  #settle(taken: Taken, interception: Interception, fromServer: Buffer, behind: Buffer): void {
    const { packet } = taken;
    if (interception.facts !== null) this.#lastSeen.inFacts(interception.facts);
    if (interception.kind === 'forward') {
      this.#tracker.expect(packet.payload[0] ?? 0);
      this.#owner.toServer(encodePacket(packet.payload, 0));
    } else {
      const sequenceId = (packet.sequenceId + 1) & 0xff;
      this.#owner.toClient(encodePacket(interception.payload, sequenceId));
      this.#owner.onAnswer(taken, interception);
    }
    this.#goOn(fromServer, behind);
  }

  /** The stream goes on with what came meanwhile. */
  #goOn(fromServer: Buffer, behind: Buffer): void {
    if (this.#ended) return;
    this.#leaveRoom();
    if (fromServer.length > 0) this.feedServer(fromServer);
    this.#owner.releaseClient();
    if (behind.length > 0) this.feedClient(behind);
    this.#owner.onSettled();
  }
}
