/** Answers to browsers: pages, and where to go on to. */
import type { Context, Hono } from 'hono';
import type { BlankSchema } from 'hono/types';
import { failureOf } from '../failures.js';
import { BASE, type Frame, layout, type Page } from '../pages/layout.js';
import type { Bindings } from '../serve.js';
import { html } from './html.js';
import type { Person } from './people.js';

export interface WebEnv {
  Bindings: Bindings & { readonly frame: Frame };
  /** `form`: of a POST. */
  Variables: { readonly person: Person; readonly form: URLSearchParams };
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
  const text = String(layout(page, viewer, visit.env.frame));
  if (viewer !== null) viewer.flash = null;
  return new Response(text, { status, headers: { 'content-type': 'text/html; charset=utf-8' } });
}

export function problem(visit: Visit, status: number, title: string, text: string): Response {
  const body = html`<p class="flash bad" role="alert">${text}</p><p><a href="${BASE}">To the overview</a></p>`;
  return show(visit, { title, body }, { status });
}

export function signInForm(
  visit: Visit,
  next: string,
  problem: string | null,
  status = 200,
): Response {
  const body = html`${problem !== null && html`<p class="flash bad" role="alert">${problem}</p>`}
<form method="post" action="${BASE}/sign-in" class="box">
<p>With an account of the MySQL or MariaDB server: the console offers what this account may do by SQL.</p>
<input type="hidden" name="next" value="${next}">
<p><label>User <input name="user" autocomplete="username" required autofocus></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password"></label></p>
<p><button>Sign in</button></p>
</form>`;
  return show(visit, { title: 'Sign in', body }, { status, viewer: null });
}

/** A failure in words; throws `error` if it is a defect. */
export function wordsOf(error: unknown): string {
  const failure = failureOf(error);
  if (failure === null) throw error;
  const { code, message, remedy } = failure;
  // That remedy is for programs.
  return remedy === '' || code === 'UNDROP_API_REQUEST' ? message : `${message} ${remedy}`;
}

/** Goes on to `path`, which shows the text once. */
export function goOn({ var: { person } }: Visit, path: string, flash: Person['flash']): Response {
  person.flash = flash;
  return seeOther(`${BASE}${path}`);
}

/** The browser then GETs it. */
export function seeOther(location: string, headers: Readonly<Record<string, string>> = {}) {
  return new Response(null, { status: 303, headers: { location, ...headers } });
}

/** A page of the console, and no other address: also none by `..`. */
export function ownPath(text: string | null): string {
  if (text === null || !/^\/console(?:[/?][\x21-\x7e]*)?$/.test(text) || text.includes('\\')) {
    return BASE;
  }
  const { pathname, search } = new URL(text, 'http://localhost');
  return `${pathname}${search}` === text ? text : BASE;
}
