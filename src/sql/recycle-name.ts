/**
 * The names of undrop's own schemas, as they may stand in a statement. They are said here again, as
 * recognition knows nothing of the rest of the product (names/recycle-schema.ts has the list), and
 * more match than there are: what is refused for nothing costs less than what is not refused.
 *
 * Invariant: what a server takes for the name of such a schema matches, however it is written.
 */

/**
 * MySQL ends a name at a character that is broken, and at a NUL where it makes a path of it; behind
 * `#mysql50#` servers take the name of a directory. Case never counts.
 */
const OWN = /^(?:#mysql50#)?_undrop(?:_local)?(?:_\d+)?(?:[^ -~]|$)/i;
/** Of what is longer than a name can be, the beginning says all. */
const NAME_BYTES_MAX = 64;
const NAME_BYTES_MIN = 7;

const [HASH, BACKSLASH, UNDERSCORE] = [0x23, 0x5c, 0x5f];
const QUOTES: readonly number[] = [0x22, 0x5b, 0x60];

/** Whether `name`, without quotes, is that of a recycle schema. Bytes are as good as characters. */
export function isRecycleName(name: string): boolean {
  return OWN.test(name);
}

/** The same of bytes in a client's charset. */
export function isRecycleNameIn(name: Uint8Array): boolean {
  return isRecycleName(latin1(name));
}

/** The same of a word or a name in a text, with its quotes, if it has any. */
export function isRecycleToken(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < NAME_BYTES_MIN) return false;
  const isQuoted = QUOTES.includes(bytes[start] ?? 0);
  const from = isQuoted ? start + 1 : start;
  const first = bytes[from] ?? 0;
  if (first !== UNDERSCORE && first !== HASH && first !== BACKSLASH) return false;
  const name = bytes.subarray(from, Math.min(isQuoted ? end - 1 : end, from + NAME_BYTES_MAX));
  // A GRANT names it with backslashes, as there an underscore alone stands for any character.
  return isRecycleName(latin1(name).replaceAll('\\', ''));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
