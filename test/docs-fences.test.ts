/** The tags of the commands in README and docs, and how these are read. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { commandsOf, fencesOf, parseFences } from './support/docs-fences.js';
import { projectFolder } from './support/folders.js';
import { listFiles } from './support/source-file.js';

const fences = [...listFiles('.', ['.md'], { deep: false }), ...listFiles('docs', ['.md'])].flatMap(
  fencesOf,
);

test('at most ten blocks are run by no test, and each says why', () => {
  const without = fences.filter(({ noTest }) => noTest !== null);
  expect(without.length).toBeLessThanOrEqual(10);
});

test('each test that a block names is there', () => {
  const named = fences.flatMap(({ page, line, testedBy }) =>
    testedBy === null ? [] : [{ at: `${page}:${line}`, testedBy }],
  );
  const path = (name: string) => join(projectFolder, `test/${name}.test.ts`);
  expect(named.filter(({ testedBy }) => !existsSync(path(testedBy)))).toEqual([]);
});

describe('a page', () => {
  const text = [
    '# Page',
    '<!-- run: DROP TABLE shop.orders -->',
    '```sql',
    'UNDROP TABLE orders;',
    '```',
    '```console',
    '$ undrop list',
    '```',
    '1. Do:',
    '   ```sh no-test="needs a package mirror"',
    '   apt install \\',
    '     undrop  # it',
    '   ```',
    '```sh test="server/init"',
    'undrop init',
    '```',
  ].join('\n');
  const read = parseFences('page.md', text);

  test('has its commands with their tags', () => {
    expect(read).toMatchObject([
      { line: 4, language: 'sql', before: 'DROP TABLE shop.orders', noTest: null },
      { line: 11, language: 'sh', before: null, noTest: 'needs a package mirror', testedBy: null },
      { line: 15, language: 'sh', noTest: null, testedBy: 'server/init' },
    ]);
  });

  test('has continued lines in one command', () => {
    expect(commandsOf(read[1] as (typeof read)[number])).toEqual([
      'apt install \\\n  undrop  # it',
    ]);
  });

  test('has statements of several lines', () => {
    const sql = {
      language: 'sql',
      text: '-- all\nSELECT 1\nFROM t;  -- one\n\nSELECT 2;\n',
    } as const;
    expect(commandsOf(sql)).toEqual(['SELECT 1\nFROM t;  -- one', 'SELECT 2;']);
  });
});
