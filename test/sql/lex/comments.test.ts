/** The ordinary comments of a text, as the server tells them from code and literals. */
import { expect, test } from '@jest/globals';
import type { LexMode } from '../../../src/sql/lex/lex-mode.js';
import { commentsOf } from '../../../src/sql/lex/lexer.js';

const MODE: LexMode = {
  flavour: 'mysql',
  versionId: 90_704,
  ansiQuotes: false,
  noBackslashEscapes: false,
  squareBrackets: false,
  charset: 'utf8',
};

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
  const found = commentsOf(Buffer.from(text), { ...MODE, ...mode });
  expect(found?.map(({ body, isLine }) => `${isLine ? '--' : ''}${Buffer.from(body)}`)).toEqual(
    comments,
  );
});
