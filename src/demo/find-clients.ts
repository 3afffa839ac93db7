/**
 * Which command-line clients of this machine can log in to a server: those of MySQL 9 no longer
 * have the one login plugin that MySQL 5.6 and MariaDB ask for.
 */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { tryCommand } from '../../throwaway-servers/run-command.js';
import { UndropError } from '../errors.js';

/** Names of clients on `searchPath` that can be typed as they are. */
export async function findClients(
  searchPath: string,
  server: { readonly flavour: 'mysql' | 'mariadb'; readonly version: string },
): Promise<readonly string[]> {
  const folders = searchPath.split(delimiter).filter((folder) => folder !== '');
  const names = ['mysql', 'mariadb'].filter((name) =>
    folders.some((folder) => existsSync(join(folder, name))),
  );
  const takesNewLogin = server.flavour === 'mysql' && Number.parseFloat(server.version) >= 8;
  const usable = await Promise.all(
    names.map(async (name) => {
      const version = await askClient(name);
      if (version === null) return false;
      const isMysql9 = /Ver (9|\d\d)\.\d/.test(version) && !version.includes('MariaDB');
      return takesNewLogin || !isMysql9;
    }),
  );
  return names.filter((_, index) => usable[index]);
}

async function askClient(name: string): Promise<string | null> {
  try {
    const { code, stdout } = await tryCommand([name, '--version'], { deadlineMs: 5_000 });
    return code === 0 ? stdout : null;
  } catch (error) {
    if (error instanceof UndropError) return null;
    throw error;
  }
}
