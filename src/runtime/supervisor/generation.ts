/**
 * The processes that were started together, of one program and with one set of settings: a control
 * process, and the proxies. While the generation is the current one, those that die are replaced.
 *
 * Invariant: until `serve` it has taken no client, and can be ended without anybody noticing.
 */
import { assert, UndropError } from '../../errors.js';
import type { Flags } from '../../faces/cli/settings.js';
import type { BoundSocket, SocketHandle } from '../../session/bound-sockets.js';
import { Child, type ChildOptions, type Ended } from './child.js';
import type { DrainTimes, Kept, Plan, Role, ToProcess } from './messages.js';

/** A process that dies sooner than this has crashed at its start. */
const STEADY_MS = 10_000;
/** Doubled with each crash in a row. */
const RESTART_PAUSE_MS = 500;
/** After so many in a row the fault is not that of one client. */
export const CRASHES_MAX = 5;
const RESTART_PAUSE_MAX_MS = RESTART_PAUSE_MS * 2 ** CRASHES_MAX;
/** How long sessions may stay in old processes after a reload, before they end as at a shutdown. */
const RETIRED_WITHIN_MS = 3_600_000;
/** How long a process may take for its end, after that of its sessions. */
const ENDS_WITHIN_MS = 10_000;

export interface GenerationOptions extends Pick<ChildOptions, 'log' | 'variables' | 'onSaid'> {
  readonly flags: Flags;
  kept(): Kept;
  bind(plan: Plan): Promise<readonly BoundSocket[]>;
  onEnd(child: Child): void;
  /** A control process is about to serve: it has yet to hear what the one before it knew. */
  onControl(control: Child): void;
  /**
   * A process was to be replaced, and the program on the disk is another. Resolves when new
   * processes have taken over, or can't.
   */
  onOtherProgram(): Promise<unknown>;
  /** A process dies soon after each of its starts. */
  onCrashLoop(error: UndropError): void;
  /** None of its processes is left. */
  onGone(): void;
}

/** The states that may follow. In `retired` its proxies serve the sessions that they have. */
const NEXT = {
  starting: ['serving', 'ending'],
  serving: ['retired', 'ending'],
  retired: ['ending'],
  ending: ['ending'],
} as const satisfies Record<string, readonly string[]>;
type State = keyof typeof NEXT;

export class Generation {
  #state: State = 'starting';
  /** When the sessions of its proxies end at the latest; null: they have all the time. */
  endsAt: Date | null = null;
  readonly #options: GenerationOptions;
  readonly #children = new Set<Child>();
  #plan: Plan | null = null;
  #sockets: readonly BoundSocket[] = [];
  #serverConnectionsMax: number | null = null;
  #relay = 'stream';
  /** Open sessions by the number of their proxy. */
  readonly #loads: Record<string, number> = {};
  /** How often in a row a process died soon, by its number. */
  readonly #crashes = new Map<number, number>();
  /** No control process of another generation collects. */
  #mayCollect = false;
  #killing: NodeJS.Timeout | undefined;

  constructor(options: GenerationOptions) {
    this.#options = options;
  }

  get state(): State {
    return this.#state;
  }

  get children(): readonly Child[] {
    return [...this.#children];
  }

  get proxies(): readonly Child[] {
    return this.children.filter(({ role }) => role === 'proxy');
  }

  get #controls(): readonly Child[] {
    return this.children.filter(({ role }) => role === 'control');
  }

  get sockets(): readonly BoundSocket[] {
    return this.#sockets;
  }

  /** A server answered its control process at the start. */
  get reachesServer(): boolean {
    return this.#serverConnectionsMax !== null;
  }

