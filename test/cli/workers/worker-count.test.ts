/** Processes by cores, and their service connections by what the server takes. */
import { expect, test } from '@jest/globals';
import { autoWorkers, serviceConnectionsOf } from '../../../src/cli/workers/worker-count.js';

test('auto is half of the cores, from one to four', () => {
  expect([1, 2, 3, 4, 6, 8, 64].map(autoWorkers)).toEqual([1, 1, 1, 2, 3, 4, 4]);
});

test('service connections are a fifth of what the server takes, from four to eight each', () => {
  const each = [50, 151, 200, 1_000].map((serverMax) => serviceConnectionsOf(4, serverMax));
  expect(each).toEqual([4, 5, 7, 8]);
  expect(serviceConnectionsOf(2, 151)).toBe(8);
  expect(serviceConnectionsOf(256, 151)).toBe(4);
  expect(serviceConnectionsOf(2, null)).toBe(4);
});
