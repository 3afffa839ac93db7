/**
 * The properties of a client's charset that the server's lexer depends on: which bytes above 0x7E
 * are blank, which of them turn `--` into a comment, and where a character's second byte may look
 * like a quote or a backslash. No other difference between charsets affects where a token ends.
 *
 * Taken from the four tested servers, byte by byte (`test/server/recognition.test.ts` compares them
 * again); they agree. ucs2 and utf16 to utf32 are never a client's charset.
 */
import { isUtf8 } from 'node:buffer';
import { assert } from '../../errors.js';

const PROFILES = {
  plain: { blanks: [], dashes: [0x7f] },
  utf8: { blanks: [], dashes: [0x7f] },
  latin1: { blanks: [0xa0], dashes: [0x7f, 0xa0] },
  latin2: { blanks: [0xa0], dashes: [0xa0] },
  latin7: {
    blanks: [0xa0],
    dashes: [
      ...[0x7f, 0x81, 0x83, 0x88, 0x8a, 0x8c, 0x90],
      ...[0x98, 0x9a, 0x9c, 0x9f, 0xa0, 0xa1, 0xa5],
    ],
  },
  cp1250: { blanks: [0xa0], dashes: [0x7f, 0x80, 0x81, 0x83, 0x88, 0x90, 0x98, 0xa0] },
  cp1251: { blanks: [], dashes: [] },
  cp850: { blanks: [], dashes: [0x7f, 0xff] },
  cp852: { blanks: [0xff], dashes: [0xff] },
  hebrew: { blanks: [0xa0], dashes: [0x7f, 0xa0, 0xfd, 0xfe] },
  hp8: {
    blanks: [],
    dashes: [
      ...Array.from({ length: 33 }, (_, index) => 0x80 + index),
      ...[0x7f, 0xb1, 0xb2, 0xf2, 0xf3, 0xf4, 0xf5, 0xff],
    ],
  },
  macroman: { blanks: [], dashes: [0x80, 0xcb, 0xe5] },
  swe7: { blanks: [], dashes: [0x7f] },
  sjis: { blanks: [], dashes: [0x7f] },
  gbk: { blanks: [], dashes: [0x7f] },
  big5: { blanks: [], dashes: [0x7f] },
  gb18030: { blanks: [], dashes: [0x7f] },
} as const satisfies Record<string, Profile>;

interface Profile {
  readonly blanks: readonly number[];
  readonly dashes: readonly number[];
}

/** A kind of client charset, named after one of its members; `plain`: without surprises. */
export type ClientCharset = keyof typeof PROFILES;

/** All kinds, `plain` first. */
export const CLIENT_CHARSETS = Object.keys(PROFILES) as readonly ClientCharset[];

/** The server's charsets that aren't `plain`. */
const KINDS: Readonly<Record<string, ClientCharset>> = {
  ...{ armscii8: 'latin1', dec8: 'latin1', geostd8: 'latin1', greek: 'latin1', latin1: 'latin1' },
  ...{ latin5: 'latin1', latin2: 'latin2', latin7: 'latin7', cp1250: 'cp1250', cp850: 'cp850' },
  ...{ cp1251: 'cp1251', cp1257: 'cp1251', macce: 'cp1251', cp852: 'cp852', cp866: 'cp852' },
  ...{ keybcs2: 'cp852', hebrew: 'hebrew', hp8: 'hp8', macroman: 'macroman', swe7: 'swe7' },
  ...{ utf8: 'utf8', utf8mb3: 'utf8', utf8mb4: 'utf8' },
  ...{ sjis: 'sjis', cp932: 'sjis', gbk: 'gbk', big5: 'big5', gb18030: 'gb18030' },
};

const PLAIN = new Set(
  'ascii binary cp1256 eucjpms euckr gb2312 koi8r koi8u tis620 ujis'.split(' '),
);

/**
 * The kind of a charset by the server's name for it, as in `@@character_set_client`; null for a
 * name that no known server has.
 */
export function clientCharsetOf(mysqlName: string): ClientCharset | null {
  const name = mysqlName.toLowerCase();
  return KINDS[name] ?? (PLAIN.has(name) ? 'plain' : null);
}

/** Whether it has characters of two bytes of which the second may look like ASCII. */
export function isTwoByte(charset: ClientCharset): boolean {
  return ['sjis', 'gbk', 'big5', 'gb18030'].includes(charset);
}

/** The properties of each byte, which is the index, and the length of the charset's characters. */
export interface CharsetTable {
  readonly isBlank: readonly boolean[];
  /** Whether `--` before this byte begins a comment; 0 stands for the end of the text too. */
  readonly isAfterDashes: readonly boolean[];
  /** Whether the byte may be part of an unquoted name, as a character or as its first byte. */
  readonly isNamePart: readonly boolean[];
  /**
   * Bytes of the well-formed character at `at` if it has several and the later ones could be
   * taken for ASCII; 1 for anything else, 0 for a first byte whose character is broken.
   */
  charLength(bytes: Uint8Array, at: number, end: number): number;
}

/**
 * Whether a name in `charset` reaches the server's dictionary unchanged, as far as bytes can tell.
 * MySQL cuts a name at a broken character and turns one beyond the BMP into `?`: it would then drop
 * another table than the one in the text.
 */
