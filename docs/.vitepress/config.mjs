/**
 * The site: `npm run docs` builds it from docs/ into build/docs. It has its fonts, its search and
 * its index in itself, and works from any static file server without a network, in any folder: each
 * page knows where it is (`relocatable`).
 *
 * Beside each page is its Markdown, and llms.txt lists all pages. Files that a page links to, but
 * that are no pages, are copied into files/, as plain text.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('../..', import.meta.url));
const docs = join(project, 'docs');
/** Stands for the folder of the site until a page is opened. */
const base = '/__undrop__/';
/** Files that pages link to, and that are no pages. */
const linkedFiles = new Set();

/** The order of the pages: each group, and its pages by title. */
export const PAGES = {
  Start: { Start: 'start.md' },
  Install: { Install: 'install.md' },
  Undo: { Undo: 'undo.md', Agents: 'agents.md' },
  Protect: { Protect: 'protect.md' },
  Cost: { Cost: 'cost.md' },
  Run: {
    Runbook: 'runbook.md',
    Topologies: 'topologies.md',
    'Alert rules': 'prometheus-alerts.yml',
  },
  Console: { Console: 'console.md' },
  Reference: {
    Settings: 'reference/settings.md',
    Commands: 'reference/commands.md',
    Errors: 'reference/errors.md',
    Events: 'reference/events.md',
    Metrics: 'reference/metrics.md',
    JSON: 'reference/json.md',
  },
  Limits: { Limits: 'limits.md', Promises: 'promises.md' },
  Inside: {
    Architecture: 'inside/architecture.md',
    Contributing: 'inside/contributing.md',
    Benchmarks: 'inside/benchmarks.md',
    ...decisions(),
  },
};

const groups = Object.entries(PAGES).flatMap(([text, pages]) => {
  const items = Object.entries(pages)
    .filter(([, path]) => existsSync(join(docs, path)))
    .map(([title, path]) => ({ text: title, link: linkTo(path) }));
  return items.length === 0 ? [] : [{ text, items }];
});

export default {
  title: 'undrop',
  description: 'A MySQL and MariaDB proxy that makes DROP TABLE undoable',
  lang: 'en',
  base,
  outDir: join(project, 'build/docs'),
  cacheDir: join(project, '.cache/vitepress'),
  cleanUrls: false,
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  vite: { plugins: [relocatable()] },
  transformHtml: (text, _id, { page }) => {
    const up = '../'.repeat(page.split('/').length - 1) || './';
    const here = `window.undropBase=new URL("${up}",location).pathname;`;
    const absolute = `for(const e of document.querySelectorAll('a:not([href^="#"])'))e.href=e.href;`;
    return text
      .replaceAll(/"\/__undrop__\/([^"\\]*)"/g, (_, path) => `"${up}${path}"`)
      .replace('<div class="VPHome"', '<div role="main" class="VPHome"')
      .replace('<head>', `<head><script>${here}</script>`)
      .replace('window.__VP_SITE_DATA__=', `${absolute}$&`)
      .replace(
        /(window\.__VP_SITE_DATA__=.*?);<\/script>/s,
        '$1;__VP_SITE_DATA__.base=undropBase;</script>',
      );
  },
  // test/links.test.ts checks all links, of README, too.
  ignoreDeadLinks: true,
  markdown: {
    // `<name>` in a sentence is text.
    html: false,
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    anchor: { slugify: slugOf },
    config: (markdown) =>
      markdown.use(withoutComments).use(withoutEmptyHeads).use(linksToFiles).use(folds),
  },
  themeConfig: {
    search: { provider: 'local', options: { miniSearch: { searchOptions: { boostDocument } } } },
    nav: groups.map(({ text, items }) =>
      items.length === 1 ? { text, link: items[0].link } : { text, items },
    ),
    sidebar: groups.map(({ text, items }) => (items.length === 1 ? items[0] : { text, items })),
    outline: [2, 3],
    docFooter: { prev: false, next: false },
  },
  buildEnd: ({ outDir, pages }) => {
    for (const page of pages) copy(join(docs, page), join(outDir, page));
    for (const path of linkedFiles) copyAsText(path, outDir);
    for (const name of readdirSync(join(outDir, 'assets')).filter((one) => one.endsWith('.css'))) {
      const path = join(outDir, 'assets', name);
      writeFileSync(path, readFileSync(path, 'utf8').replaceAll(`${base}assets/`, ''));
    }
    writeFileSync(join(outDir, 'llms.txt'), llmsText(pages));
  },
};

/** Pages of users come before those that look things up, and those of developers. Runs in the browser. */
function boostDocument(id) {
  if (id.includes('/inside/')) return 0.2;
  return id.includes('/reference/') ? 0.5 : 1;
}

function decisions() {
  const folder = join(docs, 'inside/decisions');
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => /\.md$/.test(name)) : [];
  return Object.fromEntries(
    names.map((name) => [titleOf(join(folder, name)), `inside/decisions/${name}`]),
  );
}

function titleOf(file) {
  return /^# (.+)$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? posix.basename(file, '.md');
}

function linkTo(path) {
  if (!path.endsWith('.md')) return linkToCopy(join(docs, path));
  return `/${path.replace(/\.md$/, '')}`;
}

/** Anchors are those of the code host, which test/links.test.ts checks: `undrop_busy` keeps its hyphen. */
function slugOf(text) {
  return text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-');
}

