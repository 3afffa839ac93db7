/**
 * Unpacks Debian packages of any suite into a separate folder without changing the system. A
 * private apt state with an empty list of installed packages makes apt download the whole closure,
 * with the C library, and programs run under their own loader. Works as a plain user.
 *
 * Invariant: the project names no mirror; it reads the one that the machine's own apt uses when
 * needed, in both formats of apt.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UndropError } from '../src/errors.js';
import { ensureCached } from './cache.js';
import { makeDataFolder } from './data-folder.js';
import { askVersion, type Flavour, type Installation } from './installation.js';
import { runCommand } from './run-command.js';

/** Raised whenever the layout of a cached folder changes. */
const FORMAT = 1;

/** A set of packages. `suite` null: the suite of this machine's own distribution. */
interface AptSet {
  readonly key: string;
  readonly suite: string | null;
  readonly packages: readonly string[];
}

interface AptOptions {
  readonly cache: string;
  /** Receives a line before each slow step. */
  readonly say: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

const TRIPLETS: Partial<Record<NodeJS.Architecture, readonly [string, string]>> = {
  x64: ['x86_64-linux-gnu', 'ld-linux-x86-64.so.2'],
  arm64: ['aarch64-linux-gnu', 'ld-linux-aarch64.so.1'],
};

/** The reason why this machine can't unpack packages of `suite`; null if it can. */
export function whyNoApt(suite: string | null): string | null {
  const distribution = readDistribution();
  if (distribution === null || !['debian', 'ubuntu'].includes(distribution.id)) {
    return 'not Debian or Ubuntu';
  }
  if (suite !== null && distribution.id !== 'debian') return 'not Debian';
  if (TRIPLETS[process.arch] === undefined) return `no packages for ${process.arch}`;
  if (!existsSync('/usr/bin/apt-get') || !existsSync('/usr/bin/dpkg')) return 'no apt-get';
  if (findMainSource(distribution) === null) return 'apt has no source for the distribution';
  return null;
}

/** Downloads and unpacks a set, or finds it in the cache; returns its folder. */
export function ensureAptRoot(set: AptSet, options: AptOptions): Promise<string> {
  return ensureCached(options.cache, `${set.key}.v${FORMAT}`, (folder) =>
    layDown(set, folder, options),
  );
}

/** Like ensureAptRoot for a server; also creates the data folder that each start copies. */
export function ensureAptServer(
  set: AptSet & { readonly flavour: Flavour },
  options: AptOptions,
): Promise<{ readonly installation: Installation; readonly template: string }> {
  const template = ensureCached(options.cache, `${set.key}.v${FORMAT}`, async (folder) => {
    await layDown(set, folder, options);
    options.say(`${set.key}: initialising a data folder …`);
    await makeDataFolder(await aptInstallation(set.flavour, folder), folder, options.signal);
  });
  return template.then(async (folder) => ({
    installation: await aptInstallation(set.flavour, folder),
    template: folder,
  }));
}

/** The command that runs a program of the root with its own loader and libraries. */
export function inRoot(folder: string, program: string): readonly string[] {
  const [triplet, loader] = TRIPLETS[process.arch] ?? ['', ''];
  const root = join(folder, 'root');
  const libraries = [`usr/lib/${triplet}`, `lib/${triplet}`, `usr/lib/${triplet}/mysql/private`]
    .map((path) => join(root, path))
    .filter(existsSync);
  const loaderPath = libraries.map((path) => join(path, loader)).find(existsSync) ?? loader;
  return [loaderPath, '--library-path', libraries.join(':'), join(root, program)];
}

async function aptInstallation(flavour: Flavour, folder: string): Promise<Installation> {
  const root = join(folder, 'root');
  const [triplet] = TRIPLETS[process.arch] ?? [''];
  const program = flavour === 'mysql' ? 'usr/sbin/mysqld' : 'usr/sbin/mariadbd';
  const server = inRoot(folder, program);
  const { version } = await askVersion(server);
  const basedir = `--basedir=${join(root, 'usr')}`;
  if (flavour === 'mysql') {
    return {
      flavour,
      version,
      server,
      env: {},
      options: [
        basedir,
        `--lc-messages-dir=${join(root, 'usr/share/mysql')}`,
        `--plugin-dir=${join(root, `usr/lib/${triplet}/mysql/plugin`)}`,
      ],
      initialise: { by: 'initialize-insecure' },
    };
  }
  // 11.8 has its files under mariadb, 10.11 under mysql.
  const prefix = existsSync(join(root, 'usr/share/mariadb/charsets')) ? 'mariadb' : 'mysql';
  const share = join(root, 'usr/share', prefix);
  const files = [`${prefix}_system_tables.sql`, `${prefix}_system_tables_data.sql`];
  return {
    flavour,
    version,
    server,
    env: {},
    options: [
      basedir,
      `--lc-messages-dir=${share}`,
      `--character-sets-dir=${join(share, 'charsets')}`,
      `--plugin-dir=${join(root, 'usr/lib/mysql/plugin')}`,
    ],
    initialise: {
      by: 'bootstrap',
      files: [...files, 'fill_help_tables.sql'].map((file) => join(share, file)),
    },
  };
}

async function layDown(set: AptSet, folder: string, options: AptOptions): Promise<void> {
  const state = join(folder, 'apt');
  for (const name of ['lists/partial', 'cache/archives/partial']) {
    await mkdir(join(state, name), { recursive: true });
  }
  await writeFile(join(state, 'status'), '');
  await writeFile(join(state, 'sources.list'), sourceLine(set));
  options.say(`${set.key}: reading the package lists …`);
  const { signal } = options;
  await runCommand(aptGet(state, ['update']), { signal });
  options.say(`${set.key}: downloading packages …`);
  await runCommand(aptGet(state, ['install', '--yes', '--download-only', ...set.packages]), {
    signal,
  });
  options.say(`${set.key}: unpacking …`);
  await unpack(join(state, 'cache/archives'), join(folder, 'root'), signal);
  await rm(state, { recursive: true });
}

function sourceLine(set: AptSet): string {
  const distribution = readDistribution();
  const source = distribution && findMainSource(distribution);
  if (distribution === null || source === null) {
    const cause = whyNoApt(set.suite) ?? 'no source';
    throw new UndropError('UNDROP_DEMO_STEP', { step: `apt-get install ${set.key}`, cause });
  }
  const signedBy = source.signedBy === null ? '' : `[signed-by=${source.signedBy}] `;
  const universe = distribution.id === 'ubuntu' ? ' universe' : '';
  return `deb ${signedBy}${source.uri} ${set.suite ?? distribution.codename} main${universe}\n`;
}

function aptGet(state: string, args: readonly string[]): readonly string[] {
  const settings = [
    `Dir::State=${state}`,
    `Dir::State::status=${state}/status`,
    `Dir::State::lists=${state}/lists`,
    `Dir::Cache=${state}/cache`,
    `Dir::Etc::sourcelist=${state}/sources.list`,
    'Dir::Etc::sourceparts=/dev/null',
    'Dir::Etc::preferences=/dev/null',
    'Dir::Etc::preferencesparts=/dev/null',
    'APT::Install-Recommends=false',
    // When root runs apt, it would hand the download to an account that can't write to this folder.
    'APT::Sandbox::User=root',
    'Acquire::Retries=3',
    'Debug::NoLocking=1',
  ];
  return ['apt-get', '--quiet', ...settings.flatMap((setting) => ['-o', setting]), ...args];
}

/** Unpacks two at a time, without manuals and translations, which are a third of the bytes. */
async function unpack(
  archives: string,
  root: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await mkdir(root);
  const names = (await readdir(archives)).filter((name) => name.endsWith('.deb'));
  const next = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      await runCommand(['dpkg', '-x', join(archives, name), root], { signal });
    }
  };
  await Promise.all([next(), next()]);
  for (const name of ['doc', 'man', 'locale', 'i18n', 'info', 'zoneinfo']) {
    await rm(join(root, 'usr/share', name), { recursive: true, force: true });
  }
}

