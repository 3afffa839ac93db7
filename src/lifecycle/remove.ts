/**
 * `removeTable` does the one physical DROP of the whole product.
 *
 * Invariant: what is dropped has a strict hold name in state DROP, in a schema of undrop (or one
 * for which the ledger's live row of that id says so), and a fresh read finds no obstacle: no
 * foreign key of another table, and in a recycle schema no trigger. The server checks foreign keys,
 * too: foreign_key_checks is on.
 */
import { assert } from '../assert.js';
import { findRows } from '../ledger/read.js';
import { parseHoldName } from '../names/hold-name.js';
import { isRecycleSchema } from '../names/recycle-schema.js';
import type { ServerFacts } from '../service/server-facts.js';
import { ident, note, sql } from '../service/sql.js';
import { type Collectable, knows } from './collectable.js';
import { readTableFacts } from './table-facts.js';
import { type ActionContext, followInLedger } from './transition.js';

/** A table of terabytes on an old server takes its time; then other proxies wait for the lock. */
const DROP_DEADLINE_MS = 600_000;

/** `gone`: somebody was faster. `blocked`: a trigger or a foreign key appeared meanwhile. */
type Removal =
  | { readonly kind: 'gone' | 'blocked' }
  /** Its name before the drop: undefined if the ledger doesn't tell. */
  | { readonly kind: 'removed'; readonly origin: string | undefined };

/** Drops the table for good. May run twice. */
export async function removeTable(
  context: ActionContext,
  table: Collectable,
  server: ServerFacts,
): Promise<Removal> {
  const { connection } = context;
  assertRemovable(table);
  if (!isRecycleSchema(table.schema)) {
    const rows = await findRows(connection, { by: 'id', prefix: table.id }, { texts: false });
    assert(
      rows.some((row) => knows(row, table)),
      'a table outside our schemas is removed only on the word of the ledger',
    );
  }
  const facts = await readTableFacts(connection, table, server);
  if (facts === null) return { kind: 'gone' };
  if (facts.obstacles.length > 0) return { kind: 'blocked' };
  assertRemovable(table);
  await connection.run(
    [
      sql`SET SESSION foreign_key_checks = 1`,
      sql`DROP ${note('remove', table.id)} TABLE IF EXISTS ${ident(table.schema, table.name)}`,
    ],
    { deadlineMs: DROP_DEADLINE_MS, logged: table.logged },
  );
  const change = { state: 'removed', holdName: table.name } as const;
  return { kind: 'removed', origin: await followInLedger(context, table, change) };
}

function assertRemovable({ name, id }: Collectable): void {
  const parsed = parseHoldName(name);
  assert(parsed !== null, `only a hold name is ever dropped, not ${name}`);
  assert(parsed.state === 'DROP' && parsed.id === id, 'only a table in DROP is dropped');
}
