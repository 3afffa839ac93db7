/**
 * `removeTable` runs the one physical DROP of the whole product.
 *
 * Invariant: the dropped table has a strict hold name in state DROP (or a due one, of a table that
 * its engine has lost and that can't be renamed), is in a schema of undrop (or in the schema that
 * the ledger's live row of that id has), and a fresh read finds no obstacle: no foreign key of
 * another table, and in a recycle schema no trigger. The server checks foreign keys, too:
 * foreign_key_checks is on.
 */
import { assert } from '../assert.js';
import { UNLESS_PAUSED } from '../ledger/control.js';
import { LIVE_STATES } from '../ledger/entry.js';
import { reportAndKeep } from '../ledger/history.js';
import { findRows } from '../ledger/read.js';
import { isRecycleSchema, parseHoldName } from '../names/names.js';
import { ident, note, sql } from '../service/sql.js';
import type { ActionContext } from './action-context.js';
import type { Collectable } from './collectable.js';
import type { TableFacts } from './next-step.js';
import { auditFields, followInLedger, isOwnTable } from './transition.js';

/** A table of terabytes on an old server takes long; other proxies then wait for the lock. */
const DROP_DEADLINE_MS = 600_000;

/** Drops the table for good. `facts`: read just now. May run twice. */
export async function removeTable(
  context: ActionContext,
  table: Collectable,
  facts: TableFacts,
): Promise<void> {
  const { connection, files } = context;
  if (!isRecycleSchema(table.schema)) {
    const rows = await findRows(connection, { by: 'id', prefix: table.id }, { texts: false });
    const isKnown = rows.some(
      (row) =>
        row.id === table.id && row.holdSchema === table.schema && LIVE_STATES.includes(row.state),
    );
    assert(isKnown, 'a table outside our schemas is removed only on the word of the ledger');
  }
  assert(facts.obstacles.length === 0, 'what live rows depend on is not dropped');
  assertRemovable(table, facts);
  if (facts.isLost !== true) await files.keep(table);
  await connection.run(
    [
      UNLESS_PAUSED,
      sql`SET SESSION foreign_key_checks = 1`,
      sql`DROP ${note('remove', table.id)} TABLE IF EXISTS ${ident(table.schema, table.name)}`,
    ],
    { deadlineMs: DROP_DEADLINE_MS, logged: table.logged },
  );
  const change = { state: 'removed', holdName: table.name } as const;
  const row = await followInLedger(context, table, change);
  if (isOwnTable(table, row)) {
    context.log.debug({ id: table.id }, 'removed a table of undrop itself');
    return;
  }
  const event = { event: 'removal', ...auditFields(context, table, row) } as const;
  await reportAndKeep(context, [event], { rowLogged: row?.rowLogged ?? table.logged });
}

function assertRemovable({ name, id }: Collectable, { isLost = false }: TableFacts): void {
  const parsed = parseHoldName(name);
  assert(parsed !== null, `only a hold name is ever dropped, not ${name}`);
  const isOver = parsed.state === 'DROP' || isLost;
  assert(isOver && parsed.id === id, 'only a table in DROP is dropped, or one that is lost');
}
