/**
 * `undrop hold` lengthens, shortens or pins the hold of tables; `undrop remove` ends it, and the
 * collector then removes them like any that are due. Either takes tables by name or id, or all
 * that its flags select; what several are is shown before anything is changed.
 */
import type { HistoryEvent } from '../../audit.js';
import type { Settings } from '../../config/schema.js';
import { readNow, type ServicePool } from '../../connections/sql.js';
import { parseDuration, parseMoment } from '../../duration.js';
import { shownDue } from '../../names/names.js';
import { formatBytes, formatCount, jsonText } from '../../printer.js';
import type { HoldChange, HoldReport } from '../../recycle/change-hold.js';
import { changeHold, findHeld, planHold } from '../../recycle/change-hold.js';
import { noSuchHeld } from '../../recycle/find-dropped.js';
import { type DroppedTable, tableInEvent } from '../../recycle/held-tables.js';
import { listDroppedTables } from '../../recycle/list.js';
import { formatUntil, heldListJson } from '../../recycle/print/print-held.js';
import { formatSize, sizeOf } from '../../recycle/print/print-list.js';
import * as print from '../../recycle/print/print-report.js';
import { type ManyReport, tryEach } from '../../recycle/restore.js';
import { endWith, readChosen, readSelection } from './list.js';
import { reportEvents } from './report-events.js';
import type { AccountSettings, Flags, HOLD_KEYS, Shell } from './settings.js';
import { flagText, hintMsMinOf, wrongFlag, wrongUsage } from './settings.js';
import { withPool } from './with-pool.js';

export function runHold(
  settings: Pick<Settings, (typeof HOLD_KEYS)[number]>,
  flags: Flags,
  shell: Shell,
): Promise<number> {
  const given = ['for', 'until', 'pin'].filter(
    (name) => flags[name] !== undefined && flags[name] !== false,
  );
  if (given.length !== 1) {
    const found = given.length === 0 ? 'none' : given.map((name) => `--${name}`).join(', ');
    throw wrongUsage(`Expected one of --for, --until and --pin; found ${found}.`);
  }
  const length = flagText(flags, 'for');
  const holdMs = length === null ? 0 : parseDuration(length);
  if (holdMs === null) throw wrongFlag('for', 'a duration like 12h or 30d', JSON.stringify(length));
  return withPool(settings, async (pool) => {
    const now = await readNow(pool);
    const change = asLock(readChange(flags, holdMs, now), flags, now);
    // Its --until is the end of the hold.
    const chosen = await chooseHeld(pool, { ...flags, until: undefined });
    if (!chosen.isOne && flags['json'] !== true) shell.stdout.write(formatChosen(chosen.tables));
    const how = { settings, change, holdMsMin: hintMsMinOf(settings) };
    const eventOf = (table: DroppedTable) => {
      const until = shownDue(table.holdName);
      return { event: 'hold-changed', ...tableInEvent(table), until } as const;
    };
    const report = await changeAll(pool, chosen, { ...how, eventOf });
    return printChanged(report, { chosen, flags, shell, text: formatHeldUntil(report.done) });
  });
}

/** All have the same end. */
function formatHeldUntil(done: readonly HoldReport[]): string {
  const [one, ...others] = done;
  if (one === undefined) return '';
  if (others.length === 0) return print.formatHold(one);
  const until = formatUntil(one.table);
  return `${formatSize(sizeOf(done.map(({ table }) => table)))}: held until (UTC): ${until}.\n`;
}

function readChange(flags: Flags, holdMs: number, now: Date): HoldChange {
  if (flags['pin'] === true) return { kind: 'pin' };
  const until = flagText(flags, 'until');
  if (until === null) return { kind: 'for', holdMs };
  const due = parseMoment(until, now);
  if (due !== null) return { kind: 'until', due };
  const expected = 'a time like 2026-12-24T14:00 or 14:00 (UTC); --for takes a duration';
  throw wrongFlag('until', expected, JSON.stringify(until));
}

/** With --lock the same until a time, before which nobody can end the hold. */
function asLock(change: HoldChange, flags: Flags, now: Date): HoldChange {
  if (flags['lock'] !== true) return change;
  if (change.kind === 'until') return { ...change, locks: true };
  if (change.kind !== 'for') throw wrongFlag('lock', '--for or --until with it', '--pin');
  return { kind: 'until', due: new Date(now.getTime() + change.holdMs), locks: true };
}

const END = { kind: 'end' } as const satisfies HoldChange;

/** Asks for confirmation only if the removal wouldn't be refused anyway. */
export function runRemove(settings: AccountSettings, flags: Flags, shell: Shell): Promise<number> {
  return withPool(settings, async (pool) => {
    const chosen = await chooseHeld(pool, flags);
    const how = { change: END, now: await readNow(pool), holdMsMin: 0 };
    const work = async (table: DroppedTable) => {
      planHold(table, END, how);
      return table;
    };
    const tried = await tryEach(chosen.tables, { nameOf: print.nameWithId, work });
    const plan = unlessAlone(tried, chosen);
    const { done: tables, failed } = plan;
    if (flags['dry-run'] === true) {
      const json = { dryRun: true, wouldRemove: heldListJson(tables) };
      const text = `${formatChosen(tables)}Nothing was done (--dry-run).\n`;
      shell.stdout.write(flags['json'] === true ? jsonText(json) : text);
      return endWith(print.formatFailures(plan, { verb: 'would not be removed' }), shell);
    }
    if (tables.length > 0 && flags['yes'] !== true && !(await isConfirmed(chosen, tables, shell))) {
      return 1;
    }
    const eventOf = (table: DroppedTable) =>
      ({ event: 'remove-asked', ...tableInEvent(table) }) as const;
    const report = await changeAll(pool, { ...chosen, tables }, { settings, ...how, eventOf });
    const all = { ...report, failed: [...failed, ...report.failed] };
    return printChanged(all, { chosen, flags, shell, text: formatRemoved(report.done) });
  });
}

