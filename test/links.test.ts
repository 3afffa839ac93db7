/**
 * The links of README and docs: each relative one leads to a file, each anchor to a heading; each
 * page has its place in the site; and pages are Markdown alone, as the site shows HTML as text.
 */
import { existsSync } from 'node:fs';
import { join, posix } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fencesOf } from './support/docs-fences.js';
import { projectFolder } from './support/folders.js';
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
  expect(packed).toContain('docs/runbook.md');
  expect(packed).not.toContain('docs/inside/contributing.md');
  const dead = packed.flatMap(linksOf).filter(({ file }) => !isPacked(file));
  expect(dead.map(({ page, target }) => `${page}: ${target}`)).toEqual([]);
});

test('every page is in the menu of the site', async () => {
  const path = join(projectFolder, 'docs/.vitepress/config.mjs');
  const { PAGES } = (await import(pathToFileURL(path).href)) as {
    readonly PAGES: Readonly<Record<string, Readonly<Record<string, string>>>>;
  };
  const inMenu = Object.values(PAGES).flatMap((group) => Object.values(group));
  const others = listFiles('docs', ['.md'])
    .map((page) => page.slice('docs/'.length))
    .filter((page) => page !== 'index.md' && !inMenu.includes(page));
  expect(others).toEqual([]);
});

test('no page of docs has HTML, but for comments and what folds', () => {
  const wrong = listFiles('docs', ['.md']).flatMap((page) => {
    const known = /<!--.*?-->|`[^`]*`|<\/?(details|summary)>/gs;
    const text = withoutCode(readText(page)).replaceAll(known, '');
    return (text.match(/<\/?[a-z][^>]*>/g) ?? []).map((tag) => `${page}: ${tag}`);
  });
  expect(wrong).toEqual([]);
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

// ── docs fences ──────────────────────────────────────────────────────────────────────────────────
// The tags of the commands in README and docs (test/server/docs-commands.test.ts runs them).

const fences = pages.flatMap(fencesOf);

test('at most ten blocks are run by no test, and each says why', () => {
  expect(fences.length).toBeGreaterThan(30);
  const without = fences.filter(({ noTest }) => noTest !== null);
  expect(without.length).toBeLessThanOrEqual(10);
});

test('each test that a block names is there', () => {
  const named = fences.flatMap(({ page, line, testedBy }) =>
    testedBy === null ? [] : [{ at: `${page}:${line}`, testedBy }],
  );
  const path = (name: string) => join(projectFolder, `test/${name}.test.ts`);
  expect(named.filter(({ testedBy }) => !existsSync(path(testedBy)))).toEqual([]);
});
