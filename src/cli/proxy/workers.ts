/**
 * The workers of a proxy in several processes, for several cores. The first process, where this
 * runs, has what a proxy has once (ledger, recovery, collector), counts connections and adds up
 * counters; its workers take the clients of one set of addresses, in turn.
 *
 * Invariant: a worker that dies costs its own sessions and no others; they count no more, and
 * another takes its place. No client is served in this process.
 */
import type { Worker as Process } from 'node:cluster';
import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { Log } from '../../log.js';
import { addCounters, type Counters, newCounters } from '../../metrics.js';
import type { ServerAddress } from '../../service/server-address.js';
import { removeStaleSockets } from '../../session/listen-addresses.js';
import type { DrainOptions } from '../../session/listener.js';
import type { ProxyTls } from '../../session/login/tls.js';
import type { ProxySettings } from '../settings.js';
import type { ClientSide, Opened } from './front.js';
import { serviceConnectionsOf } from './limits.js';
import type { FromWorker, ToWorker } from './worker.js';

/** A worker that dies sooner than this is not replaced at once. */
const STEADY_MS = 10_000;
const RESTART_DELAY_MS = 1_000;
/** After so many in a row the fault is not that of one client. */
const CRASHES_MAX = 5;
const CHECK_EVERY_MS = 1_000;
/** Checks of a worker that says nothing, while it serves and while it starts. */
const SILENT_MAX = 15;
const STARTING_MAX = 120;

interface WorkersOptions {
  readonly count: number;
  readonly log: Log;
  /** Made of the settings that workers are told. */
  readonly tls: ProxyTls;
  /** What this process counts itself. */
  readonly counters: Counters;
  onHeld(): void;
  /** Null if it isn't known. */
  serverConnectionsMax(): number | null;
}

/** One worker, from its start to its end. */
interface Member {
  readonly number: number;
  readonly process: Process;
  readonly startedMs: number;
  /** From `starting` on it has heard its settings. */
  state: 'forked' | 'starting' | 'serving';
  /** Checks since it was heard of. */
  silentFor: number;
  /** Clients that were let in there. */
  clients: number;
  counters: Counters;
  onReady: (answer: Opened) => void;
  onFailed: (error: Error) => void;
  onChanged: (cause: string | null) => void;
}

export class Workers implements ClientSide {
  readonly #options: WorkersOptions;
  readonly #members = new Set<Member>();
  /** What ended workers have counted. */
  #past = newCounters();
  #settings: ProxySettings;
  #isEnding = false;
  readonly #watch: NodeJS.Timeout;
  /** How often in a row a worker died soon, by its number. */
  readonly #crashes = new Map<number, number>();
  #onAllGone: (() => void) | null = null;
  #onCrashLoop: (error: UndropError) => void = () => undefined;
  /** Resolves when one dies soon after each of its starts: there is no sense in another. */
  readonly failed = new Promise<UndropError>((resolve) => {
    this.#onCrashLoop = resolve;
  });

