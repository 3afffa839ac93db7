/** ConnectionLimit that another process counts. */
import { expect, test } from '@jest/globals';
import { RemoteConnectionLimit } from '../../../src/cli/proxy/limits.js';
import { LocalConnectionLimit } from '../../../src/session/listener.js';

function opened(options: { readonly max: number; readonly ownMax: number }) {
  const said: string[] = [];
  const connectionLimit = new RemoteConnectionLimit({
    ...options,
    ask: () => said.push('take'),
    release: () => said.push('release'),
  });
  return { connectionLimit, said };
}

test('each is asked for, and the answers come in the order of the questions', async () => {
  const { connectionLimit, said } = opened({ max: 2, ownMax: 10 });
  const answers = Promise.all([
    connectionLimit.take(),
    connectionLimit.take(),
    connectionLimit.take(),
  ]);
  for (const isAllowed of [true, false, true]) connectionLimit.onAnswer(isAllowed);
  expect(await answers).toEqual([true, false, true]);
  connectionLimit.release();
  expect(said).toEqual(['take', 'take', 'take', 'release']);
});

test('where this process has no room, nobody is asked', async () => {
  const { connectionLimit, said } = opened({ max: 100, ownMax: 1 });
  const first = connectionLimit.take();
  expect(connectionLimit.take()).toBe(false);
  connectionLimit.onAnswer(false);
  expect(await first).toBe(false);
  // What was refused elsewhere takes no room here.
  expect(connectionLimit.take()).toBeInstanceOf(Promise);
  expect(said).toEqual(['take', 'take']);
});

test('an answer to nothing, and a permit given back twice, are mistakes of ours', () => {
  expect(() => opened({ max: 1, ownMax: 1 }).connectionLimit.onAnswer(true)).toThrow(
    /Invariant broken/,
  );
  expect(() => new LocalConnectionLimit(1).release()).toThrow(/Invariant broken/);
});
