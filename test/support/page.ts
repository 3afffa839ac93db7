/** Pages of docs/ that are made of tables in the code: checked against it, or written anew. */
import { writeFileSync } from 'node:fs';
import { readText } from './source-file.js';

/** With UPDATE_GOLDEN=1 `text` becomes the page; otherwise the page has to be it already. */
export function expectPage(path: string, text: string): void {
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
  expect(readText(path)).toBe(text);
}

const TABLE = /^\|.*(?:\n\|.*)*$/gm;

/** The same of the tables of a page that is written by hand around them, in their order. */
export function expectTables(path: string, tables: readonly string[]): void {
  const page = readText(path);
  expect(page.match(TABLE)).toHaveLength(tables.length);
  const [...left] = tables;
  const text = page.replaceAll(TABLE, () => left.shift() ?? '');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
  expect(readText(path)).toBe(text);
}

/** The cells of the rows of each table of a page, without its head. */
export function rowsOf(path: string): readonly (readonly (readonly string[])[])[] {
  const tables = (readText(path).match(TABLE) ?? []).map((table) => table.split('\n').slice(2));
  return tables.map((rows) =>
    rows.map((row) =>
      row
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    ),
  );
}

/** A table of a page. Its bars stand close to the text, so that `wc -w` counts words alone. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `|${cells.join(' |')}|`;
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n');
}
