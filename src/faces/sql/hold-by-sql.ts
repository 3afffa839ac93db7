/**
 * HOLD TABLE and PURGE TABLE, for users who may drop the table's name; PURGE DATABASE, for
 * operators, who may UPDATE the ledger.
 *
 * Invariants: HOLD only lengthens, up to UNDROP_MAX_HOLD. A PURGE removes nothing at once: it
 * leaves UNDROP_MIN_HOLD from now on, unless UNDROP_ALLOW_DESTROY is users, and never ends the hold
 * of a table that is pinned, or was lengthened.
 */
import type { HistoryEvent } from '../../audit.js';
import { col, note, readNow, type ServicePool, sql } from '../../connections/sql.js';
import type { Interception } from '../../drop/intercepted.js';
import { parseMoment, timeText } from '../../duration.js';
import { LEDGER } from '../../ledger/tables.js';
import { isPinned, shownDue, writtenName } from '../../names/names.js';
import { formatBytes, formatCount, someOf } from '../../printer.js';
import * as hold from '../../recycle/change-hold.js';
import { nameOrId, noSuchHeld } from '../../recycle/find-dropped.js';
import { type DroppedTable, originOf, tableInEvent } from '../../recycle/held-tables.js';
import { TABLES_MAX } from '../../recycle/list.js';
import { tryEach } from '../../recycle/restore.js';
import { answerOk, type UndoRun, whoOf } from './answer.js';
import type { Bound } from './bind.js';
import { findAll, findById, findServer } from './find-dropped.js';
import { askToDropName, askToOperate, assertGranted } from './rights.js';

/** In a message. */
const NAMES_SHOWN = 5;
const IDS_SHOWN = 2;

export async function holdBySql(
  { change, ...target }: Bound<'hold'>,
  run: UndoRun,
): Promise<Interception> {
  const { table: held, others } = await findOwn(target, run);
  const { pool, maxHoldMs = Number.POSITIVE_INFINITY } = run.service;
  const now = await readNow(pool);
  const after = (ms: number) => new Date(now.getTime() + ms);
  const due =
    change.kind === 'for'
      ? after(change.holdMs)
      : (parseMoment(change.time, now, run.facts.zone) ?? now);
  if (due.getTime() - now.getTime() > maxHoldMs) {
    const latest = timeText(after(maxHoldMs));
    const why = `expected a time until ${latest} (UNDROP_MAX_HOLD), found ${timeText(due)}`;
    const instead = 'An operator can hold it for longer, or pin it: `undrop hold`.';
    throw hold.notChanged(held, why, instead);
  }
  if (due <= held.due) {
    if (isPinned(held.due)) {
      const instead = 'It stays until an operator unpins it: `undrop hold`.';
      throw hold.notChanged(held, 'it is pinned', instead);
    }
    const until = `it is held until ${timeText(held.due)}`;
    throw hold.notChanged(held, until, 'HOLD only lengthens: give it a later time.');
  }
  const how = { change: { kind: 'until', due }, holdMsMin: 0 } as const;
  const { table } = await hold.changeHold(pool, held, how);
  const text = `${nameOrId(held)} is held until ${timeText(table.due)}.${unchangedText(others)}`;
  return { ...(await answerOk({ text, note: null }, run)), changes: [heldUntil(table, run)] };
}

export async function purgeBySql(target: Bound<'purge'>, run: UndoRun): Promise<Interception> {
  const { table, others } = await findOwn(target, run);
  return endHolds([table], run, unchangedText(others));
}

export async function purgeDatabaseBySql(
  { schema }: Bound<'purge-database'>,
  run: UndoRun,
): Promise<Interception> {
  const { lowerCaseTableNames } = await findServer(run);
  assertGranted(await askToOperate(run.asked));
  const all = await findAll({ lowerCaseTableNames, schema }, run);
  const held = all.filter((one) => isInHold(one) && one.how === 'DROP DATABASE');
  if (held.length > 0) return endHolds(held, run);
  const text = `Nothing is held of a dropped ${schema}.`;
  return { ...(await answerOk({ text, note: null }, run)), changes: [] };
}

/** The table in HOLD that is meant. Rejects unless the user may drop its name. */
async function findOwn(
  { id, names: [name] }: Pick<Bound<'purge'>, 'id' | 'names'>,
  run: UndoRun,
): Promise<hold.ChosenHeld> {
  const { lowerCaseTableNames } = await findServer(run);
  if (name !== undefined) {
    assertGranted(await askToDropName(name, run.asked));
    const all = await findAll({ lowerCaseTableNames, names: [name] }, run);
    return hold.newestHeld(all.filter(isInHold), writtenName(name));
  }
  const target = id ?? '';
  const table = await findById(target, run, isInHold);
  if (table === undefined) throw noSuchHeld(target);
  assertGranted(await askToDropName(originOf(table), run.asked));
  return { table, others: [] };
}

