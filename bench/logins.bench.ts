/**
 * Logins with TLS, by Go's driver: with a cache of TLS sessions, from which it resumes, and
 * without. MySQL Router ends TLS as undrop does, and both have TLS with the server, too.
 */
import { fileURLToPath } from 'node:url';
import { makeCertificates } from '../test/support/certificates.js';
import { compileGo } from '../test/support/debian-tools.js';
import { query, startServer } from '../test/support/servers.js';
import { runCommand } from '../throwaway-servers/run-command.js';
import { cpuOf, direct, mysqlRouter, type Peer, undrop } from './peers.js';
import { figuresOf, inRounds, machineLoad, report, spread } from './report.js';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '5');
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '5');
const THREADS = 8;

const loadBefore = machineLoad();
const { ca, cert, key, remove } = makeCertificates();
const server = await startServer('mysql-9.7', [
  ...[`--ssl-ca=${ca}`, `--ssl-cert=${cert}`, `--ssl-key=${key}`],
]);
const program = await compileGo(fileURLToPath(new URL('../../bench/logins.go', import.meta.url)));
const peers = [
  direct(server),
  await mysqlRouter(server, { cert, key }),
  await undrop(server, { TLS_CERT: cert, TLS_KEY: key }),
];
const rows: string[][] = [];
try {
  for (const cache of ['fresh', 'resume']) {
    const samples = await inRounds(peers, ROUNDS, (peer) => sample(peer, cache));
    const of = (figure: 'perSecond' | 'cpuUs' | 'resumed' | 'atServer') => {
      const figures = figuresOf(samples, figure);
      return (peer: Peer) => spread(figures(peer)).median;
    };
    for (const peer of peers) {
      rows.push([
        ...[peer.name, cache, of('perSecond')(peer).toFixed(0)],
        peer.pid === null ? '–' : of('cpuUs')(peer).toFixed(0),
        ...[`${of('resumed')(peer).toFixed(0)} %`, `${of('atServer')(peer).toFixed(0)} %`],
      ]);
    }
  }
  report({
    title: 'Logins with TLS',
    how:
      `Go connects with TLS, says SELECT 1 and leaves, ${THREADS} at a time, ${ROUNDS} rounds of ` +
      `${SECONDS} s in turns, medians; how many have resumed their session with the peer, and the ` +
      `peer its with the server. Load before: ${loadBefore}.`,
    columns: ['peer', 'cache', 'logins/s', 'CPU µs/login', 'resumed', 'at the server'],
    rows,
  });
} finally {
  for (const peer of peers) await peer.stop();
  await server.stop();
  remove();
}

async function sample(peer: Peer, cache: string) {
  const { host, port, user, password } = peer;
  const [before, hitsBefore] = [cpuOf(peer), await hits()];
  const args = [program, host, String(port), user, password, ca, String(SECONDS), String(THREADS)];
  const { stdout } = await runCommand([...args, cache], { deadlineMs: 60_000 });
  const [logins = 0, resumed = 0] = stdout.trim().split(' ').map(Number);
  const share = (count: number) => (100 * count) / logins;
  return {
    perSecond: logins / SECONDS,
    cpuUs: ((cpuOf(peer) - before) * 1e6) / logins,
    resumed: share(resumed),
    atServer: share((await hits()) - hitsBefore),
  };
}

async function hits(): Promise<number> {
  const status = "SHOW GLOBAL STATUS LIKE 'Ssl_session_cache_hits'";
  const [row] = await query<{ readonly Value: string }>(server, status);
  return Number(row?.Value);
}
