/**
 * The collector's idea of the server's clock. The question for it may take long to get there; then
 * the answer is younger than the question, and a table must not leave HOLD because of it.
 */
import {
  holdTable,
  serverTime,
  startCollecting,
  until,
  untilGone,
  whereIs,
} from '../lifecycle/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { openRelay } from '../support/relay.js';
import { generalLog, query } from '../support/servers.js';
import { type PoolTap, tapBy } from '../support/tapped-pool.js';

onServersAtOnce('on a slow way to $name', (server, on) => {
  const { beforeEach, test } = on;
  beforeEach(() => freshLedger(server));

  /** When the server was told to rename that table, by the server's own clock, in whole seconds. */
  async function movedAt(id: string): Promise<readonly string[]> {
    const rows = await query<{ at: string }>(
      server,
      "SET time_zone = '+00:00'",
      `SELECT DATE_FORMAT(event_time, '%Y%m%d%H%i%s') AS at FROM mysql.general_log
       WHERE argument LIKE '%RENAME /* undrop move ${id}%'
       AND argument NOT LIKE '%general_log%' ORDER BY event_time`,
    );
    return rows.map(({ at }) => at);
  }

  test('no table leaves HOLD before its due time by the clock of the server', async () => {
    on.each.keep(await generalLog(server));
    const held = await holdTable(server, { dueInSeconds: 6 });
    // The question for the clock arrives two seconds before the due time; it was asked four before.
    const arrival = await serverTime(server, 4);
    let heldBack = 0;
    await using relay = await openRelay(server, (chunk) => {
      if (heldBack > 0 || !chunk.includes('UTC_TIMESTAMP() AS utcNow')) return null;
      heldBack += 1;
      return until('the clock is there', async () => (await serverTime(server, 0)) >= arrival);
    });
    on.each.keep(startCollecting(relay, { lifecycle: ['HOLD'], holdMs: 3_600_000 }));
    await untilGone(server, held);
    expect(heldBack).toBe(1);
    const [due] = /\d{14}$/.exec(held.name) ?? [];
    const [first, ...more] = await movedAt(held.id);
    expect(more).toEqual([]);
    expect(Number(first)).toBeGreaterThanOrEqual(Number(due));
  });

  test('a clock that jumps while nobody leads is seen by the next leader', async () => {
    await holdTable(server, { dueInSeconds: 3_600 });
    let [aheadMs, leaderships] = [0, 0];
    const onLock: PoolTap = (send, texts) => {
      if (texts.some((text) => text.includes('GET_LOCK('))) leaderships += 1;
      if (leaderships > 1) aheadMs = -120_000;
      return send();
    };
    const settings = { graceMs: 1_000, holdMs: 3_600_000 };
    const clock = () => performance.now() + aheadMs;
    const collecting = on.each.keep(
      startCollecting(server, settings, tapBy(onLock), undefined, clock),
    );
    await collecting.looked();
    const [lock] = await query<{ id: number }>(
      server,
      "SELECT IS_USED_LOCK(CONCAT('undrop:collector:', nonce)) AS id FROM _undrop.leader",
    );
    await query(server, `KILL ${lock?.id}`);
    await until('it is said', () =>
      collecting.said.some(({ fields }) => fields['because'] === "the server's clock jumped"),
    );
    // A leader that is held up may lose the lock by itself.
    expect(leaderships).toBeGreaterThanOrEqual(2);
  });

  test('a clock that jumps while no proxy runs is seen by the next, by its own clock', async () => {
    const settings = { graceMs: 3_600_000, holdMs: 36_000_000 };
    const collecting = on.each.keep(startCollecting(server, settings));
    await collecting.looked();
    await collecting.stop();
    // As if the server's clock had gone ten minutes ahead since.
    await query(server, 'UPDATE _undrop.collector SET last_look = last_look - INTERVAL 10 MINUTE');
    const held = await holdTable(server);
    const again = on.each.keep(startCollecting(server, settings));
    await again.looked();
    expect(await whereIs(server, held.id)).toHaveLength(1);
    const said = again.said.map(({ fields }) => fields['because']);
    expect(said).toContain("the server's clock, or the proxy's, jumped since the last round");
  });
});
