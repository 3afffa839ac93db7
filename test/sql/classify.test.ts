/**
 * Verdicts on statements that are hard to tell apart, and what holds for any bytes at all. What the
 * servers really do with such texts is tested in server/statement-fates and drop-properties.
 */

import { isFreeByHead } from '../../src/sql/free-text.js';
import { CLIENT_CHARSETS } from '../../src/sql/lex/client-charset.js';
import type { LexMode } from '../../src/sql/lex/lex-mode.js';
import { classify, classifyStatements, classifyUnderAll } from '../support/classify.js';
import fc from '../support/properties.js';
import { rounds } from '../support/sample.js';
import { describeVerdict, lexMode } from './describe-verdict.js';

const MULTI = { multiStatements: true };
const SINGLE = { multiStatements: false };

function says(sql: string, mode: LexMode, options = MULTI): string {
  return describeVerdict(classify(Buffer.from(sql, 'latin1'), mode, options));
}

describe('a statement that changes how the rest of its text is read', () => {
  const hidden = "SELECT 'a\\'; DROP TABLE t1; -- '";

  test('the drop behind it is found', () => {
    const found = says(`SET sql_mode='NO_BACKSLASH_ESCAPES'; ${hidden}`, lexMode('mysql-9.7'));
    expect(found).toBe('refused/multi-statement t1 [not-ours; not-ours; drop-table t1; not-ours]');
  });

  test('what it hides is none', () => {
    const off = lexMode('mysql-9.7', { noBackslashEscapes: true });
    expect(says(`SET SESSION sql_mode = ''; ${hidden}`, off)).toBe('not-ours');
  });

  test.each([
    "SET sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')",
    ...['SET @a = 1, @@sql_mode = @b', 'CALL change_it()', 'EXECUTE s'],
  ])('%s leaves it open, so nothing goes on that may be ours', (first) => {
    const text = `${first}; ${hidden}`;
    expect(says(text, lexMode('mysql-9.7'))).toBe('refused/multi-statement [not-ours; unclear]');
    expect(says(`${first}; SELECT 'a\\'; drop tabel`, lexMode('mysql-9.7'))).toBe('not-ours');
  });

  test('a charset whose second bytes look like backslashes (wire 10)', () => {
    const text = "SET NAMES gbk; SELECT '\x81\\'; DROP TABLE t1; -- '";
    expect(says(text, lexMode('mysql-9.7'))).toContain('drop-table t1');
    expect(says(text.replace('gbk', 'utf8'), lexMode('mysql-9.7'))).toBe('not-ours');
  });

  test('the charset of results is not told from that of texts', () => {
    const sets = 'SET character_set_results = NULL; SET character_set_results = latin2';
    const text = `${sets}; SELECT 1; INSERT INTO tt VALUES ('drop table n; drop table w')`;
    expect(says(text, lexMode('mysql-9.7'))).toBe('refused/multi-statement [not-ours; unclear]');
    const both = "SET character_set_results = 'gbk', character_set_client = 'gbk'";
    const hiddenByGbk = "SELECT '\x81\\'; DROP TABLE t1; -- '";
    expect(says(`${both}; ${hiddenByGbk}`, lexMode('mysql-9.7'))).toContain('refused');
  });

  test('a thousand of them are read one after another', () => {
    const text = `${'SET NAMES utf8;'.repeat(999)}DROP TABLE a`;
    const pieces = classifyStatements(Buffer.from(text), lexMode('mariadb-11.8'), MULTI);
    expect(pieces).toHaveLength(1_000);
  });
});

