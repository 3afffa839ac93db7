/** The counters of all processes, also those of programs that count something else. */
import { expect, test } from '@jest/globals';
import type { Child } from '../../../src/cli/supervisor/child.js';
import { Totals } from '../../../src/cli/supervisor/totals.js';

test('what an ended process has counted stays, and what it had open does not', () => {
  const totals = new Totals(() => undefined);
  const [one, other] = [{}, {}] as [Child, Child];
  const gauges = ['open', 'delayMax'];
  const of = (total: number, open: number, delayMax: number, held: number) => {
    return { counters: { total, open, delayMax, audited: { held } }, gauges };
  };
  totals.set(one, of(5, 2, 30, 1));
  totals.set(other, of(7, 1, 10, 2));
  expect(totals.sum()).toEqual({ total: 12, open: 3, delayMax: 30, audited: { held: 3 } });
  totals.end(one);
  totals.set(other, { counters: { total: 8, open: 0, delayMax: 5, fresh: 1 }, gauges });
  expect(totals.sum()).toEqual({ total: 13, open: 0, delayMax: 5, fresh: 1, audited: { held: 1 } });
});
