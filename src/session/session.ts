/**
 * A client and its one connection to the server, from accept to close. The sockets are in
 * connections.ts, the connection phase in login.ts, the command phase in command-phase.ts.
 *
 * Invariants: one client session has one server session of its own. When either side ends, the
 * other gets all bytes sent to it and then the end, in bounded time. An error in one session ends
 * that session and no other.
 */

import type { ClientWho } from '../audit.js';
import type { ServerAddress } from '../connections/server-address.js';
import type { Answered, DropService, Intercepted } from '../drop/intercepted.js';
import { InvariantError, UndropError } from '../errors.js';
import { reportAndKeep } from '../ledger/history.js';
import type { Log } from '../log.js';
import { type Counters, observe } from '../metrics.js';
import { catching } from '../relay/byte-stream.js';
import { programOf } from '../sql/comment-tags.js';
import * as com from '../wire/commands.js';
import { MalformedPacketError } from '../wire/packet-reader.js';
import { CommandPhase } from './commands/command-phase.js';
import { type ClientConnection, SessionConnections } from './connections.js';
import { abandonUnanswered, reportBrokenLogin } from './dial/abandon-login.js';
import type { Dialled, DialStop } from './dial/dial.js';
import type { Rests } from './login/auth-exchange.js';
import { type Login, LoginRelay } from './login/login.js';
import type { ProxyTls } from './login/tls.js';
import { finalError, SessionReport } from './session-report.js';

/** Shared by all sessions of a process. */
export interface SessionSurroundings {
  /** Milliseconds that a client may take for each packet of its login. */
  readonly loginTimeoutMs: number;
  readonly tls: ProxyTls;
  readonly log: Log;
  readonly counters: Counters;
  /** The service for the dialled address, with the settings at the time of the call. */
  serviceFor(dialled: Dialled): () => DropService;
  /** Registers work after the response; a shutdown waits for it. */
  background(work: Promise<void>): void;
  /** The login there ended in a way that the server may count (reset-host-errors.ts). */
  onBrokenLogin(address: ServerAddress): void;
  /** Tables were held, and the ledger has them. */
  onHeld(): void;
}

/** The options of one session. */
export interface SessionOptions extends Pick<ClientConnection, 'client' | 'clientStream'> {
  readonly clientAddress: string;
  /** Tries no further addresses once it is stopped. */
  dial(stop: Readonly<DialStop>): Promise<Dialled>;
  /** The session is over. */
  onClose(): void;
}

/** The phase of a session. */
type Phase =
  | { readonly name: 'dialling'; readonly stop: DialStop }
  | { readonly name: 'login'; readonly relay: LoginRelay; readonly dialled: Dialled }
  | { readonly name: 'commands'; readonly commands: CommandPhase }
  | { readonly name: 'closed' };

/** Pauses before its last answers that show that a client is not in a run of statements. */
const PAUSES = { 'idle-stay': Number.POSITIVE_INFINITY, 'used-stay': 2, 'used-end': 0 } as const;

/** A drain goes from one to the next: a session that is used all the time ends last. */
export type DrainStage = keyof typeof PAUSES;

/** Most sessions end without an error, and a new one would take its stack. */
const SERVER_CLOSED = new Error('The server closed the connection.');
const SESSION_ENDED = new Error('The session ended.');

/** HAProxy's mysql-check sends its login with the connection, some 100 bytes. */
const EARLY_BYTES_MAX = 4_096;

export class Session {
  readonly #shared: SessionSurroundings;
  readonly #options: SessionOptions;
  readonly #connections: SessionConnections;
  readonly #report: SessionReport;
  #phase: Phase = { name: 'dialling', stop: { isStopped: false } };
  /** `ended`: it sends no more, but still reads. */
  #clientIs: 'here' | 'ended' | 'gone' = 'here';
  /** Bytes of the client before the greeting. */
  #early: Buffer = Buffer.alloc(0);
  #loginTimer: NodeJS.Timeout | null = null;
  readonly #beganMs = performance.now();
  /** Null: the proxy does not shut down. */
  #lastAnswer: LastAnswer | null = null;

  constructor(shared: SessionSurroundings, options: SessionOptions) {
    this.#shared = shared;
    this.#options = options;
    this.#report = new SessionReport(shared.log, () => this.#who());
    this.#connections = new SessionConnections({ ...options, tls: shared.tls }, this);
  }

  /** Dials the server and relays until either side ends. Never rejects. */
  async start(): Promise<void> {
    const phase = this.#phase;
    if (phase.name !== 'dialling') return;
    try {
      this.#connections.start();
      this.#relay(await this.#options.dial(phase.stop));
    } catch (error) {
      this.onFailure(error);
    }
  }

