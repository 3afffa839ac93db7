/**
 * kill -9 of the proxy at every statement and every answer of a drop of two tables, seen by a tap
 * on the wire between proxy and server: before and after each statement, before and after each
 * answer, on all its connections. After a restart both tables are under their own names or held
 * with a ledger row, no live table was renamed by recovery, and `restore` brings held ones back
 * with all rows.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { ensureLedger } from '../../src/ledger/tables.js';
import { silentLog } from '../../src/log.js';
import { openServicePool, type ServicePool } from '../../src/service/pools.js';
import { restore } from '../../src/undo/run-restore.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, runUndrop, spawnProxy } from '../support/proxy.js';
import { connect, freshSchema, type TestServer, testServer } from '../support/servers.js';
import { type TapEvent, type TapMoment, type WireTap, wireTap } from '../support/wire-tap.js';

/** More events than a drop has: reaching it means that the run never came to its end. */
const EVENTS_MAX = 400;
const SETTLED_MS = 20_000;
const DROPPER = 'dropper';
const TABLES = [
  { table: 'a', rows: 3 },
  { table: 'b', rows: 2 },
] as const;

/** What is dropped: tables a and b, with 3 and 2 rows, and whatever hangs on them. */
export interface Scene {
  readonly title: string;
  make(connection: Connection, schema: string): Promise<void>;
  /** In the client's session, before the drop. */
  readonly before: readonly string[];
  /**
   * It is killed from the RENAME on only, as what comes before is the same as in another scene; and
   * before each statement and each answer, as the server knows no other states.
   */
  readonly fromRename: boolean;
  /** More than so many; default 40. */
  readonly eventsMin?: number;
  /** How it is dropped; by default by one statement. */
  readonly drop?: KilledDrop;
  /** By a user who has these on the schema; by default by root. */
  readonly grants?: string;
  /** Rejects where recovery, or a restore of all, left something otherwise than it was. */
  check(connection: Connection, schema: string, when: 'held' | 'restored'): Promise<void>;
}

const PLAIN: Scene = {
  title: 'a drop',
  make: makeTables,
  before: [],
  fromRename: false,
  check: async () => undefined,
};

/** By a user who may not rename: the service does it in the user's stead. */
export const IN_STEAD: Scene = {
  ...PLAIN,
  title: 'a drop by a user with DROP alone',
  grants: 'DROP',
};

export interface KilledDrop {
  /** In one text; drops a and b. */
  readonly text: string;
  /** Both are dropped, or none. */
  readonly isAtomic: boolean;
  /** That it adds to b, between. */
  readonly rowsOfB: number;
}

const ONE_STATEMENT: KilledDrop = { text: 'DROP TABLE a, b', isAtomic: true, rowsOfB: 0 };

/** Two drops in a text, and something between them. */
export const TWO_STATEMENTS: Scene = {
  ...PLAIN,
  title: 'a text of several statements',
  drop: {
    text: 'SELECT 1; DROP TABLE a; INSERT INTO b VALUES (99); DROP TABLE b',
    isAtomic: false,
    rowsOfB: 1,
  },
};

/** By a session that has both locked; where RENAME is refused then they go one by one. */
export function underLocks({ isAtomic }: { readonly isAtomic: boolean }): Scene {
  return {
    ...PLAIN,
    title: 'a drop under LOCK TABLES',
    before: ['LOCK TABLES a WRITE, b WRITE'],
    fromRename: true,
    eventsMin: 15,
    drop: { ...ONE_STATEMENT, isAtomic },
  };
}

