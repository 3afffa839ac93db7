/**
 * The ledger's row of a DROP DATABASE: its progress, and the details for creating the schema again.
 * The rows of its tables have the same drop id. While the row is open its state is none of theirs,
 * so that queries for tables skip it.
 *
 * The owner of a DROP DATABASE is the process that has the group's lock, on a connection that ends
 * with it. It is not the user's session, which stays in the server, in its DROP, if the proxy is
 * killed.
 *
 * Invariants: the row is written before the first intent of its group and ended after the last.
 * Therefore an intent that is read has its open row, or the drop is over. The lock is taken before
 * the row is written, and never again for that group; so a row without a lock is an interrupted
 * drop.
 */

import type {
  ServiceConnection,
  ServicePool,
  SQLQuery,
  TaskConnection,
} from '../connections/sql.js';
import { col, note, readServerFacts, sql, valueList } from '../connections/sql.js';
import { assert } from '../errors.js';
import { dueDigits, isPinned, parseHoldName } from '../names/names.js';
import type { LedgerRow } from './entry.js';
import * as entry from './entry.js';
import { proxyAt } from './intents/intent-text.js';
import { parseSchemaDetails, type SchemaDetails, schemaScript } from './schema-details.js';
import {
  beforeNextTry,
  hostOfSession,
  KNOWN_VERSION,
  LEDGER,
  ledgerUnavailable,
  mayUnlog,
  PORT_OF_HOST,
} from './tables.js';

interface SchemaDrop
  extends entry.DroppingStatement,
    Pick<LedgerRow, 'id' | 'schema' | 'sqlLogBin'> {
  readonly details: SchemaDetails;
}

/** Identifies such a row for changes. */
export type SchemaDropKey = Pick<LedgerRow, 'id' | 'dropId' | 'rowLogged'>;

const PROPERTIES = [
  ...(['id', 'dropId', 'proxyId', 'threadId', 'upstreamPort', 'schema'] as const),
  ...(['droppedAt', 'sqlLogBin', 'rowLogged'] as const),
];

/** An open row. */
export type SchemaDropRow = Readonly<Awaited<ReturnType<typeof findSchemaDrops>>[number]>;

const DEADLINE_MS = 5_000;
/** The client is waiting; there may be thousands of rows. */
const SETTLE_DEADLINE_MS = 30_000;

/**
 * Before the first intent. Rejects with UNDROP_LEDGER_UNAVAILABLE; then nothing may be renamed. If
 * a row was written nevertheless, because the response was lost, recovery forgets it once the
 * session has left it (`leaveSchemaDrop`).
 */
export async function recordSchemaDrop(
  pool: ServicePool,
  drop: SchemaDrop,
): Promise<SchemaDropKey> {
  const { id, dropId, proxyId, threadId, user, clientAddress, schema, details, sqlLogBin } = drop;
  try {
    const rowLogged = sqlLogBin || !(await mayUnlog(pool));
    const server = await readServerFacts(pool);
    const claims = entry.claimCells(drop.claims);
    const texts = [
      sql`SET ${KNOWN_VERSION},
          ${hostOfSession(server, threadId)},
          @undrop_proxy = ${proxyAt(proxyId, server)}`,
      sql`INSERT IGNORE ${note('schema', id)} INTO ${LEDGER} (id, group_id, proxy_id, thread_id,
          upstream_port, schema_name, table_name, kind, dropped_at, user_name, client_address,
          statement_text, hold_until, state, state_since, definition, restore_script, sql_log_bin,
          row_logged, program, client_details)
        VALUES (${id}, ${dropId}, @undrop_proxy, ${threadId},
          ${PORT_OF_HOST}, ${schema}, '', 'schema', UTC_TIMESTAMP(), ${user}, ${clientAddress},
          ${drop.statementText.slice(0, entry.STATEMENT_CHARACTERS_MAX)}, UTC_TIMESTAMP(), 'emptying',
          UTC_TIMESTAMP(), ${JSON.stringify(details)}, ${schemaScript(schema, details)},
          ${sqlLogBin}, ${rowLogged}, ${claims.program}, ${claims.details})`,
    ];
    const run = () => pool.logging(rowLogged).run(texts, { deadlineMs: DEADLINE_MS });
    await run().catch(async (error: unknown) => {
      await beforeNextTry(pool, error);
      await run();
    });
    return { id, dropId, rowLogged };
  } catch (error) {
    throw ledgerUnavailable(error);
  }
}

