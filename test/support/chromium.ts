/**
 * Debian's Chromium, driven by playwright-core: unpacked beside the system, as the servers are,
 * with all its libraries but those of the C library, which are this machine's own.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { aptFolder } from './apt-folder.js';

/** What the tests use of playwright-core, whose own types need those of a browser. */
interface Locator {
  first(): Locator;
  fill(text: string): Promise<void>;
  click(): Promise<void>;
  check(): Promise<void>;
  waitFor(): Promise<void>;
  count(): Promise<number>;
  getAttribute(name: string): Promise<string | null>;
}

type Found = { readonly name?: string | RegExp; readonly exact?: boolean; readonly level?: number };

export interface Page {
  goto(url: string): Promise<{ status(): number } | null>;
  getByLabel(text: string | RegExp, options?: Found): Locator;
  getByRole(role: string, options?: Found): Locator;
  getByText(text: string | RegExp, options?: Found): Locator;
  locator(selector: string, options?: { readonly hasText: string | RegExp }): Locator;
  title(): Promise<string>;
  evaluate(expression: string): Promise<unknown>;
  emulateMedia(media: { readonly colorScheme: 'light' | 'dark' }): Promise<void>;
  setViewportSize(size: { readonly width: number; readonly height: number }): Promise<void>;
  screenshot(options: { readonly path: string }): Promise<unknown>;
  on(event: 'request', run: (request: { url(): string }) => void): unknown;
  on(event: 'console', run: (message: { type(): string; text(): string }) => void): unknown;
  on(event: 'pageerror', run: (error: Error) => void): unknown;
  waitForLoadState(state: 'networkidle'): Promise<void>;
  readonly keyboard: { press(key: string): Promise<void>; type(text: string): Promise<void> };
}

export interface BrowserContext {
  setDefaultTimeout(timeoutMs: number): void;
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

export interface Browser {
  newContext(options?: object): Promise<BrowserContext>;
  close(): Promise<void>;
}

const load = createRequire(import.meta.url);
const { chromium } = load('playwright-core') as {
  readonly chromium: { launch(options: object): Promise<Browser> };
};
const AXE = readFileSync(load.resolve('axe-core/axe.min.js'), 'utf8');

const PACKAGES = ['chromium', 'fonts-dejavu-core', 'fontconfig-config'];

/** A busy machine is slow, not wrong. */
const WITHIN_MS = 120_000;

/** Of the C library; a program has them with its loader, of the same build. */
const OF_LIBC =
  /^(?:ld-linux.*|lib(?:c|m|dl|rt|pthread|resolv|util|anl|nsl|mvec|thread_db|nss_\w+|BrokenLocale))\.so\..*$/;

async function ensureChromium(): Promise<string> {
  const root = join(await aptFolder('chromium', null, PACKAGES), 'root');
  for (const folder of libraryFolders(root)) {
    for (const name of await readdir(folder)) {
      if (OF_LIBC.test(name)) await rm(join(folder, name), { force: true });
    }
  }
  return root;
}

function libraryFolders(root: string): readonly string[] {
  const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
  const all = [`usr/lib/${triplet}`, `lib/${triplet}`, 'usr/lib/chromium'];
  const main = all.map((path) => join(root, path)).filter(existsSync);
  // Some libraries have private ones in a folder of their own.
  const below = main.flatMap((folder) =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(folder, name))
      .filter((path) => readdirSync(path).some((name) => name.includes('.so'))),
  );
  return [...main, ...below];
}

export async function openChromium(): Promise<Browser> {
  const root = await ensureChromium();
  const browser = await chromium.launch({
    timeout: WITHIN_MS,
    executablePath: join(root, 'usr/lib/chromium/chromium'),
    // The programs of a test run have no display, and what it tests is on this machine.
    args: ['--headless', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server'],
    env: {
      LD_LIBRARY_PATH: libraryFolders(root).join(':'),
      FONTCONFIG_PATH: join(root, 'etc/fonts'),
      FONTCONFIG_SYSROOT: root,
      HOME: process.env['HOME'] ?? '/tmp',
    },
  });
  return {
    newContext: async (options) => {
      const context = await browser.newContext(options);
      context.setDefaultTimeout(WITHIN_MS);
      return context;
    },
    close: () => browser.close(),
  };
}

/**
 * What is wrong with a page, light and dark, wide and narrow: what axe-core finds, and a width that
 * no window has. `look` is told how it is at the moment.
 */
export async function findingsOf(
  page: Page,
  name: string,
  look: (how: string) => Promise<unknown> = async () => undefined,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 900 });
      const wide = Number(await page.evaluate('document.documentElement.scrollWidth'));
      if (wide > width) found.push(`${name}, ${width}: ${wide} wide`);
      await look(`${width}-${colorScheme}`);
      const { violations } = (await page.evaluate(`${AXE}; axe.run()`)) as {
        readonly violations: readonly {
          readonly id: string;
          readonly nodes: readonly { readonly html: string }[];
        }[];
      };
      for (const { id, nodes } of violations) {
        found.push(`${name}, ${colorScheme}, ${width}: ${id}: ${nodes[0]?.html}`);
      }
    }
  }
  return found;
}
