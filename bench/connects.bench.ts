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
let relays: Peers | null = null;
// The names that sysbench looks for in the folder where it runs; the server asks for none of them.
const tlsFolder = certificates.folder;
copyFileSync(certificates.ca, join(tlsFolder, 'cacert.pem'));
copyFileSync(certificates.cert, join(tlsFolder, 'client-cert.pem'));
copyFileSync(certificates.key, join(tlsFolder, 'client-key.pem'));
try {
  const { cert, key } = certificates;
  relays = await startPeers(server, { TLS_CERT: cert, TLS_KEY: key });
  for (const tls of [false, true]) await measure(relays.peers, tls);
} finally {
  await relays?.stop();
  await server.stop();
  certificates.remove();
}

async function measure(peers: readonly Peer[], tls: boolean): Promise<void> {
  const samples = await inRounds(peers, ROUNDS, (peer) => sample(peer, tls));
  const base = peers.find(({ name }) => name === 'HAProxy');
  const speed = figuresOf(samples, 'perSecond');
  const cpu = figuresOf(samples, 'cpuUs');
  report({
    title: `Connections per second, ${tls ? 'with TLS' : 'without TLS'}`,
    how:
      `sysbench connects, says SELECT 1 and leaves, ${THREADS} threads, ${ROUNDS} interleaved ` +
      `rounds of ${SECONDS} s; ${HOW_READ}. Load before: ${loadBefore}.`,
    columns: ['relay', 'connections/s', 'of HAProxy', 'relay CPU µs/connection'],
    rows: peers.map((peer) => [
      peer.name,
      spread(speed(peer)).median.toFixed(0),
      formatRatio(pairedRatios(speed(peer), speed(base))),
      peer.pid === null ? '–' : spread(cpu(peer)).median.toFixed(0),
    ]),
  });
}

async function sample(peer: Peer, tls: boolean): Promise<Sample> {
  const before = cpuOf(peer);
  const figures = await sysbench(peer, 'run', { ...LOAD, ...(tls ? { tlsFolder } : {}) });
  const used = cpuOf(peer) - before;
  const perSecond = figures.eventsPerSecond;
  return { perSecond, cpuUs: (used * 1e6) / (perSecond * SECONDS) };
}
