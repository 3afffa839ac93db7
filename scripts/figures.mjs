/**
 * `npm run figures`: how large src/ is. `-- --list` also lists the places that each row counts.
 * With `-- --coverage` it starts a MariaDB 10.11 and a proxy whose collector is off, and counts by
 * V8's coverage what runs for two statements. With `-- --write` it does so, too, and writes the
 * table into test/golden/figures.md.
 *
 * It counts lines of code without comments and blanks; functions with a name (declared, of a class,
 * or the value of a variable or a property), not callbacks in arguments; groups of files that
 * import each other, by imports that exist at run time and by all; modules that a file imports,
 * packages and parts of Node included; numbers of four digits that a server error could have,
 * outside the files that name them. Then the words of each page of README and docs, against its
 * budget (doc-words.mjs): above one, it exits with 1.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { dirname, join } from 'node:path';
import { pageBudgets } from './doc-words.mjs';
import { ensureBuilt, ensureInstalled, root } from './ensure.mjs';

const PAGE = join(root, 'test/golden/figures.md');
const [BEGIN, END] = ['<!-- figures: npm run figures -- --write -->', '<!-- end of figures -->'];
const NAMED = [
  'src/errors.ts',
  'src/client-errors.ts',
  'src/operation-errors.ts',
  'src/wire/server-errors.ts',
];
/** Not errors. A count has an underscore (1_000), and isn't looked at. */
const NO_ERRORS = ['1000', '1024', '2048', '4096', '3306', '3307'];
const WITHIN_MS = 60_000;
const IMPORTS_MOST = 13;

ensureInstalled();
ensureBuilt();
const { listFiles, readSource } = await import('../build/test/support/source-file.js');
const house = await import('../build/test/support/house.js');
const options = process.argv.slice(2);
const isWritten = options.includes('--write');
const isMeasured = isWritten || options.includes('--coverage');
const rows = [...(await sizes()), ...(isMeasured ? await journeys() : [])];
if (options.includes('--list')) {
  for (const [title, , , places = []] of rows) {
    if (places.length > 0) process.stdout.write(`${title}\n  ${places.join('\n  ')}\n\n`);
  }
}
const table = [
  '| | now | at most |',
  '|---|--:|--:|',
  ...rows.map((row) => `| ${row.slice(0, 3).join(' | ')} |`),
];
process.stdout.write(`${table.join('\n')}\n`);
if (isWritten) {
  const page = readFileSync(PAGE, 'utf8');
  const [start, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`${PAGE} has no place for the figures: ${BEGIN}`);
  const before = page.slice(0, start + BEGIN.length);
  writeFileSync(PAGE, `${before}\n${table.join('\n')}\n${page.slice(end)}`);
}
const docs = pageBudgets();
const words = docs.rows.map(({ name, now, most }) => {
  return `| ${name} | ${count(now)} | ${most === null ? '' : count(most)} |`;
});
process.stdout.write(`\n| words | now | at most |\n|---|--:|--:|\n${words.join('\n')}\n`);
for (const text of docs.wrong) process.stderr.write(`${text}\n`);
process.exit(docs.wrong.length === 0 ? 0 : 1);

/** Each row: what is counted, how many, at most how many, and for `--list` where. */
async function sizes() {
  const files = listFiles('src', ['.ts']).map(readSource);
  const tests = listFiles('test', ['.ts']).map(readSource);
  const lines = files.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }));
  const largest = lines.reduce((one, other) => (other.lines > one.lines ? other : one));
  const folders = new Map();
  for (const { path } of files) {
    folders.set(dirname(path), (folders.get(dirname(path)) ?? 0) + 1);
  }
  const [folder, most] = [...folders].reduce((one, other) => (other[1] > one[1] ? other : one));
  const crowd = lines.filter((file) => file.lines >= 380 && file.lines <= 400);
  const bare = files.filter(({ path }) => !NAMED.includes(path)).flatMap(bareErrors);
  const functions = await namedFunctions();
  const wideFunctions = functions.filter(({ parameters }) => parameters >= 4);
  const wideFiles = house.wideImports(files, IMPORTS_MOST).map(({ text }) => text);
  const share = ((100 * wideFiles.length) / files.length).toFixed(1);
  const twice = house.exportedTwice(files);
  const names = new Set(twice.map(({ key }) => key)).size;
  const [atRun, withTypes] = [false, true].map((types) =>
    house.circlesOf(files, { withTypes: types }).map((paths) => paths.join(' ')),
  );
  return [
    ['files in `src`', count(files.length), '265'],
    ['lines of code in `src`, without comments and blanks', count(linesOf(files)), '33,000'],
    ['circles of imports at run time', count(atRun.length), '0', atRun],
    ['circles of imports with types', count(withTypes.length), '4', withTypes],
    ['names that two files export', count(names), '0', twice.map(({ text }) => text)],
    [
      'functions with four or more parameters',
      count(wideFunctions.length),
      '25',
      wideFunctions.map(({ place, parameters }) => `${place} has ${parameters}`),
    ],
    [`files with more than ${IMPORTS_MOST} imports`, `${share} %`, '10 %', wideFiles],
    ['lines of code in `test`', count(linesOf(tests)), '50,000'],
    ['functions with a name', count(functions.length), '2,580'],
    [`most files in one folder (\`${folder}\`)`, count(most), '15'],
    [`lines of the largest file (\`${largest.path}\`)`, count(largest.lines), '400'],
    ['files of 380 to 400 lines', count(crowd.length), '3', crowd.map(({ path }) => path)],
    ['server errors as bare numbers', count(bare.length), '60', bare],
  ];
}

