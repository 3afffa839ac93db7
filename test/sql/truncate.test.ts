/** TRUNCATE where it is looked for, however it is written, and not a byte of it where it isn't. */
import { describe, expect, test } from '@jest/globals';
import { mayBeOurs } from '../../src/sql/trigger-scan.js';
import { classify } from '../support/classify.js';
import { lexMode } from './describe-verdict.js';

const TRUNCATES = { multiStatements: true, protect: new Set(['truncate'] as const) };

describe('TRUNCATE', () => {
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
