/**
 * Whether a text that the server has from somewhere is what undrop has been told of it. Pure.
 * Invariant: where it may be another one, only an innocent text is alike.
 */
import { isStorable } from '../sql/client-charset.js';
import { clientCharsetOf } from '../sql/lex-mode.js';
import { mayBeOurs, type Sought } from '../sql/trigger-scan.js';

/**
 * Whether `text` is the same bytes in `charset`, and is read in the same way. What isn't ASCII (a
 * backslash in Japanese, a backtick in Swedish) goes through two charsets before the server reads
 * it; only in UTF-8 nothing happens to it.
 */
export function isReadAlike(text: Buffer, charset: string): boolean {
  if (charset.startsWith('utf8')) return true;
  const isAscii = text.every((byte) => byte < 0x80);
  const kind = clientCharsetOf(charset);
  return isAscii && (isWide(charset) || (kind !== null && isStorable(text, kind)));
}

/** Whether what is ASCII in another charset takes more bytes in this one. */
export function isWide(charset: string): boolean {
  return /^(ucs2|utf16|utf16le|utf32)$/.test(charset);
}

/**
 * Whether `text` can stand for what the server has. A conversion may cut a text off at what is no
 * character (MySQL 5.6), put a question mark there (MariaDB), or give NULL (MySQL); the server
 * takes the bytes as they are. Then they have to be innocent in any charset.
 */
export function isSame(text: Buffer | null, bytes: Buffer | null, sought: Sought): boolean {
  if (text === null || bytes === null) return text === bytes;
  if (text.equals(bytes)) return true;
  const letters = bytes.filter((byte) => byte !== 0);
  return [letters, text].every((one) => !mayBeOurs(one, 0, one.length, sought));
}
