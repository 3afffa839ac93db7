/** TRUNCATE where it is looked for, however it is written, and not a byte of it where it isn't. */
import { describe, expect, test } from '@jest/globals';
import { mayBeOurs } from '../../src/sql/trigger-scan.js';
import { classify } from '../support/classify.js';
import { describeVerdict, lexMode } from './describe-verdict.js';

const TRUNCATES = { multiStatements: true, protect: new Set(['truncate'] as const) };

const ROWS: readonly (readonly [sql: string, expected: string])[] = [
  ['TRUNCATE a', 'truncate a'],
  ['truncate table `d`.`a`; ', 'truncate d.a'],
  ['/*!40000 TRUNCATE */ TABLE /* x */ a -- y', 'truncate a'],
  ['TRUNCATE TABLE', 'unclear'],
  ['TRUNCATE a, b', 'unclear'],
  ['TRUNCATE a NOWAIT', 'unclear'],
  ['TRUNCATE TABLE a WAIT 3', 'unclear'],
  ['TRUNCATE rank', 'truncate rank doubtful'],
  ['SELECT TRUNCATE(1.2, 1)', 'not-ours'],
  ['ALTER TABLE a TRUNCATE PARTITION p', 'not-ours'],
  ["INSERT INTO a VALUES ('; TRUNCATE a')", 'not-ours'],
  ['CREATE PROCEDURE p() TRUNCATE a', 'not-ours'],
  ['CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @a = TRUNCATE(1, 0)', 'not-ours'],
  ['DO 1; TRUNCATE a; DO 2', 'refused/multi-statement a [not-ours; truncate a; not-ours]'],
  ['DROP TABLE a; TRUNCATE b', 'refused/multi-statement a b [drop-table a; truncate b]'],
  ['BEGIN NOT ATOMIC TRUNCATE a; END', 'refused/compound'],
  ['BEGIN NOT ATOMIC TRUNCATE .a; END', 'refused/compound'],
  ['BEGIN NOT ATOMIC IF 1 THEN TRUNCATE a; END IF; END', 'refused/compound'],
  ['SET STATEMENT a=1 FOR TRUNCATE a', 'refused/set-statement'],
  ['SET STATEMENT a=1 FOR TRUNCATE .a', 'refused/set-statement'],
  ["PREPARE s FROM 'TRUNCATE a'", 'refused/prepare a [truncate a]'],
  ["EXECUTE IMMEDIATE 'TRUNC\\ATE a'", 'refused/execute-immediate a [truncate a]'],
  ['TRUNCATE _undrop.ledger', 'recycle-schema-write/named'],
];

describe('TRUNCATE', () => {
  test.each(ROWS)('%s', (sql, expected) => {
    const verdict = classify(Buffer.from(sql), lexMode('mariadb-10.11'), TRUNCATES);
    expect(describeVerdict(verdict)).toBe(expected);
  });

  test('is none of ours where it is not looked for', () => {
    for (const sql of ['TRUNCATE a', 'DO 1; TRUNCATE a', "PREPARE s FROM 'TRUNCATE a'"]) {
      const verdict = classify(Buffer.from(sql), lexMode('mysql-9.7'), { multiStatements: true });
      expect([sql, verdict.kind]).toEqual([sql, 'not-ours']);
      expect(mayBeOurs(Buffer.from('TRUNCATE a'), 0, 10)).toBe(false);
    }
  });

  test('is seen by the scan wherever it stands, and nowhere beyond its range', () => {
    const bytes = Buffer.from('x trUNCate y truncat');
    expect(mayBeOurs(bytes, 0, bytes.length, TRUNCATES.protect)).toBe(true);
    expect(mayBeOurs(bytes, 2, 10, TRUNCATES.protect)).toBe(true);
    expect(mayBeOurs(bytes, 3, bytes.length, TRUNCATES.protect)).toBe(false);
    expect(mayBeOurs(bytes, 0, 9, TRUNCATES.protect)).toBe(false);
  });
});
