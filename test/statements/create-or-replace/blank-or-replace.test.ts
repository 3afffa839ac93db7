/** CREATE OR REPLACE without its words: what is left replaces nothing, and has every offset. */
import { describe, expect, test } from '@jest/globals';
import { blankOrReplace } from '../../../src/statements/create-or-replace/replace-table.js';
import { lexMode } from '../../sql/describe-verdict.js';
import { classify } from '../../support/classify.js';

const SINGLE = { multiStatements: false };
const mode = lexMode('mariadb-11.8');

/** Null: it isn't said where the words are. */
function blanked(sql: string): string | null {
  const text = Buffer.from(sql);
  const verdict = classify(text, mode, SINGLE);
  if (verdict.kind !== 'refused' || verdict.replacement === undefined) return null;
  return blankOrReplace(text, verdict.replacement.words).toString();
}

describe('the words OR REPLACE', () => {
  test.each([
    ['CREATE OR REPLACE TABLE a (b INT)', 'CREATE            TABLE a (b INT)'],
    ['create\nor\nreplace\ntable a like b;', 'create\n  \n       \ntable a like b;'],
    ['CREATE/*x*/OR/**/REPLACE/**/TABLE`a`(b INT)', 'CREATE/*x*/  /**/       /**/TABLE`a`(b INT)'],
    [
      'CREATE /*M!100103 OR REPLACE */ TABLE a (b INT)',
      'CREATE /*M!100103            */ TABLE a (b INT)',
    ],
    [
      "/* or replace */ CREATE OR REPLACE TABLE a SELECT 'or replace'",
      "/* or replace */ CREATE            TABLE a SELECT 'or replace'",
    ],
    ['CREATE OR REPLACE SEQUENCE d.s', 'CREATE            SEQUENCE d.s'],
  ])('go from %j', (sql, left) => {
    expect(blanked(sql)).toBe(left);
    expect(classify(Buffer.from(left), mode, SINGLE).kind).toBe('not-ours');
  });

  test.each([
    'CREATE OR REPLACE DATABASE d',
    "CREATE OR REPLACE TABLE a COMMENT='",
    'CREATE OR REPLACE TABLE',
    'CREATE OR REPLACE TEMPORARY TABLE a (b INT)',
    'CREATE OR REPLACE VIEW a AS SELECT 1',
  ])('stay in %j', (sql) => {
    expect(blanked(sql)).toBeNull();
  });
});
