/** With which answer a session ends at a drain. */
import { jest } from '@jest/globals';
import { LastAnswer } from '../../src/session/session.js';

let canEnd = true;
let ends = 0;
let lastAnswer: LastAnswer;

beforeEach(() => {
  jest.useFakeTimers();
  [canEnd, ends] = [true, 0];
  lastAnswer = newLastAnswer({ pauses: 2 });
});

function newLastAnswer(options: { readonly pauses: number }): LastAnswer {
  return new LastAnswer({ ...options, canEnd: () => canEnd, end: () => ends++ });
}

afterEach(() => {
  lastAnswer.stop();
  jest.useRealTimers();
});

/** A statement that comes after a pause, and takes so long. */
function statement({ pauseMs, takesMs = 1 }: { pauseMs: number; takesMs?: number }): void {
  jest.advanceTimersByTime(pauseMs);
  canEnd = false;
  jest.advanceTimersByTime(takesMs);
  canEnd = true;
  lastAnswer.onAnswer();
}

test('the second that comes after a pause is the last', () => {
  statement({ pauseMs: 500 });
  expect(ends).toBe(0);
  statement({ pauseMs: 500 });
  expect(ends).toBe(1);
});

test('in the first half of the time none is, and a long pause ends it', () => {
  lastAnswer.stop();
  lastAnswer = newLastAnswer({ pauses: Number.POSITIVE_INFINITY });
  for (let count = 0; count < 10; count++) statement({ pauseMs: 1_900 });
  expect(ends).toBe(0);
  jest.advanceTimersByTime(2_001);
  expect(ends).toBe(1);
});

test('at last every answer is, also in a run', () => {
  lastAnswer.stop();
  lastAnswer = newLastAnswer({ pauses: 0 });
  statement({ pauseMs: 1 });
  expect(ends).toBe(1);
});

test('an idle session stays', () => {
  jest.advanceTimersByTime(3_600_000);
  expect(ends).toBe(0);
});

test('one behind the other, however long they take: never', () => {
  for (let count = 0; count < 100; count++) statement({ pauseMs: 1, takesMs: 3_000 });
  expect(ends).toBe(0);
});

test('runs with pauses between: after a long pause', () => {
  for (let run = 0; run < 10; run++) {
    statement({ pauseMs: 500 });
    for (let count = 0; count < 3; count++) statement({ pauseMs: 1 });
  }
  expect(ends).toBe(0);
  jest.advanceTimersByTime(2_001);
  expect(ends).toBe(1);
});

test('a transaction is one', () => {
  const transaction = (pauseMs: number) => {
    jest.advanceTimersByTime(pauseMs);
    canEnd = false;
    for (const gapMs of [100, 1, 100]) {
      jest.advanceTimersByTime(gapMs);
      lastAnswer.onAnswer();
    }
    canEnd = true;
    lastAnswer.onAnswer();
  };
  transaction(500);
  expect(ends).toBe(0);
  transaction(1);
  expect(ends).toBe(0);
  transaction(500);
  transaction(500);
  expect(ends).toBe(1);
});

test('stopped: never', () => {
  statement({ pauseMs: 500 });
  lastAnswer.stop();
  jest.advanceTimersByTime(3_600_000);
  expect(ends).toBe(0);
});
