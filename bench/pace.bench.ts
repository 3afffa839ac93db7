/**
 * Whether the collector keeps pace with the drops: sessions create, fill and drop small tables, and
 * undo some at once, for minutes; holds are short. Then, without a load, many are due at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, query, startServer, type Target } from '../test/support/servers.js';
import { type Peer, togetherKb, undrop, withChildren } from './peers.js';
import { machineLoad, report } from './report.js';

const NAMES = (process.env['BENCH_SERVERS'] ?? 'mysql-9.7').split(',');
const MINUTES = Number(process.env['BENCH_MINUTES'] ?? '8');
const SESSIONS = 4;
const ROWS = 20;
const VALUES = Array.from({ length: ROWS }, (_, id) => `(${id})`).join(',');
/** One drop of so many is undone at once. */
const UNDO_EACH = 7;
/** Tables that are due at once, alone. */
const AT_ONCE = 1_000;
const REMOVED = `SELECT SUM(state = 'removed') AS removed, SUM(state NOT IN ('removed', 'restored')) AS held
  FROM _undrop.ledger`;

const loadBefore = machineLoad();
const rows: string[][] = [];
for (const name of NAMES) rows.push(await measure(name));
report({
  title: 'The collector beside drops',
  how:
    `${SESSIONS} sessions create, fill and drop tables of ${ROWS} rows, and undo some, for ${MINUTES} ` +
    `minutes; UNDROP_HOLD=20s, UNDROP_CHECK_INTERVAL=5s; then, alone, ${AT_ONCE} that are due at once. ` +
    `Load before: ${loadBefore}.`,
  columns: [
    ...['server', 'drops/s', 'undone', 'errors', 'removed/s beside', 'held at the end'],
    ...['removed/s alone', 'MB in the first minute', 'MB at the end'],
  ],
  rows,
});

async function measure(name: string): Promise<string[]> {
  const server = await startServer(name, ['--innodb-buffer-pool-size=512M', '--skip-log-bin']);
  await query(server, 'CREATE DATABASE timed');
  const peer = await undrop(server, {
    ...{ HOLD: '20s', MIN_HOLD: '0s', CHECK_INTERVAL: '5s', COLLECT: 'on' },
  });
  const counts = { drops: 0, undone: 0, errors: 0 };
  try {
    const mb = () => togetherKb(withChildren(peer.pid ?? 0)) / 1024;
    const endMs = performance.now() + MINUTES * 60_000;
    const session = async (index: number) => {
      const client = await connect(peer, { database: 'timed' });
      for (let nr = 0; performance.now() < endMs; nr++) {
        const table = `t${index}_${nr % 10}`;
        try {
          await client.query(`CREATE TABLE ${table} (id INT PRIMARY KEY)`);
          await client.query(`INSERT INTO ${table} VALUES ${VALUES}`);
          await client.query(`DROP TABLE ${table}`);
          counts.drops++;
          if (nr % UNDO_EACH === 0) {
            await client.query(`UNDROP TABLE ${table}`);
            await client.query(`DROP TABLE ${table}`);
            counts.undone++;
            counts.drops++;
          }
        } catch (error) {
          counts.errors++;
          process.stdout.write(`${String(error)}\n`);
          await client.query(`DROP TABLE IF EXISTS ${table}`);
        }
      }
      await client.end();
    };
    const all = Promise.all(Array.from({ length: SESSIONS }, (_, index) => session(index)));
    await sleep(60_000);
    const first = mb();
    await all;
    const [beside, last] = [await removedBy(server), mb()];
    const alone = await removedAtOnce(server, peer);
    const seconds = MINUTES * 60;
    return [
      ...[name, (counts.drops / seconds).toFixed(0), `${counts.undone}`, `${counts.errors}`],
      ...[(beside.removed / (seconds - 20)).toFixed(0), `${beside.held}`, alone.toFixed(0)],
      ...[first.toFixed(0), last.toFixed(0)],
    ];
  } finally {
    await peer.stop();
    await server.stop();
  }
}

async function removedBy(server: Target) {
  const [row] = await query<{ removed: string; held: string }>(server, REMOVED);
  return { removed: Number(row?.removed), held: Number(row?.held) };
}

/** Tables removed in a second, of many that one statement dropped. */
async function removedAtOnce(server: Target, peer: Peer): Promise<number> {
  const client = await connect(peer, { database: 'timed' });
  const names = Array.from({ length: AT_ONCE }, (_, nr) => `once${nr}`);
  for (const table of names) await client.query(`CREATE TABLE ${table} SELECT 1 AS a`);
  while ((await removedBy(server)).held > 0) await sleep(500);
  const { removed } = await removedBy(server);
  await client.query(`DROP TABLE ${names.join(', ')}`);
  await client.end();
  const goneMs: number[] = [];
  for (let now = 0; now < AT_ONCE; ) {
    await sleep(50);
    now = (await removedBy(server)).removed - removed;
    if (now > 0) goneMs.push(performance.now());
  }
  const [first = 0] = goneMs;
  return AT_ONCE / (((goneMs.at(-1) ?? 0) - first) / 1_000);
}
