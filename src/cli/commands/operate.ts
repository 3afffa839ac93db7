/**
 * `undrop pause` and `undrop resume`: an operator lets nothing be collected on a server, whichever
 * proxy collects there (ledger/control.ts).
 */
import { timeText } from '../../duration.js';
import { endPause, type Pause, setPause } from '../../ledger/control.js';
import { describeWho } from '../../ledger/history.js';
import type { AccountSettings } from '../settings.js';
import { tellAll, whoIs } from './tell-history.js';
import { type Out, withPool } from './with-pool.js';

export function runPause(
  settings: AccountSettings,
  options: { readonly forMs: number | null; readonly json: boolean },
  out: Out,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const by = describeWho(whoIs(settings));
    const pause = await setPause(pool, { forMs: options.forMs, by });
    const until = pause.until?.toISOString() ?? null;
    await tellAll(pool, settings, [{ event: 'paused', until }]);
    const end = pause.until === null ? '' : `${timeText(pause.until)}, or `;
    const text =
      `Paused until ${end}\`undrop resume\`: no held table of this server is moved on, purged or ` +
      'removed. Drops are held, and restores work, as ever.';
    out.write(`${options.json ? JSON.stringify({ pause }, null, 2) : text}\n`);
    return 0;
  });
}

export function runResume(
  settings: AccountSettings,
  options: { readonly json: boolean },
  out: Out,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const ended = await endPause(pool);
    if (ended !== null) await tellAll(pool, settings, [{ event: 'resumed' }]);
    const text = ended === null ? 'There was no pause.' : `Ended ${describePause(ended)}.`;
    out.write(`${options.json ? JSON.stringify({ ended }, null, 2) : text}\n`);
    return 0;
  });
}

function describePause({ by, since, until }: Pause): string {
  const end = until === null ? '' : `, which had lasted until ${timeText(until)}`;
  return `the pause of ${by} since ${timeText(since)}${end}`;
}
