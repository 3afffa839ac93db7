/** Sessions by open files, processes by cores, and their service connections by the server. */
import { expect, test } from '@jest/globals';
import {
  autoWorkers,
  openFilesFor,
  openFilesMax,
  serviceConnectionsOf,
  sessionsByOpenFiles,
  sessionsOfEach,
} from '../../../src/cli/serve/limits.js';

test('each session takes two, beside those of the process', () => {
  expect(sessionsByOpenFiles(1_024)).toBe(480);
  expect(openFilesFor(480)).toBe(1_024);
  expect(openFilesFor(10_000)).toBe(20_064);
});

test('there is room for one in any case, and no limit where none is known', () => {
  expect(sessionsByOpenFiles(10)).toBe(1);
  expect(sessionsByOpenFiles(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
});

test('each process accepts its share, rounded up, as far as its open files are enough', () => {
  expect([1, 2, 3].map((processes) => sessionsOfEach(10, processes))).toEqual([10, 5, 4]);
  expect(sessionsOfEach(1_000_000_000, 1)).toBe(sessionsByOpenFiles());
});

test('this process has a limit', () => {
  expect(openFilesMax()).toBeGreaterThan(100);
});

test('auto is half of the cores, from one to four', () => {
  expect([1, 2, 3, 4, 6, 8, 64].map(autoWorkers)).toEqual([1, 1, 1, 2, 3, 4, 4]);
});

test('service connections are a fifth of what the server takes, from four to eight each', () => {
  const each = [50, 151, 200, 1_000].map((serverMax) => serviceConnectionsOf(4, serverMax));
  expect(each).toEqual([4, 5, 7, 8]);
  expect(serviceConnectionsOf(2, 151)).toBe(8);
  expect(serviceConnectionsOf(256, 151)).toBe(4);
  expect(serviceConnectionsOf(2, null)).toBe(4);
});
