/**
 * Commands for operators: `undrop pause` and `undrop resume` stop and restart all collectors of a
 * server (ledger/control.ts).
 */
import { parseDuration, timeText } from '../../duration.js';
import { endPause, type Pause, setPause } from '../../ledger/control.js';
import { describeWho } from '../../ledger/history.js';
import { reportEvents, whoIs } from './report-events.js';
import { type AccountSettings, type Flags, type Shell, wrongFlag } from './settings.js';
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

function forMsOf(given: unknown): number | null {
  if (given === undefined) return null;
  const forMs = parseDuration(String(given));
  if (forMs !== null && forMs > 0) return forMs;
  throw wrongFlag('for', 'a duration like 30m or 2h', JSON.stringify(given));
}
