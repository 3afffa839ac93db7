/**
 * Before the tests of the jest project `server`: starts one set of servers for each jest worker, so
 * that test files which run at the same time never share a ledger. It doesn't wait for them: the
 * unit tests run while the servers are fetched and started, and servers.ts reads their addresses
 * from a file. UNDROP_TEST_SERVERS="name=mysql://user:password@host:port,…" uses given servers.
 */
import { mkdtemp, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ThrowawayServer } from '../../throwaway-servers/throwaway.js';
import { RUN_NAMES, startFromSet } from './server-set.js';
import { parseGivenServers, type ServerSets } from './servers.js';

const MEMORY = '/dev/shm';
/** Three sets of servers, and what the largest tests put into them, need less than half of it. */
const BYTES_MIN = 8 * 2 ** 30;

/** What teardown waits for and stops; both run in jest's own process. */
export const starting: { undropStop?: () => Promise<void> } = globalThis as never;

export default async function setUp(config: { readonly maxWorkers: number }): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'undrop-test-sets-'));
  const file = join(folder, 'sets.json');
  process.env['TEST_SERVER_SETS'] = file;
  const started: ThrowawayServer[] = [];
  const ended = tell(file, startSets(config.maxWorkers, started));
  starting.undropStop = async () => {
    await ended;
    await Promise.all(started.map((server) => server.stop()));
    await rm(folder, { recursive: true });
  };
}

/** The file is there when all is known, be it an error. */
async function tell(file: string, starts: Promise<ServerSets['sets']>): Promise<void> {
  const found: ServerSets = await starts.then(
    (sets) => ({ sets }),
    (error: Error) => ({ sets: [], error: error.message }),
  );
  await writeFile(`${file}.new`, JSON.stringify(found));
  await rename(`${file}.new`, file);
}

async function startSets(count: number, started: ThrowawayServer[]): Promise<ServerSets['sets']> {
  const given = process.env['UNDROP_TEST_SERVERS'];
  if (given) return [await parseGivenServers(given)];
  // The first set alone: it fills the cache. Each further one is a copy and takes a second.
  const first = await startSet(started);
  const more = Array.from({ length: count - 1 }, () => startSet(started));
  return [first, ...(await Promise.all(more))];
}

async function startSet(started: ThrowawayServer[]): Promise<readonly ThrowawayServer[]> {
  const parent = await memoryOrDisk();
  const starts = await Promise.allSettled(RUN_NAMES.map((name) => startFromSet(name, [], parent)));
  const servers = starts.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = starts.flatMap((one) => (one.status === 'rejected' ? [one.reason as Error] : []));
  started.push(...servers);
  if (failed.length === 0) return servers;
  throw new AggregateError(failed, failed.map((error) => error.message).join('\n'));
}

/**
 * Where the servers have their data: in memory, where there is plenty, as thousands of tables are
 * made and dropped, and each is synced to the disk some ten times.
 */
async function memoryOrDisk(): Promise<string> {
  try {
    const { bavail, bsize } = await statfs(MEMORY);
    return Math.min(bavail * bsize, freemem()) >= BYTES_MIN ? MEMORY : tmpdir();
  } catch (error) {
    // No such folder: not Linux.
    if (!(error instanceof Error && 'code' in error)) throw error;
    return tmpdir();
  }
}
