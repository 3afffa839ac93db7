/**
 * A hint for one drop, as its statement says it in a comment or the session in `@undrop`:
 * `hold=7d`, `pin`, `now`, `destroy`. Pure.
 */
import { parseDuration } from '../duration.js';

export interface Hint {
  /** As understood: `hold=7d`. */
  readonly text: string;
  readonly what:
    | { readonly do: 'hold'; readonly ms: number }
    /** Held until somebody restores it or unpins it. */
    | { readonly do: 'pin' }
    /** Not held, but removed by the collector as ever. */
    | { readonly do: 'now' }
    /** Dropped at once, by the server itself. */
    | { readonly do: 'destroy' };
}

/** For messages. */
export const HINT_EXPECTED =
  'hold=7d (up to 3650d), pin, now or destroy, in /* undrop: … */ or in @undrop';

/** Null where it is none. */
export function parseHint(text: string): Hint | null {
  const word = text.trim().toLowerCase();
  switch (word) {
    case 'pin':
    case 'now':
    case 'destroy':
      return { text: word, what: { do: word } };
  }
  const hold = parseHold(word);
  return hold && { text: `hold=${hold.length}`, what: { do: 'hold', ms: hold.ms } };
}

/**
 * The hint that all of them say; a text that isn't one, or two that differ, is given back. Null:
 * there is none.
 */
export function oneHint(texts: readonly string[]): Hint | { readonly odd: string } | null {
  let found: Hint | null = null;
  for (const text of texts) {
    const hint = parseHint(text);
    if (hint === null) return { odd: text.trim() };
    if (found !== null && found.text !== hint.text)
      return { odd: `${found.text} and ${hint.text}` };
    found = hint;
  }
  return found;
}

const HOLD_MS_MAX = 3_650 * 86_400_000;

/** The length as written, and in milliseconds; null where it is none, or too long. */
export function parseHold(text: string): { readonly length: string; readonly ms: number } | null {
  const [, length] = /^hold\s*=\s*(\S+)$/i.exec(text) ?? [];
  const ms = length === undefined ? null : parseDuration(length);
  return length === undefined || ms === null || ms > HOLD_MS_MAX ? null : { length, ms };
}
