/**
 * Writes the outcome of a drop that holds tables until it is written: nobody else settles an intent
 * while the user's session is there, which may be for days, and the service account may be refused
 * for hours.
 */
import { systemClock } from '../clock.js';

/** How long to wait before it is tried once more. */
const RETRIES_MS = [0, 1_000, 5_000];
/** After those, for as long as it takes. */
const RETRY_MS_MAX = 10_000;

/** What recovery would do as well is tried so often: at once, a second later, six seconds later. */
export const FORGET_TRIES_MAX = 3;

export interface AtLastOptions {
  /** Aborted: this process is about to end, and what is not written is left to recovery. */
  readonly stopping: AbortSignal;
  /** Told once if it takes longer. */
  readonly onLate?: ((error: Error) => void) | undefined;
  /** From 1; default: no limit. */
  readonly triesMax?: number;
}

/** Rejects with what `write` does, if it is time to stop, or at its last try. */
export async function retryUntilWritten(
  write: () => Promise<void>,
  { stopping, onLate, triesMax = Number.POSITIVE_INFINITY }: AtLastOptions,
): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof Error) || stopping.aborted || tries + 1 >= triesMax) throw error;
      if (tries === RETRIES_MS.length) onLate?.(error);
      await systemClock.sleep(RETRIES_MS[tries] ?? RETRY_MS_MAX, stopping);
    }
  }
}
