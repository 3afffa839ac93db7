/** The first page: all that is held, its ends, the last drops, and problems that need attention. */
import type { HistoryLine, Summary } from '../../ledger/overview.js';
import { shortId } from '../../names/names.js';
import type { CollectorView } from '../operator.js';
import { type Html, html } from '../web/html.js';
import { BASE, bars, chart, count, link, list, size, soft, table, when } from './layout.js';
import { KINDS } from './tables.js';

export interface Overview {
  /** Why clients or drops aren't served. */
  readonly problems: readonly string[];
  readonly attention: readonly string[];
  /** Null: it is being read. */
  readonly summary: Summary | null;
  /** Null: not for this person. */
  readonly collector: CollectorView | null;
  readonly services: readonly string[];
  readonly events: readonly HistoryLine[];
  readonly now: Date;
}

const ALL_KINDS = [...KINDS, 'other'];
const COLOURS = ['bar', 'drop', 'purge', 'hold', 'bar', 'bar'];
const DAYS_SHOWN = 14;
const HOUR_MS = 3_600_000;

export function overviewPage(overview: Overview): Html {
  const { summary, collector, services, events, now } = overview;
  return html`${state(overview)}
${summary === null ? html`<p class="note">The totals are being read; this page shows them in a moment.</p>` : totals(summary, now)}
${collector !== null && collecting(collector)}
${services.length > 0 && html`<h2>Proxies</h2>${list(services)}`}
${events.length > 0 && html`<h2>Last events</h2>${eventTable(events)}`}`;
}

function state({ problems, attention, collector }: Overview): Html {
  const all = [...problems, ...attention];
  if (all.length > 0) {
    return html`<div class="state bad" role="alert"><strong>${count(all.length, 'thing')} to look at</strong>
${list(all)}</div>`;
  }
  const pause = collector?.pause ?? null;
  if (pause === null) {
    return html`<p class="state good" role="status"><strong>All is well</strong>: clients are served, and drops are held.</p>`;
  }
  return html`<p class="state warn" role="status">${paused(pause)}: nothing held is removed. Clients are served, and drops are held.</p>`;
}

function paused({ by, until }: NonNullable<CollectorView['pause']>): Html {
  return html`<strong>Paused</strong> by ${by}${until !== null && html` until ${when(until)}`}`;
}

function totals(summary: Summary, now: Date): Html {
  const { states, days, pinned, isPart } = summary;
  const sum = (all: readonly Held[], of: keyof Held) => all.reduce((so, one) => so + one[of], 0);
  const [shown, later] = [days.slice(0, DAYS_SHOWN), days.slice(DAYS_SHOWN)];
  const rest = { day: 'later', tables: sum(later, 'tables'), bytes: sum(later, 'bytes') };
  const today = now.toISOString().slice(0, 10);
  const goes = [...shown, ...(later.length === 0 ? [] : [rest])].map(({ day, tables, bytes }) => ({
    label: day < today ? `${day}, due` : day,
    value: bytes,
    text: `${size(bytes)} · ${count(tables, 'table')}`,
  }));
  const caption = 'Bytes that come back once their tables are due';
  return html`<p>${count(sum(states, 'tables'), 'table')} held, ${size(sum(states, 'bytes'))}${pinned > 0 && `, of which ${count(pinned, 'table')} pinned`}${isPart && ', among the newest'}.
<a href="${link('/tables')}">Find a table</a></p>
<div class="grid"><section><h2>Held, by state</h2>${lifecycle(summary)}</section>
<section><h2>What goes when</h2>${goes.length === 0 ? soft('Nothing goes by itself.') : bars({ caption, label: 'day', unit: 'bytes' }, goes)}</section></div>
<h2>Drops</h2><div class="grid">${dropsBy(summary, now, { hours: 24, of: 1, title: 'Drops an hour, last day' })}
${dropsBy(summary, now, { hours: 168, of: 24, title: 'Drops a day, last week' })}</div>`;
}

type Held = Readonly<Record<'tables' | 'bytes', number>>;

/** The states in their order, with what is in each. */
export function lifecycle({ states }: Summary): Html {
  const words = {
    HOLD: 'can be brought back whole',
    PURGE: 'rows are being deleted',
    EVAC: 'pages leave the buffer pool',
    DROP: 'to be removed',
  };
  const items = Object.entries(words).map(([name, text]) => {
    const { tables = 0, bytes = 0 } = states.find(({ state }) => state === name) ?? {};
    return html`<li class="${name}"><b>${name}</b> ${count(tables, 'table')}<br>${size(bytes)}<br><span class="soft">${text}</span></li>`;
  });
  return html`<ol class="life">${items}</ol>`;
}

