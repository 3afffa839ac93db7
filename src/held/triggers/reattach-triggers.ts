/**
 * Gives a table that has a name of its own again the triggers that were detached from it, in their
 * order. May run twice: existing ones stay unchanged. In another schema none is created.
 *
 * Invariant: the table keeps its name and its rows, whatever can't be reattached; that is reported.
 */

import { unlessRefused } from '../../connections/errors.js';
import { col, ident, note, type ServicePool, sql, valueList } from '../../connections/sql.js';
import { type HeldTrigger, triggerLines } from '../../ledger/detached/detached.js';
import type { LedgerRow, PendingWork } from '../../ledger/entry.js';
import { findDropsSince, findRows } from '../../ledger/read.js';
import { findCopy, type KeyedTable } from '../foreign-keys/add-keys.js';
import { type Reattached, type ReattachOptions, tried } from '../foreign-keys/reattach.js';
import type { RelocateTable } from '../relocate/blockers.js';
import { createTrigger, type ShownTrigger, showTriggers } from './definition.js';

export interface ReattachedTrigger extends Reattached {
  /** It doesn't exist, and its name is free. */
  readonly isMissing?: boolean;
}

const TAKEN = 'another trigger has its name';

/**
 * Does not reject for the server's errors on one of them. After one that can't be created, the
 * others of its event are skipped: they would fire in another order for ever.
 */
export async function reattachTriggers(
  pool: ServicePool,
  options: ReattachOptions,
): Promise<readonly ReattachedTrigger[]> {
  const { id, origin, restoredAs, detached } = options;
  const { triggers } = detached;
  const table = `${restoredAs.schema}.${restoredAs.table}`;
  if (triggers.length === 0) return [];
  // It runs with the privileges of its definer, and refers to names in its own schema.
  if (restoredAs.schema !== origin.schema) {
    const problem = `it belongs to the schema ${origin.schema}`;
    return triggers.map(({ name }) => ({ name, table, problem }));
  }
  const to = { id, ...restoredAs };
  const before = new Set((await showTriggers(pool, to)).map(({ name }) => name));
  const problems = new Map<string, string | null>();
  const stopped = new Map<string, string>();
  for (const trigger of triggers) {
    const { name, event } = trigger;
    if (before.has(name)) continue;
    const first = stopped.get(event);
    let problem: string | null;
    if (first !== undefined) problem = `it follows ${first}, which does not exist`;
    else if (await isTaken(pool, to, name)) problem = TAKEN;
    else problem = await tried(() => createTrigger(pool, to, trigger));
    problems.set(name, problem);
    if (problem !== null && problem !== TAKEN) stopped.set(event, name);
  }
  const now = await showTriggers(pool, to);
  return triggers.map((trigger): ReattachedTrigger => {
    const { name } = trigger;
    const problem = problems.get(name) ?? null;
    if (problem !== null) return { name, table, problem, isMissing: problem !== TAKEN };
    return { name, table, problem: before.has(name) ? null : difference(trigger, now) };
  });
}

/** To the copy that has the name of an emptied table. Null, or what is left for a later try. */
export async function giveTriggers(
  pool: ServicePool,
  { id }: RelocateTable,
): Promise<PendingWork | null> {
  const copy = await findCopy(pool, id);
  if (copy === null) return null;
  const { row, own } = copy;
  const how = { id, origin: own, restoredAs: own, detached: row.detached, dropped: row };
  const lacking = (await reattachTriggers(pool, how)).find(({ isMissing }) => isMissing === true);
  if (lacking === undefined) return null;
  const text = `the emptied table lacks its trigger ${lacking.name}: ${lacking.problem}`;
  return { todo: 'relocate', text };
}

/**
 * Whether a trigger has that name. Several failing CREATE TRIGGER at once leave files on MariaDB
 * (`.TRG-`) that keep a schema from being dropped.
 */
