/**
 * The triggers that a restored table lacks because the service account may not make them. The
 * ledger has their definitions, and says by `todo` that some were missing after the last try;
 * whether they still are, the server says: anybody may have made them.
 */
import { type HeldTrigger, triggerLines } from '../../ledger/detached/triggers.js';
import type { Failure, LedgerRow } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { note, sql, textOf, valueList } from '../../service/sql.js';
import type { ReattachedTrigger } from './reattach-triggers.js';

export interface MissingTriggers {
  /** The table, in the schema that it came from: in another no trigger is made. */
  readonly at: { readonly schema: string; readonly table: string };
  /** In the order in which they are to be made. */
  readonly triggers: readonly HeldTrigger[];
}

/** Null: none is missing, or the table is there no more. `row`: with its texts. */
export async function findMissing(
  pool: ServicePool,
  { id, schema, restoredAs, failure, detached }: LedgerRow,
): Promise<MissingTriggers | null> {
  if (failure?.todo !== 'triggers' || restoredAs === null) return null;
  const at = { schema, table: restoredAs.slice(schema.length + 1) };
  const names = valueList(detached.triggers.map(({ name }) => name));
  const [tables = [], found = []] = await pool.run([
    sql`SELECT ${note('look', id)} 1 FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${at.table}`,
    // Also on another table: it was said that the name is taken, and is not to be said for ever.
    sql`SELECT TRIGGER_NAME AS name FROM information_schema.TRIGGERS
        WHERE EVENT_OBJECT_SCHEMA = ${schema} AND TRIGGER_NAME IN (${names})`,
  ]);
  if (tables.length === 0) return null;
  const there = new Set(found.map((row) => textOf(row, 'name')));
  const triggers = detached.triggers.filter(({ name }) => !there.has(name));
  return triggers.length === 0 ? null : { at, triggers };
}

/** Restored tables that lack some, each with which. */
export async function findWithoutTriggers(pool: ServicePool): Promise<readonly string[]> {
  const found: string[] = [];
  for (const row of await findRows(pool, { by: 'triggers' })) {
    const missing = await findMissing(pool, row);
    if (missing === null) continue;
    const { at, triggers } = missing;
    const names = triggers.map(({ name }) => name).join(', ');
    found.push(`${at.schema}.${at.table} lacks ${names}; ${howToMake(row.id)}`);
  }
  return found;
}

/** What the ledger says of a restored table that lacks some of them; null: it lacks none. */
export function withoutTriggers(
  id: string,
  triggers: readonly ReattachedTrigger[],
): Failure | null {
  const missing = triggers.filter(({ isMissing }) => isMissing);
  const [first] = missing;
  if (first === undefined) return null;
  const names = missing.map(({ name }) => name).join(', ');
  // MySQL's warnings have 128 characters.
  const text = `without its triggers ${names} (${howToMake(id)}): ${first.problem}`;
  return { todo: 'triggers', text };
}

function howToMake(id: string): string {
  return `\`undrop show --sql ${id}\` prints them`;
}

/** What makes them, for a plain client. */
export function missingScript({ at, triggers }: MissingTriggers): string {
  return `${triggerLines(at, triggers).join('\n')}\n`;
}
