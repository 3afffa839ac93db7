/**
 * Loads settings from flags, environment and file: flag over environment over file over default.
 * All wrong values are reported at once, each with the expected and the found value.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { getNodeValue, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';
import { formatDuration } from '../duration.js';
import { assert, UndropError } from '../errors.js';
import { nearest } from './nearest.js';
import { REMOVED_SETTINGS, REMOVED_VALUES } from './removed.js';
import { flagOf, SETTINGS, type SettingKey, type Settings, variableOf } from './schema.js';
import type { Setting } from './setting-kinds.js';

/** The places that settings come from. */
export interface Sources {
  /** The values by the schema's keys. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: {
    readonly path: string;
    readonly values: Readonly<Record<string, unknown>>;
    /** Where a key of the file is; missing: not known. */
    readonly places?: ReadonlyMap<string, string>;
  } | null;
}

/** Files that are secrets. */
const SECRET_FILES = ['passwordFile', 'tlsKey', 'upstreamKey'];

/** Settings whose values are in no log and no message. */
export const SECRET_KEYS: ReadonlySet<string> = new Set(['password']);

/** Variables that aren't settings of a proxy. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set([
  'UNDROP_CONFIG',
  'UNDROP_MCP_URL',
  'UNDROP_MCP_URL_FILE',
  'UNDROP_SERVER_CACHE',
  'UNDROP_TEST_SERVERS',
  'UNDROP_TEST_SETS',
]);

/**
 * Loads the settings `keys`, also as texts; throws UNDROP_CONFIG with all problems. Warnings are
 * sentences without final periods, on values that a start takes: unknown variables (Kubernetes
 * injects UNDROP_SERVICE_HOST and others), secrets in open files, a setting against another.
 */
export function loadSettings<K extends SettingKey>(keys: readonly K[], sources: Sources) {
  const problems: string[] = wrongInFile(sources);
  const values: Record<string, unknown> = {};
  const texts: Record<string, string> = {};
  for (const key of keys) {
    const setting: Setting<unknown> = SETTINGS[key];
    const { text, from } = findValue(key, setting, sources);
    const value = text === null ? null : setting.parse(text);
    if (text !== null) texts[key] = text;
    if (value !== null) values[key] = value;
    else problems.push(...wrongIn(text, { key, from, setting }));
  }
  readPasswordFile(values, problems);
  problems.push(...useless(values, sources));
  const known = new Set(Object.keys(SETTINGS).map(variableOf));
  const names = [...known].map((name) => name.slice(PREFIX));
  const unknown = Object.keys(sources.env)
    .filter((name) => name.startsWith('UNDROP_') && !known.has(name) && !OTHER_VARIABLES.has(name))
    .filter((name) => !REMOVED_VARIABLES.has(name))
    .map((name) => `${name} is not a setting of undrop${meant(name.slice(PREFIX), names)}`);
  if (problems.length > 0) {
    // A setting that is missing may be misspelled.
    const others = unknown.map((sentence) => `${sentence}.`);
    throw new UndropError('UNDROP_CONFIG', { problems: [...problems, ...others].join('\n') });
  }
  // Every key has a value, because there are no problems.
  const settings = values as unknown as Pick<Settings, K>;
  const warnings: readonly string[] = [
    ...unknown,
    ...removed(sources),
    ...doubtful(values, sources),
  ];
  return { settings, texts, warnings };
}

/** The letters of `UNDROP_`. */
const PREFIX = 7;

/** The end of a sentence. `words`: those that are known. */
function meant(word: string, words: readonly string[]): string {
  const one = word.length < 3 ? null : nearest(word, words);
  return one === null || one === word ? '' : `; perhaps ${one} is meant`;
}

const REMOVED_VARIABLES: ReadonlySet<string> = new Set(
  Object.keys(REMOVED_SETTINGS).map(variableOf),
);

/** Settings of earlier versions that are still given. */
function removed({ env, file }: Sources): readonly string[] {
  return Object.entries(REMOVED_SETTINGS).flatMap(([key, instead]) => [
    ...(env[variableOf(key)] === undefined ? [] : [`${variableOf(key)} was removed: ${instead}`]),
    ...(file?.values[key] === undefined ? [] : [`${keyIn(file, key)} was removed: ${instead}`]),
  ]);
}

/** `text` is null if it is not given, and has no default. */
function findValue(
  key: SettingKey,
  { default: fallback, separator = ',' }: Setting<unknown>,
  { flags, env, file }: Sources,
): { readonly text: string | null; readonly from: string } {
  const flag = flags[key];
  if (flag !== undefined) return { text: asText(flag, separator), from: `--${flagOf(key)}` };
  const variable = variableOf(key);
  const inFile = file?.values[key];
  if (env[variable] === undefined && isText(inFile)) {
    return { text: asText(inFile, separator), from: keyIn(file, key) };
  }
  return { text: env[variable] ?? fallback, from: variable };
}

function wrongIn(
  text: string | null,
  where: { readonly key: string; readonly from: string; readonly setting: Setting<unknown> },
): readonly string[] {
  const { from, setting } = where;
  const { expected, problems } = setting;
  if (text === null) return [`${from} is not set: expected ${expected}.`];
  const gone = REMOVED_VALUES.get(`${where.key} ${text.toLowerCase()}`);
  const instead =
    gone === undefined
      ? meant(text.split(',').at(-1)?.trim() ?? '', expected.match(/\b[a-z][a-z-]{2,}/g) ?? [])
      : `, which was removed: ${gone}`;
  const found = () => [`expected ${expected}, found ${shown(where.key, text)}${instead}`];
  return (problems?.(text) ?? found()).map((problem) => `${from}: ${problem}.`);
}

