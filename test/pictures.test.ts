/** The pictures of the docs, against what scripts/pictures.mjs draws. */
import { execFileSync } from 'node:child_process';
import { expect, test } from '@jest/globals';
import { listFiles, readText } from './support/source-file.js';

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
