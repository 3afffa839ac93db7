/**
 * Whether clients can be sent to the service, and whether drops are held: checked at each request
 * (runtime/admin/http.ts).
 *
 * Invariant: a fault of the service account or the ledger costs drops, and keeps no client away.
 */
import { withinMs } from '../../clock.js';

interface HealthOptions {
  /** UNDROP_MODE. */
  readonly mode: string;
  /** Whether the service is about to end, so that clients are to go elsewhere. */
  isAway(): boolean;
  /** Whether a server answers the service account, by a refusal too. */
  answers(): Promise<boolean>;
  /** Whether a server greets a client. */
  greets(): Promise<boolean>;
  /** Why drops are refused; null: they are held. */
  dropProblem(): Promise<string | null>;
}

/** The service pool may be full, or its logins delayed; then the server is dialled. */
const POOL_WITHIN_MS = 500;
/** A server that takes longer to answer is not reached: checks have mostly little time. */
export const CHECK_WITHIN_MS = 2_000;

export class Health {
  readonly #options: HealthOptions;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** Why clients can't be served; with `drops` also why drops can't be held. */
  async problems({ drops }: { readonly drops: boolean }): Promise<readonly string[]> {
    const { isReached, dropProblem } = await this.look({ drops });
    return [
      ...(this.#options.isAway() ? ['it is about to end'] : []),
      ...(isReached ? [] : ['no server of UNDROP_UPSTREAM answers']),
      ...(dropProblem === null ? [] : [dropProblem]),
    ];
  }

  /** `dropProblem`: null if drops are held, no server is reached, or it wasn't asked for. */
  async look({ drops }: { readonly drops: boolean }) {
    const { answers, greets } = this.#options;
    const isReached =
      (await withinMs(POOL_WITHIN_MS, answers())) ||
      ((await withinMs(CHECK_WITHIN_MS - POOL_WITHIN_MS, greets())) ?? false);
    return { isReached, dropProblem: drops && isReached ? await this.#dropProblem() : null };
  }

  async #dropProblem(): Promise<string | null> {
    const { mode, dropProblem } = this.#options;
    if (mode !== 'hold') return `UNDROP_MODE is ${mode}: nothing is held`;
    // Null of its own is an answer.
    const asked = dropProblem().then((problem) => ({ problem }));
    const seconds = CHECK_WITHIN_MS / 1_000;
    const late = { problem: `the ledger is not ready: no answer within ${seconds} s` };
    return ((await withinMs(CHECK_WITHIN_MS, asked)) ?? late).problem;
  }
}
