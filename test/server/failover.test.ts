/**
 * Failovers of a real pair, to and fro, under clients that drop all the time: no committed row is
 * lost, and the running proxy goes on collecting on the new primary. By one address that moves, and
 * by a list; FAILOVERS says how many.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { inLanes } from '../support/lanes.js';
import { inHooks } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront, spawnProxy, type Variables } from '../support/proxy.js';
import { openRelay, type Relay } from '../support/relay.js';
import { startPair } from '../support/replica-pair.js';
import { sample } from '../support/sample.js';
import { connect, query, type Session, type Target } from '../support/servers.js';

const FAILOVERS = Number(process.env['FAILOVERS'] ?? '2');
const CLIENTS = 3;
/** Between two drops of a client: held tables are to be many, not all that there is. */
const PACE_MS = 100;
const ROWS = 3;
const LONGEST_MS = 600_000 + FAILOVERS * 120_000;
/** What is said to be found within a minute; a busy machine may take longer. */
const COLLECTED_WITHIN_MS = 120_000;
const APP = { user: 'app', password: 'app' };
const VARIABLES: Variables = {
  COLLECT: 'auto',
  GRACE: '0s',
  CHECK_INTERVAL: '1h',
  RULES: 'quick.*: now',
  MIN_HOLD: '0s',
};

jest.setTimeout(LONGEST_MS);

/** What a client did, by the answers that it got. */
type Made = { readonly table: string; hasRows: boolean; isDropped: boolean };

const PAIRS = [
  { title: 'MySQL 9.7, one address, two workers', name: 'mysql-9.7', by: 'address' },
  { title: 'MariaDB 11.8, a list', name: 'mariadb-11.8', by: 'list' },
] as const;

inLanes(
  sample(PAIRS, { name: 'pairs', count: 1 }),
  '$title',
  ({ title, name, by }, lane) => {
    const { afterAll, beforeAll, open } = inHooks(lane);
    const { test } = lane;
    const pair = open(() => startPair({ name, gtid: true }));
    let addresses: readonly Relay[];
    beforeAll(async () => {
      const { source, replica } = pair;
      const targets = by === 'address' ? [source] : [source, null];
      addresses = await Promise.all(targets.map((one) => openRelay(one)));
      await query(
        source,
        'CREATE DATABASE d',
        'CREATE DATABASE quick',
        `CREATE USER ${APP.user}@'%' IDENTIFIED BY '${APP.password}'`,
        `GRANT ALL ON d.* TO ${APP.user}@'%'`,
        `GRANT ALL ON quick.* TO ${APP.user}@'%'`,
      );
      await pair.caughtUp();
      expect(replica.port).not.toBe(source.port);
    });

    afterAll(() => Promise.all(addresses.map((address) => address.close())));

    /** The address moves, or the old one of the list is taken out of it and the new one comes. */
    function move(round: number): void {
      const [first, second] = addresses;
      // Connections that stay with the old server are as bad as those that break.
      const cut = round % 2 === 1;
      if (second === undefined) return first?.pointTo(pair.source, { cut });
      const [old, next] = round % 2 === 0 ? [first, second] : [second, first];
      old?.pointTo(null, { cut: true });
      next?.pointTo(pair.source, { cut: true });
    }

    test('loses no row, and goes on collecting', async () => {
      const UPSTREAM = addresses.map(({ host, port }) => `${host}:${port}`).join(',');
      const start = by === 'address' ? spawnProxy : proxyInFront;
      const workers = by === 'address' ? { WORKERS: '2' } : {};
      const proxy = await start(pair.source, { ...VARIABLES, ...workers, UPSTREAM });
      const client = { ...proxy, ...APP };
      const made: Made[] = [];
      const over = new AbortController();
      const dropping = Array.from({ length: CLIENTS }, (_, index) =>
        dropOnAndOn(client, { prefix: `t${index}`, made, signal: over.signal }),
      );
      const seconds: number[] = [];
      try {
        await dropAndWait(client, pair.source, 'before');
        for (let round = 0; round < FAILOVERS; round++) {
          const before = made.length;
          let beganMs = 0;
          await pair.failOver(() => {
            beganMs = Date.now();
            move(round);
          });
          await dropAndWait(client, pair.source, `behind_${round}`);
          seconds.push((Date.now() - beganMs) / 1000);
          const goesOn = () => made.slice(before).filter(({ isDropped }) => isDropped).length > 5;
          await until(goesOn, 'drops on the new primary', 60_000);
          await pair.caughtUp();
        }
        over.abort();
        await Promise.all(dropping);
        await expectRows(pair.source, made);
      } finally {
        over.abort();
        await Promise.all(dropping);
        await proxy.stop();
      }
      const dropped = made.filter(({ isDropped }) => isDropped);
      process.stdout.write(
        `${title}: ${FAILOVERS} failovers, ${made.length} tables, ${dropped.length} dropped, ` +
          `collected on the new primary after ${seconds.map((one) => one.toFixed(1)).join(', ')} s\n`,
      );
    });
  },
  LONGEST_MS,
);

