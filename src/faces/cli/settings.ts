/**
 * The settings of a proxy and of the other commands; and the port between a command and the shell
 * that runs it: streams, flags, signals. Tests run commands with a shell of their own.
 */
import { readFileSync } from 'node:fs';
import type { LimitSettings } from '../../collector/limits/choose-early.js';
import type { LifecycleSettings } from '../../collector/next-step.js';
import type { ThrottleSettings } from '../../collector/throttle/throttle.js';
import { loadSettings, readConfigFile, SECRET_KEYS } from '../../config/load.js';
import { SETTINGS, type SettingKey, type Settings } from '../../config/schema.js';
import { formatDuration } from '../../duration.js';
import { UndropError } from '../../errors.js';
import type { TableState } from '../../names/names.js';
import { matchesAll } from '../../policy/rules.js';
import { PROTECTED } from '../../sql/destroying.js';

type ProxySettingKey = Exclude<SettingKey, 'tier' | 'schemas'>;

/** Settings of a proxy: all but those for creating its account by `undrop init`. */
export const PROXY_KEYS = (Object.keys(SETTINGS) as SettingKey[]).filter(
  (key): key is ProxySettingKey => key !== 'tier' && key !== 'schemas',
);

export type ProxySettings = Pick<Settings, ProxySettingKey>;

/** How long a dropped table can be restored, in milliseconds. */
export function holdMsOf({ lifecycle, hold }: Pick<ProxySettings, 'lifecycle' | 'hold'>): number {
  return lifecycle.includes('hold') ? hold : 0;
}

export type HoldSettings = Pick<ProxySettings, 'lifecycle' | 'hold' | 'minHold' | 'allowDestroy'>;

/** The shortest hold, in milliseconds, that a hint or an operator may set. */
export function hintMsMinOf(settings: HoldSettings): number {
  return settings.allowDestroy === 'users' ? 0 : Math.min(settings.minHold, holdMsOf(settings));
}

/** Why nothing is held, by mode. */
const WHY_NOT_HELD = {
  observe:
    'UNDROP_MODE is observe: nothing is held, a DROP destroys its tables at once, and the log names them',
  off: 'UNDROP_MODE is off: nothing is held, a DROP destroys its tables at once, and nothing is logged',
} as const satisfies Record<Exclude<ProxySettings['mode'], 'hold'>, string>;

const USERS_DESTROY =
  'UNDROP_ALLOW_DESTROY lets users destroy their tables at once, by the hints now and destroy';

/**
 * Sentences on drops that are not held for UNDROP_MIN_HOLD, or not at all; and on those that are
 * not because a rule or a hint says it (`chosen`).
 */
export function whatIsNotHeld(
  settings: HoldSettings & Pick<ProxySettings, 'mode' | 'protect' | 'rules'>,
): { readonly sentences: readonly string[]; readonly chosen: readonly string[] } {
  const { mode, protect, allowDestroy, hold, minHold } = settings;
  if (mode !== 'hold') return { sentences: [WHY_NOT_HELD[mode]], chosen: [] };
  const left = PROTECTED.filter((what) => !protect.includes(what)).join(', ');
  const sentences: string[] = [];
  const chosen: string[] = [];
  if (left !== '') {
    sentences.push(`UNDROP_PROTECT leaves out ${left}: these statements destroy tables at once`);
  }
  if (holdMsOf(settings) === 0) {
    const all = 'dropped tables are removed at once';
    sentences.push(`UNDROP_HOLD or UNDROP_LIFECYCLE gives tables no time in HOLD: ${all}`);
  } else if (hold < minHold) {
    const less = `UNDROP_HOLD is less than UNDROP_MIN_HOLD (${formatDuration(minHold)})`;
    sentences.push(`${less}: dropped tables are held for ${formatDuration(hold)} only`);
  }
  const short = settings.rules.filter(({ action }) =>
    action.do === 'hold'
      ? action.ms !== null && action.ms < Math.max(minHold, 1)
      : action.do === 'native',
  );
  if (short.length > 0) {
    const rules = short.map(({ text }) => text).join('; ');
    const less = `gives tables less than UNDROP_MIN_HOLD in HOLD, or no time: ${rules}`;
    (short.some(matchesAll) ? sentences : chosen).push(`UNDROP_RULES ${less}`);
  }
  if (allowDestroy === 'users') chosen.push(USERS_DESTROY);
  return { sentences, chosen };
}

/** Settings that decide on a drop: at a reload, open sessions follow them as well. */
export const POLICY_KEYS = [
  'mode',
  'protect',
  'rules',
  'allowDestroy',
  'note',
  'requireIdle',
  'lifecycle',
  'hold',
  'minHold',
  'maxHold',
] as const satisfies readonly ProxySettingKey[];

