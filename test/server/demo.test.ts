/**
 * The demo as a person runs it, `undrop start` with nothing configured: what it says, the tour in a
 * second terminal, and that each way to end it leaves nothing behind; where it listens is read as a
 * second terminal reads it, by src/demo/state. And its throwaway servers, one of them laid down and
 * started by an account without any rights: as root this borrows `nobody`, as a plain user it is
 * just another start.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { chmod, readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findDemo } from '../../demo/state.js';
import { type CommandResult, tryCommand } from '../../throwaway-servers/run-command.js';
import { folderOfEachTest, projectFolder } from '../support/folders.js';
import { listens, until } from '../support/poll.js';
import { MAIN } from '../support/proxy.js';
import { startFromSet } from '../support/server-set.js';
import { query, startServer, testServerNames } from '../support/servers.js';

const NOBODY = 65534;
const BUILT = ['build/src', 'build/throwaway-servers', 'build/test/support'];

/** A place for temporary files of its own, so that what is left behind shows. */
const temporary = folderOfEachTest('run-test');

test('says which server and why, gives the tour, and ends without a trace', async () => {
  const demo = await startDemo();
  const firstLines = demo.text().split('\n').slice(0, 4).join('\n');
  expect(firstLines).toMatch(/^undrop: server: .*, .+\n/);
  expect(demo.text()).toMatch(/undrop is ready on 127\.0\.0\.1:\d+, in front of \w+ [\d.]+\./);
  expect(demo.text()).toContain('demo --tour');

  const tour = await undrop(['demo', '--tour']);
  expect(tour.stdout).toContain('DROP TABLE order_items, orders;\nQuery OK, 0 rows affected');
  expect(tour.stdout).toMatch(/ERROR 1146 \(42S02\): Table '\w+\.order_items' doesn't exist/);
  expect(tour.stdout).toContain('100000 rows before the drop, 100000 after it came back.');
  expect(tour.stdout).toMatch(/orders can be brought back until .* UTC, for 10 minutes more\./);
  expect(tour.code).toBe(0);
  const list = await undrop(['list']);
  expect(list.stdout).toContain('shop.orders');
  const { host, port } = demo.state.proxy;
  const target = { host, port, user: demo.state.user, password: '' };
  expect((await undrop(['reload'])).stdout).toContain('reloaded');
  await query(target, 'TRUNCATE TABLE shop.customers');
  expect((await undrop(['list'])).stdout).toContain('shop.customers');
  // What it asks to find its way is no warning for who looks at the first window; that the tour
  // shows that a table is gone is one.
  const warned = demo
    .text()
    .split('\n')
    .filter((line) => line.includes('"level":40'));
  expect(warned.filter((line) => !line.includes('"used-while-held"'))).toEqual([]);

  demo.child.kill('SIGINT');
  expect(await demo.exitCode).toBe(0);
  expect(demo.text()).toMatch(/removed, with all its data\n$/);
  await expectNoTrace();
});

test.each(['SIGTERM', 'SIGHUP'] as const)('%s ends it in order', async (signal) => {
  const demo = await startDemo();
  demo.child.kill(signal);
  expect(await demo.exitCode).toBe(0);
  await expectNoTrace();
});

test('its sudden death takes the server along', async () => {
  const demo = await startDemo();
  expect(processesOf(temporary()).length).toBeGreaterThan(1);
  demo.child.kill('SIGKILL');
  await expectNoTrace();
});

test('a signal while it is still preparing ends it without a trace', async () => {
  const { child, exitCode } = spawnDemo();
  await once(child.stdout ?? child, 'data');
  child.kill('SIGINT');
  expect(await exitCode).toBe(0);
  expect(fs.readdirSync(temporary())).toEqual([]);
});

test('the death of the server ends it, with a word and a failure', async () => {
  const demo = await startDemo();
  const [host = '', port = ''] = (demo.state.variables['UNDROP_UPSTREAM'] ?? '').split(':');
  const root = { host, port: Number(port), user: 'root', password: '' };
  const [row] = await query<{ file: string }>(root, 'SELECT @@pid_file AS file');
  const pid = await tryCommand(['cat', row?.file ?? '']);
  process.kill(Number(pid.stdout), 'SIGKILL');
  expect(await demo.exitCode).toBe(1);
  expect(demo.text()).toContain('the throwaway server ended unexpectedly');
  await expectNoTrace();
});

test('a taken port is no obstacle; a tour of a short hold shows its end', async () => {
  const occupant = createServer().listen({ host: '127.0.0.1', port: 3307 });
  // Whoever has the port, it is taken now.
  await Promise.race([once(occupant, 'listening'), once(occupant, 'error')]).catch(() => undefined);
  const quick = { UNDROP_HOLD: '20s', UNDROP_EVAC: '1s', UNDROP_CHECK_INTERVAL: '1s' };
  const demo = await startDemo(quick);
  expect(demo.state.proxy.port).not.toBe(3307);
  expect(demo.text()).toContain('(Port 3307 is taken by another program, or another demo.)');
  expect(demo.text()).toContain('held for 20 seconds');
  const { code, stdout } = await undrop(['demo', '--tour']);
  expect(stdout).toMatch(/\nHOLD +_undrop\._vt_HOLD_[0-9a-f]{32}_\d{14}\n/);
  expect(stdout).toMatch(/orders is gone\.\n$/);
  expect(code).toBe(0);
  demo.child.kill('SIGINT');
  expect(await demo.exitCode).toBe(0);
  occupant.close();
});

test('an account without a server to log in to is no hint for a demo', async () => {
  const { exitCode, text } = spawnDemo({ UNDROP_USER: 'undrop', UNDROP_UPSTREM: 'db:3306' });
  expect(await exitCode).toBe(2);
  expect(text()).toContain('UNDROP_USER is set, but UNDROP_UPSTREAM');
});

test('nor is a file of settings, though no server is in it', async () => {
  const { exitCode, text } = spawnDemo({ UNDROP_CONFIG: '/dev/null' });
  expect(await exitCode).not.toBe(0);
  expect(text()).not.toContain('Ctrl-C ends');
});

test('the tour without a demo says what to do', async () => {
  const tour = await undrop(['demo', '--tour']);
  expect(tour.code).toBe(1);
  expect(tour.stdout).toContain('npm start');
});

test('a plain user lays down and starts a server from packages, and nothing of it is left', async () => {
  const home = temporary();
  await chmod(home, 0o755);
  await copyPrograms(home);
  const own = join(home, 'home');
  fs.mkdirSync(own);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) fs.chownSync(own, NOBODY, NOBODY);
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
  const isGone = async () => !fs.existsSync(folder) && !(await listens(port));
  await until(isGone, 'the server is gone');
}, 180_000);

