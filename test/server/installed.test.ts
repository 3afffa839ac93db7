/**
 * The packages as an operator gets them. In a booted Debian 12 the .deb is installed, configured,
 * started, upgraded under load, removed and purged, by apt and systemctl; the .rpm has the same
 * files. It needs root, so `npm test` leaves it out, unless it is named.
 */
import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureAptRoot, inRoot } from '../../throwaway-servers/apt-root.js';
import { cacheFolder } from '../../throwaway-servers/cache.js';
import { freePort } from '../../throwaway-servers/launch.js';
import { runCommand } from '../../throwaway-servers/run-command.js';
import { type BootedDebian, bootDebian, makeWrapper } from '../support/booted-debian.js';
import { cloneProject, projectFolder, temporaryFolder } from '../support/folders.js';
import { goOn, startLoad } from '../support/load.js';
import { inHooks } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { connect, type FreshSchema, freshSchema, query, testServer } from '../support/servers.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';
import { listed, restored } from '../support/undrop-cli.js';

const NEXT_VERSION = '99.0.0';
/** xz takes half a minute for each package. */
const BUILD_MS = 600_000;

const temporary = inHooks().open(() => temporaryFolder('installed'));
let clone = '';
let env: Readonly<Record<string, string>> = {};

beforeAll(async () => {
  clone = join(temporary.path, 'clone');
  await cloneProject(clone);
  // The downloads of Node.js.
  mkdirSync(join(projectFolder, 'build/node'), { recursive: true });
  mkdirSync(join(clone, 'build'));
  symlinkSync(join(projectFolder, 'build/node'), join(clone, 'build/node'));
  env = await rpmPrograms(join(temporary.path, 'programs'));
  const options = { cwd: clone, env, deadlineMs: BUILD_MS };
  await runCommand([process.execPath, 'scripts/package.mjs', 'amd64'], options);
}, BUILD_MS);

