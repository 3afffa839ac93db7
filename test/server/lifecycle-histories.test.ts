/**
 * Random histories of the lifecycle on real servers: tables in any state and due at any time, among
 * tables that only look like them; collectors with any settings, two at a time, that break off
 * amid a step; somebody who brings tables back. Each table ends once, in legal order, never before
 * its time; what comes back is whole; what isn't ours is never touched.
 */
import { jest } from '@jest/globals';
import * as rig from '../collector/collecting.js';
import { Dice, seededRandom } from '../support/dice.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { inHooks } from '../support/on-servers.js';
import { rounds, seedFor } from '../support/sample.js';
import { query, testServers } from '../support/servers.js';
import { tapBy } from '../support/tapped-pool.js';

const LONGEST_MS = 3_600_000;
jest.setTimeout(LONGEST_MS);

const HISTORIES = rounds(25, 3);
const STATES = ['HOLD', 'PURGE', 'EVAC', 'DROP'] as const;
const ROWS_MAX = 60;
const LIVES_MAX = 3;

/** A RENAME or DROP of a held table that the server has done. */
interface Step {
  readonly from: string;
  /** Null: it was removed. */
  readonly to: string | null;
  /** The server's time after it. */
  readonly at: Date;
  /** Whether its collector holds tables. */
  readonly holds: boolean;
}

inLanes(
  testServers(),
  'histories on $name',
  (server, lane) => {
    const { afterEach, beforeEach, each } = inHooks(lane);
    const { test } = lane;

    beforeEach(async () => {
      await freshLedger(server);
      await query(server, 'DROP DATABASE IF EXISTS histories', 'CREATE DATABASE histories');
    });
    afterEach(async () => {
      await query(server, 'DROP DATABASE histories');
      await freshLedger(server);
    });

    test.each([...Array(HISTORIES).keys()])('history %i', async (index) => {
      const dice = new Dice(seededRandom(seedFor(`${server.name} ${index}`)));
      const rowsOf = new Map<string, number>();
      const tables: rig.Held[] = [];
      for (let count = 2 + dice.below(4); count > 0; count--) {
        const rows = dice.below(ROWS_MAX);
        const dueInSeconds = dice.below(8) - 5;
        const held = await rig.holdTable(server, { state: dice.of(STATES), dueInSeconds, rows });
        tables.push(held);
        rowsOf.set(held.id, rows);
      }
      const hex = Array.from({ length: 32 }, () => dice.below(16).toString(16));
      const decoys = rig.nearMisses(hex.join(''));
      for (const name of decoys) {
        await query(
          server,
          `CREATE TABLE _undrop.\`${name}\` (id INT)`,
          `INSERT INTO _undrop.\`${name}\` VALUES (1), (2)`,
        );
      }
      const steps: Step[] = [];
      const running: rig.Collecting[] = [];
      let breaksAt = -1;
      const tap = (holds: boolean) =>
        tapBy(async (send, texts) => {
          const done = texts.flatMap(stepsOf);
          if (done.length === 0) return send();
          if (breaksAt-- === 0) throw new Error('broken off before a step');
          const answer = await send();
          const at = await rig.serverTime(server, 0);
          steps.push(...done.map((step) => ({ ...step, at, holds })));
          if (breaksAt-- === 0) throw new Error('broken off behind a step');
          return answer;
        });
      const start = (settings: rig.CollectSettings) => {
        const holds = settings.lifecycle?.includes('HOLD') ?? true;
        running.push(each.keep(rig.startCollecting(server, settings, tap(holds))));
      };
      for (let lives = dice.below(LIVES_MAX + 1); lives > 0; lives--) {
        breaksAt = dice.below(6);
        const lifecycle = STATES.filter((state) => state === 'HOLD' || dice.chance(0.6));
        const fastDrop = dice.of(['auto', 'always', 'never'] as const);
        const settings = { lifecycle, fastDrop, evacMs: dice.below(3_000) };
        for (let count = 1 + dice.below(2); count > 0; count--) {
          start({ ...settings, purgeChunkRows: 1 + dice.below(30) });
        }
        const enough = steps.length + dice.below(4);
        if (dice.chance(0.5)) await restoreOne(tables, dice, steps);
        await rig.until(
          'some steps are done, or all',
          async () => steps.length >= enough || (await left(tables)) === 0,
        );
        for (const one of running.splice(0)) await one.stop();
      }
      breaksAt = -1;
      start({ evacMs: 0, fastDrop: dice.of(['auto', 'never'] as const) });
      await rig.until('none is held any more', async () => (await left(tables)) === 0);
      for (const held of tables) {
        assertLegal(
          held,
          steps.filter(({ from }) => partsOf(from).id === held.id),
        );
        const restored = await isRestored(held);
        if (restored) {
          expect(await rig.countRows(server, `histories.t_${held.id}`)).toBe(rowsOf.get(held.id));
        }
      }
      for (const name of decoys) expect(await rig.countRows(server, `_undrop.\`${name}\``)).toBe(2);
    });

    async function left(tables: readonly rig.Held[]): Promise<number> {
      const found = await Promise.all(tables.map(({ id }) => rig.whereIs(server, id)));
      return found.flat().length;
    }

    async function isRestored({ id }: rig.Held): Promise<boolean> {
      const rows = await query(
        server,
        `SELECT 1 FROM information_schema.TABLES
         WHERE TABLE_SCHEMA = 'histories' AND TABLE_NAME = 't_${id}'`,
      );
      return rows.length > 0;
    }

    /** As a DBA would by hand: one of those that are in HOLD, if it is still there. */
    async function restoreOne(tables: readonly rig.Held[], dice: Dice, steps: Step[]) {
      const { id, name, quoted } = dice.of(tables);
      if (partsOf(name).state !== 'HOLD') return;
      try {
        await query(server, `RENAME TABLE ${quoted} TO histories.t_${id}`);
      } catch (error) {
        // A collector was faster, or it is back already.
        expect([1017, 1050, 1146]).toContain((error as { readonly errno?: number }).errno);
        return;
      }
      expect(steps.filter(({ from }) => partsOf(from).id === id)).toEqual([]);
    }
  },
  LONGEST_MS,
);

function partsOf(name: string) {
  const [, state = '', id = '', due = ''] = /^_vt_([A-Z]+)_(\w{32})_(\d{14})$/.exec(name) ?? [];
  return { state, id, due, place: (STATES as readonly string[]).indexOf(state) };
}

/** What a text of the collector does to held tables. */
function stepsOf(text: string): readonly Pick<Step, 'from' | 'to'>[] {
  if (!/^(RENAME|DROP) /.test(text)) return [];
  const named = [...text.matchAll(/`(_vt_[^`]+)`(?: TO [^,]*`(_vt_[^`]+)`)?/g)];
  return named.map(([, from = '', to = null]) => ({ from, to }));
}

function assertLegal(held: rig.Held, steps: readonly Step[]): void {
  let name = held.name;
  for (const { from, to, at, holds } of steps) {
    // By the time that another collector did it, it is gone: a RENAME of nothing is no step.
    expect([held.name, from]).toEqual([held.name, name]);
    const before = partsOf(from);
    if (before.state === 'HOLD' && holds) {
      const digits = at.toISOString().replaceAll(/\D/g, '').slice(0, 14);
      expect(Number(digits)).toBeGreaterThanOrEqual(Number(before.due));
    }
    if (to === null) {
      expect(before.state).toBe('DROP');
      // A DROP may run twice.
      continue;
    }
    expect(partsOf(to).place).toBeGreaterThan(before.place);
    expect(partsOf(to).id).toBe(held.id);
    name = to;
  }
}
