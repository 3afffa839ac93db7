/**
 * Takes off a held table its CHECKs with names of the user's own. On MySQL 8.0.16 and later such a
 * name is unique in its schema: where it is taken in every schema of ours, the table could not
 * leave its own, and the next table with that CHECK could not be made there.
 *
 * Invariants: whatever is taken off is in the ledger before; no row is copied. May run twice.
 */
import { checksIn, type HeldCheck, NOTHING_DETACHED } from '../../ledger/detached/detached.js';
import { recordDetached } from '../../ledger/detached/record-detached.js';
import { ownDefinition } from '../../ledger/detached/restore-script.js';
import { findRows } from '../../ledger/read.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import type { TryOptions } from '../../service/pool/statement-timeout.js';
import { ident, sql } from '../../service/sql.js';
import {
  ALGORITHM_NOT_SUPPORTED,
  ER_CHECK_CONSTRAINT_NOT_FOUND,
} from '../../wire/server-errors.js';
import { alter } from '../foreign-keys/add-keys.js';
import { readTable } from '../foreign-keys/read-table.js';
import type { RelocateTable } from './relocate.js';

/** Null, or why it is to keep them. Rejects with other errors of the server. */
export async function detachChecks(
  pool: ServicePool,
  { id, fromSchema: schema, holdName, table }: RelocateTable,
  how: TryOptions,
): Promise<string | null> {
  const held = { id, schema, table: holdName };
  const look = await readTable(pool, held);
  if (typeof look === 'string') return null;
  const checks = checksIn(look.definition).filter(({ name }) => !isMade(name, holdName));
  if (checks.length === 0) return null;
  const odd = checks.find((check) => !isPlain(check));
  if (odd !== undefined) return `what its CHECK ${odd.name} says is in a charset of its own`;
  const [row] = await findRows(pool, { by: 'id', prefix: id });
  if (row === undefined) return 'the ledger has no row of it';
  const { keysOut, checks: before } = row.detached;
  const isKnown = keysOut.length + before.length > 0 && row.definition !== null;
  const definition = isKnown ? null : ownDefinition(look.definition, holdName, table);
  const detached = { ...NOTHING_DETACHED, checks };
  const isThere = await recordDetached(pool, {
    id,
    detached,
    definition,
    rowLogged: row.rowLogged,
  });
  if (!isThere) return 'the ledger did not take down its CHECKs';
  const drops = checks.map(({ name }) => sql`DROP CHECK ${ident(name)}`);
  try {
    await alter(pool, held, [...drops, sql`ALGORITHM=INSTANT`], how);
  } catch (error) {
    // The engine is not InnoDB.
    if (isServerError(error, ...ALGORITHM_NOT_SUPPORTED)) return `its CHECKs: ${error.message}`;
    // Another proxy was faster.
    if (!isServerError(error, ER_CHECK_CONSTRAINT_NOT_FOUND)) throw error;
  }
  return null;
}

/** The server made it of the table's name, and makes it anew with every RENAME. */
function isMade(name: string, holdName: string): boolean {
  return name.toLowerCase().startsWith(`${holdName.toLowerCase()}_chk_`);
}

/**
 * The server prints a literal in another charset than UTF-8 so that it means something else when it
 * is read again, save where it is plain ASCII.
 */
function isPlain({ clause }: HeldCheck): boolean {
  const isAscii = /^[\x20-\x7e]*$/.test(clause) && !/[?\\]/.test(clause);
  const charsets = [...clause.matchAll(/(?<![\w'])_(\w+)'/g)].map(([, name = '']) => name);
  return charsets.every((name) => /^utf8mb[34]$/.test(name) || (isAscii && !/^u/.test(name)));
}