export function isStorable(name: Uint8Array, charset: ClientCharset): boolean {
  // Seven-bit Swedish has letters for these, Japanese a Yen sign and an overline for two of them.
  const notAscii = charset === 'swe7' ? '@[\\]^`{|}~' : charset === 'sjis' ? '\\~' : '';
  if (name.every((byte) => byte < 0x80)) {
    return !name.some((byte) => notAscii.includes(String.fromCharCode(byte)));
  }
  if (charset === 'utf8') {
    return isUtf8(name) && !/[\u{10000}-\u{10ffff}]/u.test(Buffer.from(name).toString());
  }
  const table = CHARSET_TABLES[charset];
  for (let at = 0; at < name.length; ) {
    const length = table.charLength(name, at, name.length);
    const first = name[at] ?? 0;
    if (length === 1 && notAscii.includes(String.fromCharCode(first))) return false;
    const isStray = length === 1 && first >= 0x80 && isTwoByte(charset);
    const isKana = charset === 'sjis' && first >= 0xa1 && first <= 0xdf;
    if (length === 0 || (isStray && !isKana) || (length === 4 && first >= 0x90)) return false;
    at += length;
  }
  return true;
}

function makeTable(charset: ClientCharset): CharsetTable {
  const { blanks, dashes }: Profile = PROFILES[charset];
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  // Seven-bit Swedish has letters where ASCII has brackets.
  const letters = charset === 'swe7' ? /[\w$[\\\]^{}~]/ : /[\w$]/;
  return {
    isBlank: bytes.map((byte) => [9, 10, 11, 12, 13, 32, ...blanks].includes(byte)),
    isAfterDashes: bytes.map((byte) => byte <= 32 || dashes.includes(byte)),
    isNamePart: bytes.map((byte) =>
      byte < 0x80 ? letters.test(String.fromCharCode(byte)) : !blanks.includes(byte),
    ),
    charLength: charLengthOf(charset),
  };
}

type CharLength = CharsetTable['charLength'];

function charLengthOf(charset: ClientCharset): CharLength {
  switch (charset) {
    case 'sjis':
      return twoBytes(
        (lead) => (lead >= 0x81 && lead <= 0x9f) || (lead >= 0xe0 && lead <= 0xfc),
        (trail) => (trail >= 0x40 && trail <= 0x7e) || (trail >= 0x80 && trail <= 0xfc),
      );
    case 'gbk':
      return twoBytes(isLeadOfGbk, isTrailOfGbk);
    case 'big5':
      return twoBytes(
        (lead) => lead >= 0xa1 && lead <= 0xf9,
        (trail) => (trail >= 0x40 && trail <= 0x7e) || (trail >= 0xa1 && trail <= 0xfe),
      );
    case 'gb18030':
      return fourBytes;
    default:
      return () => 1;
  }
}

function twoBytes(
  isLead: (byte: number) => boolean,
  isTrail: (byte: number) => boolean,
): CharLength {
  return (bytes, at, end) => {
    if (!isLead(bytes[at] ?? 0)) return 1;
    return at + 1 < end && isTrail(bytes[at + 1] ?? 0) ? 2 : 0;
  };
}

function isLeadOfGbk(byte: number): boolean {
  return byte >= 0x81 && byte <= 0xfe;
}

function isTrailOfGbk(byte: number): boolean {
  return (byte >= 0x40 && byte <= 0x7e) || (byte >= 0x80 && byte <= 0xfe);
}

export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** gb18030: two bytes as gbk, or four of which the second and the last are digits. */
const fourBytes: CharLength = (bytes, at, end) => {
  if (!isLeadOfGbk(bytes[at] ?? 0)) return 1;
  if (at + 1 < end && isTrailOfGbk(bytes[at + 1] ?? 0)) return 2;
  const isFourBytes =
    at + 3 < end &&
    isDigit(bytes[at + 1] ?? 0) &&
    isLeadOfGbk(bytes[at + 2] ?? 0) &&
    isDigit(bytes[at + 3] ?? 0);
  return isFourBytes ? 4 : 0;
};

/** The table of each kind. */
export const CHARSET_TABLES = Object.fromEntries(
  CLIENT_CHARSETS.map((charset) => [charset, makeTable(charset)]),
) as Readonly<Record<ClientCharset, CharsetTable>>;

const BACKTICK = 0x60;

/** `value` in backticks, with backticks doubled unless they are a part of a character. */
export function quoteClientName(value: Uint8Array, charset: ClientCharset): Uint8Array {
  const table = CHARSET_TABLES[charset];
  const quoted = [BACKTICK];
  for (let at = 0; at < value.length; ) {
    const length = table.charLength(value, at, value.length);
    assert(length > 0 && value[at] !== 0, 'a name is whole characters of its charset, without NUL');
    if (length === 1 && value[at] === BACKTICK) quoted.push(BACKTICK);
    for (const byte of value.subarray(at, at + length)) quoted.push(byte);
    at += length;
  }
  quoted.push(BACKTICK);
  return Uint8Array.from(quoted);
}
