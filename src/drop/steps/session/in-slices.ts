/**
 * Reads long texts beside everything else that this process does: one slice for each turn of the
 * event loop, and one long text at a time, whatever the number of sessions that send some. Others
 * wait for one slice at most, and a text of one slice doesn't wait at all.
 *
 * Invariant: a reading that waits here holds its client's stream; nothing of it goes on meanwhile.
 */
import { setImmediate as otherEvents } from 'node:timers/promises';
import type { Reading } from '../../../sql/reading.js';

let last: Promise<unknown> = Promise.resolve();

/** Reads to its end. Rejects with the error of the reading. */
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
  // The next reading waits for the end of this one, whatever its result.
  last = done.then(noMatter, noMatter);
  return done;
}

async function readOn<T>(reading: Reading<T>): Promise<T> {
  for (;;) {
    const { done, value } = reading.next();
    if (done === true) return value;
    await otherEvents();
  }
}

function noMatter(): void {}
