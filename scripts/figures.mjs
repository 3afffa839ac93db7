/**
 * `npm run figures`: the size of src, test and docs, beside what test/golden/figures.json has as of
 * the last change, and as the aim. It exits with 1 if a figure is worse than both, or better and
 * not written down; `-- --write` writes what is better. A worse one is written by hand, for a
 * reason. `-- --list` lists the places that a figure counts. `npm run check` runs it, too.
 *
 * Lines of code are neither blank nor comments. A function has a name (declared, of a class, or the
 * value of a variable or a property); it is no callback in arguments. Imports are counted as
 * modules, packages and parts of Node included.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pageBudgets } from './doc-words.mjs';
import { ensureBuilt, ensureInstalled, root } from './ensure.mjs';

const FILE = join(root, 'test/golden/figures.json');
const IMPORTS_MOST = 13;
const PARAMETERS_MOST = 3;
const HELPERS_MOST = 2;

const options = process.argv.slice(2);
if (!options.includes('--built')) {
  ensureInstalled();
  ensureBuilt();
}
const { listFiles, readSource } = await import('../build/test/support/source-file.js');
const house = await import('../build/test/support/house.js');
const { SETTINGS } = await import('../build/src/config/schema.js');

const rows = await count();
const found = Object.fromEntries(rows.map(([name, value]) => [name, value]));
let written = JSON.parse(readFileSync(FILE, 'utf8'));
if (options.includes('--write')) {
  written = house.lowerFigures(found, written);
  const lines = Object.entries(written).map((entry) => {
    return `  ${JSON.stringify(entry[0])}: ${JSON.stringify(entry[1])}`;
  });
  writeFileSync(FILE, `{\n${lines.join(',\n')}\n}\n`);
}
if (options.includes('--list')) {
  for (const [name, , places = []] of rows) {
    if (places.length > 0) process.stdout.write(`${name}\n  ${places.join('\n  ')}\n\n`);
  }
}
for (const [name, value] of rows) {
  const { now, aim } = written[name] ?? {};
  const [all, ...cells] = [name, value, now, aim].map((cell) => (cell ?? '').toLocaleString('en'));
  process.stdout.write(`${all.padEnd(45)}${cells.map((cell) => cell.padStart(8)).join('')}\n`);
}
const wrong = house.compareFigures(found, written);
for (const text of wrong) process.stderr.write(`${text}\n`);
process.exit(wrong.length === 0 ? 0 : 1);

/** Each row: what is counted, how many, and for `--list` where. */
async function count() {
  const [files, tests] = ['src', 'test'].map((folder) =>
    listFiles(folder, ['.ts', '.tsx']).map(readSource),
  );
  const functions = await namedFunctions(files);
  const lengths = functions.map(({ lines }) => lines).sort((one, other) => one - other);
  const part = (share) => lengths[Math.ceil(share * lengths.length) - 1];
  const textsOf = (places) => places.map(({ text }) => text);
  const [all, byHand] = pageBudgets().rows.toReversed();
  const listed = (name, places) => [name, places.length, places];
  const tables = files.flatMap(({ text }) => [
    ...text.matchAll(/\bident\(RECYCLE_SCHEMA, '(\w+)'/g),
  ]);
  const twice = house.exportedTwice(files);
  return [
    ['files of src', files.length],
    ['lines of code of src', linesOf(files)],
    ['lines of a function, median', part(0.5)],
    ['lines of a function, p90', part(0.9)],
    ['lines of a function, p99', part(0.99)],
    ['lines of a function, most', part(1)],
    listed(
      'functions with four parameters or more',
      functions
        .filter(({ parameters }) => parameters > PARAMETERS_MOST)
        .map(({ place, parameters }) => `${place} has ${parameters}`),
    ),
    listed('files with more than 13 imports', textsOf(house.wideImports(files, IMPORTS_MOST))),
    listed(
      'circles of imports',
      house.circlesOf(files).map((paths) => paths.join(' ')),
    ),
    ['names that two files export', new Set(twice.map(({ key }) => key)).size, textsOf(twice)],
    listed('helpers of one name in three files', textsOf(house.sharedHelpers(files, HELPERS_MOST))),
    ['settings', Object.keys(SETTINGS).length],
    ['files of test', tests.length],
    ['lines of code of test', linesOf(tests)],
    ['words of README and docs, by hand', byHand.now],
    ['words of README and docs, all', all.now],
    listed('tables of the ledger', [...new Set(tables.map(([, name]) => name))]),
  ];
}

function linesOf(files) {
  return files.flatMap((file) => house.codeLines(file).filter(Boolean)).length;
}

async function namedFunctions(files) {
  const { API } = await import('typescript/unstable/sync');
  const is = await import('typescript/unstable/ast/is');
  const api = new API({ cwd: root });
  const snapshot = api.updateSnapshot({ openProjects: [join(root, 'tsconfig.json')] });
  const [{ program }] = snapshot.getProjects();
  const isValue = (node) =>
    is.isVariableDeclaration(node) ||
    is.isPropertyAssignment(node) ||
    is.isPropertyDeclaration(node);
  const functions = files.flatMap((file) => {
    const { path, text } = file;
    const isCode = house.codeLines(file);
    const source = program.getSourceFile(join(root, path));
    const lineOf = (at) => text.slice(0, at).split('\n').length;
    const inFile = [];
    const look = (node, parent) => {
      if (is.isFunctionLikeDeclaration(node) && node.body !== undefined) {
        const isAnonymous = is.isArrowFunction(node) || is.isFunctionExpression(node);
        const name = (isAnonymous ? parent : node).name?.text ?? 'constructor';
        const [from, to] = [lineOf(node.getStart(source)), lineOf(node.end)];
        const lines = isCode.slice(from - 1, to).filter(Boolean).length;
        const parameters = node.parameters.length;
        if (!isAnonymous || isValue(parent))
          inFile.push({ place: `${path}: ${name}`, parameters, lines });
      }
      node.forEachChild((child) => look(child, node));
    };
    look(source, null);
    return inFile;
  });
  api.close();
  return functions;
}
