/** The files that only `npm run test:long` runs are there, once each, and have servers. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { projectFolder } from './support/folders.js';

test('each file of long-tests.json is there, and is named once', () => {
  const text = readFileSync(join(projectFolder, 'scripts/long-tests.json'), 'utf8');
  const names = Object.values(JSON.parse(text) as Record<string, readonly string[]>).flat();
  const isThere = (name: string) => existsSync(join(projectFolder, `test/${name}.test.ts`));
  expect(names.filter((name) => !isThere(name))).toEqual([]);
  expect(names.length).toBe(new Set(names).size);
});
