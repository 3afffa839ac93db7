/**
 * The shutdown of a listener, in two steps. First undrop still accepts clients for a while, because
 * a load balancer needs a moment to notice. Then it accepts no more; sessions that are idle and in
 * no transaction end at once, between two packets; the others end as soon as they are idle. The
 * rest is cut off when the time is over.
 *
 * Invariant: it ends in a bounded time, whatever clients and servers do.
 */
import type { Clock } from '../clock.js';
import type { Log } from '../log.js';
import type { Listener } from './listener.js';

export interface DrainOptions {
  /** Milliseconds during which clients are still accepted. */
  readonly waitMs: number;
  /** Milliseconds that sessions then have to end. */
  readonly timeoutMs: number;
  /** Aborted: everything ends at once. */
  readonly signal: AbortSignal;
}

/** The listener, as far as a drain uses it. */
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
    say('wait', 'will shut down; still accepting clients');
    await clock.sleep(waitMs, signal);
  }
  listener.stopAccepting();
  say('close', 'stopped accepting clients; sessions end when they are idle');
  const over = new AbortController();
  const end = () => over.abort();
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  listener.endWhenIdle(end);
  await clock.sleep(timeoutMs, over.signal);
  signal.removeEventListener('abort', end);
  if (listener.openSessions > 0) say('cut', 'cutting off the sessions that are left');
  listener.cut();
}
