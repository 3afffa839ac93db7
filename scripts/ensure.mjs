/**
 * Installs and builds what is missing, and says so while it does. Shared by `npm start`,
 * `npm test`, `npm run check` and `npm run bench`, so that each of them works on a fresh clone.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Runs a command in the project's folder; ends this process with its exit code if it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) {
    process.stderr.write(`${command} could not be started: ${result.error.message}\n`);
    process.exit(1);
  }
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/** Installs the packages of package-lock.json where node_modules is missing or differs from it. */
export function ensureInstalled() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20) {
    process.stderr.write(`undrop needs Node.js 20 or later; this is ${process.version}.\n`);
    process.exit(1);
  }
  if (isInstalled()) return;
  process.stdout.write('undrop: installing packages (npm ci, about 20 s) …\n');
  // Its standard output would only push what we say out of sight; errors go to the other one.
  // NODE_ENV=production would leave out what compiles.
  const options = ['--include=dev', '--no-fund', '--no-audit', '--loglevel=error'];
  run('npm', ['ci', ...options], { stdio: ['inherit', 'ignore', 'inherit'] });
}

/** Makes the product in `build/` as it is packed. It takes a second. */
export function ensureBundled() {
  run(process.execPath, [join(root, 'scripts/bundle.mjs')]);
}

/**
 * Compiles the TypeScript into build/, where the tests run, and removes what has no source any
 * more. Not from an empty folder: who runs out of it goes on while `npm test` builds beside.
 */
export function ensureBuilt() {
  if (!existsSync(join(root, 'build'))) process.stdout.write('undrop: compiling …\n');
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json']);
  const files = readdirSync(join(root, 'build'), { recursive: true });
  // The site of the docs has scripts of its own.
  for (const file of files.filter((name) => /^(?!docs\/).*\.js(\.map)?$/.test(name))) {
    const source = join(root, file.replace(/\.js(\.map)?$/, ''));
    const hasSource = ['.ts', '.tsx'].some((extension) => existsSync(source + extension));
    if (!hasSource) rmSync(join(root, 'build', file));
  }
  ensureBundled();
}

function isInstalled() {
  const installed = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installed)) return false;
  const wanted = packagesOf(join(root, 'package-lock.json'));
  const have = packagesOf(installed);
  return Object.entries(wanted).every(
    ([path, entry]) => path === '' || entry.optional || have[path]?.version === entry.version,
  );
}

function packagesOf(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages;
}
