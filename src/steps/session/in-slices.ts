/**
 * Reads long texts beside everything else that this process does: one slice for each turn of the
 * event loop, and one long text at a time, whatever the number of sessions that send some. So
 * others wait for one slice, and what is over with its first slice waits for nobody.
 *
 * Invariant: who waits here holds its client's stream; nothing of it goes on meanwhile.
 */
import type { Reading } from '../../sql/reading.js';

let last: Promise<unknown> = Promise.resolve();

/** To its end. Rejects with what the reading throws. */
export async function inSlices<T>(reading: Reading<T>): Promise<T> {
  const { done, value } = reading.next();
  return done === true ? value : inLine(reading);
}

function inLine<T>(reading: Reading<T>): Promise<T> {
  const before = last;
  const done = (async () => {
    await before;
    return readOn(reading);
  })();
  // Whoever is next waits for the end of this one, not for how it ended.
  last = done.then(noMatter, noMatter);
  return done;
}

async function readOn<T>(reading: Reading<T>): Promise<T> {
  for (;;) {
    const { done, value } = reading.next();
    if (done === true) return value;
    await yieldToEvents();
  }
}

function yieldToEvents(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function noMatter(): void {}
