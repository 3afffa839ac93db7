/** SHOW DROPPED TABLES: the held tables that the user may see, and the columns of the response. */
import { utcText } from '../../duration.js';
import { isPinned } from '../../names/names.js';
import { type Field, printResultSet } from '../../printer.js';
import { formatState } from '../../restore/print-held.js';
import type { ResultSet } from '../../wire/result-set.js';
import { answeredWith, type Interception, type InterceptOptions } from '../intercepted.js';
import { type AnswerFormat, answerRows } from './answer.js';
import type { BoundUndo } from './bind.js';
import { type Dropped, findSeen, findServer, TABLES_MAX } from './find-dropped.js';

export async function showDropped(
  { schema, like }: Extract<BoundUndo, { kind: 'show-dropped' }>,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = format;
  const fit = { ...(schema !== null && { schema }), ...(like !== null && { like }) };
  const server = await findServer(facts, options);
  const found = await findSeen(fit, { facts, server }, options);
  if ('errno' in found) return answeredWith(found);
  const { seen, isCut } = found;
  const note = isCut ? `Only the newest ${TABLES_MAX} dropped tables were read.` : null;
  return answerRows(droppedTables(seen), { ...format, note }, options);
}

/** The titles are the names of the columns; times are in UTC. */
const COLUMNS: readonly Field<Dropped>[] = [
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
  { title: 'State', json: formatState },
  { title: 'Expires_at', json: ({ state, due }) => (mayExpire(state, due) ? due : null) },
  { title: 'Next', json: nextOf },
  { key: 'statement', title: 'Statement' },
];

export function droppedTables(tables: readonly Dropped[]): ResultSet {
  return printResultSet(COLUMNS, tables);
}

function mayExpire(state: Dropped['state'], due: Date): boolean {
  return state === 'HOLD' && !isPinned(due);
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
