/** A reading of ours that is wrong is refused before anything is dropped. */
import { expect, test } from '@jest/globals';
import { whyUnsupported } from '../../../src/steps/inspect-names.js';
import { lexMode } from '../../sql/describe-verdict.js';
import { classify } from '../../support/classify.js';

const MYSQL = { flavour: 'mysql', versionId: 90_704, isGalera: false } as const;

test('a list of tables that a second parser does not find in the text is objected to', () => {
  const text = Buffer.from('DROP TABLE kept, gone');
  const verdict = classify(text, lexMode('mysql-9.7'), { multiStatements: false });
  if (verdict.kind !== 'drop-table') throw new Error(verdict.kind);
  const { statement } = verdict;
  const server = { ...MYSQL, text: '9.7.4' };
  expect(whyUnsupported(statement, server, text)).toBeNull();
  const wrong = { ...statement, names: statement.names.slice(0, 1) };
  expect(whyUnsupported(wrong, server, text)).toContain('the second parser reads');
});