  /**
   * Ends the session after its next statement outside of a transaction; one that is not logged in
   * ends at once. It may be called again.
   */
  drain(stage: DrainStage): void {
    if (this.#phase.name !== 'commands') return this.#endOnError(() => this.#drainIfIdle());
    this.#lastAnswer?.stop();
    this.#lastAnswer = new LastAnswer({
      pauses: PAUSES[stage],
      canEnd: () => this.#isIdle && !this.#isStatementToCome,
      end: () => this.#endOnError(() => this.#drainIfIdle()),
    });
  }

  /** Ends the session now. */
  destroy(): void {
    this.#endOnError(() => this.#close(new UndropError('UNDROP_SHUTTING_DOWN')));
    this.#connections.destroy();
  }

  #relay(dialled: Dialled): void {
    const { greeting, address, socket } = dialled;
    const onBroken = () => this.#shared.onBrokenLogin(address);
    if (this.#clientIs !== 'here' || this.#phase.name === 'closed') {
      this.#endBoth();
      return abandonUnanswered({ ...dialled, received: greeting, onBroken });
    }
    const connections = this.#connections;
    const relay: LoginRelay = new LoginRelay({
      security: this.#shared.tls.securityFor(connections.clientSecurity, address),
      connections,
      secureClient: (clientHello) => this.#secureClient(relay, clientHello),
      secureServer: () => this.#secureServer(relay, dialled),
      onDone: (login, rests) => {
        stopWatching();
        this.#enterCommands(dialled, login, rests);
      },
    });
    this.#enter({ name: 'login', relay, dialled });
    const stopWatching = reportBrokenLogin(socket, relay, onBroken);
    connections.connect(dialled);
    this.onServerBytes(greeting);
    const early = this.#early;
    this.#early = Buffer.alloc(0);
    // An error in place of the greeting ends it.
    if (early.length > 0 && relay.state !== 'greeting')
      this.#inLogin(() => relay.feedClient(early));
  }

  #secureClient(relay: LoginRelay, clientHello: Buffer): void {
    this.#connections.secureClient(clientHello).then(
      () => this.#inLogin(() => relay.clientIsSecure()),
      (error: unknown) => {
        this.#report.note('info', error, 'the TLS handshake with a client failed');
        this.#endOnError(() => this.onClientLeft('gone'));
      },
    );
  }

  #secureServer(relay: LoginRelay, dialled: Dialled): void {
    this.#connections.secureServer(dialled).then(
      () => this.#inLogin(() => relay.serverIsSecure()),
      (error: unknown) => this.onFailure(error),
    );
  }

  #inLogin(goOn: () => void): void {
    if (this.#phase.name !== 'login') return;
    this.#endOnError(() => {
      goOn();
      this.#watchLogin();
    });
  }

  #enterCommands(dialled: Dialled, login: Login, { fromServer, fromClient }: Rests): void {
    const { serviceFor, counters } = this.#shared;
    const { threadId, attributes } = login;
    const { clientAddress } = this.#options;
    const commands = new CommandPhase(this, login, {
      service: serviceFor(dialled),
      session: { threadId, upstreamLocalPort: dialled.localPort, clientAddress, attributes },
      connections: this.#connections,
      report: this.#report,
      counters,
    });
    this.#enter({ name: 'commands', commands });
    counters.loginsOk++;
    observe(counters, 'login', { ms: performance.now() - this.#beganMs });
    this.#clearTimers();
    if (fromServer.length > 0) commands.feedServer(fromServer);
    if (fromClient.length > 0) commands.feedClient(fromClient);
  }

  onServerBytes(chunk: Buffer): void {
    const phase = this.#phase;
    try {
      this.#shared.counters.bytesFromServers += chunk.length;
      if (phase.name === 'commands') phase.commands.feedServer(chunk);
      else if (phase.name === 'login') {
        phase.relay.feedServer(chunk);
        this.#watchLogin();
      }
      this.#lastAnswer?.onAnswer();
    } catch (error) {
      this.onFailure(error);
    }
  }

  onClientBytes(chunk: Buffer): void {
    const phase = this.#phase;
    try {
      this.#shared.counters.bytesFromClients += chunk.length;
      if (phase.name === 'commands') phase.commands.feedClient(chunk);
      else if (phase.name === 'login') {
        phase.relay.feedClient(chunk);
        this.#watchLogin();
      } else if (phase.name === 'dialling') {
        this.#early = Buffer.concat([this.#early, chunk]);
        if (this.#early.length <= EARLY_BYTES_MAX) return;
        throw new MalformedPacketError(
          'the client sent more than a login before the greeting of the server',
        );
      }
    } catch (error) {
      this.onFailure(error);
    }
  }

  /** An interception is over. */
  onSettled(): void {
    if (this.#clientIs === 'gone') this.#endBoth();
    else if (this.#clientIs === 'ended') this.#connections.endServer();
    else this.#lastAnswer?.onAnswer();
  }

  /** Undrop answered a statement. */
  onAnswer(taken: Intercepted, answer: Answered, service: DropService): void {
    const { background, onHeld, log } = this.#shared;
    const { dropped, changes = [] } = answer;
    this.#report.onAnswer(taken, answer);
    if (changes.length > 0) background(reportAndKeep({ connection: service.pool, log }, changes));
    if (dropped === null) return;
    const isHeld = dropped.held.length > 0;
    const onUnfinished = (error: unknown) => this.#report.onUnfinished(error, { isHeld });
    const finished = dropped.finish(onUnfinished).catch(onUnfinished);
    if (!isHeld) return background(finished);
    service.heldNames?.add(dropped.audited);
    const inPlace = dropped.held.filter(({ relocated }) => !relocated).map(({ id }) => id);
    background(finished.then(onHeld));
    if (inPlace.length > 0) background(finished.then(() => service.relocateLater?.(inPlace)));
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  /** `ended`: its outstanding commands are still answered, as by the server. */
  onClientLeft(how: 'ended' | 'gone'): void {
    const wasHere = this.#clientIs === 'here';
    this.#clientIs = how;
    const phase = this.#phase;
    if (phase.name === 'closed') return;
    if (phase.name === 'dialling') {
      phase.stop.isStopped = true;
      return;
    }
    // A running drop is completed, as the server would natively.
    if (phase.name === 'commands' && phase.commands.clientLeft(how, wasHere)) return;
    if (phase.name === 'commands' && how === 'ended') this.#connections.endServer();
    else this.#endBoth();
  }

  onClientError(error: Error): void {
    if (error instanceof InvariantError) this.onFailure(error);
    this.#report.note('debug', error, 'the client closed the connection during the login');
  }

  /** Bounds the client's time for each packet of its login; the server's time isn't bounded. */
  #watchLogin(): void {
    const phase = this.#phase;
    if (phase.name !== 'login' || !phase.relay.waitsForClient) return this.#clearTimers();
    this.#loginTimer ??= setTimeout(() => {
      const { loginTimeoutMs } = this.#shared;
      this.onFailure(new UndropError('UNDROP_LOGIN_TIMEOUT', { loginTimeoutMs }));
    }, this.#shared.loginTimeoutMs);
  }

  #endBoth(): void {
    const phase = this.#phase;
    this.#close(null);
    this.#connections.leaveServer(phase.name === 'login' ? phase.relay : null);
    this.#connections.endClient();
  }

  /** The server closed or broke the connection. May be called several times. */
  onServerEnd(error: Error | null): void {
    const phase = this.#phase;
    if (phase.name === 'closed') return;
    if (error instanceof InvariantError) return this.onFailure(error);
    if (error !== null) this.#report.note('info', error, 'the server closed the connection');
    this.#close(error ?? SERVER_CLOSED);
    this.#connections.endClient();
    this.#connections.destroyServer();
  }

  #endOnError(run: () => void): void {
    catching(run, (thrown) => this.onThrown(thrown))();
  }

  /** An error that no caller catches: of an event, a timer. */
  onThrown(thrown: unknown): void {
    if (this.#phase.name !== 'closed') return this.onFailure(thrown);
    this.#report.note('error', thrown, 'an error occurred after the end of a session');
    this.#connections.destroy();
  }

  /** Ends both sides after an error; the client gets an error if one can be sent. */
  onFailure(thrown: unknown): void {
    try {
      this.#endWith(thrown);
    } catch (error) {
      this.#report.note('error', error, 'cannot end a session; cutting it off');
      this.#connections.destroy();
    }
  }

  #endWith(thrown: unknown): void {
    const phase = this.#phase;
    if (phase.name === 'closed') return;
    const error =
      thrown instanceof MalformedPacketError
        ? new UndropError('UNDROP_MALFORMED_PACKET', { problem: thrown.message }, thrown)
        : thrown;
    const { packet, reference } = finalError(phase, error);
    this.#report.onFailure(error, { phase: phase.name, reference });
    this.#close(error instanceof Error ? error : new Error(String(error)));
    this.#connections.endClient(packet);
    if (phase.name === 'login') this.#connections.leaveServer(phase.relay);
    else this.#connections.destroyServer();
  }

  /** Leaves every phase; rejects what waits on the user session with `error`. May run twice. */
  #close(error: Error | null): void {
    const phase = this.#phase;
    if (phase.name === 'closed') return;
    this.#clearTimers();
    if (phase.name === 'dialling') phase.stop.isStopped = true;
    const { counters } = this.#shared;
    // A client that goes away meanwhile says nothing about the server.
    const isUnreached = phase.name === 'dialling' && this.#clientIs === 'here';
    if (isUnreached) counters.loginsUnreached++;
    else if (phase.name === 'dialling' || phase.name === 'login') counters.loginsFailed++;
    try {
      this.#enter({ name: 'closed' });
      this.#connections.letGo();
      if (phase.name !== 'commands') return;
      if (phase.commands.tracker.untracked) counters.sessionsUntracked++;
      phase.commands.fail(error ?? SESSION_ENDED);
    } finally {
      this.#options.onClose();
    }
  }

  /** Between two statements, outside of a transaction. */
  get #isIdle(): boolean {
    if (this.#phase.name !== 'commands') return false;
    const { isIdle, tracker } = this.#phase.commands;
    return isIdle && !tracker.inTransaction;
  }

  /** The client goes on after this answer: it has looked whether the connection is there. */
  get #isStatementToCome(): boolean {
    if (this.#phase.name !== 'commands') return false;
    return com.precedesStatement(this.#phase.commands.tracker.lastCommand);
  }

  #drainIfIdle(): void {
    const phase = this.#phase;
    if (phase.name === 'closed') return;
    if (phase.name !== 'commands') return this.onFailure(new UndropError('UNDROP_SHUTTING_DOWN'));
    if (!this.#isIdle) return;
    // The client first: the rest takes milliseconds, in which it may send a statement. A drop that
    // has come all the same is completed.
    this.#connections.endClient();
    setImmediate(() => this.#endOnError(() => this.onClientLeft('gone')));
  }

  #clearTimers(): void {
    clearTimeout(this.#loginTimer ?? undefined);
    this.#loginTimer = null;
    this.#lastAnswer?.stop();
  }

  /** The one place where the phase changes. */
  #enter(phase: Phase): void {
    const from = this.#phase.name;
    this.#phase = phase;
    this.#report.onState('session', from, phase.name);
  }

  #who(): ClientWho {
    const phase = this.#phase;
    const client = this.#options.clientAddress;
    if (phase.name !== 'commands') return { client, user: '', threadId: null, program: null };
    const { lastSeen, login } = phase.commands;
    const program = programOf(login.attributes);
    return { client, user: lastSeen.guess.user, threadId: login.threadId, program };
  }
}

