/**
 * Gives held tables new hold names, so that waiting for locks does not shorten HOLD: the due time
 * is part of the name, and the first name was fixed before the user's RENAME. The id in the name
 * stays, and a held table is always found by it; the ledger follows the name.
 *
 * Invariant: the due time of a table with rows is only ever moved into the future, save by an
 * operator (recycle/change-hold.ts). A table that was seen empty may get an earlier one, if a rule
 * lets empty tables go sooner.
 */

import { isServiceError } from '../../connections/errors.js';
import { type HoldTable, listRecycledHoldTables } from '../../connections/hold-tables.js';
import { runWithTimeout } from '../../connections/pool/statement-timeout.js';
import { col, ident, note, type ServicePool, sql } from '../../connections/sql.js';
import { assert } from '../../errors.js';
import * as names from '../../names/names.js';
import type { HoldTime } from '../../policy/rules.js';
import { blockerOfDrop, type RelocateTable } from './blockers.js';

interface RenewOptions {
  /** The hold of the table with that id from now on. */
  readonly holdOf: (id: string) => HoldTime;
  /** A smaller difference isn't worth another name; default 0. */
  readonly lostMsMin?: number;
  /** Tables that may also get an earlier time; default: none. */
  readonly maySooner?: (id: string) => boolean;
}

/**
 * The tables with holds that start now. If the server doesn't report its time, the tables
 * unchanged.
 */
export async function renew(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  { holdOf, lostMsMin = 0, maySooner = () => false }: RenewOptions,
): Promise<readonly RelocateTable[]> {
  try {
    const nowMs = await readNowMs(pool);
    return tables.map((table) => {
      const due = dueAfter(holdOf(table.id), nowMs);
      const held = names.parseHoldName(table.holdName);
      const lostMs = held === null ? 0 : due.getTime() - held.due.getTime();
      // A table that is in a recycle schema already needs no other RENAME.
      const isLater = names.isRecycleSchema(table.fromSchema)
        ? isShortened(holdOf(table.id), lostMs)
        : lostMs > lostMsMin;
      const isWorth = isLater || (lostMs < 0 && maySooner(table.id));
      if (held === null || !isWorth || held.state !== 'HOLD') return table;
      const blocker = blockerOfDrop(table.blocker ?? null);
      return { ...table, newName: names.formatHoldName({ ...held, due }), blocker };
    });
  } catch (error) {
    // They are held, though for less time; a completed drop must not fail because of this.
    if (isServiceError(error)) return tables;
    throw error;
  }
}

async function readNowMs(pool: ServicePool): Promise<number> {
  const [rows = []] = await pool.run(sql`SELECT ${note('renew')} UTC_TIMESTAMP() AS utcNow`);
  return col.date(rows[0] ?? {}, 'utcNow').getTime();
}

function dueAfter(hold: HoldTime, nowMs: number): Date {
  const dueMs = hold === 'pinned' ? Number.POSITIVE_INFINITY : nowMs + hold;
  return new Date(Math.min(dueMs, names.PINNED_UNTIL.getTime()));
}

/** The part of a hold that may pass before its tables get new names: a hundredth. */
const LOST_PART = 0.01;
/** Names in one RENAME. */
const BATCH = 40;

/** Whether a drop took so long that the lost part of the hold is worth a new name. */
export function isLost(hold: HoldTime, elapsedMs: number): boolean {
  return hold !== 'pinned' && hold > 0 && elapsedMs > hold * LOST_PART;
}

function isShortened(hold: HoldTime, lostMs: number): boolean {
  return hold === 'pinned' ? lostMs > 0 : isLost(hold, lostMs);
}

/**
 * Renews the hold of tables in the recycle schemas for their times in `holds` (by id), if more than
 * a hundredth of that has passed, or if it is for good. Returns names by id, of those in HOLD.
 * Rejects if one of them can't be renamed, or the server can't be read; it may run again then, and
 * twice at once: a run that finds a table under another name rejects, too.
 */
export async function renewHeld(
  pool: ServicePool,
  holds: ReadonlyMap<string, HoldTime>,
): Promise<ReadonlyMap<string, string>> {
  const recycled = await listRecycledHoldTables(pool);
  const held = recycled.filter(({ id, state }) => holds.has(id) && state === 'HOLD');
  const byId = new Map(held.map(({ id, name }) => [id, name]));
  const holdOf = (id: string) => holds.get(id) ?? 0;
  for (const logged of [true, false]) {
    const inSameLog = held.filter(({ schema }) => names.isLocalSchema(schema) !== logged);
    const renamed = await renameLater(pool.logging(logged), inSameLog, holdOf);
    for (const [id, name] of renamed) byId.set(id, name);
  }
  return byId;
}

/**
 * Held tables in their present schemas, none of them due before `holdMs` have passed, because the
 * statement that dropped them has failed. A table that can't be renamed stays unchanged.
 */
export async function keepLonger<T extends Record<'id' | 'holdSchema' | 'holdName', string>>(
  pool: ServicePool,
  tables: readonly T[],
  holdMs: number,
): Promise<readonly T[]> {
  const kept: T[] = [];
  for (const table of tables) {
    const { id, holdSchema: schema, holdName: name } = table;
    const held = names.parseHoldName(name);
    assert(held !== null, 'it is held');
    try {
      const renamed = await renameLater(pool, [{ ...held, schema, name }], () => holdMs);
      kept.push({ ...table, holdName: renamed.get(id) ?? name });
    } catch (error) {
      if (!isServiceError(error)) throw error;
      kept.push(table);
    }
  }
  return kept;
}

/** Renames those whose due time is worth another name; the new names by id. */
async function renameLater(
  pool: ServicePool,
  tables: readonly HoldTable[],
  holdOf: (id: string) => HoldTime,
): Promise<ReadonlyMap<string, string>> {
  if (tables.length === 0) return new Map();
  const nowMs = await readNowMs(pool);
  const moves = tables.flatMap(({ id, schema, name, due: was }) => {
    const hold = holdOf(id);
    const due = dueAfter(hold, nowMs);
    const lostMs = due.getTime() - was.getTime();
    return isShortened(hold, lostMs)
      ? [{ id, schema, name, newName: names.formatHoldName({ state: 'HOLD', id, due }) }]
      : [];
  });
  for (const some of names.inBatches(moves, BATCH)) {
    const pairs = some.map(
      ({ schema, name, newName }) => sql`${ident(schema, name)} TO ${ident(schema, newName)}`,
    );
    const step = note('renew', some[0]?.id);
    const statement = sql`RENAME ${step} TABLE ${sql.join(pairs, ', ')}`;
    await runWithTimeout(pool, statement);
  }
  return new Map(moves.map(({ id, newName }) => [id, newName]));
}
