/** The page docs/settings.md and the file undrop.example.conf, made of the table of settings. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { loadSettings, readConfigFile } from '../../src/config/load.js';
import { flagOf, SETTINGS, type SettingKey, variableOf } from '../../src/config/schema.js';
import { expectPage } from '../support/page.js';
import { readText } from '../support/source-file.js';

/** The first setting of each group, and the title of the group. */
const GROUPS: Partial<Record<SettingKey, string>> = {
  listen: 'Addresses',
  user: 'The service account',
  tls: 'TLS and logins',
  mode: 'Drops',
  lifecycle: 'How long tables are held',
  checkInterval: 'The collector',
  maxBytes: 'Limits and disk space',
  window: 'When the collector waits',
  ledgerKeep: 'Records and monitoring',
  maxConnections: 'Clients and processes',
  proxyProtocol: 'The PROXY protocol',
  drainWait: 'Shutdown and log',
};

/** Values in the place of the defaults of settings that have none. */
const EXAMPLES: Partial<Record<SettingKey, string>> = { upstream: 'db:3306', user: 'undrop' };

const KEYS = Object.keys(SETTINGS) as SettingKey[];
const EXAMPLE = 'undrop.example.conf';
const COLUMNS = 98;

test('docs/settings.md is made of the table of settings', () => {
  const rows = KEYS.flatMap((key) => {
    const { default: fallback, expected, meaning } = SETTINGS[key];
    const given = fallback === null ? '(needed)' : fallback === '' ? '(none)' : `\`${fallback}\``;
    const row = `| \`${variableOf(key)}\` | \`--${flagOf(key)}\` | \`${key}\` | ${given} | ${meaning} | ${expected} |`;
    const title = GROUPS[key];
    const head = [
      '| variable | flag | key | default | meaning | values |',
      '|---|---|---|---|---|---|',
    ];
    return title === undefined ? [row] : ['', `## ${title}`, '', ...head, row];
  });
  expectPage(
    'docs/settings.md',
    '# Settings\n\n' +
      'A setting is an environment variable, a flag, or a key in a file that `--config` or\n' +
      '`UNDROP_CONFIG` names. A flag wins over the environment, the environment over the file, and the\n' +
      'file over the default. Undrop does not start with a wrong value, an unknown key or flag, or a\n' +
      'flag with two values. It reports all wrong values and unknown keys together; unknown flags,\n' +
      'flags with two values, and errors in TLS files each by themselves. An unknown `UNDROP_…`\n' +
      'variable causes a warning. A reload (SIGHUP) reads all settings again: those of the policy apply\n' +
      'to open sessions as well, all others to new ones.\n' +
      '`undrop serve --check` checks the settings without a start.\n\n' +
      'The file is JSON, one object. Lines that begin with `//` are comments, and the last setting may\n' +
      'have a comma after it. [undrop.example.conf](../undrop.example.conf) has all settings with their\n' +
      'defaults, as comments. This page and that file are generated from `src/config/schema.ts` by\n' +
      '`UPDATE_GOLDEN=1 npm test -- settings-page`.\n' +
      `${rows.join('\n')}\n`,
  );
});

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
    const lines = KEYS.flatMap((key) => {
      const { default: fallback, expected, meaning } = SETTINGS[key];
      const value = JSON.stringify(fallback ?? EXAMPLES[key]);
      const title = GROUPS[key];
      return [
        ...(title === undefined ? [''] : ['', `// ── ${title} ──`, '']),
        ...comment(`${variableOf(key)}: ${meaning}.`),
        ...comment(`Values: ${expected}.${fallback === null ? ' Needed.' : ''}`),
        `// ${JSON.stringify(key)}: ${value},`,
      ];
    });
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
