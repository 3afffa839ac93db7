/**
 * A small file in the throwaway server's folder with the address of a running demo, for commands in
 * a second terminal; it vanishes with the server.
 *
 * Invariant: only files of the same OS account are trusted.
 */
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NAME = 'demo.json';

export interface DemoState {
  /** The process of `npm start`. */
  readonly pid: number;
  readonly server: string;
  readonly proxy: { readonly host: string; readonly port: number };
  /** The account for users; without a password. */
  readonly user: string;
  /** UNDROP_* variables with which the commands of undrop reach the server. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Writes the state into `folder`, which only this account may read. */
export async function writeDemoState(folder: string, state: DemoState): Promise<void> {
  const file = join(folder, NAME);
  await writeFile(`${file}.new`, JSON.stringify(state), { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** The demo of this account that was started last; null if none runs. */
export async function findDemo(parent: string = tmpdir()): Promise<DemoState | null> {
  const names = (await readdir(parent)).filter((name) => name.startsWith('undrop-server-'));
  const found = await Promise.all(names.map((name) => readState(join(parent, name, NAME))));
  const running = found.filter((one) => one !== null).sort((a, b) => b.writtenMs - a.writtenMs);
  return running[0]?.state ?? null;
}

async function readState(
  file: string,
): Promise<{ readonly state: DemoState; readonly writtenMs: number } | null> {
  try {
    const { uid, mtimeMs } = await stat(file);
    if (uid !== process.getuid?.()) return null;
    const state = JSON.parse(await readFile(file, 'utf8')) as DemoState;
    return isAlive(state.pid) ? { state, writtenMs: mtimeMs } : null;
  } catch (error) {
    // A server's folder without a demo, of another account, or removed meanwhile.
    if (['ENOENT', 'EACCES', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      return null;
    }
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
