/** How many sessions the open files are enough for. */
import { expect, test } from '@jest/globals';
import {
  openFilesFor,
  openFilesMax,
  sessionsByOpenFiles,
} from '../../../src/cli/workers/open-files.js';

test('each session takes two, beside those of the process', () => {
  expect(sessionsByOpenFiles(1_024)).toBe(480);
  expect(openFilesFor(480)).toBe(1_024);
  expect(openFilesFor(10_000)).toBe(20_064);
});

test('there is room for one in any case, and no limit where none is known', () => {
  expect(sessionsByOpenFiles(10)).toBe(1);
  expect(sessionsByOpenFiles(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
});

test('this process has a limit', () => {
  expect(openFilesMax()).toBeGreaterThan(100);
});
