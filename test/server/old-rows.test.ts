/** What the collector removes from the ledger in the end, and what keeps it from that. */
import { holdTable, startCollecting, until } from '../collector/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { ledgerInsert } from '../support/ledger-rows.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { query } from '../support/servers.js';

onServersAtOnce('old rows of the ledger on $name', (server, on) => {
  const { beforeEach, each, test } = on;
  beforeEach(() => freshLedger(server));

  /** One that began, and ended, in 2020. */
  const row = (
    id: string,
    { kind, state, group = id }: { kind: string; state: string; group?: string },
  ) => {
    const own = { id: `'${id}'`, group_id: `'${group}'`, kind: `'${kind}'`, state: `'${state}'` };
    const times = { dropped_at: "'2020-01-01'", hold_until: "'2020-01-02'" };
    return query(server, ledgerInsert({ ...own, ...times, ended_at: "'2020-01-02'" }));
  };

  async function states(): Promise<Readonly<Record<string, string>>> {
    const rows = await query<{ readonly id: string; readonly state: string }>(
      server,
      'SELECT id, state FROM _undrop.ledger ORDER BY id',
    );
    return Object.fromEntries(rows.map(({ id, state }) => [id, state]));
  }

  test('ended rows outlast UNDROP_GRACE', async () => {
    await row('0b', { kind: 'base', state: 'removed' });
    // Without a held table there is nothing to wait for.
    await holdTable(server, { dueInSeconds: 3_600 });
    const collecting = each.keep(
      startCollecting(server, { graceMs: 3_600_000, holdMs: 3_600_000 }),
    );
    await collecting.looked();
    const waits = collecting.said.filter(({ fields }) => fields['event'] === 'grace');
    expect(waits.map(({ fields }) => fields['heldCount'])).toEqual([1]);
    expect(await states()).toEqual({ '0b': 'removed' });
    await collecting.stop();
    const _again = each.keep(startCollecting(server, { graceMs: 0 }));
    await until('it is given up', async () => !('0b' in (await states())));
  });

  test('the row of a dropped schema outlasts its tables', async () => {
    await row('0a', { kind: 'schema', state: 'removed', group: '0a' });
    await row('0b', { kind: 'base', state: 'HOLD', group: '0a' });
    await row('0c', { kind: 'schema', state: 'removed', group: '0c' });
    await row('0d', { kind: 'base', state: 'restored', group: '0c' });
    const collecting = each.keep(startCollecting(server));
    await until('others are given up', async () => !('0c' in (await states())));
    await collecting.looked();
    expect(await states()).toEqual({ '0a': 'removed', '0b': 'HOLD' });
    await query(server, "UPDATE _undrop.ledger SET state = 'removed' WHERE id = '0b'");
    await until('all are given up', async () => Object.keys(await states()).length === 0);
    expect(await states()).toEqual({});
  });
});
