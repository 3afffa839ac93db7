/**
 * The command phase of one session: commands go through the gate, responses past the tracker, and a
 * statement that is ours is intercepted: the client's stream waits, the user session is ours from
 * the marker on, the answer is written, and the stream goes on.
 *
 * Invariant: one thing at a time has the two streams, and `State` says which; after `ended` nothing
 * begins.
 */
import { assert, InvariantError } from '../../assert.js';
import type { UndropError } from '../../errors.js';
import { ResponseTracker } from '../../relay/response-tracker.js';
import type { Reading } from '../../sql/reading.js';
import type { DropService, Interception, Taken } from '../../statements/intercepted.js';
import { inSlices } from '../../steps/session/in-slices.js';
import type { SessionFacts } from '../../steps/session/user-session.js';
import { CLIENT_MULTI_STATEMENTS, hasFlag } from '../../wire/capabilities.js';
import { COM_CHANGE_USER, COM_SET_OPTION } from '../../wire/commands.js';
import { encodePacket, HEADER_BYTES, type Packet } from '../../wire/framing.js';
import {
  type ClassifyOptions,
  classifyPacket,
  isFree,
  isMultiStatement,
  type Observing,
  observing,
  soughtNow,
} from '../gate/classify-packet.js';
import { CommandGate, longBytesMax } from '../gate/command-gate.js';
import { LastSeen } from '../gate/session-guess.js';
import { type Place, textRoom } from '../gate/text-room.js';
import { ChangeUser } from '../login/auth-exchange.js';
import type { Login } from '../login/login.js';
import { newLoginCheck } from '../login/login-check.js';
import { WireUserSession } from '../user-session/wire-user-session.js';
import { answerTo } from './dispatch.js';
import { MultiStatementRun } from './multi-statement.js';
import { type DispatchOptions, PreparedDrops } from './prepared-drops.js';

export interface CommandPhaseOwner {
  /** As the settings are by now. */
  readonly service: () => DropService;
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
  /** What has the streams is another from now on. */
  onState(from: State['name'], to: State['name']): void;
  onFailure(error: unknown): void;
}

/** Why the gate has stopped. */
type Stop =
  | { readonly name: 'taken'; readonly taken: Taken }
  /** Only the beginning of the text was read. */
  | { readonly name: 'unread'; readonly packet: Packet; readonly reading: Reading<Taken | null> }
  | { readonly name: 'change-user'; readonly packet: Packet }
  /** A long text comes, which needs room. */
  | { readonly name: 'long'; readonly bytes: number };

/** What has the streams of the client and of the server. */
type State =
  | { readonly name: 'relaying' }
  /** A text is read that takes long; its packet waits. */
  | { readonly name: 'reading' }
  | { readonly name: 'user-session'; readonly run: WireUserSession }
  | { readonly name: 'multi-statement'; readonly run: MultiStatementRun }
  | { readonly name: 'change-user'; readonly run: ChangeUser }
  | { readonly name: 'ended' };

