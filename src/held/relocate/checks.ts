/**
 * Detaches CHECKs with names of the user's own from a held table, and adds them to a restored one
 * again. On MySQL 8.0.16 and later such a name is unique in its schema: if it is taken in every
 * recycle schema, the table could not leave its own, and the next table with that CHECK could not
 * be created there. The server checks every row to add a CHECK, and copies the table; one that is
 * NOT ENFORCED costs nothing.
 *
 * Invariants: a CHECK is in the ledger before it is detached, which copies no row. If one can't be
 * added, the restored table stays as it is, and the report names the CHECK. Both may run twice.
 */

import { isServerError } from '../../connections/errors.js';
import { runWithTimeout, type TryOptions } from '../../connections/pool/statement-timeout.js';
import { ident, quoteIdentifier, type ServicePool, sql } from '../../connections/sql.js';
import * as parts from '../../ledger/detached/detached.js';
import { findRows } from '../../ledger/read.js';
import * as ER from '../../wire/server-errors.js';
import { alter, findCopy, type KeyedTable, readTable } from '../foreign-keys/add-keys.js';
import { type Reattached, type ReattachOptions, triedAll } from '../foreign-keys/reattach.js';
import type { RelocateTable } from './blockers.js';

/** Whether a copy of the table would lack the name of one; null: undrop can't give it that. */
export function hasOwnNames(definition: string, table: string): boolean | null {
  const checks = parts.checksIn(definition).filter(({ name }) => !isMade(name, table));
  return checks.every(isPlainCheck) ? checks.length > 0 : null;
}

/** Null, or why the table keeps them. Rejects with other errors of the server. */
export async function detachChecks(
  pool: ServicePool,
  { id, fromSchema: schema, holdName, table }: RelocateTable,
  how: TryOptions,
): Promise<string | null> {
  const held = { id, schema, table: holdName };
  const look = await readTable(pool, held);
  if (typeof look === 'string') return null;
  const checks = parts.checksIn(look.definition).filter(({ name }) => !isMade(name, holdName));
  if (checks.length === 0) return null;
  const odd = checks.find((check) => !isPlainCheck(check));
  if (odd !== undefined)
    return `its CHECK ${odd.name} contains a text with a character set of its own`;
  const [row] = await findRows(pool, { by: 'id', prefix: id });
  if (row === undefined) return 'the ledger has no row for it';
  const { keysOut, checks: before } = row.detached;
  const isKnown = keysOut.length + before.length > 0 && row.definition !== null;
  const definition = isKnown ? null : parts.ownDefinition(look.definition, holdName, table);
  const detached = { ...parts.NOTHING_DETACHED, checks };
  if (!(await parts.recordDetached(pool, { id, detached, definition })))
    return 'its CHECKs could not be recorded in the ledger';
  const drops = checks.map(({ name }) => sql`DROP CHECK ${ident(name)}`);
  try {
    await alter(pool, held, { ...how, changes: [...drops, sql`ALGORITHM=INSTANT`] });
  } catch (error) {
    // The engine is not InnoDB.
    if (isServerError(error, ...ER.ALGORITHM_NOT_SUPPORTED)) return `its CHECKs: ${error.message}`;
    // Another proxy was faster.
    if (!isServerError(error, ER.CHECK_CONSTRAINT_NOT_FOUND)) throw error;
  }
  return null;
}

/** The server derived it from the table's name, and renews it with every RENAME. */
function isMade(name: string, holdName: string): boolean {
  return name.toLowerCase().startsWith(`${holdName.toLowerCase()}_chk_`);
}

/**
 * A literal in another charset than UTF-8 would change its meaning when the printed text is read
 * again, unless it is plain ASCII.
 */
export function isPlainCheck({ clause }: parts.HeldCheck): boolean {
  const text = clause.replaceAll(/`[^`]*`|('(?:[^'\\]|\\.)*')/gs, '$1');
  const isAscii = /^[\x20-\x7e]*$/.test(text) && !/[?\\]/.test(text);
  const charsets = [...text.matchAll(/(?<![\w'])_(\w+)'/g)].map(([, name = '']) => name);
  return charsets.every((name) => /^utf8mb[34]$/.test(name) || (isAscii && !/^u/.test(name)));
}

/**
 * CREATE TABLE … LIKE gives CHECKs names of the server's: the copy that has the name of an emptied
 * table gets those of the held table, which has left its schema.
 */
export async function giveCheckNames(
  pool: ServicePool,
  { id }: RelocateTable,
  { holdSchema, holdName }: { readonly holdSchema: string; readonly holdName: string },
): Promise<void> {
  const held = await readTable(pool, { id, schema: holdSchema, table: holdName });
  const copy = await findCopy(pool, id);
  if (typeof held === 'string' || copy === null) return;
  const { row, own, definition } = copy;
  const kept = parts.checksIn(held.definition).filter(({ name }) => !isMade(name, holdName));
  let left = parts.checksIn(definition);
  const changes: string[] = [];
  for (const check of [...kept, ...row.detached.checks]) {
    const made = left.find((one) => isMade(one.name, own.table) && bodyOf(one) === bodyOf(check));
    if (made === undefined) continue;
    left = left.filter((one) => one !== made);
    changes.push(`DROP CHECK ${quoteIdentifier(made.name)}, ADD ${check.clause}`);
  }
  if (changes.length > 0) await alterAs(pool, own, changes);
}

function bodyOf({ name, clause }: parts.HeldCheck): string {
  return clause.replace(quoteIdentifier(name), '');
}

/** `changes`: as the server has printed them. */
async function alterAs(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
  changes: readonly string[],
): Promise<void> {
  const own = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
  const last = Buffer.from(`ALTER TABLE /* undrop checks ${id} */ ${own} ${changes.join(', ')}`);
  const unchecked = sql`SET SESSION foreign_key_checks = 0`;
  await runWithTimeout(pool, unchecked, { last, deadlineMs: DEADLINE_MS });
}

/** Rows are copied. */
const DEADLINE_MS = 3_600_000;

/** Does not reject for the server's errors on one of them. */
export async function reattachChecks(
  pool: ServicePool,
  { id, restoredAs, detached }: ReattachOptions,
): Promise<readonly Reattached[]> {
  const { checks } = detached;
  if (checks.length === 0) return [];
  const at = { id, ...restoredAs };
  const table = `${restoredAs.schema}.${restoredAs.table}`;
  // All in one copy.
  const problems = await triedAll(checks, (some) => addMissing(pool, at, some));
  return checks.map(({ name }, index) => ({ name, table, problem: problems[index] ?? null }));
}

async function addMissing(
  pool: ServicePool,
  table: KeyedTable,
  some: readonly parts.HeldCheck[],
): Promise<void> {
  const before = await checksOf(pool, table);
  const missing = some.filter((check) => !before.has(check.name));
  if (missing.length > 0) {
    const adds = missing.map(({ clause }) => `ADD ${clause}`);
    await alterAs(pool, table, adds);
  }
  const now = await checksOf(pool, table);
  const other = some.find(({ name: check, clause }) => now.get(check) !== clause);
  if (other !== undefined) throw new Error(`${other.name} exists, but differs`);
}

/** The clause of each, by its name. */
async function checksOf(pool: ServicePool, table: KeyedTable) {
  const look = await readTable(pool, table);
  if (typeof look === 'string') throw new Error('the table no longer exists');
  return new Map(parts.checksIn(look.definition).map(({ name, clause }) => [name, clause]));
}
