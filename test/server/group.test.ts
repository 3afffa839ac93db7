/**
 * A group of three members (MySQL's group replication) with one primary: that has threads that
 * apply what others did, and is no replica; what is dropped on it is collected there, and on the
 * next primary after it.
 */

import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { freePort } from '../../throwaway-servers/launch.js';
import type { ThrowawayServer } from '../../throwaway-servers/throwaway.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { ensureInstalled } from '../support/server-set.js';
import { query, startServer } from '../support/servers.js';

jest.setTimeout(300_000);

const MEMBERS = 3;
const SETTINGS = {
  ...{ HOLD: '1s', MIN_HOLD: '0s', GRACE: '0s', CHECK_INTERVAL: '1s', COLLECT: 'auto' },
};

describe('a group', () => {
  const members: ThrowawayServer[] = [];
  const proxies: ProxyProcess[] = [];

  beforeAll(async () => {
    const { installation } = await ensureInstalled('mysql-9.7');
    const program = installation.server.find((part) => part.endsWith('mysqld')) ?? '';
    const plugins = join(dirname(dirname(program)), 'lib', 'mysql', 'plugin');
    const name = randomUUID();
    const ports: number[] = [];
    for (let nr = 0; nr < MEMBERS; nr++) ports.push(await freePort());
    const seeds = ports.map((port) => `127.0.0.1:${port}`).join(',');
    for (const port of ports) {
      const member = await startServer('mysql-9.7', [
        '--gtid-mode=ON',
        '--enforce-gtid-consistency=ON',
        `--plugin-dir=${plugins}`,
        '--plugin-load-add=group_replication.so',
        '--report-host=127.0.0.1',
        `--group-replication-group-name=${name}`,
        '--group-replication-start-on-boot=OFF',
        `--group-replication-local-address=127.0.0.1:${port}`,
        `--group-replication-group-seeds=${seeds}`,
        '--group-replication-recovery-get-public-key=ON',
      ]);
      members.push(member);
      await query(member, 'RESET BINARY LOGS AND GTIDS');
      const isFirst = members.length === 1;
      await query(
        member,
        "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root', SOURCE_PASSWORD = '' FOR CHANNEL 'group_replication_recovery'",
        `SET GLOBAL group_replication_bootstrap_group = ${isFirst ? 'ON' : 'OFF'}`,
        'START GROUP_REPLICATION',
        'SET GLOBAL group_replication_bootstrap_group = OFF',
      );
      await until(async () => (await stateOf(member)) === 'ONLINE', 'it is online', 60_000);
    }
  });
  afterAll(async () => {
    for (const proxy of proxies) await proxy.stop();
    for (const member of members) await member.stop();
  });

  async function stateOf(member: ThrowawayServer): Promise<string> {
    const [row] = await query<{ state: string }>(
      member,
      `SELECT MEMBER_STATE AS state FROM performance_schema.replication_group_members
       WHERE MEMBER_ID = @@server_uuid`,
    );
    return row?.state ?? '';
  }

  /** The one that may be written to, by its place; null: none, for the moment. */
  async function primaryOf(live: readonly ThrowawayServer[]): Promise<ThrowawayServer | null> {
    for (const member of live) {
      const asked = query<{ readOnly: number }>(member, 'SELECT @@super_read_only AS readOnly');
      const [row] = await asked.catch(() => []);
      if (row !== undefined && Number(row.readOnly) === 0) return member;
    }
    return null;
  }

  /** Dropped through a proxy in front of that member, which collects it. */
  async function isCollected(member: ThrowawayServer, table: string): Promise<void> {
    const proxy = await spawnProxy(member, SETTINGS);
    proxies.push(proxy);
    await query(proxy, `CREATE TABLE app.${table} (id INT PRIMARY KEY)`, `DROP TABLE app.${table}`);
    await until(
      () => proxy.lines.some(({ event }) => event === 'removal'),
      'it is removed',
      120_000,
    );
  }

  test('is collected on its primary, and on the next when that is gone', async () => {
    const first = await primaryOf(members);
    if (first === null) throw new Error('a new group has a primary');
    await query(first, 'CREATE DATABASE app');
    await isCollected(first, 'one');
    await first.stop();
    const live = members.filter((member) => member !== first);
    await until(async () => (await primaryOf(live)) !== null, 'another is the primary', 120_000);
    const next = await primaryOf(live);
    if (next === null) throw new Error('it has a primary');
    await isCollected(next, 'two');
    const held = await query(next, "SELECT 1 FROM _undrop.ledger WHERE state <> 'removed'");
    expect(held).toEqual([]);
  });
});
