/**
 * Time as an argument: code that waits or measures takes a `Clock`, so that a test can move it. Due
 * times always come from the server's own UTC clock.
 */

import { setMaxListeners } from 'node:events';
import { setTimeout } from 'node:timers/promises';

/** The process's clock. */
export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Resolves after `delayMs` milliseconds, or as soon as `signal` is aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** The real clock. A sleep does not keep the process alive. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  sleep: async (delayMs, signal) => {
    if (signal === undefined) return setTimeout(delayMs, undefined);
    // Node warns of more than ten listeners; here any number may sleep until one signal.
    setMaxListeners(0, signal);
    await setTimeout(delayMs, undefined, { signal }).catch(() => undefined);
  },
};

/** The result of `work`; null if it takes longer, even if it rejects after that. */
export async function withinMs<T>(limitMs: number, work: Promise<T>): Promise<T | null> {
  const over = new AbortController();
  const late = setTimeout(limitMs, null, { signal: over.signal }).catch(() => null);
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
  }
}
