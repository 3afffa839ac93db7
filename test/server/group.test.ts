/**
 * A group of three members (MySQL's group replication) with one primary: that has threads that
 * apply what others did, and is no replica; what is dropped on it is collected there, and on the
 * next primary after it.
 */
import { jest } from '@jest/globals';
import { type GroupMember, startGroup } from '../support/group.js';
import { inHooks } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { spawnProxy } from '../support/proxy.js';
import { query } from '../support/servers.js';

jest.setTimeout(600_000);

const SETTINGS = {
  ...{ HOLD: '1s', MIN_HOLD: '0s', GRACE: '0s', CHECK_INTERVAL: '1s', COLLECT: 'auto' },
};

describe('a group', () => {
  const { keep, open } = inHooks();
  const group = open(() => startGroup({ isMultiPrimary: false }));

  /** The one that may be written to; null: none, for the moment. */
  async function primaryOf(live: readonly GroupMember[]): Promise<GroupMember | null> {
    for (const member of live) {
      const asked = query<{ readOnly: number }>(member, 'SELECT @@super_read_only AS readOnly');
      const [row] = await asked.catch(() => []);
      if (row !== undefined && Number(row.readOnly) === 0) return member;
    }
    return null;
  }

  /** Dropped through a proxy in front of that member, which collects it. */
  async function isCollected(member: GroupMember, table: string): Promise<void> {
    const proxy = keep(await spawnProxy(member, SETTINGS));
    await query(proxy, `CREATE TABLE app.${table} (id INT PRIMARY KEY)`, `DROP TABLE app.${table}`);
    const isRemoved = () => proxy.lines.some(({ event }) => event === 'removal');
    await until(isRemoved, 'it is removed', 120_000);
  }

  test('is collected on its primary, and on the next when that is gone', async () => {
    const first = await primaryOf(group.members);
    if (first === null) throw new Error('a new group has a primary');
    await query(first, 'CREATE DATABASE app');
    await isCollected(first, 'one');
    await first.kill();
    const live = group.members.filter((member) => member !== first);
    await until(async () => (await primaryOf(live)) !== null, 'another is the primary', 120_000);
    const next = await primaryOf(live);
    if (next === null) throw new Error('it has a primary');
    await isCollected(next, 'two');
    const held = await query(next, "SELECT 1 FROM _undrop.ledger WHERE state <> 'removed'");
    expect(held).toEqual([]);
  });
});
