/** docs/limits.md: its length, the names in it, and the differences that it promises to list. */
import { expect, test } from '@jest/globals';
import { SETTINGS, variableOf } from '../src/config/schema.js';
import { ERRORS } from '../src/errors.js';
import { readText } from './support/source-file.js';

const page = readText('docs/limits.md');

interface Listed {
  /** The words of the page that a difference is part of; none: too rare for the page. */
  readonly line?: string;
}

test('docs/limits.md has at most 2,500 words', () => {
  expect(page.trim().split(/\s+/).length).toBeLessThanOrEqual(2_500);
});

test('every setting and error that docs/limits.md names is there', () => {
  const known = [...Object.keys(ERRORS), ...Object.keys(SETTINGS).map(variableOf)];
  const named = [...page.matchAll(/\bUNDROP_[A-Z_]+[A-Z]/g)].map(([name]) => name);
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
  const text = page.replaceAll(/\s+/g, ' ');
  expect(lines.filter((line) => !text.includes(line))).toEqual([]);
});
