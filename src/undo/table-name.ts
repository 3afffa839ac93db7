/** Reads `[schema.]name` as people type it, with or without backticks. Pure. */

export interface WrittenName {
  readonly schema: string | null;
  readonly table: string;
}

const PART = /(?:`((?:[^`]|``)+)`|([^`.]+))/y;

/** Beyond U+FFFF: MySQL takes a question mark instead, and doesn't say so. */
const UNNAMEABLE = /[\0\u{10000}-\u{10ffff}]/u;

/** `null` where it isn't a name: empty parts, a quote left open, more than two parts. */
export function parseTableName(text: string): WrittenName | null {
  const first = readPart(text, 0);
  if (first === null) return null;
  if (first.end === text.length) return { schema: null, table: first.name };
  if (text.charAt(first.end) !== '.') return null;
  const second = readPart(text, first.end + 1);
  if (second === null || second.end !== text.length) return null;
  return { schema: first.name, table: second.name };
}

/**
 * All that may be meant by it, likeliest first: names have dots in them, too, and not everybody
 * quotes them.
 */
export function readingsOf(text: string): readonly WrittenName[] {
  const parsed = parseTableName(text);
  const split = [...text.matchAll(/\./g)].map(({ index }) => ({
    schema: text.slice(0, index),
    table: text.slice(index + 1),
  }));
  return [...(parsed === null ? [] : [parsed]), { schema: null, table: text }, ...split];
}

function readPart(
  text: string,
  at: number,
): { readonly name: string; readonly end: number } | null {
  PART.lastIndex = at;
  const match = PART.exec(text);
  if (match === null) return null;
  const [whole, quoted, plain] = match;
  const name = quoted?.replaceAll('``', '`') ?? plain ?? '';
  if (Array.from(name).length > 64 || UNNAMEABLE.test(name)) return null;
  return { name, end: at + whole.length };
}
