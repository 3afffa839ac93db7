/**
 * The page docs/reference/settings.md, whose tables have their columns from the table of settings
 * but for the last, and the file undrop.example.conf, which is made of both.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings, readConfigFile } from '../../src/config/load.js';
import { SETTINGS, type SettingKey, variableOf } from '../../src/config/schema.js';
import { expectPage, expectTables, tableOf } from '../support/page.js';
import { readText } from '../support/source-file.js';

const PAGE = 'docs/reference/settings.md';
const ALL = Object.keys(SETTINGS) as SettingKey[];

/** The tables of the page by their titles: which settings, and in which case one changes each. */
const GROUPS = readText(PAGE)
  .split(/^## /m)
  .map((section) => ({
    title: section.slice(0, section.indexOf('\n')),
    settings: [...section.matchAll(/^\|`(UNDROP_\w+)`.*\|(.+)\|$/gm)].flatMap(
      ([, variable, when = '']) =>
        ALL.filter((key) => variableOf(key) === variable).map((key) => ({ key, when })),
    ),
  }))
  .filter(({ settings }) => settings.length > 0);
const KEYS = GROUPS.flatMap(({ settings }) => settings.map(({ key }) => key));

/** Values in the place of the defaults of settings that have none. */
const EXAMPLES: Partial<Record<SettingKey, string>> = { upstream: 'db:3306', user: 'undrop' };

/** Of the page it is folded, of the example it has no texts. */
const SELDOM = 'Seldom changed';

const EXAMPLE = 'undrop.example.conf';
const COLUMNS = 98;

test(`${PAGE} has each setting in a table, with the case in which one changes it`, () => {
  expect([...KEYS].sort()).toEqual([...ALL].sort());
  const groups = GROUPS.map(({ settings }) =>
    settings.map(({ key, when }) => {
      const { default: fallback, expected, meaning } = SETTINGS[key];
      const given = fallback === null ? '(needed)' : fallback === '' ? '' : `\`${fallback}\``;
      return [`\`${variableOf(key)}\``, given, linked(meaning), shortly(expected), when];
    }),
  );
  const head = ['variable', 'default', 'meaning', 'values', 'change it'];
  expectTables(
    PAGE,
    groups.map((rows) => tableOf(head, rows)),
  );
});

const EXAMPLES_OF_DURATIONS = '500ms, 20s, 1h30m or 7d';

/** The page describes durations and addresses once. */
function shortly(expected: string): string {
  return expected
    .replace(/\bthe path of a (file|folder|PEM file)/, 'a $1')
    .replace(`a duration like ${EXAMPLES_OF_DURATIONS}`, 'a duration')
    .replace(
      /host:port \(default port (\d+)\) or the path of a unix socket; several separated by commas/,
      'addresses; port $1',
    );
}

/** Pages that a meaning names, as links from docs/reference. */
function linked(meaning: string): string {
  return meaning.replaceAll(
    /\bdocs\/(reference\/)?([\w-]+)\.md(#\w+)?/g,
    (_, inside, page, anchor) => {
      const path = inside === undefined ? `../${page}.md` : `${page}.md`;
      return `[${page}](${path}${anchor ?? ''})`;
    },
  );
}

describe(EXAMPLE, () => {
  const folder = mkdtempSync(join(tmpdir(), 'undrop-example-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** What a file with that text has. */
  function read(text: string) {
    const path = join(folder, 'undrop.conf');
    writeFileSync(path, text);
    return readConfigFile(path);
  }

  test('is made of the table of settings', () => {
    const lines = GROUPS.flatMap(({ title, settings }) => [
      ...['', `// ── ${title} ──`],
      ...(title === SELDOM ? ['', `// ${PAGE} says what each is for.`] : []),
      ...settings.flatMap(({ key, when }) => {
        const { default: fallback, expected, meaning } = SETTINGS[key];
        const line = `// ${JSON.stringify(key)}: ${JSON.stringify(fallback ?? EXAMPLES[key])},`;
        if (title === SELDOM) return [line];
        const text = comment(`${variableOf(key)}: ${meaning}. Change it ${when}.`);
        const values = `Values: ${expected}.${fallback === null ? ' Needed.' : ''}`;
        return ['', ...text, ...comment(values), line];
      }),
    ]);
    expectPage(
      EXAMPLE,
      '// Settings of undrop with their defaults, for `undrop serve --config` or UNDROP_CONFIG: a file in\n' +
        '// JSON with lines of comments. To change a setting, remove the `//` before its key. Check the\n' +
        '// file with `undrop serve --check --config undrop.conf`. Generated from src/config/schema.ts.\n' +
        `{\n${lines
          .slice(1)
          .map((line) => `${line && `  ${line}`}\n`)
          .join('')}}\n`,
    );
  });

  test('has the default of each setting, once its comments are settings', () => {
    const file = read(readText(EXAMPLE).replaceAll(/^ {2}\/\/ "/gm, '  "'));
    expect(Object.keys(file.values)).toEqual(KEYS);
    const { settings } = loadSettings(KEYS, { flags: {}, env: {}, file });
    const defaults = loadSettings(KEYS, { flags: EXAMPLES, env: {}, file: null });
    expect(settings).toEqual(defaults.settings);
  });

  test('sets nothing as it is', () => {
    expect(read(readText(EXAMPLE)).values).toEqual({});
  });
});

/** The text in lines of comments. */
function comment(text: string): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last === '') lines[lines.length - 1] = `// ${word}`;
    else if (last.length + 1 + word.length + 2 <= COLUMNS)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`// ${word}`);
  }
  return lines;
}
