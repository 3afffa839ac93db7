/**
 * What is left of very many short sessions: they connect, ask and quit, are killed, or break off
 * with an RST wherever they are, some hundreds at a time, through one proxy process in front of a
 * real server. Afterwards file descriptors and the server's Threads_connected are as at the start,
 * and memory is at most 20 MB above it; otherwise this ends with 1.
 *
 * SOAK_CONNECTS, SOAK_KILLS, SOAK_RESETS, SOAK_AT_ONCE and SOAK_SERVER make it shorter, or another.
 */
import { readdirSync } from 'node:fs';
import type { Connection } from 'mysql2/promise';
import * as com from '../src/wire/commands.js';
import { encodePacket } from '../src/wire/framing.js';
import { until } from '../test/support/poll.js';
import { type ProxyProcess, spawnProxy } from '../test/support/proxy.js';
import { connect, query, startServer, type Target } from '../test/support/servers.js';
import { WireTalk } from '../test/support/wire-talk.js';
import { togetherKb, withChildren } from './peers.js';

const CONNECTS = Number(process.env['SOAK_CONNECTS'] ?? '200000');
const KILLS = Number(process.env['SOAK_KILLS'] ?? '20000');
const RESETS = Number(process.env['SOAK_RESETS'] ?? '20000');
const AT_ONCE = Number(process.env['SOAK_AT_ONCE'] ?? '500');
const SERVER = process.env['SOAK_SERVER'] ?? 'mysql-9.7';
const GROWTH_KB_MAX = 20 * 1024;
/** A heap has its size only after it was used: so many rounds of everything go before the start. */
const WARM_ROUNDS = 4;
const REST_MS = 90_000;
const PROGRESS_MS = 10_000;
const LOGIN = { user: 'root' } as const;
const QUIT = encodePacket(Buffer.from([com.COM_QUIT]), 0);
const NONCE = 'soak_end_of_the_answer';

type Visit = 'connect' | 'kill' | 'reset';

interface Figures {
  readonly descriptors: number;
  readonly threads: number;
  readonly residentKb: number;
}

async function soak(): Promise<boolean> {
  const warm = AT_ONCE * WARM_ROUNDS;
  await visitAll({ connect: warm, kill: warm, reset: warm });
  const start = await rested(null);
  say('at the start', start);
  const startMs = Date.now();
  await visitAll({ connect: CONNECTS, kill: KILLS, reset: RESETS });
  const minutes = ((Date.now() - startMs) / 60_000).toFixed(1);
  const end = await rested(start);
  say('at the end', end);
  const growthMb = ((end.residentKb - start.residentKb) / 1024).toFixed(1);
  const counts = `${CONNECTS} connects, ${KILLS} kills, ${RESETS} resets, ${AT_ONCE} at a time`;
  print(`${SERVER}: ${counts}, in ${minutes} minutes; memory ${growthMb} MB above the start`);
  for (const failure of failures.slice(0, 10)) print(`failed: ${failure}`);
  const isSame = end.descriptors === start.descriptors && end.threads === start.threads;
  const isSmall = end.residentKb - start.residentKb <= GROWTH_KB_MAX;
  const isGood = isSame && isSmall && failures.length === 0;
  print(isGood ? 'nothing is left of them' : `NOT as it was; ${failures.length} failures`);
  return isGood;
}

