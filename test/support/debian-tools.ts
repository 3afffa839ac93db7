/**
 * Tools of other people that make and drop tables, from Debian's packages in private roots: Django,
 * Alembic, Doctrine, Laravel, PyMySQL, mysqli and PDO, mydumper, pt-online-schema-change, programs
 * in Go, Java, Perl and Ruby; promtool and docker-compose. Their projects: test/support/tools.
 * Invariant: nothing of the machine's own Python, PHP, Perl, Ruby, Go or Java is used.
 */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { inRoot } from '../../throwaway-servers/apt-root.js';
import { type CommandResult, runCommand, tryCommand } from '../../throwaway-servers/run-command.js';
import { aptFolder } from './apt-folder.js';
import type { ScriptJob, Transcript } from './client-script.js';
import { projectFolder } from './folders.js';
import type { Target } from './servers.js';

type Program = { readonly argv: readonly string[]; readonly env: Readonly<Record<string, string>> };

const TRIPLET = 'x86_64-linux-gnu';

/** A script of test/support/tools on a schema, by the program of its language; or a phase of it. */
export async function runProject(
  script: string,
  { host, port, user, password }: Target,
  schema: string,
  phase: readonly string[] = [],
): Promise<CommandResult> {
  const program = await (PROGRAMS[extname(script)] ?? php)();
  const path = join(projectFolder, 'test/support/tools', script);
  return run(program, [path, host, String(port), user, password, schema, ...phase]);
}

/** The script of a client of the matrix: PyMySQL, or PHP's mysqli or PDO. */
export async function runClientScript(
  driver: 'PyMySQL' | 'mysqli' | 'pdo',
  { target: { host, port, user, password }, schema, infile, tls }: ScriptJob,
): Promise<Transcript> {
  const isPython = driver === 'PyMySQL';
  const { argv, env } = await (isPython ? python() : php());
  const script = isPython ? ['client-pymysql.py'] : ['client-php.php', driver];
  const job = [host, String(port), user, password, schema, infile, tls ? 'tls' : 'plain'];
  const command = [...argv, ...script, ...job];
  const { code, stdout, stderr } = await tryCommand(command, {
    env,
    cwd: join(projectFolder, 'test/support'),
    outputCharsMax: 20_000_000,
  });
  return { code, text: `${stdout}\n${stderr}` };
}

/** Lays the packages of these down where that hasn't been done; the first run takes a while. */
export async function ensureClientScripts(): Promise<void> {
  await Promise.all([python(), php()]);
}

/** `mydumper` or `myloader` with `args` behind the login. */
export async function runMydumper(
  program: 'mydumper' | 'myloader',
  { host, port, user, password }: Target,
  args: readonly string[],
): Promise<CommandResult> {
  const folder = await aptFolder('mydumper', 'bookworm');
  const login = [`--host=${host}`, `--port=${port}`, `--user=${user}`, `--password=${password}`];
  return run(inFolder(folder, `usr/bin/${program}`), [...login, ...args]);
}

/** pt-online-schema-change on one table; what it does is in `args`. */
export async function runSchemaChange(
  { host, port, user, password }: Target,
  { schema, table }: { readonly schema: string; readonly table: string },
  args: readonly string[],
): Promise<CommandResult> {
  const { folder, argv, env } = await perl();
  const script = join(folder, 'root/usr/bin/pt-online-schema-change');
  const dsn = { h: host, P: port, u: user, p: password, D: schema, t: table };
  const words = Object.entries(dsn).map(([key, value]) => `${key}=${value}`);
  const program = { argv: [...argv, script], env };
  const options = ['--execute', '--recursion-method=none', '--no-version-check', ...args];
  const result = await run(program, [...options, words.join(',')]);
  // Where Perl dies it exits with the errno of whatever was last, such as that of its connect.
  return { ...result, code: result.code === 0 ? 0 : 1 };
}

/** With DBI and DBD::mysql. */
async function perl(): Promise<Program & { readonly folder: string }> {
  const folder = await aptFolder('percona-toolkit', 'trixie');
  const { argv, env } = inFolder(folder, 'usr/bin/perl');
  const own = [`usr/lib/${TRIPLET}/perl`, 'usr/share/perl', `usr/lib/${TRIPLET}/perl5`];
  const libraries = [...own.map((path) => `${path}/5.40`), 'usr/share/perl5'];
  const all = [...libraries, `usr/lib/${TRIPLET}/perl-base`];
  const PERL5LIB = all.map((path) => join(folder, 'root', path)).join(':');
  return { folder, argv, env: { ...env, PERL5LIB } };
}

async function ruby(): Promise<Program> {
  const folder = await aptFolder('ruby-mysql2', 'bookworm', ['ruby', 'ruby-mysql2']);
  const { argv, env } = inFolder(folder, 'usr/bin/ruby3.1');
  const own = ['usr/lib/ruby/vendor_ruby', 'usr/lib/ruby/3.1.0', `usr/lib/${TRIPLET}/ruby/3.1.0`];
  const vendor = `usr/lib/${TRIPLET}/ruby/vendor_ruby/3.1.0`;
  const RUBYLIB = [...own, vendor].map((path) => join(folder, 'root', path)).join(':');
  return { argv: [...argv, '--disable-gems'], env: { ...env, RUBYLIB } };
}

