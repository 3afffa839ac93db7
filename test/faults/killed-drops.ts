/**
 * kill -9 of the proxy at every statement and every answer of a drop of two tables (of other scenes
 * than the plain one at every third, KILL_EVERY, the first chosen by KILL_SEED), seen by a tap
 * on the wire between proxy and server: before and after each statement, before and after each
 * answer, on all its connections. After a restart both tables are under their own names or held
 * with a ledger row, no live table was renamed by recovery, and `restore` brings held ones back
 * with all rows.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { ensureLedger } from '../../src/ledger/tables.js';
import type { ServicePool } from '../../src/service/pools.js';
import { restore } from '../../src/undo/run-restore.js';
import { Dice, seededRandom } from '../support/dice.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, runUndrop, spawnProxy, type Variables } from '../support/proxy.js';
import { connect, freshSchema, type TestServer, testServer } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { intentsSettled } from '../support/settled.js';
import { type TapEvent, type TapMoment, type WireTap, wireTap } from '../support/wire-tap.js';
import {
  assertSound,
  countRows,
  type Locations,
  locate,
  ONE_STATEMENT,
  PLAIN,
  rowsOfB,
  type Scene,
} from './scenes.js';

/** Of scenes but the plain one every so many events; odd, so that each kind has its turn. */
const EVERY = Number(process.env['KILL_EVERY'] ?? '3');
const SEED = Number(process.env['KILL_SEED'] ?? '1');
/** More events than a drop has: reaching it means that the run never came to its end. */
const EVENTS_MAX = 400;
const SETTLED_MS = 20_000;

/** The test on one server of the set. */
export function killedDrops(name: string, scene: Scene = PLAIN): void {
  const { drop = ONE_STATEMENT } = scene;
  describe(`a proxy killed in the middle of ${scene.title} on ${name}`, () => {
    const server = testServer(name);
    let pool: ServicePool;
    let direct: Connection;

    beforeAll(async () => {
      pool = poolOn(server, 2);
      await ensureLedger(pool);
      direct = await connect(server);
    });

    afterAll(async () => {
      await direct.end();
      await pool.dispose();
    });

    test('leaves each table live or held, and restorable, wherever it is killed', async () => {
      const schema = await freshSchema(server, 'kill');
      const places: string[] = [];
      const every = scene === PLAIN ? 1 : EVERY;
      const begin = scene.fromRename ? await findRename(schema.name) : 1;
      const first = begin + new Dice(seededRandom(SEED)).below(every);
      let victim = await tappedProxy(server, scene);
      for (let at = first; ; at += every) {
        expect(at).toBeLessThan(EVENTS_MAX);
        await scene.make(direct, schema.name);
        const killedAt = await dropAndKill(victim, schema.name, at);
        const before = await locate(direct, schema.name);
        // The proxy that recovers is the next one to be killed.
        victim = await tappedProxy(server, scene);
        await intentsSettled(direct, [schema.name], SETTLED_MS);
        const after = await locate(direct, schema.name);
        try {
          assertSound(before, after, drop);
          if (killedAt === null) expect(after.held).toHaveLength(2);
          if (after.held.length === 2) await scene.check(direct, schema.name, 'held');
          await restoreAll(server, pool, schema.name, after, at);
          const { a, b } = await countRows(direct, schema.name);
          expect([a, Number(b)]).toEqual([3, rowsOfB(after, drop, Number(b))]);
          await scene.check(direct, schema.name, 'restored');
        } catch (error) {
          const where = `killed at ${at}: ${killedAt?.moment} of ${killedAt?.text}`;
          throw new Error(where, { cause: error });
        }
        if (killedAt === null) break;
        places.push(killedAt.moment);
      }
      await victim.proxy.stop();
      await victim.tap.close();
      const of = `${scene.title}, every ${every}. from ${first} on`;
      process.stdout.write(`${server.name}: killed at ${places.length} events of ${of}\n`);
      // A login, the inspection on two connections, the move, the relocation, the outcome.
      expect(places.length).toBeGreaterThan((scene.eventsMin ?? 40) / every);
      expect(new Set(places).size).toBe(scene.fromRename ? 2 : 4);
      await schema.drop();
    }, 1_200_000);

    /** How many events a drop has before its RENAME, some of which may come in another order. */
    async function findRename(schema: string): Promise<number> {
      await scene.make(direct, schema);
      const whole = await tappedProxy(server, scene);
      whole.killAt(Number.POSITIVE_INFINITY);
      await dropThrough(whole.proxy, schema, scene);
      await whole.proxy.stop();
      await whole.tap.close();
      const { held } = await locate(direct, schema);
      for (const { id } of held) await restore(pool, { target: id });
      return Math.max(1, whole.renameAt() - 2);
    }

    /** The drop; the proxy is killed at event `at` of it. Null: it came to its end. */
    async function dropAndKill(
      victim: TappedProxy,
      schema: string,
      at: number,
    ): Promise<TapEvent | null> {
      victim.killAt(at);
      try {
        await dropThrough(victim.proxy, schema, scene);
        // The outcome is written behind the answer, and is waited for when the proxy stops.
        if (victim.killedAt() === null) await victim.proxy.stop();
        await victim.proxy.ended;
        return victim.killedAt();
      } finally {
        await victim.tap.close();
        await sessionsGone(direct, schema);
      }
    }
  });
}

