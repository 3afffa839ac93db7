/**
 * The places for clients (UNDROP_MAX_CONNECTIONS), which the supervisor counts for all processes:
 * each takes some at a time, so that a client seldom waits for the answer of another process, and
 * those that are free are called back before a client is refused.
 *
 * Invariant: no more places are given than there are; a client is refused only if all are taken.
 */
import { assert } from '../../assert.js';
import { type ConnectionLimit, LocalConnectionLimit } from '../../session/listener.js';
import type { ToProcess } from './messages.js';

/** The places that a process gets at a time, if there are enough. */
const AT_A_TIME_MAX = 64;
/** A process gets at most this part of the places that are left. */
const SHARE = 4;

/** A process. */
interface Holder {
  tell(message: ToProcess): void;
}

/** The places, in the supervisor. */
export class Places {
  max: number;
  readonly #given = new Map<Holder, number>();
  readonly #asking: Holder[] = [];
  /** Processes that have yet to return what is free there. */
  readonly #recalled = new Set<Holder>();
  /** Others were asked for the one that is answered next. */
  #wereAsked = false;

  constructor(max: number) {
    this.max = max;
  }

  ask(holder: Holder): void {
    this.#asking.push(holder);
    this.#answer();
  }

  return(holder: Holder, { count, isRecalled }: { count: number; isRecalled: boolean }): void {
    this.#given.set(holder, (this.#given.get(holder) ?? 0) - count);
    if (isRecalled) this.#recalled.delete(holder);
    this.#answer();
  }

  /** It has ended: its places are free. */
  remove(holder: Holder): void {
    this.#given.delete(holder);
    this.#recalled.delete(holder);
    for (let at = this.#asking.indexOf(holder); at >= 0; at = this.#asking.indexOf(holder)) {
      this.#asking.splice(at, 1);
    }
    this.#answer();
  }

  #answer(): void {
    while (this.#asking[0] !== undefined) {
      const [holder] = this.#asking;
      const given = [...this.#given.values()].reduce((sum, count) => sum + count, 0);
      const left = this.max - given;
      if (left <= 0 && this.#awaitsOthers(holder)) return;
      this.#wereAsked = false;
      const count = left <= 0 ? 0 : Math.min(Math.ceil(left / SHARE), AT_A_TIME_MAX);
      this.#asking.shift();
      this.#given.set(holder, (this.#given.get(holder) ?? 0) + count);
      holder.tell({ kind: 'places', count });
    }
  }

  /** Whether others may still return some; they are asked once for each answer. */
  #awaitsOthers(asking: Holder): boolean {
    if (!this.#wereAsked) {
      this.#wereAsked = true;
      for (const [holder, count] of this.#given) {
        if (holder === asking || count === 0) continue;
        this.#recalled.add(holder);
        holder.tell({ kind: 'recall' });
      }
    }
    return this.#recalled.size > 0;
  }
}

interface LeasedLimitOptions {
  /** The limit of all processes together, for the error's text. */
  readonly max: number;
  /** The limit of this process: what its open files are enough for. */
  readonly ownMax: number;
  /** To the supervisor, which answers with `add`. */
  ask(): void;
  return(count: number, isRecalled: boolean): void;
}

/** The places that a process has. */
export class LeasedLimit implements ConnectionLimit {
  readonly max: number;
  readonly #options: LeasedLimitOptions;
  readonly #own: LocalConnectionLimit;
  readonly #waiting: ((isAllowed: boolean) => void)[] = [];
  #free = 0;
  #isAsked = false;

  constructor(options: LeasedLimitOptions) {
    this.#options = options;
    this.max = options.max;
    this.#own = new LocalConnectionLimit(options.ownMax);
  }

  take(): boolean | Promise<boolean> {
    if (!this.#own.take()) return false;
    if (this.#free > 0 && this.#waiting.length === 0) {
      this.#free--;
      return true;
    }
    this.#ask();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  release(): void {
    this.#own.release();
    this.#free++;
    this.#serve();
    const surplus = this.#free - AT_A_TIME_MAX;
    if (surplus > 0) this.#return(surplus, false);
  }

  /** The supervisor has answered; 0: all places are taken. */
  add(count: number): void {
    this.#isAsked = false;
    this.#free += count;
    if (count > 0) return this.#serve();
    const [resolve] = this.#waiting.splice(0, 1);
    if (resolve !== undefined) {
      this.#own.release();
      resolve(false);
    }
    if (this.#waiting.length > 0) this.#ask();
  }

  /** Returns all free places; a process that ends takes no more. */
  recall(): void {
    this.#return(this.#free, true);
  }

  #serve(): void {
    while (this.#free > 0 && this.#waiting.length > 0) {
      this.#free--;
      this.#waiting.shift()?.(true);
    }
    if (this.#waiting.length > 0) this.#ask();
  }

  #ask(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#options.ask();
  }

  #return(count: number, isRecalled: boolean): void {
    assert(count <= this.#free, 'only free places are returned');
    this.#free -= count;
    this.#options.return(count, isRecalled);
  }
}
