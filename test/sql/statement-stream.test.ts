/**
 * A text that comes in chunks, judged in a small window, against the same text judged whole:
 * nothing that is ours gets by, and what is innocent isn't stopped.
 */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { classifyStatements, type Piece } from '../../src/sql/classify.js';
import type { LexMode } from '../../src/sql/lex-mode.js';
import { type Finding, StatementStream } from '../../src/sql/statement-stream.js';
import { mayBeOurs } from '../../src/sql/trigger-scan.js';
import type { Verdict } from '../../src/sql/verdict.js';
import { chunkSizes, cut, everySplit, lend, singleBytes } from '../support/chunks.js';
import { rounds } from '../support/sample.js';
import { lexMode } from './describe-verdict.js';

const MULTI = { multiStatements: true };

interface Streamed {
  readonly finding: Finding | null;
  /** What was let go. */
  readonly safe: number;
  /** At most so many bytes were held at once. */
  readonly heldBytes: number;
}

interface Way {
  readonly mode: LexMode | null;
  readonly multiStatements?: boolean;
  readonly heldBytesMax?: number;
  readonly tokenBytesMax?: number;
  readonly isOurs?: (verdict: Verdict) => boolean;
}

function stream(chunks: readonly Buffer[], way: Way): Streamed {
  const statements = new StatementStream({
    ...MULTI,
    heldBytesMax: 200,
    tokenBytesMax: 48,
    isOurs: (verdict) => verdict.kind !== 'not-ours',
    ...way,
  });
  let [fed, safe, heldBytes] = [0, 0, 0];
  for (const chunk of chunks) {
    const finding = lend(chunk, (memory) => statements.push(memory));
    fed += chunk.length;
    if (finding !== null) return { finding, safe, heldBytes };
    if (statements.safe < safe || statements.safe > fed) throw new Error('what is safe is not');
    safe = statements.safe;
    heldBytes = Math.max(heldBytes, fed - safe);
  }
  const finding = statements.finish();
  if (finding === null) safe = statements.safe;
  return { finding, safe, heldBytes };
}

const MODES = {
  'mysql-9.7': lexMode('mysql-9.7'),
  'mysql-5.6': lexMode('mysql-5.6'),
  'mysql without backslashes': { ...lexMode('mysql-9.7'), noBackslashEscapes: true },
  'mysql with ansi quotes': { ...lexMode('mysql-9.7'), ansiQuotes: true },
  'mysql in gbk': { ...lexMode('mysql-9.7'), charset: 'gbk' },
  'mysql in sjis': { ...lexMode('mysql-9.7'), charset: 'sjis' },
  'mariadb-11.8': lexMode('mariadb-11.8'),
  'mariadb with brackets': { ...lexMode('mariadb-11.8'), squareBrackets: true },
} as const satisfies Record<string, LexMode>;

const x = (text: string, count: number) => text.repeat(count);

/** Pieces that are hard in the middle of something, and long ones. */
const fragment = fc.oneof(
  fc.constantFrom(
    ...[
      "'",
      '"',
      '`',
      '\\',
      ';',
      ' ',
      '\n',
      '--',
      '-- ',
      '#',
      '/*',
      '*/',
      '/*!',
      '/*M!',
      '$$',
      '[',
    ],
    ...[']', '\0', '@', '.', ',', '(', ')', '\x81', '\x5c', '\xbf', '\xa0', "x'", "N'", '0x', '1e'],
    ...['/*!99999 ', '/*!40000 ', '/*!99997 ', '/*!080034 ', '$a$', "''", '""', '``', "\\'", '9'],
    ...[
      'DROP',
      'drop',
      ' TABLE',
      ' table t',
      ';DROP TABLE t',
      '; drop table d.t ;',
      'DROP TABLE t',
    ],
    ...['DROP SCHEMA s', 'DROP VIEW v', 'PREPARE s FROM @v', "PREPARE s FROM 'DROP TABLE t'"],
    ...["EXECUTE IMMEDIATE 'DROP TABLE t'", 'EXECUTE s', 'CALL p()', 'CREATE OR REPLACE TABLE t'],
    ...['INSERT INTO t VALUES (1)', 'SELECT 1', "SET sql_mode='ANSI_QUOTES'", 'SET NAMES gbk'],
    ...[
      "SET @v = 'drop table t'",
      'SET STATEMENT a=1 FOR ',
      'BEGIN NOT ATOMIC ',
      ' END',
      'IF 1 THEN ',
    ],
    ...['CREATE PROCEDURE p() BEGIN ', 'CREATE TABLE t (a INT)', 'ALTER TABLE t DROP a', 'BEGIN'],
    ...[x('a', 90), x('4142', 30), x(' ', 80), x('drop table t ', 9), x('()', 70), x('é', 60)],
  ),
  fc.string({ maxLength: 8 }),
);

