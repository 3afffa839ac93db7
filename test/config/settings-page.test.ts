/** The page docs/settings.md, made of the table of settings. */
import { test } from '@jest/globals';
import { flagOf, SETTINGS } from '../../src/config/schema.js';
import { expectPage } from '../support/page.js';

test('docs/settings.md is made of the table of settings', () => {
  const rows = Object.entries(SETTINGS).map(
    ([key, { variable, default: fallback, expected, meaning }]) => {
      const given = fallback === null ? '(needed)' : fallback === '' ? '(none)' : `\`${fallback}\``;
      return `| \`${variable}\` | \`--${flagOf(key)}\` | \`${key}\` | ${given} | ${meaning} | ${expected} |`;
    },
  );
  expectPage(
    'docs/settings.md',
    '# Settings\n\n' +
      'A setting is an environment variable, a flag, or a key in a JSON file that `--config` or\n' +
      '`UNDROP_CONFIG` names. A flag wins over the environment, that over the file, that over the\n' +
      'default. Wrong values and unknown keys or flags stop the start, with every mistake listed at\n' +
      'once; an unknown `UNDROP_…` variable is a warning. Made of `src/config/schema.ts` by\n' +
      '`UPDATE_GOLDEN=1 npm test -- settings-page`.\n\n' +
      '| variable | flag | key | default | meaning | values |\n' +
      '|---|---|---|---|---|---|\n' +
      `${rows.join('\n')}\n`,
  );
});
