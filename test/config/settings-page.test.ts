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
      'default. Undrop does not start with a wrong value, an unknown key or flag, or a flag with two\n' +
      'values. It reports all wrong values and unknown keys together, and unknown flags, flags with\n' +
      'two values and the contents of TLS files separately. An unknown\n' +
      '`UNDROP_…` variable causes a warning. A running proxy reads all of them again on SIGHUP; `listen`, `upstream`, the account and\n' +
      '`workers` take a restart, as does a `mode` from or to `replay`. Made of `src/config/schema.ts` by\n' +
      '`UPDATE_GOLDEN=1 npm test -- settings-page`.\n\n' +
      '| variable | flag | key | default | meaning | values |\n' +
      '|---|---|---|---|---|---|\n' +
      `${rows.join('\n')}\n`,
  );
});
