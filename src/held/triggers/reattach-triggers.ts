/**
 * Gives a table that is back under a name of its own the triggers that were taken off it, in their
 * order. May run twice: those that are there are left as they are. In another schema none is made.
 *
 * Invariant: the table stays where it is and as it is, whatever can't come back; that is said.
 */
import type { HeldTrigger } from '../../ledger/detached/triggers.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { type Reattached, type ReattachOptions, tried } from '../foreign-keys/reattach.js';
import { createTrigger, type ShownTrigger, showTriggers } from './definition.js';

/** Does not reject with what the server says of one of them. */
export async function reattachTriggers(
  pool: ServicePool,
  options: ReattachOptions,
): Promise<readonly Reattached[]> {
  const { id, origin, restoredAs, detached, logged } = options;
  const { triggers } = detached;
  const table = `${restoredAs.schema}.${restoredAs.table}`;
  if (triggers.length === 0) return [];
  // It runs with the rights of its definer, and calls what has a name in its own schema.
  if (restoredAs.schema !== origin.schema) {
    const problem = `it belongs to the schema ${origin.schema}`;
    return triggers.map(({ name }) => ({ name, table, problem }));
  }
  const to = { id, ...restoredAs };
  const before = new Set((await showTriggers(pool, to)).map(({ name }) => name));
  const problems = new Map<string, string | null>();
  for (const trigger of triggers) {
    const { name } = trigger;
    if (before.has(name)) continue;
    problems.set(name, await tried(() => createTrigger(pool, to, trigger, { logged })));
  }
  const now = await showTriggers(pool, to);
  return triggers.map((trigger) => {
    const { name } = trigger;
    const problem = problems.get(name) ?? null;
    const isOurs = problem === null && !before.has(name);
    return { name, table, problem: isOurs ? difference(trigger, now) : problem };
  });
}

/** The table's name is left out: MySQL 9.7 keeps it in UTF-8, whatever the charset of the text. */
function difference(trigger: HeldTrigger, now: readonly ShownTrigger[]): string | null {
  const found = now.find(({ name }) => name === trigger.name);
  if (found === undefined) return 'another trigger has its name';
  const [head, tail] = [Buffer.from(trigger.head, 'base64'), Buffer.from(trigger.tail, 'base64')];
  const { bytes } = found;
  const isSame =
    bytes.subarray(0, head.length).equals(head) &&
    bytes.subarray(bytes.length - tail.length).equals(tail) &&
    found.sqlMode === trigger.sqlMode &&
    found.characterSetClient === trigger.characterSetClient &&
    found.collationConnection === trigger.collationConnection &&
    found.databaseCollation === trigger.databaseCollation;
  return isSame ? null : 'it is there, but not as it was';
}
