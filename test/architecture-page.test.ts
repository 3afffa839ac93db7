/** docs/inside: the length of its pages, and the folders and files that architecture.md names. */
import { expect, test } from '@jest/globals';
import { listFiles, readText } from './support/source-file.js';

const page = readText('docs/inside/architecture.md');
const folders = new Set(
  listFiles('src', ['.ts']).map((path) => path.slice('src/'.length, path.lastIndexOf('/') + 1)),
);

test('docs/inside/architecture.md has one line for each folder, and for no other', () => {
  const lines = page.matchAll(/^\| `([a-z/-]+\/)` \|/gm);
  const rooms = [...folders].filter((folder) => folder !== '');
  expect([...lines].map(([, room]) => room).toSorted()).toEqual(rooms.toSorted());
});

test('docs/inside/architecture.md has one page, and every file that it names is there', () => {
  expect(page.split(/\s+/).length).toBeLessThanOrEqual(2_000);
  const files = new Set([...listFiles('src', ['.ts']), ...listFiles('test', ['.ts', '.json'])]);
  const named = [...page.matchAll(/`((?:[a-z0-9-]+\/)*[a-z0-9_-]+\.(?:ts|json))`/g)];
  expect(named.length).toBeGreaterThan(40);
  const missing = named
    .map(([, path = '']) => path)
    .filter((path) => !files.has(path) && !files.has(`src/${path}`));
  expect(missing).toEqual([]);
});

test('docs/inside/decisions has at most 12 pages, each of at most 350 words', () => {
  const pages = listFiles('docs/inside/decisions', ['.md']);
  const words = (path: string) => readText(path).trim().split(/\s+/).length;
  expect(pages.length).toBeLessThanOrEqual(12);
  expect(pages.filter((path) => words(path) > 350)).toEqual([]);
});
