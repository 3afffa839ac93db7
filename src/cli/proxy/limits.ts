/**
 * Computes what each process of a proxy may use: open files, service connections, clients, and
 * memory for new objects. Node raises its soft limit of open files to the hard one at its start,
 * so what is read here is what `ulimit -Hn`, systemd or the container gave.
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { assert } from '../../assert.js';
import { type ConnectionLimit, LocalConnectionLimit } from '../../session/listener.js';

/** Open files that are no session's: service connections, listeners, the log. */
const OTHER_FILES = 64;

/** Sessions that fit, each with a socket on either side; no limit if none is known. */
export function sessionsByOpenFiles(filesMax: number = openFilesMax()): number {
  return Math.max(1, Math.floor((filesMax - OTHER_FILES) / 2));
}

/** Open files that `sessions` need. */
export function openFilesFor(sessions: number): number {
  return 2 * sessions + OTHER_FILES;
}

/** Infinity if the system doesn't say (other systems than Linux). */
export function openFilesMax(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const digits = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return digits === undefined ? Number.POSITIVE_INFINITY : Number(digits);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return Number.POSITIVE_INFINITY;
  }
}

const AUTO_MAX = 4;
/** For each process, at least: a DROP DATABASE needs three, and others to relocate tables. */
export const SERVICE_CONNECTIONS_MIN = 4;
export const SERVICE_CONNECTIONS_MAX = 8;
/** The part of the server's max_connections that all processes together may take. */
const SHARE = 1 / 5;

/** What `auto` is: the other half is for the server and for what else is on the machine. */
export function autoWorkers(cores: number): number {
  return Math.min(Math.max(Math.floor(cores / 2), 1), AUTO_MAX);
}

/**
 * Service connections of each worker, beside one that can't wait; the first process has the
 * smallest number. `serverMax`: max_connections of the server; null if it isn't known.
 */
export function serviceConnectionsOf(workers: number, serverMax: number | null): number {
  if (serverMax === null) return SERVICE_CONNECTIONS_MIN;
  const ofFirst = SERVICE_CONNECTIONS_MIN + 1;
  const each = Math.floor((serverMax * SHARE - ofFirst) / workers) - 1;
  return Math.min(Math.max(each, SERVICE_CONNECTIONS_MIN), SERVICE_CONNECTIONS_MAX);
}

/**
 * Keeps the part of V8's heap where new objects are made as small as it starts (1 MiB a half),
 * which costs point selects nothing that could be measured (docs/decisions/raw-handles.md). V8 lets
 * it grow to 16 MiB each half when many objects outlive a scavenge, as those of logins do, and
 * gives that back late or never: a proxy that served one burst would be 35 MB larger for good. To
 * be called as early as possible, because what has grown stays. V8 ignores unknown flags.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

interface RemoteConnectionLimitOptions {
  /** The limit of all workers together, for the error's text. */
  readonly max: number;
  /** The limit of this process: what its open files are enough for. */
  readonly ownMax: number;
  ask(): void;
  release(): void;
}

/**
 * ConnectionLimit that the first process counts for all workers together: each connection is asked
 * for there. Answers come in the order of the questions.
 */
export class RemoteConnectionLimit implements ConnectionLimit {
  max: number;
  readonly #options: RemoteConnectionLimitOptions;
  readonly #own: LocalConnectionLimit;
  readonly #waiting: ((isAllowed: boolean) => void)[] = [];

  constructor(options: RemoteConnectionLimitOptions) {
    this.#options = options;
    this.max = options.max;
    this.#own = new LocalConnectionLimit(options.ownMax);
  }

  take(): boolean | Promise<boolean> {
    if (!this.#own.take()) return false;
    this.#options.ask();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  release(): void {
    this.#own.release();
    this.#options.release();
  }

  onAnswer(isAllowed: boolean): void {
    const resolve = this.#waiting.shift();
    assert(resolve !== undefined, 'only a question is answered');
    if (!isAllowed) this.#own.release();
    resolve(isAllowed);
  }
}
