/**
 * While the intent waits for somebody's lock, the user's session asks what the lock means for the
 * drop itself: its own FLUSH TABLES WITH READ LOCK ends it at once, and for anybody else's it waits
 * there, as long as its own settings and KILL say.
 *
 * Invariant: what is sent is the probe that would be sent if nothing could be recorded; it moves
 * nothing.
 */
import { systemClock } from '../clock.js';
import { UndropError } from '../errors.js';
import type { Result } from '../wire/result-reader.js';
import type { Look } from './look-at-names.js';
import { broughtBy, type Inspection, NO_ANSWERS, nextStep, sentenceStart } from './next-step.js';
import type { DropRequest } from './request.js';
import type { UserCommand } from './user-session.js';
import type { QualifiedName } from './words.js';

/** How often it is looked whether the intent waits. */
const LOOK_EVERY_MS = 100;

export interface Meanwhile {
  /** Of the intent; does not reject. */
  readonly recording: Promise<unknown>;
  isWaiting(): Promise<boolean>;
  run(commands: readonly UserCommand[]): Promise<readonly Result[]>;
}

export type Asked =
  /** The intent waited for nobody, or nothing can be asked. */
  | { readonly kind: 'nothing' }
  /** The session has waited as well, and nothing speaks against the drop. */
  | { readonly kind: 'waited' }
  /** The drop ends here, whatever becomes of the intent. */
  | { readonly kind: 'ended'; readonly inspection: Inspection; readonly probe: Result };

export async function askMeanwhile(
  request: DropRequest,
  look: Look & { readonly names: readonly QualifiedName[] },
  { recording, isWaiting, run }: Meanwhile,
): Promise<Asked> {
  // An error would use the session's GTID up.
  if ('errno' in look.facts || look.facts.gtidNext !== null) return { kind: 'nothing' };
  if (!(await isSeenWaiting(recording, isWaiting))) return { kind: 'nothing' };
  const tables = sentenceStart(request);
  const params = { tables, cause: 'another session keeps the ledger locked' };
  const intentError = new UndropError('UNDROP_NOT_RECORDED', params);
  const inspection: Inspection = { ...look, intent: null, intentError };
  const asking = nextStep(request, { ...NO_ANSWERS, inspection });
  if (asking.do !== 'user' || asking.brings !== 'probe') return { kind: 'nothing' };
  const probe = broughtBy('probe', await run(asking.commands));
  const next = nextStep(request, { ...NO_ANSWERS, inspection, probe });
  const isEnd = next.do === 'answer' && next.refusal === null;
  return isEnd ? { kind: 'ended', inspection, probe } : { kind: 'waited' };
}

/** False once it is done. */
async function isSeenWaiting(
  recording: Promise<unknown>,
  isWaiting: () => Promise<boolean>,
): Promise<boolean> {
  const done = new AbortController();
  const ending = recording.then(() => {
    done.abort();
    return false;
  });
  for (;;) {
    await systemClock.sleep(LOOK_EVERY_MS, done.signal);
    if (done.signal.aborted) return ending;
    if (await Promise.race([isWaiting(), ending])) return true;
  }
}
