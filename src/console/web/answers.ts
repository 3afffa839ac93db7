/** Answers to browsers: pages, and where to go on to. */
import type { Context, Hono } from 'hono';
import type { BlankSchema } from 'hono/types';
import { failureAnswer } from '../failures.js';
import { BASE, layout, type Page } from '../pages/layout.js';
import type { Bindings } from '../serve.js';
import { html } from './html.js';
import type { Person } from './people.js';
import type { Form } from './requests.js';

export interface WebEnv {
  Bindings: Bindings & { readonly version: string };
  /** `form`: of a POST. */
  Variables: { readonly person: Person; readonly form: Form };
}

export type WebApp = Hono<WebEnv, BlankSchema, typeof BASE>;
export type Visit = Context<WebEnv>;

/** By default for the person who is signed in, if somebody is. */
export function show(
  visit: Visit,
  page: Page,
  about: { readonly status?: number; readonly viewer?: Person | null } = {},
): Response {
  const { status = 200, viewer = visit.var.person ?? null } = about;
  const text = String(layout(page, viewer, visit.env.version));
  if (viewer !== null) viewer.flash = null;
  return new Response(text, { status, headers: { 'content-type': 'text/html; charset=utf-8' } });
}

export function problem(visit: Visit, status: number, title: string, text: string): Response {
  const body = html`<p class="flash bad" role="alert">${text}</p><p><a href="${BASE}">To the overview</a></p>`;
  return show(visit, { title, body }, { status });
}

/** A failure in words; throws `error` if it is a defect. */
export function wordsOf(error: unknown): string {
  const failure = failureAnswer(error);
  if (failure === null) throw error;
  const { code, message, remedy } = failure.body.error;
  // That remedy is for programs.
  return remedy === '' || code === 'UNDROP_API_REQUEST' ? message : `${message} ${remedy}`;
}

/** Goes on to `path`, which shows the text. */
export function done(
  { var: { person } }: Visit,
  path: string,
  text: string,
  warnings: readonly string[] = [],
): Response {
  const tone = warnings.length === 0 ? 'good' : 'warn';
  person.flash = { text: [text, ...warnings].join(' '), tone };
  return seeOther(`${BASE}${path}`);
}

export function failed({ var: { person } }: Visit, path: string, text: string): Response {
  person.flash = { text, tone: 'bad' };
  return seeOther(`${BASE}${path}`);
}

/** The browser then GETs it. */
export function seeOther(location: string, headers: Readonly<Record<string, string>> = {}) {
  return new Response(null, { status: 303, headers: { location, ...headers } });
}
