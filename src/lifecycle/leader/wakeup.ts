/** When the collector looks again: a bell, and the tables that are left alone for a while. */
import type { Collectable } from '../collectable.js';

/** Any number of rings until somebody looks are one. */
export class Wakeup {
  #controller = new AbortController();
  #because: string | null = null;

  /** Rings. `because` goes to the log. */
  wake(because: string): void {
    this.#because = because;
    this.#controller.abort();
  }

  /** Aborted as soon as somebody rings; a new one after each `take`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why it rang since the last `take`, or null. */
  take(): string | null {
    const because = this.#because;
    if (because !== null) {
      this.#because = null;
      this.#controller = new AbortController();
    }
    return because;
  }
}

/** Tables that are left alone, and why. In memory only: losing it means trying again. */
export class Retries {
  readonly #entries = new Map<string, { readonly atMs: number; readonly because: string }>();

  /** When to try `table` again; `null`: now. */
  atMs(table: Collectable, nowMs: number): number | null {
    const entry = this.#entries.get(key(table));
    return entry === undefined || entry.atMs <= nowMs ? null : entry.atMs;
  }

  /** Leaves `table` alone until `atMs`. True where this reason is new, so that it is said once. */
  leave(table: Collectable, atMs: number, because: string): boolean {
    const before = this.#entries.get(key(table))?.because;
    this.#entries.set(key(table), { atMs, because });
    return before !== because;
  }

  /** Forgets what isn't there any more. */
  keepOnly(tables: readonly Collectable[]): void {
    const keys = new Set(tables.map(key));
    for (const known of this.#entries.keys()) if (!keys.has(known)) this.#entries.delete(known);
  }
}

function key({ schema, name }: Collectable): string {
  return `${schema}.${name}`;
}
