/**
 * A group (MySQL's group replication) of three throwaway MySQL 9.7 on this machine, each with the
 * service account; with one primary, or with all of them primaries. A member that was killed comes
 * back on its own data folder and gets what it missed. Invariant: their folders lie in that of the
 * worker's own server, so they go when that goes, however the test run dies.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { copyDataFolder } from '../../throwaway-servers/data-folder.js';
import type { Installation } from '../../throwaway-servers/installation.js';
import { freePort } from '../../throwaway-servers/launch.js';
import { startOn } from './killable-server.js';
import { until } from './poll.js';
import { ensureInstalled } from './server-set.js';
import { query, type Target, testServer } from './servers.js';
import { makeServiceAccount } from './service-account.js';

export type GroupMember = Awaited<ReturnType<typeof startMember>>;

const NAME = 'mysql-9.7';
const MEMBERS = 3;
const ONLINE_WITHIN_MS = 120_000;
/** Characters of a member's own log that a failure to join shows. */
const LOG_TAIL = 4_000;

export async function startGroup({ isMultiPrimary }: { readonly isMultiPrimary: boolean }) {
  const { installation, template } = await ensureInstalled(NAME);
  const program = installation.server.find((part) => part.endsWith('mysqld')) ?? '';
  const { dataDir } = testServer(NAME);
  const root = await mkdtemp(join(dataDir === null ? tmpdir() : dirname(dataDir), 'group-'));
  const ports: number[] = [];
  for (let nr = 0; nr < MEMBERS; nr++) ports.push(await freePort());
  const common = [
    ...['--gtid-mode=ON', '--enforce-gtid-consistency=ON', '--report-host=127.0.0.1'],
    `--plugin-dir=${join(dirname(dirname(program)), 'lib', 'mysql', 'plugin')}`,
    '--plugin-load-add=group_replication.so',
    `--group-replication-group-name=${randomUUID()}`,
    '--group-replication-start-on-boot=OFF',
    `--group-replication-group-seeds=${ports.map((port) => `127.0.0.1:${port}`).join(',')}`,
    '--group-replication-recovery-get-public-key=ON',
    '--group-replication-recovery-reconnect-interval=1',
    // One that doesn't answer for five seconds is put out at once.
    '--group-replication-member-expel-timeout=0',
    `--group-replication-single-primary-mode=${isMultiPrimary ? 'OFF' : 'ON'}`,
    `--group-replication-enforce-update-everywhere-checks=${isMultiPrimary ? 'ON' : 'OFF'}`,
  ];
  const members: GroupMember[] = [];
  const stop = async () => {
    for (const member of members) await member.kill();
    await rm(root, { recursive: true, force: true });
  };
  try {
    for (const port of ports) {
      const folder = join(root, `m${members.length}`);
      await mkdir(folder);
      await copyDataFolder(template, folder);
      const options = [...common, `--group-replication-local-address=127.0.0.1:${port}`];
      const member = await startMember(installation, { folder, port: await freePort(), options });
      members.push(member);
      await member.join({ isFirst: members.length === 1 });
    }
    return { members, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startMember(
  installation: Installation,
  where: { readonly folder: string; readonly port: number; readonly options: readonly string[] },
) {
  const { folder, port } = where;
  const own = await startOn(installation, where);
  const target = { host: '127.0.0.1', port, user: 'root', password: '' };
  /** SIGKILL; resolves when it is gone. */
  const kill = async () => {
    own.kill();
    await own.ended();
  };
  try {
    await makeServiceAccount(target);
    await query(
      target,
      'RESET BINARY LOGS AND GTIDS',
      "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root', SOURCE_PASSWORD = '' FOR CHANNEL 'group_replication_recovery'",
    );
  } catch (error) {
    await kill();
    throw error;
  }
  return {
    ...target,
    name: `the member at port ${port}`,
    kill,
    join: ({ isFirst }: { readonly isFirst: boolean }) => joinGroup(target, { isFirst, folder }),
    /** Behind `kill`: starts it, read-only until the group has taken it back. */
    rejoin: async () => {
      await own.restart(['--super-read-only=ON']);
      await joinGroup(target, { isFirst: false, folder });
    },
  };
}

/** Asks again where the group refuses it, as it does until it has put the killed one out. */
async function joinGroup(
  target: Target,
  { isFirst, folder }: { readonly isFirst: boolean; readonly folder: string },
): Promise<void> {
  let why: unknown = null;
  const isOnline = async () => {
    const state = await stateOf(target);
    if (state !== 'OFFLINE' && state !== 'ERROR') return state === 'ONLINE';
    try {
      await query(
        target,
        'STOP GROUP_REPLICATION',
        `SET GLOBAL group_replication_bootstrap_group = ${isFirst ? 'ON' : 'OFF'}`,
        'START GROUP_REPLICATION',
        'SET GLOBAL group_replication_bootstrap_group = OFF',
      );
    } catch (error) {
      why = error;
    }
    return false;
  };
  const named = `the member at port ${target.port} is online`;
  await until(isOnline, named, ONLINE_WITHIN_MS).catch(async (error) => {
    const log = (await readFile(join(folder, 'server.log'), 'utf8')).slice(-LOG_TAIL);
    throw new Error(`${error} ${why}\n${log}`);
  });
}

async function stateOf(target: Target): Promise<string> {
  const [row] = await query<{ state: string }>(
    target,
    `SELECT MEMBER_STATE AS state FROM performance_schema.replication_group_members
     WHERE MEMBER_ID = @@server_uuid`,
  );
  return row?.state ?? 'OFFLINE';
}
