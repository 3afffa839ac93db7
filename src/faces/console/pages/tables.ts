/**
 * The dropped tables: found, filtered, grouped by statement, and restored several at a time; all of
 * one statement, and the progress of what is done with several.
 */
import { shortId } from '../../../names/names.js';
import { someOf } from '../../../printer.js';
import { type ConsoleDrop, type ConsoleTable, ORDERS } from '../dropped-tables.js';
import { type Html, type HtmlPart, html } from '../web/html.js';
import type { Job, Person } from '../web/people.js';
import {
  BASE,
  count,
  form,
  link,
  list,
  shortened,
  shortName,
  size,
  table,
  when,
} from './layout.js';

/** The filter as it was asked for. */
export type Filter = Readonly<Record<(typeof FILTER)[number], string>>;
export const FILTER = [
  ...(['q', 'schema', 'user', 'program', 'state', 'since', 'until', 'sort', 'view'] as const),
] as const;

const STATES = ['HOLD', 'PURGE', 'EVAC', 'DROP'];

/** A statement, or several in a row. */
export type Burst = readonly ConsoleDrop[];

export interface TablesView {
  readonly viewer: Person;
  readonly filter: Filter;
  /** Either lines of bursts, or of tables. */
  readonly bursts: readonly Burst[] | null;
  readonly tables: readonly ConsoleTable[] | null;
  /** The ids of those whose names are taken. */
  readonly taken: ReadonlySet<string>;
  readonly next: string | null;
}

export function tablesPage({ viewer, filter, bursts, tables, taken, next }: TablesView): Html {
  const lines = bursts ?? tables ?? [];
  const { view: _view, sort: _sort, ...conditions } = filter;
  const none = Object.values(conditions).some((one) => one !== '')
    ? 'Nothing that is held fits this filter.'
    : nothingHeld(viewer);
  const back = link('/tables', filter);
  return html`${filterForm(filter)}
${lines.length === 0 && html`<p class="note">${none}</p>`}
${tables !== null && mayBeUndone(filter, tables) && undoForm(viewer, filter, back)}
${bursts !== null && bursts.length > 0 && dropLines(viewer, bursts, { taken, back })}
${tables !== null && tables.length > 0 && selectable(viewer, tables, back)}
${next !== null && html`<p><a href="${link('/tables', { ...filter, cursor: next })}" rel="next">Older ones</a></p>`}`;
}

export function nothingHeld({ isOperator }: Person): string {
  return isOperator
    ? 'Nothing is held. Tables that clients of undrop drop from now on are listed here, each with a button that brings it back.'
    : 'Nothing is held that this account could bring back. Its own drops may be held nevertheless: ask an operator of undrop.';
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
  const isOpen = FILTER.some((name) => !['q', 'sort'].includes(name) && filter[name] !== '');
  return html`<form method="get" action="${BASE}/tables" role="search"><div class="row">
${field('q', 'Name, id, user or statement', html` type="search" size="40"`)}
<button>Search</button> <a href="${BASE}/tables">Clear</a></div>
<details${isOpen && html` open`}><summary>More filters</summary><div class="row">
${field('schema', 'Schema', html` size="12"`)}
${field('user', 'Dropped by', html` size="10"`)}
${field('program', 'Program', html` size="10"`)}
${field('since', 'Since (UTC)', html` size="16" placeholder="2026-11-24 14:00"`)}
${field('until', 'Until', html` size="16"`)}
${select('state', 'State', anyOf(STATES))}
${select('view', 'A line for each', { '': 'statement', tables: 'table' })}
${select('sort', 'Order of tables', ORDERS)}
</div></details></form>`;
}

/** Statements, or bursts of them, each with a button that brings back what it dropped. */
export function dropLines(
  viewer: Person,
  lines: readonly Burst[],
  { taken, back }: { readonly taken: ReadonlySet<string>; readonly back: string },
): Html {
  const rows = lines.map((burst) => {
    const members = burst.flatMap((drop) => drop.members);
    const [first] = members;
    if (first === undefined) return [];
    const bytes = members.reduce((sum, one) => sum + (one.bytes ?? 0), 0);
    const states = [...new Set(burst.flatMap((drop) => drop.states))].join(', ');
    const live = members.filter(({ id }) => taken.has(id)).length;
    const isAgain = new Set(members.map(shownName)).size < members.length;
    const isSwap = live > 0 || (burst.length > 1 && isAgain);
    const { path, fields } = undoOf(burst, first);
    const all = [...fields, ['back', back], ...(isSwap ? [['swap', 'on']] : [])];
    const button = html`<button>${isSwap ? 'Swap' : 'Restore'}</button>`;
    const note =
      live > 0 && html` <span class="soft">${count(live, 'live one')} held instead</span>`;
    const undo = form(viewer, path, html`${hiddenFields(all)}${button}${note}`);
    const mayUndo = states.includes('HOLD') && !isPartOf(burst);
    return [
      ...[whatOf(burst, members), first.how, byText(first), when(first.droppedAt), size(bytes)],
      ...[states === 'HOLD' ? until(first) : states, mayUndo && undo],
    ];
  });
  const [wide, number] = [['wide', 'what'] as const, ['number', 'size'] as const];
  return table(
    'Dropped, by statement',
    [wide, 'how', 'by', 'when', number, 'removed', 'undo'],
    rows,
  );
}