describe('the .deb', () => {
  const server = testServer('mysql-9.7');
  let debian: BootedDebian;
  let schema: FreshSchema;

  beforeAll(async () => {
    debian = await bootDebian();
    schema = await freshSchema(server, 'installed');
  }, BUILD_MS);
  afterAll(async () => {
    await schema?.drop();
    await debian?.[Symbol.asyncDispose]();
  });

  const apt = (...args: string[]) => debian.run('apt-get', '--yes', ...args);
  const systemctl = (...args: string[]) => debian.run('systemctl', ...args);

  /** Not /tmp, which is mounted. */
  async function install(file: string): Promise<void> {
    await copyFile(file, join(debian.folder, 'srv/undrop.deb'));
    await apt('install', '/srv/undrop.deb');
  }

  /** As its operator edits it, with ports that the system chooses. */
  async function configure(name: string): Promise<void> {
    const folder = join(debian.folder, 'etc/undrop');
    await writeFile(join(folder, 'password'), SERVICE_ACCOUNT.password);
    let text = await readFile(join(debian.folder, 'etc/undrop/undrop.conf'), 'utf8');
    const settings = {
      upstream: `${server.host}:${server.port}`,
      user: SERVICE_ACCOUNT.user,
      passwordFile: '/etc/undrop/password',
      listen: `127.0.0.1:${await freePort()}`,
      adminListen: '127.0.0.1:0',
    };
    for (const [key, value] of Object.entries(settings)) {
      const line = new RegExp(`^  (// )?"${key}": .*$`, 'm');
      expect(text).toMatch(line);
      text = text.replace(line, `  "${key}": "${value}",`);
    }
    await writeFile(join(folder, `${name}.conf`), text);
    await debian.run('chgrp', 'undrop', '/etc/undrop/password', `/etc/undrop/${name}.conf`);
    await debian.run('chmod', '640', '/etc/undrop/password', `/etc/undrop/${name}.conf`);
  }

  async function linesOf(unit: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const text = await debian.run('journalctl', '--output=cat', '--no-pager', '--unit', unit);
    const lines = text.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Where clients of a unit that runs connect. */
  async function proxyOf(unit: string) {
    const isReady = ({ event }: Readonly<Record<string, unknown>>) => event === 'ready';
    await until(async () => (await linesOf(unit)).some(isReady), `${unit} is in the journal`);
    const ready = (await linesOf(unit)).find(isReady);
    const port = /:(\d+)$/.exec(String(ready?.['listen']))?.[1];
    return { ...server, host: '127.0.0.1', port: Number(port) };
  }

  test('starts nothing by its installation', async () => {
    await install(packageOf('.deb'));
    const { stdout } = await debian.attempt('systemctl', 'is-active', 'undrop');
    expect(stdout.trim()).toBe('inactive');
    expect(await debian.run('stat', '--format=%a %U %G', '/etc/undrop/undrop.conf')).toBe(
      '640 root undrop\n',
    );
  });

  test('runs by systemctl, and a drop through it is undone', async () => {
    await configure('undrop');
    await systemctl('enable', '--now', 'undrop');
    await using session = await connect(await proxyOf('undrop'), { database: schema.name });
    await session.run('CREATE TABLE t (a INT)', 'INSERT INTO t VALUES (7)', 'DROP TABLE t');
    expect(await session.tables()).toEqual([]);
    await session.run('UNDROP TABLE t');
    expect(await session.column('SELECT a FROM t')).toEqual([7]);
    expect(await debian.run('undrop', '--version')).not.toContain(NEXT_VERSION);
  });

  test('is found by the commands, and says if a reload fails', async () => {
    expect(await debian.run('undrop', 'status')).toContain('nothing needs attention');
    expect(await debian.run('undrop', 'reload')).toContain('reloaded');
    const file = join(debian.folder, 'etc/undrop/undrop.conf');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('"user"', '"usre"'));
    expect((await debian.attempt('systemctl', 'reload', 'undrop')).code).not.toBe(0);
    await writeFile(file, text);
    await systemctl('reload', 'undrop');
    expect((await debian.run('systemctl', 'is-active', 'undrop')).trim()).toBe('active');
  });

  test('is upgraded by apt, and no client under load notices', async () => {
    const proxy = await proxyOf('undrop');
    const before = await readFile(join(debian.folder, 'etc/undrop/undrop.conf'), 'utf8');
    const next = await nextVersion();
    const reloads = (await linesOf('undrop')).filter(({ event }) => event === 'reload').length;
    const open = await connect(proxy, { database: schema.name });
    await open.run('CREATE TABLE of_transaction (a INT)', 'BEGIN');
    await open.run('INSERT INTO of_transaction VALUES (1)');
    const load = startLoad(proxy, schema.name);
    await goOn(load);
    await install(next);
    await until(
      async () =>
        (await linesOf('undrop')).filter(({ event }) => event === 'reload').length > reloads,
      'the upgrade is in force',
    );
    await goOn(load);
    await Promise.all(load.map((one) => one.end()));
    await open.run('INSERT INTO of_transaction VALUES (2)', 'COMMIT');
    expect(await open.count('of_transaction')).toBe(2);
    await open.end();
    expect((await debian.run('undrop', '--version')).trim()).toBe(NEXT_VERSION);
    const last = (await linesOf('undrop')).filter(({ event }) => event === 'reload').at(-1);
    expect(last?.['level']).toBe(30);
    expect(await systemctl('show', '--property=NRestarts', 'undrop')).toBe('NRestarts=0\n');
    expect(await readFile(join(debian.folder, 'etc/undrop/undrop.conf'), 'utf8')).toBe(before);
  });

  test('has a unit for each of several servers', async () => {
    await configure('orders');
    await systemctl('enable', '--now', 'undrop@orders');
    await using session = await connect(await proxyOf('undrop@orders'), { database: schema.name });
    await session.run('CREATE TABLE o (a INT)', 'DROP TABLE o', 'UNDROP TABLE o');
    expect(await session.tables()).toContain('o');
  });

  test('is removed: nothing of it runs, and what is held comes back', async () => {
    const session = await connect(await proxyOf('undrop'), { database: schema.name });
    await session.run('CREATE TABLE kept (a INT)', 'INSERT INTO kept VALUES (3)');
    await session.run('DROP TABLE kept');
    await session.end();
    await apt('remove', 'undrop');
    expect((await debian.attempt('pgrep', '--uid', 'undrop')).stdout).toBe('');
    const units = await systemctl('list-units', '--plain', '--no-legend', '--type=service');
    expect(units).not.toContain('undrop');
    const held = await listed(server, '--tables', `${schema.name}.kept`);
    expect(held.map(({ table }) => table)).toEqual(['kept']);
    await restored(server, `${schema.name}.kept`);
    expect(await query(server, `SELECT a FROM ${schema.name}.kept`)).toEqual([{ a: 3 }]);
    expect(existsSync(join(debian.folder, 'etc/undrop/orders.conf'))).toBe(true);
  });

  test('is purged, and leaves no file and no user', async () => {
    await apt('purge', 'undrop');
    const found = await debian.run('find', '/etc', '/usr', '/var', '/run', '-iname', '*undrop*');
    const left = found.split('\n').filter((path) => path !== '' && !/\/private\//.test(path));
    expect(left).toEqual([]);
    expect((await debian.attempt('getent', 'passwd', 'undrop')).code).toBe(2);
    expect((await debian.attempt('getent', 'group', 'undrop')).code).toBe(2);
  });

  /** The same package with another version, in its control file and in its program. */
  async function nextVersion(): Promise<string> {
    const folder = join(temporary.path, 'next');
    await runCommand(['dpkg-deb', '--raw-extract', packageOf('.deb'), folder]);
    await edit(join(folder, 'DEBIAN/control'), /^Version: .*$/m, `Version: ${NEXT_VERSION}`);
    const program = join(folder, 'usr/lib/undrop/undrop.mjs');
    await edit(program, /UNDROP_VERSION="[^"]*"/, `UNDROP_VERSION="${NEXT_VERSION}"`);
    const file = join(temporary.path, 'next.deb');
    await runCommand(['dpkg-deb', '--root-owner-group', '-Zgzip', '-z1', '--build', folder, file]);
    return file;
  }
});

describe('the .rpm', () => {
  const shell = (text: string) => runCommand(['sh', '-c', text], { env });

  test('has the files of the .deb', async () => {
    const inDeb = (await runCommand(['dpkg-deb', '--contents', packageOf('.deb')])).stdout;
    const inRpm = (await shell(`rpm2cpio '${packageOf('.rpm')}' | cpio --list --quiet`)).stdout;
    const files = inDeb.split('\n').filter((line) => line.startsWith('-'));
    const names = files.map((line) => line.replace(/^.* \.\//, './'));
    // A manual page may be compressed by rpmbuild.
    const plain = (path: string) => path.replace(/(\/man\/.*)\.gz$/, '$1');
    const others = inRpm.split('\n').filter((path) => path !== '' && path !== './etc/undrop');
    expect(others.map(plain).sort()).toEqual(names.sort());
    expect(names.length).toBeGreaterThan(10);
  });

  test('has scripts that a shell takes', async () => {
    const { stdout } = await shell(`rpm -qp --scripts '${packageOf('.rpm')}'`);
    const [, user = '', after = '', before = ''] = stdout.split(
      /^(?:pre|post|preun)install .*:\n/m,
    );
    expect(user).toContain('useradd --system');
    expect(after).toContain('systemctl daemon-reload');
    expect(before).toContain('systemctl stop undrop.service');
    for (const input of [user, after, before]) await runCommand(['sh', '-n'], { input });
  });
});

function packageOf(kind: '.deb' | '.rpm'): string {
  const folder = join(clone, 'build/packages');
  return join(folder, readdirSync(folder).find((name) => name.endsWith(kind)) ?? '');
}

async function edit(file: string, what: RegExp, by: string): Promise<void> {
  const text = await readFile(file, 'utf8');
  expect(text).toMatch(what);
  await writeFile(`${file}.new`, text.replace(what, by));
  await rename(`${file}.new`, file);
}

/** Those of Debian's package, for the path of programs. */
async function rpmPrograms(folder: string): Promise<Readonly<Record<string, string>>> {
  const set = { key: 'rpm', suite: 'bookworm', packages: ['rpm', 'cpio'] };
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const tools = await ensureAptRoot(set, { cache: cacheFolder(process.env, projectFolder), say });
  await mkdir(folder);
  for (const name of ['rpmbuild', 'rpm', 'rpm2cpio']) {
    await makeWrapper(join(folder, name), inRoot(tools, `usr/bin/${name}`));
  }
  await makeWrapper(join(folder, 'cpio'), inRoot(tools, 'bin/cpio'));
  return {
    PATH: `${folder}:${process.env['PATH']}`,
    RPM_CONFIGDIR: join(tools, 'root/usr/lib/rpm'),
  };
}
