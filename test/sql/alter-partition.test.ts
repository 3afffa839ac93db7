/**
 * ALTER TABLE … DROP PARTITION and TRUNCATE PARTITION where they are looked for, however they are
 * written, and not a byte of them where they aren't.
 */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { quoteClientName } from '../../src/sql/lex/client-charset.js';
import { readingAhead } from '../../src/sql/read-ahead.js';
import { readAtOnce } from '../../src/sql/reading.js';
import { mayBeOurs } from '../../src/sql/trigger-scan.js';
import type { Protection, Verdict } from '../../src/sql/verdict.js';
import { classify, classifyUnderAll } from '../support/classify.js';
import fc from '../support/properties.js';
import { rounds } from '../support/sample.js';
import { describeVerdict, latin1, lexMode, type ServerKey } from './describe-verdict.js';

const PARTITIONS = { multiStatements: true, protect: new Set<Protection>(['drop-partition']) };
const ALL: readonly ServerKey[] = ['mysql-9.7', 'mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'];
const MARIADB = ALL.slice(2);
const MYSQL = ALL.slice(0, 2);

function read(sql: string, server: ServerKey, options = PARTITIONS): string {
  return describeVerdict(classify(Buffer.from(sql), lexMode(server), options));
}

const ON_ALL: readonly (readonly [sql: string, expected: string])[] = [
  ['ALTER TABLE a DROP PARTITION p', 'drop-partition a (p)'],
  ['alter table `d`.`a` drop partition p , `q``1`,\n p; ', 'drop-partition d.a (p, q`1, p)'],
  ['ALTER TABLE a TRUNCATE PARTITION p, q', 'truncate-partition a (p, q)'],
  ['ALTER TABLE a TRUNCATE PARTITION ALL', 'truncate-partition a all'],
  ['ALTER TABLE a TRUNCATE PARTITION `ALL`', 'truncate-partition a (ALL)'],
  ['ALTER TABLE partitions DROP PARTITION p', 'drop-partition partitions (p)'],
  ['ALTER TABLE algorithm DROP PARTITION `drop`', 'drop-partition algorithm (drop)'],
  ['ALTER IGNORE TABLE a DROP PARTITION p', 'unclear'],
  ['ALTER ONLINE TABLE a TRUNCATE PARTITION p', 'unclear'],
  ['ALTER OFFLINE IGNORE TABLE a DROP PARTITION p', 'unclear'],
  ['ALTER IGNORE IGNORE IGNORE IGNORE ONLINE TABLE a DROP PARTITION p', 'unclear'],
  ['ALTER TABLE a ALGORITHM=INPLACE, DROP PARTITION p', 'unclear'],
  ['ALTER TABLE a LOCK NONE, ALGORITHM = DEFAULT, WITHOUT VALIDATION, DROP PARTITION p', 'unclear'],
  ['ALTER TABLE a WITH VALIDATION, TRUNCATE PARTITION ALL', 'unclear'],
  ['ALTER TABLE a DROP/* x */PARTITION -- y\np # z', 'drop-partition a (p)'],
  ['ALTER TABLE a /*!50100 DROP PARTITION p */', 'drop-partition a (p)'],
  ['/*!50100 ALTER TABLE a DROP */ PARTITION p', 'drop-partition a (p)'],
  ['ALTER TABLE a DROP PARTITION p /*!99990 , q */', 'drop-partition a (p)'],
  ['ALTER TABLE a /*!99990 DROP PARTITION p */', 'not-ours'],
  ['ALTER TABLE a DROP PARTITION rank', 'drop-partition a (rank) doubtful'],
  ['ALTER TABLE rank DROP PARTITION p', 'drop-partition rank (p) doubtful'],
  ['ALTER TABLE a DROP PARTITION `p `', 'drop-partition a (p ) doubtful'],
  // What the grammar doesn't take is for the server's PREPARE.
  ['ALTER TABLE a DROP PARTITION', 'unclear'],
  ['ALTER TABLE a DROP PARTITION ALL', 'unclear'],
  ['ALTER TABLE a DROP PARTITION p,', 'unclear'],
  ['ALTER TABLE a DROP PARTITION p q', 'unclear'],
  ['ALTER TABLE a DROP PARTITION (p)', 'unclear'],
  ['ALTER TABLE a DROP PARTITION p.q', 'unclear'],
  ["ALTER TABLE a DROP PARTITION 'p'", 'unclear'],
  ['ALTER TABLE a DROP PARTITION p, ADD COLUMN b INT', 'unclear'],
  ['ALTER TABLE a ADD COLUMN b INT, DROP PARTITION p', 'unclear'],
  ['ALTER TABLE a ALGORITHM=INPLACE DROP PARTITION p', 'unclear'],
  ['ALTER TABLE a LOCK=, DROP PARTITION p', 'unclear'],
  ['ALTER TABLE a TRUNCATE PARTITION p, ALL', 'unclear'],
  ['ALTER TABLE a TRUNCATE PARTITION IF EXISTS p', 'unclear'],
  ['ALTER TABLE DROP PARTITION p', 'unclear'],
  ['ALTER ODD TABLE a DROP PARTITION p', 'unclear'],
  ['ALTER TABLE a DROP PARTITION p `', 'unclear'],
  ['ALTER TABLE a DROP PARTITION p /*', 'unclear'],
  // Of these nothing is destroyed, or nothing of a partition.
  ['ALTER TABLE a ADD PARTITION (PARTITION p VALUES LESS THAN (1))', 'not-ours'],
  ['ALTER TABLE a COALESCE PARTITION 2', 'not-ours'],
  ['ALTER TABLE a REBUILD PARTITION ALL', 'not-ours'],
  ['ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b', 'not-ours'],
  ['ALTER TABLE a CONVERT PARTITION p TO TABLE b', 'not-ours'],
  ['ALTER TABLE a REORGANIZE PARTITION p INTO (PARTITION q VALUES LESS THAN (1))', 'not-ours'],
  ['ALTER TABLE a DROP COLUMN `partition`', 'not-ours'],
  ['ALTER TABLE a DROP `partition`', 'not-ours'],
  ["ALTER TABLE a COMMENT 'DROP PARTITION p'", 'not-ours'],
  ["ALTER TABLE a /* DROP PARTITION p */ COMMENT 'x'", 'not-ours'],
  ['ALTER TABLE a DROP COLUMN b, COMMENT "partition"', 'not-ours'],
  ['ALTER EVENT e DO ALTER TABLE a DROP PARTITION p', 'not-ours'],
  ['CREATE PROCEDURE p() ALTER TABLE a DROP PARTITION p', 'not-ours'],
  ['CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO ALTER TABLE a DROP PARTITION p', 'not-ours'],
  ["INSERT INTO a VALUES ('; ALTER TABLE a DROP PARTITION p')", 'not-ours'],
  ["SELECT 'ALTER TABLE a DROP PARTITION p'", 'not-ours'],
  // Wherever it stands.
  [
    'DO 1; ALTER TABLE a DROP PARTITION p; DO 2',
    'refused/multi-statement a [not-ours; drop-partition a (p); not-ours]',
  ],
  [
    'DROP TABLE b; ALTER TABLE a TRUNCATE PARTITION ALL',
    'refused/multi-statement b a [drop-table b; truncate-partition a all]',
  ],
  [
    'ALTER TABLE a ADD b INT; ALTER TABLE a DROP PARTITION',
    'refused/multi-statement [not-ours; unclear]',
  ],
  ["PREPARE s FROM 'ALTER TABLE a DROP PARTITION p'", 'refused/prepare a [drop-partition a (p)]'],
  ["PREPARE s FROM 'ALTER TABLE a DROP PART\\ITION p,'", 'refused/prepare [unclear]'],
  ["PREPARE s FROM 'ALTER TABLE a ADD b INT'", 'not-ours'],
  ['ALTER TABLE _undrop.ledger DROP PARTITION p', 'recycle-schema-write/named'],
  ['ALTER TABLE a DROP PARTITION _undrop', 'recycle-schema-write/named'],
];

