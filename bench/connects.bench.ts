/**
 * Connections per second: sysbench connects, asks one row, and leaves, eight at a time, without TLS
 * and with it. HAProxy and MySQL Router hand the client's TLS on to the server; undrop ends it
 * and, as it does by default, has TLS with the server too.
 */

import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeCertificates } from '../test/support/certificates.js';
import { startServer } from '../test/support/servers.js';
import { cpuSeconds, direct, haproxy, mysqlRouter, type Peer, plainNode, undrop } from './peers.js';
import { report } from './report.js';
import { formatRatio, inRounds, machineLoad, pairedRatios, spread } from './rounds.js';
import { sysbench } from './sysbench.js';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '5');
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '6');
const THREADS = 8;
const SCRIPT = fileURLToPath(new URL('../../bench/connects.lua', import.meta.url));
const LOAD = { script: SCRIPT, schema: 'mysql', seconds: SECONDS, threads: THREADS } as const;

interface Sample {
  readonly perSecond: number;
  /** Microseconds of the relay's CPU. */
  readonly cpuUs: number;
}

const loadBefore = machineLoad();
const certificates = makeCertificates();
const server = await startServer('mysql-9.7', [
  `--ssl-ca=${certificates.ca}`,
  `--ssl-cert=${certificates.cert}`,
  `--ssl-key=${certificates.key}`,
]);
const peers: Peer[] = [];
// The names that sysbench looks for in the folder where it runs; the server asks for none of them.
const tlsFolder = certificates.folder;
copyFileSync(certificates.ca, join(tlsFolder, 'cacert.pem'));
copyFileSync(certificates.cert, join(tlsFolder, 'client-cert.pem'));
copyFileSync(certificates.key, join(tlsFolder, 'client-key.pem'));
try {
  const { cert, key } = certificates;
  peers.push(direct(server), await haproxy(server), await mysqlRouter(server));
  peers.push(await plainNode(server), await undrop(server, { TLS_CERT: cert, TLS_KEY: key }));
  for (const tls of [false, true]) await measure(tls);
} finally {
  for (const peer of peers) await peer.stop();
  await server.stop();
  certificates.remove();
}

async function measure(tls: boolean): Promise<void> {
  const samples = await inRounds(peers, ROUNDS, (peer) => sample(peer, tls));
  const of = (peer: Peer | undefined, key: keyof Sample) =>
    (peer === undefined ? [] : (samples.get(peer) ?? [])).map((one) => one[key]);
  const base = peers.find(({ name }) => name === 'HAProxy');
  report({
    title: `Connections per second, ${tls ? 'with TLS' : 'without TLS'}`,
    how:
      `sysbench connects, says SELECT 1 and leaves, ${THREADS} threads, ${ROUNDS} interleaved ` +
      `rounds of ${SECONDS} s; medians, and of the ratios within each round the median, the lowest ` +
      `and the highest. Load before: ${loadBefore}.`,
    columns: ['relay', 'connections/s', 'of HAProxy', 'relay CPU µs/connection'],
    rows: peers.map((peer) => [
      peer.name,
      spread(of(peer, 'perSecond')).median.toFixed(0),
      formatRatio(pairedRatios(of(peer, 'perSecond'), of(base, 'perSecond'))),
      peer.pid === null ? '–' : spread(of(peer, 'cpuUs')).median.toFixed(0),
    ]),
  });
}

async function sample(peer: Peer, tls: boolean): Promise<Sample> {
  const before = peer.pid === null ? 0 : cpuSeconds(peer.pid);
  const figures = await sysbench(peer, 'run', { ...LOAD, ...(tls ? { tlsFolder } : {}) });
  const used = peer.pid === null ? 0 : cpuSeconds(peer.pid) - before;
  const perSecond = figures.eventsPerSecond;
  return { perSecond, cpuUs: (used * 1e6) / (perSecond * SECONDS) };
}
