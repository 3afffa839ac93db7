/**
 * The supervisor of a service: it binds the listening sockets and forks the processes that use them
 * (generation.ts). At a reload it starts new ones, with the program and the settings as they are by
 * now; when those could serve, they take the sockets over, and the old proxies serve the sessions
 * that they have. It knows nothing of MySQL, and of settings what is in a Plan.
 *
 * Invariants: clients can connect from the first `start` to the end. Processes that can't serve
 * leave those that do as they are. Only one control process collects at a time.
 */
import type net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { timeText } from '../../duration.js';
import type { UndropError } from '../../errors.js';
import type { LeveledLog } from '../../log.js';
import { BoundSockets } from '../../session/bound-sockets.js';
import { type Child, ProcessFailedError } from './child.js';
import { type Outcome, openCommandSocket } from './command-socket.js';
import type { GenerationOptions } from './generation.js';
import { CRASHES_MAX, Generation, restartPauseMs } from './generation.js';
import type { CountersMessage, Kept, Plan, Sums } from './messages.js';

const CHECK_EVERY_MS = 1_000;
/** A further reload waits until the sessions of the oldest have ended. */
const GENERATIONS_MAX = 3;
const ABOUT_TO_END = 'the service is about to end';

/** `variables`: UNDROP_* of the processes, over those of this one; default: none. */
interface SupervisorOptions extends Pick<GenerationOptions, 'flags' | 'variables'> {
  readonly log: LeveledLog;
}

