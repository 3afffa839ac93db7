/** What a client hears of a table in our own schemas: only a held one is removed in its time. */
import { expect, test } from '@jest/globals';
import { whatIsRecycled } from '../../src/steps/inspect-names.js';

const HELD = '_vt_HOLD_0195a1b2c3d070008000000000000009_20260308120000';

test.each([
  ['_undrop', 'ledger', 'the ledger of undrop, which cannot be dropped'],
  ['_UNDROP', 'LEDGER_VERSION', 'the ledger of undrop, which cannot be dropped'],
  ['_undrop', HELD, 'in the recycle schema of undrop, and the collector removes it when it is due'],
  [
    '_undrop_local',
    HELD,
    'in the recycle schema of undrop, and the collector removes it when it is due',
  ],
  ['_undrop_local', 'ledger', 'in the recycle schema of undrop, where clients cannot drop tables'],
  ['_undrop', 'other', 'in the recycle schema of undrop, where clients cannot drop tables'],
])('%s.%s is said to be: %s', (schema, table, expected) => {
  expect(whatIsRecycled({ schema, table })).toBe(expected);
});
