/** Which proxy serves a new client. */
import type { Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { Balance } from '../../../src/cli/serve/balance.js';

test('a burst that one proxy accepts is shared, though the others are heard of later', () => {
  let own = 0;
  const passed = new Map<number, number>();
  const balance = new Balance({
    number: 1,
    load: () => own,
    tell: () => undefined,
    pass: (to) => passed.set(to, (passed.get(to) ?? 0) + 1),
  });
  const accept = () => {
    if (!balance.divert({} as Socket)) own++;
  };
  accept();
  expect([own, passed.size]).toEqual([1, 0]);
  balance.hear({ 1: 1, 2: 0, 3: 0 });
  for (let nr = 0; nr < 8; nr++) accept();
  expect([own, ...passed.values()]).toEqual([3, 3, 3]);
});
