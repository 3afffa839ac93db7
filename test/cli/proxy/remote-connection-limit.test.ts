/** ConnectionLimit that another process counts. */
import { expect, test } from '@jest/globals';
import { RemoteConnectionLimit } from '../../../src/cli/proxy/limits.js';
import { LocalConnectionLimit } from '../../../src/session/connection-limit.js';

function opened(options: { readonly max: number; readonly ownMax: number }) {
  const said: string[] = [];
  const permits = new RemoteConnectionLimit({
    ...options,
    ask: () => said.push('take'),
    give: () => said.push('give'),
  });
  return { permits, said };
}

test('each is asked for, and the answers come in the order of the questions', async () => {
  const { permits, said } = opened({ max: 2, ownMax: 10 });
  const answers = Promise.all([permits.take(), permits.take(), permits.take()]);
  for (const isAllowed of [true, false, true]) permits.onAnswer(isAllowed);
  expect(await answers).toEqual([true, false, true]);
  permits.give();
  expect(said).toEqual(['take', 'take', 'take', 'give']);
});

test('where this process has no room, nobody is asked', async () => {
  const { permits, said } = opened({ max: 100, ownMax: 1 });
  const first = permits.take();
  expect(permits.take()).toBe(false);
  permits.onAnswer(false);
  expect(await first).toBe(false);
  // What was refused elsewhere takes no room here.
  expect(permits.take()).toBeInstanceOf(Promise);
  expect(said).toEqual(['take', 'take']);
});

test('an answer to nothing, and a permit given back twice, are mistakes of ours', () => {
  expect(() => opened({ max: 1, ownMax: 1 }).permits.onAnswer(true)).toThrow(/Invariant broken/);
  expect(() => new LocalConnectionLimit(1).give()).toThrow(/Invariant broken/);
});
