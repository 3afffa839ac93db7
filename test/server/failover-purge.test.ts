/**
 * A failover of a real pair amid a purge, and back amid the next one. The DELETEs are not in the
 * binary log, so one server has rows that the other has no more: a logged DELETE of those would end
 * replication. It never stops, and the table goes on both, once.
 */
import { jest } from '@jest/globals';
import type { Collecting, CollectSettings, Held } from '../collector/collecting.js';
import * as collectors from '../collector/collecting.js';
import { PurgeChunks } from '../collector/purge-chunks.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { inHooks } from '../support/on-servers.js';
import { PAIRS, type ReplicaPair, startPair } from '../support/replica-pair.js';
import { sample } from '../support/sample.js';
import { differences, isLocal, stateOf } from '../support/server-state.js';
import { query, type Target } from '../support/servers.js';

/** A busy machine is slow, not wrong. */
const LONGEST_MS = 600_000;
const WITHIN_MS = 120_000;

jest.setTimeout(LONGEST_MS);

/** So many rows, in chunks of one, are enough to be turned around amid them. */
const ROWS = 800;
const WHOLE: CollectSettings = { fastDrop: 'never', collect: 'auto' };
const ROW_BY_ROW: CollectSettings = { ...WHOLE, purgeChunkRows: 1, purgeChunkMs: 0 };
/** A purge is under way when so many chunks are done. */
const SEEN = 20;
const AT_END = 'reached the end of a held table';

inLanes(
  sample<(typeof PAIRS)[number]>(PAIRS, { name: 'pairs', count: 1 }),
  'a failover amid a purge, $title',
  ({ name }, lane) => {
    const { beforeAll, beforeEach, each, open } = inHooks(lane);
    const { test } = lane;
    const pair = open(() => startPair({ name, gtid: true }));
    const running: Collecting[] = [];

    beforeAll(() =>
      query(
        pair.source,
        'CREATE DATABASE d',
        'CREATE TABLE d.live (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(40))',
      ),
    );
    beforeEach(() => freshLedger(pair.source));

    const start = (settings: CollectSettings, chunks = new PurgeChunks()) => {
      const collecting = each.keep(collectors.startCollecting(pair.source, settings, chunks.tap));
      running.push(collecting);
      return collecting;
    };
    /** A client's row gets from the source to the replica, which has no error. */
    const expectFollows = async (note: string) => {
      await query(pair.source, `INSERT INTO d.live (note) VALUES ('${note}')`);
      await pair.caughtUp();
      await collectors.until('both threads run', async () => {
        const status = await replicaStatus(pair.replica);
        expect(status.errors).toEqual(['0']);
        return status.running.join() === 'Yes,Yes';
      });
      expect(await liveRows(pair.replica)).toEqual(await liveRows(pair.source));
    };

    /** Which of both is which changes amid it: the first source is `here`, the other `there`. */
    const turnToAndFro = async (held: Held) => {
      const here = new PurgeChunks();
      const first = start(ROW_BY_ROW, here);
      await collectors.until('rows are purged', () => here.count > SEEN, WITHIN_MS);
      // One chunk comes late: its server is a replica by then.
      const release = await here.hold();
      await pair.failOver(() => undefined);
      const left = await rowsOfBoth(pair, held);
      release();
      await rests(first);
      await expectFollows('there');
      expect(left.replica).toBeLessThan(ROWS - SEEN);
      expect(left.source).toBe(ROWS);
      expect(await rowsOfBoth(pair, held)).toEqual(left);

      const there = new PurgeChunks();
      const next = start(ROW_BY_ROW, there);
      await collectors.until('rows are purged there', () => there.count > SEEN, WITHIN_MS);
      const before = here.count;
      // These chunks go on until the server refuses one.
      await pair.failOver(() => undefined);
      await rests(next);
      await expectFollows('here again');
      expect(next.said.map(({ message }) => message)).not.toContain(AT_END);
      // The first was never stopped, and its server is the source again.
      await collectors.until('it goes on here', () => here.count > before, WITHIN_MS);
      // Not row by row to the end: that takes long on a busy machine.
      await first.stop();
      start(WHOLE);
      await collectors.until('it is gone', () => collectors.isGone(pair.source, held), WITHIN_MS);
      await expectFollows('it is gone');
    };

    test('begins with read_only, which binds a chunk at once', async () => {
      const held = await collectors.holdTable(pair.source, { rows: ROWS });
      const chunks = new PurgeChunks();
      const collecting = start(ROW_BY_ROW, chunks);
      await collectors.until('rows are purged', () => chunks.count > SEEN, WITHIN_MS);
      const release = await chunks.hold();
      // On MySQL that is without super_read_only, and the account may write all the same.
      await query(pair.source, 'SET GLOBAL read_only = ON');
      try {
        const [place = ''] = await collectors.whereIs(pair.source, held.id);
        const left = await collectors.countRows(pair.source, place);
        release();
        await rests(collecting);
        expect(await collectors.countRows(pair.source, place)).toBe(left);
      } finally {
        await query(pair.source, 'SET GLOBAL read_only = OFF');
      }
    });

    test('and back', async () => {
      // Due: the first collector moves it to PURGE.
      const held = await collectors.holdTable(pair.source, { rows: ROWS });
      await pair.caughtUp();
      const before = await liveRows(pair.source);
      await turnToAndFro(held);
      for (const server of [pair.source, pair.replica]) {
        expect(await collectors.isGone(server, held)).toBe(true);
        expect(await removals(server, held)).toBe(1);
        expect(await liveRows(server)).toEqual([...before, 'there', 'here again', 'it is gone']);
      }
      // A collector writes down its looks.
      for (const one of running) await one.stop();
      await pair.caughtUp();
      const [here, there] = [await stateOf(pair.source), await stateOf(pair.replica)];
      expect(differences(here, there, isLocal)).toEqual([]);
    });
  },
  LONGEST_MS,
);

/** The collector of a server that is a replica by now has seen that. */
function rests({ said, collector }: Collecting): Promise<void> {
  const doesRest = () => {
    collector.wake();
    return said.some(({ message }) =>
      /read-only: the collector waits|^this server replicates/.test(message),
    );
  };
  return collectors.until('the old one rests', doesRest, WITHIN_MS);
}

async function rowsOfBoth({ source, replica }: ReplicaPair, { id }: Held) {
  const rowsOn = async (server: Target) => {
    const [place = 'nowhere'] = await collectors.whereIs(server, id);
    return collectors.countRows(server, place);
  };
  return { source: await rowsOn(source), replica: await rowsOn(replica) };
}

async function liveRows(server: Target): Promise<readonly string[]> {
  const rows = await query<{ note: string }>(server, 'SELECT note FROM d.live ORDER BY id');
  return rows.map(({ note }) => note);
}

/** By the ledger's history, which is replicated. */
async function removals(server: Target, { id }: Held): Promise<number> {
  const [row] = await query<{ readonly n: number }>(
    server,
    `SELECT COUNT(*) AS n FROM _undrop.history WHERE event = 'removal' AND id = '${id}'`,
  );
  return Number(row?.n);
}

async function replicaStatus(replica: Target) {
  const [status = {}] = await query(replica, 'SHOW REPLICA STATUS');
  const of = (column: RegExp) =>
    Object.entries(status).flatMap(([name, value]) => (column.test(name) ? [String(value)] : []));
  return { running: of(/_(IO|SQL)_Running$/), errors: of(/^Last_SQL_Errno$/) };
}
