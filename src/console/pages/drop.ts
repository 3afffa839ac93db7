/** All tables of one statement, and the progress of what is done with several. */
import type { ConsoleTable } from '../dropped-tables.js';
import { type Html, html } from '../html.js';
import type { Job } from '../people.js';
import { BASE, count, form, link, size, type Viewer, when } from './layout.js';
import { selectable } from './tables.js';

export function dropPage(
  viewer: NonNullable<Viewer>,
  dropId: string,
  tables: readonly ConsoleTable[],
): Html {
  const [first] = tables;
  if (first === undefined) {
    return html`<p class="note">Nothing of this statement is held any more, or nothing that this account could bring back.</p>`;
  }
  const bytes = tables.reduce((sum, table) => sum + (table.bytes ?? 0), 0);
  const held = tables.filter(({ state }) => state === 'HOLD').length;
  const from = first.client !== null && html` from ${first.client}`;
  const sum = `${count(tables.length, 'table')}, ${size(bytes)}, ${count(held)} in HOLD`;
  return html`<p>${when(first.droppedAt, true)} by ${first.user ?? 'somebody'}${from}: ${sum}.</p>
${first.statement !== null && html`<pre>${first.statement}</pre>`}
${held > 0 && form(viewer, `${BASE}/drops/${dropId}/restore`, html`<p><button>Restore all ${count(held, 'table')}</button></p>`)}
${selectable(viewer, tables, link(`/drops/${dropId}`))}`;
}

export function jobPage({ total, done, messages, failed, isOver, back }: Job): Html {
  const shown = Math.min(done + failed.length, total);
  return html`<p><label for="progress">${isOver ? 'Over' : 'Under way'}: ${count(shown)} of ${count(total)}</label>
<progress id="progress" max="${total}" value="${shown}"></progress></p>
<p role="status">${isOver ? `Done: ${count(done)}; failed: ${count(failed.length)}.` : 'This page follows the work.'}</p>
${failed.length > 0 && html`<h2>Failed</h2><ul>${failed.map((one) => html`<li>${one}</li>`)}</ul>`}
${messages.length > 0 && html`<h2>Done</h2><ul>${messages.map((one) => html`<li>${one}</li>`)}</ul>`}
<p><a href="${back}">Back</a></p>`;
}