/** It has more statements than were read. */
function isPartOf(burst: Burst): boolean {
  return burst.length > 1 && burst.at(-1)?.isPart === true;
}

/** The form that undoes these statements and no others. */
function undoOf(burst: Burst, { dropId, id }: ConsoleTable) {
  if (dropId === null) return { path: `/tables/${id}/restore`, fields: [] };
  return { path: '/undo', fields: burst.map(({ dropId: one }) => ['drop', one ?? '']) };
}

function whatOf(burst: Burst, members: readonly ConsoleTable[]): HtmlPart {
  const [drop] = burst;
  if (drop === undefined) return null;
  const { first, dropId, schemas, isPart } = drop;
  const names = html`<br><span class="soft">${someOf(members.map(({ table: name, id }) => shortName(name ?? id)))}</span>`;
  if (burst.length > 1) {
    const since = burst.at(-1)?.first.droppedAt ?? null;
    const span = isPartOf(burst) ? {} : { since };
    const more = isPartOf(burst) && 'more than ';
    const { user, program, schema, droppedAt: until } = first;
    const path = link('/tables', { view: 'tables', schema, user, program, ...span, until });
    return html`<a href="${path}">${more}${count(members.length, 'table')}</a> of ${shortened(schema ?? '')} by ${more}${count(burst.length, 'statement')} in a row${names}`;
  }
  if (members.length === 1 || dropId === null) return tableLink(first);
  const where =
    schemas.length === 1 ? shortened(schemas[0] ?? '') : count(schemas.length, 'schema');
  return html`<a href="${link(`/drops/${dropId}`)}">${isPart && 'more than '}${count(members.length, 'table')} of ${where}</a>${names}`;
}

function tableLink(one: ConsoleTable): Html {
  return html`<a href="${link(`/tables/${one.id}`)}">${shortened(shownName(one))}</a>`;
}

export function shownName({ schema, table: name, id }: ConsoleTable): string {
  return name === null ? id : `${schema}.${name}`;
}

function byText({ user, program }: ConsoleTable): HtmlPart {
  return html`${user ?? '–'}${program !== null && html` <span class="soft">${program}</span>`}`;
}

type Ends = Pick<ConsoleTable, 'expiresAt' | 'next' | 'early'>;

/** The words of SHOW. */
const NO_END = 'nothing, it is pinned';

export function until({ expiresAt, next, early }: Ends): HtmlPart {
  if (early !== null) return html`<span class="soon" title="${early}">early: a limit</span>`;
  return expiresAt === null ? (next?.replace(NO_END, 'pinned') ?? '–') : when(expiresAt);
}

/** Tables with boxes, and what can be done with several. */
export function selectable(viewer: Person, tables: readonly ConsoleTable[], back: string): Html {
  const rows = tables.map((one) => [
    html`<input type="checkbox" name="id" value="${one.id}" aria-label="${shownName(one)}">`,
    html`${tableLink(one)} <code class="soft">${shortId(one.id)}</code>`,
    ...[when(one.droppedAt), one.how ?? '–', byText(one), count(one.rows), size(one.bytes)],
    ...[one.state, until(one)],
  ]);
  const numbers = ['rows', 'size'].map((name) => ['number', name] as const);
  const heads = ['dropped', 'how', 'by', ...numbers, 'state', 'removed'];
  const content = html`<input type="hidden" name="back" value="${back}">
<button disabled hidden></button>
<div class="row"><label class="inline" hidden><input type="checkbox" data-all> all of this page</label>
<button name="action" value="restore">Restore the chosen</button>
<label>Hold for <input name="for" size="6" placeholder="30d"></label>
<button name="action" value="hold" class="plain">Hold the chosen for longer</button></div>
${table('Dropped tables', ['choose', ['wide', 'table'], ...heads], rows)}`;
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

function hiddenFields(fields: readonly (readonly string[])[]): HtmlPart {
  return fields.map(
    ([name = '', value = '']) => html`<input type="hidden" name="${name}" value="${value}">`,
  );
}

/** All that `what` means, as it was at the beginning. `held`: so many tables, if that is known. */
function undoForm(
  viewer: Person,
  what: Readonly<Record<string, string>>,
  back: string,
  held: number | null = null,
): Html {
  const hidden = hiddenFields(Object.entries({ ...what, back }));
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
