/**
 * ALTER TABLE … DROP PARTITION and TRUNCATE PARTITION where they are looked for, however they are
 * written, and not a byte of them where they aren't.
 */

import type { Protection } from '../../src/sql/destroying.js';
import { readingAhead } from '../../src/sql/read-ahead.js';
import { readAtOnce } from '../../src/sql/reading.js';
import { mayBeOurs } from '../../src/sql/trigger-scan.js';
import type { Verdict } from '../../src/sql/verdict.js';
import { classify, classifyUnderAll } from '../support/classify.js';
import { verdictGroups } from './corpus.js';
import { describeVerdict, lexMode, type ServerKey } from './describe-verdict.js';

const PARTITIONS = { multiStatements: true, protect: new Set<Protection>(['drop-partition']) };
const ALL: readonly ServerKey[] = ['mysql-9.7', 'mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'];

function read(sql: string, server: ServerKey, options = PARTITIONS): string {
  return describeVerdict(classify(Buffer.from(sql), lexMode(server), options));
}

describe('ALTER TABLE of partitions', () => {
  test('is none of ours where it is not looked for', () => {
    const looked = verdictGroups.filter(({ about }) => about === 'ALTER TABLE of partitions');
    for (const { sql } of looked.flatMap(({ cases }) => cases)) {
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

  test('depends on the mode where that isn’t known and the table’s name has quotes', () => {
    const known = { flavour: 'mysql', versionId: 90704 } as const;
    const under = (sql: string) =>
      describeVerdict(classifyUnderAll(Buffer.from(sql), known, PARTITIONS));
    expect(under('ALTER TABLE a DROP PARTITION "p"')).toBe('drop-partition a');
    expect(under('ALTER TABLE "a" DROP PARTITION p')).toBe('disagree');
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

// ── truncate ─────────────────────────────────────────────────────────────────────────────────────
// TRUNCATE where it is looked for, however it is written, and not a byte of it where it isn't.

test('TRUNCATE is none of ours where it is not looked for', () => {
  for (const sql of ['TRUNCATE a', 'DO 1; TRUNCATE a', "PREPARE s FROM 'TRUNCATE a'"]) {
    const verdict = classify(Buffer.from(sql), lexMode('mysql-9.7'), { multiStatements: true });
    expect([sql, verdict.kind]).toEqual([sql, 'not-ours']);
  }
  expect(mayBeOurs(Buffer.from('TRUNCATE a'), 0, 10)).toBe(false);
});
