/**
 * What `undrop doctor` says of the way to a server: what shows that it is the right one, and what
 * others on the way can read.
 */
import { describeAddress } from '../service/errors.js';
import { isOnThisMachine } from '../service/login/server-key.js';
import type { ServerAddress } from '../service/pool/pools.js';
import type { AccountSettings } from './commands/account-settings.js';

/** A sentence without its end. */
export function wayTo(upstream: ServerAddress, settings: AccountSettings): string {
  return `to ${describeAddress(upstream)} ${how(upstream, settings)}`;
}

function how(upstream: ServerAddress, settings: AccountSettings): string {
  const { upstreamTls, upstreamPublicKey } = settings;
  if ('socketPath' in upstream) return 'over a unix socket';
  if (upstreamTls === 'verify-identity') return 'in TLS; its certificate and name are checked';
  if (upstreamTls === 'verify-ca') return 'in TLS; its certificate is checked';
  if (isOnThisMachine(upstream)) return 'on this machine';
  if (upstreamTls === 'required') {
    return 'in TLS; its certificate is not checked, so whoever answers in its place gets the password: set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca';
  }
  if (upstreamPublicKey === 'ask') {
    return 'with any key that comes, so whoever answers in its place gets the password: set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca';
  }
  if (upstreamPublicKey !== 'auto') {
    return 'perhaps without TLS; the password goes by the key in UNDROP_UPSTREAM_PUBLIC_KEY alone, all else can be read on the way';
  }
  return 'with nothing that shows who it is: logins by caching_sha2_password or sha256_password that take the password itself are refused, as each first one after a start of the server does; set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca';
}
