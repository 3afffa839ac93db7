/**
 * The command phase of one session: commands go through the gate, responses past the tracker, and
 * undrop intercepts its statements: the client's stream waits, the user session belongs to undrop
 * from the marker on, undrop writes the response, and the stream goes on.
 *
 * Invariant: the two streams have one owner at a time, which `State` names; after `ended` nothing
 * begins.
 */

import type * as intercepted from '../../drop/intercepted.js';
import { inSlices } from '../../drop/steps/session/in-slices.js';
import type { SessionFacts } from '../../drop/steps/world.js';
import { assert, UndropError } from '../../errors.js';
import { type Counters, observe } from '../../metrics.js';
import { ResponseTracker } from '../../relay/response-tracker.js';
import { programOf } from '../../sql/comment-tags.js';
import type { Reading } from '../../sql/reading.js';
import * as caps from '../../wire/capabilities.js';
import * as com from '../../wire/commands.js';
import { encodePacket, GrowingBuffer, HEADER_BYTES, type Packet } from '../../wire/framing.js';
import type { SessionConnections } from '../connections.js';
import * as classify from '../gate/classify-packet.js';
import { CommandGate, type GateOwner, HELD_BYTES_MAX, longBytesMax } from '../gate/command-gate.js';
import { type RoomInUse, textRoom } from '../gate/text-room.js';
import type { AuthBridge } from '../login/auth-bridge.js';
import { ChangeUser, type Rests } from '../login/auth-exchange.js';
import type { Login } from '../login/login.js';
import { newLoginCheck } from '../login/login-check.js';
import type { SessionReport } from '../session-report.js';
import { endWaits } from '../user-session/end-waits.js';
import { WireUserSession } from '../user-session/wire-user-session.js';
import { AfterDropDatabase } from './after-drop-database.js';
import { answerTo } from './dispatch.js';
import { MultiStatementRun } from './multi-statement.js';
import { type DispatchOptions, PreparedDrops } from './prepared-drops.js';

export interface CommandPhaseOptions {
  /** The service with the present settings. */
  readonly service: () => intercepted.DropService;
  readonly session: SessionFacts;
  readonly connections: SessionConnections;
  readonly report: SessionReport;
  readonly counters: Counters;
}

/** The session that it is a phase of. */
interface PhaseOwner {
  onAnswer(
    taken: intercepted.Intercepted,
    answer: intercepted.Answered,
    service: intercepted.DropService,
  ): void;
  onSettled(): void;
  onFailure(thrown: unknown): void;
}

/** The owner of the streams of the client and of the server. */
type State =
  | { readonly name: 'relaying' }
  /** A long text is being read; its packet waits. */
  | { readonly name: 'reading' }
  | { readonly name: 'user-session'; readonly run: WireUserSession }
  | { readonly name: 'multi-statement'; readonly run: MultiStatementRun }
  | { readonly name: 'change-user'; readonly run: ChangeUser }
  | { readonly name: 'ended' };

interface Noted {
  /** With the note. */
  readonly payload: Buffer;
  /** Without it. */
  readonly length: number;
  /** The responses before it. */
  readonly response: number;
}

/** In these the gate has stopped: bytes from the client wait. */
const STOPPED: readonly State['name'][] = ['reading', 'user-session', 'multi-statement'];

/** Bytes that are read while the gate has stopped; without reading, the client's end isn't seen. */
const EARLY_BYTES_MAX = 16 * 1024;
/** Prime, because clients repeat the same few commands. */
const MEASURED_EVERY = 61;

export class CommandPhase implements GateOwner {
  readonly connections: SessionConnections;
  readonly login: Login;
  readonly #owner: PhaseOwner;
  readonly #options: CommandPhaseOptions;
  readonly #gate: CommandGate;
  readonly tracker: ResponseTracker;
  readonly #prepared: PreparedDrops;
  #state: State = { name: 'relaying' };
  /** Runs when the gate has stopped; `rest` is what the client sent after that packet. */
  #onStopped: ((rest: Buffer) => Promise<void>) | null = null;
  readonly #early = new GrowingBuffer();
  #after: AfterDropDatabase | null = null;
  /** The memory of a long text that is held, or being read. */
  #place: RoomInUse | null = null;
  #longBytesMax = 0;
  readonly #onFailure = (error: unknown): void => this.#owner.onFailure(error);
  /** The time for the command that is measured, so far; null: none is. */
  #measuredMs: number | null = null;
  isClientGone = false;
  /** The note on an ERR 1146 that has just come, and which one. */
  #noted: Noted | null = null;
  /** A text that might be several statements counts as several. */
  #several: 'no' | 'maybe' | 'yes';
  /** The user and state of the session as of the login or the last drop. */
  readonly lastSeen: classify.LastSeen;

