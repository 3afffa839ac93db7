/**
 * `undrop hold` lengthens, shortens or pins the hold of tables; `undrop remove` ends it, and the
 * collector then removes them like any that are due. Either takes tables by name or id, or all
 * that its flags select; what several are is shown before anything is changed.
 */
import type { Settings } from '../../config/schema.js';
import { parseDuration, parseMoment } from '../../duration.js';
import { shownDue } from '../../names/names.js';
import { formatBytes, formatCount, jsonText } from '../../printer.js';
import {
  changeHold,
  findHeld,
  type HoldChange,
  type HoldReport,
  planHold,
} from '../../recycle/change-hold.js';
import { noSuchHeld } from '../../recycle/find-dropped.js';
import { type ListedTable, tableInEvent } from '../../recycle/held-tables.js';
import { listDroppedTables } from '../../recycle/list.js';
import { formatName, formatUntil, heldListJson } from '../../recycle/print/print-held.js';
import { formatSize, sizeOf } from '../../recycle/print/print-list.js';
import {
  formatAlsoHeld,
  formatFailures,
  formatHold,
  holdJson,
  manyHoldsJson,
} from '../../recycle/print/print-report.js';
import { type FailedRestore, type ManyReport, tryEach } from '../../recycle/restore.js';
import { isServiceError } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { readNow } from '../../service/server-facts.js';
import { type AccountSettings, type HOLD_KEYS, hintMsMinOf } from '../settings.js';
import { type Flags, flagText, type Shell, wrongFlag, wrongUsage } from '../shell.js';
import { readSelection } from './list.js';
import { reportTable } from './report-events.js';
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
  const holdMs = flagText(flags, 'for') === null ? 0 : parseDuration(flagText(flags, 'for') ?? '');
  if (holdMs === null) {
    throw wrongFlag('for', 'a duration like 12h or 30d', JSON.stringify(flags['for']));
  }
  return withPool(settings, async (pool) => {
    const change = readChange(flags, holdMs, await readNow(pool));
    // Its --until is the end of the hold.
    const chosen = await chooseHeld(pool, { ...flags, until: undefined });
    const isSummed = !chosen.isOne && flags['json'] !== true;
    if (isSummed) shell.stdout.write(formatChosen(chosen.tables));
    const report = await changeAll(pool, chosen, {
      change,
      holdMsMin: hintMsMinOf(settings),
      report: ({ table }) => {
        const until = shownDue(table.holdName);
        const event = { event: 'hold-changed', ...tableInEvent(table), until } as const;
        return reportTable(pool, settings, { table, event });
      },
    });
    const text = formatHeldUntil(report.done) + formatUnchanged(chosen);
    return printChanged(report, { flags, shell, text });
  });
}