/** An archive and its components. */
interface AptSource {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Path of the keyring; null: apt's trusted keys decide. */
  readonly signedBy: string | null;
}

/** The facts of /etc/os-release. */
interface Distribution {
  /** `debian`, `ubuntu` … */
  readonly id: string;
  /** `bookworm`, `noble` … */
  readonly codename: string;
}

/** Reads /etc/os-release; null if there is none. */
export function readDistribution(file = '/etc/os-release'): Distribution | null {
  if (!existsSync(file)) return null;
  const text = readFileSync(file, 'utf8');
  const value = (key: string): string =>
    new RegExp(`^${key}="?([^"\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  return { id: value('ID'), codename: value('VERSION_CODENAME') };
}

/** The archive of the distribution itself; null if apt has none. */
export function findMainSource(distribution: Distribution, folder = '/etc/apt'): AptSource | null {
  const { codename } = distribution;
  const isMain = ({ suites, components }: AptSource): boolean =>
    suites.includes(codename) && components.includes('main');
  return readSources(folder).find(isMain) ?? null;
}

function readSources(folder: string): readonly AptSource[] {
  const parts = join(folder, 'sources.list.d');
  const names = existsSync(parts) ? readdirSync(parts).sort() : [];
  const files = [join(folder, 'sources.list'), ...names.map((name) => join(parts, name))];
  return files.filter(existsSync).flatMap((file) => {
    if (file.endsWith('.sources')) return parseDeb822(readFileSync(file, 'utf8'));
    return file.endsWith('.list') ? parseOneLine(readFileSync(file, 'utf8')) : [];
  });
}

/** `Types: deb`, `URIs: …` in paragraphs. A Signed-By that holds the key itself is left out. */
export function parseDeb822(text: string): readonly AptSource[] {
  const withoutComments = text.replaceAll(/^#.*\n?/gm, '');
  return withoutComments.split(/\n\s*\n/).flatMap((paragraph) => {
    const words = (key: string): string[] => {
      const field = new RegExp(`^${key}:((?:.*)(?:\n[ \t].*)*)`, 'im').exec(paragraph);
      return field?.[1]?.trim().split(/\s+/) ?? [];
    };
    const isOff = ['no', 'false', '0'].includes((words('Enabled')[0] ?? '').toLowerCase());
    if (!words('Types').includes('deb') || isOff) return [];
    const signedBy = words('Signed-By').find((word) => word.startsWith('/')) ?? null;
    return words('URIs').map((uri) => ({
      uri,
      suites: words('Suites'),
      components: words('Components'),
      signedBy,
    }));
  });
}

/** `deb [signed-by=/…] uri suite component …`. */
export function parseOneLine(text: string): readonly AptSource[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (match === null) return [];
    const [, options = '', uri = '', suite = '', components = ''] = match;
    const signedBy = /signed-by=(\/[^\s,]+)/i.exec(options)?.[1] ?? null;
    return [{ uri, suites: [suite], components: components.trim().split(/\s+/), signedBy }];
  });
}