/**
 * Before the DROP is sent. False: recovery has taken the drop for dead and ended it; then the DROP
 * must not be sent. May run twice.
 */
export async function markEmptied(
  pool: ServicePool,
  { id, rowLogged }: SchemaDropKey,
): Promise<boolean> {
  await pool.logging(rowLogged).run(
    sql`UPDATE ${note('emptied', id)} ${LEDGER} SET state = 'emptied', state_since = UTC_TIMESTAMP()
        WHERE id = ${id} AND state = 'emptying'`,
  );
  const [rows = []] = await pool.run(
    sql`SELECT ${note('emptied', id)} 1 AS one FROM ${LEDGER}
        WHERE id = ${id} AND state = 'emptied'`,
  );
  return rows.length > 0;
}

/**
 * The session that dropped it has left the drop, and the row names none from now on: recovery goes
 * by the state of the server. It waits only for service connections that own an intent, because
 * their RENAME may still wait in the server. `hasFailed`: the DROP can't happen, so held tables are
 * put back; the row records whether the DROP was sent. May run twice, and late.
 */
export async function leaveSchemaDrop(
  pool: ServicePool,
  { dropId, rowLogged }: Pick<SchemaDropKey, 'dropId' | 'rowLogged'>,
  { threadId, hasFailed }: { readonly threadId: number; readonly hasFailed: boolean },
): Promise<void> {
  const emptied = hasFailed ? sql`'emptying'` : sql`state`;
  const back = hasFailed ? sql`schema_name` : sql`restored_as`;
  await pool.logging(rowLogged).run(
    sql`UPDATE ${note('leave', dropId)} ${LEDGER} SET thread_id = 0, upstream_port = NULL,
          restored_as = IF(state = 'emptied', ${back}, restored_as),
          state = IF(state = 'emptied', ${emptied}, state)
        WHERE group_id = ${dropId} AND (state <> 'intent' OR thread_id = ${threadId})
          AND state IN ('intent', 'emptying', 'emptied')`,
  );
}

/** The schema is gone, and the outcome of each of its tables is written. May run twice. */
export async function endSchemaDrop(pool: ServicePool, key: SchemaDropKey): Promise<void> {
  await pool.logging(key.rowLogged).run(ending(key));
}

function ending({ id }: SchemaDropKey): SQLQuery {
  return sql`UPDATE ${note('schema-gone', id)} ${LEDGER} SET state = 'removed',
      state_since = UTC_TIMESTAMP(), ended_at = COALESCE(ended_at, UTC_TIMESTAMP())
    WHERE id = ${id} AND state IN ('emptying', 'emptied')`;
}

/**
 * The DROP is done: its tables are held and its row is ended, in one transaction, so that they can
 * be restored from the response on. The definition and the restore script of each follow
 * (`recordOutcome`). May run twice.
 */
export async function settleSchemaDrop(
  pool: ServicePool,
  key: SchemaDropKey,
  tables: readonly {
    readonly id: string;
    readonly holdSchema: string;
    readonly holdName: string;
  }[],
): Promise<void> {
  const placed = new Map<string, { readonly schema: string; readonly due: Date; ids: string[] }>();
  for (const { id, holdSchema: schema, holdName } of tables) {
    const due = parseHoldName(holdName)?.due;
    assert(due !== undefined, 'it is held');
    const place = placed.get(`${dueDigits(due)} ${schema}`) ?? { schema, due, ids: [] };
    placed.set(`${dueDigits(due)} ${schema}`, place);
    place.ids.push(id);
  }
  const settled = [...placed.values()].map(
    ({ schema, due, ids }) => sql`UPDATE ${note('settle', key.dropId)} ${LEDGER}
      SET state = 'HOLD', state_since = UTC_TIMESTAMP(), hold_schema = ${schema},
        hold_name = CONCAT('_vt_HOLD_', id, ${`_${dueDigits(due)}`}), hold_until = ${due},
        pinned = ${isPinned(due)}, relocated = 1
      WHERE id IN (${valueList(ids)}) AND state = 'intent'`,
  );
  const texts = [sql`START TRANSACTION`, ...settled, ending(key), sql`COMMIT`];
  await pool.logging(key.rowLogged).run(texts, { deadlineMs: SETTLE_DEADLINE_MS });
}