/** All have the same end. */
function formatHeldUntil(done: readonly HoldReport[]): string {
  const [one, ...others] = done;
  if (one === undefined) return '';
  if (others.length === 0) return formatHold(one);
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

const END = { kind: 'end' } as const satisfies HoldChange;

/** Asks for confirmation only if the removal wouldn't be refused anyway. */
export function runRemove(settings: AccountSettings, flags: Flags, shell: Shell): Promise<number> {
  return withPool(settings, async (pool) => {
    const chosen = await chooseHeld(pool, flags);
    const how = { change: END, now: await readNow(pool), holdMsMin: 0 };
    const { tables, failed } = planAll(chosen, how);
    if (flags['dry-run'] === true) return showPlan(tables, failed, { flags, shell });
    if (tables.length > 0 && flags['yes'] !== true && !(await isConfirmed(chosen, tables, shell))) {
      return 1;
    }
    const report = await changeAll(
      pool,
      { ...chosen, tables },
      {
        ...how,
        report: ({ table }) => {
          const event = { event: 'remove-asked', ...tableInEvent(table) } as const;
          return reportTable(pool, settings, { table, event });
        },
      },
    );
    const all = { ...report, failed: [...failed, ...report.failed] };
    const text = formatRemoved(report.done) + formatUnchanged(chosen);
    return printChanged(all, { flags, shell, text });
  });
}

/** Returns the exit code. */
function showPlan(
  tables: readonly ListedTable[],
  failed: readonly FailedRestore[],
  { flags, shell }: { readonly flags: Flags; readonly shell: Shell },
): number {
  const json = { dryRun: true, wouldRemove: heldListJson(tables) };
  const text = `${formatChosen(tables)}Nothing was done (--dry-run).\n`;
  shell.stdout.write(flags['json'] === true ? jsonText(json) : text);
  const report = { done: tables, failed, untried: [] };
  const failures = formatFailures(report, { verb: 'would not be removed' });
  shell.stderr.write(failures);
  return failures === '' ? 0 : 1;
}

/** A single table is confirmed by its name, several by their number. */
async function isConfirmed(
  { isOne }: ChosenTables,
  tables: readonly ListedTable[],
  { stdout, ask }: Shell,
): Promise<boolean> {
  if (ask === undefined) {
    const expected = 'Expected --yes, because there is no terminal for a confirmation; found none.';
    throw wrongUsage(expected);
  }
  const [table] = tables;
  if (isOne && table !== undefined) {
    const name = table.origin?.table ?? table.id;
    const answer = await ask(`${nameOf(table)}\nType the table's name to remove it for good: `);
    if (answer === name || answer === `${table.origin?.schema}.${name}`) return true;
    stdout.write('Removed nothing: that is not the name of the table.\n');
    return false;
  }
  const count = String(tables.length);
  const answer = await ask(
    `${formatChosen(tables)}Type the number of tables to remove them for good: `,
  );
  if (answer.replaceAll(',', '') === count) return true;
  stdout.write('Removed nothing: that is not the number of the tables.\n');
  return false;
}

const NAMES_SHOWN = 10;

/** The tables, their number and their size. */
export function formatChosen(tables: readonly ListedTable[]): string {
  const more = tables.length - NAMES_SHOWN;
  return [
    ...tables.slice(0, NAMES_SHOWN).map((table) => {
      const by = table.user === null ? '' : `, dropped by ${table.user}`;
      return `${nameOf(table)}: ${formatBytes(table.byteEstimate)}${by}\n`;
    }),
    ...(more > 0 ? [`and ${formatCount(more)} more\n`] : []),
    `${formatSize(sizeOf(tables))}.\n`,
  ].join('');
}

function formatRemoved(done: readonly HoldReport[]): string {
  const [one, ...others] = done.map(({ table }) => table);
  if (one === undefined) return '';
  const isOne = others.length === 0;
  const what = isOne ? nameOf(one) : formatSize(sizeOf([one, ...others]));
  const it = isOne ? 'it' : 'them';
  return (
    `The hold of ${what} is over: the collector removes ${it} within seconds, unless it waits ` +
    `(see \`undrop status\`). Until then, \`undrop restore\` brings ${it} back.\n`
  );
}

function nameOf({ origin, id }: ListedTable): string {
  return `${formatName(origin)} (${id})`;
}

// ── one or several tables ────────────────────────────────────────────────────────────────────────

interface ChosenTables {
  readonly tables: readonly ListedTable[];
  /** Held, too, of the names that were given. */
  readonly others: readonly ListedTable[];
  /** Named alone: a refusal for it is that of the command. */
  readonly isOne: boolean;
}

const SELECTORS = ['drop', 'schema', 'dropped-by', 'since'] as const;

/** The tables that are named, or all that the flags select. Rejects if one of them is not held. */
async function chooseHeld(pool: ServicePool, flags: Flags): Promise<ChosenTables> {
  const targets = (flags['targets'] as readonly string[] | undefined) ?? [];
  const given = SELECTORS.filter((name) => flags[name] !== undefined);
  const [selector] = given;
  if (targets.length === 0 && selector === undefined) {
    throw wrongUsage(
      'Expected a table, an id, --drop, --schema, --dropped-by or --since; found none of them.',
    );
  }
  if (targets.length > 0 && selector !== undefined) {
    throw wrongUsage(`Expected tables by name or id, or --${selector}; found both.`);
  }
  const found = new Map<string, ListedTable>();
  const others = new Map<string, ListedTable>();
  for (const target of targets) {
    const { table, others: ofName } = await findHeld(pool, target);
    found.set(table.id, table);
    for (const other of ofName) others.set(other.id, other);
  }
  for (const id of found.keys()) others.delete(id);
  if (selector !== undefined) {
    const wanted = { sort: 'dropped', limit: null } as const;
    for await (const page of listDroppedTables(pool, await readSelection(pool, flags), wanted)) {
      for (const table of page.lines) if ('due' in table) found.set(table.id, table);
    }
    const text = given.map((name) => `--${name} ${flags[name]}`).join(' ');
    if (found.size === 0) throw noSuchHeld(text);
  }
  const isOne = targets.length === 1;
  return { tables: [...found.values()], others: [...others.values()], isOne };
}

interface ChangeOfAll {
  readonly change: HoldChange;
  readonly holdMsMin: number;
  report(report: HoldReport): Promise<void>;
}

type Changed = ManyReport<HoldReport> & Pick<ChosenTables, 'isOne'>;

/** The tables whose hold may be changed so, and the refusals of the others. */
function planAll(
  { tables, isOne }: Pick<ChosenTables, 'tables' | 'isOne'>,
  { change, ...how }: Omit<ChangeOfAll, 'report'> & { readonly now: Date },
): { readonly tables: readonly ListedTable[]; readonly failed: readonly FailedRestore[] } {
  const failed: FailedRestore[] = [];
  const fit = tables.filter((table) => {
    try {
      planHold(table, change, how);
      return true;
    } catch (error) {
      if (isOne || !isServiceError(error)) throw error;
      failed.push({ what: nameOf(table), error });
      return false;
    }
  });
  return { tables: fit, failed };
}

/** A failure for one of several tables leaves the others as they would be. */
async function changeAll(
  pool: ServicePool,
  { tables, isOne }: Pick<ChosenTables, 'tables' | 'isOne'>,
  { report, ...how }: ChangeOfAll,
): Promise<Changed> {
  const work = async (table: ListedTable) => {
    const changed = await changeHold(pool, table, how);
    await report(changed);
    return changed;
  };
  const all = await tryEach(tables, { nameOf, work });
  const [failure] = all.failed;
  if (isOne && failure !== undefined) throw failure.error;
  return { ...all, isOne };
}

function formatUnchanged({ others }: ChosenTables): string {
  return formatAlsoHeld(others, 'unchanged');
}

/** Returns the exit code. */
function printChanged(
  report: Changed,
  { flags, shell, text }: { readonly flags: Flags; readonly shell: Shell; readonly text: string },
): number {
  const { stdout, stderr } = shell;
  const [done] = report.done;
  if (flags['json'] !== true) stdout.write(text);
  else if (report.isOne && done !== undefined) stdout.write(jsonText(holdJson(done)));
  else stdout.write(jsonText(manyHoldsJson(report)));
  const failures = formatFailures(report, { verb: 'were not changed' });
  stderr.write(failures);
  return failures === '' ? 0 : 1;
}
