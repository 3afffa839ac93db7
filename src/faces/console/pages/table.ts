/** A dropped table: what it was, what is left of it, what a restore would do, and its actions. */
import { shortId } from '../../../names/names.js';
import type { HeldRows } from '../../../recycle/show.js';
import type { ConsoleTable, liveOf, planTable, RestoreWay } from '../dropped-tables.js';
import type { TableDetails } from '../operator.js';
import { type Html, html } from '../web/html.js';
import type { Person } from '../web/people.js';
import { BASE, count, form, link, list, table as scrollTable, size, soft, when } from './layout.js';
import { eventTable } from './overview.js';
import { fromText, shownName, until } from './tables.js';

type Plan = Awaited<ReturnType<typeof planTable>>;

export interface TableView {
  readonly viewer: Person;
  readonly table: ConsoleTable;
  readonly details: TableDetails;
  /** The restore that was asked for: to another name, instead of the live table, with keys. */
  readonly asked: RestoreWay;
  /** The table that has its name now; null: none, or it is not this person's to read. */
  readonly live: Awaited<ReturnType<typeof liveOf>>;
  /** A text: why it can't be restored so. */
  readonly plan: Plan | string;
  /** The server lets this person SELECT from all tables of its schema. */
  readonly mayRead: boolean;
  /** Other dropped tables of its name. */
  readonly others: readonly ConsoleTable[];
  /** Null: they weren't asked for. */
  readonly rows: HeldRows | null;
}

export function tablePage(view: TableView): Html {
  const { table, details, viewer, others } = view;
  const { dropId, statement } = table;
  // The tags are of its text, and the timeline has who changed it.
  const seesHow = viewer.isOperator || statement !== null;
  const { definition, bound, history } = details;
  const client = seesHow ? details.client : {};
  return html`<div class="grid"><section>
<dl><dt>state</dt><dd><strong>${table.state}</strong>${table.state !== 'HOLD' && `: ${table.next}`}</dd>
<dt>dropped</dt><dd>${when(table.droppedAt, true)}</dd>
<dt>by</dt><dd>${table.user ?? 'not known'}${fromText(table)}</dd>
<dt>how</dt><dd>${table.how ?? 'not known'}${dropId !== null && html` &middot; <a href="${link(`/drops/${dropId}`)}">all of this statement</a>`}</dd>
<dt>rows</dt><dd>${table.rows === null ? 'not known' : `about ${count(table.rows)}`}</dd>
<dt>size</dt><dd>${size(table.bytes)}</dd>
${bound.length > 0 && html`<dt>with it come</dt><dd>${list(bound)}</dd>`}
<dt>held until</dt><dd>${table.expiresAt === null || table.early !== null ? until(table) : when(table.expiresAt, true)}</dd>
${table.lockedUntil !== null && html`<dt>locked until</dt><dd>${when(table.lockedUntil, true)}</dd>`}
<dt>id</dt><dd><code>${table.id}</code></dd>
${Object.keys(client).length > 0 && html`<dt>client</dt><dd>${Object.entries(client).map(([key, value]) => html`<code>${key}=${value}</code> `)}</dd>`}
</dl>
${statement !== null && html`<h2>Statement</h2><pre>${statement}</pre>`}
</section><section>${table.state === 'HOLD' ? actions(view) : notHeld(table)}</section></div>
${definition !== null && html`<h2>Definition</h2><pre>${definition}</pre>`}
${firstRows(view)}
${seesHow && html`<h2>Timeline</h2>${history.length === 0 ? soft('No events are recorded.') : eventTable(history)}`}
${others.length > 0 && html`<h2>Other drops of this name</h2>${list(others.map(otherDrop))}`}
${viewer.isOperator && html`<p class="soft">By command: <code>undrop show ${table.id}</code></p>`}`;
}

function firstRows({ table: { id }, mayRead, rows }: TableView): Html {
  if (!mayRead)
    return soft('Its rows are shown to accounts that may SELECT from all tables of the schema.');
  if (rows === null) {
    return html`<p><a href="${link(`/tables/${id}`, { rows: 'on' })}">Show the first rows</a> <span class="soft">(the history records it)</span></p>`;
  }
  const cell = (value: string | null) => value ?? html`<span class="soft">NULL</span>`;
  const lines = rows.rows.map((row) => row.map(cell));
  return html`<h2>First rows</h2>${scrollTable('First rows', rows.columns, lines)}`;
}

