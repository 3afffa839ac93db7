/**
 * The columns and rows of SHOW DROPPED TABLES. Pure.
 */
import { utcText } from '../../duration.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { howDropped } from '../../ledger/how-dropped.js';
import { isPinned } from '../../names/names.js';
import type { ListedTable, QualifiedTable } from '../../undo/list.js';
import type { Column, Value } from '../../wire/result-set.js';

/** A held table whose original name is in the ledger. */
export interface Dropped extends ListedTable {
  readonly origin: QualifiedTable;
  readonly row: LedgerRow;
  /** Null: this user may not see it. */
  readonly statement: string | null;
}

const text = (name: string): Column => ({ name, type: 'text' });
const number = (name: string): Column => ({ name, type: 'number' });

export const SHOW_COLUMNS: readonly Column[] = [
  ...[text('Id'), text('Drop_id'), text('Schema'), text('Table'), text('How')],
  ...[text('Dropped_at'), text('User'), text('Client'), number('Rows'), number('Bytes')],
  ...[text('State'), text('Expires_at'), text('Next'), text('Statement')],
];

/** The values of a row in the order of `SHOW_COLUMNS`; times are in UTC. */
export function showRow(dropped: Dropped): readonly Value[] {
  const { id, origin, row, state, due, droppedAt, rowEstimate, byteEstimate, torn } = dropped;
  return [
    id,
    row.groupId,
    origin.schema,
    origin.table,
    howDropped(row),
    droppedAt === null ? null : utcText(droppedAt),
    row.user,
    row.clientAddress,
    rowEstimate,
    byteEstimate,
    torn === true ? 'TORN' : state,
    state === 'HOLD' && !isPinned(due) ? utcText(due) : null,
    nextOf(dropped),
    dropped.statement,
  ];
}

function nextOf({ state, due, torn, unseen }: Dropped): string {
  if (torn === true) return 'torn: an operator has to repair it';
  if (unseen === true) return 'a privilege is missing, see undrop doctor';
  switch (state) {
    case 'HOLD':
      return isPinned(due) ? 'nothing, it is pinned' : `removed from ${utcText(due)} on`;
    case 'PURGE':
      return 'its rows are being deleted';
    case 'EVAC':
      return `DROP at ${utcText(due)}`;
    case 'DROP':
      return 'DROP at the next check';
  }
}
