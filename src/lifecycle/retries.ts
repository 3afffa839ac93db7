/**
 * Tables that are left alone for a while, and why. In memory only: losing it means trying again.
 */
import type { Collectable } from './collectable.js';

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