  constructor(owner: PhaseOwner, login: Login, options: CommandPhaseOptions) {
    this.#owner = owner;
    this.login = login;
    this.#options = options;
    this.connections = options.connections;
    this.lastSeen = new classify.LastSeen(login);
    this.#several = caps.hasFlag(login.capabilities, caps.CLIENT_MULTI_STATEMENTS) ? 'yes' : 'no';
    this.#prepared = new PreparedDrops(login.server);
    this.tracker = new ResponseTracker(login.capabilities);
    this.tracker.onNoSuchTable = (payload) => this.#onNoSuchTable(payload);
    this.tracker.onStateChanged = classify.checkTrackedSchema;
    this.#gate = new CommandGate(this, {
      handles: this.#prepared,
      protect: { has: (kind) => classify.protectedKinds(options.service()).has(kind) },
      isAllAnswered: () => this.tracker.idle,
    });
  }

  /** No response outstanding, no command half sent, no statement of undrop running. */
  get isIdle(): boolean {
    return this.#state.name === 'relaying' && this.tracker.idle && this.#gate.atCommandEdge;
  }

  /** Sequence id for an error of undrop; null within a response, where no client reads one. */
  get errorSequenceId(): number | null {
    const state = this.#state;
    if (state.name === 'change-user') return state.run.nextToClient;
    if (state.name === 'multi-statement') return state.run.errorSequenceId;
    return this.tracker.idle ? this.#gate.answerSequenceId : null;
  }

  /**
   * The client sends no more, or has disconnected. True: the running statement is completed first,
   * soon if it waits for a lock.
   */
  clientLeft(how: 'ended' | 'gone', wasHere: boolean): boolean {
    this.isClientGone = how === 'gone';
    const state = this.#state;
    if (how === 'gone' && state.name === 'multi-statement' && state.run.isRelaying) return false;
    if (this.#isStopped && wasHere) {
      const { service, session, connections } = this.#options;
      const { server } = this.login;
      const isOver = () => !this.#isStopped;
      endWaits({ session, connections, server, service: service(), isOver }).catch(this.#onFailure);
    }
    return this.#isStopped;
  }

  feedServer(chunk: Buffer): void {
    const takenMs = this.#measuredMs;
    if (takenMs === null) return this.#onServerBytes(chunk);
    this.#measuredMs = null;
    const beganMs = performance.now();
    this.#onServerBytes(chunk);
    observe(this.#options.counters, 'relay', { ms: takenMs + performance.now() - beganMs });
  }

  #onServerBytes(chunk: Buffer): void {
    const state = this.#state;
    if (state.name === 'user-session' || state.name === 'multi-statement') {
      return state.run.feed(chunk);
    }
    if (state.name === 'change-user') return state.run.feedServer(chunk);
    this.tracker.feed(chunk);
    const passed = this.#after === null ? chunk : this.#after.corrected(chunk);
    this.connections.toClient(this.#noted === null ? passed : this.#withNote(passed));
    const { longBytes } = this.#gate;
    if (longBytes === 0 || this.#place !== null || !this.#isAnswered) return;
    this.connections.clientPump.release();
    this.onLongGrown(longBytes);
  }

  #onNoSuchTable(payload: Buffer): void {
    const { service, session } = this.#options;
    const { clientAddress: client, threadId, attributes } = session;
    const { onNoSuchTable, heldNames } = service();
    const by = { user: this.lastSeen.guess.user, client, threadId };
    onNoSuchTable?.(payload, { ...by, program: programOf(attributes) });
    const noted = this.#state.name === 'relaying' ? heldNames?.noteOn(payload) : undefined;
    if (noted !== undefined && noted !== null)
      this.#noted = { payload: noted, length: payload.length, response: this.tracker.responses };
  }

  /** If that ERR is the last packet of the chunk, and whole in it. */
  #withNote(chunk: Buffer): Buffer {
    const noted = this.#noted;
    this.#noted = null;
    const { responses, place, atPacketEdge } = this.tracker;
    if (noted === null || noted.response + 1 !== responses) return chunk;
    const at = chunk.length - noted.length - HEADER_BYTES;
    if (!atPacketEdge || place !== 'start' || at < 0) return chunk;
    const sequenceId = chunk[at + HEADER_BYTES - 1] ?? 0;
    return Buffer.concat([chunk.subarray(0, at), encodePacket(noted.payload, sequenceId)]);
  }

  feedClient(chunk: Buffer): void {
    const { counters } = this.#options;
    const { commandsTotal } = counters;
    if (commandsTotal % MEASURED_EVERY !== 0 || !this.isIdle) return this.#onClientBytes(chunk);
    const beganMs = performance.now();
    this.#onClientBytes(chunk);
    // The command is whole, it went on, and a response comes.
    const isSent = counters.commandsTotal > commandsTotal && this.#state.name === 'relaying';
    if (isSent && !this.tracker.idle) this.#measuredMs = performance.now() - beganMs;
  }

  #onClientBytes(chunk: Buffer): void {
    const state = this.#state;
    if (state.name === 'change-user') return state.run.feedClient(chunk);
    if (state.name !== 'relaying') {
      this.#early.push(chunk);
      if (this.#early.length > EARLY_BYTES_MAX) this.connections.clientPump.hold();
      return;
    }
    this.#after?.onCommand(chunk, this.tracker.idle);
    const rest = this.#gate.feed(chunk);
    if (rest !== null) {
      const goOn = this.#onStopped;
      assert(goOn !== null, 'the gate stops only for a reason');
      this.#onStopped = null;
      goOn(rest).catch(this.#onFailure);
    } else if (this.#place !== null) {
      this.#leaveRoom(this.#place);
    }
  }

  get #isStopped(): boolean {
    return STOPPED.includes(this.#state.name);
  }

  /** The one place where the state changes; `ended` is final. */
  #enter(state: State): void {
    const from = this.#state.name;
    if (from === 'ended') return;
    this.#state = state;
    this.#options.report.onState('commands', from, state.name);
  }

  /** The session ended: rejects what waits on the user session; nothing new begins. */
  fail(error: Error): void {
    const state = this.#state;
    this.#enter({ name: 'ended' });
    this.#place?.leave();
    this.#prepared.forgetAll();
    if (state.name === 'change-user') state.run.leave();
    if (state.name === 'user-session' || state.name === 'multi-statement') state.run.fail(error);
  }

  // ── for the gate ───────────────────────────────────────────────────────────────────────────

  onCommand(command: number): void {
    this.#options.counters.commandsTotal++;
    if (command === com.COM_SET_OPTION || command === com.COM_CHANGE_USER) this.#several = 'maybe';
    this.#prepared.onCommand(command);
    this.tracker.expect(command);
  }

  letThrough(packet: Packet): boolean {
    this.#place?.arrived();
    const { payload } = packet;
    if (payload.length > HELD_BYTES_MAX) this.connections.clientPump.release();
    if (payload[0] === com.COM_INIT_DB) this.lastSeen.inSchema(payload.subarray(1));
    const reading = classify.classifyPacket(packet, this.#classifyOptions);
    const { done, value } = reading.next();
    const { bridge } = this.login;
    if (done !== true) this.#onStopped = (rest) => this.#readOn(packet, reading, rest);
    else if (value !== null) this.#onStopped = (rest) => this.#intercept(value, rest);
    else if (payload[0] === com.COM_CHANGE_USER && bridge !== null) {
      this.#onStopped = (rest) => this.#changeUser(packet, bridge, rest);
    } else this.onSent(payload);
    return this.#onStopped === null;
  }

  /** A whole command that goes to the server. */
  onSent(payload: Buffer): void {
    if (isDropAsSuch(payload, this.login.capabilities)) this.#options.counters.dropsSent++;
  }

  /** True: a long text passes unread. Otherwise it is held as far as there is memory for it. */
  letLongPass(head: Buffer): boolean {
    if (classify.isFree(head.subarray(HEADER_BYTES), this.#classifyOptions)) return true;
    // The text before it is on its way.
    if (this.#place !== null) this.#leaveRoom(this.#place);
    this.#longBytesMax = longBytesMax(head.readUIntLE(0, 3));
    return false;
  }

  onLongGrown(bytes: number): void {
    // The server reads none of it until then, so it would take memory for as long.
    const { clientPump } = this.connections;
    if (this.#place === null && !this.#isAnswered) return clientPump.hold();
    this.#place ??= this.#enterRoom();
    if (!this.#place.grow(bytes)) clientPump.hold();
  }

  #enterRoom(): RoomInUse {
    const { user, account } = this.lastSeen.guess;
    const address = this.#options.session.clientAddress.replace(/:\d+$/, '');
    return textRoom.enter(this.#longBytesMax, {
      // The bearer of an anonymous account chooses the name, which may be another's elsewhere.
      account: account ?? `${user} from ${address}`,
      address,
      onRoom: () => this.connections.clientPump.release(),
      onLost: this.#onFailure,
    });
  }

  /** The server has answered all commands. Throws if that can't be known. */
  get #isAnswered(): boolean {
    const { idle, untracked } = this.tracker;
    const why = 'the end of the statements before it was not seen';
    if (untracked) throw new UndropError('UNDROP_LONG_TEXT', { why });
    return idle;
  }

  get #classifyOptions(): classify.ClassifyOptions {
    const { service, report } = this.#options;
    return {
      capabilities: this.login.capabilities,
      server: this.lastSeen.known(null),
      service: service(),
      multiStatements: this.#several !== 'no',
      prepared: this.#prepared,
      onObserved: (observed) => report.onObserved(observed),
    };
  }

  // ── while the gate has stopped ─────────────────────────────────────────────────────────────

  /** A text that takes long to read: later bytes wait; if it may pass, it goes on. */
  async #readOn(
    { payload }: Packet,
    reading: Reading<intercepted.Intercepted | null>,
    fromClient: Buffer,
  ): Promise<void> {
    this.#enter({ name: 'reading' });
    const taken = await inSlices(reading);
    if (this.#state.name === 'ended') return;
    if (taken !== null) return this.#intercept(taken, fromClient);
    this.onCommand(payload[0] ?? 0);
    this.connections.toServer(encodePacket(payload, 0));
    this.#goOn({ name: 'relaying' }, { fromServer: Buffer.alloc(0), fromClient });
  }

  /** Releases the memory of a long text. */
  #leaveRoom(place: RoomInUse): void {
    if (this.#gate.longBytes > 0) return;
    this.#place = null;
    this.connections.clientPump.whenEmpty(() => place.leave());
  }

  /** The marker finds the command's place in the stream; then it goes over the bridge. */
  async #changeUser(packet: Packet, bridge: AuthBridge, fromClient: Buffer): Promise<void> {
    const userSession = this.#openUserSession(false);
    await userSession.run([]);
    const run = new ChangeUser({
      packet,
      bridge,
      check: newLoginCheck(this.login),
      connections: this.connections,
      onDone: (last, rests) => {
        this.lastSeen.inSchema(run.schema);
        this.onCommand(com.COM_CHANGE_USER);
        this.tracker.feed(last);
        this.#goOn({ name: 'relaying' }, rests);
      },
    });
    run.begin();
    this.#goOn({ name: 'change-user', run }, { fromServer: userSession.end(), fromClient });
  }

  #openUserSession(failsPrepare: boolean): WireUserSession {
    const run = this.newUserSession(failsPrepare);
    this.#enter({ name: 'user-session', run });
    return run;
  }

  // ── for the statements of a text ───────────────────────────────────────────────────────────

  /** The session for undrop's statements, after all outstanding responses. */
  newUserSession(failsPrepare = false): WireUserSession {
    const { capabilities } = this.login;
    const { connections, tracker } = this;
    const onSent = (payload: Buffer) => this.onSent(payload);
    return new WireUserSession({ capabilities, tracker, failsPrepare, connections, onSent });
  }

  context(): Omit<DispatchOptions, 'userSession' | 'multiStatements'> {
    const { service, session } = this.#options;
    const { guess } = this.lastSeen;
    const { server, capabilities } = this.login;
    const prepared = this.#prepared;
    return { server, capabilities, session, guess, prepared, service: service() };
  }

  onAnswer(taken: intercepted.Intercepted, answer: intercepted.Answered): void {
    this.#owner.onAnswer(taken, answer, this.#options.service());
  }

  async #intercept(taken: intercepted.Intercepted, fromClient: Buffer): Promise<void> {
    const beganMs = performance.now();
    const read = { multiStatements: this.#several !== 'no' };
    if (classify.isMultiStatement(taken, read)) await this.#runMultiStatement(taken, fromClient);
    else {
      const userSession = this.#openUserSession(taken.packetKind === 'prepare');
      const interception = await answerTo(taken, { ...this.context(), ...read, userSession });
      this.#measureDrop(interception, beganMs);
      this.#settle(taken, interception, { fromServer: userSession.end(), fromClient });
    }
    const { counters } = this.#options;
    counters.answersTotal++;
    counters.answersMs += performance.now() - beganMs;
  }

  #measureDrop(interception: intercepted.Interception, beganMs: number): void {
    const [held] = interception.kind === 'answer' ? (interception.dropped?.audited ?? []) : [];
    if (held === undefined) return;
    const label = held.how ?? '';
    observe(this.#options.counters, 'drop', { ms: performance.now() - beganMs, label });
  }

  async #runMultiStatement(taken: intercepted.Intercepted, fromClient: Buffer): Promise<void> {
    const run = new MultiStatementRun(this, { taken, fromClient, isSure: this.#several === 'yes' });
    this.#enter({ name: 'multi-statement', run });
    const interception = await run.run();
    const rests = run.end();
    if (interception === null) return this.#goOn({ name: 'relaying' }, rests);
    if (interception.kind === 'forward') this.#prepared.doubtNames();
    this.#settle(taken, interception, rests);
  }

  /** Sends the response, or the statement itself; then the stream goes on. */
  #settle(
    taken: intercepted.Intercepted,
    interception: intercepted.Interception,
    rests: Rests,
  ): void {
    const { packet } = taken;
    if (interception.facts !== null) this.lastSeen.inFacts(interception.facts);
    if (interception.kind === 'forward') {
      this.tracker.expect(packet.payload[0] ?? 0);
      this.onSent(packet.payload);
      this.connections.toServer(encodePacket(packet.payload, 0));
    } else {
      const { payload, more = [], schemaRows } = interception;
      for (const [index, one] of [payload, ...more].entries()) {
        this.connections.toClient(encodePacket(one, packet.sequenceId + 1 + index));
      }
      if (schemaRows !== undefined) this.#after = new AfterDropDatabase(schemaRows);
      this.onAnswer(taken, interception);
    }
    this.#goOn({ name: 'relaying' }, rests);
  }

  /** The streams go on in that state, beginning with the bytes that came meanwhile. */
  #goOn(state: State, { fromServer, fromClient: rest }: Rests): void {
    this.#enter(state);
    if (this.#state.name === 'ended') return;
    const fromClient = Buffer.concat([rest, this.#early.take()]);
    if (this.#place !== null) this.#leaveRoom(this.#place);
    if (fromServer.length > 0) this.feedServer(fromServer);
    this.connections.clientPump.release();
    if (fromClient.length > 0) this.feedClient(fromClient);
    // The bytes after it may be intercepted as well; then that comes first.
    if (this.#state === state) this.#owner.onSettled();
  }
}

// ── drops that were sent ─────────────────────────────────────────────────────────────────────────
// Recognizes the statements that drop tables or schemas among those that go to the server, so that
// they can be told from drops that nobody sent through undrop (collector/drops-elsewhere.ts). Only
// an estimate depends on it.

/** The server counts DROP TEMPORARY TABLE apart. */
const DROP =
  /^(?:\s|\/\*(?![!M])(?:[^*]|\*(?!\/))*\*\/)*drop(?:\s|\/\*(?:[^*]|\*(?!\/))*\*\/)+(?:tables?|database|schema)\b/i;
const HEAD_BYTES = 256;
const LETTER_D = 0x64;
const SLASH = 0x2f;
const SPACE = 0x20;
/** A text with attributes of its own isn't looked at. */
const NO_ATTRIBUTES = 0;

export function isDropAsSuch(payload: Buffer, capabilities: caps.Capabilities): boolean {
  if (payload[0] !== com.COM_QUERY) return false;
  const takesAttributes = caps.hasFlag(capabilities, caps.CLIENT_QUERY_ATTRIBUTES);
  if (takesAttributes && payload[1] !== NO_ATTRIBUTES) return false;
  const at = takesAttributes ? 3 : 1;
  const first = payload[at] ?? 0;
  if ((first | SPACE) !== LETTER_D && first !== SLASH && first > SPACE) return false;
  return DROP.test(payload.toString('latin1', at, at + HEAD_BYTES));
}
