/**
 * The ledger's rows of dropped views: their definitions, which are all that there is of them. They
 * are in states of their own, so that whatever looks for tables doesn't see them.
 *
 * Invariant: a row is written before the DROP VIEW is sent.
 */
import type { HoldTime } from '../policy/decide.js';
import type { Row, ServiceConnection, ServicePool } from '../service/pools.js';
import { dateOf, numberOf, numberOrNullOf, textOf } from '../service/row.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, type SQLQuery, sql } from '../service/sql.js';
import type { DroppingStatement } from './entry.js';
import { holdUntil } from './intent-text.js';
import { processlistOf, proxyAt } from './owner.js';
import { cutStatement } from './statement-text.js';
import { beforeNextTry, KNOWN_VERSION, LEDGER, ledgerUnavailable } from './tables.js';
import { mayUnlog } from './unlogged.js';

/** What made a view, and the session that it was made in. */
export interface ViewDefinition {
  /** SHOW CREATE VIEW around the view's name, in bytes of `characterSetClient` as base64. */
  readonly head: string;
  readonly tail: string;
  /** The whole in UTF-8, for people. */
  readonly shown: string;
  readonly characterSetClient: string;
  readonly collationConnection: string;
}

/** dropping: the DROP VIEW may or may not have happened. kept: it has. */
export type ViewState = 'dropping' | 'kept';

export interface ViewDrop {
  readonly id: string;
  /** As stored by the server. */
  readonly schema: string;
  readonly view: string;
  readonly hold: HoldTime;
  readonly definition: ViewDefinition;
}

/** One statement. */
export interface ViewDrops extends DroppingStatement {
  /** sql_log_bin of the user's session. */
  readonly sqlLogBin: boolean;
  /** At least one. */
  readonly views: readonly ViewDrop[];
}

export interface ViewRow extends Omit<ViewDrop, 'hold'> {
  readonly groupId: string;
  readonly proxyId: string;
  readonly threadId: number;
  readonly upstreamPort: number | null;
  readonly user: string;
  readonly clientAddress: string;
  readonly droppedAt: Date;
  readonly holdUntil: Date;
  readonly sqlLogBin: boolean;
  readonly rowLogged: boolean;
}

const DEADLINE_MS = 5_000;
export const VIEW_DROPS_MAX = 10_000;

/**
 * All in one transaction. Rejects with UNDROP_LEDGER_UNAVAILABLE; then no DROP VIEW may follow. A
 * row that was written all the same, as the answer was lost, is forgotten by recovery.
 */
export async function recordViewDrops(pool: ServicePool, drops: ViewDrops): Promise<void> {
  try {
    const rowLogged = drops.sqlLogBin || !(await mayUnlog(pool));
    const texts = await insertion(pool, drops, rowLogged);
    const how = { deadlineMs: DEADLINE_MS, logged: rowLogged };
    try {
      await pool.run(texts, how);
    } catch (error) {
      await beforeNextTry(pool, error);
      await pool.run(texts, how);
    }
  } catch (error) {
    throw ledgerUnavailable(error);
  }
}

async function insertion(pool: ServicePool, drops: ViewDrops, rowLogged: boolean) {
  const server = await readServerFacts(pool);
  const { groupId, proxyId, threadId, user, clientAddress, statementText, sqlLogBin } = drops;
  const rows = drops.views.map(
    ({ id, schema, view, hold, definition }) => sql`(${id}, ${groupId}, @undrop_proxy, ${threadId},
        IF(@undrop_host LIKE '%:%', SUBSTRING_INDEX(@undrop_host, ':', -1), NULL), ${schema},
        ${view}, 'view', UTC_TIMESTAMP(), ${user}, ${clientAddress}, @undrop_text,
        ${holdUntil(hold)}, 'dropping', UTC_TIMESTAMP(), ${JSON.stringify(definition)},
        ${viewScript(id, definition)}, ${sqlLogBin}, ${rowLogged})`,
  );
  return [
    sql`SET ${KNOWN_VERSION}, @undrop_text = ${cutStatement(statementText)},
        @undrop_host = (SELECT HOST FROM ${processlistOf(server)} WHERE ID = ${threadId}),
        @undrop_proxy = ${proxyAt(proxyId, server)}`,
    sql`INSERT IGNORE ${note('views', drops.views[0]?.id)} INTO ${LEDGER} (id, group_id, proxy_id,
        thread_id, upstream_port, schema_name, table_name, kind, dropped_at, user_name,
        client_address, statement_text, hold_until, state, state_since, definition,
        restore_script, sql_log_bin, row_logged)
      VALUES ${sql.join(rows, ', ')}`,
  ];
}

/** SQL that makes it anew by hand, with a plain client that speaks UTF-8. */
function viewScript(id: string, definition: ViewDefinition): string {
  const { shown, characterSetClient, collationConnection } = definition;
  return [
    `/* undrop ${id}: a view. If its name is taken, move what has it out of the way first. */`,
    "SET SESSION sql_mode = '';",
    ...(characterSetClient.startsWith('utf8')
      ? [`SET SESSION collation_connection = '${collationConnection}';`]
      : []),
    `${shown};`,
    '',
  ].join('\n');
}

