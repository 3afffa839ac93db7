/**
 * A server of the set that a test may kill with SIGKILL and start again, on the same data folder
 * and port. Invariant: its folder lies in that of the worker's own server, so it goes when that
 * goes, however the test run dies.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { copyDataFolder } from '../../throwaway-servers/data-folder.js';
import type { Installation } from '../../throwaway-servers/installation.js';
import { freePort, type Launched, launch } from '../../throwaway-servers/launch.js';
import { ensureInstalled, type ServerName } from './server-set.js';
import { type Target, testServer } from './servers.js';
import { makeServiceAccount } from './service-account.js';

export interface KillableServer extends Target, AsyncDisposable {
  readonly name: string;
  readonly dataFolder: string;
  /** SIGKILL, at once. */
  kill(): void;
  /** Behind `kill`: resolves when it answers again; `alone`: over the socket only. */
  restart(how?: { readonly alone?: boolean }): Promise<void>;
  readonly socketPath: string;
  /** Ends it, and removes its folder. */
  stop(): Promise<void>;
}

/** It has the service account, as the others have it. */
export async function startKillable(name: string): Promise<KillableServer> {
  const { installation, template } = await ensureInstalled(name as ServerName);
  const { dataDir } = testServer(name);
  const folder = await mkdtemp(join(dataDir === null ? tmpdir() : dirname(dataDir), 'killable-'));
  await copyDataFolder(template, folder);
  const port = await freePort();
  const { kill, ended, restart } = await startOn(installation, { folder, port });
  const target = { host: '127.0.0.1', port, user: 'root', password: '' };
  try {
    await makeServiceAccount(target);
  } catch (error) {
    kill();
    throw error;
  }
  const stop = async () => {
    kill();
    await ended();
    await rm(folder, { recursive: true, force: true });
  };
  return {
    ...target,
    name,
    dataFolder: join(folder, 'data'),
    kill,
    socketPath: join(folder, 's.sock'),
    restart: ({ alone = false } = {}) => restart(alone ? ['--skip-networking'] : []),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** On a data folder that is there: to be killed at once, and started again. */
export async function startOn(
  installation: Installation,
  where: { readonly folder: string; readonly port: number; readonly options?: readonly string[] },
) {
  const { folder, port, options = [] } = where;
  const start = async (more: readonly string[] = []) => {
    const launched = await launch(installation, {
      folder,
      keepFolder: true,
      connectOver: 'socket',
      extraOptions: [`--port=${port}`, `--server-id=${port}`, ...options, ...more],
    });
    const pid = Number(await readFile(join(folder, 'server.pid'), 'utf8'));
    return { launched, pid };
  };
  let running: { readonly launched: Launched; readonly pid: number } = await start();
  const kill = () => {
    try {
      process.kill(running.pid, 'SIGKILL');
    } catch (error) {
      // It has ended by itself.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  const ended = () => running.launched.ended;
  const restart = async (more: readonly string[]) => {
    await ended();
    running = await start(more);
  };
  return { kill, ended, restart };
}
