/**
 * A process of the service, as the supervisor sees it: it is forked from the program as it lies on
 * the disk now, receives messages, and is killed if it is silent.
 */
import { type ChildProcess, fork, type SendHandle } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { assert } from '../../errors.js';
import type { Log } from '../../log.js';
import type { SocketHandle } from '../../session/bound-sockets.js';
import type { FromProcess, Role, ToProcess } from './messages.js';
import { PROTOCOL, PROTOCOL_VARIABLE, ROLE_VARIABLE } from './messages.js';

/** Checks of a process that says nothing, a second apart, while it serves and while it starts. */
const SILENT_MAX = 15;
const STARTING_MAX = 120;

interface About {
  /** For standard error; default: it ended without a word. */
  readonly text?: string;
  readonly exitCode?: number;
  readonly code?: string;
  /** It was killed, or the system could not start it: another one may live. */
  readonly isKilled?: boolean;
}

/** A process can't serve. */
export class ProcessFailedError extends Error {
  override readonly name = 'ProcessFailedError';
  readonly about: About;
  readonly code: string | undefined;

  constructor(message: string, about: About) {
    super(message);
    this.about = about;
    this.code = about.code;
  }
}

/** Messages that come once, at the start. */
type Step = Extract<FromProcess, { readonly kind: 'hello' | 'planned' | 'ready' | 'serving' }>;
/** Messages that come at any time. */
export type Said = Exclude<FromProcess, Step | { readonly kind: 'failed' }>;

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface ChildOptions {
  readonly role: Role;
  /** 0: a control process. */
  readonly number: number;
  readonly log: Log;
  readonly variables?: Readonly<Record<string, string>>;
  onSaid(child: Child, message: Said, handle: SocketHandle | undefined): void;
  onEnd(child: Child, how: Ended): void;
}

export class Child {
  readonly role: Role;
  readonly number: number;
  readonly startedMs = performance.now();
  /** Resolves at its end. */
  readonly ended: Promise<void>;
  isServing = false;
  #isStarted = false;
  readonly #options: ChildOptions;
  readonly #process: ChildProcess;
  readonly #made = new Map<string, Step>();
  #failure: Error | null = null;
  /** Emits `change` with each step, and with the failure. */
  readonly #changes = new EventEmitter();
  /** Checks since it was heard of. */
  #silentFor = 0;

  constructor(options: ChildOptions) {
    const { role, number, log, variables = {} } = options;
    this.role = role;
    this.number = number;
    this.#options = options;
    const [, program] = process.argv;
    assert(program !== undefined, 'a process has a program');
    this.#process = fork(program, [], {
      env: {
        ...process.env,
        ...variables,
        [ROLE_VARIABLE]: role,
        [PROTOCOL_VARIABLE]: String(PROTOCOL),
      },
    });
    this.#process.on('message', (message: FromProcess, handle: unknown) => {
      this.#hear(message, handle as SocketHandle | undefined);
    });
    this.ended = new Promise((resolve) => {
      const end = (how: Ended, cause: string) => {
        resolve();
        this.#fail(new ProcessFailedError(cause, { isKilled: how.code === null }));
        options.onEnd(this, how);
      };
      this.#process.once('exit', (code, signal) => {
        const how = signal ?? `exit code ${code}`;
        end(
          { code, signal },
          `a new process ended before it served (${how}); standard error may say why`,
        );
      });
      this.#process.on('error', (error) => {
        // It has no `exit`: it was never there.
        if (this.pid === undefined) {
          return end({ code: null, signal: null }, `cannot start a process: ${error.message}`);
        }
        log.error(
          { event: 'process', ...this.fields, err: error },
          'cannot send a message to a process',
        );
      });
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** For lines of the log. */
  get fields(): object {
    const { role, number: worker, pid } = this;
    return role === 'proxy' ? { worker, pid } : { role, pid };
  }

  /** Resolves when it has made that step; rejects if it fails or ends before. */
  async step<K extends Step['kind']>(kind: K): Promise<Extract<Step, { readonly kind: K }>> {
    for (;;) {
      const made = this.#made.get(kind);
      if (made !== undefined) return made as Extract<Step, { readonly kind: K }>;
      this.assertAlive();
      await once(this.#changes, 'change');
    }
  }

  /** Throws what `step` would reject with. */
  assertAlive(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /**
   * A process that has just died gets no mail; its end is noticed by itself. During its start it
   * gets what belongs to the start, because it can't run orders yet.
   */
  tell(message: ToProcess, handle?: SocketHandle, then: () => void = () => undefined): void {
    const { kind } = message;
    if (kind === 'start') this.#isStarted = true;
    const isInTime = this.#isStarted || kind === 'plan' || kind === 'socket';
    if (!this.#process.connected || !isInTime) return then();
    this.#process.send(message, handle as unknown as SendHandle, {}, then);
  }

  kill(): void {
    // Node would take 0 for the id of one that could not be started: this whole group.
    if (this.pid !== undefined) this.#process.kill('SIGKILL');
  }

  /**
   * To be called once a second. Checks are counted, not time: this process may have been asleep
   * itself.
   */
  checkSilence(): void {
    if (++this.#silentFor !== (this.isServing ? SILENT_MAX : STARTING_MAX)) return;
    const { log } = this.#options;
    log.error(
      { event: 'process', ...this.fields },
      'killed a blocked process; another takes its place',
    );
    this.kill();
  }

  /** A message of one process must not cost the sessions of the others. */
  #hear(message: FromProcess, handle: SocketHandle | undefined): void {
    this.#silentFor = 0;
    try {
      switch (message.kind) {
        case 'hello':
        case 'planned':
        case 'ready':
        case 'serving':
          this.#made.set(message.kind, message);
          return void this.#changes.emit('change');
        case 'failed':
          return this.#fail(new ProcessFailedError(message.message, message));
        default:
          return this.#options.onSaid(this, message, handle);
      }
    } catch (error) {
      const fields = { event: 'process', ...this.fields, err: error };
      const what = 'killed a process, because its message was not understood';
      this.#options.log.error(fields, what);
      this.kill();
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#changes.emit('change');
  }
}
