/** The page docs/settings.md, made of the table of settings. */
import { test } from '@jest/globals';
import { flagOf, SETTINGS, variableOf } from '../../src/config/schema.js';
import { expectPage } from '../support/page.js';

test('docs/settings.md is made of the table of settings', () => {
  const rows = Object.entries(SETTINGS).map(([key, { default: fallback, expected, meaning }]) => {
    const given = fallback === null ? '(needed)' : fallback === '' ? '(none)' : `\`${fallback}\``;
    return `| \`${variableOf(key)}\` | \`--${flagOf(key)}\` | \`${key}\` | ${given} | ${meaning} | ${expected} |`;
  });
  expectPage(
    'docs/settings.md',
    '# Settings\n\n' +
      'A setting is an environment variable, a flag, or a key in a JSON file that `--config` or\n' +
      '`UNDROP_CONFIG` names. A flag wins over the environment, that over the file, that over the\n' +
      'default. A wrong value, a key or a flag that is unknown, or a flag with two values stops the\n' +
      'start. Wrong values and unknown keys of the file are listed together; unknown flags, flags\n' +
      'with two values, and what the TLS files have in them are looked at apart from these. An unknown\n' +
      '`UNDROP_…` variable is a warning. A running proxy reads all of them again on SIGHUP; `listen`, `upstream`, the account and\n' +
      '`workers` take a restart, as does a `mode` from or to `replay`. Made of `src/config/schema.ts` by\n' +
      '`UPDATE_GOLDEN=1 npm test -- settings-page`.\n\n' +
      '| variable | flag | key | default | meaning | values |\n' +
      '|---|---|---|---|---|---|\n' +
      `${rows.join('\n')}\n`,
  );
});
