/**
 * What the hop costs: sysbench oltp_point_select in text and prepared mode at 1, 8 and 64 threads,
 * through each relay in turn, several rounds interleaved, against one MySQL 9.7. CPU is that of the
 * relay's process alone, a query; ratios are taken within each round.
 */
import { query, startServer } from '../test/support/servers.js';
import { cpuSeconds, direct, haproxy, mysqlRouter, type Peer, plainNode, undrop } from './peers.js';
import { report } from './report.js';
import { formatRatio, inRounds, machineLoad, pairedRatios, spread } from './rounds.js';
import { sysbench } from './sysbench.js';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '5');
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '6');
const THREADS = (process.env['BENCH_THREADS'] ?? '1,8,64').split(',').map(Number);
const MODES = (process.env['BENCH_MODES'] ?? 'text,prepared').split(',');
const LOAD = { script: 'oltp_point_select', schema: 'bench', seconds: SECONDS } as const;
const TABLE = ['--tables=1', '--table-size=10000'] as const;

interface Sample {
  readonly queriesPerSecond: number;
  /** Microseconds of the relay's CPU. */
  readonly cpuUs: number;
  readonly p95Ms: number;
}

const loadBefore = machineLoad();
const server = await startServer('mysql-9.7', ['--innodb-buffer-pool-size=512M']);
const peers: Peer[] = [];
try {
  await query(server, 'CREATE DATABASE bench');
  await sysbench(server, 'prepare', { ...LOAD, threads: 1, options: TABLE });
  peers.push(direct(server), await haproxy(server), await mysqlRouter(server));
  peers.push(await plainNode(server), await undrop(server));
  for (const mode of MODES) for (const threads of THREADS) await measure(mode, threads);
} finally {
  for (const peer of peers) await peer.stop();
  await server.stop();
}

async function measure(mode: string, threads: number): Promise<void> {
  const samples = await inRounds(peers, ROUNDS, (peer) => sample(peer, mode, threads));
  const of = (peer: Peer | undefined, read: (sample: Sample) => number) =>
    (peer === undefined ? [] : (samples.get(peer) ?? [])).map(read);
  const base = peers.find(({ name }) => name === 'HAProxy');
  const speed = ({ queriesPerSecond }: Sample) => queriesPerSecond;
  const cpu = ({ cpuUs }: Sample) => cpuUs;
  report({
    title: `Point selects, ${mode}, ${threads} threads`,
    how:
      `sysbench ${LOAD.script}, ${ROUNDS} interleaved rounds of ${SECONDS} s; medians, and of ` +
      `the ratios within each round the median, the lowest and the highest. Load before: ` +
      `${loadBefore}.`,
    columns: ['relay', 'queries/s', 'of HAProxy', 'relay CPU µs/query', 'of HAProxy', 'p95 ms'],
    rows: peers.map((peer) => [
      peer.name,
      spread(of(peer, speed)).median.toFixed(0),
      formatRatio(pairedRatios(of(peer, speed), of(base, speed))),
      peer.pid === null ? '–' : spread(of(peer, cpu)).median.toFixed(1),
      peer.pid === null ? '–' : formatRatio(pairedRatios(of(peer, cpu), of(base, cpu))),
      spread(of(peer, ({ p95Ms }) => p95Ms)).median.toFixed(2),
    ]),
  });
}

async function sample(peer: Peer, mode: string, threads: number): Promise<Sample> {
  const before = peer.pid === null ? 0 : cpuSeconds(peer.pid);
  const options = [...TABLE, `--db-ps-mode=${mode === 'text' ? 'disable' : 'auto'}`];
  const figures = await sysbench(peer, 'run', { ...LOAD, threads, options });
  if (figures.errors > 0) throw new Error(`${peer.name}: ${figures.errors} errors`);
  const used = peer.pid === null ? 0 : cpuSeconds(peer.pid) - before;
  const { queriesPerSecond, p95Ms } = figures;
  return { queriesPerSecond, p95Ms, cpuUs: (used * 1e6) / (queriesPerSecond * SECONDS) };
}
