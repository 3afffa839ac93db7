/** The columns of SHOW DROPPED TABLES, and of SHOW DROPPED DATABASES. */
import { utcText } from '../duration.js';
import type { DroppedSchema } from '../ledger/schema-restores.js';
import { isPinned, type QualifiedTable } from '../names/names.js';
import type { Field } from '../printer.js';
import type { ListedTable } from './held-tables.js';

/** A held table whose original name is in the ledger. */
export type Dropped = ListedTable & { readonly origin: QualifiedTable };

export function isNamed(table: ListedTable): table is Dropped {
  return table.origin !== null;
}

/** The titles are the names of the columns; times are in UTC. */
export const TABLE_COLUMNS: readonly Field<Dropped>[] = [
  { key: 'id', title: 'Id' },
  { key: 'groupId', title: 'Drop_id' },
  { title: 'Schema', json: ({ origin }) => origin.schema },
  { title: 'Table', json: ({ origin }) => origin.table },
  { key: 'how', title: 'How' },
  { key: 'droppedAt', title: 'Dropped_at' },
  { key: 'user', title: 'User' },
  { key: 'clientAddress', title: 'Client' },
  { key: 'rowEstimate', title: 'Rows', isNumber: true },
  { key: 'byteEstimate', title: 'Bytes', isNumber: true },
  { title: 'State', json: stateOf },
  { title: 'Expires_at', json: expiryOf },
  { title: 'Next', json: nextOf },
  { key: 'statement', title: 'Statement' },
];
const SHORT = new Set(['Id', 'Schema', 'Table', 'Dropped_at', 'User', 'Expires_at']);
/** Without FULL. */
export const SHORT_COLUMNS = TABLE_COLUMNS.filter(({ title = '' }) => SHORT.has(title));

export const SCHEMA_COLUMNS: readonly Field<DroppedSchema>[] = [
  { key: 'groupId', title: 'Drop_id' },
  { key: 'schema', title: 'Schema' },
  { key: 'droppedAt', title: 'Dropped_at' },
  { key: 'user', title: 'User' },
  { key: 'tables', title: 'Tables', isNumber: true },
  { key: 'held', title: 'Held', isNumber: true },
];

export function stateOf({ torn, state }: Dropped): string {
  return torn === true ? 'TORN' : state;
}

/** Null: it is pinned, or its hold is over. */
export function expiryOf({ state, due }: Dropped): Date | null {
  return state === 'HOLD' && !isPinned(due) ? due : null;
}

export function nextOf({ state, due, torn, unseen, purgedBy = null }: Dropped): string {
  if (torn === true) return 'torn: an operator has to repair it';
  if (unseen === true) return 'a privilege is missing, see undrop doctor';
  switch (state) {
    case 'HOLD':
      return isPinned(due) ? 'nothing, it is pinned' : `removed from ${utcText(due)} on`;
    case 'PURGE':
      return purgedBy === null
        ? 'its rows are being deleted'
        : `its rows are being deleted until about ${utcText(purgedBy)}`;
    case 'EVAC':
      return `DROP at ${utcText(due)}`;
    case 'DROP':
      return 'DROP at the next check';
  }
}
