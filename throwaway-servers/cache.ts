/**
 * The cache of server programs and initialised data folders.
 *
 * Invariant: a folder under its final name is complete. It is built under another name, marked, and
 * renamed into place, so that an interrupted build leaves only a leftover, which the next builder
 * removes. A lock that the kernel releases keeps two processes from building the same.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';

const MARKER = 'complete.json';

/**
 * The folder of the cache: UNDROP_SERVER_CACHE; else `.cache` in a clone of the project, if it is
 * writable; else the account's own cache folder.
 */
export function cacheFolder(env: NodeJS.ProcessEnv, projectFolder: string): string {
  const given = env['UNDROP_SERVER_CACHE'];
  if (given) return given;
  const inClone = join(projectFolder, '.cache');
  const isClone = existsSync(join(projectFolder, 'src'));
  if (isClone && mayWrite(existsSync(inClone) ? inClone : projectFolder)) return inClone;
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'undrop');
}

function mayWrite(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch (error) {
    if (['EACCES', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

/**
 * Returns the folder `key` of the cache; calls `build` with an empty folder to fill if there is
 * none. Several processes may call it at once.
 */
export async function ensureCached(
  cache: string,
  key: string,
  build: (folder: string) => Promise<void>,
): Promise<string> {
  const final = join(cache, key);
  if (isComplete(final)) return final;
  await mkdir(cache, { recursive: true });
  const unlock = await lockFile(join(cache, `${key}.lock`));
  try {
    if (isComplete(final)) return final;
    await removeLeftovers(cache, key);
    const folder = await mkdtemp(join(cache, `${key}.making-`));
    await build(folder);
    await writeFile(join(folder, MARKER), JSON.stringify({ key, madeAt: new Date() }));
    await rename(folder, final);
    return final;
  } finally {
    await removeLeftovers(cache, key);
    unlock();
  }
}

function isComplete(folder: string): boolean {
  return existsSync(join(folder, MARKER));
}

async function removeLeftovers(cache: string, key: string): Promise<void> {
  const names = await readdir(cache);
  const leftovers = names.filter((name) => name.startsWith(`${key}.making-`));
  if (!isComplete(join(cache, key))) leftovers.push(key);
  for (const name of leftovers) await rm(join(cache, name), { recursive: true, force: true });
}

/**
 * Waits for an exclusive lock on `path` and returns its release. flock(1) holds it until its
 * standard input ends, so a killed holder frees it at once. Without flock there is no lock: then
 * two builders could disturb each other, which fails visibly and needs another start.
 */
async function lockFile(path: string): Promise<() => void> {
  const child = spawn('flock', ['--exclusive', path, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const name = basename(path);
  await new Promise<void>((resolve, reject) => {
    child.on('error', () => resolve());
    child.stdout.once('data', () => resolve());
    child.on('exit', (code) => reject(new Error(`The lock ${name} ended with exit code ${code}.`)));
  });
  child.stdin.on('error', () => undefined);
  return () => child.stdin.end();
}
