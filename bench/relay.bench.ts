/**
 * What the hop costs: sysbench oltp_point_select in text and prepared mode at 1, 8 and 64 threads,
 * through each relay in turn, several rounds interleaved, against one MySQL 9.7. CPU is that of the
 * relay's process alone, a query; ratios are taken within each round.
 */
import { query, startServer } from '../test/support/servers.js';
import { cpuOf, type Peer, type Peers, startPeers } from './peers.js';
import {
  figuresOf,
  formatRatio,
  HOW_READ,
  inRounds,
  machineLoad,
  pairedRatios,
  report,
  spread,
} from './report.js';
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
let relays: Peers | null = null;
try {
  await query(server, 'CREATE DATABASE bench');
  await sysbench(server, 'prepare', { ...LOAD, threads: 1, options: TABLE });
  relays = await startPeers(server);
  for (const mode of MODES) {
    for (const threads of THREADS) await measure(relays.peers, mode, threads);
  }
} finally {
  await relays?.stop();
  await server.stop();
}

async function measure(peers: readonly Peer[], mode: string, threads: number): Promise<void> {
  const samples = await inRounds(peers, ROUNDS, (peer) => sample(peer, mode, threads));
  const base = peers.find(({ name }) => name === 'HAProxy');
  const speed = figuresOf(samples, 'queriesPerSecond');
  const cpu = figuresOf(samples, 'cpuUs');
  const p95 = figuresOf(samples, 'p95Ms');
  report({
    title: `Point selects, ${mode}, ${threads} threads`,
    how:
      `sysbench ${LOAD.script}, ${ROUNDS} interleaved rounds of ${SECONDS} s; ${HOW_READ}. ` +
      `Load before: ${loadBefore}.`,
    columns: ['relay', 'queries/s', 'of HAProxy', 'relay CPU µs/query', 'of HAProxy', 'p95 ms'],
    rows: peers.map((peer) => [
      peer.name,
      spread(speed(peer)).median.toFixed(0),
      formatRatio(pairedRatios(speed(peer), speed(base))),
      peer.pid === null ? '–' : spread(cpu(peer)).median.toFixed(1),
      peer.pid === null ? '–' : formatRatio(pairedRatios(cpu(peer), cpu(base))),
      spread(p95(peer)).median.toFixed(2),
    ]),
  });
}

async function sample(peer: Peer, mode: string, threads: number): Promise<Sample> {
  const before = cpuOf(peer);
  const options = [...TABLE, `--db-ps-mode=${mode === 'text' ? 'disable' : 'auto'}`];
  const figures = await sysbench(peer, 'run', { ...LOAD, threads, options });
  if (figures.errors > 0) throw new Error(`${peer.name}: ${figures.errors} errors`);
  const used = cpuOf(peer) - before;
  const { queriesPerSecond, p95Ms } = figures;
  return { queriesPerSecond, p95Ms, cpuUs: (used * 1e6) / (queriesPerSecond * SECONDS) };
}
