/**
 * Replicas never notice undrop: behind a random history of drops, restores, creates and collections
 * they have what the source has, whatever the format of its binary log, and none ever stops. What
 * is done under sql_log_bin=0 stays on the source. And its log, replayed by hand, makes the same.
 */
import { jest } from '@jest/globals';
import { asking } from '../support/asking.js';
import { connectionOptions } from '../support/client-cli.js';
import { pipeClients } from '../support/clients.js';
import { Dice, seededRandom } from '../support/dice.js';
import { ALONE, KEPT } from '../support/history-sessions.js';
import { inLanes } from '../support/lanes.js';
import { inHooks } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { RandomHistory } from '../support/random-history.js';
import { gtidOptions, type ReplicaPair, startPair } from '../support/replica-pair.js';
import { rounds, sample, seedFor } from '../support/sample.js';
import { differences, isLocal, schemaOf, stateOf } from '../support/server-state.js';
import { query, startServer, type TestServer } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { poolOn } from '../support/service-pool.js';

const SEED = seedFor('history');
const OPERATIONS = rounds(75, 30);
/** The proxy goes, and another comes, so often in a history; then both sides are compared. */
const PARTS = rounds(3, 2);
/** A short history may lack one of these by chance; then it goes on. */
const PARTS_MAX = 4 * PARTS;
const NEEDED = ['create', 'drop', 'restore', 'unlogged drop'] as const;
const LONGEST_MS = 3_600_000;

jest.setTimeout(LONGEST_MS);

/** HOLD, PURGE, EVAC, DROP and gone in a few seconds. */
const QUICK = { HOLD: '1s', EVAC: '1s', CHECK_INTERVAL: '1s', FAST_DROP: 'never', COLLECT: 'auto' };

/** Formats of the binary log. */
const BOTH: readonly string[] = ['STATEMENT', 'ROW'];
const PAIRS = [
  { title: 'MySQL 9.7 with GTIDs', name: 'mysql-9.7', gtid: true, tier: 'full', formats: BOTH },
  {
    title: 'MariaDB 11.8 with GTIDs',
    ...({ name: 'mariadb-11.8', gtid: true, tier: 'full', formats: BOTH } as const),
  },
  {
    title: 'MySQL 9.7 without GTIDs, a managed account',
    ...({ name: 'mysql-9.7', gtid: false, tier: 'managed', formats: ['MIXED'] } as const),
  },
] as const;

inLanes(
  sample<(typeof PAIRS)[number]>(PAIRS, { name: 'pairs', count: 1 }),
  '$title',
  ({ title, name, gtid, tier, formats }, lane) => {
    const { beforeAll, open } = inHooks(lane);
    const { test } = lane;
    const pair = open(() => startPair({ name, gtid }));
    beforeAll(() => makeServiceAccount(pair.source, { user: tier, tier }));

    for (const format of formats) {
      test(`the replica has what the source has, by ${format}`, async () => {
        const seed = `seed ${SEED}, ${title}, ${format}`;
        await pair.useFormat(format);
        const dice = new Dice(seededRandom(SEED));
        const done = new Map<string, number>();
        const isMissing = () => NEEDED.some((what) => !done.has(what));
        for (let part = 0; part < PARTS || (isMissing() && part < PARTS_MAX); part++) {
          const operations = Math.ceil(OPERATIONS / PARTS);
          const prefix = `${format.slice(0, 1).toLowerCase()}${part}`;
          await live(pair, { user: tier, operations, dice, seed, done, prefix });
          await pair.caughtUp();
          await expectEqual(pair, { seed, tier });
        }
        process.stdout.write(`${seed}: ${JSON.stringify(Object.fromEntries(done))}\n`);
        expect([...done.keys()]).toEqual(expect.arrayContaining([...NEEDED]));
      });
    }

    test('its log goes into a server of its own', async () => {
      await using fresh = await startServer(name, gtidOptions({ name, gtid }));
      await replay(pair, fresh);
      const [here, there] = [await stateOf(pair.source), await stateOf(fresh)];
      const different = differences(here, there, (what) => {
        return isAlone(what) || isPurged(what) || schemaOf(what) === KEPT;
      });
      expect({ seed: SEED, title, different }).toEqual({ seed: SEED, title, different: [] });
      expect([...here.keys()].filter((what) => what.startsWith('ledger '))).not.toEqual([]);
    });
  },
  LONGEST_MS,
);

