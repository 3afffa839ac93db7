/**
 * The dropped tables: found, filtered, grouped by statement, and restored several at a time; all of
 * one statement, and the progress of what is done with several.
 */
import { shortId } from '../../../names/names.js';
import { burstsIn, type ConsoleDrop, type ConsoleTable, ORDERS } from '../dropped-tables.js';
import { type Html, type HtmlPart, html } from '../web/html.js';
import type { Job, Person } from '../web/people.js';
import { BASE, count, form, link, list, size, table, when } from './layout.js';

/** The filter as it was asked for. */
export type Filter = Readonly<Record<(typeof FILTER)[number], string>>;
export const FILTER = [
  ...(['q', 'schema', 'user', 'program', 'state', 'since', 'until', 'sort', 'view'] as const),
] as const;

const STATES = ['HOLD', 'PURGE', 'EVAC', 'DROP'];

export interface TablesView {
  readonly viewer: Person;
  readonly filter: Filter;
  /** Either lines of statements, or of tables. */
  readonly drops: readonly ConsoleDrop[] | null;
  readonly tables: readonly ConsoleTable[] | null;
  readonly next: string | null;
}

export function tablesPage({ viewer, filter, drops, tables, next }: TablesView): Html {
  const lines = drops ?? tables ?? [];
  const { view: _view, sort: _sort, ...conditions } = filter;
  const none = Object.values(conditions).some((one) => one !== '')
    ? 'Nothing that is held fits this filter.'
    : 'Nothing is held that this account could bring back. Its own drops may be held nevertheless: ask an operator of undrop.';
  return html`${filterForm(filter)}
${lines.length === 0 && html`<p class="note">${none}</p>`}
${tables !== null && mayBeUndone(filter, tables) && undoForm(viewer, filter, link('/tables', filter))}
${drops !== null && drops.length > 0 && dropTable(drops)}
${tables !== null && tables.length > 0 && selectable(viewer, tables, link('/tables', filter))}
${next !== null && html`<p><a href="${link('/tables', { ...filter, cursor: next })}" rel="next">Older ones</a></p>`}`;
}

function filterForm(filter: Filter): Html {
  const field = (name: keyof Filter, label: string, more: Html) =>
    html`<label>${label} <input name="${name}" value="${filter[name]}"${more}></label>`;
  const select = (name: keyof Filter, label: string, all: Readonly<Record<string, string>>) => {
    const options = Object.entries(all).map(
      ([value, text]) =>
        html`<option value="${value}"${value === filter[name] && html` selected`}>${text}</option>`,
    );
    return html`<label>${label} <select name="${name}">${options}</select></label>`;
  };
  const anyOf = (all: readonly string[]) => ({
    '': 'any',
    ...Object.fromEntries(all.map((one) => [one, one])),
  });
  return html`<form method="get" action="${BASE}/tables" class="row" role="search">
${field('q', 'Name, id, user or statement', html` type="search" size="28"`)}
${field('schema', 'Schema', html` size="12"`)}
${field('user', 'Dropped by', html` size="10"`)}
${field('program', 'Program', html` size="10"`)}
${field('since', 'Since (UTC)', html` size="16" placeholder="2026-11-24 14:00"`)}
${field('until', 'Until', html` size="16"`)}
${select('state', 'State', anyOf(STATES))}
${select('view', 'A line for each', { '': 'statement', tables: 'table' })}
${select('sort', 'Order of tables', ORDERS)}
<button>Search</button> <a href="${BASE}/tables">Clear</a></form>`;
}

function dropTable(drops: readonly ConsoleDrop[]): Html {
  const bursts = burstsIn(drops);
  const rows = drops.map((drop) => {
    const { first, bytes, states, tables } = drop;
    const burst = bursts.get(drop);
    return html`${burst !== undefined && burstLine(burst)}
<tr><td>${when(first.droppedAt)}</td><td class="wide">${whatOf(drop)}</td><td>${first.how ?? '–'}</td><td>${byText(first)}</td>
<td class="number">${size(bytes)}</td><td>${states.join(', ')}</td><td>${tables === 1 || states.join() === 'HOLD' ? until(first) : '–'}</td></tr>`;
  });
  const heads = ['when', 'what', 'how', 'by', '#size', 'state', 'held until'];
  return table('Dropped, by statement', heads, rows);
}

/** Links to their tables, where they can be undone. */
function burstLine(burst: readonly ConsoleDrop[]): Html {
  const [last, first] = [burst[0]?.first, burst.at(-1)?.first];
  const schemas = [...new Set(burst.flatMap((drop) => drop.schemas))];
  const [schema = ''] = schemas.length === 1 ? schemas : [];
  const span = { since: first?.droppedAt ?? '', until: last?.droppedAt ?? '' };
  const path = link('/tables', { view: 'tables', schema, user: last?.user ?? '', ...span });
  const tables = burst.reduce((sum, drop) => sum + drop.tables, 0);
  return html`<tr class="burst"><td colspan="7"><a href="${path}">${count(burst.length, 'statement')} in a row, ${count(tables, 'table')}</a>: undo all of them</td></tr>`;
}

function whatOf({ first, dropId, tables, schemas, isPart }: ConsoleDrop): Html {
  if (tables === 1 || dropId === null) return tableLink(first);
  const where = schemas.length === 1 ? schemas[0] : count(schemas.length, 'schema');
  return html`<a href="${link(`/drops/${dropId}`)}">${isPart && 'more than '}${count(tables, 'table')} of ${where ?? ''}</a>`;
}