// ── the last answer ──────────────────────────────────────────────────────────────────────────────
// Finds the moment at which a session ends at a drain, so that no statement is lost: a client may
// send one before it sees the end. A connection that lies unused in a pool for a while is hardly
// ever about to be used. Where a connection is used all the time, its end comes together with an
// answer, so that a client sees both if it does anything else before its next statement; but not
// in a run of statements, each right behind the answer to the one before.

/** An unused connection. */
const QUIET_MS = 2_000;
/** A statement that comes that long after the last answer does not continue a run. */
const PAUSE_MS = 20;

interface LastAnswerOptions {
  /** It ends with an answer after so many such statements in a row; Infinity: with none. */
  readonly pauses: number;
  /** Nothing is under way, no transaction is open, and no statement is announced. */
  canEnd(): boolean;
  end(): void;
}

export class LastAnswer {
  readonly #options: LastAnswerOptions;
  #timer: NodeJS.Timeout | null = null;
  /** The client has said nothing for a moment. */
  #isPaused = false;
  #pauses = 0;

  /** From now on pauses are looked for. An idle session stays until its next statement. */
  constructor(options: LastAnswerOptions) {
    this.#options = options;
    this.#watch(() => undefined);
  }

  /** To be called when bytes of an answer have been sent on. */
  onAnswer(): void {
    const { pauses, canEnd, end } = this.#options;
    if (!canEnd()) return;
    this.#pauses = this.#isPaused ? this.#pauses + 1 : 0;
    if (this.#pauses >= pauses) return end();
    this.#watch(() => {
      // After what has come meanwhile was read.
      const look = () => setImmediate(() => this.#ifFree(end));
      this.#timer = setTimeout(look, QUIET_MS - PAUSE_MS);
    });
  }

  stop(): void {
    clearTimeout(this.#timer ?? undefined);
  }

  #watch(then: () => void): void {
    this.stop();
    this.#isPaused = false;
    this.#timer = setTimeout(() => {
      this.#ifFree(() => {
        this.#isPaused = true;
        then();
      });
    }, PAUSE_MS);
  }

  #ifFree(then: () => void): void {
    if (this.#options.canEnd()) then();
  }
}
