/**
 * Pages of the docs: none has more words than its budget (scripts/doc-words.mjs); the folders,
 * files, settings and errors that docs/inside/architecture.md and docs/limits.md name are there,
 * and so are the differences that the latter promises to list.
 */

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { SETTINGS, variableOf } from '../src/config/schema.js';
import { ERRORS } from '../src/errors.js';
import { projectFolder } from './support/folders.js';
import { listFiles, readText } from './support/source-file.js';

interface PageBudgets {
  pageBudgets(): { readonly wrong: readonly string[] };
}

test('no page of README and docs has more words than its budget', async () => {
  const path = join(projectFolder, 'scripts/doc-words.mjs');
  const { pageBudgets } = (await import(pathToFileURL(path).href)) as PageBudgets;
  expect(pageBudgets().wrong).toEqual([]);
});

const architecture = readText('docs/inside/architecture.md');
const folders = new Set(
  listFiles('src', ['.ts']).map((path) => path.slice('src/'.length, path.lastIndexOf('/') + 1)),
);

test('docs/inside/architecture.md names each folder once, and no other', () => {
  const cells = [...architecture.matchAll(/^\| (`[a-z/-]+\/`[^|]*) \|/gm)].map(([, cell]) => cell);
  const named = [...cells.join().matchAll(/`([a-z/-]+\/)`/g)].map(([, room]) => room);
  const rooms = [...folders].filter((folder) => folder !== '');
  expect(named.toSorted()).toEqual(rooms.toSorted());
});

test('docs/inside/architecture.md has one page, and every file that it names is there', () => {
  expect(architecture.split(/\s+/).length).toBeLessThanOrEqual(2_000);
  const files = new Set([...listFiles('src', ['.ts']), ...listFiles('test', ['.ts', '.json'])]);
  const named = [...architecture.matchAll(/`((?:[a-z0-9-]+\/)*[a-z0-9_-]+\.(?:ts|json))`/g)];
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

const limits = readText('docs/limits.md');

interface Listed {
  /** The words of the page that a difference is part of; none: too rare for the page. */
  readonly line?: string;
}

test('docs/limits.md has at most 2,500 words', () => {
  expect(limits.trim().split(/\s+/).length).toBeLessThanOrEqual(2_500);
});

test('every setting and error that docs/limits.md names is there', () => {
  const known = [...Object.keys(ERRORS), ...Object.keys(SETTINGS).map(variableOf)];
  const named = [...limits.matchAll(/\bUNDROP_[A-Z_]+[A-Z]/g)].map(([name]) => name);
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((name) => !known.includes(name))).toEqual([]);
});

/** Between a drop sent directly and one through undrop (test/server/drop-answers.test.ts). */
test('docs/limits.md has the differences of answers that users can meet', () => {
  const { always, under_a_setting } = JSON.parse(
    readText('test/golden/native_differences.json'),
  ) as Readonly<Record<string, Readonly<Record<string, Listed>>>>;
  const lines = Object.values({ ...always, ...under_a_setting }).flatMap(({ line }) => line ?? []);
  expect(lines.length).toBeGreaterThan(5);
  const text = limits.replaceAll(/\s+/g, ' ');
  expect(lines.filter((line) => !text.includes(line))).toEqual([]);
});

// ── pictures ─────────────────────────────────────────────────────────────────────────────────────
// The pictures of the docs, against what scripts/pictures.mjs draws.

test('the pictures are what scripts/pictures.mjs draws of the benchmarks; run it to draw them', () => {
  execFileSync(process.execPath, ['scripts/pictures.mjs', '--check']);
});

test('each figure of a table in docs/inside/benchmarks.md is in a result of bench/results', () => {
  const results = listFiles('bench/results', ['.md']).map(readText).join('\n');
  const known = new Set(results.match(/\d+(?:\.\d+)?/g));
  const cells = readText('docs/inside/benchmarks.md')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .flatMap((line) => line.split('|').map((cell) => cell.trim()));
  const figures = cells.filter((cell) => /^\d+(\.\d+)?$/.test(cell));
  expect(figures.length).toBeGreaterThan(50);
  expect(figures.filter((figure) => !known.has(figure))).toEqual([]);
});
