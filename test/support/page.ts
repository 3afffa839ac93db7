/** Pages of docs/ that are made of tables in the code: checked against it, or written anew. */
import { writeFileSync } from 'node:fs';
import { expect } from '@jest/globals';
import { readText } from './source-file.js';

/** With UPDATE_GOLDEN=1 `text` becomes the page; otherwise the page has to be it already. */
export function expectPage(path: string, text: string): void {
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
  expect(readText(path)).toBe(text);
}
