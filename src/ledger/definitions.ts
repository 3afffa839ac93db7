/**
 * The definitions of single views, routines, triggers and events that were dropped or replaced.
 * Each has a row of its own, of the kind of a view, so that queries for tables skip it; its end is
 * that of its hold, from when on it is deleted like the row of an ended table.
 */

import type { Row, ServiceConnection, ServicePool } from '../connections/sql.js';
import { col, note, readServerFacts, sql } from '../connections/sql.js';
import type { HoldTime } from '../policy/rules.js';
import type { DroppingStatement } from './entry.js';
import { claimCells, howDropped, STATEMENT_CHARACTERS_MAX } from './entry.js';
import { holdUntil, proxyAt } from './intents/intent-text.js';
import { readIfAny } from './read.js';
import type { SchemaPart } from './schema-details.js';
import { allOf, type CommonSelection, commonConditions, type Selection } from './selection.js';
import { beforeNextTry, hostOfSession, KNOWN_VERSION, LEDGER, PORT_OF_HOST } from './tables.js';

/** A recorded definition. */
export type DroppedDefinition = Readonly<ReturnType<typeof definitionOf>>;

interface DefinitionDrop extends DroppingStatement {
  readonly schema: string;
  /** Each with the id of its row. */
  readonly parts: readonly { readonly id: string; readonly part: SchemaPart }[];
  readonly hold: HoldTime;
}

/** Rejects with the server's or the pool's error; then they are not recorded. */
export async function recordDefinitions(pool: ServicePool, drop: DefinitionDrop): Promise<void> {
  const { dropId, proxyId, threadId, user, clientAddress, schema, parts, hold } = drop;
  const server = await readServerFacts(pool);
  const until = holdUntil(hold);
  const { program, details } = claimCells(drop.claims);
  const rows = parts.map(
    ({ id, part }) => sql`(${id}, ${dropId}, @undrop_proxy, ${threadId}, ${PORT_OF_HOST}, ${schema},
      ${part.name}, 'view', ${part.kind}, UTC_TIMESTAMP(), ${user}, ${clientAddress},
      ${drop.statementText.slice(0, STATEMENT_CHARACTERS_MAX)}, ${until}, 'removed',
      UTC_TIMESTAMP(), ${JSON.stringify(part)}, ${until}, ${pool.isLogged}, ${program},
      ${details})`,
  );
  const texts = [
    sql`SET ${KNOWN_VERSION}, ${hostOfSession(server, threadId)},
      @undrop_proxy = ${proxyAt(proxyId, server)}`,
    sql`INSERT IGNORE ${note('definition', dropId)} INTO ${LEDGER} (id, group_id, proxy_id, thread_id,
        upstream_port, schema_name, table_name, kind, engine, dropped_at, user_name, client_address,
        statement_text, hold_until, state, state_since, definition, ended_at, row_logged, program,
        client_details)
      VALUES ${sql.join(rows, ', ')}`,
  ];
  const run = () => pool.run(texts);
  await run().catch(async (error: unknown) => {
    await beforeNextTry(pool, error);
    await run();
  });
}

/** For one that was not dropped. Rejects with the server's error. */
export async function forgetDefinition(pool: ServicePool, id: string): Promise<void> {
  await pool.run(sql`DELETE FROM ${LEDGER} WHERE id = ${id} AND kind = 'view'`);
}

const ROWS_MAX = 10_000;

/** Definitions that are still kept, newest first; none if there is no ledger. */
export async function findDefinitions(
  connection: ServiceConnection,
  { object, name, drop, ...common }: DefinitionFilter,
): Promise<readonly DroppedDefinition[]> {
  const conditions = allOf([
    IS_KEPT,
    object !== undefined && sql`engine = ${object}`,
    name !== undefined && sql`LOWER(table_name) = LOWER(${name})`,
    ...commonConditions(common),
    drop !== undefined && sql`group_id = ${drop}`,
  ]);
  const rows = await readIfAny(
    connection,
    sql`SELECT ${note('read')} id, schema_name, definition, dropped_at, user_name, hold_until,
          statement_text
        FROM ${LEDGER} WHERE ${conditions}
        ORDER BY id DESC LIMIT ${ROWS_MAX}`,
  );
  return rows.map(definitionOf);
}

interface DefinitionFilter extends CommonSelection, Pick<Selection, 'drop'> {
  readonly object?: string;
  readonly name?: string;
}

const IS_KEPT = sql`kind = 'view' AND definition IS NOT NULL AND hold_until > UTC_TIMESTAMP()`;

function definitionOf(row: Row) {
  return {
    id: col.text(row, 'id'),
    schema: col.text(row, 'schema_name'),
    part: JSON.parse(col.text(row, 'definition')) as SchemaPart,
    droppedAt: col.date(row, 'dropped_at'),
    user: col.text(row, 'user_name'),
    /** It was exchanged for a restored one. */
    isSwapped: howDropped({ statementText: col.text(row, 'statement_text') }) === 'SWAP',
    /** UTC: it is kept until then. */
    until: col.date(row, 'hold_until'),
  };
}