/** The views are gone. May run twice. */
export function recordViewsKept(pool: ServicePool, rows: readonly LoggedRow[]): Promise<void> {
  return change(
    pool,
    rows,
    (
      which,
    ) => sql`UPDATE ${note('kept')} ${LEDGER} SET state = 'kept', state_since = UTC_TIMESTAMP()
      WHERE state = 'dropping' AND ${which}`,
  );
}

/** The views are there as before. May run twice. */
export function forgetViewDrops(pool: ServicePool, rows: readonly LoggedRow[]): Promise<void> {
  return change(
    pool,
    rows,
    (which) => sql`DELETE ${note('forget')} FROM ${LEDGER} WHERE state = 'dropping' AND ${which}`,
  );
}

type LoggedRow = Pick<ViewRow, 'id' | 'rowLogged'>;

/** Each row as it is logged. */
async function change(
  pool: ServicePool,
  rows: readonly LoggedRow[],
  text: (which: SQLQuery) => SQLQuery,
): Promise<void> {
  for (const logged of [true, false]) {
    const ids = rows.filter(({ rowLogged }) => rowLogged === logged).map(({ id }) => sql`${id}`);
    if (ids.length > 0) await pool.run(text(sql`id IN (${sql.join(ids, ', ')})`), { logged });
  }
}

/** It is back. May run twice. */
export async function recordViewRestored(
  pool: ServicePool,
  { id, rowLogged }: LoggedRow,
  restoredAs: string,
): Promise<void> {
  await pool.run(
    sql`UPDATE ${note('restored', id)} ${LEDGER} SET state = 'restored',
          state_since = UTC_TIMESTAMP(), ended_at = UTC_TIMESTAMP(),
          restored_as = ${restoredAs.slice(0, 255)}
        WHERE id = ${id} AND state = 'kept'`,
    { logged: rowLogged },
  );
}

/** How many definitions can be brought back. */
export async function countKeptViews(connection: ServiceConnection): Promise<number> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('views')} COUNT(*) AS n FROM ${LEDGER} WHERE state = 'kept'`,
  );
  return numberOf(rows[0] ?? {}, 'n');
}

/** What was kept for long enough is given up, by the server's clock. */
export async function endKeptViews(connection: ServiceConnection): Promise<void> {
  for (const logged of [true, false]) {
    const due = sql`state = 'kept' AND row_logged = ${logged} AND hold_until <= UTC_TIMESTAMP()`;
    const [found = []] = await connection.run(
      sql`SELECT ${note('views')} 1 AS one FROM ${LEDGER} WHERE ${due} LIMIT 1`,
    );
    if (found.length === 0) continue;
    await connection.run(
      sql`UPDATE ${note('views')} ${LEDGER} SET state = 'removed', state_since = UTC_TIMESTAMP(),
            ended_at = UTC_TIMESTAMP() WHERE ${due} ORDER BY id LIMIT ${VIEW_DROPS_MAX}`,
      { logged },
    );
  }
}

/**
 * Newest first, `VIEW_DROPS_MAX` at most; where they are given only those of the statement
 * `groupId`, and only those behind the id `behind`.
 */
export async function findViewDrops(
  connection: ServiceConnection,
  state: ViewState,
  { groupId, behind = null }: { readonly groupId?: string; readonly behind?: string | null } = {},
): Promise<readonly ViewRow[]> {
  const ofGroup = groupId === undefined ? sql`` : sql` AND group_id = ${groupId}`;
  const isBehind = behind === null ? sql`` : sql` AND id < ${behind}`;
  const [rows = []] = await connection.run(
    sql`SELECT ${note('read')} id, group_id, proxy_id, thread_id, upstream_port, schema_name, table_name,
          user_name, client_address, dropped_at, hold_until, definition, sql_log_bin, row_logged
        FROM ${LEDGER} WHERE state = ${state}${ofGroup}${isBehind}
        ORDER BY id DESC LIMIT ${VIEW_DROPS_MAX}`,
  );
  return rows.map(asViewRow);
}

function asViewRow(row: Row): ViewRow {
  return {
    id: textOf(row, 'id'),
    groupId: textOf(row, 'group_id'),
    proxyId: textOf(row, 'proxy_id'),
    threadId: numberOf(row, 'thread_id'),
    upstreamPort: numberOrNullOf(row, 'upstream_port'),
    schema: textOf(row, 'schema_name'),
    view: textOf(row, 'table_name'),
    definition: JSON.parse(textOf(row, 'definition')) as ViewDefinition,
    user: textOf(row, 'user_name'),
    clientAddress: textOf(row, 'client_address'),
    droppedAt: dateOf(row, 'dropped_at'),
    holdUntil: dateOf(row, 'hold_until'),
    sqlLogBin: numberOf(row, 'sql_log_bin') !== 0,
    rowLogged: numberOf(row, 'row_logged') !== 0,
  };
}
