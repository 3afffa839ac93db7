/**
 * `npm ci` takes the lock with npm 10 and npm 11, on any platform. A registry that lacks the
 * packages of other platforms makes `npm install` leave them out; scripts/complete-lock.mjs writes
 * them again.
 */
import { expect, test } from '@jest/globals';
import { readText } from './support/source-file.js';

interface Entry {
  readonly version?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

test('the lock has an entry for each optional package, also of other platforms', () => {
  const lock = JSON.parse(readText('package-lock.json')) as { packages: Record<string, Entry> };
  const optional = Object.entries(lock.packages).flatMap(([parent, { optionalDependencies }]) =>
    Object.entries(optionalDependencies ?? {}).map(([name, version]) => ({
      parent,
      name,
      version,
    })),
  );
  expect(optional.length).toBeGreaterThan(0);
  const missing = optional.filter(({ parent, name, version }) => {
    const found = placesOf(parent, name).map((path) => lock.packages[path]?.version);
    // Parts of one program, such as esbuild, have its version exactly.
    const isExact = /^\d/.test(version);
    return !found.some((one) => one !== undefined && (!isExact || one === version));
  });
  expect(missing).toEqual([]);
});

/** Where a package finds another, the nearest first, as Node looks for it. */
function placesOf(parent: string, name: string): readonly string[] {
  const folders = parent.split('/node_modules/');
  const own = folders.map((_, at) => folders.slice(0, at + 1).join('/node_modules/'));
  return [...own.toReversed().filter((path) => path !== ''), null].map((path) =>
    path === null ? `node_modules/${name}` : `${path}/node_modules/${name}`,
  );
}
