/**
 * Lists of today's exceptions to a rule, which may only shrink: `test/golden/allowances/<rule>.txt`
 * has a line for each file (or name) that breaks it, with how often. More than that fails; so does
 * a line that allows more than there is, until UPDATE_GOLDEN=1 lowers it. A line is never raised: a
 * file that moves takes its line along by hand. Plain lines, not JSON, because git joins those that
 * two branches change (`merge=union` in .gitattributes); of two lines for one key the lower counts.
 */
import { writeFileSync } from 'node:fs';
import type { Place } from './house.js';
import { readText } from './source-file.js';

export function expectWithinAllowance(rule: string, places: readonly Place[]): void {
  const path = `test/golden/allowances/${rule}.txt`;
  const found = new Map<string, string[]>();
  for (const { key, text } of places) found.set(key, [...(found.get(key) ?? []), text]);
  const allowed = new Map<string, number>();
  for (const [key, most] of linesOf(path)) {
    allowed.set(key, Math.min(most, allowed.get(key) ?? most));
  }
  const lowered = [...allowed]
    .map(([key, most]) => [key, Math.min(most, found.get(key)?.length ?? 0)] as const)
    .filter(([, most]) => most > 0)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, most]) => `${key} ${most}\n`);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, lowered.join(''));

  const over = [...found].filter(([key, texts]) => texts.length > (allowed.get(key) ?? 0));
  const excess = over.map(([key, texts]) => ({ key, allowed: allowed.get(key) ?? 0, texts }));
  expect(excess).toEqual([]);
  // Lower it: UPDATE_GOLDEN=1 npm test -- test/tidy
  expect(readText(path)).toBe(lowered.join(''));
}

function linesOf(path: string): readonly (readonly [key: string, most: number])[] {
  return readText(path)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [key = '', most] = line.split(' ');
      return [key, Number(most)];
    });
}
