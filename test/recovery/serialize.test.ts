/** Recoveries of one process: one after another, whatever becomes of each. */
import { expect, test } from '@jest/globals';
import { serialize } from '../../src/recovery/reconcile.js';

test('what is done in turn begins when what came before has ended, also by an error', async () => {
  const told: string[] = [];
  const work = serialize(async (name: string) => {
    told.push(`${name} begins`);
    await new Promise((resolve) => setImmediate(resolve));
    told.push(`${name} ends`);
    if (name === 'first') throw new Error('first fails');
    return name;
  });
  const [first, second] = await Promise.allSettled([work('first'), work('second')]);
  expect(told).toEqual(['first begins', 'first ends', 'second begins', 'second ends']);
  expect(first?.status).toBe('rejected');
  expect(second).toEqual({ status: 'fulfilled', value: 'second' });
});
