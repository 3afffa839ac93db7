/** What a page of the console shows of a table. */
import { until } from '../../../src/faces/console/pages/tables.js';

test('a table that a limit removes early is in colour, with the reason', () => {
  const early = 'UNDROP_MAX_TABLES is passed';
  const shown = until({ expiresAt: '2026-12-08T00:00:00Z', next: '', early });
  expect(`${shown}`).toBe(`<span class="soon" title="${early}">early: a limit</span>`);
});
