/**
 * Keeps the sessions of several proxies even. All of them accept on the same sockets, and the
 * kernel gives most clients to whoever happens to be awake; a proxy that has more sessions than
 * another passes a new client on, before it has read a byte of it.
 */
import type { Socket } from 'node:net';

/** The sessions that a proxy may have more than another. */
const AHEAD_MAX = 1;

interface BalanceOptions {
  /** This proxy. */
  readonly number: number;
  /** Open sessions here. */
  load(): number;
  tell(load: number): void;
  /** Sends the client to that proxy. */
  pass(to: number, socket: Socket): void;
}

export class Balance {
  readonly #options: BalanceOptions;
  readonly #others = new Map<number, number>();
  #isTelling = false;

  constructor(options: BalanceOptions) {
    this.#options = options;
  }

  /** The loads of all proxies, as old as a message takes. */
  hear(loads: Readonly<Record<string, number>>): void {
    this.#others.clear();
    for (const [number, load] of Object.entries(loads)) {
      if (Number(number) !== this.#options.number) this.#others.set(Number(number), load);
    }
  }

  /** A session has begun or ended; others hear of it once in a turn of the event loop. */
  changed(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    setImmediate(() => {
      this.#isTelling = false;
      this.#options.tell(this.#options.load());
    });
  }

  /** Whether a new client was passed on. */
  divert(socket: Socket): boolean {
    const [least] = [...this.#others].sort(([, one], [, other]) => one - other);
    if (least === undefined) return false;
    const [to, load] = least;
    if (this.#options.load() < load + AHEAD_MAX) return false;
    this.#others.set(to, load + 1);
    this.#options.pass(to, socket);
    return true;
  }
}