export type PolicySettings = Pick<ProxySettings, (typeof POLICY_KEYS)[number]>;

/** The settings that differ, by their keys, with both values; durations are in milliseconds. */
export function changesOf(
  old: ProxySettings,
  next: ProxySettings,
): Readonly<Record<string, object>> {
  // Settings are texts, numbers, and lists and records of them.
  const isChanged = (key: keyof ProxySettings) =>
    JSON.stringify(old[key]) !== JSON.stringify(next[key]);
  const valuesOf = (key: keyof ProxySettings) =>
    SECRET_KEYS.has(key) ? {} : { from: old[key], to: next[key] };
  return Object.fromEntries(PROXY_KEYS.filter(isChanged).map((key) => [key, valuesOf(key)]));
}

/** Settings of commands that only use the server, by their keys in config/schema.ts. */
export const ACCOUNT_KEYS = [
  'upstream',
  'user',
  'password',
  'passwordFile',
  'tls',
  'upstreamTls',
  'upstreamCa',
  'upstreamCert',
  'upstreamKey',
  'upstreamPublicKey',
  'auditFile',
] as const;

export type AccountSettings = Pick<Settings, (typeof ACCOUNT_KEYS)[number]>;

export const INIT_KEYS = [...ACCOUNT_KEYS, 'tier', 'schemas'] as const;

export type InitSettings = Pick<Settings, (typeof INIT_KEYS)[number]>;

/** Settings of `hold` and `restore`: the shortest hold, and that of a table that is swapped out. */
export const HOLD_KEYS = [...ACCOUNT_KEYS, 'hold', 'minHold', 'lifecycle', 'allowDestroy'] as const;

/** Settings of `doctor`, which checks whether and how the given schemas are protected. */
export const DOCTOR_KEYS = [...ACCOUNT_KEYS, 'schemas', ...POLICY_KEYS] as const;

export type DoctorSettings = Pick<Settings, (typeof DOCTOR_KEYS)[number]>;

/** Settings of the throttle. */
const THROTTLE_KEYS = ['window', 'throttleQuery', 'replicas', 'maxLag'] as const;

/** Settings of the limits. */
const LIMIT_KEYS = ['minHold', 'maxBytes', 'maxTables', 'minFree', 'datadir'] as const;

/** Settings of the collector. */
const LIFECYCLE_KEYS = [
  'lifecycle',
  'hold',
  'evac',
  'checkInterval',
  'purgeImpact',
  'collect',
  'grace',
  'fastDrop',
  ...THROTTLE_KEYS,
  ...LIMIT_KEYS,
] as const;

/** Settings of `status` and `uninstall`. */
export const STATUS_KEYS = [...ACCOUNT_KEYS, ...LIFECYCLE_KEYS] as const;

export type StatusSettings = Pick<Settings, (typeof STATUS_KEYS)[number]>;

/** The longest time until the collector tries a table again that it could not move on. */
const PURGE_CHECK_INTERVAL_MAX_MS = 60_000;

const DAY_MS = 86_400_000;

/** The settings in the collector's form. */
export function lifecycleSettings(
  settings: Pick<Settings, (typeof LIFECYCLE_KEYS)[number]>,
): LifecycleSettings {
  return {
    collect: settings.collect,
    lifecycle: settings.lifecycle.map((state) => state.toUpperCase() as TableState),
    purgeChunkRows: 50,
    fastDrop: settings.fastDrop,
    holdMs: settings.hold,
    evacMs: settings.evac,
    checkIntervalMs: settings.checkInterval,
    purgeCheckIntervalMs: Math.min(settings.checkInterval, PURGE_CHECK_INTERVAL_MAX_MS),
    graceMs: settings.grace,
    ledgerKeepMs: 90 * DAY_MS,
    purgeChunkMs: 20,
    purgeImpactMs: settings.purgeImpact,
    throttle: throttleSettings(settings),
    fileStepBytes: 64 * 2 ** 20,
    limits: limitSettings(settings),
  };
}

/** The same for a command: it is a request to collect, whatever a proxy does. */
export function requestedLifecycle(settings: StatusSettings): LifecycleSettings {
  const { collect } = settings;
  return lifecycleSettings({ ...settings, collect: collect === 'off' ? 'auto' : collect });
}

