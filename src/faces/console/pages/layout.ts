/** The frame of each page of the console, and the parts that several pages have. */
import { distanceText, timeText } from '../../../duration.js';
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

/** Said on each page, of this proxy. */
export interface Frame {
  readonly version: string;
  /** `MySQL 9.7.4 at db1:3306` */
  readonly server: string;
}

/** `viewer`: null if nobody is signed in. */
export function layout(page: Page, viewer: Person | null, { version, server }: Frame): Html {
  const { title, body, at, followS = null, isFilledIn = false } = page;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} &middot; ${server} &middot; undrop</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${BASE}/style.css?${version}">
<script src="${BASE}/script.js?${version}" defer></script>
${followS !== null && !isFilledIn && html`<noscript><meta http-equiv="refresh" content="${followS}"></noscript>`}
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<strong>undrop</strong> <span class="server">${server}</span>
${viewer !== null && menu(viewer, at)}
</header>
<main id="main" tabindex="-1"${followS !== null && html` data-follow="${followS}"`}>
<h1>${title}</h1>
${viewer !== null && viewer.flash !== null && flash(viewer.flash)}
<div data-part>${body}</div>
</main>
<footer>undrop ${version}</footer>
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

/** Its name; and numbers are aligned at the right, long texts may be broken. */
type Head = string | readonly [kind: 'number' | 'wide', name: string];

/** Scrolls by itself; on a narrow page each row is a card. */
export function table(
  label: string,
  heads: readonly Head[],
  rows: readonly (readonly HtmlPart[])[],
): Html {
  const columns = heads.map((head) => (typeof head === 'string' ? (['', head] as const) : head));
  const lines = rows.map((cells) => {
    const all = columns.map(
      ([kind, name], at) =>
        html`<td class="${kind}" data-label="${name}"><div>${cells[at] ?? null}</div></td>`,
    );
    return html`<tr>${all}</tr>`;
  });
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table>
<thead><tr>${columns.map(([kind, name]) => html`<th scope="col" class="${kind}">${name}</th>`)}</tr></thead>
<tbody>${lines}</tbody></table></div>`;
}

/**
 * How far from now; the time is in its title, or with `isExact` first. The script writes it in the
 * reader's own zone. `iso`: UTC.
 */
export function when(iso: string | null, isExact = false): HtmlPart {
  if (iso === null) return '–';
  const [exact, farMs] = [timeText(new Date(iso)), Date.parse(iso) - Date.now()];
  if (isExact)
    return html`<time datetime="${iso}">${exact}</time> <span class="soft">(${distanceText(farMs)})</span>`;
  const isSoon = farMs > 0 && farMs < SOON_MS;
  return html`<time datetime="${iso}" title="${exact}"${isSoon && html` class="soon"`}>${distanceText(farMs)}</time>`;
}

const SOON_MS = 3_600_000;

/** A long one without its middle, which is in its title. */
export function shortened(name: string): HtmlPart {
  const short = shortName(name);
  return short === name ? name : html`<span title="${name}">${short}</span>`;
}

export function shortName(name: string): string {
  const letters = [...name];
  if (letters.length <= NAME_LETTERS_MAX) return name;
  const half = NAME_LETTERS_MAX / 2;
  return `${letters.slice(0, half).join('')}…${letters.slice(-half).join('')}`;
}

const NAME_LETTERS_MAX = 40;

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
