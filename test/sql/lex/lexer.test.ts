/** Tokens where the servers' lexers differ from what one would expect; names quoted for them. */
import { unescapeLiteral } from '../../../src/sql/grammar/table-name.js';
import type { ClientCharset } from '../../../src/sql/lex/client-charset.js';
import {
  CLIENT_CHARSETS,
  isStorable,
  quoteClientName,
} from '../../../src/sql/lex/client-charset.js';
import type { LexMode } from '../../../src/sql/lex/lex-mode.js';
import { commentsOf, Lexer } from '../../../src/sql/lex/lexer.js';
import { Unreadable } from '../../../src/sql/reading.js';
import fc from '../../support/properties.js';
import { rounds } from '../../support/sample.js';
import { latin1, lexMode } from '../describe-verdict.js';

/** Kinds and texts, as `word:DROP name:t .`. */
function tokens(text: string, mode: LexMode): string {
  const bytes = Buffer.from(text, 'latin1');
  const lexer = new Lexer({ bytes, mode });
  const found: string[] = [];
  while (lexer.next() !== 'end') {
    const slice = latin1(bytes.subarray(lexer.start, lexer.end));
    found.push(lexer.kind === 'symbol' ? slice : `${lexer.kind}:${slice}`);
    if (lexer.kind === 'error') break;
  }
  return found.join(' ');
}

const mysql = lexMode('mysql-9.7');
const mariadb = lexMode('mariadb-11.8');

describe('tokens', () => {
  test.each<readonly [string, string]>([
    ['a.table', 'name:a . name:table'],
    ['a .table', 'word:a . name:table'],
    ['table. a', 'word:table . word:a'],
    ['`a`.1t', 'name:`a` number:.1 word:t'],
    ['a.1t', 'name:a . name:1t'],
    [
      '1e5 1e5x 1ex 0x1F 0xZZ 0b2 1.5e3',
      'number:1e5 number:1e5 word:x name:1ex number:0x1F name:0xZZ name:0b2 number:1.5e3',
    ],
    ["x'4' y", "word:x string:'4' word:y"],
    ["n'a' b'01' _utf8'x'", "word:n string:'a' word:b string:'01' word:_utf8 string:'x'"],
    ["@drop.table @'a' @@drop x", "@ name:drop.table @ string:'a' @ @ name:drop word:x"],
    ['$a $$ b', 'word:$a error:$$ b'],
    ["$x$ ' $x$ b", "string:$x$ ' $x$ word:b"],
    ['a--b a-- b', 'word:a - - word:b word:a'],
    ['a/*/ b */c /* /* */ d', 'word:a word:c word:d'],
    ['/*!50000 a /*!99999 b /* c */ */ d */ e', 'word:a word:d word:e'],
    ['/*! a /*! b */ c */ d', 'word:a word:b word:c * / word:d'],
    ['/*!090704 a *//*!090705 b *//*!100000,*/', 'word:a number:0 ,'],
    ['/*M! a *//*m! b */ c', 'word:c'],
    ['/*! a', 'word:a error:'],
    ["'a\\' b", "error:'a\\' b"],
    ['\'a\'\'b\' "c""d"', 'string:\'a\'\'b\' string:"c""d"'],
    ['`a``b\\`', 'name:`a``b\\`'],
    ['`a\0b`', 'error:`a\0b`'],
    ['a\0', 'word:a'],
    ['a\0b', 'word:a \0 word:b'],
  ])('MySQL 9.7 reads %j', (text, expected) => expect(tokens(text, mysql)).toBe(expected));

  test.each<readonly [string, string]>([
    ['/*M! a *//*!100000 b *//*!50700 c *//*M!50700 d */', 'word:a word:b word:d'],
    ['/*!0907040 */ a', 'word:a'],
    ['1..2', 'number:1 . number:.2'],
    ['$$ b', 'word:$$ word:b'],
  ])('MariaDB 11.8 reads %j', (text, expected) => expect(tokens(text, mariadb)).toBe(expected));

  test('sql_mode decides on double quotes, backslashes and brackets (wire 8, 9)', () => {
    expect(tokens('"a\\"', { ...mysql, ansiQuotes: true })).toBe('name:"a\\"');
    expect(tokens("'a\\'", { ...mysql, noBackslashEscapes: true })).toBe("string:'a\\'");
    expect(tokens('[a]]b]', { ...mariadb, squareBrackets: true })).toBe('name:[a]]b]');
  });

  test('a second byte that looks like a quote is a part of its character (wire 10)', () => {
    const gbk = { ...mysql, charset: 'gbk' } as const;
    expect(tokens('`\x81``', gbk)).toBe('name:`\x81``');
    expect(tokens("'\x81\\'", gbk)).toBe("string:'\x81\\'");
    expect(tokens('`\x81``', mysql)).toBe('error:`\x81``');
    // A backslash escapes one byte, be it the first of two.
    expect(tokens("'\\\x81\\' b'", gbk)).toBe("string:'\\\x81\\' b'");
  });
});

