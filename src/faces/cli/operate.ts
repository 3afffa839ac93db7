/**
 * Commands for operators: `undrop pause` and `undrop resume` stop and restart all collectors of a
 * server (ledger/control.ts); `undrop allow` lets a refused statement through once
 * (drop/steps/rules/ask.ts).
 */
import {
  ALLOWED_MINUTES,
  allowRequest,
  type Request,
  readRequests,
} from '../../drop/steps/rules/ask.js';
import { parseDuration, timeText, utcText } from '../../duration.js';
import { endPause, type Pause, setPause } from '../../ledger/control.js';
import { describeWho } from '../../ledger/history.js';
import { type Field, jsonText, printable, printTable, someOf } from '../../printer.js';
import { idDigits, isIdPrefix } from '../../recycle/find-dropped.js';
import { commandLog, reportEvents, whoIs } from './report-events.js';
import {
  type AccountSettings,
  type Flags,
  flagText,
  type Shell,
  wrongFlag,
  wrongUsage,
} from './settings.js';
import { withPool } from './with-pool.js';

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
    await reportEvents({ pool, settings }, [{ event: 'paused', until, because: null }]);
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

/** Without an id it lists what waits. */
export function runAllow(
  settings: AccountSettings,
  flags: Flags,
  { stdout }: Shell,
): Promise<number> {
  const isJson = flags['json'] === true;
  const given = flagText(flags, 'request');
  const digits = given === null ? null : idDigits(given);
  if (digits !== null && !isIdPrefix(digits))
    throw wrongUsage(`Expected 4 or more digits of an id, found ${JSON.stringify(given)}.`);
  return withPool(settings, async (pool) => {
    const found = await readRequests(pool, digits ?? '');
    const list = isJson ? jsonText(found) : printTable(REQUEST_COLUMNS, found);
    const [one, ...others] = found;
    if (digits === null) {
      stdout.write(found.length === 0 && !isJson ? 'Nothing waits for an operator.\n' : list);
      return 0;
    }
    if (one === undefined || others.length > 0) {
      const many = `${found.length} with these digits; give all of them:\n${list}`;
      throw wrongUsage(
        `Expected the id of one request, found ${found.length === 0 ? 'none.' : many}`,
      );
    }
    const { id, who, statement } = one;
    await allowRequest({ connection: pool, log: commandLog(settings) }, one, whoIs(settings));
    const text = `Allowed once, within ${ALLOWED_MINUTES} minutes, for ${who}:\n${statement}\n`;
    stdout.write(isJson ? jsonText({ id, who, statement }) : text.replaceAll(/[^\n]+/g, printable));
    return 0;
  });
}

const REQUEST_COLUMNS: readonly Field<Request>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'ASKED (UTC)', text: ({ askedAt }) => utcText(askedAt) },
  { title: 'WHO', text: ({ who }) => printable(who) },
  { title: 'TABLES', text: ({ tables }) => printable(someOf(tables)) },
  { title: 'STATEMENT', text: ({ statement }) => printable(statement.slice(0, SHOWN_MAX)) },
];
const SHOWN_MAX = 80;

function forMsOf(given: unknown): number | null {
  if (given === undefined) return null;
  const forMs = parseDuration(String(given));
  if (forMs !== null && forMs > 0) return forMs;
  throw wrongFlag('for', 'a duration like 30m or 2h', JSON.stringify(given));
}