/** By the endings of scripts; all others are PHP's. */
const PROGRAMS: Readonly<Record<string, () => Promise<Program>>> = {
  ...{ '.py': python, '.pl': perl, '.rb': ruby },
};

/** `promtool`, which checks what Prometheus would read; `input`: its standard input. */
export async function runPromtool(args: readonly string[], input = ''): Promise<CommandResult> {
  const folder = await aptFolder('prometheus', 'bookworm');
  return run(inFolder(folder, 'usr/bin/promtool'), args, input);
}

/** `docker-compose`, as far as it needs no engine; it is a plugin of one. */
export async function runCompose(args: readonly string[]): Promise<CommandResult> {
  const folder = await aptFolder('docker-compose', 'trixie');
  const program = 'usr/libexec/docker/cli-plugins/docker-compose';
  return run(inFolder(folder, program), args);
}

/** Compiles `test/support/tools/tls/tls.go` with go-sql-driver, once in a process. */
export async function runGo(args: readonly string[]): Promise<CommandResult> {
  goProgram ??= compileGo(join(projectFolder, 'test/support/tools/tls/tls.go'));
  return run({ argv: [await goProgram], env: {} }, args);
}

let goProgram: Promise<string> | null = null;

/** The path of the program. */
export async function compileGo(source: string): Promise<string> {
  const packages = ['golang-go', 'golang-github-go-sql-driver-mysql-dev'];
  const root = join(await aptFolder('go-mysql', 'trixie', packages), 'root/usr');
  const folder = await mkdtemp(join(tmpdir(), 'undrop-go-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, 'program');
  const env = {
    GOROOT: join(root, 'lib/go-1.24'),
    GOPATH: join(root, 'share/gocode'),
    GOCACHE: join(folder, 'cache'),
    // The packages lie where Go looked for them before it had modules; nothing is downloaded.
    ...{ GO111MODULE: 'off', GOFLAGS: '', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' },
  };
  await runCommand([join(root, 'lib/go-1.24/bin/go'), 'build', '-o', program, source], { env });
  return program;
}

/** `test/support/tools/tls/Tls.java` with MariaDB Connector/J. */
export async function runJava(args: readonly string[]): Promise<CommandResult> {
  const packages = ['openjdk-17-jdk-headless', 'libmariadb-java'];
  const folder = await aptFolder('java-mariadb', 'bookworm', packages);
  const java = inRoot(folder, 'usr/lib/jvm/java-17-openjdk-amd64/bin/java');
  const connector = join(folder, 'root/usr/share/java/mariadb-java-client.jar');
  const source = join(projectFolder, 'test/support/tools/tls/Tls.java');
  return run({ argv: [...java, '-Xmx256m', '-cp', connector, source], env: {} }, args);
}

async function python(): Promise<Program> {
  // With what PyMySQL needs for caching_sha2_password.
  const packages = ['django', 'alembic', 'pymysql', 'cryptography'];
  const names = packages.map((name) => `python3-${name}`);
  const folder = await aptFolder('python-orms', 'trixie', names);
  return {
    argv: [...inRoot(folder, 'usr/bin/python3'), '-B', '-s'],
    env: {
      PYTHONHOME: join(folder, 'root/usr'),
      PYTHONPATH: join(folder, 'root/usr/lib/python3/dist-packages'),
      PYTHONIOENCODING: 'utf-8',
    },
  };
}

async function php(): Promise<Program> {
  const packages = ['doctrine-dbal', 'illuminate-database', 'illuminate-filesystem'];
  const names = ['cli', 'mysql', ...packages].map((name) => `php-${name}`);
  const folder = await aptFolder('php-orms', 'trixie', names);
  const extensions = ['mysqlnd', 'mysqli', 'pdo', 'pdo_mysql', 'mbstring', 'ctype', 'tokenizer'];
  const options = [
    '-n',
    ...['-d', `extension_dir=${join(folder, 'root/usr/lib/php/20240924')}`],
    ...extensions.flatMap((name) => ['-d', `extension=${name}`]),
    ...['-d', 'mysqli.allow_local_infile=1'],
    // All but what the tools themselves call deprecated.
    ...['-d', 'display_errors=stderr', '-d', 'error_reporting=8191'],
  ];
  return {
    argv: [...inRoot(folder, 'usr/bin/php8.4'), ...options],
    env: { PHP_SHARE: join(folder, 'root/usr/share/php') },
  };
}

/** A program on Debian's own client library, with its plugin for caching_sha2_password. */
function inFolder(folder: string, program: string): Program {
  const plugins = join(folder, `root/usr/lib/${TRIPLET}/libmariadb3/plugin`);
  return { argv: inRoot(folder, program), env: { MARIADB_PLUGIN_DIR: plugins } };
}

function run({ argv, env }: Program, args: readonly string[], input = ''): Promise<CommandResult> {
  return tryCommand([...argv, ...args], { env, input, deadlineMs: 240_000 });
}
