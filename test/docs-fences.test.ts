/** The tags of the commands in README and docs (test/server/docs-commands.test.ts runs them). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { fencesOf } from './support/docs-fences.js';
import { projectFolder } from './support/folders.js';
import { listFiles } from './support/source-file.js';

const fences = [...listFiles('.', ['.md'], { deep: false }), ...listFiles('docs', ['.md'])].flatMap(
  fencesOf,
);

test('at most ten blocks are run by no test, and each says why', () => {
  expect(fences.length).toBeGreaterThan(30);
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
