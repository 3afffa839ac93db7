/**
 * Pools of the library, one after another: one that is replaced goes on until its tasks are over,
 * and its connections count until they are closed.
 *
 * Invariant: never more than `connectionsMax` connections, of all of them together.
 */
import type { Connection, ConnectionPool } from '@databases/mysql';
import { beforeDisposing, quit } from '../login/driver-door.js';

export interface BoundedPoolOptions {
  readonly connectionsMax: number;
  /** A pool of the library, which tells when it has opened a connection. */
  open(how: { readonly onConnectionOpened: () => void }): ConnectionPool;
  onError(error: unknown): void;
}

/** A pool of the library, and its connections. */
interface Generation {
  readonly pool: ConnectionPool;
  /** Tasks that have, or will get, a connection. */
  tasks: number;
  /** Those that have none yet. */
  asking: number;
  open: number;
  /** Of the open ones. */
  closing: number;
}

interface Waiter {
  isWanted(): boolean;
  begin(generation: Generation): void;
}

export class BoundedPool {
  readonly #options: BoundedPoolOptions;
  readonly #replaced = new Map<Generation, Promise<void>>();
  #current: Generation;
  #waiters: Waiter[] = [];

  constructor(options: BoundedPoolOptions) {
    this.#options = options;
    this.#current = this.#open();
  }

  /**
   * As of the library's pool, whose connection is destroyed where `fn` throws. Nothing is run, and
   * it never settles, where it `isWanted` no more when its turn comes.
   */
  async task<T>(isWanted: () => boolean, fn: (connection: Connection) => Promise<T>): Promise<T> {
    const generation = this.#hasRoom()
      ? this.#begin()
      : await new Promise<Generation>((begin) => this.#waiters.push({ isWanted, begin }));
    let isAsking = true;
    const answered = () => {
      if (isAsking) generation.asking--;
      isAsking = false;
    };
    try {
      return await generation.pool.task(async (connection) => {
        answered();
        beforeDisposing(connection, (client) => this.#close(generation, () => quit(client)));
        return fn(connection);
      });
    } finally {
      answered();
      generation.tasks--;
      this.#onRoom();
    }
  }

  /** Tasks that begin from now on have connections that are opened from now on. */
  renew(): void {
    const old = this.#current;
    this.#current = this.#open();
    const closed = old.pool.dispose().catch((error: unknown) => this.#options.onError(error));
    this.#replaced.set(old, closed);
    this.#onRoom();
  }

  /** Resolves when all connections are closed. */
  async dispose(): Promise<void> {
    await Promise.all([this.#current.pool.dispose(), ...this.#replaced.values()]);
  }

  #open(): Generation {
    const generation = { tasks: 0, asking: 0, open: 0, closing: 0 };
    const onConnectionOpened = () => {
      generation.open++;
    };
    return Object.assign(generation, { pool: this.#options.open({ onConnectionOpened }) });
  }

  async #close(generation: Generation, close: () => Promise<void>): Promise<void> {
    generation.closing++;
    await close();
    generation.closing--;
    generation.open--;
    this.#onRoom();
  }

  /** Counted at once: the task itself begins a moment later. */
  #begin(): Generation {
    this.#current.tasks++;
    this.#current.asking++;
    return this.#current;
  }

  /** Whether a task may begin. The library opens a connection only where it has none idle. */
  #hasRoom(): boolean {
    let count = this.#current.tasks + this.#current.closing;
    for (const { asking, open } of this.#replaced.keys()) count += asking + open;
    return count < this.#options.connectionsMax;
  }

  #onRoom(): void {
    for (const old of this.#replaced.keys()) {
      if (old.tasks + old.asking + old.open === 0) this.#replaced.delete(old);
    }
    while (this.#waiters.length > 0 && this.#hasRoom()) {
      const waiter = this.#waiters.shift();
      if (waiter?.isWanted() === true) waiter.begin(this.#begin());
    }
  }
}
