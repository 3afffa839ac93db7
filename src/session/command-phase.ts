/**
 * The command phase of one session: commands go through the gate, responses past the tracker, and a
 * statement that is ours is intercepted: the client's stream waits, the user session is ours from
 * the marker on, the answer is written, and the stream goes on.
 */

import { assert } from '../assert.js';
import type { SessionFacts } from '../drop/user-session.js';
import { UndropError } from '../errors.js';
import { ResponseTracker } from '../relay/response-tracker.js';
import { CLIENT_MULTI_STATEMENTS, hasFlag } from '../wire/capabilities.js';
import { queryTextOffset } from '../wire/command/com-query.js';
import {
  COM_CHANGE_USER,
  COM_DROP_DB,
  COM_QUERY,
  COM_SET_OPTION,
  COM_STMT_PREPARE,
} from '../wire/commands.js';
import { encodePacket, type Packet } from '../wire/framing.js';
import { MalformedPacketError } from '../wire/packet-reader.js';
import { CommandGate } from './command-gate.js';
import {
  type DropService,
  type Interception,
  intercept,
  isProtected,
  recognise,
  type Taken,
} from './intercept.js';
import type { Login } from './login.js';
import { WireUserSession } from './user-session.js';

export interface CommandPhaseOwner {
  readonly service: DropService;
  readonly session: SessionFacts;
  toClient(bytes: Buffer): void;
  toServer(bytes: Buffer): void;
  /** Stops reading the client, until `releaseClient`. */
  holdClient(): void;
  releaseClient(): void;
  /** A statement was answered by us. */
  onAnswer(taken: Taken, answer: Extract<Interception, { kind: 'answer' }>): void;
  /** An interception is over; nothing of it is under way any more. */
  onSettled(): void;
  onFailure(error: unknown): void;
}

export class CommandPhase {
  readonly #owner: CommandPhaseOwner;
  readonly #login: Login;
  readonly #gate: CommandGate;
  readonly #tracker: ResponseTracker;
  #taken: Taken | null = null;
  #intercepting: WireUserSession | null = null;
  #ended = false;
  /** Once on, on for good: what might be several statements is several. */
  #multiStatements: boolean;
  /** Default schema and charset as last seen: guesses, checked where it matters. */
  #schema: string | null;
  #charset = 'utf8mb4';

