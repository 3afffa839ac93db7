/** The frame of each page of the console, and the parts that several pages have. */
import { formatBytes, formatCount } from '../../../printer.js';
import { type Html, type HtmlPart, html } from '../web/html.js';
import type { Person } from '../web/people.js';

/** All pages are below it. */
export const BASE = '/console';

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
  ['', 'Overview'],
  ['/tables', 'Dropped tables'],
] as const;

/** `viewer`: null if nobody is signed in. */
export function layout(page: Page, viewer: Person | null, version: string): Html {
  const { title, body, at, followS = null, isFilledIn = false } = page;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} &middot; undrop</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${BASE}/style.css?${version}">
<script src="${BASE}/script.js?${version}" defer></script>
${followS !== null && !isFilledIn && html`<noscript><meta http-equiv="refresh" content="${followS}"></noscript>`}
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<strong>undrop</strong>
${viewer !== null && menu(viewer, at)}
</header>
<main id="main" tabindex="-1"${followS !== null && html` data-follow="${followS}"`}>
<h1>${title}</h1>
${viewer !== null && viewer.flash !== null && flash(viewer.flash)}
<div data-part>${body}</div>
</main>
<footer>undrop ${version} &middot; all times are in UTC</footer>
</body>
</html>
`;
}

function menu(viewer: Person, at: string | undefined): Html {
  const items = MENU.map(
    ([path, name]) =>
      html`<a href="${BASE}${path}"${at === path && html` aria-current="page"`}>${name}</a>`,
  );
  const signOut = html`<span>${viewer.user}</span>
<button class="plain">Sign out</button>`;
  return html`<nav aria-label="Pages">${list(items)}</nav>
${form(viewer, '/sign-out', signOut)}`;
}

function flash({ text, tone }: NonNullable<Person['flash']>): Html {
  return html`<p class="flash ${tone}" role="${tone === 'good' ? 'status' : 'alert'}">${text}</p>`;
}

/** A form that changes something: it has the token of the person. `path`: below the base. */
export function form({ token }: Person, path: string, content: Html, kind?: 'row'): Html {
  return html`<form method="post" action="${BASE}${path}"${kind !== undefined && html` class="${kind}"`}>
<input type="hidden" name="token" value="${token}">
${content}</form>`;
}

export function soft(text: string): Html {
  return html`<p class="soft">${text}</p>`;
}

/** `none`: in place of an empty list. */
export function list(items: readonly HtmlPart[], none?: string): Html {
  if (items.length === 0 && none !== undefined) return soft(none);
  return html`<ul>${items.map((item) => html`<li>${item}</li>`)}</ul>`;
}

/** Scrolls by itself. `heads`: with a `#` those of numbers. */
export function table(label: string, heads: readonly HtmlPart[], rows: readonly Html[]): Html {
  const cells = heads.map((head) =>
    typeof head === 'string' && head.startsWith('#')
      ? html`<th scope="col" class="number">${head.slice(1)}</th>`
      : html`<th scope="col">${head}</th>`,
  );
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table>
<thead><tr>${cells}</tr></thead>
<tbody>${rows}</tbody></table></div>`;
}

/** `iso`: UTC. The browser's own time is beside it with `isBoth`, else in its title. */
export function when(iso: string | null, isBoth = false): HtmlPart {
  if (iso === null) return '–';
  const text = `${iso.slice(0, 19).replace('T', ' ')} UTC`;
  return html`<time datetime="${iso}"${isBoth && html` data-both`}>${text}</time>`;
}

export const size = formatBytes;

export function count(number: number | null, unit?: string): string {
  if (number === null) return 'not known';
  return unit === undefined
    ? formatCount(number)
    : `${formatCount(number)} ${unit}${number === 1 ? '' : 's'}`;
}

/** An URL of the console with these parameters. */
export function link(path: string, params: Readonly<Record<string, string | null>> = {}): string {
  const given = Object.entries(params).filter((one): one is [string, string] => Boolean(one[1]));
  const query = new URLSearchParams(given).toString();
  return `${BASE}${path}${query === '' ? '' : `?${query}`}`;
}
