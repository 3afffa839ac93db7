/**
 * `npm ci` takes the lock with npm 10 and npm 11, on any platform. A registry that lacks the
 * packages of other platforms makes `npm install` leave them out; scripts/complete-lock.mjs writes
 * them again.
 */
import { expect, test } from '@jest/globals';
import { readText } from './support/source-file.js';

interface Entry {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

test('the lock has an entry for each optional package, also of other platforms', () => {
  const lock = JSON.parse(readText('package-lock.json')) as { packages: Record<string, Entry> };
  const optional = Object.values(lock.packages).flatMap(({ optionalDependencies }) =>
    Object.keys(optionalDependencies ?? {}),
  );
  expect(optional.length).toBeGreaterThan(0);
  const missing = optional.filter((name) => !(`node_modules/${name}` in lock.packages));
  expect(missing).toEqual([]);
});
