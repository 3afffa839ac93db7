/**
 * Clients of the matrix in other languages, from Debian's packages in private roots: PyMySQL, and
 * PHP's mysqli and PDO. Invariant: nothing of the machine's own Python or PHP is used.
 */
import { join } from 'node:path';
import { ensureAptRoot, inRoot } from '../../throwaway-servers/apt-root.js';
import { cacheFolder } from '../../throwaway-servers/cache.js';
import { tryCommand } from '../../throwaway-servers/run-command.js';
import type { ScriptJob, Transcript } from './client-script.js';
import { projectFolder } from './folders.js';

/** With what it needs for caching_sha2_password and for ed25519. */
const PYTHON = ['python3-pymysql', 'python3-cryptography', 'python3-nacl'];

interface Program {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export async function runPymysql(job: ScriptJob): Promise<Transcript> {
  return runProgram(await pythonCommand(), job);
}

export async function runPhp(driver: 'mysqli' | 'pdo', job: ScriptJob): Promise<Transcript> {
  const { argv, env } = await phpCommand();
  return runProgram({ argv: [...argv, driver], env }, job);
}

/** Lays the packages down where that hasn't been done; the first run of a machine takes a while. */
export async function ensurePrograms(): Promise<void> {
  await Promise.all([pythonCommand(), phpCommand()]);
}

async function pythonCommand(): Promise<Program> {
  const folder = await aptRoot('pymysql-auth', PYTHON);
  const lib = join(folder, 'root/usr/lib');
  return {
    argv: [...inRoot(folder, 'usr/bin/python3'), '-B', '-s', script('client-pymysql.py')],
    env: {
      PYTHONHOME: join(folder, 'root/usr'),
      PYTHONPATH: join(lib, 'python3/dist-packages'),
      PYTHONIOENCODING: 'utf-8',
    },
  };
}

async function phpCommand(): Promise<Program> {
  const folder = await aptRoot('php-mysql', ['php-cli', 'php-mysql']);
  const extensions = ['mysqlnd', 'mysqli', 'pdo', 'pdo_mysql'];
  const options = [
    '-n',
    ...['-d', `extension_dir=${join(folder, 'root/usr/lib/php/20220829')}`],
    ...extensions.flatMap((name) => ['-d', `extension=${name}`]),
    ...['-d', 'mysqli.allow_local_infile=1', '-d', 'display_errors=stderr'],
  ];
  const argv = [...inRoot(folder, 'usr/bin/php8.2'), ...options, script('client-php.php')];
  return { argv, env: {} };
}

function aptRoot(key: string, packages: readonly string[]): Promise<string> {
  return ensureAptRoot(
    { key, suite: 'bookworm', packages },
    {
      cache: cacheFolder(process.env, projectFolder),
      say: (line) => process.stderr.write(`${line}\n`),
    },
  );
}

function script(name: string): string {
  return join(projectFolder, 'test/support', name);
}

async function runProgram({ argv, env }: Program, job: ScriptJob): Promise<Transcript> {
  const { host, port, user, password } = job.target;
  const tls = job.tls ? 'tls' : 'plain';
  const args = [host, String(port), user, password, job.schema, job.infile, tls];
  const { code, stdout, stderr } = await tryCommand([...argv, ...args], {
    env,
    deadlineMs: 120_000,
    outputCharsMax: 20_000_000,
  });
  return { code, text: `${stdout}\n${stderr}` };
}
