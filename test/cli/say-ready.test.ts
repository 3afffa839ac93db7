/** What the log says of settings that are allowed and hold nothing. */
import { describe, expect, test } from '@jest/globals';
import { warnUnprotected } from '../../src/cli/serve/control-plane.js';
import { PROXY_KEYS } from '../../src/cli/settings.js';
import { loadSettings } from '../../src/config/load.js';
import { type Log, silentLog } from '../../src/log.js';

function warningsWith(env: Readonly<Record<string, string>>): readonly string[] {
  const all = { UNDROP_UPSTREAM: 'db:3306', UNDROP_USER: 'undrop', ...env };
  const { settings } = loadSettings(PROXY_KEYS, { flags: {}, env: all, file: null });
  const warnings: string[] = [];
  const log: Log = {
    ...silentLog,
    warn: (_fields: unknown, text: unknown) => warnings.push(`${text}`),
  };
  warnUnprotected(log, settings);
  return warnings;
}

describe('a proxy that is ready', () => {
  test('has nothing to warn of by default', () => {
    expect(warningsWith({})).toEqual([]);
  });

  test.each([
    [{ UNDROP_PROTECT: 'none' }, /leaves out drop-table, drop-database, create-or-replace:/],
    [{ UNDROP_PROTECT: 'drop-database' }, /leaves out drop-table, create-or-replace:/],
    [{ UNDROP_HOLD: '0s' }, /no time in HOLD/],
    [{ UNDROP_LIFECYCLE: 'drop' }, /no time in HOLD/],
    [{ UNDROP_HOLD: '59m' }, /UNDROP_HOLD is less than UNDROP_MIN_HOLD \(1h\): .* for 59m only/],
    [{ UNDROP_RULES: 'a.*: hold; *.*: now' }, /UNDROP_RULES gives .*, or no time: \*\.\*: now$/],
    [{ UNDROP_RULES: '*.*: hold=0s' }, /UNDROP_RULES gives tables less than UNDROP_MIN_HOLD/],
    [{ UNDROP_RULES: 'test.*: native' }, /UNDROP_RULES gives tables less than UNDROP_MIN_HOLD/],
    [{ UNDROP_MODE: 'observe', UNDROP_RULES: '*.*: now' }, /UNDROP_MODE is observe/],
  ])('says that less can be brought back with %j', (env, words) => {
    expect(warningsWith(env)).toEqual([expect.stringMatching(words)]);
  });
});
