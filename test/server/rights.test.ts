/**
 * A drop needs the right that DROP needs, no more and no less: every combination of rights and of
 * where they are granted, directly and through the proxy. The answer and the diagnostics are the
 * same, and what was dropped directly is held.
 */
import { expect } from '@jest/globals';
import { connectRoot, type NativeCase, runCase, seenIn } from '../support/native-case.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { query } from '../support/servers.js';
import { Survival } from '../support/survival.js';

const RIGHTS = {
  'DROP alone': 'DROP',
  'DROP and ALTER': 'DROP, ALTER',
  everything: 'ALL',
  'no right': 'USAGE',
  'SELECT alone': 'SELECT',
} as const;
const SCOPES = { table: 'd1.a', schema: 'd1.*', server: '*.*' } as const;

const cases = Object.entries(RIGHTS).flatMap(([right, grant]) =>
  Object.entries(SCOPES).map(([scope, on]): NativeCase & { readonly mayDrop: boolean } => ({
    name: `${right} on the ${scope}`,
    setup: ['@ab'],
    grants: [`${grant} ON ${grant === 'USAGE' ? '*.*' : on}`],
    schema: null,
    sql: 'DROP TABLE d1.a',
    mayDrop: /DROP|ALL/.test(grant),
  })),
);

onServers('rights to drop on $name', (server, on) => {
  const { test } = on;
  const proxy = on.proxy();
  const root = on.open(() => connectRoot(server));
  const survival = new Survival(root, ['d1', 'd2']);

  test.each(cases)('a user with $name', async (one) => {
    const direct = await runCase(one, { target: server, root, survival: null });
    const proxied = await runCase(one, { target: proxy, root, survival });
    expect(proxied.lost).toEqual([]);
    expect(seenIn(proxied)).toEqual(seenIn(direct));
    expect(direct.errno).toBe(one.mayDrop ? null : 1142);
    expect(proxied.tables.some((name) => name.startsWith('d1.a '))).toBe(!one.mayDrop);
  });

  test('what is dropped for a user is in the ledger as the user’s', async () => {
    const one = cases.find(({ name }) => name === 'DROP alone on the schema');
    if (one === undefined) throw new Error('no such case');
    await runCase(one, { target: proxy, root, survival });
    // The outcome is written behind the answer.
    await until(async () => {
      const [row] = await query<{ readonly user_name: string; readonly state: string }>(
        server,
        `SELECT user_name, state FROM _undrop.ledger WHERE schema_name = 'd1'
         ORDER BY id DESC LIMIT 1`,
      );
      return row?.user_name === 'u1' && row.state === 'HOLD';
    }, 'it is held as the drop of that user');
  });
});