const text = fc
  .array(fragment, { maxLength: 14 })
  .map((fragments) => Buffer.from(fragments.join(''), 'latin1'));

/** Statements that are no one's, each of them whole. */
const innocent = fc.constantFrom(
  'SELECT 1',
  `INSERT INTO t VALUES ('drop table t', "it''s; drop table t"), (0x${x('4142', 60)}, -1.5)`,
  `INSERT INTO t VALUES ('${x('; drop table t -- ', 40)}')`,
  `UPDATE \`drop table\` SET a = 'x' /* ; drop table t ${x('* / ', 60)}*/ WHERE b = 1`,
  `-- ; drop table t ${x('- ', 80)}\nDELETE FROM t`,
  `/*!99999 drop table t ${x('/* a */ ', 30)} */ REPLACE INTO t VALUES (x'${x('00', 80)}')`,
  `/*!40101 SET NAMES utf8 */`,
  "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
  'CREATE TABLE `drop` (a INT, b TEXT)',
  `CREATE TABLE t (${x('a INT, ', 60)} b INT)`,
  'ALTER TABLE t DROP COLUMN a',
  'CREATE PROCEDURE p() BEGIN DROP TABLE t; SELECT 1; END',
  'DROP VIEW v',
  "PREPARE s FROM 'SELECT 1'",
);

/** What ends in the middle of something is unclear by itself; here the words have to be in it. */
function isOurs({ verdict, start, end }: Piece, bytes: Buffer): boolean {
  if (verdict.kind === 'not-ours' || !mayBeOurs(bytes, start, end)) return false;
  // The stream asks only where such a thing is code.
  if (verdict.kind === 'unclear' && verdict.why === 'what goes on behind an @ is not known') {
    return false;
  }
  return verdict.kind !== 'unclear' || verdict.why !== 'it ends in the middle';
}