describe('names', () => {
  test.each([
    ['cut in the middle of a character', 't\xe8'],
    ['with a byte that is no UTF-8', 't\xff'],
  ])('%s is not taken for a name', (_, name) => {
    const mode = lexMode('mysql-9.7', { charset: 'utf8' });
    expect(says(`DROP TABLE \`${name}\``, mode)).toBe('unclear');
    const unknown = { flavour: 'mysql', versionId: 90704 } as const;
    const bytes = Buffer.from(`DROP TABLE \`${name}\``, 'latin1');
    expect(classifyUnderAll(bytes, unknown, SINGLE).kind).toBe('disagree');
  });

  test('beyond the BMP, which MySQL stores as a question mark, are for the server to check', () => {
    const text = 'DROP TABLE `\xf0\x9f\x98\x80`';
    const mode = lexMode('mysql-9.7', { charset: 'utf8' });
    const verdict = classify(Buffer.from(text, 'latin1'), mode, MULTI);
    expect(verdict).toMatchObject({ kind: 'drop-table', statement: { isDoubtful: true } });
    expect(says(text, lexMode('mariadb-11.8', { charset: 'utf8' }))).toBe('unclear');
  });

  test.each(['gbk', 'big5', 'sjis', 'gb18030'] as const)(
    'in %s a byte that is no character, at which MySQL cuts the name, is not taken',
    (charset) => {
      const mode = lexMode('mysql-9.7', { charset });
      expect(says('DROP TABLE `t1\x80`', mode)).toBe('unclear');
      expect(says('DROP TABLE `t1\xff`', mode)).toBe('unclear');
      expect(says('DROP TABLE `\xa4\xb1`', mode)).toBe('drop-table \xa4\xb1');
    },
  );

  test('what is ASCII elsewhere is another letter in swe7 and sjis', () => {
    expect(says('DROP TABLE `a[`', lexMode('mysql-9.7', { charset: 'swe7' }))).toBe('unclear');
    expect(says('DROP TABLE `a\\`', lexMode('mysql-9.7', { charset: 'sjis' }))).toBe('unclear');
    expect(says('DROP TABLE `\x83\\`', lexMode('mysql-9.7', { charset: 'sjis' }))).toBe(
      'drop-table \x83\\',
    );
  });

  test('a byte order mark is a part of the name', () => {
    const mode = lexMode('mysql-9.7', { charset: 'utf8' });
    expect(says('DROP TABLE \xef\xbb\xbft', mode)).toBe('drop-table \xef\xbb\xbft');
  });

  test.each(['rank', 'system', 'offset', '_utf8mb4', '_latin1'])('%s is doubtful', (name) => {
    expect(says(`DROP TABLE ${name}`, lexMode('mysql-5.6'))).toBe(`drop-table ${name} doubtful`);
    expect(says(`DROP TABLE \`${name}\``, lexMode('mysql-5.6'))).toBe(`drop-table ${name}`);
  });

  test('a blank of the client charset ends a word (wire 10)', () => {
    const text = 'DROP\xa0TABLE\xa0t';
    expect(says(text, lexMode('mysql-9.7', { charset: 'latin1' }))).toBe('drop-table t');
    expect(says(text, lexMode('mysql-9.7'))).toBe('not-ours');
    const unknown = { flavour: 'mysql', versionId: 90704 } as const;
    expect(classifyUnderAll(Buffer.from(text, 'latin1'), unknown, SINGLE).kind).toBe('disagree');
  });
});

test('what versions between those at hand may read in two ways is unclear (wire 6)', () => {
  const mode = { ...lexMode('mysql-9.7'), versionId: 80020 };
  expect(says('DROP TABLE a /*!080010 , b */', mode)).toBe('unclear');
  expect(says('DROP TABLE a /*!80010 , b */', mode)).toBe('drop-table a b');
  expect(says("SELECT $$'$$; DROP TABLE a; -- '", mode)).toBe('unclear');
});

