/** What the ledger's history has of one table. */
import { HISTORY } from '../../src/ledger/tables.js';
import { unlessRefused } from '../../src/service/errors.js';
import type { ServiceConnection } from '../../src/service/pool/pools.js';
import { dateOf, note, numberOf, sql, textOf } from '../../src/service/sql.js';
import { ABSENT_TABLE } from '../../src/wire/server-errors.js';

const READ_MAX = 1_000;

export interface HistoryRow {
  /** UTC by the server's clock. */
  readonly at: Date;
  readonly event: string;
  /** In words. */
  readonly who: string;
  /** The fields of the event, by their names in audit.ts. */
  readonly details: Readonly<Partial<Record<string, unknown>>>;
}

/** What has happened to one table, oldest first; empty if the history has nothing of it. */
export async function readHistory(
  connection: ServiceConnection,
  id: string,
): Promise<readonly HistoryRow[]> {
  const query = sql`SELECT ${note('history')} at, event, who, details, uses FROM ${HISTORY}
    WHERE id = ${id} ORDER BY at, seq LIMIT ${READ_MAX}`;
  const [rows = []] = await unlessRefused(connection.run(query), [], ...ABSENT_TABLE);
  return rows.map((row) => {
    const details = JSON.parse(textOf(row, 'details')) as HistoryRow['details'];
    const uses = numberOf(row, 'uses');
    return {
      at: dateOf(row, 'at'),
      event: textOf(row, 'event'),
      who: textOf(row, 'who'),
      details: uses === 0 ? details : { ...details, count: uses },
    };
  });
}