function dropsBy(
  summary: Summary,
  now: Date,
  about: { readonly hours: number; readonly of: number; readonly title: string },
): Html {
  const { hours, of, title } = about;
  const start = Math.floor(now.getTime() / HOUR_MS) + 1 - hours;
  const parts = Array.from({ length: hours / of }, () => ALL_KINDS.map(() => 0));
  for (const { hour, kind, drops } of summary.hours) {
    const part = parts[Math.floor((new Date(hour).getTime() / HOUR_MS - start) / of)];
    const at = ALL_KINDS.indexOf(kind);
    if (part !== undefined && at >= 0) part[at] = (part[at] ?? 0) + drops;
  }
  const used = ALL_KINDS.map((name, at) => ({ name, at, kind: COLOURS[at] ?? 'bar' })).filter(
    ({ at }) => parts.some((part) => (part[at] ?? 0) > 0),
  );
  const columns = parts.map((part, index) => ({
    label: minuteText(new Date((start + index * of) * HOUR_MS).toISOString()),
    values: used.map(({ at }) => part[at] ?? 0),
  }));
  return chart({ title, kinds: used, columns, format: (value) => count(value) });
}

function minuteText(iso: string): string {
  return iso.slice(0, 16).replace('T', ' ');
}

function collecting({ leads, restsFor, pause, purge, limits, minutes }: CollectorView): Html {
  return html`<h2>Collector</h2><p>${pause !== null && html`${paused(pause)}. `}${leads ? 'This proxy collects' : 'Another proxy, or none, collects'}${restsFor !== null && `; it waits: ${restsFor}`}.
${purge !== null && purgeText(purge)}
<a href="${BASE}/collector">More</a></p>${limitBars(limits)}${minutes.length > 0 && series('Bytes held, last 24 hours', minutes, (one) => one.bytes, size)}`;
}

export function limitBars(limits: CollectorView['limits']): Html | null {
  const set = limits.flatMap(({ name, used, max, isBytes }) => {
    if (max === null) return [];
    const text = isBytes ? `${size(used)} of ${size(max)}` : `${count(used)} of ${count(max)}`;
    return [{ label: name, value: used / max, text }];
  });
  if (set.length === 0) return null;
  return bars({ caption: 'Held, of its limits', label: 'limit', unit: 'used' }, set, 1);
}

const PARTS_MAX = 96;

/** Parts of the minutes, the largest value of each. */
export function series(
  title: string,
  minutes: CollectorView['minutes'],
  figureOf: (one: CollectorView['minutes'][number]) => number,
  format: (value: number) => string,
): Html {
  const of = Math.max(1, Math.ceil(minutes.length / PARTS_MAX));
  const columns = Array.from({ length: Math.ceil(minutes.length / of) }, (_, at) => {
    const part = minutes.slice(at * of, (at + 1) * of);
    const label = minuteText(part[0]?.at ?? '');
    return { label, values: [Math.max(...part.map(figureOf))] };
  });
  return chart({ title, kinds: [{ name: title, kind: 'bar' }], columns, format });
}

export function purgeText(purge: NonNullable<CollectorView['purge']>): Html {
  const { id, rows, rowsPerSecond, readMs } = purge;
  const done = `${count(rows)} so far, ${count(Math.round(rowsPerSecond))} a second`;
  const felt =
    readMs !== null &&
    ` Of reads beside it, nine of ten come at most ${readMs.toFixed(1)} ms later than the quickest.`;
  return html`Rows of <a href="${link(`/tables/${id}`)}">${shortId(id)}</a> are being deleted: ${done}.${felt}`;
}

/** Events with their authors, newest first. */
export function eventTable(events: readonly HistoryLine[]): Html {
  const rows = events.map(
    ({ at, event, id, table: name, who, details }) => html`<tr><td>${when(at)}</td><td>${event}</td>
<td class="wide">${id === null ? '–' : html`<a href="${link(`/tables/${id}`)}">${name ?? id}</a>`}</td><td class="wide">${who}</td><td class="wide">${more(details)}</td></tr>`,
  );
  return table('Events', ['when', 'event', 'table', 'who', 'more'], rows);
}

/** The fields of an event that say what it did. */
function more(details: HistoryLine['details']): string {
  const shown = ['from', 'to', 'because', 'until', 'restoredAs', 'how', 'count'] as const;
  return shown
    .flatMap((name) => (details[name] == null ? [] : [`${name} ${String(details[name])}`]))
    .join(', ');
}
