/**
 * undrop in front of the database of somebody's compose project (deploy/compose/undrop.yml), as
 * docker-compose reads it; its steps run here, without an engine. And `undrop start` with a URL.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../throwaway-servers/run-command.js';
import { runCompose } from '../support/debian-tools.js';
import { projectFolder, temporaryFolder } from '../support/folders.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { MAIN, spawnProxy, spawnUndrop } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';

const THEIRS = `services:
  mysql:
    image: mysql:9
    environment: { MYSQL_ROOT_PASSWORD: "\${MYSQL_ROOT_PASSWORD}" }
    ports: ["3306:3306"]
    volumes: ["data:/var/lib/mysql"]
  app:
    image: app
    depends_on: [mysql]
volumes: { data: {} }
`;

interface Service {
  readonly environment?: Readonly<Record<string, string>>;
  readonly entrypoint?: readonly string[];
  readonly networks?: Readonly<Record<string, { readonly aliases?: readonly string[] } | null>>;
  readonly ports?: readonly { readonly host_ip?: string; readonly target: number }[];
  readonly volumes?: readonly { readonly source: string; readonly target: string }[];
}

async function configOf(folder: string, rootPassword: string) {
  await writeFile(join(folder, 'compose.yaml'), THEIRS);
  await writeFile(join(folder, '.env'), `MYSQL_ROOT_PASSWORD='${rootPassword}'\n`);
  const files = [join(folder, 'compose.yaml'), join(projectFolder, 'deploy/compose/undrop.yml')];
  const named = files.flatMap((file) => ['--file', file]);
  const how = ['--project-directory', folder, ...named, 'config', '--format', 'json'];
  const { code, stdout, stderr } = await runCompose(how);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return (JSON.parse(stdout) as { readonly services: Readonly<Record<string, Service>> }).services;
}

onServers('undrop in front of somebody’s $name', (server, on) => {
  const { test } = on;
  const schema = on.each.schema('composed');

  test('takes over name and port, leaves the data folder, and makes its account by itself', async () => {
    await using folder = await temporaryFolder('compose');
    const { mysql, undrop, app, 'undrop-init': init } = await configOf(folder.path, 'from .env');
    expect(mysql?.ports ?? []).toEqual([]);
    expect(Object.keys(mysql?.networks ?? {})).toEqual(['undrop-upstream']);
    expect(mysql?.volumes).toEqual([expect.objectContaining({ target: '/var/lib/mysql' })]);
    expect(undrop?.networks).toMatchObject({ default: { aliases: ['mysql'] } });
    expect(undrop?.ports).toEqual([
      expect.objectContaining({ host_ip: '127.0.0.1', target: 3306 }),
    ]);
    expect(Object.keys(app?.networks ?? {})).toEqual(['default']);
    // The steps of the container, in folders of this machine.
    const here = (text: string) =>
      text
        .replaceAll('$$', '$')
        .replaceAll('/var/lib/undrop', join(folder.path, 'secret'))
        .replaceAll('/tmp/root-password', join(folder.path, 'root-password'))
        .replaceAll('/app/undrop.mjs', MAIN)
        .replaceAll('undrop-upstream:3306', `${server.host}:${server.port}`)
        .replace('chown -R node', 'ls')
        // The root of a test may have none.
        .replace('ROOT_PASSWORD:?', 'ROOT_PASSWORD?');
    const user = `composed_${schema.name.slice(-4)}`;
    const asked = { ROOT_PASSWORD: 'from .env', UNDROP_UPSTREAM_TLS: 'required' };
    expect(init?.environment).toMatchObject(asked);
    expect(undrop?.environment).toMatchObject({ UNDROP_UPSTREAM_TLS: 'required' });
    // A server of a test may have no certificate.
    const tls = { UNDROP_UPSTREAM_TLS: 'preferred' };
    const own = { UNDROP_USER: user, ROOT_PASSWORD: server.password, ...tls };
    const told = { ...init?.environment, ...own };
    const env = Object.fromEntries(Object.entries(told).map(([key, value]) => [key, here(value)]));
    const steps = (init?.entrypoint ?? []).map(here);
    // A second start finds the account.
    for (const what of ['was created', 'existed, and keeps its password']) {
      const { stdout } = await runCommand(steps, { env });
      expect(stdout).toContain(what);
    }
    const PASSWORD_FILE = join(folder.path, 'secret/password');
    await using proxy = await spawnProxy(server, { USER: user, PASSWORD: '', PASSWORD_FILE });
    await using client = await connect(proxy, { database: schema.name });
    await client.run('CREATE TABLE t (a INT)', 'DROP TABLE t', 'UNDROP TABLE t');
    expect(await client.tables()).toEqual(['t']);
    await query(server, `DROP USER ${user}`);
  });

  test('by `undrop start` with its URL', async () => {
    const { host, port, user, password } = server;
    const url = `mysql://${user}:${encodeURIComponent(password)}@${host}:${port}`;
    const env = { ...process.env, UNDROP_LISTEN: '127.0.0.1:0', UNDROP_ADMIN_LISTEN: '' };
    const child = spawn(process.execPath, [MAIN, 'start', url], { env, stdio: 'pipe' });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const listening = () => /"listen":\["127\.0\.0\.1:(\d+)"/.exec(said);
    await until(() => listening() !== null, 'it serves');
    const at = listening()?.[1];
    await using client = await connect({ ...server, host: '127.0.0.1', port: Number(at) });
    await client.run(`CREATE TABLE ${schema.name}.t (a INT)`, `DROP TABLE ${schema.name}.t`);
    await client.run(`UNDROP TABLE ${schema.name}.t`);
    child.kill('SIGTERM');
    await once(child, 'close');
    const wrong = spawnUndrop(server, ['start', 'mysql://127.0.0.1']);
    expect(await wrong).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/expected mysql:/),
    });
  });
});
