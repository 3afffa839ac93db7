/** The drop that an undo of many means, of several drops of one name. */
import type { LedgerRow } from '../../src/ledger/entry.js';
import { chooseRow } from '../../src/recycle/undo/plan-undo.js';

const DROP = 'DROP TABLE t';

/** Dropped, and restored under its own name, after so many seconds. */
function row(statementText: string, droppedS: number, restoredS?: number): LedgerRow {
  const isBack = restoredS !== undefined;
  return {
    ...{ id: `${droppedS}`.padStart(32, '0'), schema: 'd', table: 't', statementText },
    droppedAt: new Date(1_000 * droppedS),
    endedAt: isBack ? new Date(1_000 * restoredS) : null,
    ...{ state: isBack ? 'restored' : 'HOLD', restoredAs: isBack ? 'd.t' : null },
    pendingWork: null,
  } as LedgerRow;
}

const BACK = row(DROP, 1, 5);
const BEHIND = row(DROP, 2);
const ASIDE = row('UNDROP ALL', 6);

test.each<[string, readonly LedgerRow[], LedgerRow | null, LedgerRow | null]>([
  ['the first of several', [row(DROP, 1), row(DROP, 2)], row(DROP, 1), row(DROP, 1)],
  ['none while the first is back', [BACK, BEHIND], null, null],
  ['one that was dropped since', [BACK, BEHIND, row(DROP, 7)], row(DROP, 7), row(DROP, 7)],
  ['with SWAP what was put aside for it', [BACK, BEHIND, ASIDE], null, ASIDE],
  ['not that after a later drop', [BACK, ASIDE, row(DROP, 8)], row(DROP, 8), row(DROP, 8)],
])('means %s', (_what, rows, plain, swapped) => {
  const meant = new Set(rows.map(({ id }) => id));
  const found = [false, true].map((swaps) => chooseRow(rows, { meant, swaps }));
  expect(found).toEqual([plain, swapped]);
});

test('means nothing that was dropped outside of the time', () => {
  const rows = [row(DROP, 1), row(DROP, 3)];
  const meant = new Set([row(DROP, 3).id]);
  expect(chooseRow(rows, { meant, swaps: true })).toEqual(rows[1]);
});