/** Keeps secrets out of messages. */
function shown(key: string, value: unknown): string {
  const isSecret = /password/i.test(key) || SECRET_KEYS.has(key);
  return isSecret ? 'something else' : JSON.stringify(value);
}

function asText(value: unknown, separator: string): string {
  if (Array.isArray(value)) return value.map(String).join(separator);
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return String(value);
}

/** Keys that aren't settings, and values that no setting can have. */
function wrongInFile({ file }: Sources): string[] {
  if (file === null) return [];
  return Object.entries(file.values).flatMap(([key, value]) => {
    const where = keyIn(file, key);
    if (Object.hasOwn(REMOVED_SETTINGS, key)) return [];
    if (!Object.hasOwn(SETTINGS, key)) return [`${where} is not a setting.`];
    if (isText(value)) return [];
    const found = shown(key, value);
    return [`${where}: expected a text, a number or a list, found ${found}.`];
  });
}

function keyIn(file: Sources['file'], key: string): string {
  const place = file?.places?.get(key);
  return `${key} in ${file?.path}${place === undefined ? '' : `, ${place}`}`;
}

function isText(value: unknown): boolean {
  const isPlain = (one: unknown) => ['string', 'number', 'boolean'].includes(typeof one);
  return isPlain(value) || (Array.isArray(value) && value.every(isPlain));
}

/** Reads the password from its file, which wins over the password itself, if that is asked for. */
function readPasswordFile(values: Record<string, unknown>, problems: string[]): void {
  const { password, passwordFile: path } = values;
  if (password === undefined || typeof path !== 'string' || path === '') return;
  try {
    values['password'] = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    problems.push(`UNDROP_PASSWORD_FILE: expected a readable file, found ${cause}.`);
  }
}

/** Settings that do nothing without another one. */
function useless(
  { minFree = 'none', datadir }: Readonly<Record<string, unknown>>,
  sources: Sources,
): readonly string[] {
  if (minFree === 'none' || datadir !== '') return [];
  const { from } = findValue('minFree', SETTINGS.minFree, sources);
  return [`${from}: expected UNDROP_DATADIR, whose file system is measured, found none.`];
}

function doubtful(values: Readonly<Record<string, unknown>>, sources: Sources): readonly string[] {
  const { hold, maxHold } = values;
  const isShort = typeof hold === 'number' && typeof maxHold === 'number' && maxHold < hold;
  const less = isShort && `UNDROP_MAX_HOLD is ${formatDuration(maxHold)}, less than UNDROP_HOLD`;
  const paths = SECRET_FILES.map((key) => values[key]);
  const { path, values: inFile = {} } = sources.file ?? {};
  const hasSecret = Object.keys(inFile).some((key) => SECRET_KEYS.has(key));
  const open = [...new Set([...paths, ...(hasSecret ? [path] : [])])].filter(isOpenToAll);
  return [
    ...(less ? [`${less}: HOLD TABLE cannot lengthen the hold of a new table`] : []),
    ...open.map((one) => `all users of this machine can read ${one}; run chmod o-r on it`),
  ];
}

/** Whether any account of this machine may read that file. */
function isOpenToAll(path: unknown): boolean {
  if (typeof path !== 'string' || path === '') return false;
  try {
    let at = realpathSync(path);
    if ((statSync(at).mode & OTHERS_READ) === 0) return false;
    for (; at !== dirname(at); at = dirname(at)) {
      if ((statSync(dirname(at)).mode & OTHERS_ENTER) === 0) return false;
    }
    return true;
  } catch (error) {
    // Reading the file fails, too, and names the cause.
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return false;
  }
}

const OTHERS_READ = 0o004;
const OTHERS_ENTER = 0o001;

/** The settings in a file, by their keys: JSON with comments, and commas behind the last value. */
export function readConfigFile(path: string): NonNullable<Sources['file']> {
  try {
    return { path, ...settingsIn(readFileSync(path, 'utf8')) };
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new UndropError('UNDROP_CONFIG', { problems: `${path}: ${cause}.` });
  }
}

/** Errors quote keys, but no value, which may be a password. */
function settingsIn(text: string) {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true });
  const [first] = errors;
  if (first !== undefined) {
    // `CommaExpected` and others.
    const cause = printParseErrorCode(first.error)
      .replaceAll(/\B[A-Z]/g, ' $&')
      .toLowerCase();
    throw new Error(`${placeAt(text, first.offset)}: expected JSON (${cause})`);
  }
  if (root?.type !== 'object') throw new Error('expected one object of settings');
  const values = new Map<string, unknown>();
  const places = new Map<string, string>();
  for (const { children: [key, value] = [] } of root.children ?? []) {
    assert(key !== undefined && value !== undefined, 'a property has a key and a value');
    const [earlier, place] = [places.get(key.value), placeAt(text, key.offset)];
    if (earlier !== undefined) {
      const found = `found ${key.value} at ${earlier}, and at ${place}`;
      throw new Error(`expected each setting once, ${found}`);
    }
    values.set(key.value, getNodeValue(value));
    places.set(key.value, place);
  }
  return { values: Object.fromEntries(values), places };
}

function placeAt(text: string, offset: number): string {
  const lines = text.slice(0, offset).split('\n');
  return `line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`;
}