/** The limits, which other commands use, too. */
export function limitSettings(
  settings: Pick<Settings, 'hold' | (typeof LIMIT_KEYS)[number]>,
): LimitSettings {
  return {
    bytesMax: nullOf(settings.maxBytes),
    tablesMax: nullOf(settings.maxTables),
    minHoldMs: Math.min(settings.minHold, settings.hold),
    freeBytesMin: nullOf(settings.minFree),
    dataFolder: settings.datadir === '' ? null : settings.datadir,
  };
}

function nullOf<T>(value: T | 'none'): T | null {
  return value === 'none' ? null : value;
}

/** The throttle, which other commands use, too. */
export function throttleSettings({
  window,
  throttleQuery,
  replicas,
  maxLag: maxLagMs,
}: Pick<Settings, (typeof THROTTLE_KEYS)[number]>): ThrottleSettings {
  return {
    window: nullOf(window),
    query: throttleQuery.trim() === '' ? null : throttleQuery,
    replicas,
    maxLagMs,
  };
}

// ── the settings of a command ───────────────────────────────────────────────────────────────────

/**
 * The settings `keys`: flags over environment over the file of settings. Warnings go to standard
 * error.
 */
export function settingsOf<K extends SettingKey>(
  shell: Pick<Shell, 'env' | 'stderr'>,
  keys: readonly K[],
  flags: Flags,
): Pick<Settings, K> {
  return readSettings(shell, keys, flags).settings;
}

const PASSWORD_SEEN = 'all users of this machine can see --password; use --password-file instead';

/** The same, also as texts. */
function readSettings<K extends SettingKey>(
  { env, stderr }: Pick<Shell, 'env' | 'stderr'>,
  keys: readonly K[],
  flags: Flags,
) {
  const path = flags['config'] ?? env['UNDROP_CONFIG'];
  const file = typeof path === 'string' ? readConfigFile(path) : null;
  const loaded = loadSettings(keys, { flags, env, file });
  for (const text of loaded.warnings) stderr.write(`undrop: warning: ${text}\n`);
  if (flags['password'] !== undefined) stderr.write(`undrop: warning: ${PASSWORD_SEEN}\n`);
  return loaded;
}

/** The settings of a proxy, also as texts. */
export function readProxySettings(shell: Pick<Shell, 'env' | 'stderr'>, flags: Flags) {
  return readSettings(shell, PROXY_KEYS, flags);
}

/**
 * The settings `keys`; without an upstream, those of a running demo, for commands that talk to a
 * server.
 */
export async function settingsOrDemoOf<K extends SettingKey>(
  { env, stderr }: Pick<Shell, 'env' | 'stderr'>,
  keys: readonly K[],
  flags: Flags,
): Promise<Pick<Settings, K>> {
  const given = [flags['upstream'], flags['config'], env['UNDROP_UPSTREAM'], env['UNDROP_CONFIG']];
  if (given.some((one) => one !== undefined)) return settingsOf({ env, stderr }, keys, flags);
  const { findDemo } = await import('../../../demo/demo.js');
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

// ── the shell of a command ──────────────────────────────────────────────────────────────────────

export interface Shell {
  /** The command and its arguments. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: Out;
  readonly stderr: Out;
  /**
   * Resolves to the typed line, or to an empty one; a secret is not shown. Missing if there is no
   * terminal.
   */
  readonly ask?: (question: string, how?: { readonly isSecret: boolean }) => Promise<string>;
  /** From this call on a signal ends the process. */
  leaveSignals(): void;
}

/** A stream that a command writes to. */
export interface Out {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** The flags and positionals of a command, by name. */
export type Flags = Readonly<Record<string, unknown>>;

/** The text of a flag, or null if the flag is missing. */
export function flagText(flags: Flags, name: string): string | null {
  const value = flags[name];
  return typeof value === 'string' ? value : null;
}

export function wrongFlag(name: string, expected: string, found: string): UndropError {
  return wrongUsage(`--${name}: expected ${expected}, found ${found}.`);
}

export function wrongUsage(problems: string): UndropError {
  return new UndropError('UNDROP_CONFIG', { problems });
}

// scripts/bundle.mjs writes them into the product; a clone has the version in package.json.
declare const UNDROP_VERSION: string | undefined;
declare const UNDROP_PACKAGES: readonly string[] | undefined;

/** The version of undrop. */
export function versionOfPackage(): string {
  if (typeof UNDROP_VERSION === 'string') return UNDROP_VERSION;
  const path = new URL('../../../../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  return version;
}

/** The version, and in the product a line for each package in it. */
export function versionWithPackages(): string {
  const packages = typeof UNDROP_PACKAGES === 'undefined' ? [] : UNDROP_PACKAGES;
  return [versionOfPackage(), ...packages].join('\n');
}
