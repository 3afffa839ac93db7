/** MySQL Router from Debian's packages, by a file of its own settings. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inRoot } from '../../throwaway-servers/apt-root.js';
import { aptFolder } from './apt-folder.js';
import { listens, until } from './poll.js';

export interface Router extends AsyncDisposable {
  readonly pid: number | null;
  stop(): Promise<void>;
}

/** Folders, the log and the account that it runs as are added to the `[DEFAULT]` of `config`. */
export async function startRouter(config: string, port: number): Promise<Router> {
  const folder = await aptFolder('mysql-router', 'sid');
  const root = join(folder, 'root');
  const scratch = await mkdtemp(join(tmpdir(), 'undrop-router-'));
  const file = join(scratch, 'router.conf');
  const own = `[DEFAULT]
logging_folder=
plugin_folder=${root}/usr/lib/mysqlrouter/plugin
runtime_folder=${scratch}
data_folder=${scratch}
`;
  await writeFile(file, `${config.replace('[DEFAULT]\n', own)}[logger]\nlevel=ERROR\n`);
  const [loader = '', option = '', path = '', ...rest] = inRoot(folder, 'usr/bin/mysqlrouter');
  const paths = `${path}:${root}/usr/lib/mysql-router:${root}/usr/lib/mysqlrouter/private`;
  const args = [option, paths, ...rest, '--config', file, '--user=root'];
  const child = spawn(loader, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    await rm(scratch, { recursive: true, force: true });
  };
  try {
    await until(async () => child.exitCode !== null || (await listens(port)), 'Router listens');
    if (child.exitCode !== null) throw new Error('MySQL Router ends at its start');
  } catch (error) {
    await stop();
    throw error;
  }
  return { pid: child.pid ?? null, stop, [Symbol.asyncDispose]: stop };
}