async function isTaken(pool: ServicePool, { id, schema }: KeyedTable, name: string) {
  const show = sql`SHOW CREATE TRIGGER ${note('look', id)} ${ident(schema, name)}`;
  const [rows = []] = await unlessRefused(pool.run(show), []);
  return rows.length > 0;
}

/** The table's name is left out: MySQL 9.7 keeps it in UTF-8, whatever the charset of the text. */
function difference(trigger: HeldTrigger, now: readonly ShownTrigger[]): string | null {
  const found = now.find(({ name }) => name === trigger.name);
  if (found === undefined) return TAKEN;
  const [head, tail] = [Buffer.from(trigger.head, 'base64'), Buffer.from(trigger.tail, 'base64')];
  const { bytes } = found;
  const isSame =
    bytes.subarray(0, head.length).equals(head) &&
    bytes.subarray(bytes.length - tail.length).equals(tail) &&
    found.sqlMode === trigger.sqlMode &&
    found.characterSetClient === trigger.characterSetClient &&
    found.collationConnection === trigger.collationConnection &&
    found.databaseCollation === trigger.databaseCollation;
  return isSame ? null : 'it exists, but differs';
}

// ── missing triggers ─────────────────────────────────────────────────────────────────────────────
// A restored table lacks triggers that the service account may not create. The ledger has their
// definitions, and records by `todo` that some were missing after the last try; only the server
// shows whether they still are, because another account may have created them.

type MissingTriggers = NonNullable<Awaited<ReturnType<typeof findMissing>>>;

/**
 * `at`: the table, in its original schema, because no trigger is created in another; `triggers`: in
 * the order of creation. Null: none is missing, or the table was dropped again. `row`: with its
 * texts.
 */
export async function findMissing(pool: ServicePool, row: LedgerRow) {
  const { id, schema, restoredAs, pendingWork, detached } = row;
  if (pendingWork?.todo !== 'triggers' || restoredAs === null) return null;
  const at = { schema, table: restoredAs.slice(schema.length + 1) };
  const names = valueList(detached.triggers.map(({ name }) => name));
  const [tables = [], found = []] = await pool.run([
    sql`SELECT ${note('look', id)} 1 FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${at.table}`,
    // Also on another table: that the name is taken was reported before.
    sql`SELECT TRIGGER_NAME AS name FROM information_schema.TRIGGERS
        WHERE EVENT_OBJECT_SCHEMA = ${schema} AND TRIGGER_NAME IN (${names})`,
  ]);
  if (tables.length === 0 || (await findDropsSince(pool, row, at)).length > 0) return null;
  const there = new Set(found.map((row) => col.text(row, 'name')));
  const triggers = detached.triggers.filter(({ name }) => !there.has(name));
  return triggers.length === 0 ? null : { at, triggers };
}

/** Restored tables that lack triggers, with their names. */
export async function findWithoutTriggers(pool: ServicePool): Promise<readonly string[]> {
  const found: string[] = [];
  for (const row of await findRows(pool, { by: 'triggers' })) {
    const missing = await findMissing(pool, row);
    if (missing === null) continue;
    const { at, triggers } = missing;
    const names = triggers.map(({ name }) => name).join(', ');
    found.push(`${at.schema}.${at.table} lacks ${names}; ${creationHint(row.id)}`);
  }
  return found;
}

/** The ledger's failure for a restored table that lacks some of them; null: it lacks none. */
export function withoutTriggers(
  id: string,
  triggers: readonly ReattachedTrigger[],
): PendingWork | null {
  const missing = triggers.filter(({ isMissing }) => isMissing);
  const [first] = missing;
  if (first === undefined) return null;
  const names = missing.map(({ name }) => name).join(', ');
  // MySQL's warnings have 128 characters.
  const text = `without its triggers ${names} (${creationHint(id)}): ${first.problem}`;
  return { todo: 'triggers', text };
}

function creationHint(id: string): string {
  return `\`undrop show --sql ${id}\` prints them`;
}

/** The statements that create them, for a plain client. */
export function missingScript({ at, triggers }: MissingTriggers): string {
  return `${triggerLines(at, triggers).join('\n')}\n`;
}
