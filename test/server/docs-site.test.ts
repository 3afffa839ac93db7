/**
 * The site of the docs as `npm run docs` builds it, from a static file server, in a real Chromium:
 * it needs no network, its pages have no error and no finding of axe-core, and its search finds.
 * A long run opens every page; any other, some of them.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { runCommand } from '../../throwaway-servers/run-command.js';
import { findingsOf, openChromium, type Page } from '../support/chromium.js';
import { projectFolder } from '../support/folders.js';
import { inHooks } from '../support/on-servers.js';
import { portOf } from '../support/poll.js';
import { sample } from '../support/sample.js';
import { listFiles } from '../support/source-file.js';

const SITE = join(projectFolder, 'build/docs');
const FOLDER = '/docs/of/undrop/';
const BUILD_MS = 240_000;
const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.md': 'text/markdown; charset=utf-8',
  '.png': 'image/png',
  '.txt': 'text/plain; charset=utf-8',
  '.woff2': 'font/woff2',
};

/** `reference/errors` */
const pages = listFiles('docs', ['.md']).map((path) => path.slice('docs/'.length, -'.md'.length));

describe('the site of the docs', () => {
  const server = createServer((request, response) => {
    // In some folder of the server.
    const { pathname: whole } = new URL(request.url ?? '/', 'http://site');
    const pathname = whole.startsWith(FOLDER) ? whole.slice(FOLDER.length - 1) : '/none';
    const file = pathname.endsWith('/') ? `${pathname}index.html` : pathname;
    const path = join(SITE, decodeURIComponent(file));
    if (!path.startsWith(SITE) || !existsSync(path)) return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' });
    response.end(readFileSync(path));
  });
  const { afterAll, beforeAll, open: openFor } = inHooks();
  const browser = openFor(openChromium, (it) => it.close());
  let origin: string;
  let page: Page;
  /** What the pages did that they must not do. */
  let found: string[] = [];

  beforeAll(async () => {
    await runCommand([process.execPath, join(projectFolder, 'scripts/docs.mjs')], {
      deadlineMs: BUILD_MS,
    });
    origin = `http://127.0.0.1:${await portOf(server)}`;
    const context = await browser.newContext({ reducedMotion: 'reduce' });
    page = await context.newPage();
    page.on('request', (request) => {
      const url = request.url();
      if (!url.startsWith(`${origin}/`) && !url.startsWith('data:')) found.push(`request: ${url}`);
    });
    page.on('console', (message) => {
      if (message.type() === 'error') found.push(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => found.push(`error: ${error.message}`));
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  async function open(path: string): Promise<void> {
    found = [];
    await page.setViewportSize({ width: 1280, height: 900 });
    const response = await page.goto(`${origin}${FOLDER}${path}.html`);
    expect(response?.status()).toBe(200);
    await page.waitForLoadState('networkidle');
  }

  const some = sample(pages, { name: 'pages', count: 1 });
  test.each(['index', ...some.filter((path) => path !== 'index')])(
    '%s needs no network, and has no error and no finding of axe-core',
    async (path) => {
      await open(path);
      expect([...(await findingsOf(page, path)), ...found]).toEqual([]);
    },
  );

  test('each page is there as Markdown, too, and llms.txt lists it', () => {
    const list = readFileSync(join(SITE, 'llms.txt'), 'utf8');
    const others = pages.filter((path) => path !== 'index');
    expect(others.filter((path) => !list.includes(`(${path}.md): `))).toEqual([]);
    expect(others.filter((path) => !existsSync(join(SITE, `${path}.md`)))).toEqual([]);
  });

  test('pages follow each other in a folder, by their links', async () => {
    await open('reference/errors');
    for (const name of ['Settings', 'Undo', 'Cost']) {
      await page.locator('.VPSidebar a', { hasText: name }).first().click();
      await page.getByRole('heading', { name: new RegExp(`^${name}`), level: 1 }).waitFor();
    }
    expect(found).toEqual([]);
  });

  test.each([
    ...[['latency', 'cost'] as const, ['overhead', 'cost'] as const],
    ...[['high availability', 'topologies'] as const, ['RDS', 'topologies'] as const],
    ...[['without undrop', 'undo'] as const, ['reset', 'undo'] as const],
    ...[['agent', 'agents'] as const, ['secret', 'install'] as const],
  ])('its search finds first for "%s" the page %s', async (words, path) => {
    await open('start');
    await page.keyboard.press('Control+k');
    await page.locator('.VPLocalSearchBox input').fill(words);
    const first = page.locator('.VPLocalSearchBox .result').first();
    expect(await first.getAttribute('href')).toContain(`/${path}.html`);
  });

  test('its search finds "restore", by keyboard', async () => {
    await open('index');
    await page.keyboard.press('Control+k');
    await page.locator('.VPLocalSearchBox input').waitFor();
    await page.keyboard.type('restore');
    await page
      .locator('.VPLocalSearchBox .result', { hasText: /restor/i })
      .first()
      .waitFor();
    await page.keyboard.press('Enter');
    await page.locator('.VPDoc h1').first().waitFor();
    expect(found).toEqual([]);
  });

  test('an error has the anchor that texts and links name', async () => {
    await open('reference/errors');
    expect(await page.locator('#undrop_busy').count()).toBe(1);
  });
});
