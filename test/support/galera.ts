/**
 * A Galera cluster of three throwaway MariaDB 10.11 on this machine, each with the service account.
 * A node that was frozen for so long that the others put it out comes back by what it missed (IST);
 * there is no copy of a whole node: all begin with the same data folder.
 */
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { copyDataFolder } from '../../throwaway-servers/data-folder.js';
import { freePort, type Launched, launch } from '../../throwaway-servers/launch.js';
import { until } from './poll.js';
import { signalTo } from './proxy.js';
import { ensureInstalled } from './server-set.js';
import { query } from './servers.js';
import { makeServiceAccount } from './service-account.js';

export type GaleraNode = Awaited<ReturnType<typeof nodeOf>>;

/** Tells the joining server, by a file in its data folder, from where on it gets what it missed. */
const TRANSFER = `#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    --role) role=$2; shift ;;
    --address) address=$2; shift ;;
    --datadir) datadir=$2; shift ;;
    --gtid) gtid=$2; shift ;;
    --bypass) bypass=1 ;;
  esac
  shift
done
if [ "$role" = joiner ]; then
  file=\${datadir%/}/transfer_position
  rm -f "$file"
  echo "ready $address$file"
  while [ ! -s "$file" ]; do sleep 0.1; done
  cat "$file"
else
  [ "$bypass" = 1 ] || exit 1
  file=/\${address#*/}
  echo continue
  echo "$gtid" > "$file.new" && mv "$file.new" "$file"
  echo "done $gtid"
fi
`;

const NODES = 3;

export async function startGalera() {
  const { installation, template } = await ensureInstalled('mariadb-10.11');
  const root = await mkdtemp(join(tmpdir(), 'undrop-galera-'));
  const script = join(root, 'wsrep_sst_local');
  await writeFile(script, TRANSFER);
  await chmod(script, 0o755);
  const env = { ...installation.env, PATH: `${root}:${process.env['PATH']}` };
  const program = installation.server.find((part) => part.endsWith('mariadbd')) ?? '';
  const provider = join(dirname(dirname(program)), 'lib', 'galera', 'libgalera_smm.so');
  const ports: number[][] = [];
  for (let node = 0; node < NODES; node++) {
    ports.push([await freePort(), await freePort(), await freePort()]);
  }
  const addresses = ports.map(([group]) => `127.0.0.1:${group}`).join(',');
  const start = (node: number, isFirst: boolean): Promise<Launched> => {
    const [group, incremental, transfer] = ports[node] ?? [];
    const provided = {
      'gmcast.listen_addr': `tcp://127.0.0.1:${group}`,
      'ist.recv_addr': `127.0.0.1:${incremental}`,
      'gcache.size': '64M',
      'pc.recovery': 'false',
    };
    return launch(
      { ...installation, env },
      {
        folder: join(root, `node${node}`),
        keepFolder: true,
        connectOver: 'socket',
        extraOptions: [
          ...['--innodb-autoinc-lock-mode=2', '--wsrep-on=ON', `--wsrep-provider=${provider}`],
          ...[`--wsrep-cluster-address=gcomm://${addresses}`, '--wsrep-node-address=127.0.0.1'],
          `--wsrep-provider-options=${Object.entries(provided)
            .map(([key, value]) => `${key}=${value}`)
            .join(';')}`,
          ...['--wsrep-sst-method=local', `--wsrep-sst-receive-address=127.0.0.1:${transfer}`],
          ...(isFirst ? ['--wsrep-new-cluster'] : []),
        ],
      },
    );
  };
  const started: Launched[] = [];
  try {
    const folderOf = (node: number) => join(root, `node${node}`);
    await mkdir(folderOf(0));
    await copyDataFolder(template, folderOf(0));
    // So that each has a place in the history of one cluster.
    await (await start(0, true)).stop();
    for (let node = 1; node < NODES; node++) {
      await mkdir(folderOf(node));
      await cp(join(folderOf(0), 'data'), join(folderOf(node), 'data'), { recursive: true });
    }
    const nodes: GaleraNode[] = [];
    for (let node = 0; node < NODES; node++) {
      const launched = await start(node, node === 0);
      started.push(launched);
      nodes.push(await nodeOf(launched, `node ${node}`, folderOf(node)));
    }
    for (const node of nodes) {
      await until(async () => (await node.state()) === 'Synced', `${node.name} is synced`);
    }
    const [first] = nodes;
    if (first !== undefined) await makeServiceAccount(first);
    return { nodes, [Symbol.asyncDispose]: () => end(nodes, started, root) };
  } catch (error) {
    for (const one of started) await one.stop();
    await rm(root, { recursive: true, force: true });
    throw error;
  }
}

async function nodeOf({ port }: Launched, name: string, folder: string) {
  const target = { host: '127.0.0.1', port, user: 'root', password: '' };
  const pid = Number(await readFile(join(folder, 'server.pid'), 'utf8'));
  return {
    ...target,
    name,
    signal: (signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT') => signalTo(pid, signal),
    /** That of wsrep_local_state_comment; null: it doesn't answer. */
    state: async () => {
      const text = "SHOW STATUS LIKE 'wsrep_local_state_comment'";
      const asked = query<{ readonly Value: string }>(target, text);
      const [row] = await asked.catch(() => []);
      return row?.Value ?? null;
    },
  };
}

async function end(nodes: readonly GaleraNode[], started: readonly Launched[], root: string) {
  for (const node of nodes) node.signal('SIGKILL');
  for (const one of started) await one.ended;
  await rm(root, { recursive: true, force: true });
}
