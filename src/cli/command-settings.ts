/**
 * The settings of a command: flags over environment over the file of settings. If none of them
 * names a server, commands that talk to one use the server of a running demo.
 */
import { loadSettings, readConfigFile } from '../config/load.js';
import type { SettingKey, Settings } from '../config/schema.js';
import { PROXY_KEYS, type ProxySettings } from './settings.js';
import type { Flags, Shell } from './shell.js';

/** The settings `keys`, with warnings on standard error. */
export function settingsOf<K extends SettingKey>(
  { env, stderr }: Pick<Shell, 'env' | 'stderr'>,
  keys: readonly K[],
  flags: Flags,
): Pick<Settings, K> {
  const path = flags['config'] ?? env['UNDROP_CONFIG'];
  const file = typeof path === 'string' ? { path, values: readConfigFile(path) } : null;
  const loaded = loadSettings(keys, { flags, env, file });
  for (const name of loaded.unknownVariables) {
    stderr.write(`undrop: warning: ${name} is not a setting of undrop\n`);
  }
  for (const key of ['password', 'admin-password'].filter((flag) => flags[flag] !== undefined)) {
    const instead = `use --${key}-file instead`;
    stderr.write(`undrop: warning: all users of this machine can see --${key}; ${instead}\n`);
  }
  return loaded.settings;
}

/** The settings of a proxy. */
export function proxySettingsOf(
  shell: Pick<Shell, 'env' | 'stderr'>,
  flags: Flags = {},
): ProxySettings {
  return settingsOf(shell, PROXY_KEYS, flags);
}

/** The settings `keys`; without an upstream, those of a running demo. */
export async function settingsOrDemoOf<K extends SettingKey>(
  { env, stderr }: Pick<Shell, 'env' | 'stderr'>,
  keys: readonly K[],
  flags: Flags,
): Promise<Pick<Settings, K>> {
  const isConfigured = [
    ...[flags['upstream'], flags['config']],
    ...[env['UNDROP_UPSTREAM'], env['UNDROP_CONFIG']],
  ].some((given) => given !== undefined);
  if (isConfigured) return settingsOf({ env, stderr }, keys, flags);
  const { findDemo } = await import('../demo/state.js');
  const demo = (await findDemo())?.variables ?? {};
  const server = demo['UNDROP_UPSTREAM'];
  // There may be several demos; a reader of an empty list should know which server has none.
  stderr.write(
    server === undefined
      ? 'No demo of your account runs on this machine (`npm start` is one).\n'
      : `(the demo's server at ${server})\n`,
  );
  return settingsOf({ env: { ...env, ...demo }, stderr }, keys, flags);
}
