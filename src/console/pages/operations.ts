/** The pages for operators: history, collector, health. */
import type { HistoryLine, Summary } from '../../ledger/overview.js';
import { HISTORY_EVENTS } from '../operate.js';
import type { CollectorView, FindingView, SettingView } from '../operator.js';
import { type Html, html } from '../web/html.js';
import { BASE, count, form, link, size, type Viewer, when } from './layout.js';
import { eventTable, lifecycle, limitBars, purgeText, series } from './overview.js';

export interface HistoryView {
  readonly filter: { readonly event: string; readonly who: string; readonly table: string };
  readonly lines: readonly HistoryLine[];
  readonly next: string | null;
}

export function historyPage({ filter, lines, next }: HistoryView): Html {
  const file = (format: string) => link('/history', { ...filter, format });
  return html`<form method="get" action="${BASE}/history" class="row" role="search">
<label>Event <select name="event"><option value="">any</option>${HISTORY_EVENTS.map(
    (event) => html`<option${event === filter.event && html` selected`}>${event}</option>`,
  )}</select></label>
<label>Who <input name="who" value="${filter.who}"></label>
<label>Table <input name="table" value="${filter.table}"></label>
<button>Search</button></form>
<p>The newest 10,000 of these: <a href="${file('csv')}" download="undrop-history.csv">CSV</a> &middot; <a href="${file('jsonl')}" download="undrop-history.jsonl">JSON lines</a></p>
${lines.length === 0 ? html`<p class="note">No event fits this filter.</p>` : eventTable(lines)}
${next !== null && html`<p><a href="${link('/history', { ...filter, cursor: next })}" rel="next">Older ones</a></p>`}`;
}

export function collectorPage(
  viewer: NonNullable<Viewer>,
  view: CollectorView,
  summary: Summary | null,
): Html {
  const { pause, leads, restsFor, purge, window, throttles, minutes, limits } = view;
  return html`${summary !== null && lifecycle(summary)}
<h2>Now</h2><p>${leads ? 'This proxy collects' : 'Another proxy, or none, collects'}${restsFor !== null && html`; it waits: <strong>${restsFor}</strong>`}. ${pause === null ? html`Removal is allowed ${window}` : 'Nothing is removed while the pause lasts'}.</p>
${purge !== null && html`<p>${purgeText(purge)}</p>`}
<div class="box"><h2>${pause === null ? 'Pause' : 'Paused'}</h2>${
    pause === null
      ? form(
          viewer,
          `${BASE}/collector/pause`,
          html`<label>For <input name="for" size="8" placeholder="2h"></label><label>Reason <input name="reason" size="30" required maxlength="100"></label> <button>Pause all collectors</button>`,
          { isRow: true },
        )
      : html`<p>By ${pause.by}, ${pause.until === null ? 'until it is ended' : html`until ${when(pause.until, true)}`}.</p>${form(viewer, `${BASE}/collector/resume`, html`<button>Resume</button>`)}`
  }</div>
<h2>Limits</h2>${limitBars(limits) ?? html`<p class="soft">No limits are set.</p>`}
<h2>Waits for</h2>${throttles.length === 0 ? html`<p class="soft">Nothing but a pause.</p>` : html`<ul>${throttles.map((one) => html`<li>${one}</li>`)}</ul>`}
<h2>The last 24 hours</h2>${
    minutes.length === 0
      ? html`<p class="soft">The first sample comes a minute after the start.</p>`
      : html`<div class="grid">${series('Bytes held', minutes, (one) => one.bytes, size)}${series(
          'Rows purged a minute',
          minutes,
          (one) => one.rowsPurged,
          (value) => count(value),
        )}${series(
          'Minutes of waiting',
          minutes,
          (one) => (one.restsFor === null ? 0 : 1),
          (value) => count(value),
        )}</div>`
  }`;
}

export interface HealthView {
  readonly findings: readonly FindingView[] | null;
  readonly settings: readonly SettingView[];
  readonly certificates: readonly { readonly name: string; readonly validTo: string }[];
  readonly services: readonly string[];
}

export function healthPage({ findings, settings, certificates, services }: HealthView): Html {
  const given = settings.filter(({ from }) => from !== 'default');
  const defaults = settings.filter(({ from }) => from === 'default');
  return html`<h2>Findings of the doctor</h2>${
    findings === null
      ? html`<p class="note">They are being read; this page shows them in a moment.</p>`
      : html`<div class="scroll" tabindex="0" role="region" aria-label="Findings"><table><thead><tr><th scope="col">about</th><th scope="col">result</th><th scope="col">finding</th></tr></thead><tbody>${findings.map(
          ({ check, result, text }) =>
            html`<tr><th scope="row">${check}</th><td>${result}</td><td class="wide">${text}</td></tr>`,
        )}</tbody></table></div>`
  }
<h2>Services</h2>${services.length === 0 ? html`<p class="soft">None has reported yet.</p>` : html`<ul>${services.map((one) => html`<li>${one}</li>`)}</ul>`}
<h2>Certificates</h2>${certificates.length === 0 ? html`<p class="soft">There are none.</p>` : html`<ul>${certificates.map(({ name, validTo }) => html`<li>${name}: valid until ${validTo}</li>`)}</ul>`}
<h2>Settings in force</h2>${settingTable('Settings that were given', given)}
<details><summary>All defaults</summary>${settingTable('Settings at their defaults', defaults)}</details>`;
}

function settingTable(label: string, settings: readonly SettingView[]): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table>
<thead><tr><th scope="col">setting</th><th scope="col">value</th><th scope="col">from</th></tr></thead>
<tbody>${settings.map(
    ({ variable, value, from }) =>
      html`<tr><th scope="row">${variable}</th><td class="wide">${value}</td><td>${from}</td></tr>`,
  )}</tbody></table></div>`;
}