describe('ALTER TABLE of partitions', () => {
  test.each(ON_ALL)('on all servers: %s', (sql, expected) => {
    const found = ALL.map((server) => read(sql, server));
    expect(found).toEqual(ALL.map(() => expected));
  });

  test.each([
    ['ALTER TABLE IF EXISTS a DROP PARTITION p', 'drop-partition a (p) if-exists'],
    ['ALTER TABLE a DROP PARTITION IF EXISTS p, q', 'drop-partition a (p, q) if-partition-exists'],
    ['ALTER TABLE a WAIT 5 DROP PARTITION p', 'drop-partition a (p) wait 5'],
    ['ALTER TABLE a NOWAIT TRUNCATE PARTITION ALL', 'truncate-partition a all nowait'],
    [
      'ALTER TABLE IF EXISTS d.a NOWAIT DROP PARTITION IF EXISTS p',
      'drop-partition d.a (p) if-partition-exists if-exists nowait',
    ],
    ['ALTER TABLE a /*M!100000 DROP PARTITION p*/', 'drop-partition a (p)'],
    [
      'SET STATEMENT lock_wait_timeout=1 FOR ALTER TABLE a DROP PARTITION p',
      'refused/set-statement',
    ],
    ['SET STATEMENT a=1 FOR ALTER TABLE a ADD PARTITION PARTITIONS 2', 'not-ours'],
    [
      "EXECUTE IMMEDIATE 'ALT\\ER TABLE a TRUNCATE PARTITION p'",
      'refused/execute-immediate a [truncate-partition a (p)]',
    ],
    ['BEGIN NOT ATOMIC ALTER TABLE a DROP PARTITION p; END', 'refused/compound'],
    [
      'BEGIN NOT ATOMIC IF 1 THEN ALTER TABLE a DROP PARTITION; END IF; DO 1; END',
      'refused/compound',
    ],
    ['BEGIN NOT ATOMIC ALTER EVENT e DO ALTER TABLE a DROP PARTITION p; END', 'refused/compound'],
    ['BEGIN NOT ATOMIC ALTER TABLE _undrop.a DROP PARTITION p; END', 'recycle-schema-write/named'],
  ])('on MariaDB: %s', (sql, expected) => {
    const found = MARIADB.map((server) => read(sql, server));
    expect(found).toEqual(MARIADB.map(() => expected));
  });

  test.each([
    'ALTER TABLE IF EXISTS a DROP PARTITION p',
    'ALTER TABLE a DROP PARTITION IF EXISTS p',
    'ALTER TABLE a NOWAIT DROP PARTITION p',
    'ALTER TABLE a WAIT 1 TRUNCATE PARTITION p',
  ])('is not MySQL’s, which its PREPARE says: %s', (sql) => {
    expect(MYSQL.map((server) => read(sql, server))).toEqual(['unclear', 'unclear']);
  });

  test('has its names as the client’s charset and sql_mode have them', () => {
    const names = (sql: string, mode: Parameters<typeof lexMode>[1]) => {
      const bytes = Buffer.from(sql, 'latin1');
      const of = lexMode('mariadb-10.11', mode);
      const verdict = classify(bytes, of, PARTITIONS);
      const partitions = verdict.kind === 'drop-table' ? verdict.statement.partitions : undefined;
      if (partitions === undefined || partitions.names === 'all') return describeVerdict(verdict);
      return partitions.names.map(({ partition, start, end }) => {
        const quoted = latin1(quoteClientName(partition, of.charset));
        return [latin1(partition), sql.slice(start, end), quoted];
      });
    };
    const ansi = 'ALTER TABLE "a" DROP PARTITION "p""q", `r`, s';
    expect(names(ansi, { ansiQuotes: true })).toEqual([
      ['p"q', '"p""q"', '`p"q`'],
      ['r', '`r`', '`r`'],
      ['s', 's', '`s`'],
    ]);
    expect(names(ansi, {})).toBe('unclear');
    // The first backquote within is the second byte of a character.
    const gbk = 'ALTER TABLE a DROP PARTITION `\x81`` , \xc4\xe3';
    expect(names(gbk, { charset: 'gbk' })).toEqual([
      ['\x81`', '`\x81``', '`\x81``'],
      ['\xc4\xe3', '\xc4\xe3', '`\xc4\xe3`'],
    ]);
    // What the charset doesn't have is no name.
    expect(names('ALTER TABLE a DROP PARTITION `\xe4`', { charset: 'utf8' })).toBe('unclear');
  });

  test('is none of ours where it is not looked for', () => {
    for (const [sql] of ON_ALL) {
      if (/drop table|_undrop/i.test(sql)) continue;
      for (const server of ALL) {
        for (const protect of [[], ['truncate']] as const) {
          const verdict = read(sql, server, { ...PARTITIONS, protect: new Set(protect) });
          expect([sql, verdict]).toEqual([sql, 'not-ours']);
        }
      }
    }
  });

  test('is no TRUNCATE, nor the other way round', () => {
    const sql = 'ALTER TABLE a TRUNCATE PARTITION p; TRUNCATE b';
    const kinds = (...protect: readonly Protection[]) => {
      const verdict = classify(Buffer.from(sql), lexMode('mysql-9.7'), {
        multiStatements: true,
        protect: new Set(protect),
      });
      return verdict.kind === 'refused' ? verdict.statements.map((one) => one.verdict.kind) : [];
    };
    expect(kinds('truncate')).toEqual(['not-ours', 'drop-table']);
    expect(kinds('drop-partition')).toEqual(['drop-table', 'not-ours']);
    expect(kinds('drop-partition', 'truncate')).toEqual(['drop-table', 'drop-table']);
  });

  test('is not the same as another of other partitions', () => {
    const verdicts: Verdict[] = [
      'ALTER TABLE a DROP PARTITION p,q',
      'ALTER TABLE a DROP PARTITION p,r',
      'ALTER TABLE a DROP PARTITION pqr',
      'ALTER TABLE a TRUNCATE PARTITION p',
      'ALTER TABLE a TRUNCATE PARTITION ALL',
    ].map((sql) => classify(Buffer.from(sql), lexMode('mariadb-10.11'), PARTITIONS));
    for (const one of verdicts) {
      expect(verdicts.filter((other) => isDeepStrictEqual(one, other))).toEqual([one]);
    }
  });

  test('depends on the mode where that isn’t known and quotes are in it', () => {
    const known = { flavour: 'mysql', versionId: 90704 } as const;
    const under = (sql: string) =>
      describeVerdict(classifyUnderAll(Buffer.from(sql), known, PARTITIONS));
    expect(under('ALTER TABLE a DROP PARTITION p')).toBe('drop-partition a (p)');
    expect(under('ALTER TABLE a DROP PARTITION "p"')).toBe('disagree');
    expect(under('ALTER TABLE a COMMENT "DROP PARTITION"')).toBe('not-ours');
  });

  test('is what a text of several is read up to', () => {
    const text = Buffer.from('DO 1; ALTER TABLE a DROP PARTITION p; DO 2');
    const isOurs = ({ kind }: Verdict) => kind !== 'not-ours';
    const ahead = (...protect: readonly Protection[]) => {
      const wanted = { isOurs, protect: new Set(protect), names: false };
      return readAtOnce(readingAhead(text, lexMode('mysql-9.7'), wanted))?.ours;
    };
    expect(ahead('drop-partition')).toMatchObject({ at: 5, next: text.indexOf(' DO 2') });
    expect(ahead()).toBeNull();
  });
});

describe('the scan for it', () => {
  const parts = fc.constantFrom(
    ...['ALTER', 'drop', 'Truncate', 'PARTITION', 'parti', 'tion', 'al', 'ter', ' ', 'x', 'table'],
  );

  test('says what a naive search says, and sees nothing beyond its range', () => {
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 7 }), (all) => {
        const text = all.join('');
        const bytes = Buffer.from(`alter drop partition${text}alter drop partition`);
        const [from, to] = [20, 20 + text.length];
        const isAlter = /alter/i.test(text) && /partition/i.test(text);
        const isOurs = isAlter && /truncate/i.test(text);
        const isDrop = /drop/i.test(text) && /table/i.test(text);
        expect(mayBeOurs(bytes, from, to, PARTITIONS.protect)).toBe(isDrop || isOurs);
        expect(mayBeOurs(bytes, from, to)).toBe(isDrop);
      }),
      { numRuns: rounds(2_000, 400) },
    );
  });
});
