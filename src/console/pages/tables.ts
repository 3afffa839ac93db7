/** The dropped tables: found, filtered, grouped by statement, and restored several at a time. */
import { shortId } from '../../names/names.js';
import { type ConsoleDrop, type ConsoleTable, ORDERS } from '../dropped-tables.js';
import { type Html, type HtmlPart, html } from '../web/html.js';
import { BASE, count, form, link, size, type Viewer, when } from './layout.js';

/** The filter as it was asked for. */
export type Filter = Readonly<Record<(typeof FILTER)[number], string>>;
export const FILTER = ['q', 'schema', 'user', 'state', 'kind', 'since', 'sort', 'view'] as const;

export const KINDS = ['DROP TABLE', 'DROP DATABASE', 'TRUNCATE', 'REPLACE', 'SWAP'];

export interface TablesView {
  readonly viewer: NonNullable<Viewer>;
  readonly filter: Filter;
  /** Either lines of statements, or of tables. */
  readonly drops: readonly ConsoleDrop[] | null;
  readonly tables: readonly ConsoleTable[] | null;
  readonly next: string | null;
}

export function tablesPage({ viewer, filter, drops, tables, next }: TablesView): Html {
  const lines = drops ?? tables ?? [];
  const isFiltered = FILTER.some(
    (name) => name !== 'view' && name !== 'sort' && filter[name] !== '',
  );
  return html`${filterForm(filter)}
${lines.length === 0 && html`<p class="note">${isFiltered ? 'Nothing that is held fits this filter.' : 'Nothing is held that this account could bring back. Its own drops may be held nevertheless: ask an operator of undrop.'}</p>`}
${drops !== null && drops.length > 0 && dropTable(drops)}
${tables !== null && tables.length > 0 && selectable(viewer, tables, link('/tables', filter))}
${next !== null && html`<p><a href="${link('/tables', { ...filter, cursor: next })}" rel="next">Older ones</a></p>`}`;
}

function filterForm(filter: Filter): Html {
  const field = (name: keyof Filter, label: string, more: HtmlPart = null) =>
    html`<label>${label} <input name="${name}" value="${filter[name]}"${more}></label>`;
  return html`<form method="get" action="${BASE}/tables" class="row" role="search">
${field('q', 'Name, id, user or statement', html` type="search" size="28"`)}
${field('schema', 'Schema', html` size="12"`)}
${field('user', 'Dropped by', html` size="10"`)}
${field('since', 'Since (UTC)', html` size="16" placeholder="2026-11-24 14:00"`)}
${select('state', 'State', filter.state, { '': 'any', HOLD: 'HOLD', PURGE: 'PURGE', EVAC: 'EVAC', DROP: 'DROP' })}
${select('kind', 'Kind', filter.kind, { '': 'any', ...Object.fromEntries(KINDS.map((kind) => [kind, kind])) })}
${select('view', 'A line for each', filter.view, { '': 'statement', tables: 'table' })}
${select('sort', 'Order of tables', filter.sort, ORDERS)}
<button>Search</button> <a href="${BASE}/tables">Clear</a></form>`;
}

function select(
  name: string,
  label: string,
  chosen: string,
  all: Readonly<Record<string, string>>,
): Html {
  const options = Object.entries(all).map(
    ([value, text]) =>
      html`<option value="${value}"${value === chosen && html` selected`}>${text}</option>`,
  );
  return html`<label>${label} <select name="${name}">${options}</select></label>`;
}

function dropTable(drops: readonly ConsoleDrop[]): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Dropped, by statement"><table>
<thead><tr><th scope="col">when</th><th scope="col">what</th><th scope="col">how</th><th scope="col">by</th><th scope="col" class="number">size</th><th scope="col">state</th><th scope="col">held until</th></tr></thead>
<tbody>${drops.map((drop) => {
    const { first, bytes, states, tables } = drop;
    return html`<tr><td>${when(first.droppedAt)}</td><td class="wide">${whatOf(drop)}</td><td>${first.how ?? '–'}</td><td>${first.user ?? '–'}</td>
<td class="number">${size(bytes)}</td><td>${states.join(', ')}</td><td>${tables === 1 || states.join() === 'HOLD' ? until(first) : '–'}</td></tr>`;
  })}</tbody></table></div>`;
}

function whatOf({ first, dropId, tables, schemas, isPart }: ConsoleDrop): Html {
  if (tables === 1 || dropId === null) {
    return html`<a href="${link(`/tables/${first.id}`)}">${shownName(first)}</a>`;
  }
  const where =
    schemas.length === 1 ? ` of ${schemas[0]}` : ` of ${count(schemas.length, 'schema')}`;
  return html`<a href="${link(`/drops/${dropId}`)}">${isPart && 'more than '}${count(tables, 'table')}${where}</a>`;
}

export function shownName({ schema, table, id }: ConsoleTable): string {
  return table === null ? id : `${schema}.${table}`;
}

/** The words of SHOW. */
const NO_END = 'nothing, it is pinned';

export function until({ expiresAt, next }: ConsoleTable): HtmlPart {
  return expiresAt === null ? (next?.replace(NO_END, 'pinned') ?? '–') : when(expiresAt);
}

/** Tables with boxes, and what can be done with several. */
export function selectable(
  viewer: NonNullable<Viewer>,
  tables: readonly ConsoleTable[],
  back: string,
): Html {
  return form(
    viewer,
    `${BASE}/tables/selected`,
    html`<input type="hidden" name="back" value="${back}">
<p><label class="inline" hidden><input type="checkbox" data-all> all of this page</label></p>
<div class="scroll" tabindex="0" role="region" aria-label="Dropped tables"><table>
<thead><tr><th scope="col"><span class="soft">choose</span></th><th scope="col">table</th><th scope="col">dropped</th><th scope="col">how</th><th scope="col">by</th><th scope="col" class="number">rows</th><th scope="col" class="number">size</th><th scope="col">state</th><th scope="col">held until</th></tr></thead>
<tbody>${tables.map(
      (
        table,
      ) => html`<tr><td><input type="checkbox" name="id" value="${table.id}" aria-label="${shownName(table)}"></td>
<td class="wide"><a href="${link(`/tables/${table.id}`)}">${shownName(table)}</a> <code class="soft">${shortId(table.id)}</code></td><td>${when(table.droppedAt)}</td><td>${table.how ?? '–'}</td><td>${table.user ?? '–'}</td>
<td class="number">${count(table.rows)}</td><td class="number">${size(table.bytes)}</td><td>${table.state}</td><td>${until(table)}</td></tr>`,
    )}</tbody></table></div>
<div class="box"><h2>With the chosen tables</h2>
<button disabled hidden></button>
<p><button name="action" value="restore">Restore</button></p>
<p><label>Hold for <input name="for" size="6" placeholder="30d"></label> <button name="action" value="hold" class="plain">Hold for longer</button>
${viewer.isOperator && html`<button name="action" value="pin" class="plain">Pin</button>`}</p>
<p><label>To purge, type how many they are <input name="number" size="6" inputmode="numeric"></label> <button name="action" value="purge" class="danger">Purge</button></p></div>`,
  );
}
