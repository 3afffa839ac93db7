/**
 * Names of the client in UTF-8, for the service connection. On the user session a name goes back as
 * the client's own bytes, so this is needed for nothing else.
 */
import { UndropError } from '../../errors.js';

/**
 * MySQL's character_set_client → a label of the WHATWG encoding standard that says the same of
 * every character that both have. In others a name is refused.
 */
const LABELS: Readonly<Record<string, string>> = {
  utf8: 'utf-8',
  utf8mb3: 'utf-8',
  utf8mb4: 'utf-8',
  latin2: 'iso-8859-2',
  latin7: 'iso-8859-13',
  cp1250: 'windows-1250',
  cp1251: 'windows-1251',
  cp1256: 'windows-1256',
  cp1257: 'windows-1257',
  koi8r: 'koi8-r',
  gbk: 'gbk',
  cp932: 'shift_jis',
  euckr: 'euc-kr',
};

/**
 * Decodes a name. Throws UNDROP_NAME_CHARSET if its bytes are none of that character set, or the
 * character set has no label.
 */
export function decodeName(name: Uint8Array, charset: string): string {
  if (name.every((byte) => byte < 0x80)) return Buffer.from(name).toString('latin1');
  if (charset === 'latin1') return Array.from(name, decodeLatin1).join('');
  const label = LABELS[charset];
  if (label === undefined) throw new UndropError('UNDROP_NAME_CHARSET', { charset });
  try {
    // A byte order mark is a character of the name like any other.
    const decoded = new TextDecoder(label, { fatal: true, ignoreBOM: true }).decode(name);
    const isKnown = !UNASSIGNED.test(decoded);
    if (isKnown && charset === 'utf8mb4') return decoded.replaceAll(ASTRAL, '?');
    if (isKnown && (label !== 'utf-8' || decoded.search(ASTRAL) < 0)) return decoded;
  } catch (cause) {
    throw new UndropError('UNDROP_NAME_CHARSET', { charset }, cause);
  }
  throw new UndropError('UNDROP_NAME_CHARSET', { charset });
}

/** 0x80 to 0x9F of Windows' code page 1252, which MySQL's latin1 is. */
const CP1252 = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ';

/** Not by TextDecoder: that of Node 20 takes windows-1252 for ISO 8859-1. */
function decodeLatin1(byte: number): string {
  return CP1252[byte - 0x80] ?? String.fromCharCode(byte);
}

/**
 * Beyond the BMP: MySQL, whose names have nothing there, takes a question mark for each; its utf8
 * and utf8mb3 have nothing there either.
 */
const ASTRAL = /[\u{10000}-\u{10ffff}]/gu;

/** What the standard makes of bytes that a character set has no character for; the server: `?`. */
const UNASSIGNED = /[\u0080-\u009f]/;
