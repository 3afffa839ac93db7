/**
 * What the service account does for a TRUNCATE besides its RENAME. Before it: an empty copy of the
 * table, which waits in the recycle schema for the RENAME that gives it the table's name. After it:
 * the held table is compared with the copy, and freed of what binds other tables.
 *
 * Invariant: the copy has a hold name and no row in the ledger, so that the collector removes one
 * that isn't used; a copy that isn't printed like its source is never used.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { KeyedTable } from '../../held/foreign-keys/add-keys.js';
import { detach } from '../../held/foreign-keys/detach.js';
import { isVersioned, readTable } from '../../held/foreign-keys/read-table.js';
import type { Failure } from '../../ledger/entry.js';
import { createSchema } from '../../ledger/tables.js';
import { ownDefinition } from '../../ledger/write.js';
import { formatHoldName, ghostIdOf, recycleSchemaFor } from '../../names/names.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import { isKilled, LockWaitBudget, runWithTimeout } from '../../service/pool/statement-timeout.js';
import { ident, note, sql } from '../../service/sql.js';
import { rootCause } from '../../steps/refusals/refusals.js';
import { ABSENT_TABLE, ABSENT_TO_RENAME, ER_BAD_DB_ERROR } from '../../wire/server-errors.js';

export type NotMade =
  /** Another session has the table locked, or changed or dropped it meanwhile. */
  | { readonly kind: 'busy'; readonly isTimeout?: true }
  | { readonly kind: 'versioned' }
  /** Why the table can't have a copy, as it follows "by TRUNCATE". */
  | { readonly kind: 'none'; readonly why: string }
  /** `failed`: by an error of the server; `unserved`: the service connection broke. */
  | { readonly kind: 'failed' | 'unserved'; readonly cause: string };

interface CopyRequest {
  /** The id of the table's drop. */
  readonly id: string;
  readonly source: { readonly schema: string; readonly table: string };
  /** sql_log_bin of the session. */
  readonly logged: boolean;
  /** The server's clock. */
  readonly utcNow: Date;
}

interface Copy {
  readonly kind: 'copy';
  readonly schema: string;
  readonly table: string;
  /** The definition of the source when the copy was made, comparable with that of other tables. */
  readonly fingerprint: string;
}

/** A copy that isn't used is collected after an hour. */
const UNUSED_MS = 3_600_000;

async function makeCopy(pool: ServicePool, request: CopyRequest): Promise<Copy | NotMade> {
  const { source, logged, utcNow } = request;
  const id = ghostIdOf(request.id);
  const due = new Date(utcNow.getTime() + UNUSED_MS);
  const table = formatHoldName({ state: 'HOLD', id, due });
  const copy = { id, schema: recycleSchemaFor(logged), table };
  try {
    const look = await readTable(pool, { id, ...source });
    if (typeof look === 'string') return { kind: 'busy' };
    if (look.keys?.length !== 0) return { kind: 'none', why: 'with foreign keys of its own' };
    // The server doesn't empty these either.
    if (isVersioned(look.definition)) return { kind: 'versioned' };
    const fingerprint = fingerprintOf(look.definition, source.table);
    await createLike(pool, copy, request);
    const made = await readFingerprint(pool, copy);
    assert(made !== null, 'what was made a moment ago is there');
    if (made.fingerprint === fingerprint) return { kind: 'copy', ...copy, fingerprint };
    // Another session may have altered the source between the look and the copy.
    const now = await readFingerprint(pool, { id, ...source });
    if (now?.fingerprint !== fingerprint) return { kind: 'busy' };
    const why = 'and has a CHECK with a name, or a file of its own, which no copy of it gets';
    return { kind: 'none', why };
  } catch (error) {
    if (!(isServerError(error) || error instanceof UndropError)) throw error;
    if (isKilled(error) || isServerError(error, ...ABSENT_TABLE, ...ABSENT_TO_RENAME)) {
      return { kind: 'busy' };
    }
    return { kind: isServerError(error) ? 'failed' : 'unserved', cause: rootCause(error) };
  }
}

async function createLike(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
  { source, logged }: CopyRequest,
): Promise<void> {
  const create = sql`CREATE TABLE ${note('ghost', id)} ${ident(schema, table)}
    LIKE ${ident(source.schema, source.table)}`;
  try {
    await runWithTimeout(pool, create, { logged });
  } catch (error) {
    if (!isServerError(error, ER_BAD_DB_ERROR)) throw error;
    await createSchema(pool, schema);
    await runWithTimeout(pool, create, { logged });
  }
}

export interface SeenTable {
  readonly fingerprint: string;
  readonly hasForeignKeys: boolean;
}

async function readFingerprint(pool: ServicePool, table: KeyedTable): Promise<SeenTable | null> {
  const look = await readTable(pool, table);
  if (typeof look === 'string') return null;
  const fingerprint = fingerprintOf(look.definition, table.table);
  return { fingerprint, hasForeignKeys: look.keys?.length !== 0 };
}

/** The definition of a table, the same for two tables that differ in name and rows only. */
function fingerprintOf(definition: string, table: string): string {
  const lines = ownDefinition(definition, table, 'ghost')
    .split('\n')
    .map((line) => lineOfCopy(line.replace(/,$/, ''), table));
  // CREATE TABLE … LIKE puts indexes that foreign keys have made in another order.
  const isIndex = (line: string) => line.startsWith('  KEY ');
  const indexes = lines.filter(isIndex).sort();
  return [...lines.filter((line) => !isIndex(line)), ...indexes].join('\n');
}

/** Removes the counter; a CHECK that the server named has the table's name in its own. */
function lineOfCopy(line: string, table: string): string {
  if (line.startsWith(') ')) return line.replace(/ AUTO_INCREMENT=\d+/, '');
  const check = `  CONSTRAINT \`${table.replaceAll('`', '``')}_chk_`.toLowerCase();
  if (!line.toLowerCase().startsWith(check)) return line;
  return `  CONSTRAINT \`ghost_chk_${line.slice(check.length)}`;
}

interface Held {
  /** The name under which it is held. */
  readonly place: KeyedTable;
  /** The name that it had. */
  readonly table: string;
  readonly logged: boolean;
}

/**
 * Reads the held table, then takes off it what binds other tables. `now` is null if the server or
 * the service fails; `failure`: why the rest is left to the pending relocations.
 */
async function freeHeld(
  pool: ServicePool,
  { place, table, logged }: Held,
): Promise<{ readonly now: SeenTable | null; readonly failure: Failure | null }> {
  let now: SeenTable | null = null;
  try {
    now = await readFingerprint(pool, place);
  } catch (error) {
    if (!isServerError(error) && !(error instanceof UndropError)) throw error;
  }
  const held = { id: place.id, fromSchema: place.schema, holdName: place.table, table };
  const lockWaitBudget = new LockWaitBudget();
  const [failure = null] = await detach(pool, [held], { logged, lockWaitBudget });
  return { now, failure };
}

export const SWAP_SERVICE = { makeCopy, freeHeld };
export type SwapService = typeof SWAP_SERVICE;
