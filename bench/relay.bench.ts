/**
 * What the hop costs: sysbench oltp_point_select in text and prepared mode at 1, 8 and 64 threads,
 * through each relay in turn, several rounds interleaved, against one MySQL 9.7. CPU is that of the
 * relay's process alone, a query; medians over the rounds.
 */
import { query, startServer } from '../test/support/servers.js';
import { cpuSeconds, direct, haproxy, mysqlRouter, type Peer, plainNode, undrop } from './peers.js';
import { report } from './report.js';
import { sysbench } from './sysbench.js';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '3');
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '6');
const LOAD = { script: 'oltp_point_select', schema: 'bench', seconds: SECONDS } as const;
const TABLE = ['--tables=1', '--table-size=10000'] as const;

interface Sample {
  readonly queriesPerSecond: number;
  /** Microseconds of the relay's CPU. */
  readonly cpuUs: number;
  readonly p95Ms: number;
}

const server = await startServer('mysql-9.7', ['--innodb-buffer-pool-size=512M']);
const peers: Peer[] = [];
try {
  await query(server, 'CREATE DATABASE bench');
  await sysbench(server, 'prepare', { ...LOAD, threads: 1, options: TABLE });
  peers.push(direct(server), await haproxy(server), await mysqlRouter(server));
  peers.push(await plainNode(server), await undrop(server));
  for (const mode of ['disable', 'auto'] as const) {
    for (const threads of [1, 8, 64]) await measure(mode, threads);
  }
} finally {
  for (const peer of peers) await peer.stop();
  await server.stop();
}

async function measure(mode: 'disable' | 'auto', threads: number): Promise<void> {
  const samples = new Map<Peer, Sample[]>(peers.map((peer) => [peer, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const peer of peers) samples.get(peer)?.push(await sample(peer, mode, threads));
  }
  const medians = peers.map((peer) => ({ peer, ...median(samples.get(peer) ?? []) }));
  const base = medians.find(({ peer }) => peer.name === 'HAProxy') ?? medians[0];
  report({
    title: `Point selects, ${mode === 'disable' ? 'text' : 'prepared'}, ${threads} threads`,
    how: `sysbench ${LOAD.script}, ${ROUNDS} interleaved rounds of ${SECONDS} s, medians.`,
    columns: ['relay', 'queries/s', 'of HAProxy', 'relay CPU µs/query', 'of HAProxy', 'p95 ms'],
    rows: medians.map(({ peer, queriesPerSecond, cpuUs, p95Ms }) => [
      peer.name,
      queriesPerSecond.toFixed(0),
      (queriesPerSecond / (base?.queriesPerSecond ?? 1)).toFixed(2),
      peer.pid === null ? '–' : cpuUs.toFixed(1),
      peer.pid === null ? '–' : (cpuUs / (base?.cpuUs ?? 1)).toFixed(2),
      p95Ms.toFixed(2),
    ]),
  });
}

async function sample(peer: Peer, mode: string, threads: number): Promise<Sample> {
  const before = peer.pid === null ? 0 : cpuSeconds(peer.pid);
  const options = [...TABLE, `--db-ps-mode=${mode}`];
  const figures = await sysbench(peer, 'run', { ...LOAD, threads, options });
  if (figures.errors > 0) throw new Error(`${peer.name}: ${figures.errors} errors`);
  const used = peer.pid === null ? 0 : cpuSeconds(peer.pid) - before;
  const { queriesPerSecond, p95Ms } = figures;
  return { queriesPerSecond, p95Ms, cpuUs: (used * 1e6) / (queriesPerSecond * SECONDS) };
}

function median(samples: readonly Sample[]): Sample {
  const of = (read: (sample: Sample) => number) => {
    const sorted = samples.map(read).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  };
  return {
    queriesPerSecond: of((sample) => sample.queriesPerSecond),
    cpuUs: of((sample) => sample.cpuUs),
    p95Ms: of((sample) => sample.p95Ms),
  };
}
