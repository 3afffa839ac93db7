/**
 * Memory of idle sessions: so many log in, rest; then each reads 1 MB and sends 1 MB, all rest for
 * ten seconds, and what the proxy has above what it had with none is divided by their number. A few
 * sessions have come and gone before, so that what a process needs but once isn't counted.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as com from '../src/wire/commands.js';
import { encodePacket } from '../src/wire/framing.js';
import { startServer } from '../test/support/servers.js';
import { WireTalk } from '../test/support/wire-talk.js';
import { haproxy, type Peer, togetherKb, undrop, withChildren } from './peers.js';
import { machineLoad, report } from './report.js';

const COUNTS = (process.env['BENCH_SESSIONS'] ?? '1000,10000').split(',').map(Number);
/** A session takes two descriptors of its relay; beside them it has a few for itself. */
const DESCRIPTORS_BESIDE = 200;
const AT_ONCE = 50;
/** Sessions that come and go first. */
const WARM_UP = AT_ONCE;
const REST_MS = 10_000;
const MEGABYTE = 1_000_000;
const READS = textOf(`SELECT REPEAT('x', ${MEGABYTE})`);
const SENDS = textOf(`SELECT LENGTH('${'x'.repeat(MEGABYTE)}')`);
const NONCE = 'idle_end_of_the_answer';

const loadBefore = machineLoad();
const descriptorsMax = readDescriptorsMax();
const rows: string[][] = [];
for (const count of COUNTS) {
  // One process may not have so many: undrop shares them out, HAProxy has as many as it may.
  const workers = Math.ceil((2 * count + DESCRIPTORS_BESIDE) / descriptorsMax);
  const most = workers === 1 ? count : Math.floor((descriptorsMax - DESCRIPTORS_BESIDE) / 2);
  rows.push(await measure((server) => undrop(server, { WORKERS: String(workers) }), count));
  rows.push(await measure(haproxy, most));
}
report({
  title: 'Memory of idle sessions',
  how:
    'kB of the relay (all its processes) for each session, above what it had with none, after a few had come and ' +
    `gone: after the login, and when each has read 1 MB and sent 1 MB; each time after ` +
    `${REST_MS / 1000} s of rest. Load before: ${loadBefore}.`,
  columns: [
    'relay',
    'processes',
    'sessions',
    'relay with none, MB',
    'kB fresh',
    'kB after 1 MB each way',
  ],
  rows,
});

async function measure(
  make: (server: Awaited<ReturnType<typeof startServer>>) => Promise<Peer>,
  count: number,
): Promise<string[]> {
  const server = await startServer('mysql-9.7', [
    `--max-connections=${count + 100}`,
    '--back-log=1000',
    '--performance-schema=OFF',
    '--max-allowed-packet=16M',
  ]);
  const peer = await make(server);
  const talks: WireTalk[] = [];
  try {
    const pids = () => withChildren(peer.pid ?? 0);
    const memory = () => togetherKb(pids());
    const open = async () => {
      talks.push(await WireTalk.open(peer, { user: 'root' }));
    };
    const talk = async (index: number) => {
      for (const bytes of [READS, SENDS]) {
        const { ending } = (await talks[index]?.say({ bytes }, NONCE)) ?? { ending: 'closed' };
        if (ending !== 'marker') throw new Error(`session ${index}: the answer ended by ${ending}`);
      }
    };
    await inBatches(WARM_UP, open);
    await inBatches(WARM_UP, talk);
    for (const gone of talks.splice(0)) gone.destroy();
    await sleep(REST_MS);
    const none = memory();
    await inBatches(count, open);
    await sleep(REST_MS);
    const fresh = memory();
    await inBatches(count, talk);
    await sleep(REST_MS);
    const each = (kb: number) => ((kb - none) / count).toFixed(1);
    const used = memory();
    const mb = (none / 1024).toFixed(0);
    return [peer.name, String(pids().length), String(count), mb, each(fresh), each(used)];
  } finally {
    for (const talk of talks) talk.destroy();
    await peer.stop();
    await server.stop();
  }
}

/** How many descriptors a process may have here. */
function readDescriptorsMax(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  return Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}

/** `act` for 0 … count - 1, some at a time. */
async function inBatches(count: number, act: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function textOf(sql: string): Buffer {
  return encodePacket(Buffer.concat([Buffer.from([com.COM_QUERY]), Buffer.from(sql)]), 0);
}
