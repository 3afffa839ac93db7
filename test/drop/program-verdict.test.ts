/** The verdict on a text where nothing can be prepared: what is asked, and how it is understood. */
import { describe, expect, test } from '@jest/globals';
import {
  askParser,
  askVerdict,
  passesParser,
  readVerdict,
} from '../../src/drop/program-verdict.js';
import { errResult, okResult } from '../support/results.js';

const groupId = '0195a1b2c3d070008000000000000000';
const SEAL = `\`undrop_${groupId}\` )`;

function asked(text: string): readonly string[] {
  return askVerdict({ text: Buffer.from(text), groupId }).map((command) =>
    command.kind === 'close' ? 'close' : Buffer.from(command.text).toString(),
  );
}

const near = (quoted: string) =>
  errResult(1064, '42000', `You have an error near '${quoted}' at line 2`);
const KNOWN = near(SEAL);

describe('the question', () => {
  test('is a program that nobody can make, with an end that no grammar takes', () => {
    const program = `CREATE /* undrop judge ${groupId} */ PROCEDURE \`_undrop_none_${groupId}\`.\`p\`()`;
    expect(asked('DROP TABLE b -- a comment')).toEqual([
      `${program} DROP TABLE a\n${SEAL}`,
      `${program} DROP TABLE b -- a comment\n${SEAL}`,
    ]);
  });

  test('leaves out what ends a statement', () => {
    expect(asked('DROP TABLE b ;\n')[1]).toMatch(/DROP TABLE b\n`undrop_/);
  });

  test('is not asked of a text in which another statement might begin', () => {
    expect(asked('DROP TABLE b; DROP TABLE c')).toEqual([]);
  });
});

describe('the answer', () => {
  test('is that the text is taken where the server stumbles over the end alone', () => {
    expect(readVerdict([KNOWN, KNOWN], groupId)).toEqual({ taken: true });
  });

  test.each([
    ['before the end', near(`b c\n${SEAL}`)],
    ['at what is missing before it', near(')')],
    ['over a name', errResult(1066, '42000', 'Not unique')],
  ])('is the error where it stumbles %s', (_, why) => {
    expect(readVerdict([KNOWN, why], groupId)).toEqual({ taken: false, why });
  });

  test.each([
    ['of the text is no parser’s', [KNOWN, errResult(1049, '42000', 'Unknown database')]],
    ['of what is known is none', [errResult(1064, '42000', ''), near('b c')]],
    ['is missing', []],
    ['is OK', [KNOWN, okResult()]],
  ])('is none where that %s', (_, results) => {
    expect(readVerdict(results, groupId)).toBeNull();
  });
});

describe('whether the parser takes a CREATE', () => {
  const END = `) \`undrop_${groupId}\``;

  test('is asked by an end that is no option and no alias', () => {
    const text = Buffer.from('CREATE OR REPLACE TABLE a SELECT 1 ;\n');
    expect(askParser({ text, groupId }).toString()).toMatch(
      new RegExp(`\\(\\) CREATE OR REPLACE TABLE a SELECT 1\n\\) .undrop_${groupId}.$`),
    );
  });

  test.each([
    ['so where the server stumbles over that end', near(END), true],
    ['not so where it stumbles before', near(`b c\n${END}`.slice(0, 5)), false],
    ['not so where it says something else', errResult(1074, '42000', END), false],
  ])('is %s', (_, result, passes) => {
    expect(passesParser(result, groupId)).toBe(passes);
  });
});
