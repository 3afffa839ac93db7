/**
 * Finds the moment at which a session ends at a drain, so that no statement is lost: a client may
 * send one before it sees the end. A connection that lies unused in a pool for a while is hardly
 * ever about to be used. Where a connection is used all the time, its end comes together with an
 * answer, so that a client sees both if it does anything else before its next statement; but not
 * in a run of statements, each right behind the answer to the one before.
 */

/** An unused connection. */
const QUIET_MS = 2_000;
/** A statement that comes that long after the last answer does not continue a run. */
const PAUSE_MS = 20;

interface LastAnswerOptions {
  /** It ends with an answer after so many such statements in a row; Infinity: with none. */
  readonly pauses: number;
  /** Nothing is under way, no transaction is open, and no statement is announced. */
  canEnd(): boolean;
  end(): void;
}

export class LastAnswer {
  readonly #options: LastAnswerOptions;
  #timer: NodeJS.Timeout | null = null;
  /** The client has said nothing for a moment. */
  #isPaused = false;
  #pauses = 0;

  /** From now on pauses are looked for. An idle session stays until its next statement. */
  constructor(options: LastAnswerOptions) {
    this.#options = options;
    this.#watch(() => undefined);
  }

  /** To be called when bytes of an answer have been sent on. */
  onAnswer(): void {
    const { pauses, canEnd, end } = this.#options;
    if (!canEnd()) return;
    this.#pauses = this.#isPaused ? this.#pauses + 1 : 0;
    if (this.#pauses >= pauses) return end();
    this.#watch(() => {
      // After what has come meanwhile was read.
      const look = () => setImmediate(() => this.#ifFree(end));
      this.#timer = setTimeout(look, QUIET_MS - PAUSE_MS);
    });
  }

  stop(): void {
    clearTimeout(this.#timer ?? undefined);
  }

  #watch(then: () => void): void {
    this.stop();
    this.#isPaused = false;
    this.#timer = setTimeout(() => {
      this.#ifFree(() => {
        this.#isPaused = true;
        then();
      });
    }, PAUSE_MS);
  }

  #ifFree(then: () => void): void {
    if (this.#options.canEnd()) then();
  }
}