test.each(testServerNames())('%s is gone after stop; a second stop does no harm', async (name) => {
  const server = await startServer(name, ['--max-connections=77']);
  expect(await query(server, 'SELECT @@max_connections AS n')).toEqual([{ n: 77 }]);
  const { folder, port } = server;
  expect(fs.existsSync(folder ?? '')).toBe(true);
  await server.stop();
  await server.stop();
  expect(fs.existsSync(folder ?? '')).toBe(false);
  expect(await listens(port)).toBe(false);
});

test.each(testServerNames())('%s that does not start has its words reported', (name) =>
  expect(startFromSet(name, ['--unheard-of=1'])).rejects.toThrow(/unheard-of/),
);

async function startDemo(env: Record<string, string> = {}) {
  const spawned = spawnDemo(env);
  const isReady = async () => {
    expect(spawned.child.exitCode).toBeNull();
    return spawned.text().includes('Ctrl-C ends') && (await findDemo(temporary())) !== null;
  };
  await until(isReady, 'the demo is ready', 120_000);
  const state = await findDemo(temporary());
  if (state === null) throw new Error('The demo went away.');
  return { ...spawned, state };
}

function spawnDemo(env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [MAIN, 'start'], {
    cwd: projectFolder,
    env: { ...process.env, TMPDIR: temporary(), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  const exitCode = once(child, 'close').then(([code]) => code as number | null);
  return { child, exitCode, text: () => text };
}

function undrop(args: readonly string[]): Promise<CommandResult> {
  return tryCommand([process.execPath, MAIN, ...args], {
    cwd: projectFolder,
    env: { TMPDIR: temporary() },
  });
}

/** Neither folders nor processes, and without those no ports, which others may take at once. */
async function expectNoTrace(): Promise<void> {
  const isGone = () =>
    fs.readdirSync(temporary()).length === 0 && processesOf(temporary()).length === 0;
  await until(isGone, 'nothing is left of the demo');
  expect(fs.existsSync(temporary())).toBe(true);
}

/** What was started with `folder` in its arguments or its environment, and still runs. */
function processesOf(folder: string): readonly string[] {
  const known = ['cmdline', 'environ'];
  return fs
    .readdirSync('/proc')
    .filter((pid) => known.some((file) => readIfThere(join('/proc', pid, file)).includes(folder)));
}

function readIfThere(path: string): string {
  try {
    return fs.readFileSync(path, 'latin1');
  } catch {
    // It ended meanwhile, or is no process, or another account's.
    return '';
  }
}

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
    if (fs.existsSync(from))
      fs.cpSync(from, join(home, path), { recursive: true, dereference: true });
  }
}
