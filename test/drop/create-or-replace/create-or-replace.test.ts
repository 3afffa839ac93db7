/**
 * A CREATE OR REPLACE in worlds of which each answer is made up: what is said, how often the text
 * runs, how many tables are held at the end, and how many of them for longer.
 */
import { readFileSync } from 'node:fs';
import { createOrReplace } from '../../../src/drop/create-or-replace/create-or-replace.js';
import { blankOrReplace } from '../../../src/drop/create-or-replace/replace-table.js';
import type { UserFacts } from '../../../src/drop/steps/world.js';
import { lexMode } from '../../sql/describe-verdict.js';
import { classify } from '../../support/classify.js';
import { errResult, okResult } from '../../support/results.js';
import { endIn, type TargetWorld } from '../../support/target-world.js';

type Said = string | { readonly matches: string };

/** One of test/golden/create_or_replace_cases.json. */
interface Case extends Partial<Omit<TargetWorld, 'creates'>> {
  /** What each text is answered with; null: the session breaks. */
  readonly creates?: readonly (keyof typeof ANSWERS | null)[];
  readonly comment: string;
  /** Whether the table can be put back; default: nobody tries. */
  readonly isFree?: boolean;
  readonly end: readonly [said: Said, creates: number, held: number, kept: number];
}

const ANSWERS = {
  OK: okResult(),
  TAKEN: errResult(1050, '42S01', "Table 't' already exists"),
  OF_ITSELF: errResult(1146, '42S02', "Table 'shop.t' doesn't exist"),
  OF_OTHER: errResult(1146, '42S02', "Table 'shop.other' doesn't exist"),
  KILLED: errResult(1317, '70100', 'Query execution was interrupted'),
  TWICE: errResult(1060, '42S21', "Duplicate column name 'v'"),
};

const cases: readonly Case[] = JSON.parse(
  readFileSync('test/golden/create_or_replace_cases.json', 'utf8'),
);

const FACTS = {
  ...{ schema: 'shop', sqlMode: '', charset: 'utf8mb4', serverIdentity: 'the server' },
  ...{ logged: true, gtidNext: null, hint: null },
} as UserFacts;

test.each(cases)('$comment', async ({ isFree, end, creates: answers = [], ...rest }) => {
  const world = { ...rest, creates: answers.map((one) => one && ANSWERS[one]) };
  const port = {
    pause: async () => undefined,
    triggersToMake: async () => [],
    putBack: async () => {
      if (isFree === undefined) throw new Error('nobody puts it back');
      return isFree;
    },
  };
  const create = Buffer.from('CREATE            TABLE t (v INT)');
  const sql = 'CREATE OR REPLACE TABLE t (v INT)';
  const whole = { server: 'mariadb-11.8', sql, drop: 'DROP TABLE t', ...world };
  const { said, creates, held, kept } = await endIn(whole, (ports, request) =>
    createOrReplace(ports, { create, facts: FACTS, port }, request),
  );
  const [words, ...counts] = end;
  if (typeof words === 'string') expect(said).toBe(words);
  else expect(said).toMatch(new RegExp(words.matches));
  expect([creates, held, kept]).toEqual(counts);
});

// ── blank or replace ─────────────────────────────────────────────────────────────────────────────
// CREATE OR REPLACE without its words: what is left replaces nothing, and has every offset.

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
