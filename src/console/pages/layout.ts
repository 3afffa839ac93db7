/** The frame of each page of the console, and the parts that several pages have. */
import { formatBytes, formatCount } from '../../printer.js';
import { type Html, type HtmlPart, html } from '../web/html.js';
import type { Person } from '../web/people.js';

/** All pages are below it. */
export const BASE = '/console';

/** Null: nobody is signed in. */
export type Viewer = Pick<Person, 'user' | 'token' | 'isOperator' | 'flash'> | null;

export interface Page {
  readonly title: string;
  readonly body: Html;
  /** The path of its entry in the menu. */
  readonly at?: string;
  /** Read again after so many seconds. */
  readonly followS?: number;
  /** People type into it: without a script it isn't read again by itself. Default: false. */
  readonly isFilledIn?: boolean;
}

const MENU = [
  ['', 'Overview', false],
  ['/tables', 'Dropped tables', false],
  ['/history', 'History', true],
  ['/collector', 'Collector', true],
  ['/health', 'Health', true],
] as const;

export function layout(page: Page, viewer: Viewer, version: string): Html {
  const { title, body, at, followS, isFilledIn = false } = page;
  const follow = followS === undefined ? '' : String(followS);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} &middot; undrop</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${BASE}/style.css?${version}">
<script src="${BASE}/script.js?${version}" defer></script>
${followS !== undefined && !isFilledIn && html`<noscript><meta http-equiv="refresh" content="${follow}"></noscript>`}
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<strong>undrop</strong>
${viewer !== null && menu(viewer, at)}
</header>
<main id="main" tabindex="-1"${followS !== undefined && html` data-follow="${follow}"`}>
<h1>${title}</h1>
${viewer !== null && viewer.flash !== null && flash(viewer.flash)}
<div data-part>${body}</div>
</main>
<footer>undrop ${version} &middot; all times are in UTC</footer>
</body>
</html>
`;
}

function menu(viewer: NonNullable<Viewer>, at: string | undefined): Html {
  const entries = MENU.filter(([, , isForOperators]) => viewer.isOperator || !isForOperators);
  return html`<nav aria-label="Pages"><ul>${entries.map(
    ([path, name]) =>
      html`<li><a href="${BASE}${path}"${at === path && html` aria-current="page"`}>${name}</a></li>`,
  )}</ul></nav>
${form(
  viewer,
  `${BASE}/sign-out`,
  html`<span>${viewer.user}</span>
<button class="plain">Sign out</button>`,
)}`;
}

function flash({ text, tone }: NonNullable<Person['flash']>): Html {
  return html`<p class="flash ${tone}" role="${tone === 'good' ? 'status' : 'alert'}">${text}</p>`;
}

/** A form that changes something: it has the token of the person. */
export function form(
  { token }: { readonly token: string },
  action: string,
  content: Html,
  { isRow = false }: { readonly isRow?: boolean } = {},
): Html {
  return html`<form method="post" action="${action}"${isRow && html` class="row"`}>
<input type="hidden" name="token" value="${token}">
${content}</form>`;
}

/** `iso`: UTC. The browser's own time is beside it with `isBoth`, else in its title. */
export function when(iso: string | null, isBoth = false): HtmlPart {
  if (iso === null) return '–';
  const text = `${iso.slice(0, 19).replace('T', ' ')} UTC`;
  return html`<time datetime="${iso}"${isBoth && html` data-both`}>${text}</time>`;
}

export function size(bytes: number | null): string {
  return formatBytes(bytes);
}

export function count(number: number | null, unit?: string): string {
  if (number === null) return 'not known';
  return unit === undefined
    ? formatCount(number)
    : `${formatCount(number)} ${unit}${number === 1 ? '' : 's'}`;
}

export interface Bar {
  readonly label: HtmlPart;
  readonly value: number;
  readonly text: string;
  /** A class of the stylesheet. */
  readonly kind?: string;
}

/** A picture that is its own table. `of`: the whole width; default: the largest value. */
export function bars(
  {
    caption,
    label,
    unit,
  }: { readonly caption: string; readonly label: string; readonly unit: string },
  all: readonly Bar[],
  of = Math.max(1, ...all.map(({ value }) => value)),
): Html {
  return html`<table><caption>${caption}</caption>
<thead><tr><th scope="col">${label}</th><th scope="col"><span class="soft">share</span></th>
<th scope="col" class="number">${unit}</th></tr></thead>
<tbody>${all.map(
    ({ label: name, value, text, kind = 'bar' }) => html`<tr><th scope="row">${name}</th>
<td class="bar"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
<rect class="${kind}" x="0" y="0" width="${Math.min(100, (100 * value) / of).toFixed(2)}" height="10"/></svg></td>
<td class="number">${text}</td></tr>`,
  )}</tbody></table>`;
}

export interface ChartColumn {
  readonly label: string;
  /** By kind, as in `kinds`. */
  readonly values: readonly number[];
}

/** Columns side by side, with the same figures as a table. */
export function columns(
  {
    title,
    kinds,
    format,
  }: {
    readonly title: string;
    readonly kinds: readonly { readonly name: string; readonly kind: string }[];
    format(value: number): string;
  },
  all: readonly ChartColumn[],
): Html {
  const sums = all.map(({ values }) => values.reduce((sum, one) => sum + one, 0));
  const most = Math.max(1, ...sums);
  const rects = all.map(({ values }, index) => {
    let top = 100;
    return values.map((value, at) => {
      const height = (100 * value) / most;
      top -= height;
      return html`<rect class="${kinds[at]?.kind ?? 'bar'}" x="${index + 0.1}" y="${top.toFixed(2)}" width="0.8" height="${height.toFixed(2)}"/>`;
    });
  });
  const shown = all.filter((_, index) => (sums[index] ?? 0) > 0);
  return html`<figure><svg viewBox="0 0 ${Math.max(all.length, 1)} 100" preserveAspectRatio="none" role="img" aria-label="${title}: the most is ${format(most)}">${rects}</svg>
<figcaption>${title}; the most: ${format(Math.max(0, ...sums))}${kinds.length > 1 && kinds.map(keyOf)}</figcaption>
<details><summary>${title} as a table</summary><div class="scroll" tabindex="0" role="region" aria-label="${title}, table">
<table><thead><tr><th scope="col">time (UTC)</th>${kinds.map(({ name }) => html`<th scope="col" class="number">${name}</th>`)}</tr></thead>
<tbody>${shown.map(
    ({ label, values }) =>
      html`<tr><th scope="row">${label}</th>${values.map((value) => html`<td class="number">${format(value)}</td>`)}</tr>`,
  )}</tbody></table></div></details></figure>`;
}

function keyOf({ name, kind }: { readonly name: string; readonly kind: string }): Html {
  return html` <svg viewBox="0 0 1 1" aria-hidden="true"><rect class="${kind}" width="1" height="1"/></svg> ${name}`;
}

/** An URL of the console with these parameters. */
export function link(path: string, params: Readonly<Record<string, string | null>> = {}): string {
  const given = Object.entries(params).filter((one): one is [string, string] => Boolean(one[1]));
  const query = new URLSearchParams(given).toString();
  return `${BASE}${path}${query === '' ? '' : `?${query}`}`;
}
