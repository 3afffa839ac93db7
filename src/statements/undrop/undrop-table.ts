/**
 * UNDROP TABLE and FLASHBACK TABLE, by names or by an id: finds the tables, checks with the server
 * whether this user may restore them, and does so (bring-back.ts).
 *
 * Invariant: all privileges are checked before the first table is touched. The checked table is the
 * one that is restored, and its new name is the checked name.
 */
import { UndropError } from '../../errors.js';
import { parseHoldName } from '../../names/names.js';
import {
  ambiguous,
  findEndedById,
  idDigits,
  isIdPrefix,
  noSuchHeld,
  withFate,
} from '../../restore/find-dropped.js';
import { foldedKey } from '../../restore/plan-restore.js';
import { newId } from '../../steps/intents.js';
import type { UserFacts } from '../../steps/request.js';
import { answeredWith, type Interception, type InterceptOptions } from '../intercepted.js';
import type { UndoRun } from './answer.js';
import { type BoundName, type BoundUndo, notUnique, SaidByServer } from './bind.js';
import { type BringingBack, bringBack, type WantedTable } from './bring-back.js';
import { findSeen, findServer, readNewest, refuseUnder, seenBy } from './find-dropped.js';
import { askToCreate, askToRename, askToSwap, keyOf, type RightsAsker } from './rights.js';

type Bound<K extends BoundUndo['kind']> = Extract<BoundUndo, { kind: K }>;

/** The maximum of rows that are read for the fate of a table. */
const ENDED_MAX = 20;

export async function undropTables(
  { names, to, swap }: Bound<'undrop-table'>,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = run;
  refuseUnder(facts);
  const server = await findServer(facts, options);
  const isFolded = server.lowerCaseTableNames !== 0;
  const sameOf = isFolded ? foldedKey : keyOf;
  const asked = new Map<string, BoundName>();
  for (const name of names) {
    if (asked.has(sameOf(name))) throw new SaidByServer(notUnique(name.table));
    asked.set(sameOf(name), name);
  }
  const asker = { facts, server, sameOf };
  const [one] = names;
  // A hold name that isn't a table's original name means the id in it.
  if (names.length === 1 && one && parseHoldName(one.table) !== null) {
    const isName = (await readNewest(asked, asker, options)).size > 0;
    if (!isName) return undropById({ kind: 'undrop-id', id: one.table, to, swap }, run, options);
  }
  const refusal = await refusalOf(names, { run, swap, to }, options);
  if (refusal !== null) return refusal;
  const newest = await readNewest(asked, asker, options);
  const wanted = names.map((name): WantedTable => {
    const held = newest.get(sameOf(name)) ?? null;
    const origin = held?.origin ?? name;
    return { name: origin, held, to: to ?? origin, isNamed: true };
  });
  return bringBack(wanted, { run, swap }, options);
}

/** The maximum of matches of an id in an error. */
const AMBIGUOUS_SHOWN = 5;

export async function undropById(
  { id, to, swap }: Bound<'undrop-id'>,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = run;
  refuseUnder(facts);
  const prefix = idDigits(id);
  const server = await findServer(facts, options);
  // A user who may not see a table must not learn that it exists.
  const found = isIdPrefix(prefix)
    ? await findSeen({ prefix }, { facts, server, enough: AMBIGUOUS_SHOWN }, options)
    : { seen: [] };
  if ('errno' in found) return answeredWith(found);
  const [held, ...others] = found.seen;
  if (held === undefined) return refuseEnded(id, facts, options);
  if (others.length > 0) throw ambiguous(id, found.seen.slice(0, AMBIGUOUS_SHOWN));
  const name = held.origin;
  const target = to === null ? name : { schema: to.schema ?? name.schema, table: to.table };
  const refusal = await refusalOf([name], { run, swap, to: target }, options);
  if (refusal !== null) return refusal;
  return bringBack([{ name, held, to: target, isNamed: false }], { run, swap }, options);
}

/** Reports the fate of a table that is no longer held, if this user may see it. */
async function refuseEnded(
  target: string,
  facts: UserFacts,
  options: InterceptOptions,
): Promise<Interception> {
  const { pool } = options.service;
  const ended = await findEndedById(pool, target, ENDED_MAX);
  const seen = await seenBy(ended, { facts, granted: new Map() }, options);
  if ('errno' in seen) return answeredWith(seen);
  const rows = seen.map(({ row }) => row);
  throw await withFate(pool, { target, error: noSuchHeld(target) }, rows);
}

/** Checks all privileges, before anything is read or touched. Null: this user has them. */
async function refusalOf(
  names: readonly BoundName[],
  { run, swap, to }: BringingBack & { readonly to: BoundName | null },
  options: InterceptOptions,
): Promise<Interception | null> {
  for (const name of names) {
    const asked = { session: options.userSession, facts: run.facts, groupId: newId() };
    const said = await askFor({ name, to: to ?? name }, swap, asked);
    if (said instanceof UndropError) throw said;
    if (said !== null) return answeredWith(said);
  }
  return null;
}

async function askFor(
  { name, to }: Pick<WantedTable, 'name' | 'to'>,
  swap: boolean,
  asked: RightsAsker,
) {
  if (swap) {
    const taken = await askToSwap(name, asked);
    if (taken !== null) return taken;
  } else if (keyOf(name) !== keyOf(to)) {
    const renamed = await askToRename(name, asked);
    if (renamed !== null) return renamed;
  }
  return askToCreate(to, asked);
}
