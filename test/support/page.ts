/** Pages of docs/ that are made of tables in the code: checked against it, or written anew. */
import { writeFileSync } from 'node:fs';
import { expect } from '@jest/globals';
import { readText } from './source-file.js';

/** With UPDATE_GOLDEN=1 `text` becomes the page; otherwise the page has to be it already. */
export function expectPage(path: string, text: string): void {
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
  expect(readText(path)).toBe(text);
}

/** A table of a page. Its bars stand close to the text, so that `wc -w` counts words alone. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `|${cells.join(' |')}|`;
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n');
}