function linesOf(files) {
  return files.reduce((sum, file) => sum + codeLines(file), 0);
}

function codeLines({ text, comments }) {
  const code = Array.from({ length: text.length }, (_, at) =>
    comments[at]?.trim() ? ' ' : text[at],
  );
  return code
    .join('')
    .split('\n')
    .filter((line) => line.trim() !== '').length;
}

function bareErrors({ path, code }) {
  const found = code.match(/(?<![\w.])(1\d{3}|3\d{3}|4[01]\d{2}|6\d{3})(?![\w.])/g) ?? [];
  return found.filter((number) => !NO_ERRORS.includes(number)).map((one) => `${path}: ${one}`);
}

async function namedFunctions() {
  const { API } = await import('typescript/unstable/sync');
  const is = await import('typescript/unstable/ast/is');
  const api = new API({ cwd: root });
  const snapshot = api.updateSnapshot({ openProjects: [join(root, 'tsconfig.json')] });
  const [{ program }] = snapshot.getProjects();
  const functions = [];
  const isValue = (node) =>
    is.isVariableDeclaration(node) ||
    is.isPropertyAssignment(node) ||
    is.isPropertyDeclaration(node);
  const look = (node, parent, path) => {
    if (is.isFunctionLikeDeclaration(node) && node.body !== undefined) {
      const isAnonymous = is.isArrowFunction(node) || is.isFunctionExpression(node);
      const name = (isAnonymous ? parent : node).name?.text ?? 'constructor';
      const found = { place: `${path}: ${name}`, parameters: node.parameters.length };
      if (!isAnonymous || isValue(parent)) functions.push(found);
    }
    node.forEachChild((child) => look(child, node, path));
  };
  for (const path of program.getSourceFileNames().toSorted()) {
    if (!path.startsWith(join(root, 'src/'))) continue;
    look(program.getSourceFile(path), null, path.slice(root.length + 1));
  }
  api.close();
  return functions;
}

/** A server and a proxy in this process, whose collector is off, with nobody else on them. */
async function journeys() {
  const { startFromSet } = await import('../build/test/support/server-set.js');
  const { proxyInFront } = await import('../build/test/support/proxy.js');
  const { connect } = await import('../build/test/support/servers.js');
  const { intentsSettled } = await import('../build/test/support/settled.js');
  const server = await startFromSet('mariadb-10.11');
  try {
    const proxy = await proxyInFront(server);
    const direct = await connect(server);
    const client = await connect(proxy);
    await direct.query('CREATE DATABASE shop');
    const profiler = new Session();
    profiler.connect();
    await profiler.post('Profiler.enable');
    await profiler.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
    const ran = async (statement) => {
      await profiler.post('Profiler.takePreciseCoverage');
      await client.query(statement);
      await intentsSettled(direct, ['shop'], WITHIN_MS);
      return counted(await profiler.post('Profiler.takePreciseCoverage'));
    };
    const drops = [];
    for (const name of ['first', 'second']) {
      await direct.query(`CREATE TABLE shop.${name} (a INT)`);
      drops.push(await ran(`DROP TABLE shop.${name}`));
    }
    // What the drops leave to be done after their answers ends in the first.
    await ran('SELECT 0');
    const select = await ran('SELECT 1');
    await client.end();
    await direct.end();
    await proxy.stop();
    return [
      ['a plain `DROP TABLE` runs: files / functions', drops[1], '60 / 300'],
      ['`SELECT 1` runs: files / functions', select, '11 / 40'],
    ];
  } finally {
    await server.stop();
  }
}

/** Files of which a function ran, and functions with a name that ran. */
function counted({ result }) {
  const own = result.filter(({ url }) => url.includes('/build/src/'));
  const ran = own.map(({ functions }) =>
    functions.filter(({ ranges: [range] }) => range.count > 0),
  );
  const named = ran.flat().filter(({ functionName }) => functionName !== '');
  return `${ran.filter(({ length }) => length > 0).length} / ${named.length}`;
}

function count(number) {
  return number.toLocaleString('en');
}
