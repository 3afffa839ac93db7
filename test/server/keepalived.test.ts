/**
 * Two proxies with a floating address, by deploy/keepalived as it stands: two keepalived in network
 * namespaces of their own, joined by a bridge in a third, from which clients connect. It needs
 * root.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { inRoot } from '../../throwaway-servers/apt-root.js';
import { runCommand, tryCommand } from '../../throwaway-servers/run-command.js';
import { aptFolder } from '../support/apt-folder.js';
import { clientCommand } from '../support/clients.js';
import { deployedSettings } from '../support/deployed.js';
import { projectFolder, temporaryFolder } from '../support/folders.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { testServer } from '../support/servers.js';

const FLOATING = '10.0.0.10';
const server = testServer('mariadb-11.8');
const on = onServer(server);
const { testOnEach: test } = on;
const folder = on.open(() => temporaryFolder('keepalived'));
const id = randomBytes(3).toString('hex');
const [clients, ...machines] = ['c', 'a', 'b'].map((name) => `undrop-${name}-${id}`);
const started: ChildProcess[] = [];

const ip = (...args: readonly string[]) => runCommand(['ip', ...args]);
const within = (name = '', ...args: readonly string[]) => ['ip', 'netns', 'exec', name, ...args];

on.beforeAll(async () => {
  for (const name of [clients, ...machines]) {
    await ip('netns', 'add', `${name}`);
    await ip('-n', `${name}`, 'link', 'set', 'lo', 'up');
  }
  await ip('-n', `${clients}`, 'link', 'add', 'br0', 'type', 'bridge');
  await ip('-n', `${clients}`, 'address', 'add', '10.0.0.1/24', 'dev', 'br0');
  await ip('-n', `${clients}`, 'link', 'set', 'br0', 'up');
  for (const [index, name] of machines.entries()) {
    const link = ['link', 'add', `v${index}`, 'type', 'veth', 'peer', 'name', 'eth0'];
    await ip('-n', `${clients}`, ...link, 'netns', name);
    await ip('-n', `${clients}`, 'link', 'set', `v${index}`, 'master', 'br0', 'up');
    await ip('-n', name, 'address', 'add', `10.0.0.${5 + index}/24`, 'dev', 'eth0');
    await ip('-n', name, 'link', 'set', 'eth0', 'up');
  }
});

on.afterAll(async () => {
  for (const child of started) {
    if (child.exitCode !== null) continue;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  for (const name of [clients, ...machines]) await ip('netns', 'delete', `${name}`);
});

/** By the server's socket, which all namespaces see; their `127.0.0.1` is their own. */
async function startMachine(name: string): Promise<ProxyProcess> {
  const { listen, drainWait } = deployedSettings('keepalived/undrop');
  const proxy = await spawnProxy(
    server,
    {
      UPSTREAM: server.socketPath ?? '',
      LISTEN: String(listen),
      ADMIN_LISTEN: '127.0.0.1:9307',
      DRAIN_WAIT: String(drainWait),
    },
    within(name),
  );
  return on.keep(proxy);
}

async function startKeepalived(name: string): Promise<void> {
  const root = await aptFolder('keepalived', 'bookworm');
  const file = join(projectFolder, 'deploy/keepalived/keepalived.conf');
  const pids = ['pid', 'vrrp_pid'].map((key) => `--${key}=${join(folder.path, `${name}.${key}`)}`);
  const options = ['--dont-fork', '--log-console', '--vrrp', ...pids, `--use-file=${file}`];
  const [program = '', ...args] = within(name, ...inRoot(root, 'usr/sbin/keepalived'), ...options);
  started.push(spawn(program, args, { stdio: 'ignore' }));
}

/** The machine that has the floating address; null: none has it. */
async function holder(): Promise<string | null> {
  for (const name of machines) {
    const { stdout } = await tryCommand(['ip', '-n', name, '-4', 'address', 'show', 'dev', 'eth0']);
    if (stdout.includes(`${FLOATING}/`)) return name;
  }
  return null;
}

async function runSql(sql: string): Promise<string> {
  const client = await clientCommand('mariadb-11.8');
  const login = [`--host=${FLOATING}`, '--port=3307', '--user=root', '--skip-ssl'];
  const options = ['--batch', '--skip-column-names', '--execute', sql];
  const argv = within(clients, ...client, ...login, ...options);
  const { code, stdout, stderr } = await tryCommand(argv);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

test('the address moves to the other proxy, killed or drained, and stays there', async () => {
  const proxies = new Map<string, ProxyProcess>();
  for (const name of machines) {
    proxies.set(name, await startMachine(name));
    await startKeepalived(name);
  }
  await until(async () => (await holder()) !== null, 'a machine has the address');
  const first = await holder();
  await runSql('CREATE DATABASE floating; CREATE TABLE floating.t (id INT)');
  await runSql('INSERT INTO floating.t VALUES (1), (2); DROP TABLE floating.t');
  proxies.get(first ?? '')?.kill('SIGKILL');
  await until(async () => ![first, null].includes(await holder()), 'the address has moved');
  expect(await runSql('UNDROP TABLE floating.t; SELECT COUNT(*) FROM floating.t')).toBe('2\n');

  proxies.set(first ?? '', await startMachine(first ?? ''));
  const second = await holder();
  await proxies.get(second ?? '')?.stop();
  await until(async () => (await holder()) === first, 'the address is back');
  expect(await runSql('SELECT COUNT(*) FROM floating.t; DROP DATABASE floating')).toBe('2\n');
});
