/** The chunks of a purge, seen by a tap on its pool: counted, and held back as a test likes. */
import { until } from '../support/poll.js';
import { tapBy } from '../support/tapped-pool.js';

/** A busy machine is slow, not wrong. */
const WAITS_WITHIN_MS = 120_000;

export class PurgeChunks {
  /** How many the server has done. */
  count = 0;
  /** How many came while they were held. */
  #waiting = 0;
  #gate: Promise<void> | null = null;

  readonly tap = tapBy(async (send, texts) => {
    if (!texts.some((text) => text.includes('DELETE /* undrop purge'))) return send();
    if (this.#gate !== null) this.#waiting++;
    await this.#gate;
    const answer = await send();
    this.count++;
    return answer;
  });

  /** Resolves when one waits; hands back what lets it, and all that follow, begin. */
  async hold(): Promise<() => void> {
    const open = this.#close();
    await until(() => this.#waiting > 0, 'a chunk waits', WAITS_WITHIN_MS);
    return open;
  }

  /** No chunk begins until `prepare` is done. */
  async holdDuring(prepare: () => Promise<unknown>): Promise<void> {
    const open = this.#close();
    try {
      await prepare();
    } finally {
      open();
    }
  }

  #close(): () => void {
    let open: () => void = () => undefined;
    this.#gate = new Promise((resolve) => {
      open = resolve;
    });
    return () => {
      this.#gate = null;
      open();
    };
  }
}