  constructor(options: WorkersOptions, settings: ProxySettings) {
    this.#options = options;
    this.#settings = settings;
    cluster.schedulingPolicy = cluster.SCHED_RR;
    this.#watch = setInterval(() => this.#checkSilence(), CHECK_EVERY_MS).unref();
    cluster.setupPrimary({
      exec: fileURLToPath(new URL('worker.js', import.meta.url)),
      args: [],
    });
    // Workers that are just starting would complain of it with traces of the stack.
    process.once('exit', () => this.#kill());
  }

  /** Resolves when all of them serve; rejects when one can't. */
  async open(): Promise<Opened> {
    const numbers = Array.from({ length: this.#options.count }, (_, index) => index + 1);
    try {
      await removeStaleSockets(this.#settings.listen);
      const [first] = await Promise.all(numbers.map((number) => this.#add(number)));
      assert(first !== undefined, 'there is at least one worker');
      return first;
    } catch (error) {
      this.#kill();
      throw error;
    }
  }

  get counters(): Counters {
    const ofWorkers = [...this.#members].map(({ counters }) => counters);
    return addCounters([this.#options.counters, this.#past, ...ofWorkers]);
  }

  /** Resolves when all have the new settings, or have said why not. */
  async change(settings: ProxySettings): Promise<void> {
    this.#settings = settings;
    // Those that have yet to begin begin with them.
    const members = [...this.#members].filter(({ state }) => state !== 'forked');
    await Promise.all(members.map((member) => this.#changeOne(member, settings)));
  }

  /** Another server has that address. */
  renew(address: ServerAddress): void {
    for (const member of this.#members) {
      if (member.state !== 'forked') tell(member, { kind: 'renew', address });
    }
  }

  /** Drains all of them; resolves when none is left. */
  async close({ signal, ...how }: DrainOptions): Promise<void> {
    this.#isEnding = true;
    const gone = new Promise<void>((resolve) => {
      this.#onAllGone = resolve;
    });
    const hurry = () => {
      for (const member of this.#members) tell(member, { kind: 'hurry' });
    };
    signal.addEventListener('abort', hurry, { once: true });
    for (const member of this.#members) {
      if (member.state !== 'forked') tell(member, { kind: 'drain', ...how });
      else kill(member);
    }
    if (signal.aborted) hurry();
    if (this.#members.size > 0) await gone;
  }

  #kill(): void {
    this.#isEnding = true;
    for (const member of this.#members) kill(member);
  }

  async #add(number: number): Promise<Opened> {
    const process = cluster.fork();
    const { log } = this.#options;
    const opened = await new Promise<Opened>((resolve, reject) => {
      const member: Member = {
        number,
        process,
        startedMs: performance.now(),
        state: 'forked',
        silentFor: 0,
        clients: 0,
        counters: newCounters(),
        onReady: resolve,
        onFailed: reject,
        onChanged: () => undefined,
      };
      this.#members.add(member);
      process.on('message', (message: FromWorker) => this.#obey(member, message));
      process.on('error', (error) => {
        log.error({ worker: number, err: error }, 'a worker could not be told');
      });
      process.on('exit', (code, signal) => this.#onExit(member, { code, signal }));
    });
    log.info({ event: 'worker', worker: number, pid: process.process.pid }, 'a worker serves');
    return opened;
  }

  #begin(member: Member): void {
    member.state = 'starting';
    const settings = this.#settings;
    const { count, serverConnectionsMax, tls } = this.#options;
    const serviceConnectionsMax = serviceConnectionsOf(count, serverConnectionsMax());
    const { ownCertificate } = tls;
    const { number: worker } = member;
    tell(member, { kind: 'start', settings, ownCertificate, serviceConnectionsMax, worker });
  }

  /** What one worker says must not cost the sessions of the others. */
  #obey(member: Member, message: FromWorker): void {
    try {
      this.#onMessage(member, message);
    } catch (error) {
      const fields = { event: 'worker', worker: member.number, err: error };
      this.#options.log.error(fields, 'a worker is killed, because its message was not understood');
      kill(member);
    }
  }

  #onMessage(member: Member, message: FromWorker): void {
    switch (message.kind) {
      case 'hello':
        return this.#isEnding ? kill(member) : this.#begin(member);
      case 'ready':
        member.state = 'serving';
        member.silentFor = 0;
        return member.onReady(message);
      case 'failed':
        return member.onFailed(new UndropError('UNDROP_WORKER', { cause: message.cause }));
      case 'changed':
        return member.onChanged(message.cause);
      case 'take': {
        const clients = [...this.#members].reduce((sum, one) => sum + one.clients, 0);
        const isAllowed = clients < this.#settings.maxConnections;
        if (isAllowed) member.clients++;
        return tell(member, { kind: 'let-in', isAllowed });
      }
      case 'release':
        member.clients--;
        return;
      case 'held':
        return this.#options.onHeld();
      case 'counters':
        member.silentFor = 0;
        member.counters = message.counters;
    }
  }

  #onExit(member: Member, how: { readonly code: number | null; readonly signal: string | null }) {
    this.#members.delete(member);
    const ended = { ...member.counters, sessionsOpen: 0, loopDelayMsMax: 0 };
    this.#past = addCounters([this.#past, ended]);
    member.onFailed(new UndropError('UNDROP_WORKER', { cause: 'it ended before it served' }));
    member.onChanged(null);
    if (this.#isEnding) {
      if (this.#members.size === 0) {
        clearInterval(this.#watch);
        this.#onAllGone?.();
      }
      return;
    }
    const { number, startedMs } = member;
    const fields = { event: 'worker', worker: number, ...how };
    this.#options.log.error(fields, 'a worker died, with its sessions; another takes its place');
    const isSteady = performance.now() - startedMs > STEADY_MS;
    const crashes = isSteady ? 0 : (this.#crashes.get(number) ?? 0) + 1;
    this.#crashes.set(number, crashes);
    if (crashes >= CRASHES_MAX) {
      const cause = `it ended ${crashes} times in a row within ${STEADY_MS / 1_000} s of its start`;
      return this.#onCrashLoop(new UndropError('UNDROP_WORKER', { cause }));
    }
    setTimeout(() => this.#replace(number), isSteady ? 0 : RESTART_DELAY_MS);
  }

  /**
   * A worker says something every second. One that doesn't is blocked, with all of its sessions.
   * Checks are counted, not time: this process may have been asleep itself.
   */
  #checkSilence(): void {
    for (const member of this.#members) {
      const { number, state } = member;
      if (++member.silentFor !== (state === 'serving' ? SILENT_MAX : STARTING_MAX)) continue;
      const fields = { event: 'worker', worker: number, pid: member.process.process.pid };
      this.#options.log.error(fields, 'a worker is blocked: it is killed');
      kill(member);
    }
  }

  /** A worker that can't start ends, and is replaced in its turn. */
  #replace(number: number): void {
    if (this.#isEnding) return;
    this.#add(number).catch((error: unknown) => {
      const fields = { event: 'worker', worker: number, err: error };
      this.#options.log.error(fields, 'a worker can not serve');
    });
  }

  async #changeOne(member: Member, settings: ProxySettings): Promise<void> {
    // A worker that says nothing is killed after a while, and that is an answer, too.
    const cause = await new Promise<string | null>((resolve) => {
      member.onChanged = resolve;
      const { ownCertificate } = this.#options.tls;
      tell(member, { kind: 'change', settings, ownCertificate });
    });
    if (cause === null) return;
    const fields = { event: 'reload', worker: member.number, cause };
    this.#options.log.error(fields, 'a worker keeps its old settings');
  }
}

function kill({ process }: Member): void {
  process.process.kill('SIGKILL');
}

/** A worker that has just died gets no mail; its end is noticed by itself. */
function tell({ process }: Member, message: ToWorker): void {
  if (process.isConnected()) process.send(message);
}
