/**
 * What the hop costs for much data: a result of 100 MB to the mysql client (unbuffered, thrown
 * away), and a file of 100 MB by LOAD DATA LOCAL INFILE, through each relay in turn, interleaved.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clientCommand, loginOptions } from '../test/support/clients.js';
import { query, startServer } from '../test/support/servers.js';
import { cpuOf, direct, type Peer, type Peers, startPeers } from './peers.js';
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

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '7');
const ROWS = 100_000;
/** With its number and the packet's header, a row has about 1,000 bytes. */
const FILLER_BYTES = 990;

interface Sample {
  readonly seconds: number;
  /** Of the relay. */
  readonly cpuSeconds: number;
}

const loadBefore = machineLoad();
const server = await startServer('mysql-9.7', ['--innodb-buffer-pool-size=512M', '--skip-log-bin']);
const scratch = await mkdtemp(join(tmpdir(), 'undrop-bench-'));
const file = join(scratch, 'rows.csv');
let relays: Peers | null = null;
try {
  const line = (row: number) => `${row},${'x'.repeat(FILLER_BYTES)}\n`;
  await writeFile(file, Array.from({ length: ROWS }, (_, row) => line(row)).join(''));
  await query(server, 'CREATE DATABASE bench');
  await query(server, 'CREATE TABLE bench.rows_out (id INT PRIMARY KEY, filler VARCHAR(1000))');
  // Takes the file and keeps nothing: the way is measured, not InnoDB.
  await query(server, 'CREATE TABLE bench.rows_in (id INT, filler VARCHAR(1000)) ENGINE=BLACKHOLE');
  await runMysql(direct(server), load('rows_out'));
  relays = await startPeers(server);
  await measure(relays.peers, 'A result of 100 MB', 'SELECT * FROM bench.rows_out');
  await measure(relays.peers, 'LOCAL INFILE of 100 MB', load('rows_in'));
} finally {
  await relays?.stop();
  await server.stop();
  await rm(scratch, { recursive: true });
}

function load(table: string): string {
  return `LOAD DATA LOCAL INFILE '${file}' INTO TABLE bench.${table} FIELDS TERMINATED BY ','`;
}

async function measure(peers: readonly Peer[], title: string, sql: string): Promise<void> {
  const samples = await inRounds(peers, ROUNDS, (peer) => sample(peer, sql));
  const base = peers.find(({ name }) => name === 'direct');
  const time = figuresOf(samples, 'seconds');
  const cpu = figuresOf(samples, 'cpuSeconds');
  report({
    title,
    how:
      `The mysql 9.7 client, ${ROWS} rows of 1 kB, ${ROUNDS} interleaved rounds; ${HOW_READ}. ` +
      `Load before: ${loadBefore}.`,
    columns: ['relay', 'seconds', 'of direct', 'relay CPU, seconds'],
    rows: peers.map((peer) => [
      peer.name,
      spread(time(peer)).median.toFixed(2),
      formatRatio(pairedRatios(time(peer), time(base))),
      peer.pid === null ? '–' : spread(cpu(peer)).median.toFixed(2),
    ]),
  });
}

async function sample(peer: Peer, sql: string): Promise<Sample> {
  const cpuBefore = cpuOf(peer);
  const start = performance.now();
  await runMysql(peer, sql);
  const seconds = (performance.now() - start) / 1000;
  return { seconds, cpuSeconds: cpuOf(peer) - cpuBefore };
}

async function runMysql(target: Peer, sql: string): Promise<void> {
  const [program = '', ...options] = await clientCommand('mysql-9.7');
  const way = ['--ssl-mode=DISABLED', '--quick', '--batch', '--local-infile=1'];
  const args = [...options, ...loginOptions(target), ...way, `--execute=${sql}`];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`mysql through ${target.name} ended with ${code}: ${errors}`);
}
