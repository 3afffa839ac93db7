/**
 * Time as an argument: code that waits or measures takes a `Clock`, so that a test can move it. Due
 * times always come from the server's own UTC clock.
 */

import { setMaxListeners } from 'node:events';

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
  sleep: (delayMs, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, delayMs);
      if (signal === undefined) return;
      // Node warns of more than ten listeners; here any number may sleep until one signal.
      setMaxListeners(0, signal);
      signal.addEventListener('abort', end);
    }),
};

/** The result of `work`; null if it takes longer, even if it rejects after that. */
export async function withinMs<T>(limitMs: number, work: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, limitMs, null);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
