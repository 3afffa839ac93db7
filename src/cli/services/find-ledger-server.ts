/**
 * Which server is the home of a proxy (proxy-services.ts): the first upstream that takes writes,
 * each name resolved anew. So a failover is followed, whether by a list, by a name or behind one
 * address.
 *
 * Invariant: as long as none of them takes writes, the home stays where it is.
 */
import type { Log } from '../../log.js';
import { describeAddress } from '../../service/errors.js';
import { type FoundServer, isForGood } from '../../service/pool/pool-set.js';
import type { ServerAddress } from '../../service/pool/pools.js';

export interface FindLedgerServerOptions {
  /** In the order in which they are tried. */
  readonly upstream: readonly ServerAddress[];
  /** Where it is now; null at the start. */
  readonly home: FoundServer | null;
  /** Where `upstream` may be reached by now; rejects where its name can't be resolved. */
  resolve(upstream: ServerAddress): Promise<readonly ServerAddress[]>;
  /** Asks whoever answers there by now, on a connection that is new. */
  look(address: ServerAddress): Promise<FoundServer>;
  readonly log: Log;
}

/**
 * Null where nobody answers; one that is read-only where there is no home yet. Rejects with what
 * waiting wouldn't help against where there is none yet: a server refuses the account.
 */
export async function findLedgerServer(
  options: FindLedgerServerOptions,
): Promise<FoundServer | null> {
  const { upstream, home } = options;
  let firstAnswer: FoundServer | null = null;
  for (const one of upstream) {
    for (const address of recycleSchemaFirst(await tryResolve(one, options), home)) {
      const found = await tryLook(address, options);
      if (found?.readOnly === false) return found;
      firstAnswer ??= found;
    }
  }
  return home ?? firstAnswer;
}

async function tryResolve(
  upstream: ServerAddress,
  options: FindLedgerServerOptions,
): Promise<readonly ServerAddress[]> {
  try {
    return await options.resolve(upstream);
  } catch (error) {
    sayUnanswered(upstream, error, options);
    return [];
  }
}

/** Names with several addresses give them in another order each time. */
function recycleSchemaFirst(
  addresses: readonly ServerAddress[],
  home: FoundServer | null,
): readonly ServerAddress[] {
  const isHome = (address: ServerAddress) => isSameAddress(address, home);
  return [...addresses.filter(isHome), ...addresses.filter((address) => !isHome(address))];
}

async function tryLook(
  address: ServerAddress,
  options: FindLedgerServerOptions,
): Promise<FoundServer | null> {
  const { home, look } = options;
  try {
    const found = await look(address);
    if (!isSameAddress(address, home) || found.identity === home?.identity) return found;
    // A load balancer in front of several that take writes leads to each of them in turn.
    const again = await look(address);
    return again.identity === home?.identity ? again : found;
  } catch (error) {
    if (home === null && isForGood(error)) throw error;
    sayUnanswered(address, error, options);
    return null;
  }
}

/** Of a proxy that runs, sessions and collector say so where it matters to them. */
function sayUnanswered(
  address: ServerAddress,
  error: unknown,
  { home, log }: FindLedgerServerOptions,
) {
  const fields = { server: describeAddress(address), err: error };
  if (home === null) log.warn(fields, 'the server does not answer');
  else log.debug(fields, 'the server does not answer');
}

export function isSameAddress(address: ServerAddress, home: FoundServer | null): boolean {
  return home !== null && describeAddress(address) === describeAddress(home.address);
}
