/** The first page: all that is held, its ends, the last drops, and problems that need attention. */
import type { HistoryLine, Summary } from '../../ledger/overview.js';
import { shortId } from '../../names/names.js';
import type { CollectorView } from '../operator.js';
import { type Html, html } from '../web/html.js';
import { BASE, bars, columns, count, link, size, when } from './layout.js';
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

export function overviewPage(overview: Overview): Html {
  const { summary, collector, services, events, now } = overview;
  return html`${state(overview)}
${summary === null ? html`<p class="note">The totals are being read; this page shows them in a moment.</p>` : totals(summary, now)}
${collector !== null && collecting(collector)}
${services.length > 0 && html`<h2>Proxies</h2><ul>${services.map((one) => html`<li>${one}</li>`)}</ul>`}
${events.length > 0 && html`<h2>Last events</h2>${eventTable(events)}`}`;
}

function state({ problems, attention, collector }: Overview): Html {
  const all = [...problems, ...attention];
  if (all.length === 0 && collector !== null && collector.pause !== null) {
    const { by, until } = collector.pause;
    return html`<p class="state warn" role="status"><strong>Paused</strong> by ${by}${until !== null && html` until ${when(until)}`}: nothing held is removed. Clients are served, and drops are held.</p>`;
  }
  if (all.length === 0) {
    return html`<p class="state good" role="status"><strong>All is well</strong>: clients are served, and drops are held.</p>`;
  }
  return html`<div class="state bad" role="alert"><strong>${count(all.length, 'thing')} to look at</strong>
<ul>${all.map((one) => html`<li>${one}</li>`)}</ul></div>`;
}

function totals(summary: Summary, now: Date): Html {
  const { states, days, pinned, isPart } = summary;
  const sum = (of: 'tables' | 'bytes') => states.reduce((all, one) => all + one[of], 0);
  const shown = days.slice(0, DAYS_SHOWN);
  const later = days.slice(DAYS_SHOWN);
  const rest = { tables: 0, bytes: 0 };
  for (const { tables, bytes } of later) {
    rest.tables += tables;
    rest.bytes += bytes;
  }
  const today = now.toISOString().slice(0, 10);
  return html`<p>${count(sum('tables'), 'table')} held, ${size(sum('bytes'))}${pinned > 0 && html`, of which ${count(pinned, 'table')} pinned`}${isPart && html`, among the newest`}.
<a href="${link('/tables')}">Find a table</a></p>
<div class="grid"><section><h2>Held, by state</h2>${lifecycle(summary)}</section>
<section><h2>What goes when</h2>${
    shown.length === 0
      ? html`<p class="soft">Nothing goes by itself.</p>`
      : bars(
          {
            caption: 'Bytes that come back once their tables are due',
            label: 'day',
            unit: 'bytes',
          },
          [
            ...shown.map(({ day, tables, bytes }) => ({
              label: day < today ? `${day}, due` : day,
              value: bytes,
              text: `${size(bytes)} · ${count(tables, 'table')}`,
            })),
            ...(later.length === 0
              ? []
              : [
                  {
                    label: 'later',
                    value: rest.bytes,
                    text: `${size(rest.bytes)} · ${count(rest.tables, 'table')}`,
                  },
                ]),
          ],
        )
  }</section></div>
<h2>Drops</h2><div class="grid">${dropsBy(summary, { now, hours: 24, of: 1, title: 'Drops an hour, last day' })}
${dropsBy(summary, { now, hours: 168, of: 24, title: 'Drops a day, last week' })}</div>`;
}

/** The states in their order, with what is in each. */
export function lifecycle({ states }: Summary): Html {
  const of = (state: string) =>
    states.find((one) => one.state === state) ?? { tables: 0, bytes: 0 };
  const words = {
    HOLD: 'can be brought back whole',
    PURGE: 'rows are being deleted',
    EVAC: 'pages leave the buffer pool',
    DROP: 'to be removed',
  };
  return html`<ol class="life">${Object.entries(words).map(([name, text]) => {
    const { tables, bytes } = of(name);
    return html`<li class="${name}"><b>${name}</b> ${count(tables, 'table')}<br>${size(bytes)}<br><span class="soft">${text}</span></li>`;
  })}</ol>`;
}

