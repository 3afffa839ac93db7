/** Memory for long texts: bounded for all, for each account and address; no text waits forever. */
import { jest } from '@jest/globals';
import type { UndropError } from '../../../src/errors.js';
import { type TextOwner, TextRoom } from '../../../src/session/gate/text-room.js';

const KIB = 1024;

type Options = Partial<Pick<TextOwner, 'account' | 'address'>> & { readonly bytes?: number };

/** A room of that many KiB of texts, and its clock. */
function roomOf(kib: number) {
  let nowMs = 0;
  const room = new TextRoom({ bytesMax: 2 * kib * KIB, nowMs: () => nowMs });
  const enter = (name: string, { bytes = 1_000 * KIB, ...own }: Options = {}) => {
    const onRoom = jest.fn();
    const onLost = jest.fn<(error: UndropError) => void>();
    const owner = { account: name, address: name, onRoom, onLost, ...own };
    const place = room.enter(bytes, owner);
    return { ...place, onRoom, onLost, growKib: (kib: number) => place.grow(kib * KIB) };
  };
  /** A second after the other. */
  const pass = (seconds: number, each: (second: number) => void = () => undefined) => {
    for (let second = 1; second <= seconds; second++) {
      each(second);
      nowMs += 1_000;
      room.look();
    }
  };
  return { enter, pass };
}

test('takes memory as a text arrives, not by what it announces', () => {
  const { enter } = roomOf(1_000);
  const silent = Array.from({ length: 100 }, (_, index) => enter(`silent ${index}`));
  for (const text of silent) expect(text.growKib(1)).toBe(true);
  expect(enter('other').growKib(400)).toBe(true);
});

test('one account takes half at most, one address three quarters', () => {
  const { enter } = roomOf(1_000);
  expect(enter('a', { address: 'here' }).growKib(500)).toBe(true);
  // The first of an account that waits completes beside the bounds.
  expect(enter('a', { address: 'here' }).growKib(100)).toBe(true);
  expect(enter('a', { address: 'there' }).growKib(1)).toBe(false);
  expect(enter('b', { address: 'here' }).growKib(250)).toBe(true);
  expect(enter('c', { address: 'here' }).growKib(1)).toBe(false);
  expect(enter('d', { address: 'there' }).growKib(250)).toBe(true);
});

test('texts of one account that have arrived in part complete, one after the other', () => {
  const { enter } = roomOf(1_000);
  const texts = Array.from({ length: 6 }, () => enter('a', { bytes: 400 * KIB }));
  for (const text of texts) text.growKib(200);
  let left = [...texts];
  while (left.length > 0) {
    const done = left.filter((text) => text.growKib(400));
    expect(done.length).toBeGreaterThan(0);
    for (const text of done) text.leave();
    left = left.filter((text) => !done.includes(text));
  }
});

test('a small text passes a big one that waits', () => {
  const { enter, pass } = roomOf(1_000);
  const [one, first] = [enter('a'), enter('a')];
  one.growKib(500);
  expect(first.growKib(100)).toBe(true);
  const [big, small] = [enter('a'), enter('a', { bytes: 300 * KIB })];
  expect(big.growKib(300)).toBe(false);
  pass(1);
  expect(small.growKib(300)).toBe(false);
  one.leave();
  one.leave();
  expect([big.onRoom.mock.calls.length, small.onRoom.mock.calls.length]).toEqual([0, 1]);
  // One of those that complete in any case: the one that has waited longest.
  first.leave();
  expect(big.onRoom).toHaveBeenCalledTimes(1);
});

test('a text that waits for much keeps none waiting that need less', () => {
  const { enter, pass } = roomOf(1_000);
  enter('a').growKib(500);
  expect(enter('a', { bytes: 600 * KIB }).growKib(100)).toBe(true);
  const [big, small] = [enter('a', { bytes: 900 * KIB }), enter('a', { bytes: 300 * KIB })];
  expect(big.growKib(100)).toBe(false);
  pass(1);
  expect(small.growKib(300)).toBe(true);
  expect(big.onRoom).not.toHaveBeenCalled();
});

test('a text that stands still loses its place within seconds if another waits for it', () => {
  const { enter, pass } = roomOf(1_000);
  const still = enter('a');
  still.growKib(500);
  pass(60);
  expect(still.onLost).not.toHaveBeenCalled();
  const moving = enter('a');
  const [waiting, other] = [enter('a'), enter('b')];
  other.growKib(300);
  pass(6, (second) => {
    moving.growKib(100 * second);
    waiting.growKib(300);
  });
  expect(still.onLost.mock.calls[0]?.[0]).toMatchObject({ code: 'UNDROP_LONG_TEXT' });
  expect(waiting.onRoom).toHaveBeenCalledTimes(1);
  for (const text of [moving, waiting, other]) expect(text.onLost).not.toHaveBeenCalled();
});

test('a text waits for a minute at most, and arrives within five', () => {
  const { enter, pass } = roomOf(1_000);
  const [here, first, waiting, slow] = [enter('a'), enter('a'), enter('a'), enter('b')];
  here.growKib(500);
  first.growKib(100);
  for (const text of [here, first]) text.arrived();
  waiting.growKib(100);
  pass(59, (second) => slow.growKib(second));
  expect(waiting.onLost).not.toHaveBeenCalled();
  pass(241, (second) => slow.growKib(59 + second));
  for (const text of [waiting, slow]) expect(text.onLost).toHaveBeenCalledTimes(1);
  for (const text of [here, first]) expect(text.onLost).not.toHaveBeenCalled();
});

test('a text whose last bytes find no memory is read on', () => {
  const { enter } = roomOf(1_000);
  enter('a').growKib(500);
  enter('a').growKib(100);
  const waiting = enter('a');
  expect(waiting.growKib(300)).toBe(false);
  waiting.arrived();
  expect(waiting.onRoom).toHaveBeenCalledTimes(1);
});
