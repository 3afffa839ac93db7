/**
 * The ledger as tests read it: by SQL alone, as an operator may, so that they know its columns and
 * nothing of what is around it.
 */
import type { RowDataPacket } from 'mysql2/promise';
import type { Session } from './servers.js';

interface Which {
  readonly id?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly state?: string;
}

/** The rows of which all this holds, the oldest drop first. */
export function ledgerRows(session: Session, which: Which = {}): Promise<RowDataPacket[]> {
  const { id, schema: schema_name, table: table_name, state } = which;
  const known = Object.entries({ id, schema_name, table_name, state }).filter(
    ([, value]) => value !== undefined,
  );
  const conditions = ['1', ...known.map(([column]) => `${column} = ?`)].join(' AND ');
  return session.rows(
    `SELECT * FROM _undrop.ledger WHERE ${conditions} ORDER BY id`,
    known.map(([, value]) => value),
  );
}
