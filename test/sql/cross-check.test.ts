/** The second opinion agrees with every reading of the corpus, and sees a slip in a list. */
import { expect, test } from '@jest/globals';
import { classify } from '../../src/sql/classify.js';
import { crossCheck, warmCrossCheck } from '../../src/sql/cross-check.js';
import type { DropTableStatement } from '../../src/sql/grammar/drop-table.js';
import { corpusCases, modeOf } from './corpus.js';
import { lexMode } from './describe-verdict.js';

function dropTable(sql: string): DropTableStatement {
  const verdict = classify(Buffer.from(sql), lexMode('mysql-9.7'), { multiStatements: false });
  if (verdict.kind !== 'drop-table') throw new Error(`${sql} is ${verdict.kind}`);
  return verdict.statement;
}

test('it agrees with every DROP TABLE of the corpus', async () => {
  await warmCrossCheck();
  let count = 0;
  for (const case_ of corpusCases()) {
    if (case_.kind !== 'drop-table') continue;
    for (const server of case_.on) {
      const options = { multiStatements: false };
      const verdict = classify(Buffer.from(case_.sql), modeOf(case_, server), options);
      if (verdict.kind !== 'drop-table') throw new Error(`${case_.sql} is ${verdict.kind}`);
      expect([case_.sql, crossCheck(verdict.statement)]).toEqual([case_.sql, 'agree']);
      count++;
    }
  }
  expect(count).toBeGreaterThan(500);
});

test('it disagrees where a list has no name', () => {
  const opinion = crossCheck({ ...dropTable('DROP TABLE a'), names: [] });
  expect(opinion).toEqual({ disagree: expect.stringContaining('second parser') });
});

test('odd names are replaced, and as many are left', () => {
  expect(crossCheck(dropTable('DROP TABLE IF EXISTS `a``b`.`c d`, `drop table x`, e'))).toBe(
    'agree',
  );
});
