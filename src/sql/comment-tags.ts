/**
 * The words of a client about itself: the attributes of its connection, and the key-value comment
 * that tracing libraries add to a statement, in the form of sqlcommenter: comment with
 * `controller='orders',traceparent='00-…-01'`, keys and values URL-encoded
 * (https://google.github.io/sqlcommenter/spec/). They tell which program, and which request, a drop
 * came from. Pure.
 */

/** Which program has sent a statement, as it says itself. */
export interface Claims {
  /** Its name, or that of its client library; null: it has given none. */
  readonly program: string | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>> | null;
}

export function claimsOf(attributes: Claims['attributes'] = {}, text: string): Claims {
  return { program: programOf(attributes), attributes, tags: commentTags(text) };
}

export function programOf(attributes: Claims['attributes'] = {}): Claims['program'] {
  return attributes['program_name'] || attributes['_client_name'] || null;
}

const TAGS_MAX = 32;
const CHARACTERS_MAX = 256;
const PAIR = /^([^=',\s]+)='((?:[^'\\]|\\.)*)'$/;

/**
 * The tags of the last comment that has nothing else in it; null: there is none. A key or a value
 * of more than 256 characters is cut, and tags after the 32nd are left out.
 */
export function commentTags(text: string): Readonly<Record<string, string>> | null {
  for (const comment of commentsIn(text).reverse()) {
    const pairs = comment
      .trim()
      .split(/,(?=[^',\s]+=')/)
      .map((pair) => PAIR.exec(pair.trim()));
    if (pairs.includes(null)) continue;
    const tags = pairs.slice(0, TAGS_MAX).map((pair) => [decoded(pair?.[1]), decoded(pair?.[2])]);
    return Object.fromEntries(tags);
  }
  return null;
}

/** Each is looked for once, so that no text is slow to read. */
function commentsIn(text: string): string[] {
  const comments: string[] = [];
  let start = text.indexOf('/*');
  while (start >= 0) {
    const end = text.indexOf('*/', start + 2);
    if (end < 0) break;
    comments.push(text.slice(start + 2, end));
    start = text.indexOf('/*', end + 2);
  }
  return comments;
}

function decoded(text = ''): string {
  const plain = text.replaceAll(/\\(.)/g, '$1');
  let value = plain;
  try {
    value = decodeURIComponent(plain);
  } catch {
    // It has a `%` that is none of an encoding: as it is written.
  }
  return value.slice(0, CHARACTERS_MAX);
}
