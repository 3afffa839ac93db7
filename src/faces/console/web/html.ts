/**
 * HTML by the tagged templates of hono. Invariant: what is put into a template is text, and
 * escaped, unless it is `Html` itself. No other file imports hono/html, whose `raw` makes `Html` of
 * any text.
 */
import { html as template } from 'hono/html';

/** Its text: `String(html)`. */
export interface Html {
  readonly isEscaped: true;
}

/** Null and false leave nothing. */
export type HtmlPart = Html | string | number | null | false | readonly HtmlPart[];

/** Attributes are to be in double quotes. */
export const html = template as (
  strings: TemplateStringsArray,
  ...parts: readonly HtmlPart[]
) => Html;
