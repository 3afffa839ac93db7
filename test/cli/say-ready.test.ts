/** What the log says of settings that are allowed and hold nothing. */
import { describe, expect, test } from '@jest/globals';
import { PROXY_KEYS } from '../../src/cli/proxy-settings.js';
import { sayReady } from '../../src/cli/running-proxy.js';
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
  sayReady(log, { settings, addresses: [], proxyId: 'p', relay: 'raw', workers: 1 });
  return warnings;
}

describe('a proxy that is ready', () => {
  test('has nothing to warn of by default', () => {
    expect(warningsWith({})).toEqual([]);
  });

  test.each([
    [{ UNDROP_PROTECT: 'none' }, /UNDROP_PROTECT leaves drop-table out/],
    [{ UNDROP_PROTECT: 'drop-database' }, /UNDROP_PROTECT leaves drop-table out/],
    [{ UNDROP_HOLD: '0s' }, /no time in HOLD/],
    [{ UNDROP_LIFECYCLE: 'drop' }, /no time in HOLD/],
  ])('says that nothing can be brought back with %j', (env, words) => {
    expect(warningsWith(env)).toEqual([expect.stringMatching(words)]);
  });
});