/** As a DBA brings a server up to date by hand: `mysqlbinlog | mysql`. */
async function replay({ source }: ReplicaPair, fresh: TestServer): Promise<void> {
  const [printer, client] =
    source.flavour === 'mysql'
      ? (['mysqlbinlog-9.7', 'mysql-9.7'] as const)
      : (['mariadb-binlog-11.8', 'mariadb-11.8'] as const);
  const logs = await query<{ readonly Log_name: string }>(source, 'SHOW BINARY LOGS');
  const names = logs.map(({ Log_name: one }) => one);
  const plain = connectionOptions(client);
  const { code, stderr } = await pipeClients(
    { name: printer, target: source, args: [...plain, '-R', ...names] },
    { name: client, target: fresh, args: plain },
  );
  expect([code, stderr]).toEqual([0, expect.not.stringContaining('ERROR')]);
}

/** A part of the history, through a proxy of its own. */
async function live(
  pair: ReplicaPair,
  how: {
    readonly user: string;
    readonly operations: number;
    readonly dice: Dice;
    readonly seed: string;
    readonly prefix: string;
    readonly done: Map<string, number>;
  },
): Promise<void> {
  const { source } = pair;
  const account = { USER: how.user, PASSWORD: SERVICE_ACCOUNT.password };
  const proxy = await proxyInFront(source, { ...QUICK, ...account });
  const pool = poolOn({ ...source, ...SERVICE_ACCOUNT, user: how.user });
  const history = await RandomHistory.begin({
    source,
    proxy,
    pool,
    ...{ dice: how.dice, prefix: how.prefix, mayUnlog: how.user === 'full' },
  });
  const before = await countRemoved(pair);
  try {
    for (let count = 0; count < how.operations; count++) {
      await history.step();
      if (count % 10 === 0) await pair.assertFollows();
    }
    await collected(pair, before);
  } catch (error) {
    throw new Error(`${how.seed}, behind\n${history.said.slice(-40).join('\n')}`, { cause: error });
  } finally {
    await history.end();
    await pool.dispose();
    await proxy.stop();
  }
  for (const [what, times] of history.done) how.done.set(what, (how.done.get(what) ?? 0) + times);
}

/** One that was held is gone for good, where there is one; the others are on their way. */
async function collected(pair: ReplicaPair, before: number): Promise<void> {
  const isCollected = async () => {
    if ((await countRemoved(pair)) > before) return true;
    const held = await query(
      pair.source,
      `SELECT 1 FROM _undrop.ledger WHERE kind = 'base' AND sql_log_bin = 1
         AND state IN ('HOLD', 'PURGE', 'EVAC', 'DROP') LIMIT 1`,
    );
    return held.length === 0;
  };
  await until(isCollected, 'a table is collected', 60_000);
}

async function countRemoved({ source }: ReplicaPair): Promise<number> {
  const count = await asking(source).cell(`SELECT COUNT(*) FROM _undrop.ledger
    WHERE state = 'removed' AND kind = 'base'`);
  return Number(count);
}

async function expectEqual(
  { source, replica }: ReplicaPair,
  { seed, tier }: { readonly seed: string; readonly tier: string },
): Promise<void> {
  const [here, there] = [await stateOf(source), await stateOf(replica)];
  const different = differences(here, there, (what) => {
    // The other account may not keep the rows of a purge out of the binary log.
    if (isAlone(what) || (tier === 'full' && isPurged(what))) return true;
    // Dropped under sql_log_bin=0: replicas have it under its name, the source as a held table.
    return (
      schemaOf(what) === KEPT &&
      here.has(what) === isHeld(what) &&
      !(here.has(what) && there.has(what))
    );
  });
  expect({ seed, different }).toEqual({ seed, different: [] });
  expect([...there.keys()].filter((what) => isAlone(what) || isHeldIn(KEPT, what))).toEqual([]);
  const kept = await query<{ readonly at: string; readonly name: string }>(
    source,
    `SELECT CONCAT(hold_schema, '.', hold_name) AS at, table_name AS name FROM _undrop.ledger
     WHERE schema_name = '${KEPT}' AND sql_log_bin = 0 AND state = 'HOLD'`,
  );
  for (const { at, name } of kept) {
    const [rows, ofReplica] = [here.get(`rows ${at}`), there.get(`rows ${KEPT}.${name}`)];
    expect({ seed, name, rows: ofReplica }).toEqual({ seed, name, rows: rows ?? 'held' });
  }
}

function isAlone(what: string): boolean {
  return schemaOf(what) === ALONE || isLocal(what);
}

function isHeld(what: string): boolean {
  return /\._vt_[A-Z]+_/.test(what);
}

function isHeldIn(schema: string, what: string): boolean {
  return schemaOf(what) === schema && isHeld(what);
}

function isPurged(what: string): boolean {
  return /^rows .*\._vt_(PURGE|EVAC|DROP)_/.test(what);
}