describe('a text in chunks', () => {
  test.each(Object.entries(MODES))('lets nothing of ours go: %s', (_name, mode) => {
    let stopped = 0;
    fc.assert(
      fc.property(text, chunkSizes, fc.integer({ min: 20, max: 400 }), (bytes, sizes, held) => {
        const ours = classifyStatements(bytes, mode, MULTI).find((piece) => isOurs(piece, bytes));
        const { finding, safe } = stream(cut(bytes, sizes), { mode, heldBytesMax: held });
        if (ours === undefined) return;
        stopped++;
        expect(finding).not.toBeNull();
        if (finding?.kind !== 'ours') return;
        expect(safe).toBeLessThanOrEqual(finding.at);
        expect(finding.at).toBeLessThanOrEqual(ours.start);
      }),
      { numRuns: rounds(1_000, 200) },
    );
    expect(stopped).toBeGreaterThan(rounds(50, 10));
  });

  test.each(Object.entries(MODES))('lets what is innocent go to its end: %s', (_name, mode) => {
    fc.assert(
      fc.property(fc.array(innocent, { minLength: 1, maxLength: 8 }), chunkSizes, (all, sizes) => {
        const bytes = Buffer.from(all.join(';'));
        const { finding, safe } = stream(cut(bytes, sizes), { mode });
        expect(finding).toBeNull();
        expect(safe).toBe(bytes.length);
      }),
      { numRuns: rounds(100, 30) },
    );
  });

  test.each(Object.entries(MODES))(
    'is stopped where a statement of ours begins: %s',
    (_n, mode) => {
      fc.assert(
        fc.property(
          fc.array(innocent, { maxLength: 5 }),
          fc.constantFrom('DROP TABLE t', 'drop table if exists a.b, c', 'DROP DATABASE d'),
          fc.array(innocent, { maxLength: 2 }),
          chunkSizes,
          (before, ours, behind, sizes) => {
            const head = before.map((one) => `${one}; `).join('');
            const bytes = Buffer.from([head + ours, ...behind].join(';'));
            const { finding } = stream(cut(bytes, sizes), { mode });
            expect(finding?.kind).toBe('ours');
            if (finding?.kind === 'ours') expect(finding.at).toBe(head.length);
          },
        ),
        { numRuns: rounds(100, 30) },
      );
    },
  );

  test('is judged the same at every split', () => {
    const head = `INSERT INTO t VALUES ('\\'; drop table t', 0x${x('41', 60)}) /* ${x('x', 90)} */;\n`;
    const bytes = Buffer.from(`${head}DROP TABLE t; SELECT 1`);
    const mode = MODES['mysql-9.7'];
    let splits = 0;
    for (const chunks of [...everySplit(bytes), singleBytes(bytes)]) {
      const { finding } = stream(chunks, { mode });
      expect(finding).toMatchObject({ kind: 'ours', at: head.length });
      splits++;
    }
    expect(splits).toBe(bytes.length);
  });
});

