/**
 * The end of a listener, in two steps. First clients are still let in for a while: a load balancer
 * needs a moment to hear that this proxy is going. Then nobody is let in any more; sessions that
 * are idle and in no transaction end at once, between two packets; the others end as soon as they
 * are. What is left after its time is cut.
 *
 * Invariant: it ends in a bounded time, whatever clients and servers do.
 */
import type { Clock } from '../clock.js';
import type { Log } from '../log.js';
import type { Listener } from './listener.js';

export interface DrainOptions {
  /** Milliseconds for which clients are still let in. */
  readonly waitMs: number;
  /** Milliseconds that sessions then have to come to an end. */
  readonly timeoutMs: number;
  /** Aborted: everything ends at once. */
  readonly signal: AbortSignal;
}

/** What is drained. */
export type Drainable = Pick<Listener, 'openSessions' | 'stopAccepting' | 'endWhenIdle' | 'cut'>;

export async function drain(
  listener: Drainable,
  { waitMs, timeoutMs, signal }: DrainOptions,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<void> {
  const say = (step: string, message: string) => {
    log.info({ event: 'draining', step, sessions: listener.openSessions }, message);
  };
  if (waitMs > 0) {
    say('wait', 'ending soon; clients are still let in');
    await clock.sleep(waitMs, signal);
  }
  listener.stopAccepting();
  say('close', 'no client is let in any more; sessions end when they are idle');
  const over = new AbortController();
  const end = () => over.abort();
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  listener.endWhenIdle(end);
  await clock.sleep(timeoutMs, over.signal);
  signal.removeEventListener('abort', end);
  if (listener.openSessions > 0) say('cut', 'sessions that are left are cut off');
  listener.cut();
}
