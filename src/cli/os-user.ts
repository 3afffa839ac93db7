/** The OS user of a proxy, which is not its clients': over a unix socket the server goes by it. */
import { userInfo } from 'node:os';
import { accountsOf } from '../account/os-user.js';
import { UndropError } from '../errors.js';
import type { Log } from '../log.js';
import { describeAddress } from '../service/errors.js';
import type { PoolSet } from '../service/pool/pool-set.js';
import type { ProxySettings } from './proxy-settings.js';

/**
 * UNDROP_CONFIG where a server opens accounts to the OS user of this process over the unix socket
 * that it is reached by. Where that can't be seen now, each login is still looked at.
 */
export async function assertNotLent(
  pools: PoolSet,
  { upstream, lendOsUser }: Pick<ProxySettings, 'upstream' | 'lendOsUser'>,
  log: Log,
): Promise<void> {
  if (lendOsUser === 'on') return;
  const osUser = userInfo().username;
  for (const address of upstream) {
    if (!('socketPath' in address)) continue;
    const server = describeAddress(address);
    const accounts = await accountsOf(osUser, pools.at(address)).catch((error: unknown) => {
      log.debug({ server, err: error }, 'the accounts of the server could not be looked at');
      return null;
    });
    if (accounts === null || accounts.length === 0) continue;
    const problems = `UNDROP_UPSTREAM ${server}: expected no account that is open to undrop itself, found ${lentWords(osUser, accounts)}`;
    await pools.dispose();
    throw new UndropError('UNDROP_CONFIG', { problems });
  }
}

/** A sentence, for people. */
export function lentWords(osUser: string, accounts: readonly string[]): string {
  return `${accounts.join(', ')}, by unix_socket or auth_socket for the OS user ${osUser}. Run undrop as an OS user of its own, reach the server by host:port, or set UNDROP_LEND_OS_USER=on, which lets every client in as them.`;
}
