/** What a change of settings asks for. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { compareSettings, PROXY_KEYS, type ProxySettings } from '../../src/cli/settings.js';
import { loadSettings } from '../../src/config/load.js';

function settings(env: Readonly<Record<string, string>> = {}): ProxySettings {
  const given = { UNDROP_UPSTREAM: 'db', UNDROP_USER: 'undrop', ...env };
  return loadSettings(PROXY_KEYS, { flags: {}, env: given, file: null }).settings;
}

describe('of settings that change', () => {
  test('none does where they are loaded again as they were', () => {
    expect(compareSettings(settings(), settings())).toEqual({
      settings: settings(),
      changed: [],
      fixed: [],
    });
  });

  test('those of sessions and of the log take effect', () => {
    const next = settings({ UNDROP_MAX_CONNECTIONS: '5', UNDROP_LOG_LEVEL: 'debug' });
    expect(compareSettings(settings(), next)).toEqual({
      settings: next,
      changed: ['maxConnections', 'logLevel'],
      fixed: [],
    });
  });

  test('those of the collector take effect', () => {
    const next = settings({ UNDROP_LIFECYCLE: 'hold,drop', UNDROP_EVAC: '1h' });
    expect(compareSettings(settings(), next)).toMatchObject({ changed: ['lifecycle', 'evac'] });
  });

  test('those that are bound at the start stay, and are named', () => {
    const next = settings({ UNDROP_LISTEN: ':1', UNDROP_WORKERS: '2', UNDROP_PROTECT: 'none' });
    expect(compareSettings(settings(), next)).toEqual({
      settings: { ...settings(), protect: [] },
      changed: ['protect'],
      fixed: ['listen', 'workers'],
    });
  });

  test('a password in a file is none of them: it is read for each connection', () => {
    const folder = mkdtempSync(join(tmpdir(), 'undrop-settings-'));
    const file = join(folder, 'password');
    const load = (password: string) => {
      writeFileSync(file, password);
      return settings({ UNDROP_PASSWORD_FILE: file });
    };
    try {
      const change = compareSettings(load('one'), load('two'));
      expect(change).toMatchObject({ changed: [], fixed: [] });
    } finally {
      rmSync(folder, { recursive: true });
    }
    const other = settings({ UNDROP_PASSWORD: 'two' });
    expect(compareSettings(settings(), other)).toMatchObject({ fixed: ['password'] });
  });
});
