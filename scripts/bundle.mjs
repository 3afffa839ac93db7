/**
 * Makes the packed product: `build/undrop.mjs`, one file with src/ and what `undrop demo` needs of
 * throwaway-servers/, which runs wherever Node.js does, and `build/THIRD-PARTY-LICENSES.txt` for
 * what is in it.
 * docs/inside/decisions/dependencies.md says why.
 */
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(fileURLToPath(import.meta.url), '../..');

const OUTPUT = 'build/undrop.mjs';

/** Which of its programs a process is, says how it was started. */
const ENTRY = `
if (process.env.UNDROP_SUPERVISOR_ORDER) await import('./throwaway-servers/supervisor.ts');
else await import('./src/cli/main.ts');
`;

/**
 * Where the sources mean a file beside them: in the bundle that is the bundle itself, and what they
 * load late is in it. Each has to be found, or the bundle isn't made.
 */
const IN_THE_BUNDLE = {
  'throwaway-servers/supervised.ts': [
    ["new URL('supervisor.js', import.meta.url)", 'import.meta.url'],
  ],
  'src/log.ts': [['createRequire(import.meta.url)', 'require']],
  'src/service/databases.ts': [['createRequire(import.meta.url)', 'require']],
  'src/cli/commands/start.ts': [
    ["'../../../../..'", "'../..'"],
    ["'build/src/cli/main.js'", "'build/undrop.mjs'"],
  ],
  'src/cli/shell.ts': [
    ["JSON.parse(readFileSync(path, 'utf8')) as { version: string }", 'UNDROP_PACKAGE'],
  ],
  'src/sql/cross-check.ts': [['const require = createRequire(import.meta.url);', '']],
};

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const { metafile, outputFiles } = await build({
  stdin: { contents: ENTRY, resolveDir: root, loader: 'js' },
  absWorkingDir: root,
  outfile: OUTPUT,
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
  define: { UNDROP_PACKAGE: JSON.stringify({ version }) },
  // The libraries are CommonJS and load Node's own modules by `require`.
  banner: {
    js: [
      '#!/usr/bin/env node',
      "import { createRequire as makeRequire } from 'node:module';",
      'const require = makeRequire(import.meta.url);',
    ].join('\n'),
  },
  plugins: [{ name: 'in-the-bundle', setup: putInTheBundle }],
});
// One letter that isn't ASCII, and each process keeps the whole text in twice the memory.
const text = outputFiles[0].text;
for (const [index, line] of text.split('\n').entries()) {
  const found = /.{0,40}[^\0-\x7f].{0,40}/.exec(line);
  if (found !== null)
    throw new Error(`Line ${index + 1} is not ASCII, write it as \\u: ${found[0]}`);
}
mkdirSync(join(root, 'build'), { recursive: true });
writeWhole('build/THIRD-PARTY-LICENSES.txt', licences(Object.keys(metafile.inputs)));
writeWhole(OUTPUT, outputFiles[0].contents);

/** In one step: a demo that runs out of the old one may start another process at any moment. */
function writeWhole(path, contents) {
  const fresh = join(root, `${path}.${process.pid}`);
  writeFileSync(fresh, contents);
  chmodSync(fresh, 0o755);
  renameSync(fresh, join(root, path));
}

function putInTheBundle({ onLoad }) {
  onLoad({ filter: /\/(src|throwaway-servers)\/.*\.ts$/ }, ({ path }) => {
    const replacements = IN_THE_BUNDLE[path.slice(root.length + 1)];
    if (replacements === undefined) return undefined;
    let contents = readFileSync(path, 'utf8');
    for (const [found, instead] of replacements) {
      if (!contents.includes(found)) throw new Error(`${path}: expected ${found}, not found.`);
      contents = contents.replaceAll(found, instead);
    }
    return { contents, loader: 'ts' };
  });
  // It would look for a mysql.config.js from the working folder upwards, and run it.
  onLoad({ filter: /\/@databases\/mysql-config\/lib\/index\.js$/ }, () => ({
    contents: "exports.getMySqlConfigSync = () => ({ connectionStringEnvironmentVariable: '' });",
    loader: 'js',
  }));
}

function licences(inputs) {
  const packages = new Set(
    inputs.flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
  );
  const texts = [...packages].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json')));
    const file = readdirSync(join(root, folder)).find((one) => /^licen[cs]e/i.test(one));
    const text = file === undefined ? '' : readFileSync(join(root, folder, file), 'utf8').trim();
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}
