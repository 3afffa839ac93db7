/**
 * Makes the packed product in `build/`, which runs wherever Node.js does: `undrop.mjs` and what it
 * loads of `parts/`, so that each process has only what it runs; `demo.mjs`, which `undrop demo`
 * and `npm start` load; `server-supervisor.mjs`, which the demo starts; and
 * `THIRD-PARTY-LICENSES.txt` for what is in them. With `--sbom` also their bill of materials.
 * docs/inside/decisions/dependencies.md says why.
 */
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { sbomOf } from './sbom.mjs';

const root = join(fileURLToPath(import.meta.url), '../..');

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const COMMON = {
  absWorkingDir: root,
  outdir: join(root, 'build'),
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  metafile: true,
  write: false,
  logLevel: 'warning',
  // What it has for `require` hides its parts from esbuild.
  alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
  // The libraries are CommonJS and load Node's own modules by `require`.
  banner: {
    js: [
      "import { createRequire as makeRequire } from 'node:module';",
      'const require = makeRequire(import.meta.url);',
    ].join('\n'),
  },
  plugins: [{ name: 'in-the-bundle', setup: changeModules }],
};
const PARTS = 'build/parts';
const beside = {
  'server-supervisor': 'throwaway-servers/server-supervisor.ts',
  demo: 'demo/demo.ts',
};
const built = [
  await build({ ...COMMON, entryPoints: beside }),
  await build({
    ...COMMON,
    entryPoints: { undrop: 'src/runtime/main.ts' },
    splitting: true,
    chunkNames: 'parts/[name]-[hash]',
  }),
];
const packages = packagesOf(built.flatMap(({ metafile }) => Object.keys(metafile.inputs)));
const outputs = built.flatMap(({ outputFiles }) => outputFiles);
mkdirSync(join(root, PARTS), { recursive: true });
const isProgram = ({ path }) => path.endsWith('/undrop.mjs');
// The program comes behind its parts.
for (const { path, text } of outputs.sort((one, other) => isProgram(one) - isProgram(other))) {
  // One letter that isn't ASCII, and each process keeps the whole text in twice the memory.
  for (const [index, line] of text.split('\n').entries()) {
    const found = /.{0,40}[^\0-\x7f].{0,40}/.exec(line);
    if (found !== null)
      throw new Error(`${path}:${index + 1} is not ASCII, write it as \\u: ${found[0]}`);
  }
  writeWhole(path, isProgram({ path }) ? withFacts(text) : text);
}
const names = new Set(outputs.map(({ path }) => basename(path)));
for (const name of readdirSync(join(root, PARTS))) {
  if (!names.has(name)) rmSync(join(root, PARTS, name));
}
writeWhole(join(root, 'build/THIRD-PARTY-LICENSES.txt'), licences());
if (process.argv.includes('--sbom'))
  writeWhole(join(root, 'build/undrop.cdx.json'), sbomOf(packages, { cwd: root }));

/** In one step: a demo that runs out of the old one may start another process at any moment. */
function writeWhole(path, contents) {
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, contents);
  chmodSync(fresh, 0o755);
  renameSync(fresh, path);
}

function changeModules({ onLoad, onResolve }) {
  onResolve({ filter: /\/demo\/demo\.js$/ }, () => ({ path: '../demo.mjs', external: true }));
  // It would look for a mysql.config.js from the working folder upwards, and run it.
  onLoad({ filter: /\/@databases\/mysql-config\/lib\/index\.js$/ }, () => ({
    contents: "exports.getMySqlConfigSync = () => ({ connectionStringEnvironmentVariable: '' });",
    loader: 'js',
  }));
}

function escaped(unit) {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** The console's files, by their names. */
function assets() {
  const folder = join(root, 'src/faces/console/assets');
  const texts = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]);
  return Object.fromEntries(texts);
}

/**
 * Behind the line that names Node.js: what settings.ts and assets.ts of src/faces declare. The
 * parts that read them are loaded after that.
 */
function withFacts(text) {
  const inside = [...new Set(packages.map(({ name, version }) => `${name} ${version}`))].sort();
  const facts = { UNDROP_VERSION: version, UNDROP_PACKAGES: inside, UNDROP_ASSETS: assets() };
  const lines = Object.entries(facts).map(([name, value]) => {
    return `globalThis.${name}=${JSON.stringify(value).replaceAll(/[^\0-\x7f]/g, escaped)};`;
  });
  return text.replace('\n', () => `\n${lines.join('\n')}\n`);
}

/** Those that these files come from. */
function packagesOf(inputs) {
  const folders = new Set(
    inputs.flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
  );
  return [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json')));
    return { folder: join(root, folder), name, version, license };
  });
}

function licences() {
  const texts = packages.map(({ folder, name, version, license }) => {
    const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
    const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8').trim();
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}