/** All visits, evenly mixed. */
async function visitAll(counts: Readonly<Record<Visit, number>>): Promise<void> {
  const total = counts.connect + counts.kill + counts.reset;
  const done = { connect: 0, kill: 0, reset: 0 };
  const next = (): Visit | null => {
    const kinds = ['connect', 'kill', 'reset'] as const;
    const left = kinds.filter((kind) => done[kind] < counts[kind]);
    const behind = left.sort((a, b) => done[a] / counts[a] - done[b] / counts[b])[0];
    if (behind !== undefined) done[behind]++;
    return behind ?? null;
  };
  const progress = setInterval(() => {
    const said = done.connect + done.kill + done.reset;
    print(`${said} of ${total}; ${togetherKb(withChildren(pidOf(proxy)))} kB`);
  }, PROGRESS_MS);
  const worker = async (): Promise<void> => {
    for (let visit = next(); visit !== null; visit = next()) {
      await VISITS[visit]().catch((error: unknown) => failures.push(`${visit}: ${error}`));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  clearInterval(progress);
}

const VISITS: Readonly<Record<Visit, () => Promise<void>>> = {
  connect: async () => {
    const talk = await WireTalk.open(proxy, LOGIN);
    const { ending } = await talk.say({ bytes: textOf('SELECT 1') }, NONCE);
    if (ending !== 'marker') throw new Error(`the answer ended by ${ending}`);
    talk.write(QUIT);
    await talk.closed();
  },
  kill: async () => {
    const talk = await WireTalk.open(proxy, LOGIN);
    talk.write(textOf('SELECT SLEEP(600)'));
    await kill(killer, talk.threadId);
    await talk.closed();
  },
  reset: async () => {
    const talk = await WireTalk.connect(proxy);
    const way = RESET_WAYS[resets++ % RESET_WAYS.length];
    await way?.(talk);
    talk.reset();
    await talk.closed();
  },
};

let resets = 0;
/** Where a client is when it breaks off. */
const RESET_WAYS: readonly ((talk: WireTalk) => Promise<void>)[] = [
  // Before it has read the greeting.
  async () => undefined,
  // In the middle of its login.
  async (talk) => {
    talk.logIn(LOGIN).catch(() => undefined);
    await turn();
  },
  (talk) => talk.logIn(LOGIN),
  // In the middle of a command.
  async (talk) => {
    await talk.logIn(LOGIN);
    talk.write(textOf('SELECT 1').subarray(0, 7));
    await turn();
  },
  // While the server is busy.
  async (talk) => {
    await talk.logIn(LOGIN);
    talk.write(textOf('SELECT SLEEP(0.2)'));
    await turn();
  },
  // In the middle of a result.
  async (talk) => {
    await talk.logIn(LOGIN);
    talk.write(textOf("SELECT REPEAT('x', 300000)"));
    await turn();
  },
];

/** KILL of one that is gone already is no failure. */
async function kill(by: Connection, threadId: number): Promise<void> {
  await by.query(`KILL ${threadId}`).catch((error: unknown) => {
    if (!String(error).includes('Unknown thread')) throw error;
  });
}

function textOf(sql: string): Buffer {
  return encodePacket(Buffer.concat([Buffer.from([3]), Buffer.from(sql)]), 0);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Figures when all has settled; where they have something to come back to, it gets time for it. */
async function rested(start: Figures | null): Promise<Figures> {
  let last = await figures(server, proxy);
  const isSettled = async (): Promise<boolean> => {
    const before = last;
    last = await figures(server, proxy);
    if (start === null)
      return last.threads <= IDLE_THREADS && last.descriptors === before.descriptors;
    const isSame = last.threads === start.threads && last.descriptors === start.descriptors;
    return isSame && last.residentKb - start.residentKb <= GROWTH_KB_MAX;
  };
  await until(isSettled, 'everything is as it was', REST_MS).catch((error: unknown) => {
    print(String(error));
  });
  return last;
}

/** The killer's and the one that asks; idle ones of the service account are closed by then. */
const IDLE_THREADS = 2;

async function figures(target: Target, { child }: ProxyProcess): Promise<Figures> {
  const pids = withChildren(child.pid ?? 0);
  const [row] = await query<{ Value: string }>(target, "SHOW STATUS LIKE 'Threads_connected'");
  return {
    descriptors: pids.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0),
    threads: Number(row?.Value),
    residentKb: togetherKb(pids),
  };
}

function pidOf({ child }: ProxyProcess): number {
  return child.pid ?? 0;
}

function say(when: string, { descriptors, threads, residentKb: kb }: Figures): void {
  print(`${when}: ${descriptors} file descriptors, ${threads} Threads_connected, ${kb} kB`);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

// ── the run ────────────────────────────────────────────────────────────────────────────────────

const server = await startServer(SERVER, ['--max-connections=5000']);
const proxy = await spawnProxy(server, { MAX_CONNECTIONS: '4000' });
const killer = await connect(proxy);
const failures: string[] = [];
try {
  process.exitCode = (await soak()) ? 0 : 1;
} finally {
  await killer.end();
  await proxy.stop();
  await server.stop();
}