  constructor(login: Login, owner: CommandPhaseOwner) {
    this.#login = login;
    this.#owner = owner;
    this.#schema = login.schema?.toString() ?? null;
    this.#multiStatements = hasFlag(login.capabilities, CLIENT_MULTI_STATEMENTS);
    const tracker = new ResponseTracker(login.capabilities);
    this.#tracker = tracker;
    this.#gate = new CommandGate({
      forward: (bytes) => owner.toServer(bytes),
      onCommand: (command) => {
        if (command === COM_SET_OPTION || command === COM_CHANGE_USER) this.#multiStatements = true;
        tracker.expect(command);
      },
      onInitDb: (schema) => {
        this.#schema = schema.toString();
      },
      letThrough: (packet) => {
        this.#taken = this.#look(packet);
        return this.#taken === null;
      },
    });
  }

  /** Nothing is under way: no response owed, no command half sent, no statement of ours. */
  get isIdle(): boolean {
    return this.#intercepting === null && this.#tracker.idle && this.#gate.atCommandEdge;
  }

  /** Every response that is owed went out whole: an error of ours would be read as what it is. */
  get canBeTold(): boolean {
    return this.#tracker.idle;
  }

  get isIntercepting(): boolean {
    return this.#intercepting !== null;
  }

  get inTransaction(): boolean {
    return this.#tracker.inTransaction;
  }

  get untracked(): boolean {
    return this.#tracker.untracked;
  }

  feedServer(chunk: Buffer): void {
    if (this.#intercepting !== null) return this.#intercepting.feed(chunk);
    this.#tracker.feed(chunk);
    this.#owner.toClient(chunk);
  }

  feedClient(chunk: Buffer): void {
    const behind = this.#gate.feed(chunk);
    if (behind === null) return;
    const taken = this.#taken;
    this.#taken = null;
    assert(taken !== null, 'the gate stops only at a statement that was taken');
    this.#owner.holdClient();
    this.#intercept(taken, behind).catch((error: unknown) => this.#owner.onFailure(error));
  }

  /** The session ended: whoever waits on the user session is told, and nothing new begins. */
  fail(error: Error): void {
    this.#ended = true;
    this.#intercepting?.fail(error);
  }

  /** Null where the packet may go through. */
  #look(packet: Packet): Taken | null {
    const { protect } = this.#owner.service;
    const { payload } = packet;
    const other = { packet, text: payload.subarray(1), verdict: null, refusal: null };
    switch (payload[0]) {
      case COM_QUERY:
        return this.#lookAtQuery(packet);
      case COM_STMT_PREPARE:
        return this.#lookAtText(packet, 'prepare', payload.subarray(1));
      case COM_DROP_DB:
        return protect.has('drop-database') ? { ...other, carrier: 'drop-database' } : null;
      default:
        return { ...other, carrier: 'unknown' };
    }
  }

  #lookAtQuery(packet: Packet): Taken | null {
    try {
      const offset = queryTextOffset(packet.payload, this.#login.capabilities);
      return this.#lookAtText(packet, 'query', packet.payload.subarray(offset));
    } catch (error) {
      if (!(error instanceof MalformedPacketError)) throw error;
      const refusal = new UndropError('UNDROP_MALFORMED_PACKET', { problem: error.message });
      return { packet, carrier: 'query', text: Buffer.alloc(0), verdict: null, refusal };
    }
  }

  #lookAtText(packet: Packet, carrier: 'query' | 'prepare', text: Buffer): Taken | null {
    const { protect } = this.#owner.service;
    const verdict = recognise(text, this.#login.server, { multiStatements: this.#multiStatements });
    if (verdict.kind !== 'disagree' && !isProtected(verdict, protect)) return null;
    return { packet, carrier, text, verdict, refusal: null };
  }

  async #intercept(taken: Taken, behind: Buffer): Promise<void> {
    const { capabilities, server } = this.#login;
    const userSession = new WireUserSession({
      capabilities,
      tracker: this.#tracker,
      markerBy: taken.carrier === 'prepare' ? 'prepare' : 'query',
      toServer: (bytes) => this.#owner.toServer(bytes),
      toClient: (bytes) => this.#owner.toClient(bytes),
    });
    this.#intercepting = userSession;
    const interception = await intercept(taken, {
      userSession,
      server,
      session: this.#owner.session,
      service: this.#owner.service,
      multiStatements: this.#multiStatements,
      guess: { schema: this.#schema, charset: this.#charset },
    });
    this.#intercepting = null;
    this.#settle(taken, interception, userSession.end(), behind);
  }

  /**
   * The statement is settled: its answer, or the statement itself, goes out; the stream goes on.
   */
  #settle(taken: Taken, interception: Interception, fromServer: Buffer, behind: Buffer): void {
    const { packet } = taken;
    if (interception.facts !== null) {
      this.#schema = interception.facts.schema;
      this.#charset = interception.facts.charset;
    }
    if (interception.kind === 'forward') {
      this.#tracker.expect(packet.payload[0] ?? 0);
      this.#owner.toServer(encodePacket(packet.payload, 0));
    } else {
      const sequenceId = (packet.sequenceId + 1) & 0xff;
      this.#owner.toClient(encodePacket(interception.payload, sequenceId));
      this.#owner.onAnswer(taken, interception);
    }
    if (this.#ended) return;
    if (fromServer.length > 0) this.feedServer(fromServer);
    this.#owner.releaseClient();
    if (behind.length > 0) this.feedClient(behind);
    this.#owner.onSettled();
  }
}
