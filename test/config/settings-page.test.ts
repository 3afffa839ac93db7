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
      '`UNDROP_CONFIG` names. A flag wins over the environment, the environment over the file, and the\n' +
      'file over the default. Undrop does not start with a wrong value, an unknown key or flag, or a\n' +
      'flag with two values. It reports all wrong values and unknown keys together; unknown flags,\n' +
      'flags with two values, and errors in TLS files each by themselves. An unknown `UNDROP_…`\n' +
      'variable causes a warning. On SIGHUP a running proxy reads all settings again; changes of\n' +
      '`listen`, `upstream`, the account and `workers`, and of `mode` from or to `replay`, need a restart.\n' +
      'Generated from `src/config/schema.ts` by\n' +
      '`UPDATE_GOLDEN=1 npm test -- settings-page`.\n\n' +
      '| variable | flag | key | default | meaning | values |\n' +
      '|---|---|---|---|---|---|\n' +
      `${rows.join('\n')}\n`,
  );
});
