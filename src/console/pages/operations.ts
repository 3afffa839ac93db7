/** The pages for operators: history, collector, health. */
import type { HistoryLine, Summary } from '../../ledger/overview.js';
import { HISTORY_EVENTS } from '../operate.js';
import type { CollectorView, FindingView, OperatorDoor, SettingView } from '../operator.js';
import { type Html, html } from '../web/html.js';
import type { Person } from '../web/people.js';
import { BASE, count, form, link, list, size, soft, table, when } from './layout.js';
import { eventTable, lifecycle, limitBars, purgeText, series } from './overview.js';

export interface HistoryView {
  readonly filter: { readonly event: string; readonly who: string; readonly table: string };
  readonly lines: readonly HistoryLine[];
  readonly next: string | null;
}

export function historyPage({ filter, lines, next }: HistoryView): Html {
  const file = (format: string) => link('/history', { ...filter, format });
  const options = HISTORY_EVENTS.map(
    (event) => html`<option${event === filter.event && html` selected`}>${event}</option>`,
  );
  return html`<form method="get" action="${BASE}/history" class="row" role="search">
<label>Event <select name="event"><option value="">any</option>${options}</select></label>
<label>Who <input name="who" value="${filter.who}"></label>
<label>Table <input name="table" value="${filter.table}"></label>
<button>Search</button></form>
<p>The newest 10,000 of these: <a href="${file('csv')}" download="undrop-history.csv">CSV</a> &middot; <a href="${file('jsonl')}" download="undrop-history.jsonl">JSON lines</a></p>
${lines.length === 0 ? html`<p class="note">No event fits this filter.</p>` : eventTable(lines)}
${next !== null && html`<p><a href="${link('/history', { ...filter, cursor: next })}" rel="next">Older ones</a></p>`}`;
}

export function collectorPage(viewer: Person, view: CollectorView, summary: Summary | null): Html {
  const { pause, leads, restsFor, purge, window, throttles, minutes, limits } = view;
  const day = html`<div class="grid">
${series('Bytes held', minutes, (one) => one.bytes, size)}
${series('Rows purged a minute', minutes, (one) => one.rowsPurged, count)}
${series('Minutes of waiting', minutes, (one) => (one.restsFor === null ? 0 : 1), count)}
</div>`;
  return html`${summary !== null && lifecycle(summary)}
<h2>Now</h2><p>${leads ? 'This proxy collects' : 'Another proxy, or none, collects'}${restsFor !== null && html`; it waits: <strong>${restsFor}</strong>`}. ${pause === null ? `Removal is allowed ${window}` : 'Nothing is removed while the pause lasts'}.</p>
${purge !== null && html`<p>${purgeText(purge)}</p>`}
<div class="box"><h2>${pause === null ? 'Pause' : 'Paused'}</h2>${pauseForm(viewer, pause)}</div>
<h2>Limits</h2>${limitBars(limits) ?? soft('No limits are set.')}
<h2>Waits for</h2>${list(throttles, 'Nothing but a pause.')}
<h2>The last 24 hours</h2>${minutes.length === 0 ? soft('The first sample comes a minute after the start.') : day}`;
}

function pauseForm(viewer: Person, pause: CollectorView['pause']): Html {
  if (pause === null) {
    const fields = html`<label>For <input name="for" size="8" placeholder="2h"></label><label>Reason <input name="reason" size="30" required maxlength="100"></label> <button>Pause all collectors</button>`;
    return form(viewer, '/collector/pause', fields, 'row');
  }
  const until = pause.until === null ? 'until it is ended' : html`until ${when(pause.until, true)}`;
  return html`<p>By ${pause.by}, ${until}.</p>${form(viewer, '/collector/resume', html`<button>Resume</button>`)}`;
}

export interface HealthView extends Pick<OperatorDoor, 'settings' | 'certificates'> {
  readonly findings: readonly FindingView[] | null;
  readonly services: readonly string[];
}

export function healthPage({ findings, settings, certificates, services }: HealthView): Html {
  const given = settings.filter(({ from }) => from !== 'default');
  const defaults = settings.filter(({ from }) => from === 'default');
  const valid = certificates.map(({ name, validTo }) => `${name}: valid until ${validTo}`);
  return html`<h2>Findings of the doctor</h2>${findings === null ? html`<p class="note">They are being read; this page shows them in a moment.</p>` : findingTable(findings)}
<h2>Services</h2>${list(services, 'None has reported yet.')}
<h2>Certificates</h2>${list(valid, 'There are none.')}
<h2>Settings in force</h2>${settingTable('Settings that were given', given)}
<details><summary>All defaults</summary>${settingTable('Settings at their defaults', defaults)}</details>`;
}

function findingTable(findings: readonly FindingView[]): Html {
  const rows = findings.map(
    ({ check, result, text }) =>
      html`<tr><th scope="row">${check}</th><td>${result}</td><td class="wide">${text}</td></tr>`,
  );
  return table('Findings', ['about', 'result', 'finding'], rows);
}

function settingTable(label: string, settings: readonly SettingView[]): Html {
  const rows = settings.map(
    ({ variable, value, from }) =>
      html`<tr><th scope="row">${variable}</th><td class="wide">${value}</td><td>${from}</td></tr>`,
  );
  return table(label, ['setting', 'value', 'from'], rows);
}
