/**
 * Finds servers that are installed on this machine: `mysqld` or `mariadbd` on the PATH and in the
 * usual folders of packages.
 *
 * Invariant: a name proves nothing (Debian's `mysqld` may be MariaDB); the program reports its
 * version, and only a real start shows that it works in a folder of undrop's (AppArmor may forbid
 * that).
 */
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { askVersion, type Flavour, type Initialise, type Installation } from './installation.js';
import { runCommand } from './run-command.js';

const USUAL_FOLDERS = [
  '/usr/sbin',
  '/usr/local/sbin',
  '/usr/libexec',
  '/usr/local/bin',
  '/usr/local/mysql/bin',
  '/opt/mysql/bin',
  '/opt/homebrew/bin',
  '/opt/homebrew/opt/mysql/bin',
  '/opt/homebrew/opt/mariadb/bin',
  '/usr/local/opt/mysql/bin',
  '/usr/local/opt/mariadb/bin',
];

interface PathServers {
  /** Candidates, the best first. */
  readonly found: readonly { readonly program: string; readonly installation: Installation }[];
  /** A sentence for each installed server that can't be used. */
  readonly rejected: readonly string[];
}

/** Looks for installed servers; `searchPath` is the PATH, `usual` the folders beside it. */
export async function findPathServers(
  searchPath: string,
  usual: readonly string[] = USUAL_FOLDERS,
): Promise<PathServers> {
  const found: { program: string; installation: Installation }[] = [];
  const rejected: string[] = [];
  for (const program of candidates(searchPath, usual)) {
    try {
      found.push({ program, installation: await installationOf(program) });
    } catch (error) {
      rejected.push(`${program} cannot be used (${firstLine(error)})`);
    }
  }
  found.sort((a, b) => rank(a.installation) - rank(b.installation));
  return { found, rejected };
}

/** A program by its full path, with the paths of its own files. */
async function installationOf(program: string): Promise<Installation> {
  const server = [program];
  const { flavour, version } = await askVersion(server);
  const initialise = await howToInitialise({ program, flavour, version });
  return { flavour, version, server, env: {}, options: [], initialise };
}

/** The first line of an error, for a sentence that gives it as the reason. */
export function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n')[0]?.slice(0, 300) ?? '';
}

function candidates(searchPath: string, usual: readonly string[]): readonly string[] {
  const folders = [...searchPath.split(delimiter).filter((folder) => folder !== ''), ...usual];
  const programs = folders
    .flatMap((folder) => [join(folder, 'mysqld'), join(folder, 'mariadbd')])
    .filter(existsSync);
  // `mysqld` is often a link to `mariadbd`: one program, tried once, under its first name.
  const byFile = new Map([...programs].reverse().map((path) => [realpathSync(path), path]));
  return programs.filter((path) => byFile.get(realpathSync(path)) === path);
}

async function howToInitialise(server: {
  readonly program: string;
  readonly flavour: Flavour;
  readonly version: string;
}): Promise<Initialise> {
  const { program, flavour, version } = server;
  if (flavour === 'mysql' && Number.parseFloat(version) >= 5.7) {
    return { by: 'initialize-insecure' };
  }
  const prefix = flavour === 'mysql' ? 'mysql' : 'mariadb';
  const names = flavour === 'mysql' ? ['mysql'] : ['mariadb', 'mysql'];
  for (const share of await shareFolders(program)) {
    for (const name of names) {
      const files = [`${name}_system_tables.sql`, `${name}_system_tables_data.sql`]
        .map((file) => join(share, file))
        .filter(existsSync);
      if (files.length === 2) return { by: 'bootstrap', files };
    }
  }
  throw new Error(`${prefix}_system_tables.sql was not found beside it`);
}

/** Folders that may contain its SQL files: beside its messages, by its own report. */
async function shareFolders(program: string): Promise<readonly string[]> {
  const { stdout } = await runCommand([program, '--no-defaults', '--verbose', '--help'], {
    deadlineMs: 20_000,
  });
  const value = (name: string): string =>
    new RegExp(`^${name}\\s+(/\\S*)`, 'm').exec(stdout)?.[1] ?? '/nowhere';
  const messages = value('lc-messages-dir');
  const base = value('basedir');
  const shares = ['share/mysql', 'share/mariadb', 'share'].map((path) => join(base, path));
  return [messages, dirname(messages), ...shares];
}

/** Newer MySQL before MariaDB before old versions: the order in which a newcomer meets them. */
function rank({ flavour, version }: Installation): number {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (flavour === 'mysql') return major >= 8 ? 0 : 2;
  return major > 10 || (major === 10 && minor >= 6) ? 1 : 3;
}
