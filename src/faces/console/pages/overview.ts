/**
 * The first page: problems that need attention, the last drops, each with a button that undoes it,
 * all that is held, and its ends.
 */

import type { Request } from '../../../drop/steps/rules/ask.js';
import type { HistoryLine, Summary } from '../../../ledger/overview.js';
import { shortId } from '../../../names/names.js';
import { someOf } from '../../../printer.js';
import type { CollectorView } from '../operator.js';
import { type Html, type HtmlPart, html } from '../web/html.js';
import type { Person } from '../web/people.js';
import { BASE, count, form, link, list, shortened, size, table, when } from './layout.js';
import { type Burst, dropLines, nothingHeld } from './tables.js';

export interface Overview {
  /** Why clients or drops aren't served. */
  readonly problems: readonly string[];
  readonly attention: readonly string[];
  /** Null: it is being read, or not for this person. */
  readonly summary: Summary | null;
  /** Null: not for this person. */
  readonly collector: CollectorView | null;
  readonly services: readonly string[];
  readonly events: readonly HistoryLine[];
  /** The last statements that dropped something, or bursts; and the ids whose names are taken. */
  readonly last: readonly Burst[];
  readonly taken: ReadonlySet<string>;
  /** Statements that wait for an operator. */
  readonly requests: readonly Request[];
  readonly now: Date;
}

const DAYS_SHOWN = 14;

export function overviewPage(overview: Overview, viewer: Person): Html {
  const { summary, collector, services, events, requests, last, taken, now } = overview;
  // Older than the drops above it.
  const isLate = last.length > 0 && summary?.states.length === 0;
  return html`${state(overview)}
${requests.length > 0 && html`<h2>Waits for an operator</h2>${list(requests.map((one) => waiting(viewer, one)))}`}
<h2>Dropped last</h2>
${last.length === 0 ? html`<p class="note">${nothingHeld(viewer)}</p>` : dropLines(viewer, last, { taken, back: BASE })}
${viewer.isOperator && (summary === null || isLate ? html`<p class="note">The totals are being read; this page shows them in a moment.</p>` : totals(summary, now))}
${collector !== null && collecting(collector)}
${services.length > 0 && html`<h2>Proxies</h2>${list(services)}`}
${events.length > 0 && html`<h2>Last events</h2>${eventTable(events)}`}`;
}

function waiting(viewer: Person, { id, who, askedAt, tables, statement }: Request): Html {
  const allow = html`<button>Allow once</button>`;
  return html`${when(askedAt.toISOString())} ${who}: ${someOf(tables)} <code>${statement}</code>
${form(viewer, `/requests/${id}/allow`, allow, 'row')}`;
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
  const { states, days, pinned, lately } = summary;
  const sum = (all: readonly Held[], of: keyof Held) => all.reduce((so, one) => so + one[of], 0);
  const [shown, later] = [days.slice(0, DAYS_SHOWN), days.slice(DAYS_SHOWN)];
  const rest = { day: 'later', tables: sum(later, 'tables'), bytes: sum(later, 'bytes') };
  const today = now.toISOString().slice(0, 10);
  const goes = [...shown, ...(later.length === 0 ? [] : [rest])].map(({ day, tables, bytes }) => [
    ...[`${day}${day < today ? ', due' : ''}`, size(bytes), count(tables)],
  ]);
  const heads = ['day', ['number', 'size'], ['number', 'tables']] as const;
  return html`<p>${count(sum(states, 'tables'), 'table')} held, ${size(sum(states, 'bytes'))}${pinned > 0 && `, of which ${count(pinned, 'table')} pinned`}; ${count(lately)} dropped within the hour.
<a href="${link('/tables')}">Find a table</a></p>
<div class="grid">${states.some((one) => one.state !== 'HOLD') && html`<section><h2>Held, by state</h2>${lifecycle(summary)}</section>`}
${goes.length > 0 && html`<section><h2>Due by day</h2>${table('Due by day', heads, goes)}</section>`}</div>`;
}

type Held = Readonly<Record<'tables' | 'bytes', number>>;

/** The states in their order, with what is in each. */
function lifecycle({ states }: Summary): Html {
  const words = {
    HOLD: 'can be brought back whole',
    PURGE: 'rows are being deleted',
    EVAC: 'pages leave the buffer pool',
    DROP: 'to be removed',
  };
  const items = Object.entries(words).map(([name, text]) => {
    const found = states.find(({ state }) => state === name);
    if (found === undefined) return null;
    const { tables, bytes } = found;
    return html`<li class="${name}"><b>${name}</b> ${count(tables, 'table')}<br>${size(bytes)}<br><span class="soft">${text}</span></li>`;
  });
  return html`<ol class="life">${items}</ol>`;
}

function collecting({ leads, restsFor, pause, purge, limits }: CollectorView): Html {
  const of = limits.flatMap(({ name, used, max, isBytes }) => {
    const written = isBytes ? size : count;
    return max === null ? [] : `${name}: ${written(used)} of ${written(max)}`;
  });
  return html`<h2>Collector</h2><p>${pause !== null && html`${paused(pause)}. `}${leads ? 'This proxy collects' : 'Another proxy, or none, collects'}${restsFor !== null && `; it waits: ${restsFor}`}.
${purge !== null && html`Rows of <a href="${link(`/tables/${purge.id}`)}">${shortId(purge.id)}</a> are being deleted: ${count(purge.rows)} so far.`}</p>
${of.length > 0 && html`<p>Held, of its limits:</p>${list(of)}`}`;
}

/** Events with their authors, newest first. */
export function eventTable(events: readonly HistoryLine[]): Html {
  const rows = events.map(({ at, event, id, table: name, who, details }) => [
    ...[when(at), WORDS[event] ?? event],
    id === null ? '–' : html`<a href="${link(`/tables/${id}`)}">${shortened(name ?? id)}</a>`,
    ...[who, more(details)],
  ]);
  const wide = ['table', 'who', 'more'].map((name) => ['wide', name] as const);
  return table('Events', ['when', 'what', ...wide], rows);
}

const WORDS: Readonly<Record<string, string>> = {
  held: 'dropped',
  recovered: 'dropped; completed later',
  transition: 'moved on',
  removal: 'removed for good',
  'hold-changed': 'hold changed',
  'remove-asked': 'hold ended',
  asked: 'refused until it is allowed',
  allowed: 'allowed once',
  'rows-shown': 'rows shown',
  'used-while-held': 'used while held',
};

/** The effect of an event, in words. */
function more({ from, to, because, until, restoredAs, how, count: times }: HistoryLine['details']) {
  const time = typeof until === 'string' && !Number.isNaN(Date.parse(until)) ? when(until) : null;
  const parts: readonly HtmlPart[] = [
    from != null && to != null && `${String(from)} → ${String(to)}`,
    how != null && `by ${String(how)}`,
    because != null && String(because),
    restoredAs != null && `as ${String(restoredAs)}`,
    times != null && `${String(times)} times`,
    time !== null && html`to be removed ${time}`,
  ];
  return parts.filter(Boolean).flatMap((part, at) => (at === 0 ? [part] : [', ', part]));
}
