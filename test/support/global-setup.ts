/**
 * Before the tests of the jest project `server`: starts one set of servers for each jest worker, so
 * that test files which run at the same time never share a ledger, and passes their addresses on by
 * the environment. UNDROP_TEST_SERVERS="name=mysql://user:password@host:port,…" uses given servers.
 */
import type { ThrowawayServer } from '../../src/demo/throwaway.js';
import { memoryOrDisk } from './memory-folder.js';
import { SERVER_NAMES, startFromSet } from './server-set.js';
import { parseGivenServers, type TestServer } from './servers.js';

/** What teardown stops; both run in jest's own process. */
export const startedServers: { undropServers?: readonly ThrowawayServer[] } = globalThis as never;

export default async function setUp(config: { readonly maxWorkers: number }): Promise<void> {
  const given = process.env['UNDROP_TEST_SERVERS'];
  if (given) return passOn([await parseGivenServers(given)]);
  // The first set alone: it fills the cache. Each further one is a copy and takes a second.
  const first = await startSet();
  const more = Array.from({ length: config.maxWorkers - 1 }, startSet);
  const sets = [first, ...(await Promise.all(more))];
  startedServers.undropServers = sets.flat();
  passOn(sets);
}

async function startSet(): Promise<readonly ThrowawayServer[]> {
  const parent = await memoryOrDisk();
  const started = await Promise.allSettled(
    SERVER_NAMES.map((name) => startFromSet(name, [], parent)),
  );
  const servers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = started.flatMap((one) => (one.status === 'rejected' ? [one.reason as Error] : []));
  if (failed.length === 0) return servers;
  await Promise.all(servers.map((server) => server.stop()));
  throw new AggregateError(failed, failed.map((error) => error.message).join('\n'));
}

function passOn(sets: readonly (readonly TestServer[])[]): void {
  process.env['TEST_SERVER_SETS'] = JSON.stringify(sets);
}