function tableLink(one: ConsoleTable): Html {
  return html`<a href="${link(`/tables/${one.id}`)}">${shownName(one)}</a>`;
}

export function shownName({ schema, table: name, id }: ConsoleTable): string {
  return name === null ? id : `${schema}.${name}`;
}

function byText({ user, program }: ConsoleTable): HtmlPart {
  return html`${user ?? '–'}${program !== null && html` <span class="soft">${program}</span>`}`;
}

/** The words of SHOW. */
const NO_END = 'nothing, it is pinned';

export function until({ expiresAt, next }: ConsoleTable): HtmlPart {
  return expiresAt === null ? (next?.replace(NO_END, 'pinned') ?? '–') : when(expiresAt);
}

/** Tables with boxes, and what can be done with several. */
export function selectable(viewer: Person, tables: readonly ConsoleTable[], back: string): Html {
  const rows = tables.map(
    (
      one,
    ) => html`<tr><td><input type="checkbox" name="id" value="${one.id}" aria-label="${shownName(one)}"></td>
<td class="wide">${tableLink(one)} <code class="soft">${shortId(one.id)}</code></td><td>${when(one.droppedAt)}</td><td>${one.how ?? '–'}</td><td>${byText(one)}</td>
<td class="number">${count(one.rows)}</td><td class="number">${size(one.bytes)}</td><td>${one.state}</td><td>${until(one)}</td></tr>`,
  );
  const choose = html`<span class="soft">choose</span>`;
  const heads = [choose, ...'table dropped how by #rows #size state'.split(' '), 'held until'];
  const content = html`<input type="hidden" name="back" value="${back}">
<p><label class="inline" hidden><input type="checkbox" data-all> all of this page</label></p>
${table('Dropped tables', heads, rows)}
<div class="box"><h2>With the chosen tables</h2>
<button disabled hidden></button>
<p><button name="action" value="restore">Restore</button></p>
<p><label>Hold for <input name="for" size="6" placeholder="30d"></label> <button name="action" value="hold" class="plain">Hold for longer</button></p></div>`;
  return form(viewer, '/tables/selected', content);
}

// ── one statement ────────────────────────────────────────────────────────────────────────────────

export function dropPage(viewer: Person, dropId: string, tables: readonly ConsoleTable[]): Html {
  const [first] = tables;
  if (first === undefined) {
    return html`<p class="note">Nothing of this statement is held any more, or nothing that this account could bring back.</p>`;
  }
  const bytes = tables.reduce((sum, table) => sum + (table.bytes ?? 0), 0);
  const name = (table: ConsoleTable) => `${table.schema}.${table.table}`;
  const sorted = tables.toSorted((one, other) =>
    name(one).localeCompare(name(other), 'en', { numeric: true }),
  );
  const held = tables.filter(({ state }) => state === 'HOLD').length;
  const from = fromText(first);
  const sum = `${count(tables.length, 'table')}, ${size(bytes)}, ${count(held)} in HOLD`;
  return html`<p>${when(first.droppedAt, true)} by ${first.user ?? 'somebody'}${from}: ${sum}.</p>
${first.statement !== null && html`<pre>${first.statement}</pre>`}
${held > 0 && undoForm(viewer, { drop: dropId }, link(`/drops/${dropId}`), held)}
${selectable(viewer, sorted, link(`/drops/${dropId}`))}`;
}

/** Its address, and the program, as that says itself. */
export function fromText({ client, program }: ConsoleTable): string {
  return `${client === null ? '' : ` from ${client}`}${program === null ? '' : ` (${program})`}`;
}

/** UNDROP ALL knows neither a text nor a state. */
function mayBeUndone({ q, state, since }: Filter, tables: readonly ConsoleTable[]): boolean {
  return since !== '' && q === '' && state === '' && tables.length > 0;
}

/** All that `what` means, as it was at the beginning. `held`: so many tables, if that is known. */
function undoForm(
  viewer: Person,
  what: Readonly<Record<string, string>>,
  back: string,
  held: number | null = null,
): Html {
  const hidden = Object.entries({ ...what, back, total: `${held ?? 1}` }).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  );
  const all = held === null ? 'all of these' : `all ${count(held, 'table')}`;
  const content = html`${hidden}<p>Tables come back under their names, with their keys and triggers; schemas with their views and routines.</p>
<p><label class="inline"><input type="checkbox" name="swap"> live tables of these names are held instead</label>
<label class="inline"><input type="checkbox" name="partial"> even if some can't be restored</label></p>
<p><button>Restore ${held === 1 ? 'the table' : all}</button></p>`;
  return form(viewer, '/undo', content);
}

export function jobPage({ total, done, messages, failed, isOver, back }: Job): Html {
  const shown = Math.min(done + failed.length, total);
  const outcome = `Done: ${count(done)}; failed: ${count(failed.length)}.`;
  return html`<p><label for="progress">${isOver ? 'Over' : 'Under way'}: ${count(shown)} of ${count(total)}</label>
<progress id="progress" max="${total}" value="${shown}"></progress></p>
<p role="status">${isOver ? outcome : 'This page follows the work.'}</p>
${failed.length > 0 && html`<h2>Failed</h2>${list(failed)}`}
${messages.length > 0 && html`<h2>Done</h2>${list(messages)}`}
<p><a href="${back}">Back</a></p>`;
}
