/**
 * The programs of a database server on this machine, from any source.
 *
 * Invariant: nothing here depends on the machine's configuration: configuration files are never
 * read (--no-defaults), and a private copy gets all its paths as options.
 */
import { UndropError } from '../src/errors.js';
import { runCommand } from './run-command.js';

export type Flavour = 'mysql' | 'mariadb';

/** The way in which a server of this installation gets its system tables. */
export type Initialise =
  | { readonly by: 'initialize-insecure' }
  /** SQL files piped into `--bootstrap`: the way of MySQL 5.6 and MariaDB. */
  | { readonly by: 'bootstrap'; readonly files: readonly string[] };

export interface Installation {
  readonly flavour: Flavour;
  /** From `--version`: `9.7.4`, `10.11.11-MariaDB`. */
  readonly version: string;
  /** The server program, after its loader and without options. */
  readonly server: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Options with the paths of the program's own files. */
  readonly options: readonly string[];
  readonly initialise: Initialise;
}

/** `MySQL 9.7.4`, `MariaDB 10.11.11`: for people. */
export function productOf(server: Pick<Installation, 'flavour' | 'version'>): string {
  const product = server.flavour === 'mysql' ? 'MySQL' : 'MariaDB';
  return `${product} ${server.version.replace('-MariaDB', '')}`;
}

/** The command line of the server up to its data folder; the same for every start. */
export function serverCommand(installation: Installation): readonly string[] {
  const user = process.getuid?.() === 0 ? ['--user=root'] : [];
  return [...installation.server, '--no-defaults', ...user, ...installation.options];
}

/** Reads the version of a server program: the first line of `--version`. */
export async function askVersion(
  server: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly flavour: Flavour; readonly version: string }> {
  const argv = [...server, '--no-defaults', '--version'];
  const { stdout } = await runCommand(argv, { env, deadlineMs: 60_000 });
  const version = /Ver (\d+\.\d+\.\d+(?:-MariaDB)?)/.exec(stdout)?.[1];
  if (version === undefined) {
    const cause = `it does not name a version: ${stdout.slice(0, 200)}`;
    throw new UndropError('UNDROP_DEMO_STEP', { step: argv.join(' '), cause });
  }
  return { flavour: version.endsWith('-MariaDB') ? 'mariadb' : 'mysql', version };
}
