/**
 * The last 24 hours by the minute, in memory of the process that serves the console: what is held,
 * what was purged, and why the collector waited.
 */
import type { CollectorFigures } from '../lifecycle/figures.js';
import type { Minute } from './operator.js';

const MINUTE_MS = 60_000;
const MINUTES_MAX = 1_440;

export class MinuteSeries {
  readonly #figures: CollectorFigures;
  readonly #sampling: NodeJS.Timeout;
  #minutes: Minute[] = [];
  #rowsBefore = 0;

  constructor(figures: CollectorFigures) {
    this.#figures = figures;
    this.#sampling = setInterval(() => this.#sample(), MINUTE_MS).unref();
  }

  /** Oldest first. */
  get minutes(): readonly Minute[] {
    return this.#minutes;
  }

  /** Takes the minutes of the process before this one. */
  take(before: readonly Minute[]): void {
    this.#minutes = [...before, ...this.#minutes].slice(-MINUTES_MAX);
  }

  stop(): void {
    clearInterval(this.#sampling);
  }

  #sample(): void {
    const { held, ledger, rowsPurged, restsFor } = this.#figures;
    const sum = (counts: Readonly<Record<string, number>> | null | undefined) =>
      Object.values(counts ?? {}).reduce((all, one) => all + one, 0);
    this.#minutes.push({
      at: new Date().toISOString(),
      bytes: sum(ledger?.bytes),
      tables: sum(held),
      rowsPurged: rowsPurged - this.#rowsBefore,
      restsFor,
    });
    this.#rowsBefore = rowsPurged;
    this.#minutes = this.#minutes.slice(-MINUTES_MAX);
  }
}
