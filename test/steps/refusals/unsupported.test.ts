/** A reading of ours that is wrong is refused before anything is dropped. */
import { expect, test } from '@jest/globals';
import { crossCheck } from '../../../src/sql/cross-check.js';
import { lexMode } from '../../sql/describe-verdict.js';
import { classify } from '../../support/classify.js';

test('a list of tables that a second parser does not find in the text is objected to', async () => {
  const text = Buffer.from('DROP TABLE kept, gone');
  const verdict = classify(text, lexMode('mysql-9.7'), { multiStatements: false });
  if (verdict.kind !== 'drop-table') throw new Error(verdict.kind);
  const { statement } = verdict;
  expect(await crossCheck(statement, text)).toBeNull();
  const wrong = { ...statement, names: statement.names.slice(0, 1) };
  expect(await crossCheck(wrong, text)).toContain('the second parser reads');
});
