/** The bell: many rings are one, and none is lost. */
import { describe, expect, test } from '@jest/globals';
import { Wakeup } from '../../src/lifecycle/leader/leader.js';

describe('the bell of the collector', () => {
  test('has not rung before anybody rang', () => {
    const bell = new Wakeup();
    expect(bell.signal.aborted).toBe(false);
    expect(bell.take()).toBe(false);
  });

  test('rings once for many', () => {
    const bell = new Wakeup();
    const { signal } = bell;
    bell.wake();
    bell.wake();
    expect(signal.aborted).toBe(true);
    expect(bell.take()).toBe(true);
    expect(bell.take()).toBe(false);
  });

  test('can ring again after it was taken', () => {
    const bell = new Wakeup();
    bell.wake();
    bell.take();
    expect(bell.signal.aborted).toBe(false);
    bell.wake();
    expect(bell.signal.aborted).toBe(true);
  });
});