/** A single table is confirmed by its name, several by their number. */
async function isConfirmed(
  { isOne }: ChosenTables,
  tables: readonly DroppedTable[],
  { stdout, ask }: Shell,
): Promise<boolean> {
  if (ask === undefined) {
    const expected = 'Expected --yes, because there is no terminal for a confirmation; found none.';
    throw wrongUsage(expected);
  }
  const [table] = tables;
  const isByName = isOne && table !== undefined;
  const name = table?.origin?.table ?? table?.id;
  const names = isByName ? [name, `${table.origin?.schema}.${name}`] : [String(tables.length)];
  const answer = await ask(
    isByName
      ? `${print.nameWithId(table)}\nType the table's name to remove it for good: `
      : `${formatChosen(tables)}Type the number of tables to remove them for good: `,
  );
  if (names.includes(isByName ? answer : answer.replaceAll(',', ''))) return true;
  const expected = isByName ? 'name of the table' : 'number of the tables';
  stdout.write(`Removed nothing: that is not the ${expected}.\n`);
  return false;
}

const NAMES_SHOWN = 10;

/** The tables, their number and their size. */
export function formatChosen(tables: readonly DroppedTable[]): string {
  const more = tables.length - NAMES_SHOWN;
  return [
    ...tables.slice(0, NAMES_SHOWN).map((table) => {
      const by = table.user === null ? '' : `, dropped by ${table.user}`;
      return `${print.nameWithId(table)}: ${formatBytes(table.byteEstimate)}${by}\n`;
    }),
    ...(more > 0 ? [`and ${formatCount(more)} more\n`] : []),
    `${formatSize(sizeOf(tables))}.\n`,
  ].join('');
}

function formatRemoved(done: readonly HoldReport[]): string {
  const [one, ...others] = done.map(({ table }) => table);
  if (one === undefined) return '';
  const isOne = others.length === 0;
  const what = isOne ? print.nameWithId(one) : formatSize(sizeOf([one, ...others]));
  const it = isOne ? 'it' : 'them';
  return (
    `The hold of ${what} is over: the collector removes ${it} within seconds, unless it waits ` +
    `(see \`undrop status\`). Until then, \`undrop restore\` brings ${it} back.\n`
  );
}

// ── one or several tables ────────────────────────────────────────────────────────────────────────

/**
 * `others`: held, too, of the names that were given. `isOne`: a table is named alone, and a refusal
 * for it is that of the command.
 */
type ChosenTables = Readonly<Awaited<ReturnType<typeof chooseHeld>>>;

const SELECTORS = ['drop', 'schema', 'dropped-by', 'since'] as const;

/** The tables that are named, or all that the flags select. Rejects if one of them is not held. */
async function chooseHeld(pool: ServicePool, flags: Flags) {
  const expected = '--drop, --schema, --dropped-by or --since';
  const { targets, given, text } = readChosen(flags, SELECTORS, expected);
  const found = new Map<string, DroppedTable>();
  const others = new Map<string, DroppedTable>();
  for (const target of targets) {
    const { table, others: ofName } = await findHeld(pool, target);
    found.set(table.id, table);
    for (const other of ofName) others.set(other.id, other);
  }
  for (const id of found.keys()) others.delete(id);
  if (given.length > 0) {
    const wanted = { sort: 'dropped', limit: null } as const;
    for await (const page of listDroppedTables(pool, await readSelection(pool, flags), wanted)) {
      for (const table of page.lines) if ('due' in table) found.set(table.id, table);
    }
    if (found.size === 0) throw noSuchHeld(text);
  }
  const tables: readonly DroppedTable[] = [...found.values()];
  return { tables, others: [...others.values()], isOne: targets.length === 1 };
}

interface Changing {
  readonly settings: AccountSettings;
  readonly change: HoldChange;
  readonly holdMsMin: number;
  eventOf(table: DroppedTable): HistoryEvent;
}

/** A failure for one of several tables leaves the others as they would be. */
async function changeAll(
  pool: ServicePool,
  chosen: Pick<ChosenTables, 'tables' | 'isOne'>,
  { settings, eventOf, ...how }: Changing,
): Promise<ManyReport<HoldReport>> {
  const work = async (held: DroppedTable) => {
    const changed = await changeHold(pool, held, how);
    const { table } = changed;
    const isLogged = table.rowLogged === null ? {} : { rowLogged: table.rowLogged };
    await reportEvents({ pool, settings }, [eventOf(table)], isLogged);
    return changed;
  };
  return unlessAlone(await tryEach(chosen.tables, { nameOf: print.nameWithId, work }), chosen);
}

function unlessAlone<T>(
  report: ManyReport<T>,
  { isOne }: Pick<ChosenTables, 'isOne'>,
): ManyReport<T> {
  for (const { error } of isOne ? report.failed : []) throw error;
  return report;
}

/** Returns the exit code. */
function printChanged(
  report: ManyReport<HoldReport>,
  how: {
    readonly chosen: ChosenTables;
    readonly flags: Flags;
    readonly shell: Shell;
    readonly text: string;
  },
): number {
  const { chosen, flags, shell } = how;
  const [done] = report.done;
  const json =
    chosen.isOne && done !== undefined ? print.holdJson(done) : print.manyHoldsJson(report);
  const text = how.text + print.formatAlsoHeld(chosen.others, 'unchanged');
  shell.stdout.write(flags['json'] === true ? jsonText(json) : text);
  return endWith(print.formatFailures(report, { verb: 'were not changed' }), shell);
}
