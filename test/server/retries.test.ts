/**
 * What could not be done at once is done soon after what was in the way has gone: a held table is
 * moved into the recycle schema, an outcome is written into the ledger. The long round of the
 * collector is an hour here, so nothing of this is its doing.
 *
 * Imports recovery from src, for a collector alone: a proxy has another recovery at its start.
 */
import { type ReconcileReport, reconcile } from '../../src/collector/reconcile.js';
import { type Collecting, countRows, startCollecting } from '../collector/collecting.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { connect, type GeneralLog, generalLog, query } from '../support/servers.js';
import { ownSession } from './own-session.js';
import { intend, ledgerRowOf, recordOwed, renameAway, type UserDrop } from './service-fixture.js';

const HOUR_MS = 3_600_000;
const SOON_MS = 60_000;

onServersAtOnce('work that is tried again on $name', (server, on) => {
  const { afterEach, beforeEach, test } = on;
  let collecting: Collecting | null = null;
  let log: GeneralLog | null = null;
  let reports: ReconcileReport[] = [];
  afterEach(() => query(server, 'DROP TRIGGER IF EXISTS _undrop.obstacle'));

  const own = ownSession(server, on);

  beforeEach(async () => {
    reports = [];
    await own.session.query('CREATE TABLE a (id INT PRIMARY KEY) ENGINE=InnoDB');
    await own.session.query('INSERT INTO a VALUES (1), (2), (3)');
  });

  /** Held under its hold name in its own schema; the ledger has no more than the intent. */
  async function renamed(): Promise<UserDrop> {
    const drop = await intend(own.pool, own.session, { schema: own.schema.name, tables: ['a'] });
    await renameAway(own.session, drop);
    return drop;
  }

  function collect(): Collecting {
    const settings = { holdMs: HOUR_MS, checkIntervalMs: HOUR_MS };
    const recover: typeof reconcile = async (connection, options) => {
      const report = await reconcile(connection, options);
      reports.push(report);
      return report;
    };
    return on.each.keep(startCollecting(server, settings, undefined, { recover }));
  }

  const rowOf = () => ledgerRowOf(own.session, { schema: own.schema.name, table: 'a' });

  function said(message: string): Promise<void> {
    const isSaid = () => (collecting?.said ?? []).some((one) => one.message === message);
    return until(isSaid, `it says: ${message}`);
  }

  async function isHome(): Promise<void> {
    const paid = async () => {
      const row = await rowOf();
      return row?.['state'] === 'HOLD' && row['relocated'] === 1;
    };
    await until(paid, 'the table is in the recycle schema, and the ledger has it', SOON_MS);
    const row = await rowOf();
    expect(row).toMatchObject({ hold_schema: '_undrop', failure: null });
    expect(await countRows(server, `_undrop.${row?.['hold_name']}`)).toBe(3);
  }

  /** From now on no row of the ledger can be changed; the log says who tries. */
  async function refuseOutcomes(): Promise<void> {
    log = on.each.keep(await generalLog(server));
    await query(
      server,
      `CREATE TRIGGER _undrop.obstacle BEFORE UPDATE ON _undrop.ledger FOR EACH ROW
       SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not now'`,
    );
  }

  async function outcomeWasRefused(): Promise<void> {
    const isTried = async () =>
      ((await log?.read()) ?? []).some(({ text }) => text.includes('UPDATE /* undrop outcome'));
    await until(isTried, 'an outcome was refused');
    expect((await rowOf())?.['state']).toBe('intent');
  }

  test('a debt that could not be paid is paid soon after the table is free', async () => {
    const drop = await renamed();
    await recordOwed(own.pool, drop);
    const [holdName] = drop.holdNames;
    const reader = await connect(server, { database: own.schema.name });
    await reader.run('BEGIN', `SELECT * FROM ${holdName}`);
    collecting = collect();
    await said('cannot move held tables to the recycle schema; will try again');
    expect((await rowOf())?.['relocated']).toBe(0);
    await reader.end();
    await isHome();
  });

  test('a drop of a session that was still there is completed soon after it has ended', async () => {
    await renamed();
    collecting = collect();
    const isSeen = () => reports.some(({ untouched }) => untouched.length > 0);
    await until(isSeen, 'recovery has seen that the session is there');
    expect((await rowOf())?.['state']).toBe('intent');
    await own.die();
    await isHome();
  });

  test('an outcome that recovery could not write is written soon after it can be', async () => {
    await renamed();
    await own.die();
    await refuseOutcomes();
    collecting = collect();
    await said('cannot resolve the intent of an interrupted drop; will try again');
    await outcomeWasRefused();
    await query(server, 'DROP TRIGGER _undrop.obstacle');
    await isHome();
  });

  test('an outcome that a drop could not write is written by it, while its session goes on', async () => {
    await using proxy = await proxyInFront(server);
    await using client = await RawClient.open(proxy, { schema: own.schema.name });
    await refuseOutcomes();
    const { results } = await client.query('DROP TABLE a');
    expect(results.map(({ kind }) => kind)).toEqual(['ok']);
    await outcomeWasRefused();
    await query(server, 'DROP TRIGGER _undrop.obstacle');
    await isHome();
    expect(await client.rows('SELECT 1')).toEqual([['1']]);
  });
});