export class CommandPhase {
  readonly #owner: CommandPhaseOwner;
  readonly #login: Login;
  readonly #gate: CommandGate;
  readonly #tracker: ResponseTracker;
  readonly #prepared: PreparedDrops;
  #state: State = { name: 'relaying' };
  #stop: Stop | null = null;
  /** The room of a long text that is held, or under way. */
  #place: Place | null = null;
  readonly #over = new AbortController();
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
    return this.#state.name === 'relaying' && this.#tracker.idle && this.#gate.atCommandEdge;
  }

  /**
   * Sequence id of an error of ours; null where one would not be read as what it is, in the middle
   * of a response.
   */
  get errorSequenceId(): number | null {
    const state = this.#state;
    if (state.name === 'change-user') return state.run.nextToClient;
    if (state.name === 'multi-statement') return state.run.errorSequenceId;
    return this.#tracker.idle ? 1 : null;
  }

  get isIntercepting(): boolean {
    return this.#state.name === 'user-session' || this.#state.name === 'multi-statement';
  }

  /** The client's socket is gone. True: what is under way is brought to its end first. */
  clientGone(): boolean {
    this.#clientIsGone = true;
    const state = this.#state;
    if (state.name === 'multi-statement') return !state.run.isRelaying;
    return state.name === 'user-session';
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
    const state = this.#state;
    if (state.name === 'user-session' || state.name === 'multi-statement') {
      return state.run.feed(chunk);
    }
    if (state.name === 'change-user') return state.run.feedServer(chunk);
    this.#tracker.feed(chunk);
    this.#owner.toClient(chunk);
  }

  feedClient(chunk: Buffer): void {
    const state = this.#state;
    if (state.name === 'change-user') return state.run.feedClient(chunk);
    const rest = this.#gate.feed(chunk);
    if (rest !== null) {
      this.#owner.holdClient();
      this.#take(rest).catch((error: unknown) => this.#owner.onFailure(error));
    } else if (this.#place !== null) {
      this.#leaveRoom(this.#place);
    }
  }

  /** The gate has stopped; `rest` is what the client sent after that. */
  #take(rest: Buffer): Promise<void> {
    const stop = this.#stop;
    this.#stop = null;
    switch (stop?.name) {
      case 'change-user':
        return this.#changeUser(stop.packet, rest);
      case 'unread':
        return this.#readOn(stop, rest);
      case 'long':
        return this.#makeRoom(stop.bytes, rest);
      case 'taken':
        return this.#intercept(stop.taken, rest);
      default:
        throw new InvariantError('the gate stops only for a reason');
    }
  }

  /** The one place where the state changes; a session that has ended stays so. */
  #enter(state: State): void {
    const from = this.#state.name;
    if (from === 'ended') return;
    this.#state = state;
    this.#owner.onState(from, state.name);
  }

  /** The session ended: whoever waits on the user session is told, and nothing new begins. */
  fail(error: Error): void {
    const state = this.#state;
    this.#enter({ name: 'ended' });
    this.#over.abort();
    this.#prepared.forgetAll();
    if (state.name === 'change-user') state.run.leave();
    if (state.name === 'user-session' || state.name === 'multi-statement') state.run.fail(error);
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
      this.#stop = { name: 'change-user', packet };
      return false;
    }
    this.#place?.arrived();
    const reading = this.#classify(packet);
    const { done, value } = reading.next();
    if (done === true && value === null) return true;
    this.#stop =
      done === true && value !== null
        ? { name: 'taken', taken: value }
        : { name: 'unread', packet, reading };
    return false;
  }

  *#classify(packet: Packet): Reading<Taken | null> {
    yield* this.#lastSeen.readingCommand(packet.payload);
    const options = this.#classifyOptions;
    yield* observing(packet, this.#owner.observing(), options);
    return yield* classifyPacket(packet, options);
  }

  /** A text that takes long to read: what came after it waits, and what is not ours goes on. */
  async #readOn(
    { packet, reading }: Extract<Stop, { readonly name: 'unread' }>,
    rest: Buffer,
  ): Promise<void> {
    this.#enter({ name: 'reading' });
    const taken = await inSlices(reading);
    if (this.#hasEnded) return;
    if (taken !== null) return this.#intercept(taken, rest);
    this.#onCommand(packet.payload[0] ?? 0);
    this.#owner.toServer(encodePacket(packet.payload, 0));
    this.#goOn(Buffer.alloc(0), rest);
  }

  get #hasEnded(): boolean {
    return this.#state.name === 'ended';
  }

  /** The session as ours, after whatever is under way. */
  #openUserSession({ failsPrepare = false } = {}): WireUserSession {
    const run = new WireUserSession({
      capabilities: this.#login.capabilities,
      tracker: this.#tracker,
      failsPrepare,
      toServer: (bytes) => this.#owner.toServer(bytes),
      toClient: (bytes) => this.#owner.toClient(bytes),
    });
    this.#enter({ name: 'user-session', run });
    return run;
  }

  /** The marker finds the command's place in the stream; then it goes over the bridge. */
  async #changeUser(packet: Packet, rest: Buffer): Promise<void> {
    const { bridge } = this.#login;
    assert(bridge !== null, 'without a bridge it goes through unread');
    const userSession = this.#openUserSession();
    await userSession.run([]);
    const run = new ChangeUser({
      packet,
      bridge,
      check: newLoginCheck(this.#login),
      toClient: (bytes) => this.#owner.toClient(bytes),
      toServer: (bytes) => this.#owner.toServer(bytes),
      onDone: ({ last, fromServer, fromClient }) => {
        this.#lastSeen.inSchema(run.schema);
        this.#onCommand(COM_CHANGE_USER);
        this.#tracker.feed(last);
        this.#goOn(fromServer, fromClient);
      },
    });
    this.#enter({ name: 'change-user', run });
    run.begin();
    this.#handOn(userSession.end(), rest);
  }

  get #classifyOptions(): ClassifyOptions {
    const { capabilities } = this.#login;
    const { protect, guards = true } = this.#owner.service();
    const [server, multiStatements] = [this.#lastSeen.known(null), this.#multiStatements];
    return { capabilities, server, protect, guards, multiStatements, prepared: this.#prepared };
  }

  /** True for a long text that isn't ours; otherwise it is held as soon as there is room. */
  #letLongPass(head: Buffer): boolean {
    if (isFree(head.subarray(HEADER_BYTES), this.#classifyOptions)) return true;
    this.#stop = { name: 'long', bytes: longBytesMax(head.readUIntLE(0, 3)) };
    return false;
  }

  async #makeRoom(bytes: number, rest: Buffer): Promise<void> {
    const onOverdue = (error: UndropError) => this.#owner.onFailure(error);
    this.#place = await textRoom.take(bytes, this.#over.signal, onOverdue);
    if (this.#hasEnded) return;
    this.#gate.holdLong();
    this.#goOn(Buffer.alloc(0), rest);
  }

  /** Gives back the room of a long text that is done with. */
  #leaveRoom(place: Place): void {
    if (this.#gate.holdsLong) return;
    this.#place = null;
    this.#owner.whenSent(() => place.leave());
  }

  #context(): Omit<DispatchOptions, 'userSession' | 'multiStatements'> {
    return {
      prepared: this.#prepared,
      server: this.#login.server,
      session: this.#owner.session,
      service: this.#owner.service(),
      guess: this.#lastSeen.guess,
      logBinMayBeOff: this.#lastSeen.logBinMayBeOff,
    };
  }

  async #runMultiStatement(taken: Taken, rest: Buffer): Promise<void> {
    const run = new MultiStatementRun(
      {
        taken,
        login: this.#login,
        tracker: this.#tracker,
        isSure: this.#isSureOfMulti,
        owner: this.#owner,
        context: () => this.#context(),
        isClientGone: () => this.#clientIsGone,
        lastSeen: this.#lastSeen,
      },
      rest,
    );
    this.#enter({ name: 'multi-statement', run });
    const interception = await run.run();
    const { fromServer, fromClient } = run.end();
    if (interception === null) return this.#goOn(fromServer, fromClient);
    if (interception.kind === 'forward') this.#prepared.doubtNames();
    this.#settle(taken, interception, fromServer, fromClient);
  }

  async #intercept(taken: Taken, rest: Buffer): Promise<void> {
    const read = { multiStatements: this.#multiStatements };
    if (isMultiStatement(taken, read)) return this.#runMultiStatement(taken, rest);
    const userSession = this.#openUserSession({ failsPrepare: taken.carrier === 'prepare' });
    const context = { ...this.#context(), ...read, userSession };
    const interception = await answerTo(taken, context);
    this.#settle(taken, interception, userSession.end(), rest);
  }

  /**
   * The statement is settled: its answer, or the statement itself, goes out; the stream goes on.
   */
  #settle(taken: Taken, interception: Interception, fromServer: Buffer, rest: Buffer): void {
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
    this.#goOn(fromServer, rest);
  }

  /** The streams are relayed again, beginning with what came meanwhile. */
  #goOn(fromServer: Buffer, fromClient: Buffer): void {
    this.#enter({ name: 'relaying' });
    this.#handOn(fromServer, fromClient);
  }

  #handOn(fromServer: Buffer, fromClient: Buffer): void {
    if (this.#hasEnded) return;
    if (this.#place !== null) this.#leaveRoom(this.#place);
    if (fromServer.length > 0) this.feedServer(fromServer);
    this.#owner.releaseClient();
    if (fromClient.length > 0) this.feedClient(fromClient);
    this.#owner.onSettled();
  }
}
