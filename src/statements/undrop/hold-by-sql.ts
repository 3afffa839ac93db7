/**
 * HOLD TABLE and PURGE TABLE, for users who may drop the table's name; PURGE DATABASE, for
 * operators, who may UPDATE the ledger.
 *
 * Invariants: HOLD only lengthens, up to UNDROP_MAX_HOLD. A PURGE removes nothing at once: it
 * leaves UNDROP_MIN_HOLD from now on, unless UNDROP_ALLOW_DESTROY is users, and never ends the hold
 * of a table that is pinned, or was lengthened.
 */
import type { HistoryEvent } from '../../audit.js';
import { parseMoment, timeText } from '../../duration.js';
import { LEDGER } from '../../ledger/tables.js';
import { inBatches, isPinned, shownDue, writtenName } from '../../names/names.js';
import { formatBytes, formatCount } from '../../printer.js';
import {
  type ChosenHeld,
  changeHold,
  type HoldChange,
  newestHeld,
  notChanged,
} from '../../recycle/change-hold.js';
import type { Dropped } from '../../recycle/dropped.js';
import {
  ambiguous,
  idDigits,
  isIdPrefix,
  noSuchHeld,
  qualifiedOrigin,
} from '../../recycle/find-dropped.js';
import { type ListedTable, tableInEvent } from '../../recycle/held-tables.js';
import { TABLES_MAX } from '../../recycle/list.js';
import { tryEach } from '../../recycle/restore.js';
import * as col from '../../service/columns.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { readNow } from '../../service/server-facts.js';
import { note, sql, valueList } from '../../service/sql.js';
import { newId } from '../../steps/intents.js';
import { withRestoredInfo } from '../../steps/undo-note.js';
import type { Answered, Interception, InterceptOptions } from '../intercepted.js';
import { answerOk, type UndoRun } from './answer.js';
import type { BoundTarget, BoundUndo } from './bind.js';
import { findAll, findSeen, findServer, refuseUnder } from './find-dropped.js';
import { askToDropName, askToOperate, assertGranted } from './rights.js';

type Bound<K extends BoundUndo['kind']> = Extract<BoundUndo, { kind: K }>;

/** In a message. */
const NAMES_SHOWN = 5;
const IDS_SHOWN = 2;
const IDS_OF_STATEMENT = 500;

export async function holdBySql(
  { target, change }: Bound<'hold'>,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  const { table: held, others } = await findOwn(target, run, options);
  const { pool, maxHoldMs = Number.POSITIVE_INFINITY } = options.service;
  const now = await readNow(pool);
  const after = (ms: number) => new Date(now.getTime() + ms);
  const due = change.kind === 'for' ? after(change.holdMs) : (parseMoment(change.time, now) ?? now);
  if (due.getTime() - now.getTime() > maxHoldMs) {
    const latest = timeText(after(maxHoldMs));
    const why = `expected a time until ${latest} (UNDROP_MAX_HOLD), found ${timeText(due)}`;
    throw notChanged(held, why, 'An operator can hold it for longer, or pin it: `undrop hold`.');
  }
  if (due <= held.due) {
    if (isPinned(held.due)) {
      throw notChanged(
        held,
        'it is pinned',
        'It stays until an operator unpins it: `undrop hold`.',
      );
    }
    const until = `it is held until ${timeText(held.due)}`;
    throw notChanged(held, until, 'HOLD only lengthens: give it a later time.');
  }
  const { table } = await changeHold(pool, held, { change: { kind: 'until', due }, holdMsMin: 0 });
  const text = `${nameOf(held)} is held until ${timeText(table.due)}.${unchangedText(others)}`;
  const changes = [heldUntil(table, run, options)];
  return { ...(await answerText({ text, note: null }, run, options)), changes };
}

export async function purgeBySql(
  { target }: Bound<'purge'>,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  const { table, others } = await findOwn(target, run, options);
  return endHolds([table], run, options, unchangedText(others));
}

export async function purgeDatabaseBySql(
  { schema }: Bound<'purge-database'>,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = run;
  refuseUnder(facts);
  const server = await findServer(facts, options);
  const asked = { session: options.userSession, facts, groupId: newId() };
  assertGranted(await askToOperate(asked));
  const all = await findAll({ schema }, { facts, server }, options);
  const held = all.filter((one) => isInHold(one) && one.how === OF_SCHEMA);
  if (held.length > 0) return endHolds(held, run, options);
  const text = `Nothing is held of a dropped ${schema}.`;
  return { ...(await answerText({ text, note: null }, run, options)), changes: [] };
}

const OF_SCHEMA: Dropped['how'] = 'DROP DATABASE';

/** The table in HOLD that is meant. Rejects unless the user may drop its name. */
async function findOwn(
  target: BoundTarget,
  { facts }: UndoRun,
  options: InterceptOptions,
): Promise<ChosenHeld<Dropped>> {
  refuseUnder(facts);
  const server = await findServer(facts, options);
  const asked = { session: options.userSession, facts, groupId: newId() };
  const asker = { facts, server };
  if ('name' in target) {
    assertGranted(await askToDropName(target.name, asked));
    const all = await findAll({ names: [target.name] }, asker, options);
    return newestHeld(all.filter(isInHold), writtenName(target.name));
  }
  const digits = idDigits(target.id);
  if (!isIdPrefix(digits)) throw noSuchHeld(target.id);
  const found = await findSeen({ digits }, { ...asker, enough: 2 }, options);
  const seen = found.seen.filter(isInHold);
  if (seen.length > 1) throw ambiguous(target.id, seen);
  const held = newestHeld(seen, target.id);
  assertGranted(await askToDropName(held.table.origin, asked));
  return held;
}

