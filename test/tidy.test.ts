/**
 * The rules of the house that a machine can check, over all sources: import directions, doors of
 * libraries, purity, shape of files, words. A rule that fails says where, and what to write
 * instead.
 */
import { posix } from 'node:path';
import { SETTINGS, variableOf } from '../src/config/schema.js';
import { ERRORS, type ErrorEntry } from '../src/errors.js';
import * as house from './support/house.js';
import type { SourceFile } from './support/source-file.js';
import { listFiles, readSource, readText, scanSource } from './support/source-file.js';

// ── the rules ──────────────────────────────────────────────────────────────────────────────────

/** Folders beside src. */
const SERVERS = 'throwaway-servers/';
const DEMO = 'demo/';

const ROOT_FILES = 'root';
/** Each imports from itself and from those before it; those of one line not from each other. */
const ROOMS = [
  [ROOT_FILES],
  ['names', 'wire', 'sql'],
  ['policy'],
  ['config', 'relay', 'connections'],
  ...[['ledger'], ['held'], ['recycle'], ['drop']],
  ['collector', 'account'],
  ...[['faces/sql'], ['session']],
  ['faces/console', 'faces/cli'],
  ['runtime'],
];

/** Paths (or their beginnings) that may import a package. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  '@databases/mysql': ['src/connections/'],
  // The demo and its tour talk to the throwaway server as any client does.
  '@modelcontextprotocol/sdk': ['src/faces/console/mcp/', 'src/runtime/mcp.ts'],
  mysql2: ['src/connections/', 'src/faces/console/', 'src/runtime/mcp.ts', DEMO, SERVERS],
  hono: ['src/faces/console/'],
  'jsonc-parser': ['src/config/load.ts'],
  'node-forge': ['src/session/login/certificates.ts'],
  'node-sql-parser': ['src/sql/'],
  pino: ['src/log.ts'],
  'pino-pretty': ['src/log.ts'],
  'prom-client': ['src/runtime/admin/metrics.ts'],
  yargs: ['src/runtime/', 'src/faces/cli/'],
  zod: ['src/faces/console/mcp/'],
};

/**
 * Variables that are no settings of the proxy: of the demo, the tests, the file of settings.
 */
const VARIABLES_OF_DEMO_AND_CLI = [
  ...['UNDROP_CONFIG', 'UNDROP_PROCESS_PROTOCOL', 'UNDROP_PROCESS_ROLE', 'UNDROP_SERVER_CACHE'],
  ...['UNDROP_SUPERVISOR_ORDER', 'UNDROP_TEST_SERVERS', 'UNDROP_TEST_SETS'],
  ...['UNDROP_MCP_URL', 'UNDROP_MCP_URL_FILE'],
];

/** Parts of Node that give the same for the same. */
const PURE_PARTS_OF_NODE = ['node:buffer', 'node:util'];

/** Files of statements that are, or implement, their ports. */
const SERVED =
  /^src\/drop\/(steps\/.*|intercepted|drop-definition|[a-z-]+\/([a-z-]+-port|barrier|read-schema|recover-drop-database|hold-or-pass|replace-table|drop-schema))\.ts$/;