function dropsBy(
  { hours: all }: Summary,
  {
    now,
    hours,
    of,
    title,
  }: { readonly now: Date; readonly hours: number; readonly of: number; readonly title: string },
): Html {
  const hourMs = 3_600_000;
  const end = Math.floor(now.getTime() / hourMs) + 1;
  const start = end - hours;
  const parts = Array.from({ length: hours / of }, () => ALL_KINDS.map(() => 0));
  for (const { hour, kind, drops } of all) {
    const part = parts[Math.floor((new Date(hour).getTime() / hourMs - start) / of)];
    const at = ALL_KINDS.indexOf(kind);
    if (part !== undefined && at >= 0) part[at] = (part[at] ?? 0) + drops;
  }
  const used = ALL_KINDS.map((name, at) => ({ name, at })).filter(({ at }) =>
    parts.some((part) => (part[at] ?? 0) > 0),
  );
  const kinds = used.map(({ name, at }) => ({ name, kind: COLOURS[at] ?? 'bar' }));
  return columns(
    { title, kinds, format: (value) => count(value) },
    parts.map((part, index) => ({
      label: new Date((start + index * of) * hourMs).toISOString().slice(0, 16).replace('T', ' '),
      values: used.map(({ at }) => part[at] ?? 0),
    })),
  );
}

function collecting({ leads, restsFor, pause, purge, limits, minutes }: CollectorView): Html {
  return html`<h2>Collector</h2><p>${
    pause === null
      ? ''
      : html`<strong>Paused</strong> by ${pause.by}${pause.until !== null && html` until ${when(pause.until)}`}. `
  }${leads ? 'This proxy collects' : 'Another proxy, or none, collects'}${restsFor !== null && html`; it waits: ${restsFor}`}.
${purge !== null && purgeText(purge)}
<a href="${BASE}/collector">More</a></p>${limitBars(limits)}${minutes.length > 0 && series('Bytes held, last 24 hours', minutes, (one) => one.bytes, size)}`;
}

export function limitBars(limits: CollectorView['limits']): Html | null {
  const set = limits.flatMap((one) => (one.max === null ? [] : [{ ...one, max: one.max }]));
  if (set.length === 0) return null;
  return bars(
    { caption: 'Held, of its limits', label: 'limit', unit: 'used' },
    set.map(({ name, used, max, isBytes }) => ({
      label: name,
      value: used / max,
      text: isBytes ? `${size(used)} of ${size(max)}` : `${count(used)} of ${count(max)}`,
    })),
    1,
  );
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
  const parts = Array.from({ length: Math.ceil(minutes.length / of) }, (_, at) =>
    minutes.slice(at * of, (at + 1) * of),
  );
  return columns(
    { title, kinds: [{ name: title, kind: 'bar' }], format },
    parts.map((part) => ({
      label: part[0]?.at.slice(0, 16).replace('T', ' ') ?? '',
      values: [Math.max(...part.map(figureOf))],
    })),
  );
}

export function purgeText({
  id,
  rows,
  rowsPerSecond,
  readMs,
}: NonNullable<CollectorView['purge']>): Html {
  const table = html`<a href="${link(`/tables/${id}`)}">${shortId(id)}</a>`;
  const done = `${count(rows)} so far, ${count(Math.round(rowsPerSecond))} a second`;
  const felt =
    readMs === null
      ? ''
      : ` Of reads beside it, nine of ten come at most ${readMs.toFixed(1)} ms later than the quickest.`;
  return html`Rows of ${table} are being deleted: ${done}.${felt}`;
}

/** Events with their authors, newest first. */
export function eventTable(events: readonly HistoryLine[]): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Events"><table>
<thead><tr><th scope="col">when</th><th scope="col">event</th><th scope="col">table</th><th scope="col">who</th><th scope="col">more</th></tr></thead>
<tbody>${events.map(
    ({ at, event, id, table, who, details }) => html`<tr><td>${when(at)}</td><td>${event}</td>
<td class="wide">${id === null ? '–' : html`<a href="${link(`/tables/${id}`)}">${table ?? id}</a>`}</td><td class="wide">${who}</td><td class="wide">${more(details)}</td></tr>`,
  )}</tbody></table></div>`;
}

/** The fields of an event that say what it did. */
function more(details: HistoryLine['details']): string {
  const shown = ['from', 'to', 'because', 'until', 'restoredAs', 'how', 'count'] as const;
  return shown
    .flatMap((name) => (details[name] == null ? [] : [`${name} ${String(details[name])}`]))
    .join(', ');
}