describe('any bytes', () => {
  const modes = (['mysql-9.7', 'mysql-5.6', 'mariadb-11.8'] as const).flatMap((server) =>
    CLIENT_CHARSETS.map((charset) => lexMode(server, { charset })),
  );
  const part = fc.oneof(
    fc.constantFrom(
      ...['DROP ', 'TABLE ', 'CREATE OR REPLACE TABLE ', 'PREPARE s FROM ', 'EXECUTE IMMEDIATE '],
      ...['BEGIN NOT ATOMIC ', 'END', 'IF ', 'THEN ', 'CASE ', ';', "'", '"', '`', '/*', '*/'],
      '/*!',
      ...['--', '\n', '#', '\\', '(', ')', '.', '$', '@', '[', 'a', '\0', '\x81', '\xa0', '99999'],
      ...['SET STATEMENT a=1 FOR ', 'CREATE PROCEDURE p() ', 'REPEAT ', 'UNTIL ', 'SET NAMES gbk'],
    ),
    fc.string({ unit: 'binary', maxLength: 4 }),
  );
  const text = fc.array(part, { maxLength: 24 }).map((parts) => parts.join(''));

  test('have a verdict, and statements that follow one another', () =>
    fc.assert(
      fc.property(text, fc.constantFrom(...modes), fc.boolean(), (sql, mode, multiStatements) => {
        const bytes = Buffer.from(sql, 'latin1');
        classify(bytes, mode, { multiStatements });
        let last = 0;
        for (const piece of classifyStatements(bytes, mode, { multiStatements })) {
          expect(piece.start).toBeGreaterThanOrEqual(last);
          expect(piece.end).toBeGreaterThanOrEqual(piece.start);
          last = piece.end;
        }
      }),
      { numRuns: rounds(3_000, 500) },
    ));

  test('before and behind a drop of their own leave its tables in sight', () => {
    fc.assert(
      fc.property(text, text, fc.constantFrom(...modes), (before, behind, mode) => {
        // A comment that is closed and a string that ends can't swallow what follows them.
        const safe = before.replaceAll(/[^A-Za-z ]/g, '');
        const sql = `SELECT '${safe}' /* ${safe} */; DROP TABLE here.t1; SELECT ${behind}`;
        const verdict = classify(Buffer.from(sql, 'latin1'), mode, MULTI);
        // What nobody reads (lex/lexer.ts) is refused as a whole.
        const mayBeOdd = /@|99997|\.\d*e/i.test(Buffer.from(behind, 'latin1').toString('latin1'));
        expect(describeVerdict(verdict)).toMatch(mayBeOdd ? /here\.t1|^unclear$/ : /here\.t1/);
      }),
      { numRuns: rounds(1_000, 200) },
    );
  });

  test('deep nesting has a bound', () => {
    const deep = 5000;
    const blocks = `${'BEGIN NOT ATOMIC '.repeat(deep)}DROP TABLE a; ${'END; '.repeat(deep)}`;
    expect(says(blocks, lexMode('mariadb-11.8'))).toBe('refused/compound');
    const wraps = `${'SET STATEMENT a=1 FOR '.repeat(deep)}EXECUTE IMMEDIATE @x`;
    expect(says(wraps, lexMode('mariadb-11.8'))).not.toBe('not-ours');
    expect(says(`DROP TABLE ${'('.repeat(deep)}`, lexMode('mariadb-11.8'))).toBe('unclear');
  });
});

test.each(['mysql-9.7', 'mysql-5.6', 'mariadb-10.11'] as const)(
  'behind an @ characters of two bytes may end in a backtick, on %s',
  (server) => {
    const text = Buffer.from('SELECT @\x95`; DROP TABLE t -- `', 'latin1');
    for (const charset of ['sjis', 'gbk', 'big5', 'gb18030'] as const) {
      const verdict = classify(text, { ...lexMode(server), charset }, MULTI);
      expect([charset, describeVerdict(verdict)]).toEqual([charset, 'unclear']);
    }
    const known = classify(text, { ...lexMode(server), charset: 'latin1' }, MULTI);
    expect(describeVerdict(known)).toBe('not-ours');
    const umlaut = Buffer.from('SET @gr\xf6\xdfe = 1; DROP TABLE t', 'latin1');
    const other = classify(umlaut, { ...lexMode(server), charset: 'gbk' }, MULTI);
    expect(describeVerdict(other)).toBe('unclear');
  },
);

// ── free text ────────────────────────────────────────────────────────────────────────────────────
// Which long texts are relayed unread, by their first bytes.

const MYSQL = { flavour: 'mysql', versionId: 90704 } as const;
const MARIADB = { flavour: 'mariadb', versionId: 110809 } as const;
const long = ` VALUES (1, '${'x'.repeat(500)}`;

test.each([
  ['an INSERT', `INSERT INTO t${long}`, true, true],
  ['one with all words', `/* a */ insert low_priority ignore into \`a\`.t (b)${long}`, true, true],
  ['a REPLACE', `REPLACE shop.t${long}`, true, true],
  ['a query', `SELECT '${'x'.repeat(500)}`, true, false],
  ['a write to a recycle schema', `INSERT INTO _undrop.t${long}`, false, false],
  ['the same within a comment', `INSERT INTO /*!50000 \`_undrop\`. */ t${long}`, false, false],
  ['a name that is cut', 'INSERT INTO _undr', false, false],
  ['a name that may go on', 'INSERT INTO shop', false, false],
  ['a long comment', `/* ${'x'.repeat(500)}`, false, false],
  ['an UPDATE', `UPDATE t SET a = '${'x'.repeat(500)}`, false, false],
  ['a block', `BEGIN NOT ATOMIC INSERT INTO t${long}`, false, false],
  ['a drop', `DROP TABLE t /* ${'x'.repeat(500)}`, false, false],
])('%s', (_name, text, onMysql, onMariadb) => {
  expect(isFreeByHead(Buffer.from(text), MYSQL)).toBe(onMysql);
  expect(isFreeByHead(Buffer.from(text), MARIADB)).toBe(onMariadb);
});