describe('names', () => {
  const charset = fc.constantFrom<ClientCharset>(...CLIENT_CHARSETS);
  const name = fc.uint8Array({ minLength: 1, maxLength: 12 });
  const oddName = fc
    .array(
      fc.constantFrom('`', '"', '\\', 'a', '\x81`', '\x81\\', '\xa4`', '\xe9', '0', '\x810\x810'),
    )
    .map((parts) => Uint8Array.from(Buffer.from(parts.join(''), 'latin1')));

  test('quoted in any charset are read back as they were', () =>
    fc.assert(
      fc.property(fc.oneof(name, oddName), charset, (value, kind) => {
        fc.pre(!value.includes(0) && isStorable(value, kind));
        const quoted = quoteClientName(value, kind);
        const mode = { ...mysql, charset: kind };
        const lexer = new Lexer({ bytes: quoted, mode });
        expect([lexer.next(), lexer.start, lexer.end]).toEqual(['name', 0, quoted.length]);
      }),
      { numRuns: rounds(2_000, 500) },
    ));

  test('with a broken character are not quoted', () =>
    expect(() => quoteClientName(Uint8Array.of(0x61, 0x81), 'gbk')).toThrow('whole characters'));
});

describe('above 16 MiB', () => {
  const digits = 'ab'.repeat(9 * 1024 * 1024);

  test('a BLOB as one hexadecimal number is read, and what follows it', () => {
    const bytes = Buffer.from(`0x${digits}, a`);
    const lexer = new Lexer({ bytes, mode: mysql });
    expect([lexer.next(), lexer.end]).toEqual(['number', digits.length + 2]);
    expect([lexer.next(), lexer.next(), lexer.next()]).toEqual(['symbol', 'word', 'end']);
  });

  test.each([
    ["'", "'"],
    ['/*', '*/'],
  ])('what begins with %s is not read', (before, after) => {
    const bytes = Buffer.from(`${before}${digits}${after}, a`);
    expect(() => new Lexer({ bytes, mode: mysql }).next()).toThrow(Unreadable);
  });
});

describe('literals', () => {
  test.each<readonly [string, string]>([
    ["'a''b'", "a'b"],
    ["'\\n\\0\\Z\\q\\%\\\\'", '\n\0\x1aq\\%\\'],
    ['"a""\'"', 'a"\''],
  ])('%j', (text, expected) => {
    const bytes = Buffer.from(text, 'latin1');
    expect(latin1(unescapeLiteral(bytes, { start: 0, end: bytes.length }, mysql))).toBe(expected);
  });

  test('without backslash escapes a backslash is a backslash (wire 8)', () => {
    const mode = { ...mysql, noBackslashEscapes: true };
    expect(latin1(unescapeLiteral(Buffer.from("'a\\n'"), { start: 0, end: 5 }, mode))).toBe('a\\n');
  });
});

// ── comments ─────────────────────────────────────────────────────────────────────────────────────
// The ordinary comments of a text, as the server tells them from code and literals.

test.each<[string, readonly string[], Partial<LexMode>?]>([
  ['DROP TABLE t', []],
  ['/* a */ DROP /*b*/ TABLE/**/t /* c */', [' a ', 'b', '', ' c ']],
  ['DROP TABLE `/* a */` /* b */', [' b ']],
  ['SELECT \'/* a */\', "/* b */" /* c */', [' c ']],
  ["SELECT '\\'/* a */' /* b */", [' b ']],
  ["SELECT '\\'/* a */", []],
  ["SELECT '\\'/* a */", [' a '], { noBackslashEscapes: true }],
  ['DROP TABLE t -- /* a */\n/* b */', ['-- /* a */', ' b ']],
  ['DROP TABLE t # /* a */', ['-- /* a */']],
  ['DROP TABLE t; -- a\n--\n#b', ['-- a', '--', '--b']],
  ['DROP /*!50000 TABLE /* a */ t */ /* b */', [' a ', ' b ']],
  ['DROP /*!999999 a */ TABLE t /* b */', [' b ']],
  ['DROP TABLE t; /* a */', [' a ']],
  ['DROP TABLE t /* a', []],
  ['/* a */', [' a ']],
])('of %s', (text, comments, mode = {}) => {
  const found = commentsOf(Buffer.from(text), lexMode('mysql-9.7', { charset: 'utf8', ...mode }));
  expect(found?.map(({ body, isLine }) => `${isLine ? '--' : ''}${Buffer.from(body)}`)).toEqual(
    comments,
  );
});