describe('a long text', () => {
  const mode = MODES['mysql-9.7'];

  test('is held by no more than a token and what is looked at ahead', () => {
    const rows = Array.from({ length: 5_000 }, (_, row) => `(${row}, 'drop table ${row}')`);
    const bytes = Buffer.from(`INSERT INTO t VALUES ${rows.join(', ')}, ('${x('y', 100_000)}')`);
    const { finding, heldBytes } = stream(cut(bytes, [1_000]), { mode });
    expect(finding).toBeNull();
    expect(heldBytes).toBeLessThan(1_000 + 100);
  });

  test.each([
    ['a DROP', `DROP TABLE ${x('a, ', 100)} b`, 'ours'],
    ['a PREPARE', `PREPARE s FROM '${x('a', 300)}'`, 'ours'],
    [
      'a block with a drop in it',
      `BEGIN NOT ATOMIC ${x('SELECT 1; ', 30)} DROP TABLE t; END`,
      'unclear',
    ],
    ['a block without one', `BEGIN NOT ATOMIC ${x('SELECT 1; ', 30)} END`, null],
    ['what follows a SET that is too long', `SET @a = '${x('a', 300)}'; DROP TABLE t`, 'ours'],
    ['a SET that is too long', `SET @a = '${x('drop table t', 30)}'; SELECT 1`, null],
    ['what follows a CALL', `CALL p(); SELECT 'drop table t'`, 'ours'],
    ['a drop in the middle', `SELECT 1 + ${x('1 + ', 100)} DROP TABLE t`, 'unclear'],
  ])('%s', (_name, sql, expected) => {
    const { finding } = stream(cut(Buffer.from(sql), [64]), { mode: MODES['mariadb-11.8'] });
    expect(finding?.kind ?? null).toBe(expected);
  });

  test('that may hold one statement only is free behind its first word', () => {
    const statements = new StatementStream({
      mode,
      multiStatements: false,
      heldBytesMax: 100,
      isOurs: () => true,
    });
    expect(statements.push(Buffer.from(`SELECT 1, ${x('2, ', 10)}`))).toBeNull();
    expect(statements.isFree).toBe(true);
  });

  const NAMED = { kind: 'guarded', how: 'named' } as const;
  const rest = x('1, ', 100);

  test.each([
    ['at the beginning', `INSERT INTO _undrop.x VALUES (${rest} 2)`, 'unclear'],
    ['far behind', `INSERT INTO t VALUES (${rest} (SELECT a FROM _undrop.x))`, 'unclear'],
    ['in a literal', `INSERT INTO t VALUES (${rest} '_undrop')`, null],
    ['in a literal that is long itself', `INSERT INTO t VALUES ('${x('_undrop.', 100)}')`, null],
    ['in a comment', `INSERT INTO t /* ${x('_undrop.', 100)} */ VALUES (1)`, null],
    ['in a read', `SELECT ${rest} a FROM _undrop.x`, null],
    ['in the reading of a sequence', `SELECT ${rest} NEXTVAL(_undrop.s)`, 'unclear'],
    ['the same the other way round', `SELECT setval(d.s, 1), ${rest} 1 FROM _undrop.x`, 'unclear'],
    ['behind a read', `SELECT ${rest} a FROM _undrop.x; DELETE FROM _undrop.x`, 'unclear'],
    ['of a table that is made', `CREATE TABLE _undrop.x (${x('a INT, ', 100)} b INT)`, 'unclear'],
    ['in a SET', `SET @a = (SELECT '${x('a', 300)}' FROM _undrop.x)`, 'unclear'],
    ['in a USE', `USE _undrop; SELECT ${rest} 1`, 'ours'],
    ['in a drop', `DROP TABLE _undrop.x; SELECT ${rest} 1`, 'ours'],
  ])('has the name of a recycle schema %s', (_name, sql, expected) => {
    for (const chunks of [[sql.length], [64], [7]]) {
      const { finding } = stream(cut(Buffer.from(sql), chunks), { mode: MODES['mariadb-11.8'] });
      expect(finding?.kind ?? null).toBe(expected);
      if (finding?.kind === 'unclear') expect(finding.guarded).toEqual(NAMED);
    }
  });

  test.each([
    [`INSERT INTO t VALUES (${rest} 2)`, 'ours'],
    [`SELECT ${rest} 2 FROM t; DELETE FROM t`, 'ours'],
    [`CREATE TABLE t (${x('a INT, ', 100)} b INT)`, 'ours'],
    [`CALL p(${rest} 2)`, 'ours'],
    [`SELECT ${rest} NEXTVAL(s)`, 'unclear'],
    [`SET @a = 1; USE d; INSERT INTO t VALUES (${rest} 2)`, null],
    [`SELECT ${rest} 2 FROM t`, null],
  ])('has a recycle schema as its default one: %s', (sql, expected) => {
    const mode = { ...MODES['mariadb-11.8'], inRecycle: true };
    const { finding } = stream(cut(Buffer.from(sql), [64]), { mode });
    expect(finding?.kind ?? null).toBe(expected);
  });

  test('of which nobody knows how it is read goes on until the words of ours come', () => {
    const { finding, safe } = stream([Buffer.from(`SELECT 'dro`), Buffer.from(`p  table'`)], {
      mode: null,
    });
    expect(finding?.kind).toBe('unclear');
    expect(safe).toBe(11);
  });

  test('goes on where nothing of that kind is protected', () => {
    const statements = new StatementStream({
      mode,
      ...MULTI,
      heldBytesMax: 100,
      isOurs: () => false,
    });
    expect(statements.push(Buffer.from('SELECT 1; DROP TABLE t; SELECT 2; '))).toBeNull();
    expect(statements.push(Buffer.from(`PREPARE s FROM '${x('a', 300)}'; SELECT 3`))).toBeNull();
    expect(statements.finish()).toBeNull();
  });

  test('is stopped there before what is never let go', () => {
    const { finding } = stream([Buffer.from(`DROP TABLE t; DELETE FROM _undrop.x; SELECT 2`)], {
      mode,
      isOurs: ({ kind }) => kind === 'guarded',
    });
    expect(finding).toMatchObject({ kind: 'unclear', guarded: NAMED });
  });
});
