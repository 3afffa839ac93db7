/**
 * Commands to the collectors. `undrop hold` lengthens, shortens or pins the hold of a
 * table; `undrop remove` ends it, and the collector then removes the table like any that is due.
 * `undrop pause` and `undrop resume` stop and restart all collectors of a server
 * (ledger/control.ts).
 */
import type { Settings } from '../../config/schema.js';
import { parseDuration, parseTime, timeText } from '../../duration.js';
import { endPause, type Pause, setPause } from '../../ledger/control.js';
import { describeWho } from '../../ledger/history.js';
import { shownDue } from '../../names/names.js';
import { jsonText } from '../../printer.js';
import {
  changeHold,
  findHeld,
  type HoldChange,
  planHold,
  readNow,
} from '../../restore/change-hold.js';
import { formatName } from '../../restore/print-held.js';
import { formatHold, holdJson } from '../../restore/print-report.js';
import { type AccountSettings, type HOLD_KEYS, hintMsMinOf } from '../settings.js';
import { type Flags, flagText, type Shell, wrongFlag, wrongUsage } from '../shell.js';
import { reportEvents, reportTable, whatOf, whoIs } from './report-events.js';
import { withPool } from './with-pool.js';

export function runHold(
  settings: Pick<Settings, (typeof HOLD_KEYS)[number]>,
  flags: Flags,
  { stdout }: Shell,
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
    const table = await findHeld(pool, String(flags['target']));
    const report = await changeHold(pool, table, { change, holdMsMin: hintMsMinOf(settings) });
    const what = { ...whatOf(table), until: shownDue(report.table.holdName) };
    await reportTable(pool, settings, { table, event: { event: 'hold-changed', ...what } });
    stdout.write(flags['json'] === true ? jsonText(holdJson(report)) : formatHold(report));
    return 0;
  });
}

function readChange(flags: Flags, holdMs: number, now: Date): HoldChange {
  if (flags['pin'] === true) return { kind: 'pin' };
  const until = flagText(flags, 'until');
  if (until === null) return { kind: 'for', holdMs };
  // A duration would mean a time in the past.
  const due = parseDuration(until) === null ? parseTime(until, now) : null;
  if (due !== null) return { kind: 'until', due };
  const expected = 'a time like 2026-12-24T14:00 or 14:00 (UTC); --for takes a duration';
  throw wrongFlag('until', expected, JSON.stringify(until));
}

const END = { kind: 'end' } as const satisfies HoldChange;

/** Asks for confirmation only if the removal wouldn't be refused anyway. */
export function runRemove(
  settings: AccountSettings,
  flags: Flags,
  { stdout, ask }: Shell,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const table = await findHeld(pool, String(flags['target']));
    planHold(table, END, { now: await readNow(pool), holdMsMin: 0 });
    if (flags['yes'] !== true) {
      if (ask === undefined)
        throw wrongUsage(
          'Expected --yes, because there is no terminal for a confirmation; found none.',
        );
      const name = table.origin?.table ?? table.id;
      const what = `${formatName(table.origin)} (${table.id})`;
      const answer = await ask(`${what}\nType the table's name to remove it for good: `);
      if (answer !== name && answer !== `${table.origin?.schema}.${name}`) {
        stdout.write('Removed nothing: that is not the name of the table.\n');
        return 1;
      }
    }
    const report = await changeHold(pool, table, { change: END, holdMsMin: 0 });
    const event = { event: 'remove-asked', ...whatOf(table) } as const;
    await reportTable(pool, settings, { table, event });
    if (flags['json'] === true) stdout.write(jsonText(holdJson(report)));
    else {
      stdout.write(
        `The hold of ${formatName(table.origin)} (${table.id}) is over: the collector removes it ` +
          'within seconds, unless it waits (see `undrop status`). Until then, `undrop restore` brings it back.\n',
      );
    }
    return 0;
  });
}

// ── pause and resume ───────────────────────────────────────────────────────────────────────────

export function runPause(
  settings: AccountSettings,
  flags: Flags,
  { stdout }: Shell,
): Promise<number> {
  const forMs = forMsOf(flags['for']);
  return withPool(settings, async (pool) => {
    const by = describeWho(whoIs(settings));
    const pause = await setPause(pool, { forMs, by });
    const until = pause.until?.toISOString() ?? null;
    await reportEvents({ pool, settings }, [{ event: 'paused', until }]);
    const end = pause.until === null ? '' : `${timeText(pause.until)}, or `;
    const text =
      `Paused until ${end}\`undrop resume\`: held tables of this server are not moved on, purged or ` +
      'removed. Drops are still held, and restores still work.';
    stdout.write(`${flags['json'] === true ? JSON.stringify({ pause }, null, 2) : text}\n`);
    return 0;
  });
}

export function runResume(
  settings: AccountSettings,
  flags: Flags,
  { stdout }: Shell,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const ended = await endPause(pool);
    if (ended !== null) await reportEvents({ pool, settings }, [{ event: 'resumed' }]);
    const text = ended === null ? 'There was no pause.' : `Ended ${describePause(ended)}.`;
    stdout.write(`${flags['json'] === true ? JSON.stringify({ ended }, null, 2) : text}\n`);
    return 0;
  });
}

function describePause({ by, since, until }: Pause): string {
  const end = until === null ? '' : `, which had lasted until ${timeText(until)}`;
  return `the pause of ${by} since ${timeText(since)}${end}`;
}

function forMsOf(given: unknown): number | null {
  if (given === undefined) return null;
  const forMs = parseDuration(String(given));
  if (forMs !== null && forMs > 0) return forMs;
  throw wrongFlag('for', 'a duration like 30m or 2h', JSON.stringify(given));
}
