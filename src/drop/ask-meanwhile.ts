/**
 * While the intent waits for somebody's lock, the user's session asks what the lock means for the
 * drop itself: its own FLUSH TABLES WITH READ LOCK ends it at once, and for anybody else's it waits
 * there, as long as its own settings and KILL say.
 *
 * Invariant: what is sent is what would be sent if nothing could be recorded: it can't succeed, and
 * moves nothing.
 */
import { systemClock } from '../clock.js';
import { UndropError } from '../errors.js';
import type { Result } from '../wire/result-reader.js';
import type { Look } from './look-at-names.js';
import {
  type Answers,
  broughtBy,
  type Inspection,
  NO_ANSWERS,
  nextStep,
  sentenceStart,
  type UserAnswer,
  withBrought,
} from './next-step.js';
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
  | { readonly kind: 'ended'; readonly answers: Answers };

const MOVES_NOTHING: ReadonlySet<UserAnswer> = new Set<UserAnswer>(['probe', 'mayDrop', 'turn']);

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
  let answers: Answers = { ...NO_ANSWERS, inspection };
  let next = nextStep(request, answers);
  if (next.do !== 'user' || !MOVES_NOTHING.has(next.brings)) return { kind: 'nothing' };
  while (next.do === 'user' && MOVES_NOTHING.has(next.brings)) {
    const { brings, commands } = next;
    answers = withBrought(answers, brings, broughtBy(brings, await run(commands)));
    next = nextStep(request, answers);
  }
  const isEnd = next.do === 'answer' && next.refusal === null;
  return isEnd ? { kind: 'ended', answers } : { kind: 'waited' };
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
