/** What is said of a table that is back, and not whole. */
import { expect, test } from '@jest/globals';
import { NOTHING_REATTACHED, problemsOf } from '../../src/held/finish-restore.js';
import type { RestoreReport } from '../../src/undo/run-restore.js';

test('each problem is said, and nothing of what is there again', () => {
  const triggers = [
    { name: 'fine', table: 't', problem: null },
    { name: 'lost', table: 't', problem: 'no such column' },
  ] as RestoreReport['triggers'];
  expect(problemsOf(NOTHING_REATTACHED)).toEqual([]);
  expect(
    problemsOf({ ...NOTHING_REATTACHED, triggers, foreignKeysProblem: 'no row of it' }),
  ).toEqual(['no row of it', 'no such column']);
});
