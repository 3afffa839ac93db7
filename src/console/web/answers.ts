/** Answers to browsers: pages, files, and where to go on to. */
import type http from 'node:http';
import type { HistoryLine } from '../../ledger/overview.js';
import { failureAnswer } from '../failures.js';
import { BASE, layout, type Page } from '../pages/layout.js';
import { html } from './html.js';
import type { Person } from './people.js';

export interface PageAnswer {
  readonly status: number;
  readonly headers: http.OutgoingHttpHeaders;
  readonly text: string;
}

const ASSET_S = 86_400;

/** Makes the pages of this version. */
export class Pages {
  readonly #version: string;

  constructor(version: string) {
    this.#version = version;
  }

  page(status: number, page: Page, person: Person | null): PageAnswer {
    const { text } = layout(page, person, this.#version);
    if (person !== null) person.flash = null;
    return { status, headers: { 'content-type': 'text/html; charset=utf-8' }, text };
  }

  problem(status: number, title: string, text: string, person: Person | null): PageAnswer {
    const body = html`<p class="flash bad" role="alert">${text}</p><p><a href="${BASE}">To the overview</a></p>`;
    return this.page(status, { title, body }, person);
  }
}

/** A failure in words; throws `error` if it is a defect. */
export function wordsOf(error: unknown): string {
  const failure = failureAnswer(error);
  if (failure === null) throw error;
  const { code, message, remedy } = failure.body.error;
  // That remedy is for programs.
  return remedy === '' || code === 'UNDROP_API_REQUEST' ? message : `${message} ${remedy}`;
}

export function done(
  person: Person,
  path: string,
  text: string,
  warnings: readonly string[] = [],
): PageAnswer {
  const tone = warnings.length === 0 ? 'good' : 'warn';
  person.flash = { text: [text, ...warnings].join(' '), tone };
  return seeOther(`${BASE}${path}`);
}

export function failed(person: Person, path: string, text: string): PageAnswer {
  person.flash = { text, tone: 'bad' };
  return seeOther(`${BASE}${path}`);
}

/** The browser then GETs it. */
export function seeOther(location: string): PageAnswer {
  return { status: 303, headers: { location }, text: '' };
}

export function asset(text: string, type: string): PageAnswer {
  const headers = {
    'content-type': `${type}; charset=utf-8`,
    'cache-control': `max-age=${ASSET_S}`,
  };
  return { status: 200, headers, text };
}

export function fileAnswer(text: string, type: string): PageAnswer {
  return {
    status: 200,
    headers: { 'content-type': type, 'content-disposition': 'attachment' },
    text,
  };
}

/** A text that a spreadsheet would take for a formula begins with a quote. */
export function csvOf(lines: readonly HistoryLine[]): string {
  const cell = (value: string | null) => {
    const text = /^[=+\-@\t\r]/.test(value ?? '') ? `'${value}` : (value ?? '');
    return `"${text.replaceAll('"', '""')}"`;
  };
  const rows = lines.map(({ at, event, table, id, dropId, who, details }) =>
    [at, event, table, id, dropId, who, JSON.stringify(details)].map(cell).join(','),
  );
  return ['at,event,table,id,dropId,who,details', ...rows].map((row) => `${row}\r\n`).join('');
}
