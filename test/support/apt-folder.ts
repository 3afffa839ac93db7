/** Programs of other people from Debian's packages, in a private root for each set of packages. */
import { ensureAptRoot } from '../../throwaway-servers/apt-root.js';
import { cacheFolder } from '../../throwaway-servers/cache.js';
import { projectFolder } from './folders.js';

/** Lays the packages down in the cache where they aren't; the root is in the folder. */
export function aptFolder(
  key: string,
  suite: 'bookworm' | 'trixie' | 'sid',
  packages: readonly string[] = [key],
): Promise<string> {
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const cache = cacheFolder(process.env, projectFolder);
  return ensureAptRoot({ key, suite, packages }, { cache, say });
}
