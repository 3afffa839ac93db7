/**
 * The ledger as tests read it: by SQL alone, as an operator may, so that they know its columns and
 * nothing of what is around it.
 */
import type { RowDataPacket } from 'mysql2/promise';
import type { Session } from './servers.js';

type Which = Partial<Readonly<Record<'id' | 'schema' | 'table' | 'state', string>>>;

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

/** Each value is an expression of SQL. */
const ROW: Readonly<Record<string, string>> = {
  ...{ group_id: 'id', proxy_id: "'p'", thread_id: '0', schema_name: "'s'", table_name: "'t'" },
  ...{ kind: "'base'", dropped_at: 'UTC_TIMESTAMP()', user_name: "'u'", client_address: "''" },
  ...{ statement_text: "''", hold_until: 'UTC_TIMESTAMP() + INTERVAL 1 DAY', state: "'HOLD'" },
  state_since: 'dropped_at',
};

/** The text that writes a row by hand; `own`: expressions of SQL, `id` among them. */
export function ledgerInsert(own: Readonly<Record<string, string>>): string {
  const { id = "''", ...values } = { ...ROW, ...own };
  const set = Object.entries({ id, ...values }).map(([column, value]) => `${column} = ${value}`);
  return `INSERT INTO _undrop.ledger SET ${set.join(', ')}`;
}