export interface TappedProxy {
  readonly proxy: ProxyProcess;
  readonly tap: WireTap;
  /** SIGKILL at the `count`th event from now on; from there on the tap passes nothing on. */
  killAt(count: number): void;
  killedAt(): TapEvent | null;
  /** The event, counted like those of `killAt`, at which the RENAME was first seen; 0: never. */
  renameAt(): number;
}

/** A proxy behind a tap, ready, and with its ledger: what is counted from here on is the drop. */
export async function tappedProxy(
  upstream: TestServer,
  { fromRename }: Pick<Scene, 'fromRename'>,
  variables: Variables = {},
): Promise<TappedProxy> {
  const moments: readonly TapMoment[] | null = fromRename
    ? ['before statement', 'before answer']
    : null;
  let deadline = Number.POSITIVE_INFINITY;
  let killed: TapEvent | null = null;
  let proxy: ProxyProcess | null = null;
  let [count, renamed] = [0, 0];
  const tap = await wireTap(upstream, (event) => {
    if (moments !== null && !moments.includes(event.moment)) return killed === null;
    count++;
    if (renamed === 0 && event.text.includes('undrop hold')) renamed = count;
    if (count < deadline) return true;
    killed = event;
    proxy?.kill('SIGKILL');
    return false;
  });
  const running = await spawnProxy(tap, variables);
  proxy = running;
  const isReady = () => running.lines.some((line) => line['event'] === 'ledger');
  await until(isReady, 'the ledger is ready', SETTLED_MS);
  return {
    proxy,
    tap,
    killAt: (nth) => {
      [count, renamed] = [0, 0];
      deadline = nth;
    },
    renameAt: () => renamed,
    killedAt: () => killed,
  };
}

/** The client sees an answer or the end of its connection; both are fine where a kill is meant. */
async function dropThrough(proxy: ProxyProcess, schema: string, scene: Scene): Promise<void> {
  try {
    const client = await connect(proxy, { database: schema, multipleStatements: true });
    client.on('error', () => undefined);
    try {
      const { text: last } = scene.drop ?? ONE_STATEMENT;
      for (const text of [...scene.before, last]) await client.query(text);
    } finally {
      client.destroy();
    }
  } catch (error) {
    const { code, errno } = error as { readonly code?: string; readonly errno?: number };
    const isEnd = code === 'PROTOCOL_CONNECTION_LOST' || code === 'ECONNRESET';
    if (!isEnd)
      throw new Error(`expected the connection to end, found ${code} ${errno}`, { cause: error });
  }
}

/** By the command line now and then, as it costs a process; by the same function otherwise. */
async function restoreAll(
  server: TestServer,
  pool: ServicePool,
  schema: string,
  { held }: Locations,
  at: number,
): Promise<void> {
  for (const { id, table } of held) {
    if (at % 10 === 0) {
      const { code, stderr } = await runUndrop(server, ['restore', `${schema}.${table}`]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    } else {
      await restore(pool, { target: id });
    }
  }
}

/** What the killed proxy had sent may still run; the server has to be done with its sessions. */
export async function sessionsGone(connection: Connection, schema: string): Promise<void> {
  await until(
    async () => {
      const [rows] = await connection.query<RowDataPacket[]>(
        `SELECT ID FROM information_schema.PROCESSLIST
       WHERE ID <> CONNECTION_ID() AND (DB = ? OR INFO LIKE '%/* undrop %')`,
        [schema],
      );
      return rows.length === 0;
    },
    'the sessions of the killed proxy are gone',
    SETTLED_MS,
  );
}