function isInHold({ state }: DroppedTable): boolean {
  return state === 'HOLD';
}

/**
 * Rejects with the first error if no hold could be changed. `more`: the end of the info text.
 */
async function endHolds(
  all: readonly DroppedTable[],
  run: UndoRun,
  more = '',
): Promise<Interception> {
  const { pool, holdMs, hintMsMin: leastMs = holdMs } = run.service;
  const lengthened = await readLengthened(pool);
  const now = await readNow(pool);
  const isLocked = ({ lockedUntil }: DroppedTable) => lockedUntil !== null && lockedUntil > now;
  const isLeft = (one: DroppedTable) =>
    isPinned(one.due) || isLocked(one) || lengthened.has(one.id);
  const [left, meant] = [all.filter(isLeft), all.filter((one) => !isLeft(one))];
  const [kept] = left;
  if (meant.length === 0 && kept !== undefined) {
    if (isLocked(kept)) throw hold.notChanged(kept, 'it is locked', hold.LOCKED);
    const why = isPinned(kept.due) ? 'it is pinned' : 'its hold was lengthened';
    throw hold.notChanged(kept, why, 'An operator can end it: `undrop remove`.');
  }
  const due = new Date(now.getTime() + leastMs);
  const change: hold.HoldChange = leastMs === 0 ? { kind: 'end' } : { kind: 'until', due };
  const isToEnd = (one: DroppedTable) => one.due > due;
  const report = await tryEach(meant.filter(isToEnd), {
    nameOf: nameOrId,
    work: (table) => hold.changeHold(pool, table, { change, holdMsMin: 0 }),
  });
  const changed = report.done.map(({ table }) => table);
  // A hold that ends sooner stays as it is.
  const ended = [...meant.filter((one) => !isToEnd(one)), ...changed];
  const [failure] = report.failed;
  if (ended.length === 0 && failure !== undefined) throw failure.error;
  const not = [...report.failed.map(({ what }) => what), ...report.untried];
  const note = [
    ...(left.length === 0
      ? []
      : [`Not, pinned, locked or held longer: ${someOf(left.map(nameOrId), NAMES_SHOWN)}.`]),
    ...(not.length === 0 ? [] : [`Not, in use: ${someOf(not, NAMES_SHOWN)}.`]),
    ...(all.length < TABLES_MAX ? [] : [`Only the newest ${TABLES_MAX} were read.`]),
  ].join(' ');
  const last = new Date(Math.max(...ended.map((one) => one.due.getTime())));
  const text = purgeText(ended, leastMs === 0 ? null : last) + more;
  const answer = await answerOk({ text, note: note || null }, run);
  return { ...answer, changes: changed.map((table) => heldUntil(table, run)) };
}

/** `due`: the last end of a hold; null: the holds are over. */
function purgeText(ended: readonly DroppedTable[], due: Date | null): string {
  const bytes = formatBytes(ended.reduce((sum, { byteEstimate }) => sum + (byteEstimate ?? 0), 0));
  const [one, ...others] = ended.map(nameOrId);
  const what = others.length === 0 ? one : `${formatCount(ended.length)} tables`;
  if (due === null) return `${what}: removed from now on, ${bytes}.`;
  return `${what}: removed from ${timeText(due)} on, ${bytes}; until then UNDROP restores.`;
}

/** The others of its name. */
function unchangedText(others: readonly DroppedTable[]): string {
  const ids = others.map(({ id }) => id);
  return ids.length === 0 ? '' : ` Others of that name are unchanged: ${someOf(ids, IDS_SHOWN)}.`;
}

/** The ids of the held tables whose hold was lengthened. */
async function readLengthened(pool: ServicePool): Promise<ReadonlySet<string>> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('read')} id FROM ${LEDGER} WHERE lengthened <> 0 AND state = 'HOLD'`,
  );
  return new Set(rows.map((row) => col.text(row, 'id')));
}

function heldUntil(table: DroppedTable, run: UndoRun): HistoryEvent {
  const until = shownDue(table.holdName);
  return { event: 'hold-changed', ...whoOf(run), ...tableInEvent(table), until };
}
