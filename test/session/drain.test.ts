/** The steps of a drain, with sessions and a clock in memory. */
import { expect, test } from '@jest/globals';
import type { Clock } from '../../src/clock.js';
import { silentLog } from '../../src/log.js';
import { type Drainable, drain } from '../../src/session/listener.js';
import type { DrainStage } from '../../src/session/session.js';

/** Sleeps until it is told to go on, or its signal is aborted. */
class SlowClock implements Clock {
  readonly slept: number[] = [];
  #wake: () => void = () => undefined;

  nowMs(): number {
    return 0;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    this.slept.push(delayMs);
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      this.#wake = resolve;
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  async goOn(): Promise<void> {
    this.#wake();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const ALL_STAGES = ['stop accepting', 'idle-stay', 'used-stay', 'used-end'];

function opened(sessions: number) {
  const steps: string[] = [];
  const listener = {
    openSessions: sessions,
    onEmpty: (): void => undefined,
    stopAccepting: () => void steps.push('stop accepting'),
    endWhenIdle: (stage: DrainStage, onEmpty: () => void) => {
      steps.push(stage);
      listener.onEmpty = onEmpty;
      if (listener.openSessions === 0) onEmpty();
    },
    cut: () => void steps.push(`cut ${listener.openSessions}`),
  } satisfies Drainable & { onEmpty: () => void };
  const clock = new SlowClock();
  const hurry = new AbortController();
  const run = (waitMs: number) =>
    drain(listener, { waitMs, timeoutMs: 15, signal: hurry.signal }, { clock, log: silentLog });
  return { steps, listener, clock, hurry, run };
}

test('clients are let in for the time of waiting, and no longer (wire 55)', async () => {
  const { steps, clock, run } = opened(0);
  const draining = run(90);
  expect([clock.slept, steps]).toEqual([[90], []]);
  await clock.goOn();
  await draining;
  expect(steps).toEqual([...ALL_STAGES, 'cut 0']);
});

test('it is over as soon as the last session is', async () => {
  const { steps, listener, clock, run } = opened(2);
  const draining = run(0);
  expect(clock.slept).toEqual([7.5]);
  listener.openSessions = 0;
  listener.onEmpty();
  await draining;
  expect(steps.at(-1)).toBe('cut 0');
});

test('what is left after its time is cut (wire 55)', async () => {
  const { steps, clock, run } = opened(2);
  const draining = run(0);
  for (let stage = 0; stage < 3; stage++) await clock.goOn();
  await draining;
  expect(steps.at(-1)).toBe('cut 2');
});

test('a hurry ends both waits (wire 55)', async () => {
  const { steps, hurry, run } = opened(2);
  const draining = run(90);
  hurry.abort();
  await draining;
  expect(steps).toEqual([...ALL_STAGES, 'cut 2']);
});