function isInHold({ state }: Dropped): boolean {
  return state === 'HOLD';
}

/**
 * Rejects with the first error if no hold could be changed. `more`: the end of the info text.
 */
async function endHolds(
  all: readonly Dropped[],
  run: UndoRun,
  options: InterceptOptions,
  more = '',
): Promise<Interception> {
  const { pool, holdMs, hintMsMin: leastMs = holdMs } = options.service;
  const lengthened = await lengthenedAmong(pool, all);
  const isLeft = ({ id, due }: Dropped) => isPinned(due) || lengthened.has(id);
  const [left, meant] = [all.filter(isLeft), all.filter((one) => !isLeft(one))];
  const [kept] = left;
  if (meant.length === 0 && kept !== undefined) {
    const why = isPinned(kept.due) ? 'it is pinned' : 'its hold was lengthened';
    throw notChanged(kept, why, 'An operator can end it: `undrop remove`.');
  }
  const due = new Date((await readNow(pool)).getTime() + leastMs);
  const change: HoldChange = leastMs === 0 ? { kind: 'end' } : { kind: 'until', due };
  const isToEnd = (one: Dropped) => one.due > due;
  const report = await tryEach(meant.filter(isToEnd), {
    nameOf,
    work: (table) => changeHold(pool, table, { change, holdMsMin: 0 }),
  });
  const changed = report.done.map(({ table }) => table);
  // A hold that ends sooner stays as it is.
  const ended = [...meant.filter((one) => !isToEnd(one)), ...changed];
  const [failure] = report.failed;
  if (ended.length === 0 && failure !== undefined) throw failure.error;
  const not = [...report.failed.map(({ what }) => what), ...report.untried];
  const note = [
    ...(left.length === 0 ? [] : [`Not, pinned or held longer: ${listed(left.map(nameOf))}.`]),
    ...(not.length === 0 ? [] : [`Not, in use: ${listed(not)}.`]),
    ...(all.length < TABLES_MAX ? [] : [`Only the newest ${TABLES_MAX} were read.`]),
  ].join(' ');
  const last = new Date(Math.max(...ended.map((one) => one.due.getTime())));
  const answer = await answerText(
    { text: purgeText(ended, leastMs === 0 ? null : last) + more, note: note || null },
    run,
    options,
  );
  return { ...answer, changes: changed.map((table) => heldUntil(table, run, options)) };
}

/** An OK with that info text, and a warning. */
async function answerText(
  { text, note }: { readonly text: string; readonly note: string | null },
  { facts }: UndoRun,
  options: InterceptOptions,
): Promise<Answered> {
  const { payload, ...ok } = await answerOk(note, options);
  return { ...ok, payload: withRestoredInfo(payload, text, { note: options.service.note, facts }) };
}

/** `due`: the last end of a hold; null: the holds are over. */
function purgeText(ended: readonly ListedTable[], due: Date | null): string {
  const bytes = formatBytes(ended.reduce((sum, { byteEstimate }) => sum + (byteEstimate ?? 0), 0));
  const [one, ...others] = ended.map(nameOf);
  const what = others.length === 0 ? one : `${formatCount(ended.length)} tables`;
  if (due === null) return `${what}: removed from now on, ${bytes}.`;
  return `${what}: removed from ${timeText(due)} on, ${bytes}; until then UNDROP restores.`;
}

/** The others of its name. */
function unchangedText(others: readonly Dropped[]): string {
  if (others.length === 0) return '';
  return ` Others of that name are unchanged: ${listed(
    others.map(({ id }) => id),
    IDS_SHOWN,
  )}.`;
}

function listed(names: readonly string[], shown = NAMES_SHOWN): string {
  const more = names.length > shown ? ` and ${names.length - shown} more` : '';
  return names.slice(0, shown).join(', ') + more;
}

function nameOf(table: ListedTable): string {
  return qualifiedOrigin(table) ?? table.id;
}

/** The ids of those whose hold was lengthened. */
async function lengthenedAmong(
  pool: ServicePool,
  tables: readonly Dropped[],
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const batch of inBatches(tables, IDS_OF_STATEMENT)) {
    const ids = valueList(batch.map(({ id }) => id));
    const [rows = []] = await pool.run(
      sql`SELECT ${note('read')} id FROM ${LEDGER} WHERE lengthened <> 0 AND id IN (${ids})`,
    );
    for (const row of rows) found.add(col.text(row, 'id'));
  }
  return found;
}

function heldUntil(
  table: ListedTable,
  { facts: { user } }: UndoRun,
  { session: { clientAddress: client, threadId } }: InterceptOptions,
): HistoryEvent {
  const until = shownDue(table.holdName);
  return { event: 'hold-changed', user, client, threadId, ...tableInEvent(table), until };
}
