/**
 * Gives a foreign key of a live table the original name of its parent again, after the parent was
 * renamed to its hold name: the key is dropped, and added by a second statement, because no server
 * does both in one (1826). It may run twice: a key that is missing was dropped by the first run.
 */
import { assert } from '../../assert.js';
import { type ChildKey, type ForeignKey, isTooLong } from '../../ledger/detached/detached.js';
import { isSameName } from '../../names/names.js';
import { isServerError } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { isKilled, type TryOptions } from '../../service/pool/statement-timeout.js';
import type { ServerFacts } from '../../service/server-facts.js';
import { note, sql } from '../../service/sql.js';
import { REPOINT_TRIES, REPOINT_TRIES_BESIDE_CLIENT } from '../../tries.js';
import { ER_FK_DUP_NAME, ER_SUBQUERY_NO_1_ROW } from '../../wire/server-errors.js';
import { addKeys, alter, dropKey, type KeyedTable, plainKey } from './add-keys.js';
import { readTable } from './read-table.js';

export interface RepointOptions extends TryOptions {
  readonly id: string;
  /** The table that the key leads to now. */
  readonly away: { readonly schema: string; readonly table: string };
  readonly server: ServerFacts;
}

/**
 * False: the child no longer exists, and the key may be lost with it. Rejects with the server's
 * error if the child is locked or can't be altered.
 */
export async function repointForeignKey(
  pool: ServicePool,
  { childSchema, childTable, key }: ChildKey,
  options: RepointOptions,
): Promise<boolean> {
  const { id } = options;
  const child = { id, schema: childSchema, table: childTable };
  const look = await readKey(pool, child, key);
  if (look === 'view') return true;
  if (look !== 'missing' && look !== null) {
    if (!isAway(look, key, options)) return true;
    if (isTooLong(key.name)) throw new Error(`no server adds a key with the name ${key.name}`);
    await assertMayAdd(pool, { child, key }, options);
    if (!(await dropAway(pool, { child, key }, options))) return true;
  }
  const { lockWaitBudget, ...how } = options;
  const triesMax = lockWaitBudget === undefined ? REPOINT_TRIES : REPOINT_TRIES_BESIDE_CLIENT;
  for (let tries = 1; ; tries++) {
    try {
      return await addKeys(pool, { ...child, keys: [key] }, how);
    } catch (error) {
      if (tries === triesMax || !isKilled(error)) throw error;
    }
  }
}

interface KeyOfChild {
  readonly child: KeyedTable;
  readonly key: ForeignKey;
}

/** Null if it has no such key. */
export async function readKey(
  pool: ServicePool,
  child: KeyedTable,
  { name }: ForeignKey,
): Promise<ForeignKey | 'missing' | 'view' | null> {
  const look = await readTable(pool, child);
  if (typeof look === 'string') return look;
  return look.keys?.find((found) => found.name === name) ?? null;
}

function isAway(now: ForeignKey, key: ForeignKey, { away }: RepointOptions): boolean {
  const leadsTo = (schema: string, table: string) =>
    isSameName(now.parentSchema, schema) && isSameName(now.parentTable, table);
  return leadsTo(away.schema, away.table) && !leadsTo(key.parentSchema, key.parentTable);
}

/**
 * Another proxy may have repointed the key since it was read, and would lose it; so a statement
 * that fails in that case precedes the ALTER in the same text. False: the key has been repointed.
 */
async function dropAway(
  pool: ServicePool,
  { child, key }: KeyOfChild,
  options: RepointOptions,
): Promise<boolean> {
  const unless = sql`SELECT ${note('keys', child.id)} IF(COUNT(*) = 1, 1, (SELECT 1 UNION SELECT 2))
    FROM information_schema.REFERENTIAL_CONSTRAINTS
    WHERE CONSTRAINT_SCHEMA = ${child.schema} AND TABLE_NAME = ${child.table}
      AND CONSTRAINT_NAME = ${key.name} AND REFERENCED_TABLE_NAME = ${options.away.table}`;
  try {
    await alter(pool, child, { ...options, unless, changes: [dropKey(key.name)] });
    return true;
  } catch (error) {
    if (!isServerError(error, ER_SUBQUERY_NO_1_ROW)) throw error;
    const now = await readKey(pool, child, key);
    if (now === null || typeof now === 'string') return true;
    if (isAway(now, key, options)) throw error;
    return false;
  }
}

/**
 * Before the key is dropped, because an account without REFERENCES could not add it again. A
 * statement that adds it twice is refused for the duplicate name, also if another proxy has just
 * dropped it; a missing privilege is reported before that.
 */
async function assertMayAdd(
  pool: ServicePool,
  { child, key }: KeyOfChild,
  options: RepointOptions,
): Promise<void> {
  const { flavour, versionId } = options.server;
  // Other servers don't require REFERENCES.
  if (flavour === 'mariadb' || versionId < 50_700) return;
  try {
    await alter(pool, child, { ...options, changes: [plainKey(key), plainKey(key)] });
  } catch (error) {
    if (isServerError(error, ER_FK_DUP_NAME)) return;
    throw error;
  }
  assert(false, 'a foreign key is not added twice under one name');
}
