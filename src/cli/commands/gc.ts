/**
 * `undrop gc --once` acts as the collector for one pass, and prints each step; with `--dry-run`,
 * only prints what it would do. It exits with 1 if nothing was collected.
 */
import { systemClock } from '../../clock.js';
import { timeText } from '../../duration.js';
import { type CollectPlan, collectOnce, planOnce } from '../../lifecycle/once.js';
import type { Log } from '../../log.js';
import { isPinned, shortId } from '../../names/names.js';
import { finishing, reconcile } from '../../recovery/reconcile.js';
import { type ListedTable, listAll } from '../../restore/held-tables.js';
import { formatName } from '../../restore/print-held.js';
import { type GcSettings, lifecycleSettings } from '../settings.js';
import type { Flags, Shell } from '../shell.js';
import { whoIs } from './report-events.js';
import { withServers } from './with-pool.js';

export function runGc(settings: GcSettings, flags: Flags, { stdout }: Shell): Promise<number> {
  const isJson = flags['json'] === true;
  // The command is an explicit request.
  const collect = settings.collect === 'off' ? 'auto' : settings.collect;
  const lifecycle = lifecycleSettings({ ...settings, collect });
  return withServers(settings, async (pool, replicas) => {
    const shared = { pool, replicas, settings: lifecycle, clock: systemClock };
    const names = new Map(
      (await listAll(pool)).map((table) => [table.id, formatName(table.origin)]),
    );
    const print = (text: string) => stdout.write(`${text}\n`);
    if (flags['dry-run'] === true) {
      const plan = await planOnce(shared);
      print(isJson ? JSON.stringify(planJson(plan), null, 2) : planText(plan, names));
      return plan.resting === null ? 0 : 1;
    }
    const done: Done[] = [];
    const onDone = (one: Done) => {
      done.push(one);
      const name = names.get(one.id);
      const which = name === undefined ? one.id : `${name} (${shortId(one.id)})`;
      if (!isJson) print(`${which}: ${one.what}`);
    };
    const onWarning = (text: string) => isJson || print(`warning: ${text}`);
    const log = logOf(onDone, onWarning);
    const { osUser, host } = whoIs(settings);
    const proxyId = `gc by ${osUser}@${host}`;
    const recover = finishing(pool, reconcile);
    const resting = await collectOnce({ ...shared, proxyId, log, reconcile: recover });
    const left = await listAll(pool);
    if (isJson) print(JSON.stringify({ resting, done, left: left.map(leftJson) }, null, 2));
    else print(endText({ resting, done, left }));
    return resting === null ? 0 : 1;
  });
}

interface Done {
  readonly event: 'transition' | 'removal' | 'purge' | 'left';
  readonly id: string;
  readonly what: string;
}

/** Prints the collector's log lines on tables. */
function logOf(onDone: (one: Done) => void, onWarning: (text: string) => void): Log {
  const take = (fields: object): boolean => {
    const { event, id, from, to, because, rowsRemoved } = fields as Readonly<
      Record<string, string>
    >;
    const say = (what: string, kind: Done['event']): true => {
      onDone({ event: kind, id: id ?? '', what });
      return true;
    };
    if (event === 'transition') return say(`${from} → ${to} (${because})`, event);
    if (event === 'removal') return say('removed for good', event);
    if (event === 'left') return say(`left unchanged: ${because}`, event);
    if (event === 'purge' && rowsRemoved !== undefined) {
      return say(`${rowsRemoved} rows purged`, event);
    }
    return false;
  };
  const warn = (fields: object, message: string) => {
    if (take(fields)) return;
    const { err } = fields as { readonly err?: unknown };
    onWarning(err === undefined ? message : `${message}: ${String(err)}`);
  };
  return { debug: () => undefined, info: (fields) => void take(fields), warn, error: warn };
}

function endText(ended: {
  readonly resting: string | null;
  readonly done: readonly Done[];
  readonly left: readonly ListedTable[];
}): string {
  const { resting, done, left } = ended;
  const count = (kind: Done['event']) => done.filter(({ event }) => event === kind).length;
  const what =
    resting === null
      ? `Done: transitions ${count('transition')}, removals ${count('removal')}.`
      : `Collected nothing: ${resting}.`;
  return `${what}\n${leftText(left)}`;
}

/** The number of held tables, and the next that is due. */
function leftText(left: readonly ListedTable[]): string {
  if (left.length === 0) return 'No table is held.';
  const pinned = left.filter(({ due }) => isPinned(due)).length;
  const [next] = left.filter(({ due }) => !isPinned(due)).sort(soonestFirst);
  return [
    `Held: ${left.length}`,
    ...(pinned === 0 ? [] : [`${pinned} of them pinned`]),
    ...(next === undefined
      ? []
      : [`next ${formatName(next.origin)}: ${next.state}, ${timeText(next.due)}`]),
  ].join('; ');
}

function soonestFirst(one: ListedTable, other: ListedTable): number {
  return one.due.getTime() - other.due.getTime();
}

function planText({ resting, tables }: CollectPlan, names: ReadonlyMap<string, string>): string {
  const lines = tables.map(({ table, steps, left }) => {
    const until = left?.until ?? null;
    const end = until === null ? '' : isPinned(until) ? ': pinned' : ` until ${timeText(until)}`;
    const rest =
      left === null
        ? []
        : [
            `stays ${table.state === 'HOLD' && steps.length === 0 ? 'held' : 'there'}${end} (${left.because})`,
          ];
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
    tables: tables.map(({ table, steps, left }) => ({ ...leftJson(table), steps, left })),
  };
}

function leftJson({ id, state, due }: Pick<ListedTable, 'id' | 'state' | 'due'>): object {
  return { id, state, due, pinned: isPinned(due) };
}
