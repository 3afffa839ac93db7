/** The counts that the tidy test and `npm run figures` share find what they are for. */
import { describe, expect, test } from '@jest/globals';
import { circlesOf, exportedTwice, logTexts, openings, wideImports } from './house.js';
import { scanSource } from './source-file.js';

const texts = (places: readonly { readonly text: string }[]) => places.map(({ text }) => text);

describe('circlesOf', () => {
  const files = [
    scanSource('src/a.ts', "import { b } from './b.js';\n"),
    scanSource('src/b.ts', "import type { C } from './deep/c.js';\n"),
    scanSource('src/deep/c.ts', "import { a } from '../a.js';\nimport { d } from './d.js';\n"),
    scanSource('src/deep/d.ts', "import { readFileSync } from 'node:fs';\n"),
  ];

  test('finds the files that lead back to themselves, and no file beside them', () => {
    const circle = ['src/a.ts', 'src/b.ts', 'src/deep/c.ts'];
    expect(circlesOf(files, { withTypes: true })).toEqual([circle]);
  });

  test('leaves out what is gone after compilation', () => {
    expect(circlesOf(files, { withTypes: false })).toEqual([]);
  });
});

test('exportedTwice finds a name that two files export, whatever it is', () => {
  const files = [
    scanSource('src/a.ts', 'export interface Held {}\nexport async function keyOf() {}\n'),
    scanSource('src/b.ts', 'export const [Held, other] = [1, 2];\nfunction keyOf() {}\n'),
    scanSource('src/c.ts', "export { type Key as Held } from './a.js';\n"),
  ];
  expect(texts(exportedTwice(files))).toEqual([
    'Held: src/a.ts',
    'Held: src/b.ts',
    'Held: src/c.ts',
  ]);
});

test('wideImports counts modules, not statements', () => {
  const file = scanSource(
    'src/a.ts',
    "import type { A } from 'a';\nimport { b } from 'a';\nimport 'c';\n",
  );
  expect(texts(wideImports([file], 1))).toEqual(['src/a.ts imports from 2']);
  expect(wideImports([file], 2)).toEqual([]);
});

describe('openings', () => {
  const found = (source: string) =>
    texts(openings(scanSource('src/a.ts', source))).map((text) => text.replace(/^.*: /, ''));

  test('finds them where a comment begins, and within it', () => {
    expect(found('/** What a\n * table has. */')).toEqual(['What a table has.']);
    expect(found('// It is held. So it\n// stays.')).toEqual(['So it stays.']);
    expect(found('/* Invariant: One each. */')).toEqual(['One each.']);
    expect(found('/** It is what a table has, so it stays. */')).toEqual([]);
  });

  test('finds them in texts, in lower case only where a field shows that one begins', () => {
    expect(found("const a = 'It is held. Those stay.';")).toEqual(['Those stay.']);
    expect(found("const a = { meaning: 'who may connect' };")).toEqual(['who may connect']);
    expect(found("const a = b + 'of several tables';")).toEqual([]);
  });
});

test('logTexts finds texts that open with an article or end with a stop', () => {
  const source = `
    log.warn({ event: 'ledger' }, 'the ledger could not be read');
    this.#options.log.info(fields, 'cannot read the ledger; trying again');
    report('a client');
    log.error({ err }, isNew ? 'read the ledger.' : 'can not read it');
  `;
  expect(texts(logTexts(scanSource('src/a.ts', source)))).toEqual([
    'src/a.ts:2: the ledger could not be read',
    'src/a.ts:5: read the ledger.',
    'src/a.ts:5: can not read it',
  ]);
});