/** The test on one server of the set. */
export function killedDrops(name: string, scene: Scene = PLAIN): void {
  const { drop = ONE_STATEMENT } = scene;
  describe(`a proxy killed in the middle of ${scene.title} on ${name}`, () => {
    const server = testServer(name);
    let pool: ServicePool;
    let direct: Connection;

    beforeAll(async () => {
      pool = openServicePool({
        address: { host: server.host, port: server.port },
        user: server.user,
        password: server.password,
        connectionsMax: 2,
        log: silentLog,
      });
      await ensureLedger(pool);
      direct = await connect(server);
      if (scene.grants !== undefined) await direct.query(`CREATE USER ${DROPPER}@'%'`);
    });

    afterAll(async () => {
      if (scene.grants !== undefined) await direct.query(`DROP USER ${DROPPER}@'%'`);
      await direct.end();
      await pool.dispose();
    });

    test('leaves each table live or held, and restorable, wherever it is killed', async () => {
      const schema = await freshSchema(server, 'kill');
      await grant(schema.name);
      const places: string[] = [];
      const first = scene.fromRename ? await findRename(schema.name) : 1;
      let victim = await tappedProxy(server, scene);
      for (let at = first; ; at++) {
        expect(at).toBeLessThan(EVENTS_MAX);
        await scene.make(direct, schema.name);
        const killedAt = await dropAndKill(victim, schema.name, at);
        const before = await locate(direct, schema.name);
        // The proxy that recovers is the next one to be killed.
        victim = await tappedProxy(server, scene);
        await intentsSettled(direct, schema.name);
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
      process.stdout.write(`${server.name}: killed at each of ${places.length} events of a drop\n`);
      // A login, the inspection on two connections, the move, the relocation, the outcome.
      expect(places.length).toBeGreaterThan(scene.eventsMin ?? 40);
      expect(new Set(places).size).toBe(scene.fromRename ? 2 : 4);
      await schema.drop();
    }, 1_200_000);

    async function grant(schema: string): Promise<void> {
      if (scene.grants === undefined) return;
      await direct.query(`GRANT ${scene.grants} ON ${schema}.* TO ${DROPPER}@'%'`);
    }

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

interface TappedProxy {
  readonly proxy: ProxyProcess;
  readonly tap: WireTap;
  /** SIGKILL at the `count`th event from now on; from there on the tap passes nothing on. */
  killAt(count: number): void;
  killedAt(): TapEvent | null;
  /** The event, counted like those of `killAt`, at which the RENAME was first seen; 0: never. */
  renameAt(): number;
}

/** A proxy behind a tap, ready, and with its ledger: what is counted from here on is the drop. */
async function tappedProxy(upstream: TestServer, { fromRename }: Scene): Promise<TappedProxy> {
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
  const running = await spawnProxy(tap);
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

async function intentsSettled(connection: Connection, schema: string): Promise<void> {
  await until(
    async () => {
      const [rows] = await connection.query<RowDataPacket[]>(
        "SELECT id FROM _undrop.ledger WHERE schema_name = ? AND state = 'intent'",
        [schema],
      );
      return rows.length === 0;
    },
    'intents are settled',
    SETTLED_MS,
  );
}

async function makeTables(connection: Connection, schema: string): Promise<void> {
  for (const { table, rows } of TABLES) {
    await connection.query(`DROP TABLE IF EXISTS ${schema}.${table}`);
    await connection.query(`CREATE TABLE ${schema}.${table} (id INT PRIMARY KEY)`);
    const values = Array.from({ length: rows }, (_, index) => `(${index})`);
    await connection.query(`INSERT INTO ${schema}.${table} VALUES ${values.join(',')}`);
  }
}

/** The client sees an answer or the end of its connection; both are fine where a kill is meant. */
async function dropThrough(proxy: ProxyProcess, schema: string, scene: Scene): Promise<void> {
  try {
    const user = scene.grants === undefined ? {} : { user: DROPPER, password: '' };
    const client = await connect(proxy, { database: schema, multipleStatements: true, ...user });
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

interface Locations {
  readonly live: readonly string[];
  readonly held: readonly {
    readonly id: string;
    readonly table: string;
    readonly schema: string;
  }[];
}

/** Every table of the test: under its own name, or under a hold name with its id. */
async function locate(connection: Connection, schema: string): Promise<Locations> {
  const [tables] = await connection.query<RowDataPacket[]>(
    `SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t FROM information_schema.TABLES
     WHERE TABLE_SCHEMA IN (?, '_undrop') AND TABLE_TYPE = 'BASE TABLE'`,
    [schema],
  );
  const [rows] = await connection.query<RowDataPacket[]>(
    `SELECT id, table_name AS t FROM _undrop.ledger
     WHERE schema_name = ? AND state IN ('intent', 'HOLD')`,
    [schema],
  );
  const ids = new Map(rows.map((row) => [String(row['id']), String(row['t'])]));
  const held = tables.flatMap((row) => {
    const id = /^_vt_HOLD_([0-9a-f]{32})_/.exec(String(row['t']))?.[1];
    const table = id === undefined ? undefined : ids.get(id);
    return id === undefined || table === undefined ? [] : [{ id, table, schema: String(row['s']) }];
  });
  const live = tables
    .filter((row) => row['s'] === schema)
    .map((row) => String(row['t']))
    .filter((table) => TABLES.some((known) => known.table === table));
  return { live, held };
}

/** What b has to have: all before it was dropped was done; before a was, nothing. */
function rowsOfB({ live }: Locations, drop: KilledDrop, found: number): number {
  if (live.includes('a')) return 2;
  return live.includes('b') ? Math.min(Math.max(found, 2), 2 + drop.rowsOfB) : 2 + drop.rowsOfB;
}

function assertSound(before: Locations, after: Locations, { isAtomic }: KilledDrop): void {
  const places = [...after.live, ...after.held.map(({ table }) => table)].sort();
  expect(places).toEqual(['a', 'b']);
  // Recovery never renames a live table away, and never brings one back by itself.
  expect([...after.live].sort()).toEqual([...before.live].sort());
  // One RENAME is atomic: both, or none. Of two statements the first comes first.
  expect(isAtomic ? [[], ['a', 'b']] : [[], ['b'], ['a', 'b']]).toContainEqual(
    [...after.live].sort(),
  );
  for (const { schema } of after.held) expect(schema).toBe('_undrop');
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

async function countRows(
  connection: Connection,
  schema: string,
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (const { table } of TABLES) {
    const [rows] = await connection.query<RowDataPacket[]>(
      `SELECT COUNT(*) AS n FROM ${schema}.${table}`,
    );
    counts[table] = Number(rows[0]?.['n']);
  }
  return counts;
}

/** What the killed proxy had sent may still run; the server has to be done with its sessions. */
async function sessionsGone(connection: Connection, schema: string): Promise<void> {
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
