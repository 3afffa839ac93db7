/**
 * Tells the proxies the names of held tables (drop/steps/held-names.ts): after a drop, and each
 * half minute, because other services and commands hold and restore, too.
 *
 * Invariant: nothing depends on it; whatever fails is tried again.
 */
import { systemClock } from '../../clock.js';
import { Wakeup } from '../../collector/leader/leader.js';
import { isServiceError } from '../../connections/errors.js';
import type { ServicePool } from '../../connections/sql.js';
import { type HeldName, readHeldNames } from '../../ledger/overview.js';
import type { Log } from '../../log.js';

const EVERY_MS = 30_000;
/** Many drops are told together. */
const LEAST_MS = 1_000;

interface TellerOptions {
  /** The pool of the server with the ledger, which may become another. */
  pool(): ServicePool;
  onHeldNames(names: readonly HeldName[]): void;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** `wake`: something was dropped. `ended`: resolves after the signal. */
export function tellHeldNames({ pool, onHeldNames, log, signal }: TellerOptions) {
  const bell = new Wakeup();
  const run = async () => {
    while (!signal.aborted) {
      bell.take();
      try {
        onHeldNames(await readHeldNames(pool()));
      } catch (err) {
        const level = isServiceError(err) ? 'debug' : 'error';
        log[level]({ err }, 'cannot read the names of held tables; errors on them have no note');
      }
      await systemClock.sleep(LEAST_MS, signal);
      await systemClock.sleep(EVERY_MS, AbortSignal.any([signal, bell.signal]));
    }
  };
  return { wake: () => bell.wake(), ended: run() };
}
