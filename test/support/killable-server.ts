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
import { signalTo } from './proxy.js';
import { ensureInstalled, type ServerName } from './server-set.js';
import { testServer } from './servers.js';
import { makeServiceAccount } from './service-account.js';

export type KillableServer = Awaited<ReturnType<typeof startKillable>>;

/** It has the service account, as the others have it. */
export async function startKillable(name: string) {
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
  /** Ends it, and removes its folder. */
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
    /** Behind `kill`: resolves when it answers again; `alone`: over the socket only. */
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
  /** SIGKILL, at once. */
  const kill = () => signalTo(running.pid, 'SIGKILL');
  const ended = () => running.launched.ended;
  const restart = async (more: readonly string[]) => {
    await ended();
    running = await start(more);
  };
  return { kill, ended, restart };
}
