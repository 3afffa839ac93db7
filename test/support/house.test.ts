/** The counts that the tidy test and `npm run figures` share find what they are for. */
import * as house from './house.js';
import { partOf, seedFor, testFile } from './sample.js';
import { scanSource } from './source-file.js';

const texts = (places: readonly { readonly text: string }[]) => places.map(({ text }) => text);

test('circlesOf finds the files that lead back to themselves, and no file beside them', () => {
  const files = [
    scanSource('src/a.ts', "import { b } from './b.js';\n"),
    scanSource('src/b.ts', "import type { C } from './deep/c.js';\n"),
    scanSource('src/deep/c.ts', "import { a } from '../a.js';\nimport { d } from './d.js';\n"),
    scanSource('src/deep/d.ts', "import { readFileSync } from 'node:fs';\n"),
  ];

  expect(house.circlesOf(files)).toEqual([['src/a.ts', 'src/b.ts', 'src/deep/c.ts']]);
});

test('exportedTwice finds a name that two files export, whatever it is', () => {
  const files = [
    scanSource('src/a.ts', 'export interface Held {}\nexport async function keyOf() {}\n'),
    scanSource('src/b.ts', 'export const [Held, other] = [1, 2];\nfunction keyOf() {}\n'),
    scanSource('src/c.ts', "export { type Key as Held } from './a.js';\n"),
  ];
  const expected = ['Held: src/a.ts', 'Held: src/b.ts', 'Held: src/c.ts'];
  expect(texts(house.exportedTwice(files))).toEqual(expected);
});

test('wideImports counts modules, not statements', () => {
  const text = "import type { A } from 'a';\nimport { b } from 'a';\nimport 'c';\n";
  const file = scanSource('src/a.ts', text);
  expect(texts(house.wideImports([file], 1))).toEqual(['src/a.ts imports from 2']);
  expect(house.wideImports([file], 2)).toEqual([]);
});

test('sharedHelpers finds functions of one name that no file exports', () => {
  const files = ['a', 'b', 'c'].map((name) =>
    scanSource(`src/${name}.ts`, `export function ${name}() {}\nfunction keyOf() {}\n`),
  );
  expect(texts(house.sharedHelpers(files, 2))).toEqual(['keyOf: src/a.ts src/b.ts src/c.ts']);
  expect(house.sharedHelpers(files.slice(1), 2)).toEqual([]);
});

test('codeLines leaves out blank lines and comments', () => {
  const source = '/** What\n * it is. */\nconst a = 1; // one\n\n  /* two */ f();\n  // three\n';
  const expected = [false, false, true, false, true, false, false];
  expect(house.codeLines(scanSource('src/a.ts', source))).toEqual(expected);
});

describe('compareFigures', () => {
  const written = { lines: { now: 100, aim: 80 }, settings: { now: 50, aim: 52 } };
  const compare = (lines: number, settings: number) =>
    house.compareFigures({ lines, settings }, written);

  test('takes what is as it is written, or within the aim', () => {
    expect(compare(100, 50)).toEqual([]);
    expect(compare(100, 49)).toEqual([]);
    expect(compare(100, 52)).toEqual([]);
  });

  test('says what is worse than written and than the aim', () =>
    expect(compare(101, 53)).toEqual([
      'lines: expected at most 100, found 101; delete or merge as much elsewhere',
      'settings: expected at most 52, found 53; delete or merge as much elsewhere',
    ]));

  test('says what is better and not written down', () => {
    expect(compare(90, 50)).toEqual([
      expect.stringMatching(/^lines: expected 90 to be written down, found 100; run `npm run/),
    ]);
    const lowered = { lines: { now: 90, aim: 80 }, settings: { now: 50, aim: 52 } };
    expect(house.lowerFigures({ lines: 90, settings: 53 }, written)).toEqual(lowered);
  });

  test('says what is counted and not written, or written and not counted', () =>
    expect(house.compareFigures({ lines: 100, words: 1 }, written)).toEqual([
      expect.stringMatching(/^words: /),
      expect.stringMatching(/^settings: /),
    ]));
});

describe('openings', () => {
  const found = (source: string) =>
    texts(house.openings(scanSource('src/a.ts', source))).map((text) => text.replace(/^.*: /, ''));

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
  expect(texts(house.logTexts(scanSource('src/a.ts', source)))).toEqual([
    'src/a.ts:2: the ledger could not be read',
    'src/a.ts:5: read the ledger.',
    'src/a.ts:5: can not read it',
  ]);
});

// ── sample ───────────────────────────────────────────────────────────────────────────────────────
// A sample has some of each kind, is the same for the same seed, and another for another.

const ITEMS = Array.from({ length: 200 }, (_, index) => ({ index, kind: `kind ${index % 7}` }));
const NAME = 'items';

test('a tenth is a tenth, in the order of all', () => {
  const part = partOf(ITEMS, { name: NAME, share: 0.1 }, 1);
  expect(part).toHaveLength(20);
  expect(part).toEqual([...part].sort((a, b) => a.index - b.index));
});

test('of each kind there is one, however few are wanted', () => {
  for (const seed of [1, 2, 3]) {
    const part = partOf(ITEMS, { name: NAME, count: 1, kind: ({ kind }) => kind }, seed);
    expect(new Set(part.map(({ kind }) => kind)).size).toBe(7);
    expect(part).toHaveLength(7);
  }
});

test('an item of several kinds counts for each of them', () => {
  const kind = ({ index }: { index: number }) => [`a ${index % 4}`, `b ${index % 3}`];
  const part = partOf(ITEMS, { name: NAME, kind }, 5);
  expect(new Set(part.flatMap(kind)).size).toBe(7);
});

test('the seed decides which', () => {
  const options = { name: NAME, count: 10 };
  expect(partOf(ITEMS, options, 1)).toEqual(partOf(ITEMS, options, 1));
  expect(partOf(ITEMS, options, 1)).not.toEqual(partOf(ITEMS, options, 2));
  expect(seedFor('one')).not.toBe(seedFor('another'));
});

test('with neither a share nor a count nor kinds there is one, of nothing there is nothing', () => {
  expect(partOf(ITEMS, { name: NAME }, 1)).toHaveLength(1);
  expect(partOf([], { name: NAME, share: 0.5 }, 1)).toEqual([]);
});

test('a file is known by its path under the tests', () => expect(testFile()).toBe('support/house'));