/**
 * The schema exists, with every table that could be put back. A drop whose DROP DATABASE was sent,
 * and failed, is still the newest of its name, and counts as restored: UNDROP DATABASE means it,
 * and no older one. Any other is forgotten. May run twice.
 */
export async function endSchemaFailure(
  pool: ServicePool,
  key: SchemaDropKey,
  { isAllBack }: { readonly isAllBack: boolean },
): Promise<void> {
  const isOpen = sql`id = ${key.id} AND state IN ('emptying', 'emptied')`;
  const { todo, text } = entry.PARTLY;
  await pool.logging(key.rowLogged).run(
    isAllBack
      ? sql`DELETE ${note('forget', key.id)} FROM ${LEDGER}
            WHERE ${isOpen} AND restored_as IS NULL`
      : sql`UPDATE ${note('forget', key.id)} ${LEDGER}
            SET restored_as = schema_name, todo = ${todo}, failure = ${text} WHERE ${isOpen}`,
  );
  await endSchemaDrop(pool, key);
}

/** The open rows, in progress or interrupted; oldest first. `id`: that one alone. */
export async function findSchemaDrops(connection: ServiceConnection, id?: string) {
  const which = id === undefined ? sql`` : sql` AND id = ${id}`;
  const [rows = []] = await connection.run(
    sql`SELECT ${note('read')} ${entry.rowColumns(PROPERTIES)}, state, definition
        FROM ${LEDGER} WHERE state IN ('emptying', 'emptied')${which} ORDER BY id`,
  );
  return rows.map((row) => ({
    ...entry.cellsOf(row, PROPERTIES),
    /** emptying: tables are being renamed. emptied: none was left; the DROP may have been sent. */
    state: col.text(row, 'state') as 'emptying' | 'emptied',
    details: parseSchemaDetails(col.text(row, 'definition')),
  }));
}

/** Which of these groups belong to an open DROP DATABASE. */
export async function openGroupsOf(
  connection: ServiceConnection,
  dropIds: Iterable<string>,
): Promise<ReadonlySet<string>> {
  const asked = [...new Set(dropIds)];
  if (asked.length === 0) return new Set();
  const [rows = []] = await connection.run(
    sql`SELECT ${note('read')} group_id FROM ${LEDGER}
        WHERE state IN ('emptying', 'emptied') AND group_id IN (${valueList(asked)})`,
  );
  return new Set(rows.map((row) => col.text(row, 'group_id')));
}

function lockOf(dropId: string): SQLQuery {
  return sql`${`undrop:schema:${dropId}`}`;
}

/**
 * Runs `work` as the owner of the group, on a new connection, which has the present privileges. The
 * connection is for `work`, too; it takes no other lock on it (MySQL 5.6 has one for each session),
 * and its end is the end of the ownership.
 */
export async function asGroupOwner<T>(
  pool: ServicePool,
  dropId: string,
  work: (connection: TaskConnection) => Promise<T>,
): Promise<T> {
  const steps = async (connection: TaskConnection) => {
    // The lock ends with it.
    connection.discard();
    const [rows = []] = await connection.run(
      sql`SELECT ${note('owner', dropId)} GET_LOCK(${lockOf(dropId)}, 0) AS got`,
    );
    assert(col.numberOrNull(rows[0] ?? {}, 'got') === 1, 'a new group has no owner');
    return work(connection);
  };
  return pool.task(steps, { fresh: true });
}

/** Whether a process is running it. */
export async function hasOwner(connection: ServiceConnection, dropId: string): Promise<boolean> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('owner', dropId)} IS_FREE_LOCK(${lockOf(dropId)}) AS isFree`,
  );
  return col.number(rows[0] ?? {}, 'isFree') !== 1;
}