  /**
   * Resolves when all of its processes could serve. Rejects with what kept them from it, and none
   * is left.
   */
  async open(): Promise<Plan> {
    const { flags, kept, bind } = this.#options;
    try {
      const control = this.#fork('control', 0);
      // It is read in while control reads the settings.
      const first = this.#fork('proxy', 1);
      await control.step('hello');
      control.tell({ kind: 'plan', flags, kept: kept() });
      const { plan } = await control.step('planned');
      this.#plan = plan;
      this.#sockets = await bind(plan);
      this.#begin(control, plan);
      this.#serverConnectionsMax = (await control.step('ready')).serverConnectionsMax;
      const others = Array.from({ length: plan.proxies - 1 }, (_, index) => index + 2);
      const proxies = [first, ...others.map((number) => this.#fork('proxy', number))];
      await Promise.all(proxies.map((proxy) => this.#prepare(proxy, plan)));
      // Its end would not be noticed later.
      for (const child of [control, ...proxies]) child.assertAlive();
      return plan;
    } catch (error) {
      await this.abandon();
      throw error;
    }
  }

  /** Whether clients are taken. */
  get isOpen(): boolean {
    return this.proxies.some(({ isServing }) => isServing);
  }

  /**
   * From now on its proxies take clients, and control answers those who watch. Rejects if one of
   * its processes can't, and none is left.
   */
  async serve(): Promise<void> {
    this.#become('serving');
    const { proxies } = this;
    try {
      for (const proxy of proxies) this.#serve(proxy);
      await Promise.all(proxies.map((proxy) => proxy.step('serving')));
    } catch (error) {
      await this.abandon();
      throw error;
    }
    // It says that clients are served.
    for (const control of this.#controls) this.#serve(control);
  }

  /** Its proxies take no more clients; those that they have may stay for a while. */
  retire({ timeoutMs }: DrainTimes): void {
    this.#become('retired');
    this.#endWithin(RETIRED_WITHIN_MS + timeoutMs);
    this.tell('proxy', { kind: 'retire', withinMs: RETIRED_WITHIN_MS, timeoutMs });
  }

  drain(times: DrainTimes): void {
    this.#become('ending');
    this.#endWithin(times.waitMs + times.timeoutMs);
    this.tell('proxy', { kind: 'drain', ...times });
  }

  /** No control process of another generation is left, which had the settings `before`. */
  collect(before: unknown): void {
    this.#mayCollect = true;
    // A control process that has yet to serve hears of it when it does.
    for (const control of this.#controls)
      if (control.isServing) control.tell({ kind: 'collect', before });
  }

  /** A proxy has so many sessions: the others are told. */
  balance({ number }: Child, load: number): void {
    this.#loads[number] = load;
    if (this.proxies.length > 1) this.tell('proxy', { kind: 'loads', loads: this.#loads });
  }

  /** A proxy passes a client on to that one; if it is gone, to any other, or back. */
  pass(from: Child, to: number, handle: SocketHandle | undefined): void {
    const serving = this.proxies.filter(({ isServing }) => isServing);
    const target = serving.find(({ number }) => number === to) ?? serving[0] ?? from;
    target.tell({ kind: 'client' }, handle, () => handle?.close());
  }

  tell(to: Role, message: ToProcess): void {
    for (const child of this.children) if (child.role === to) child.tell(message);
  }

  /**
   * Resolves when its control process has ended, or was killed. `isEnd`: no other takes its place.
   */
  async endControl({ isEnd }: { readonly isEnd: boolean }): Promise<void> {
    const controls = this.#controls;
    for (const control of controls) control.tell({ kind: 'stop', isEnd });
    const timer = killAfter(ENDS_WITHIN_MS, controls);
    await Promise.all(controls.map(({ ended }) => ended));
    clearTimeout(timer);
  }

  kill(): void {
    this.#become('ending');
    for (const child of this.#children) child.kill();
  }

  /** Resolves when none of its processes is left. */
  async abandon(): Promise<void> {
    this.kill();
    await Promise.all(this.children.map(({ ended }) => ended));
  }

  #become(next: State): void {
    const known: readonly State[] = NEXT[this.#state];
    assert(known.includes(next), `${this.#state} processes don't become ${next}`);
    this.#state = next;
  }

  #fork(role: Role, number: number): Child {
    const onEnd = (ended: Child, how: Ended) => this.#onEnd(ended, how);
    const child = new Child({ ...this.#options, role, number, onEnd });
    this.#children.add(child);
    return child;
  }

  /** Resolves when it could serve. */
  async #prepare(child: Child, plan: Plan): Promise<void> {
    const { version } = await child.step('hello');
    if (version !== plan.version) {
      throw new UndropError('UNDROP_WORKER', {
        cause: `the program is of version ${version} now, expected ${plan.version}`,
      });
    }
    this.#begin(child, plan);
    this.#relay = (await child.step('ready')).relay ?? this.#relay;
    const { log } = this.#options;
    if (child.role === 'proxy') log.info({ event: 'worker', ...child.fields }, 'started a worker');
  }

  #begin(child: Child, plan: Plan): void {
    const own = child.role === 'control' ? 'admin' : 'listen';
    for (const { purpose, address, handle } of this.#sockets) {
      if (purpose === own) child.tell({ kind: 'socket', purpose, address }, handle);
    }
    const { number } = child;
    const { settings, proxies, kept } = plan;
    const listen = this.#sockets.filter(({ purpose }) => purpose === 'listen');
    child.tell({
      ...{ kind: 'start', settings, kept, number, proxies },
      listen: listen.map(({ address }) => address),
      serverConnectionsMax: this.#serverConnectionsMax,
    });
  }

  #serve(child: Child): void {
    child.isServing = true;
    // The others have to know of one that has no client yet.
    if (child.role === 'proxy') this.balance(child, 0);
    else this.#options.onControl(child);
    child.tell({ kind: 'serve', about: { relay: this.#relay, workers: this.#plan?.proxies } });
  }

  /** Its proxies end their sessions until then; whoever hangs is killed. */
  #endWithin(ms: number): void {
    this.endsAt = new Date(Date.now() + ms);
    clearTimeout(this.#killing);
    this.#killing = killAfter(ms + ENDS_WITHIN_MS, this.proxies);
  }

  #onEnd(child: Child, how: Ended): void {
    if (!this.#children.delete(child)) return;
    delete this.#loads[child.number];
    this.#options.onEnd(child);
    if (this.#state === 'serving') this.#onDeath(child, how);
    if (this.#children.size > 0 || this.#state === 'serving') return;
    clearTimeout(this.#killing);
    this.#options.onGone();
  }

  #onDeath(child: Child, how: Ended): void {
    const { log, onCrashLoop } = this.#options;
    const who =
      child.role === 'proxy' ? 'a worker died, with its sessions' : 'the control process died';
    log.error({ event: 'worker', ...child.fields, ...how }, `${who}; another takes its place`);
    const { number, startedMs } = child;
    const isSteady = performance.now() - startedMs > STEADY_MS;
    const crashes = isSteady ? 0 : (this.#crashes.get(number) ?? 0) + 1;
    this.#crashes.set(number, crashes);
    // A process that can't start does no harm as long as others serve.
    const isFatal = child.isServing || !this.proxies.some(({ isServing }) => isServing);
    if (crashes >= CRASHES_MAX && isFatal) {
      const cause = `it ended ${crashes} times in a row within ${STEADY_MS / 1_000} s of its start`;
      return onCrashLoop(new UndropError('UNDROP_WORKER', { cause }));
    }
    setTimeout(() => this.#replace(child), restartPauseMs(crashes));
  }

  /** A process that can't start ends, and is replaced in its turn. */
  async #replace(before: Child): Promise<void> {
    const { role, number } = before;
    const plan = this.#plan;
    if (this.#state !== 'serving' || plan === null) return;
    const tryLater = () => void setTimeout(() => this.#replace(before), RESTART_PAUSE_MAX_MS);
    let child: Child | null = null;
    try {
      child = this.#fork(role, number);
      const { version } = await child.step('hello');
      if (version !== plan.version) {
        // Its end is no reason to replace it.
        this.#children.delete(child);
        child.kill();
        await this.#options.onOtherProgram();
        return tryLater();
      }
      await this.#prepare(child, plan);
      if (this.#state !== 'serving') return child.kill();
      this.#serve(child);
      if (role === 'control' && this.#mayCollect) child.tell({ kind: 'collect', before: null });
    } catch (error) {
      const fields = { event: 'worker', ...(child ?? before).fields, err: error };
      this.#options.log.error(fields, 'cannot start a process; trying again');
      // Without memory, say, there is no process whose end would have it replaced.
      if (child === null) return tryLater();
      child.kill();
    }
  }
}

/** After so many crashes in a row. */
export function restartPauseMs(crashes: number): number {
  if (crashes === 0) return 0;
  return Math.min(RESTART_PAUSE_MS * 2 ** crashes, RESTART_PAUSE_MAX_MS);
}

function killAfter(ms: number, children: readonly Child[]): NodeJS.Timeout {
  return setTimeout(() => {
    for (const child of children) child.kill();
  }, ms);
}
