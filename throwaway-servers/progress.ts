/**
 * Progress for a person: each step says that it began, and one that takes more than two seconds
 * says again and again that it is still at it, so that silence always means the end.
 */

const FIRST_MS = 2_000;
const EVERY_MS = 5_000;

export interface Progress {
  /** A line, and the end of the step before. */
  say(line: string): void;
  /** Begins a step: it goes on until the next one, `say` or `done`. */
  step(line: string): void;
  /** Ends the last step. */
  done(): void;
}

/** Writes lines to `write`; a step's line ends with an ellipsis. */
export function openProgress(write: (text: string) => void): Progress {
  let timer: NodeJS.Timeout | undefined;
  const done = (): void => clearTimeout(timer);
  const say = (line: string): void => {
    done();
    write(`undrop: ${line}\n`);
  };
  const step = (line: string): void => {
    say(`${line} …`);
    const began = Date.now();
    const still = (): void => {
      write(`undrop:   still at it, ${Math.round((Date.now() - began) / 1000)} s\n`);
      timer = setTimeout(still, EVERY_MS);
      timer.unref();
    };
    timer = setTimeout(still, FIRST_MS);
    timer.unref();
  };
  return { say, step, done };
}
