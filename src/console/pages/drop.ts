/** All tables of one statement, and the progress of what is done with several. */
import type { ConsoleTable } from '../dropped-tables.js';
import { type Html, html } from '../web/html.js';
import type { Job, Person } from '../web/people.js';
import { count, form, link, list, size, when } from './layout.js';
import { selectable } from './tables.js';

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
  const from = first.client !== null && ` from ${first.client}`;
  const sum = `${count(tables.length, 'table')}, ${size(bytes)}, ${count(held)} in HOLD`;
  return html`<p>${when(first.droppedAt, true)} by ${first.user ?? 'somebody'}${from}: ${sum}.</p>
${first.statement !== null && html`<pre>${first.statement}</pre>`}
${held > 0 && form(viewer, `/drops/${dropId}/restore`, restoreAll(first, held))}
${selectable(viewer, sorted, link(`/drops/${dropId}`))}`;
}

function restoreAll({ how, schema }: ConsoleTable, held: number): Html {
  const what =
    how === 'DROP DATABASE'
      ? `The schema ${schema} comes back with its tables, their keys and triggers, its views and its routines.`
      : 'They come back under their names, with their keys and triggers.';
  const button = held === 1 ? 'Restore the table' : `Restore all ${count(held, 'table')}`;
  return html`<p>${what}</p><p><button>${button}</button></p>`;
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
