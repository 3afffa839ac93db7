/** When a table counts as used, by what a server tells, and how that is said. */

import { mayHint } from '../../../../src/drop/steps/rules/hints.js';
import { lastUse, type Use, useWithin } from '../../../../src/drop/steps/rules/rules.js';

const DAY_MS = 86_400_000;
const NOW = new Date('2026-11-24T12:00:00Z');
const ago = (days: number) => new Date(NOW.getTime() - days * DAY_MS);

/** A server that started 30 days ago, and knows nothing of the table. */
const UNKNOWN: Use = {
  ...{ utcNow: NOW, startedAt: ago(30), writtenAt: null, namedAt: null, reads: null, writes: null },
};

test.each<[string, Partial<Use>, RegExp | null]>([
  ['nothing is known', {}, null],
  ['written a day ago', { writtenAt: ago(1) }, /^within 7d: it was written at 2026-11-23 12:/],
  ['written eight days ago', { writtenAt: ago(8) }, null],
  ['named a day ago', { namedAt: ago(1) }, /^within 7d: a statement that names it ended at/],
  ['counted, on a server that started before', { reads: 9, writes: 9 }, null],
  ['counted since yesterday', { startedAt: ago(1), reads: 2, writes: 0 }, /: 2 reads and/],
  ['idle since a start yesterday', { startedAt: ago(1), reads: 0, writes: 0 }, null],
  ['not counted, a start yesterday', { startedAt: ago(1) }, null],
])('within 7 days: %s', (_name, known, expected) => {
  const seen = useWithin({ ...UNKNOWN, ...known }, 7 * DAY_MS);
  if (expected === null) expect(seen).toBeNull();
  else expect(seen).toMatch(expected);
});

const STARTED = 'the server started, 2026-10-25 12:00:00 UTC';

test.each<[Partial<Use>, string | null]>([
  [{}, null],
  [{ writtenAt: ago(2), namedAt: ago(1), reads: 1, writes: 1 }, '2026-11-23 12:00:00 UTC'],
  [{ reads: 0, writes: 0 }, `not since ${STARTED}`],
  [{ reads: 4, writes: 1 }, `4 reads and 1 writes since ${STARTED}`],
])('%j is shown as %s', (known, expected) => {
  expect(lastUse({ ...UNKNOWN, ...known })).toBe(expected);
});

// ── hints ────────────────────────────────────────────────────────────────────────────────────────
// Which texts may say something to undrop: what is asked for them costs a question.

test.each([
  ['DROP TABLE t /* undrop: pin */', true],
  ['DROP /*undrop:now*/ TABLE t', true],
  ['DROP TABLE t /*undrop pin*/', true],
  ['DROP TABLE t /* undrop=now */', true],
  ['DROP TABLE t /* UNDROP hold = 7d */', true],
  ['-- undrop pin\nDROP TABLE t', true],
  ['DROP TABLE t # undrop destroy', true],
  ['DROP TABLE t /* undrop insist */', true],
  ['DROP TABLE t /* undrop now holds this */', false],
  ["BEGIN NOT ATOMIC SELECT 'undrop hold'; DROP TABLE t; END", false],
  ['BEGIN NOT ATOMIC SET undrop = NOW(); DROP TABLE t; END', false],
  ['BEGIN NOT ATOMIC -- undrop now holds this\nDROP TABLE t; END', false],
])('%s: %p', (text, expected) => {
  expect(mayHint(Buffer.from(text))).toBe(expected);
});
