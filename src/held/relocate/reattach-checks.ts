/**
 * Gives a table that is back under a name of its own the CHECKs that were taken off it. The server
 * looks at every row for it, and copies the table; those that are NOT ENFORCED cost nothing. May
 * run twice: those that are there are left as they are.
 *
 * Invariant: the table stays where it is and as it is, whatever can't come back; that is said.
 */
import { checksIn, type HeldCheck } from '../../ledger/detached/detached.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { runWithTimeout } from '../../service/pool/statement-timeout.js';
import { quoteIdentifier, sql } from '../../service/sql.js';
import type { KeyedTable } from '../foreign-keys/add-keys.js';
import { readTable } from '../foreign-keys/read-table.js';
import { type ReattachOptions, tried } from '../foreign-keys/reattach.js';

/** One CHECK that came back, or did not. */
export interface ReattachedCheck {
  readonly name: string;
  /** The table that has it, `schema.table`. */
  readonly table: string;
  /** Why it is not there, or not as it was; null: it is. */
  readonly problem: string | null;
}

/** Rows are copied. */
const DEADLINE_MS = 3_600_000;

/** Does not reject with what the server says of one of them. */
export async function reattachChecks(
  pool: ServicePool,
  { id, restoredAs, detached, logged }: ReattachOptions,
): Promise<readonly ReattachedCheck[]> {
  const { checks } = detached;
  if (checks.length === 0) return [];
  const at = { id, ...restoredAs };
  const table = `${restoredAs.schema}.${restoredAs.table}`;
  const add = (some: readonly HeldCheck[]) => tried(() => addMissing(pool, at, { some, logged }));
  // All in one copy, or where that fails each for itself.
  const failure = await add(checks);
  const reports: ReattachedCheck[] = [];
  for (const check of checks) {
    const problem = failure === null ? null : await add([check]);
    reports.push({ name: check.name, table, problem });
  }
  return reports;
}

async function addMissing(
  pool: ServicePool,
  table: KeyedTable,
  { some, logged }: { readonly some: readonly HeldCheck[]; readonly logged: boolean },
): Promise<void> {
  const { id, schema, table: name } = table;
  const before = await checksOf(pool, table);
  const missing = some.filter((check) => !before.has(check.name));
  if (missing.length > 0) {
    const own = `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
    const adds = missing.map(({ clause }) => `ADD ${clause}`).join(', ');
    const last = Buffer.from(`ALTER TABLE /* undrop checks ${id} */ ${own} ${adds}`);
    const unchecked = sql`SET SESSION foreign_key_checks = 0`;
    await runWithTimeout(pool, unchecked, { logged, last, deadlineMs: DEADLINE_MS });
  }
  const now = await checksOf(pool, table);
  const other = some.find(({ name: check, clause }) => now.get(check) !== clause);
  if (other !== undefined) throw new Error(`${other.name} is there, but not as it was`);
}

/** What each says, by its name. */
async function checksOf(
  pool: ServicePool,
  table: KeyedTable,
): Promise<ReadonlyMap<string, string>> {
  const look = await readTable(pool, table);
  if (typeof look === 'string') throw new Error('the table is not there any more');
  return new Map(checksIn(look.definition).map(({ name, clause }) => [name, clause]));
}
