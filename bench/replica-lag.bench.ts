/**
 * How far a replica is behind while tables are dropped on its source, natively and through the
 * proxy, in turns: from the client's OK until the replica has executed it. One drop at a time, and
 * many in a row, behind which the replica has everything to catch up with. Collected or not, as the
 * replica gets that, too; afterwards both sides have the same tables.
 */
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { spawnProxy } from '../test/support/proxy.js';
import { type ReplicaPair, startPair } from '../test/support/replica-pair.js';
import { connect, type Target } from '../test/support/servers.js';
import { inRounds, machineLoad, report, spread } from './report.js';

const NAMES = (process.env['BENCH_SERVERS'] ?? 'mysql-9.7,mariadb-11.8').split(',');
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '30');
const IN_A_ROW = Number(process.env['BENCH_IN_A_ROW'] ?? '200');
const ROWS = 100;
const WAIT_S = 60;

interface Way {
  readonly name: string;
  readonly target: Target;
}

class Lag {
  readonly #isMysql: boolean;
  readonly #source: Connection;
  readonly #replica: Connection;

  constructor({ source }: ReplicaPair, root: Connection, replica: Connection) {
    this.#isMysql = source.flavour === 'mysql';
    this.#source = root;
    this.#replica = replica;
  }

  async of(
    target: Target,
    texts: readonly string[],
  ): Promise<{ readonly lagMs: number; readonly tookMs: number }> {
    const client = await connect(target, { database: 'lagging' });
    try {
      await client.query('DO 1');
      const startMs = performance.now();
      for (const text of texts) await client.query(text);
      const saidMs = performance.now();
      await this.wait();
      return { lagMs: performance.now() - saidMs, tookMs: saidMs - startMs };
    } finally {
      await client.end();
    }
  }

  /** Until the replica has executed what the source has by now. */
  async wait(): Promise<void> {
    const at = this.#isMysql ? '@@GLOBAL.gtid_executed' : '@@GLOBAL.gtid_binlog_pos';
    const [[end]] = await this.#source.query<RowDataPacket[]>(`SELECT ${at} AS place`);
    const text = this.#isMysql
      ? 'SELECT WAIT_FOR_EXECUTED_GTID_SET(?, ?) AS missed'
      : 'SELECT MASTER_GTID_WAIT(?, ?) AS missed';
    const [[said]] = await this.#replica.query<RowDataPacket[]>(text, [end?.['place'], WAIT_S]);
    if (Number(said?.['missed']) !== 0) throw new Error(`the replica is not at ${end?.['place']}`);
  }
}

const rows: string[][] = [];
const loadBefore = machineLoad();
for (const name of NAMES) await measure(name);
report({
  title: 'The lag of a replica beside drops',
  how:
    `Tables of ${ROWS} rows, ${ROUNDS} drops in turns, and ${IN_A_ROW} in a row; GTIDs, row format; from the ` +
    `client's OK until the replica has executed it. Collected: HOLD of a second. Load before: ${loadBefore}.`,
  columns: [
    ...['server', 'drop', 'median ms', 'worst ms'],
    `after ${IN_A_ROW} in a row, ms`,
    'these took, ms',
  ],
  rows,
});

async function measure(name: string): Promise<void> {
  const pair = await startPair({ name, gtid: true });
  const proxies = await Promise.all([
    spawnProxy(pair.source, { HOLD: '1d', COLLECT: 'on' }),
    spawnProxy(pair.source, { HOLD: '1s', CHECK_INTERVAL: '1s', COLLECT: 'on' }),
  ]);
  const [held, collected] = proxies;
  const root = await connect(pair.source);
  const replica = await connect(pair.replica);
  try {
    await root.query('CREATE DATABASE lagging');
    await root.query('USE lagging');
    const ways: readonly Way[] = [
      { name: 'native', target: pair.source },
      { name: 'undrop', target: held },
      { name: 'undrop, collected', target: collected },
    ];
    const lag = new Lag(pair, root, replica);
    const single = await inRounds(ways, ROUNDS, async ({ target }) => {
      await make(root, ['small']);
      await lag.wait();
      const { lagMs } = await lag.of(target, ['DROP TABLE small']);
      return lagMs;
    });
    const tables = Array.from({ length: IN_A_ROW }, (_, index) => `t${index}`);
    for (const way of ways) {
      await make(root, tables);
      await lag.wait();
      const { lagMs, tookMs } = await lag.of(
        way.target,
        tables.map((table) => `DROP TABLE ${table}`),
      );
      const { median, high } = spread(single.get(way) ?? []);
      rows.push([name, way.name, ...[median, high, lagMs, tookMs].map((ms) => ms.toFixed(1))]);
    }
    await pair.assertFollows();
  } finally {
    await Promise.all([root.end(), replica.end()]);
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await pair.stop();
  }
}

async function make(root: Connection, tables: readonly string[]): Promise<void> {
  const values = Array.from({ length: ROWS }, (_, id) => `(${id})`).join(',');
  for (const table of tables) {
    await root.query(`CREATE TABLE ${table} (id INT PRIMARY KEY)`);
    await root.query(`INSERT INTO ${table} VALUES ${values}`);
  }
}
