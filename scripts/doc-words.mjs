/**
 * The words of each page of README and docs, as `wc -w` counts them, against its budget.
 * test/pages.test.ts fails above a budget; `npm run figures` has the sums.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Of a page, or of all pages of a folder together. */
export const BUDGETS = {
  'README.md': 1_200,
  'CHANGELOG.md': 600,
  'docs/index.md': 300,
  'docs/start.md': 400,
  'docs/install.md': 1_500,
  'docs/undo.md': 1_400,
  'docs/agents.md': 400,
  'docs/protect.md': 1_600,
  'docs/runbook.md': 3_500,
  'docs/topologies.md': 1_200,
  'docs/console.md': 600,
  'docs/cost.md': 300,
  'docs/promises.md': 250,
  'docs/limits.md': 2_500,
  'docs/inside/architecture.md': 2_000,
  'docs/inside/contributing.md': 2_200,
  'docs/inside/benchmarks.md': 800,
  'docs/inside/decisions/': 4_000,
  'docs/reference/': 9_000,
};
/** README and docs without the reference. */
const SUM_MAX = 22_500;

/** Rows of name, words and budget (null: none), and the texts of what is above its budget. */
export function pageBudgets() {
  const found = readdirSync(join(root, 'docs'), { recursive: true })
    .filter((path) => path.endsWith('.md') && !path.startsWith('.'))
    .map((path) => `docs/${path}`)
    .concat('README.md', 'CHANGELOG.md');
  const words = new Map();
  for (const path of found.sort()) {
    const folder = Object.keys(BUDGETS).find((key) => key.endsWith('/') && path.startsWith(key));
    const key = folder ?? path;
    words.set(key, (words.get(key) ?? 0) + count(join(root, path)));
  }
  const pages = [...words].map(([name, now]) => ({ name, now, most: BUDGETS[name] ?? null }));
  const unknown = pages.filter(({ name }) => !(name in BUDGETS));
  const missing = Object.keys(BUDGETS).filter((key) => !existsSync(join(root, key)));
  const all = pages.filter(({ name }) => name !== 'CHANGELOG.md');
  const sum = (rows) => rows.reduce((total, { now }) => total + now, 0);
  const rest = all.filter(({ name }) => name !== 'docs/reference/');
  const rows = [
    ...pages,
    { name: 'README and docs without the reference', now: sum(rest), most: SUM_MAX },
    { name: 'README and docs', now: sum(all), most: null },
  ];
  const wrong = [
    ...rows
      .filter(({ now, most }) => most !== null && now > most)
      .map(({ name, now, most }) => `${name}: ${now} words, at most ${most}`),
    ...unknown.map(({ name }) => `${name}: a page without a budget`),
    ...missing.map((name) => `${name}: no such page`),
  ];
  return { rows, wrong };
}

function count(path) {
  return readFileSync(path, 'utf8')
    .split(/\s+/)
    .filter((word) => word !== '').length;
}
