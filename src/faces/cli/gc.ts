/**
 * `undrop gc --dry-run` prints what the collector would do now with each held table, and does none
 * of it. It exits with 1 if nothing would be collected.
 */
import { systemClock } from '../../clock.js';
import { type CollectPlan, planOnce } from '../../collector/once.js';
import { REMOVED_FLAGS } from '../../config/removed.js';
import { timeText } from '../../duration.js';
import { isPinned, shortId } from '../../names/names.js';
import { listAll } from '../../recycle/held-tables.js';
import { formatName } from '../../recycle/print/print-held.js';
import type { Flags, GcSettings, Shell } from './settings.js';
import { requestedLifecycle, wrongUsage } from './settings.js';
import { withServers } from './with-pool.js';

export function runGc(settings: GcSettings, flags: Flags, { stdout }: Shell): Promise<number> {
  if (!flags['dry-run']) throw wrongUsage(`Expected --dry-run; ${REMOVED_FLAGS.get('once')}.`);
  const lifecycle = requestedLifecycle(settings);
  return withServers(settings, async (pool, replicas) => {
    const plan = await planOnce({ pool, replicas, settings: lifecycle, clock: systemClock });
    const tables = await listAll(pool);
    const names = new Map(tables.map(({ id, origin }) => [id, formatName(origin)]));
    const isJson = flags['json'] === true;
    stdout.write(`${isJson ? JSON.stringify(planJson(plan), null, 2) : planText(plan, names)}\n`);
    return plan.resting === null ? 0 : 1;
  });
}

function planText({ resting, tables }: CollectPlan, names: ReadonlyMap<string, string>): string {
  const lines = tables.map(({ table, steps, left }) => {
    const until = left?.until ?? null;
    const end = until === null ? '' : isPinned(until) ? ': pinned' : ` until ${timeText(until)}`;
    const place = table.state === 'HOLD' && steps.length === 0 ? 'held' : 'there';
    const rest = left === null ? [] : [`stays ${place}${end} (${left.because})`];
    return `${names.get(table.id) ?? table.id} (${shortId(table.id)}): ${[...steps, ...rest].join(', ')}`;
  });
  const would = lines.length === 0 ? ['No table is held.'] : lines;
  return [
    ...(resting === null ? [] : [`Would collect nothing now: ${resting}.`, 'After that:']),
    ...would,
  ].join('\n');
}

function planJson({ resting, tables }: CollectPlan): object {
  return {
    resting,
    tables: tables.map(({ table: { id, state, due }, steps, left }) => {
      return { id, state, due, pinned: isPinned(due), steps, left };
    }),
  };
}
