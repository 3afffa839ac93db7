/** MySQL Router from Debian's packages, by a file of its own settings. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inRoot } from '../../throwaway-servers/apt-root.js';
import { aptFolder, type StartedProgram, startProgram } from './apt-folder.js';
import { listens } from './poll.js';

/** Folders, the log and the account that it runs as are added to the `[DEFAULT]` of `config`. */
export async function startRouter(config: string, port: number): Promise<StartedProgram> {
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
  const argv = [loader, option, paths, ...rest, '--config', file, '--user=root'];
  return startProgram(argv, scratch, () => listens(port));
}
