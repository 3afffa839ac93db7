/**
 * Time as an argument: what waits or measures takes a `Clock`, so that a test can move it. Due
 * times are never taken from here but from the server's own UTC clock.
 */

import { setMaxListeners } from 'node:events';

/** The process's clock. */
export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Resolves after `delayMs` milliseconds, or as soon as `signal` is aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** The real clock. A sleep keeps no process alive that has nothing else to do. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  sleep: (delayMs, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, delayMs);
      // Any number may sleep until one end; Node takes more than ten for a leak, and says so.
      if (signal) setMaxListeners(0, signal);
      signal?.addEventListener('abort', done, { once: true });
    }),
};
