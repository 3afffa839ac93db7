/**
 * Memory of idle sessions: so many log in, rest; then each reads 1 MB and sends 1 MB, all rest for
 * ten seconds, and what the proxy has above its start is divided by their number.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { COM_QUERY } from '../src/wire/commands.js';
import { encodePacket } from '../src/wire/framing.js';
import { startServer } from '../test/support/servers.js';
import { WireTalk } from '../test/support/wire-talk.js';
import { haproxy, type Peer, residentKb, undrop } from './peers.js';
import { report } from './report.js';
import { machineLoad } from './rounds.js';

/** Two descriptors of the proxy each: where a process may have 20,000, 10,000 sessions need two. */
const COUNTS = (process.env['BENCH_SESSIONS'] ?? '1000,9900').split(',').map(Number);
const AT_ONCE = 50;
const REST_MS = 10_000;
const MEGABYTE = 1_000_000;
const READS = textOf(`SELECT REPEAT('x', ${MEGABYTE})`);
const SENDS = textOf(`SELECT LENGTH('${'x'.repeat(MEGABYTE)}')`);
const NONCE = 'idle_end_of_the_answer';

const loadBefore = machineLoad();
const rows: string[][] = [];
for (const make of [undrop, haproxy])
  for (const count of COUNTS) rows.push(await measure(make, count));
report({
  title: 'Memory of idle sessions',
  how:
    'kB of the relay for each session, above what it had with none: after the login, and after ' +
    `each has read 1 MB and sent 1 MB; each time after ${REST_MS / 1000} s of rest. Load before: ` +
    `${loadBefore}.`,
  columns: ['relay', 'sessions', 'relay with none, MB', 'kB fresh', 'kB after 1 MB each way'],
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
    const memory = () => residentKb(peer.pid ?? 0);
    await sleep(REST_MS);
    const none = memory();
    await inBatches(count, async () => {
      talks.push(await WireTalk.open(peer, { user: 'root' }));
    });
    await sleep(REST_MS);
    const fresh = memory();
    await inBatches(count, async (index) => {
      for (const bytes of [READS, SENDS]) {
        const { ending } = (await talks[index]?.say({ bytes }, NONCE)) ?? { ending: 'closed' };
        if (ending !== 'marker') throw new Error(`session ${index}: the answer ended by ${ending}`);
      }
    });
    await sleep(REST_MS);
    const each = (kb: number) => ((kb - none) / count).toFixed(1);
    return [peer.name, String(count), (none / 1024).toFixed(0), each(fresh), each(memory())];
  } finally {
    for (const talk of talks) talk.destroy();
    await peer.stop();
    await server.stop();
  }
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
  return encodePacket(Buffer.concat([Buffer.from([COM_QUERY]), Buffer.from(sql)]), 0);
}
