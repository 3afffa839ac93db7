/** Each page of README and docs stays within its budget of words (scripts/doc-words.mjs). */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from '@jest/globals';
import { projectFolder } from './support/folders.js';

interface PageBudgets {
  pageBudgets(): { readonly wrong: readonly string[] };
}

test('no page of README and docs has more words than its budget', async () => {
  const path = join(projectFolder, 'scripts/doc-words.mjs');
  const { pageBudgets } = (await import(pathToFileURL(path).href)) as PageBudgets;
  expect(pageBudgets().wrong).toEqual([]);
});
