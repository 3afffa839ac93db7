/**
 * Settings out of flags, environment and file: flag over environment over file over default. Every
 * wrong value is listed at once, with what was expected and what came.
 */
import { readFileSync } from 'node:fs';
import { UndropError } from '../errors.js';
import { flagOf, SETTINGS, type Setting, type SettingKey, type Settings } from './schema.js';

/** Where a value came from, for the message. */
export interface Sources {
  /** By key of the schema. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: {
    readonly path: string;
    readonly values: Readonly<Record<string, unknown>>;
  } | null;
}

export interface Loaded<K extends SettingKey> {
  readonly settings: Pick<Settings, K>;
  /** Unknown UNDROP_* variables: a warning, as Kubernetes injects UNDROP_SERVICE_HOST and more. */
  readonly unknownVariables: readonly string[];
  /** Values of the file that a variable or a flag wins over. */
  readonly overridden: readonly Overridden[];
}

export interface Overridden {
  readonly key: SettingKey;
  /** `UNDROP_MODE`, `--mode`. */
  readonly by: string;
}

/** Variables that are no settings of a proxy: the file, and those of the demo and the tests. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set([
  'UNDROP_CONFIG',
  'UNDROP_SERVER_CACHE',
  'UNDROP_TEST_SERVERS',
  'UNDROP_TEST_SETS',
]);

/** Loads the settings `keys`; UNDROP_CONFIG lists everything that is wrong. */
export function loadSettings<K extends SettingKey>(
  keys: readonly K[],
  sources: Sources,
): Loaded<K> {
  const problems: string[] = wrongInFile(sources);
  const values: Record<string, unknown> = {};
  for (const key of keys) {
    const setting: Setting<unknown> = SETTINGS[key];
    const { variable, expected, parse, default: fallback } = setting;
    const given = findValue(key, setting, sources);
    const text = given?.text ?? fallback;
    if (text === null) {
      problems.push(`${variable} is not set: expected ${expected}.`);
      continue;
    }
    const value = parse(text);
    if (value === null && setting.problems !== undefined) {
      const from = given?.from ?? variable;
      problems.push(...setting.problems(text).map((problem) => `${from}: ${problem}.`));
    } else if (value === null) {
      const found = /password/i.test(key) ? 'something else' : JSON.stringify(text);
      problems.push(`${given?.from ?? variable}: expected ${expected}, found ${found}.`);
    } else values[key] = value;
  }
  takePassword(values, problems, { from: 'passwordFile', to: 'password' });
  takePassword(values, problems, { from: 'adminPasswordFile', to: 'adminPassword' });
  if (problems.length > 0) {
    throw new UndropError('UNDROP_CONFIG', { problems: problems.join('\n') });
  }
  const known = new Set<string>(Object.values(SETTINGS).map(({ variable }) => variable));
  const unknownVariables = Object.keys(sources.env).filter(
    (name) => name.startsWith('UNDROP_') && !known.has(name) && !OTHER_VARIABLES.has(name),
  );
  const overridden = keys.flatMap((key) => {
    const given = findValue(key, SETTINGS[key], sources);
    const inFile = findValue(key, SETTINGS[key], { ...sources, flags: {}, env: {} });
    const isOther = given !== null && inFile !== null && given.text !== inFile.text;
    return isOther ? [{ key, by: given.from }] : [];
  });
  // Every key has a value or a problem by now.
  return { settings: values as unknown as Pick<Settings, K>, unknownVariables, overridden };
}

function findValue(
  key: SettingKey,
  { variable, separator = ',' }: Setting<unknown>,
  { flags, env, file }: Sources,
): { readonly text: string; readonly from: string } | null {
  const flag = flags[key];
  if (flag !== undefined) return { text: asText(flag, separator), from: `--${flagOf(key)}` };
  const fromEnv = env[variable];
  if (fromEnv !== undefined) return { text: fromEnv, from: variable };
  const fromFile = file?.values[key];
  if (fromFile === undefined || !isText(fromFile)) return null;
  return { text: asText(fromFile, separator), from: `${key} in ${file?.path}` };
}

function asText(value: unknown, separator: string): string {
  if (Array.isArray(value)) return value.map(String).join(separator);
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return String(value);
}

/** Keys that are no settings, and values that are none of any. */
function wrongInFile({ file }: Sources): string[] {
  if (file === null) return [];
  return Object.entries(file.values).flatMap(([key, value]) => {
    if (!(key in SETTINGS)) return [`${key} in ${file.path} is no setting.`];
    if (isText(value)) return [];
    const found = /password/i.test(key) ? 'something else' : JSON.stringify(value);
    return [`${key} in ${file.path}: expected a text, a number or a list, found ${found}.`];
  });
}

function isText(value: unknown): boolean {
  const isPlain = (one: unknown) => ['string', 'number', 'boolean'].includes(typeof one);
  return isPlain(value) || (Array.isArray(value) && value.every(isPlain));
}

function takePassword(
  values: Record<string, unknown>,
  problems: string[],
  { from, to }: { readonly from: SettingKey; readonly to: SettingKey },
): void {
  const path = values[from];
  if (typeof path !== 'string' || path === '') return;
  try {
    values[to] = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    problems.push(`${SETTINGS[from].variable}: expected a readable file, found ${cause}.`);
  }
}
