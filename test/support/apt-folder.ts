/** Programs of other people from Debian's packages, in a private root for each set of packages. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { ensureAptRoot } from '../../throwaway-servers/apt-root.js';
import { laying } from './folders.js';
import { until } from './poll.js';

/** Lays the packages down in the cache where they aren't; the root is in the folder. */
export function aptFolder(
  key: string,
  suite: 'bookworm' | 'trixie' | 'sid' | null,
  packages: readonly string[] = [key],
): Promise<string> {
  return ensureAptRoot({ key, suite, packages }, laying);
}

export interface StartedProgram extends AsyncDisposable {
  readonly pid: number | null;
  stop(): Promise<void>;
}

/** Runs until it is stopped, and `scratch` is removed. Rejects if it ends before it is ready. */
export async function startProgram(
  [program = '', ...args]: readonly string[],
  scratch: string,
  isReady: () => Promise<boolean>,
): Promise<StartedProgram> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    await rm(scratch, { recursive: true, force: true });
  };
  try {
    await until(async () => child.exitCode !== null || (await isReady()), `${program} is ready`);
    if (child.exitCode !== null) throw new Error(`${program} ends at its start`);
  } catch (error) {
    await stop();
    throw error;
  }
  return { pid: child.pid ?? null, stop, [Symbol.asyncDispose]: stop };
}
