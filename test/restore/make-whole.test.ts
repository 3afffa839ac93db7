/** What is said of a table that is back, and not whole. */
import { expect, test } from '@jest/globals';
import { NOTHING_REATTACHED, problemsOf } from '../../src/restore/make-whole.js';
import type { RestoreReport } from '../../src/restore/restore-table.js';

test('each problem is said, and nothing of what is there again', () => {
  const triggers = [
    { name: 'fine', table: 't', problem: null },
    { name: 'lost', table: 't', problem: 'no such column' },
  ] as RestoreReport['triggers'];
  expect(problemsOf('0a', NOTHING_REATTACHED)).toEqual([]);
  expect(
    problemsOf('0a', { ...NOTHING_REATTACHED, triggers, foreignKeysProblem: 'no row of it' }),
  ).toEqual(['no row of it', 'trigger lost: no such column']);
});

test('triggers that may be made are named first, with what prints them', () => {
  const triggers = [
    { name: 'taken', table: 't', problem: 'another has its name', isMissing: false },
    { name: 'one', table: 't', problem: 'denied', isMissing: true },
    { name: 'two', table: 't', problem: 'it fires after one', isMissing: true },
  ] as RestoreReport['triggers'];
  expect(problemsOf('0a', { ...NOTHING_REATTACHED, triggers })).toEqual([
    'without its triggers one, two (`undrop show --sql 0a` prints them): denied',
    'trigger taken: another has its name',
  ]);
});