/** What a pure file doesn't touch: the clock, randomness, the process, timers, the network. */
const WORLD =
  /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bprocess\.|\bset(Timeout|Interval|Immediate)\(|\bfetch\(|\bperformance\./g;

const SWITCHES = /@ts-(ignore|nocheck|expect-error)|biome-ignore|eslint-/g;
const SKIPS = /\.(skip|only|todo|failing)\b|\b(xit|xtest|xdescribe|fit|fdescribe)\(/g;
/** A pause of polling is below 100 ms. */
const SLEEPS = /setTimeout\(\s*\w+,\s*\d[\d_]{2,}|\bsleep\(\d[\d_]{2,}/g;

// ── what they are checked on ────────────────────────────────────────────────────────────────

const product = listFiles('src', ['.ts']).map(readSource);
const servers = listFiles(SERVERS, ['.ts']).map(readSource);
const demo = listFiles(DEMO, ['.ts']).map(readSource);
const sources = [...product, ...demo, ...servers];
const tests = listFiles('test', ['.ts']).map(readSource);
const isTest = ({ path }: SourceFile) => path.endsWith('.test.ts');
const benches = listFiles('bench', ['.ts']).map(readSource);
const scripts = [...listFiles('scripts', ['.mjs', '.cjs']), ...listFiles('test', ['.cjs'])].map(
  readSource,
);
const typescript = [...sources, ...tests, ...benches];
const everything = [...typescript, ...scripts];

/** In which files, and where in them: in their code or comments. */
test.each<[string, readonly SourceFile[], 'code' | 'comments', RegExp]>([
  [
    'reading the environment and ending the process, but by cli, demo and throwaway-servers',
    sources.filter(
      ({ path }) => !/^(src\/(runtime|faces\/cli)|demo|throwaway-servers)\//.test(path),
    ),
    'code',
    /\bprocess\s*\.\s*(env|exit|argv|on|kill)\b/g,
  ],
  ['switching a linter or a type check off', everything, 'comments', SWITCHES],
  ['skipping a test, running it alone, leaving it to be written', tests, 'code', SKIPS],
  ['a test that sleeps for a fixed time', tests.filter(isTest), 'code', SLEEPS],
])('nowhere: %s', (_what, files, part, pattern) => {
  expect(files.flatMap((file) => finds(file, file[part], pattern))).toEqual([]);
});

describe('modules', () => {
  test('a folder of src imports only from those left of it', () => {
    const wrong = product.flatMap((file) =>
      house
        .targetsOf(file)
        .filter((target) => target.startsWith('src/') && !mayImport(file.path, target))
        .map((target) => `${file.path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  test('every folder of src has its place in the order', () => {
    const folders = new Set(product.map(({ path }) => folderOf(path)));
    expect([...folders].filter((folder) => placeOf(folder) < 0)).toEqual([]);
  });

  test('no files import each other in a circle, types counted', () => {
    expect(house.circlesOf(product)).toEqual([]);
  });

  test('beside src only root files are imported, and by cli the door of the demo', () => {
    const importsBut = (files: readonly SourceFile[], allowed: RegExp) =>
      files.flatMap((file) =>
        house
          .targetsOf(file)
          .filter((target) => !allowed.test(target))
          .map((target) => `${file.path} imports ${target}`),
      );
    const inRuntime = product.filter(({ path }) => /^src\/(runtime|faces\/cli)\//.test(path));
    const others = product.filter((file) => !inRuntime.includes(file));
    expect([
      ...importsBut(servers, /^(throwaway-servers\/|src\/[^/]+$)/),
      ...importsBut(demo, /^((demo|throwaway-servers)\/|src\/[^/]+$)/),
      ...importsBut(inRuntime, /^(src\/|demo\/demo\.ts$)/),
      ...importsBut(others, /^src\//),
    ]).toEqual([]);
  });

  test('each library is behind its door', () => {
    const wrong = sources.flatMap((file) =>
      packagesOf(file)
        .filter((name) => !(DOORS[name] ?? []).some((door) => file.path.startsWith(door)))
        .map((name) => `${file.path} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test('who installs undrop installs nothing else: what has a door is in the bundle', () => {
    const { dependencies = {}, devDependencies } = readPackage();
    expect(Object.keys(dependencies)).toEqual([]);
    expect(Object.keys(devDependencies)).toEqual(expect.arrayContaining(Object.keys(DOORS)));
  });

  test('each dependency has entered by a written decision', () => {
    const decisions = listFiles('docs/inside/decisions', ['.md']).map(readText).join('\n');
    // The types of a package come with it.
    const own = Object.keys(readPackage().devDependencies).filter((name) => !/^@types/.test(name));
    expect(own.filter((name) => !decisions.includes(name))).toEqual([]);
  });

  test('wire, sql, names, policy, statements and next steps are pure, with all that they import', () => {
    const wrong = sources.filter(isPure).flatMap((file) => impurities(file));
    expect(wrong).toEqual([]);
  });

  test('nothing is an orphan: main reaches it by imports, or another file starts it', () => {
    const byPath = new Map(sources.map((file) => [file.path, file]));
    const reached = new Set<string>();
    const open = ['src/runtime/main.ts'];
    for (let path = open.pop(); path !== undefined; path = open.pop()) {
      const file = byPath.get(path);
      if (file === undefined || reached.has(path)) continue;
      reached.add(path);
      open.push(...house.targetsOf(file), ...startedBy(file));
    }
    expect(sources.map(({ path }) => path).filter((path) => !reached.has(path))).toEqual([]);
  });
});

describe('the shape of files', () => {
  test('every file opens with a comment that says what it is', () => {
    const wrong = everything.filter(({ comments }) => {
      const opening = comments.replace(/^#!.*\n/, '').trimStart();
      const isFirst = comments.replace(/^#!.*\n/, '').startsWith(opening);
      return !isFirst || !/^\/[/*]+\s*\S/.test(opening);
    });
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test('file names are in kebab case, and none is index.ts', () => {
    const wrong = everything.filter(({ path }) => {
      const name = path.slice(path.lastIndexOf('/') + 1);
      return !/^(?!index\.ts)[a-z0-9]+(-[a-z0-9]+)*(\.(test|bench))?\.(ts|mjs|cjs)$/.test(name);
    });
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test('a name is exported by one file of src', () => {
    expect(house.exportedTwice(product)).toEqual([]);
  });

  test('a folder of src has at most 15 files', () => {
    const folders = new Map<string, number>();
    for (const { path } of sources) {
      const folder = path.slice(0, path.lastIndexOf('/'));
      folders.set(folder, (folders.get(folder) ?? 0) + 1);
    }
    expect([...folders].filter(([, files]) => files > 15)).toEqual([]);
  });

  test('a line has at most 100 columns, literals and links aside', () => {
    const wrong = everything.flatMap((file) => {
      const [lines, bare] = [file.text.split('\n'), file.bare.split('\n')];
      return lines.flatMap((line, index) =>
        [...line].length > 100 && [...(bare[index] ?? '')].length > 100
          ? [`${file.path}:${index + 1}`]
          : [],
      );
    });
    expect(wrong).toEqual([]);
  });
});

describe('tests', () => {
  test('each file of long-tests.json is there, and is named once', () => {
    const lists: Readonly<Record<string, readonly string[]>> = JSON.parse(
      readText('scripts/long-tests.json'),
    );
    const paths = Object.values(lists).flatMap((names) =>
      names.map((name) => `test/${name}.test.ts`),
    );
    expect(paths.filter((path) => !tests.some((file) => file.path === path))).toEqual([]);
    expect(paths.length).toBe(new Set(paths).size);
  });
});

describe('errors', () => {
  const REGISTRY = ['src/client-errors.ts', 'src/operation-errors.ts'];
  const codes = Object.keys(ERRORS);
  const entries: readonly (readonly [string, ErrorEntry])[] = Object.entries(ERRORS);
  const used = sources
    .filter(({ path }) => !REGISTRY.includes(path))
    .flatMap((file) => file.strings);

  test('each code has a plain form and stands in the registry once', () => {
    const written = REGISTRY.map((path) => scanSource(path, readText(path)).code).join('\n');
    const keys = [...written.matchAll(/^ {2}(\w+): `/gm)].map(([, key]) => key);
    expect(keys).toEqual(codes);
    expect(new Set(keys).size).toBe(keys.length);
    expect(codes.filter((code) => !/^UNDROP(_[A-Z]+)+$/.test(code))).toEqual([]);
  });

  test('each code is used', () => {
    // toClientError itself answers with UNDROP_INTERNAL.
    const unused = codes.filter((code) => !used.includes(code) && code !== 'UNDROP_INTERNAL');
    expect(unused).toEqual([]);
  });

  test('what looks like a code is one, or a setting', () => {
    const mentioned = used.flatMap((text) => [...text.matchAll(/\bUNDROP(_[A-Z0-9]+)+\b/g)]);
    const settings = Object.keys(SETTINGS).map(variableOf);
    const unknown = mentioned
      .map(([word]) => word)
      .filter((word) => !codes.includes(word) && !settings.includes(word))
      .filter((word) => !VARIABLES_OF_DEMO_AND_CLI.includes(word));
    expect([...new Set(unknown)]).toEqual([]);
  });

  test('errno and SQLSTATE are of the kind that clients know as the server’s', () => {
    const isOfServer = (errno: number) => /^[134][0-9]{3}$/.test(String(errno));
    const wrong = entries.filter(
      ([, { errno, sqlState }]) => !isOfServer(errno) || !/^[0-9A-Z]{5}$/.test(sqlState),
    );
    expect(wrong).toEqual([]);
  });

  test('every text and remedy is whole sentences', () => {
    const isSentence = (text: string) =>
      /[.}]$/.test(text) && !/^(?!undrop )[a-z]/.test(text) && !house.TEXT_OPENING.test(text);
    const wrong = entries.filter(
      ([, { text, remedy }]) => !isSentence(text) || !isSentence(remedy),
    );
    expect(wrong.map(([code]) => code)).toEqual([]);
  });

  test('where an error is made every placeholder gets its value, and nothing else is given', () => {
    const made = sources.flatMap((file) => errorsMadeIn(file));
    expect(made.length).toBeGreaterThan(20);
    const wrong = made.flatMap(({ path, code, params }) => {
      const entry = entries.find(([key]) => key === code)?.[1];
      if (entry === undefined) return [`${path}: ${code} is not in the registry`];
      const wanted = placeholdersOf(entry);
      const missing = wanted.filter((name) => !params.includes(name));
      const surplus = params.filter((name) => !wanted.includes(name));
      return missing.length + surplus.length === 0
        ? []
        : [`${path}: ${code} lacks ${missing.join(' ')}; has no use for ${surplus.join(' ')}`];
    });
    expect(wrong).toEqual([]);
  });
});

describe('words', () => {
  test('no sentence opens with What, Who, One, So, Of, As or Those', () => {
    expect(sources.flatMap(house.openings)).toEqual([]);
  });

  test('a text of the log is "verb object; consequence"', () => {
    expect(sources.flatMap(house.logTexts)).toEqual([]);
  });

  test('no words of test/golden/banned-words.txt, which has what to write instead', () => {
    const pages = listFiles('docs', ['.md']).concat(listFiles('.', ['.md'], { deep: false }));
    const texts = [...everything, ...pages.map((path) => ({ path, text: readText(path) }))];
    const banned = [...readText('test/golden/banned-words.txt').matchAll(/^(\(i\) )?(.+) => /gm)];
    expect(banned.length).toBeGreaterThan(50);
    for (const inAnyCase of [true, false]) {
      const own = banned.filter(([, mark]) => (mark !== undefined) === inAnyCase);
      const pattern = new RegExp(own.map(([, , word]) => word).join('|'), inAnyCase ? 'gi' : 'g');
      expect(texts.flatMap((file) => finds(file, file.text, pattern))).toEqual([]);
    }
  });
});

// ── how they are checked ───────────────────────────────────────────────────────────────────────

function folderOf(path: string): string {
  const [, folder = '', second = ''] = path.split('/');
  if (second === '') return ROOT_FILES;
  return folder === 'faces' ? `${folder}/${second}` : folder;
}

function mayImport(path: string, target: string): boolean {
  const [from, to] = [folderOf(path), folderOf(target)];
  return from === to || placeOf(to) < placeOf(from);
}

function placeOf(folder: string): number {
  return ROOMS.findIndex((rooms) => rooms.includes(folder));
}

/** Packages from the registry that a file imports. */
function packagesOf({ imports }: SourceFile): readonly string[] {
  return imports
    .filter(({ specifier }) => !/^(\.|node:)/.test(specifier))
    .map(({ specifier }) => /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier);
}

interface Package {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

function readPackage(): Package {
  return JSON.parse(readText('package.json')) as Package;
}

/** Files of src that a file runs as programs of their own: it names what they are built to. */
function startedBy({ path, strings }: SourceFile): readonly string[] {
  const folder = path.slice(0, path.lastIndexOf('/'));
  const names = strings.filter((text) => /^[\w./-]+\.js$/.test(text));
  return names.map((name) => posix.join(folder, name.replace(/\.js$/, '.ts')));
}

/** Pure rooms, and the statements: what they need of the world is behind their ports. */
function isPure({ path }: SourceFile): boolean {
  const isStatement = /^src\/(drop\/|faces\/sql\/(bind|rights)\.)/.test(path) && !SERVED.test(path);
  return (
    isStatement || /^src\/(wire|sql|names|policy)\//.test(path) || /\/next-[a-z-]+\.ts$/.test(path)
  );
}

/** What touches the world, in the file or in anything that it needs at run time. */
function impurities(file: SourceFile): readonly string[] {
  const wrong = new Set<string>();
  const seen = new Set<string>();
  const open = [file];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (seen.has(next.path)) continue;
    seen.add(next.path);
    const needed = next.imports.filter(({ isTypeOnly }) => !isTypeOnly);
    for (const { specifier } of needed) {
      const isWorld = specifier.startsWith('node:') && !PURE_PARTS_OF_NODE.includes(specifier);
      if (isWorld) wrong.add(`${file.path} needs ${next.path}, which imports ${specifier}`);
    }
    for (const found of finds(next, next.code, WORLD)) wrong.add(`${file.path} needs ${found}`);
    const targets = needed.map(({ target }) => target);
    open.push(...sources.filter(({ path }) => targets.includes(path)));
  }
  return [...wrong];
}

/** Where `pattern` is found in `within`, which has the lines of the file. */
function finds({ path, text }: Pick<SourceFile, 'path' | 'text'>, within: string, pattern: RegExp) {
  return [...within.matchAll(pattern)].map(({ index }) => {
    const line = text.slice(0, index).split('\n').length;
    return `${path}:${line}: ${(text.split('\n')[line - 1] ?? '').trim().slice(0, 80)}`;
  });
}

function placeholdersOf({ text, remedy }: ErrorEntry): readonly string[] {
  const found = `${text} ${remedy}`.matchAll(/\{(\w+)\}/g);
  return [...new Set([...found].map(([, name = '']) => name))];
}

interface MadeError {
  readonly path: string;
  readonly code: string;
  readonly params: readonly string[];
}

/** `new UndropError('CODE', { a, b: … })`, where code and parameters stand there as literals. */
function errorsMadeIn(file: SourceFile): readonly MadeError[] {
  const made: MadeError[] = [];
  for (const { index, 0: head } of file.code.matchAll(/new UndropError\(\s*'/g)) {
    const start = index + head.length;
    const code = /^\w+/.exec(file.text.slice(start))?.[0];
    const args = argumentsFrom(file.code, start);
    const params = paramsOf(args);
    if (code !== undefined && params !== null) made.push({ path: file.path, code, params });
  }
  return made;
}

/** The code up to the bracket that closes the call. */
const argumentsFrom = (code: string, start: number) =>
  code.slice(start, house.closing(code, start) - 1);

/** Keys of the second argument; none where there is no second; null where it is no literal. */
function paramsOf(args: string): readonly string[] | null {
  const second = /^[^,]*,?\s*([\s\S]*)$/.exec(args)?.[1] ?? '';
  if (second === '') return [];
  if (!second.startsWith('{') || second.includes('...')) return null;
  const literal = argumentsFrom(second, 1);
  const flat = literal.replaceAll(/\([^()]*(\([^()]*\)[^()]*)*\)/g, '');
  return [...flat.matchAll(/(?:^|,)\s*(\w+)\s*(?=[:,]|$)/g)].map(([, key = '']) => key);
}
