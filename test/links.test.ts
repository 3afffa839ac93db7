/** The links of README and docs: each relative one leads to a file, each anchor to a heading. */
import { existsSync } from 'node:fs';
import { posix } from 'node:path';
import { expect, test } from '@jest/globals';
import { listFiles, readText } from './support/source-file.js';

const pages = [...listFiles('.', ['.md'], { deep: false }), ...listFiles('docs', ['.md'])];

test('every relative link of README and docs leads somewhere', () => {
  const links = pages.flatMap(linksOf);
  expect(links.length).toBeGreaterThan(100);
  const dead = links.filter(({ file, anchor }) => {
    if (!existsSync(file)) return true;
    return anchor !== '' && !anchorsOf(file).includes(anchor);
  });
  expect(dead.map(({ page, target }) => `${page}: ${target}`)).toEqual([]);
});

test('a page that is packed links to packed files alone', () => {
  const { files } = JSON.parse(readText('package.json')) as { readonly files: readonly string[] };
  const isIn = (file: string, path: string) => file === path || file.startsWith(`${path}/`);
  const isPacked = (file: string) =>
    ['README.md', 'LICENSE', ...files].some((path) => isIn(file, path)) &&
    !files.some((path) => path.startsWith('!') && isIn(file, path.slice(1)));
  const packed = pages.filter(isPacked);
  expect(packed).toContain('docs/what-if.md');
  expect(packed).not.toContain('docs/testing.md');
  const dead = packed.flatMap(linksOf).filter(({ file }) => !isPacked(file));
  expect(dead.map(({ page, target }) => `${page}: ${target}`)).toEqual([]);
});

interface Link {
  readonly page: string;
  readonly target: string;
  readonly file: string;
  readonly anchor: string;
}

function linksOf(page: string): readonly Link[] {
  const found = [...withoutCode(readText(page)).matchAll(/\]\(([^)\s]+)\)/g)];
  return found
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [path = '', anchor = ''] = target.split('#');
      const file = path === '' ? page : posix.join(posix.dirname(page), path);
      return { page, target, file, anchor };
    });
}

/** As GitHub makes them: lower case, without punctuation, hyphens for blanks. */
function anchorsOf(file: string): readonly string[] {
  const headings = [...withoutCode(readText(file)).matchAll(/^#{1,6} (.+)$/gm)];
  return headings.map(([, text = '']) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function withoutCode(text: string): string {
  return text.replaceAll(/^ *```[\s\S]*?^ *```/gm, '');
}
