/**
 * Reads the ledger for lists: dropped tables that match, page by page, or a line for each statement
 * that dropped. A page costs the same among 100,000 held tables as among ten: it is read backwards
 * along an index by ids, which sort by time.
 *
 * Invariant: no list decides about rows. It shows the ledger; recycle/list.ts compares a page
 * of it with the server.
 */

import * as col from '../service/columns.js';
import type { Row, ServiceConnection } from '../service/pool/pools.js';
import { note, sql } from '../service/sql.js';
import { readIfAny as read } from './read.js';
import { isSelected, type Selection, type Sort } from './selection.js';
import { LEDGER } from './tables.js';

interface Page {
  readonly sort: Sort;
  readonly rowsMax: number;
  /** The id after which the page begins; only for `dropped`. */
  readonly after?: string | null;
}

/** The held tables of one statement. */
export interface LedgerDrop {
  readonly groupId: string;
  /** The newest of its tables. */
  readonly id: string;
  readonly tables: number;
  /** Null: they are of several schemas. */
  readonly schema: string | null;
  /** The known sizes; null: none is known. */
  readonly bytes: number | null;
  readonly unknown: number;
  /** When the first of those that aren't pinned leaves HOLD; null: none does. */
  readonly until: Date | null;
  readonly pinned: number;
  /** Held in their own schema. */
  readonly inPlace: number;
  /** Their hold is over. */
  readonly ending: number;
  /** The statement isn't over, or was broken off. */
  readonly unsettled: number;
}

/** The statements with matching held tables, in that order. */
export async function readDrops(
  connection: ServiceConnection,
  selection: Selection,
  { sort, rowsMax, after = null }: Page,
): Promise<readonly LedgerDrop[]> {
  const order = {
    dropped: sql`group_id DESC`,
    size: sql`bytes DESC, group_id DESC`,
    expires: sql`until IS NULL, until, group_id DESC`,
  }[sort];
  const isAfter = after === null ? sql`` : sql` AND group_id < ${after}`;
  const isOpen = sql`state = 'HOLD' AND pinned = 0`;
  const rows = await read(
    connection,
    sql`SELECT ${note('read')} group_id, MAX(id) AS id, COUNT(*) AS found,
          MIN(schema_name) AS first_schema, MAX(schema_name) AS last_schema,
          SUM(byte_estimate) AS bytes, SUM(byte_estimate IS NULL) AS unknown_sizes,
          CAST(MIN(IF(${isOpen}, hold_until, NULL)) AS DATETIME) AS until, SUM(state = 'HOLD' AND pinned) AS pinned,
          SUM(state <> 'intent' AND relocated = 0) AS in_place,
          SUM(state NOT IN ('intent', 'HOLD')) AS ending, SUM(state = 'intent') AS unsettled
        FROM ${LEDGER} WHERE ${isSelected(selection)}${isAfter}
        GROUP BY group_id ORDER BY ${order} LIMIT ${rowsMax}`,
  );
  return rows.map(asDrop);
}

function asDrop(row: Row): LedgerDrop {
  const schema = col.text(row, 'first_schema');
  return {
    groupId: col.text(row, 'group_id'),
    id: col.text(row, 'id'),
    tables: col.number(row, 'found'),
    schema: schema === col.text(row, 'last_schema') ? schema : null,
    bytes: col.numberOrNull(row, 'bytes'),
    unknown: col.number(row, 'unknown_sizes'),
    until: col.dateOrNull(row, 'until'),
    pinned: col.number(row, 'pinned'),
    inPlace: col.number(row, 'in_place'),
    ending: col.number(row, 'ending'),
    unsettled: col.number(row, 'unsettled'),
  };
}

export async function countTables(
  connection: ServiceConnection,
  selection: Selection,
): Promise<number> {
  const [row = {}] = await read(
    connection,
    sql`SELECT ${note('read')} COUNT(*) AS found FROM ${LEDGER} WHERE ${isSelected(selection)}`,
  );
  return 'found' in row ? col.number(row, 'found') : 0;
}
