/**
 * Creates views, routines, events and packages of a dropped schema again, in an order in which each
 * finds the objects that it names; failed ones are tried once more after the others. May run twice:
 * an existing part is compared with the recorded one, and left unchanged.
 *
 * Invariant: an existing part is never replaced, and a failed one doesn't affect the others.
 */
import { UndropError } from '../../errors.js';
import { inOrder, type SchemaPart } from '../../ledger/schema-details.js';
import { isServerError } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { createPart, differs, listParts, mayCreateRoutines, showPart } from './schema-parts.js';

export interface RestoredPart extends Pick<SchemaPart, 'kind' | 'name' | 'statement'> {
  /** Why it is missing or differs; null: it doesn't. */
  readonly problem: string | null;
}

interface SchemaParts {
  /** The ledger's row of the schema. */
  readonly id: string;
  readonly parts: readonly SchemaPart[];
  /** sql_log_bin of the drop. */
  readonly logged: boolean;
}

/** Rejects if the server can't be reached. */
export async function restoreParts(
  pool: ServicePool,
  schema: string,
  { id, parts, logged }: SchemaParts,
): Promise<readonly RestoredPart[]> {
  const there = new Set((await listParts(pool, schema)).map(keyOf));
  const problems = new Map<SchemaPart, string>();
  let left = inOrder(parts).filter((part) => part.statement !== null && !there.has(keyOf(part)));
  if (left.some(isRoutine) && !(await mayCreateRoutines(pool, schema, id))) {
    for (const part of left.filter(isRoutine)) problems.set(part, NO_RIGHTS);
    left = left.filter((part) => !isRoutine(part));
  }
  for (;;) {
    const failed: SchemaPart[] = [];
    for (const part of left) {
      const problem = await make(pool, schema, { part, logged });
      if (problem === null) problems.delete(part);
      else {
        problems.set(part, problem);
        failed.push(part);
      }
    }
    if (failed.length === 0 || failed.length === left.length) break;
    left = failed;
  }
  const reports: RestoredPart[] = [];
  for (const part of inOrder(parts)) {
    const { kind, name, statement } = part;
    const problem = problems.get(part) ?? (await difference(pool, schema, { part, there }));
    reports.push({ kind, name, statement, problem });
  }
  return reports;
}

function isRoutine({ kind }: SchemaPart): boolean {
  return kind !== 'VIEW' && kind !== 'EVENT';
}

const NO_RIGHTS =
  'the service account lacks ALTER ROUTINE or EXECUTE, and the server would grant them to it; `undrop init` prints the GRANT';

/** Names of some kinds differ in case only, as those of views do. */
function keyOf({ kind, name }: Pick<SchemaPart, 'kind' | 'name'>): string {
  return `${kind} ${name}`;
}

async function make(
  pool: ServicePool,
  schema: string,
  { part, logged }: { readonly part: SchemaPart; readonly logged: boolean },
): Promise<string | null> {
  try {
    await createPart(pool, schema, { part, logged });
    return null;
  } catch (error) {
    if (isServerError(error)) return error.sqlMessage;
    if (error instanceof UndropError && error.code === 'UNDROP_BAD_NAME') return error.message;
    throw error;
  }
}

async function difference(
  pool: ServicePool,
  schema: string,
  { part, there }: { readonly part: SchemaPart; readonly there: ReadonlySet<string> },
): Promise<string | null> {
  const wasThere = there.has(keyOf(part));
  const now = await showPart(pool, schema, part);
  if (part.statement === null) {
    return wasThere
      ? null
      : 'its definition was not recorded: it could not be read, or there were too many';
  }
  if (now === null)
    return 'it was created, but no longer exists: the time of this event has passed';
  return differs(part, now) ? 'it exists, but differs' : null;
}