/** A client that comes back whenever its connection breaks or its server refuses something. */
async function dropOnAndOn(
  proxy: Target,
  how: { readonly prefix: string; readonly made: Made[]; readonly signal: AbortSignal },
): Promise<void> {
  const { prefix, made, signal } = how;
  let connection: Session | null = null;
  for (let count = 0; !signal.aborted; count++) {
    const one: Made = { table: `${prefix}_${count}`, hasRows: false, isDropped: false };
    made.push(one);
    try {
      connection ??= await connectTo(proxy);
      await connection.query(`CREATE TABLE d.${one.table} (a INT PRIMARY KEY)`);
      await connection.query(`INSERT INTO d.${one.table} VALUES (1), (2), (3)`);
      one.hasRows = true;
      await connection.query(`DROP TABLE d.${one.table}`);
      one.isDropped = true;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      connection?.destroy();
      connection = null;
    }
    await sleep(PACE_MS);
  }
  connection?.destroy();
}

async function connectTo(proxy: Target): Promise<Session> {
  const connection = await connect(proxy, { connectTimeout: 5_000 });
  connection.on('error', () => undefined);
  return connection;
}

/** Drops a table that is to go at once; resolves when it is gone from that server for good. */
async function dropAndWait(proxy: Target, primary: Target, table: string): Promise<void> {
  const isDropped = async () => {
    try {
      const connection = await connectTo(proxy);
      try {
        await connection.query(`CREATE TABLE IF NOT EXISTS quick.${table} (a INT)`);
        await connection.query(`DROP TABLE quick.${table}`);
        return true;
      } finally {
        connection.destroy();
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return false;
    }
  };
  await until(isDropped, `${table} is dropped`, 60_000);
  const ended = `SELECT 1 FROM _undrop.ledger WHERE table_name = '${table}' AND state = 'removed'`;
  const isRemoved = async () => (await query(primary, ended)).length > 0;
  await until(isRemoved, `${table} is removed`, COLLECTED_WITHIN_MS);
}

/** Each committed row is found, and what was dropped is held. */
async function expectRows(primary: Target, made: readonly Made[]): Promise<void> {
  let lost: readonly unknown[] = [];
  const areThere = async () => {
    const found = await findRows(primary, made);
    lost = made.flatMap((one) => {
      const place = found.get(one.table);
      const isThere = place?.rows === ROWS && (!one.isDropped || place.where === 'held');
      return isThere || !one.hasRows ? [] : [{ ...one, place }];
    });
    return lost.length === 0;
  };
  // What a failover met between RENAME and outcome, recovery has in a moment.
  await until(areThere, 'all rows are found', 60_000).catch(() => undefined);
  expect(lost).toEqual([]);
}

type Found = { readonly where: 'live' | 'held'; readonly rows: number };

async function findRows(server: Target, made: readonly Made[]) {
  await using session = await connect(server);
  const live = (await session.tables('d')).map((name) => ({ name, place: `d.\`${name}\`` }));
  const held = await session.rows<{ readonly name: string; readonly place: string }>(
    `SELECT table_name AS name, CONCAT('\`', hold_schema, '\`.\`', hold_name, '\`') AS place
     FROM _undrop.ledger WHERE schema_name = 'd' AND state = 'HOLD'`,
  );
  const names = new Set(made.map(({ table }) => table));
  const found = new Map<string, Found>();
  for (const [where, places] of [
    ['live', live],
    ['held', held],
  ] as const) {
    for (const { name, place } of places) {
      if (names.has(name)) found.set(name, { where, rows: await session.count(place) });
    }
  }
  return found;
}