function linkToCopy(path) {
  linkedFiles.add(path);
  return `/files/${nameOfCopy(path)}`;
}

function nameOfCopy(path) {
  return `${relative(project, path)}.txt`;
}

/** Plugin of Vite: texts with `base` have the folder where the site is. */
function relocatable() {
  const isText = ({ type, value }) =>
    type === 'TemplateLiteral' || (type === 'Literal' && typeof value === 'string');
  const find = (node, found) => {
    if (Array.isArray(node)) for (const one of node) find(one, found);
    else if (isText(node)) found.push(node);
    else if (node.type) {
      for (const one of Object.values(node)) if (one && typeof one === 'object') find(one, found);
    }
    return found;
  };
  return {
    name: 'relocatable',
    renderChunk(code) {
      if (!code.includes(base)) return null;
      const texts = find(this.parse(code).body, []).filter(({ start, end }) =>
        code.slice(start, end).includes(base),
      );
      const put = `.replaceAll(${JSON.stringify(base)},globalThis.undropBase??${JSON.stringify(base)})`;
      return texts.reduceRight(
        (text, { start, end }) =>
          `${text.slice(0, start)}(${text.slice(start, end)}${put})${text.slice(end)}`,
        code,
      );
    },
  };
}

/** Plugin of markdown-it: comments are for tests and writers. */
function withoutComments(markdown) {
  markdown.core.ruler.before('normalize', 'without-comments', (state) => {
    state.src = state.src.replaceAll(/^<!--.*?-->$/gms, '');
  });
}

/** Plugin of markdown-it: an empty cell in the head of a table is no heading. */
function withoutEmptyHeads(markdown) {
  markdown.core.ruler.push('without-empty-heads', ({ tokens }) => {
    tokens.forEach((token, at) => {
      if (token.type !== 'th_open' || tokens[at + 1].content.trim() !== '') return;
      token.tag = 'td';
      tokens[at + 2].tag = 'td';
    });
  });
}

/** Plugin of markdown-it: these lines alone are HTML. */
function folds(markdown) {
  markdown.core.ruler.push('folds', (state) => {
    state.tokens.forEach((token, at) => {
      if (!/^(<details><summary>[\w ]+<\/summary>|<\/details>)$/.test(token.content)) return;
      const [opening, closing] = [state.tokens[at - 1], state.tokens[at + 1]];
      if (token.type !== 'inline') return;
      opening.hidden = closing.hidden = true;
      Object.assign(token, { type: 'html_block', children: null });
    });
  });
}

/** Plugin of markdown-it: a link to a file that is no page leads to its copy. */
function linksToFiles(markdown) {
  markdown.core.ruler.push('links-to-files', ({ tokens, env }) => {
    const links = tokens.flatMap(({ children }) => children ?? []);
    for (const link of links.filter(({ type }) => type === 'link_open')) {
      const [target = ''] = (link.attrGet('href') ?? '').split('#');
      if (target === '' || /^([a-z]+:|\/)/.test(target)) continue;
      const path = join(dirname(env.path), decodeURI(target));
      const isPage = path.startsWith(`${docs}/`) && path.endsWith('.md');
      if (isPage || !existsSync(path)) continue;
      link.attrSet('href', `${base.replace(/\/$/, '')}${linkToCopy(path)}`);
      link.attrSet('target', '_self');
    }
  });
}

function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/** A folder becomes its files, one after the other; one of folders, the list of its files. */
function copyAsText(path, outDir) {
  const to = join(outDir, 'files', nameOfCopy(path));
  if (!statSync(path).isDirectory()) return copy(path, to);
  mkdirSync(dirname(to), { recursive: true });
  const names = readdirSync(path, { recursive: true }).sort();
  const isDeep = names.some((name) => statSync(join(path, name)).isDirectory());
  const textOf = (name) => `==> ${name} <==\n\n${readFileSync(join(path, name), 'utf8')}`;
  writeFileSync(to, isDeep ? `${names.join('\n')}\n` : names.map(textOf).join('\n'));
}

/** A line for each page: its title, its address, and its first sentence. */
function llmsText(pages) {
  const known = Object.values(PAGES).flatMap((group) => Object.values(group));
  const rank = (page) => (known.includes(page) ? known.indexOf(page) : known.length);
  const lines = pages
    .filter((page) => page !== 'index.md')
    .toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
    .map((page) => {
      const text = readFileSync(join(docs, page), 'utf8');
      return `- [${titleOf(join(docs, page))}](${page}): ${firstSentence(text)}`;
    });
  return `# undrop\n\n> A MySQL and MariaDB proxy that makes DROP TABLE undoable.\n\n${lines.join('\n')}\n`;
}

function firstSentence(text) {
  const paragraphs = text
    .replace(/^---\n.*?\n---\n/s, '')
    .replaceAll(/<!--.*?-->/gs, '')
    .split(/\n{2,}/)
    .map((part) => part.trim());
  const first = paragraphs.find((part) => /^(?!```)[\p{L}`*[]/u.test(part)) ?? '';
  const plain = first.replaceAll(/\s+/g, ' ').replaceAll(/\[([^\]]+)\]\([^)]*\)/g, '$1');
  return /^.*?[.:](?= |$)/.exec(plain)?.[0].replace(/:$/, '.') ?? plain;
}
