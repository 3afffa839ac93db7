/**
 * The product as others get it: `npm pack` of a clone in which nothing is built, installed into an
 * empty folder elsewhere. It serves, drops, restores and drains, on each version of Node.js.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand, tryCommand } from '../../throwaway-servers/run-command.js';
import { cloneProject, projectFolder, temporaryFolder } from '../support/folders.js';
import { nodeProgram, nodeVersions } from '../support/node-versions.js';
import { inHooks } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { environment } from '../support/proxy.js';
import { connect, freshSchema, query, testServer } from '../support/servers.js';

const BYTES_MAX = 8 * 2 ** 20;
const ROW_BYTES = 3 * 2 ** 20;

const temporary = inHooks().open(() => temporaryFolder('packed'));
let undrop = '';

beforeAll(async () => {
  const { path } = temporary;
  const clone = join(path, 'clone');
  await cloneProject(clone);
  await runCommand(['npm', 'pack', '--pack-destination', path], { cwd: clone });
  const archive = readdirSync(path).find((name) => name.endsWith('.tgz')) ?? '';
  const prefix = join(path, 'elsewhere');
  const options = ['--global', '--offline', '--no-audit', '--no-fund', '--prefix', prefix];
  await runCommand(['npm', 'install', ...options, join(path, archive)], { cwd: path });
  undrop = join(prefix, 'bin/undrop');
}, 120_000);

test('it is one program and its demo, with nothing else to install, and small', () => {
  const modules = join(temporary.path, 'elsewhere/lib/node_modules');
  const folders = readdirSync(modules, { recursive: true, withFileTypes: true });
  const files = folders.filter((entry) => entry.isFile());
  expect(readdirSync(modules)).toEqual(['undrop']);
  expect(folders.filter(({ name }) => name === 'node_modules')).toEqual([]);
  const isPart = (folder: string) => folder.endsWith('/build/parts');
  const programs = files
    .filter(({ name, parentPath }) => /\.[cm]?js$/.test(name) && !isPart(parentPath))
    .map(({ name }) => name);
  expect(programs.sort()).toEqual(['demo.mjs', 'server-supervisor.mjs', 'undrop.mjs']);
  const bytes = files.reduce((sum, { parentPath, name }) => {
    return sum + readFileSync(join(parentPath, name)).length;
  }, 0);
  expect(bytes).toBeLessThan(BYTES_MAX);
  const docs = readdirSync(join(modules, 'undrop/docs'));
  expect(docs).toContain('limits.md');
  const forBuilders = ['inside', '.vitepress'];
  expect(docs.filter((name) => forBuilders.includes(name))).toEqual([]);
});

test('it names the packages that are in it, by a command and in a bill of materials', async () => {
  const { stdout } = await runCommand([undrop, '--version', '--verbose']);
  const [version, ...packages] = stdout.trimEnd().split('\n');
  const lock = JSON.parse(readFileSync(join(projectFolder, 'package-lock.json'), 'utf8')) as {
    version: string;
    packages: Readonly<Record<string, { readonly version: string }>>;
  };
  expect(version).toBe(lock.version);
  expect(packages).toContain(`mysql2 ${lock.packages['node_modules/mysql2']?.version}`);
  expect(packages.join()).not.toMatch(/\b(jest|typescript|esbuild|mariadb) /);
  const file = join(temporary.path, 'elsewhere/lib/node_modules/undrop/build/undrop.cdx.json');
  const { components } = JSON.parse(readFileSync(file, 'utf8')) as {
    components: readonly { readonly name: string; readonly version: string }[];
  };
  const listed = new Set(components.map((one) => `${one.name} ${one.version}`));
  expect([...listed].sort()).toEqual(packages.toSorted());
});

/** `undrop serve`, and what it has said so far. */
function serve(node: string, env: Readonly<Record<string, string>>) {
  const proxy = spawn(node, [undrop, 'serve'], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  proxy.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  return { proxy, ended: once(proxy, 'exit'), said: () => text };
}

describe.each(nodeVersions())('on Node.js %s', (version) => {
  const server = testServer('mariadb-11.8');

  test('it serves, holds, restores and drains', async () => {
    const node = await nodeProgram(version);
    const env = environment(server, {});
    const run = (...args: string[]) => tryCommand([node, undrop, ...args], { env });
    await using schema = await freshSchema(server, 'packed');
    const { proxy, ended, said } = serve(node, env);
    const event = (name: string) => new RegExp(`^.*"event":"${name}".*$`, 'm').exec(said())?.[0];
    await until(async () => event('ready') !== undefined && event('ledger') !== undefined, 'ready');
    const { listen, relay } = JSON.parse(event('ready') ?? '') as {
      listen: string[];
      relay: string;
    };
    expect(relay).toBe('raw');
    const port = Number(/:(\d+)$/.exec(listen[0] ?? '')?.[1]);
    const client = await connect({ ...server, host: '127.0.0.1', port });
    const big = Buffer.alloc(ROW_BYTES, 'undrop');
    await client.query(`CREATE TABLE ${schema.name}.big (bytes LONGBLOB)`);
    await client.query(`INSERT INTO ${schema.name}.big VALUES (?)`, [big]);
    const [rows] = await client.query(`SELECT bytes FROM ${schema.name}.big`);
    expect((rows as { bytes: Buffer }[])[0]?.bytes.equals(big)).toBe(true);
    await client.query(`DROP TABLE ${schema.name}.big`);
    expect(await query(server, `SHOW TABLES FROM ${schema.name}`)).toEqual([]);
    expect((await run('list')).stdout).toContain(`${schema.name}.big`);
    expect(await run('restore', `${schema.name}.big`)).toMatchObject({ code: 0 });
    const length = `SELECT LENGTH(bytes) AS bytes FROM ${schema.name}.big`;
    expect(await query(server, length)).toEqual([{ bytes: ROW_BYTES }]);
    proxy.kill('SIGTERM');
    const [code] = (await ended) as [number | null];
    expect(code).toBe(0);
    client.destroy();
  }, 120_000);

  test('a worker is the same file', async () => {
    const env = environment(server, { WORKERS: '2' });
    const node = await nodeProgram(version);
    const { proxy, ended, said } = serve(node, env);
    await until(async () => /"event":"ready".*"workers":2/.test(said()), 'two workers');
    proxy.kill('SIGTERM');
    const [code] = (await ended) as [number | null];
    expect(code).toBe(0);
  }, 180_000);
});
