/** The bell: many rings are one, and none is lost. */
import { describe, expect, test } from '@jest/globals';
import { Wakeup } from '../../src/lifecycle/rounds.js';

describe('the bell of the collector', () => {
  test('has not rung before anybody rang', () => {
    const bell = new Wakeup();
    expect(bell.signal.aborted).toBe(false);
    expect(bell.take()).toBeNull();
  });

  test('rings once for many, with the last reason', () => {
    const bell = new Wakeup();
    const { signal } = bell;
    bell.wake('one');
    bell.wake('two');
    expect(signal.aborted).toBe(true);
    expect(bell.take()).toBe('two');
    expect(bell.take()).toBeNull();
  });

  test('can ring again after it was taken', () => {
    const bell = new Wakeup();
    bell.wake('one');
    bell.take();
    expect(bell.signal.aborted).toBe(false);
    bell.wake('two');
    expect(bell.signal.aborted).toBe(true);
  });
});