export class Supervisor {
  /** Resolves when there is no sense in going on. */
  readonly failed: Promise<UndropError>;
  readonly #options: SupervisorOptions;
  readonly #sockets = new BoundSockets();
  /** The counters of all processes, also for the last line of the log. */
  readonly totals = new Totals((counters) =>
    this.#current?.tell('control', { kind: 'counters', counters }),
  );
  readonly #watch: NodeJS.Timeout;
  /** The last one serves, or will. */
  #generations: readonly Generation[] = [];
  #current: Generation | null = null;
  #plan: Plan | null = null;
  #kept: Kept = {};
  #isEnding = false;
  #commands: { readonly path: string; readonly server: net.Server } | null = null;
  #reloading: Promise<unknown> = Promise.resolve();
  /** The reload that waits to begin: all that are requested until then are this one. */
  #next: Promise<Outcome> | null = null;
  /** It was requested with force. */
  #isForced = false;
  #onGenerationGone: () => void = () => undefined;
  #onFailed: (error: UndropError) => void = () => undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.failed = new Promise((resolve) => {
      this.#onFailed = resolve;
    });
    this.#watch = setInterval(() => {
      for (const child of this.#children) child.checkSilence();
    }, CHECK_EVERY_MS);
    process.once('exit', () => {
      for (const child of this.#children) child.kill();
    });
  }

  /** Takes clients when it resolves. Rejects with a ProcessFailedError, or UNDROP_LISTEN. */
  async start(): Promise<void> {
    for (let deaths = 1; ; deaths++) {
      const generation = this.#newGeneration();
      try {
        return await this.#takeOver(generation, await generation.open());
      } catch (error) {
        // It may be killed (no memory, say), as it may be later.
        const isKilled = error instanceof ProcessFailedError && error.about.isKilled === true;
        if (!isKilled || deaths === CRASHES_MAX || this.#isEnding) {
          clearInterval(this.#watch);
          throw error;
        }
        const fields = { event: 'worker', err: error };
        this.#options.log.error(fields, 'cannot start a process; starting all again');
        await sleep(restartPauseMs(deaths));
      }
    }
  }

  /**
   * Never rejects: what can't serve changes nothing. All reloads that are requested until
   * one begins are that one. `force`: if there are too many old processes, the oldest end their
   * sessions as at a shutdown; and new processes needn't reach a server. `onWait`: it has to wait.
   */
  reload({ force = false, onWait = (_: string) => {} } = {}): Promise<Outcome> {
    this.#isForced ||= force;
    // At once: a reload may be waiting for that.
    if (force) this.#endOldest();
    if (this.#isFull) onWait(this.#waitText());
    this.#next ??= this.#reloading.then(() => this.#reload());
    this.#reloading = this.#next;
    return this.#next;
  }

  /** Ends all sessions, then all processes; `hurry`: at once. */
  async stop(hurry: AbortSignal): Promise<void> {
    this.#isEnding = true;
    const plan = this.#plan;
    const onHurry = () => {
      for (const generation of this.#generations) generation.tell('proxy', { kind: 'hurry' });
    };
    hurry.addEventListener('abort', onHurry, { once: true });
    this.#current?.tell('control', { kind: 'away' });
    // Before the proxies close theirs: a client that waits there would be reset. The file of a unix
    // socket is gone with the socket, and clients may come until then.
    this.#sockets.closeForClients({ isTcp: true });
    for (const generation of this.#generations) {
      if (generation.state === 'starting' || plan === null) generation.kill();
      else generation.drain(plan.drain);
    }
    if (hurry.aborted) onHurry();
    const { waitMs = 0 } = plan?.drain ?? {};
    const closing = setTimeout(() => this.#sockets.closeForClients({ isTcp: false }), waitMs);
    await Promise.all(this.#children.flatMap(({ role, ended }) => (role === 'proxy' ? ended : [])));
    clearTimeout(closing);
    await Promise.all(
      this.#generations.map((generation) => generation.endControl({ isEnd: true })),
    );
    this.#sockets.keepOnly([]);
    await this.#openCommands(null);
    clearInterval(this.#watch);
  }

  /** Resolves when there are few enough old processes. */
  async #waitForRoom(): Promise<void> {
    if (this.#isForced) this.#endOldest();
    else if (this.#isFull) {
      const fields = { event: 'reload', generations: this.#generations.length };
      this.#options.log.warn(fields, this.#waitText());
    }
    while (this.#isFull) {
      await new Promise<void>((resolve) => {
        this.#onGenerationGone = resolve;
      });
    }
  }

  #waitText(): string {
    const [oldest] = this.#generations;
    const latest = oldest?.endsAt ? `, at ${timeText(oldest.endsAt)} at the latest` : '';
    const what = `waiting for the end of the sessions of the oldest processes${latest}`;
    return oldest?.state === 'ending' ? what : `${what}; undrop reload --force ends them`;
  }

  async #reload(): Promise<Outcome> {
    await this.#waitForRoom();
    const { log } = this.#options;
    const [before, force] = [this.#plan, this.#isForced];
    this.#next = null;
    this.#isForced = false;
    if (this.#isEnding) return { isDone: false, text: ABOUT_TO_END };
    const generation = this.#newGeneration();
    try {
      const plan = await generation.open();
      if (!force && this.#current?.reachesServer === true && !generation.reachesServer) {
        await generation.abandon();
        throw new Error('no server answers the new processes; undrop reload --force takes them');
      }
      await this.#takeOver(generation, plan);
      return { isDone: true, text: `reloaded; version ${plan.version} serves new clients` };
    } catch (error) {
      this.#sockets.keepOnly(this.#current?.sockets ?? []);
      const fields = { event: 'reload', version: before?.version, err: error };
      const what = 'cannot reload; the processes that are there go on as they are';
      if (!this.#isEnding) log.error(fields, what);
      return { isDone: false, text: `${what}: ${error instanceof Error ? error.message : error}` };
    }
  }

  get #isFull(): boolean {
    return this.#generations.length >= GENERATIONS_MAX && !this.#isEnding;
  }

  #endOldest(): void {
    const [oldest] = this.#generations;
    if (!this.#isFull || oldest?.state !== 'retired' || this.#plan === null) return;
    const fields = { event: 'reload', generations: this.#generations.length };
    this.#options.log.warn(fields, 'ending the sessions of the oldest processes');
    oldest.drain({ ...this.#plan.drain, waitMs: 0 });
  }

  async #takeOver(generation: Generation, plan: Plan): Promise<void> {
    if (this.#isEnding) {
      generation.kill();
      throw new Error(ABOUT_TO_END);
    }
    const [before, planBefore] = [this.#current, this.#plan];
    this.#current = generation;
    this.#plan = plan;
    try {
      await generation.serve();
    } catch (error) {
      this.#current = before;
      this.#plan = planBefore;
      throw error;
    }
    // All of its processes end with the others.
    if (this.#isEnding) throw new Error(ABOUT_TO_END);
    this.#kept = { ...this.#kept, ...plan.kept };
    this.#options.log.level = plan.logLevel;
    before?.retire(plan.drain);
    for (const older of this.#generations) {
      if (older !== generation) older.tell('proxy', { kind: 'policy', policy: plan.policy });
    }
    this.#sockets.keepOnly(generation.sockets);
    await this.#openCommands(plan.commandSocket);
    await before?.endControl({ isEnd: false });
    generation.collect(planBefore?.settings ?? null);
  }

  async #openCommands(path: string | null): Promise<void> {
    if (this.#commands?.path === path) return;
    this.#commands?.server.close();
    this.#commands = null;
    if (path === null) return;
    const { log } = this.#options;
    const server = await openCommandSocket(path, (options) => this.reload(options), log);
    if (server !== null) this.#commands = { path, server };
  }

  #newGeneration(): Generation {
    const generation: Generation = new Generation({
      ...this.#options,
      kept: () => this.#kept,
      bind: ({ sockets }) => this.#sockets.bind(sockets),
      onSaid: (child, message, handle) => {
        switch (message.kind) {
          case 'load':
            return generation.balance(child, message.load);
          case 'pass':
            // Its own generation may have been retired meanwhile.
            return (this.#current ?? generation).pass(child, message.to, handle);
          case 'counters':
            return this.totals.set(child, message);
          case 'tell':
            for (const one of this.#children) {
              if (one.role !== child.role) one.tell({ kind: 'told', message: message.message });
            }
        }
      },
      onEnd: (child) => this.totals.end(child),
      onControl: (control) => control.tell({ kind: 'counters', counters: this.totals.sum() }),
      onOtherProgram: () => this.reload({ force: !generation.isOpen }),
      onCrashLoop: (error) => this.#onFailed(error),
      onGone: () => {
        this.#generations = this.#generations.filter((one) => one !== generation);
        this.#onGenerationGone();
      },
    });
    this.#generations = [...this.#generations, generation];
    return generation;
  }

  get #children(): readonly Child[] {
    return this.#generations.flatMap(({ children }) => children);
  }
}

// ── totals ───────────────────────────────────────────────────────────────────────────────────────
// The counters of all processes, for the control process, which reports them. The counts of a
// process that has ended stay in the sum. The supervisor may be older than the programs that count,
// so it knows no name of a counter: numbers are added; of a name that ends in `Max` the greatest
// counts.

export class Totals {
  readonly #onChange: (sum: Sums) => void;
  readonly #of = new Map<Child, CountersMessage>();
  #past: Sums = {};

  constructor(onChange: (sum: Sums) => void) {
    this.#onChange = onChange;
  }

  set(child: Child, message: CountersMessage): void {
    this.#of.set(child, message);
    this.#onChange(this.sum());
  }

  end(child: Child): void {
    const last = this.#of.get(child);
    if (last === undefined) return;
    this.#of.delete(child);
    const { counters, gauges } = last;
    const open = Object.fromEntries(gauges.map((name) => [name, 0]));
    this.#past = add(this.#past, { ...counters, ...open });
    this.#onChange(this.sum());
  }

  sum(): Sums {
    return [...this.#of.values()].reduce((sum, { counters }) => add(sum, counters), this.#past);
  }
}

function add(sum: Sums, more: Sums): Sums {
  const result: Record<string, number | Sums> = { ...sum };
  for (const [name, value] of Object.entries(more)) {
    const known = result[name];
    if (typeof value === 'object') {
      result[name] = add(typeof known === 'object' ? known : {}, value);
    } else {
      const before = typeof known === 'number' ? known : 0;
      result[name] = name.endsWith('Max') ? Math.max(before, value) : before + value;
    }
  }
  return result;
}