/** For a table that is restored or removed, or that this person doesn't see. */
export function endedPage(id: string, history: TableDetails['history']): Html {
  return html`<p class="note">The table <code>${id}</code> is no longer held, or this account could not bring it back.</p>
${history.length > 0 && html`<h2>Timeline</h2>${eventTable(history)}`}`;
}

function notHeld({ state }: ConsoleTable): Html {
  return html`<p class="note warn">Its hold is over (${state}): it can't be restored whole any more. <code>undrop restore</code> says what is left of it.</p>`;
}

function otherDrop({ id, how, rows, bytes, droppedAt }: ConsoleTable): Html {
  const what = `${how ?? 'dropped'}, ${count(rows, 'row')}, ${size(bytes)}`;
  return html`<a href="${link(`/tables/${id}`)}">${shortId(id)}</a> ${when(droppedAt)}: ${what}`;
}

function actions(view: TableView): Html {
  const { viewer, table, plan, asked, live } = view;
  const { swap, keys } = asked;
  const to = asked.to ?? '';
  const path = `/tables/${table.id}`;
  const isPlan = typeof plan !== 'string';
  const isRefused = isPlan && plan.isRefused;
  const restore = html`<input type="hidden" name="to" value="${to}">${keys && html`<input type="hidden" name="keys" value="on">`}${swap && html`<input type="hidden" name="swap" value="on">`}
<p><button>${swap ? 'Swap' : 'Restore'} now</button></p>`;
  const hold = html`<label>Hold for <input name="for" size="8" placeholder="30d" required></label> <button class="plain">Hold</button>`;
  const isTaken = isRefused && live !== null && !swap && to === '';
  const shown = isPlan ? planList(plan, swap) : html`<p class="flash bad" role="alert">${plan}</p>`;
  return html`<div class="box"><h2>Restore</h2>
${isTaken ? whereTaken(view, live) : shown}
${isPlan && !isRefused && form(viewer, `${path}/restore`, restore)}
<details${(keys || swap || to !== '') && html` open`}><summary>In another way</summary>
<form method="get" action="${BASE}${path}" class="row">
<label>Under another name <input name="to" value="${to}" placeholder="${shownName(table)}_old"></label>
<label class="inline"><input type="checkbox" name="swap" value="true"${swap && html` checked`}> swap with the live table</label>
<label class="inline"><input type="checkbox" name="keys" value="true"${keys && html` checked`}> also keys to a new parent</label>
<button class="plain">Show what would happen</button></form></details></div>
<div class="box"><h2>Hold for longer</h2>${form(viewer, `${path}/hold`, hold, 'row')}</div>`;
}

/** Another table has its name. */
function whereTaken(
  { viewer, table }: TableView,
  { rows, since, isTable }: NonNullable<TableView['live']>,
): Html {
  const path = `/tables/${table.id}/restore`;
  const has = rows === null ? html` as a view` : html`, with about ${count(rows, 'row')}`;
  const swap = html`<input type="hidden" name="swap" value="on"><button>Swap</button> the live table is held instead`;
  const as = html`<button class="plain">Restore as</button> <input name="to" value="${shownName(table)}_old" aria-label="New name">`;
  return html`<p class="flash warn" role="status">${shownName(table)} exists${has}${since !== null && html`, made ${when(since)}`}.</p>
${isTable && form(viewer, path, swap)}${form(viewer, path, as, 'row')}`;
}

function planList(plan: Plan, isSwap: boolean): Html {
  const { becomes, rows, foreignKeys, triggers, notes, isRefused } = plan;
  const held = isSwap && ', and the live table is held instead';
  const items = [
    rows === null ? 'its rows' : `about ${count(rows, 'row')}`,
    `${count(foreignKeys, 'foreign key')}, ${count(triggers, 'trigger')}`,
    ...notes,
  ];
  return html`${isRefused ? html`<p class="flash warn" role="status">It can't be restored so:</p>` : html`<p>It will be <strong>${becomes}</strong>${held}:</p>`}
${list(items)}`;
}
